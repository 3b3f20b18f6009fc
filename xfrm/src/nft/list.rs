//! An ordered access list as rules.
//!
//! Each entry is a rule of its own. Sets of prefixes would be asked in one step, but the kernel fills a set of ranges only
//! after the rules that ask it hold already: for some milliseconds after each write of the table it would match nothing,
//! and what it should hold would pass.

use crate::model::{Ace, Action, Family, Ports, Prefix, Selector};

/// Entries; the first that matches decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List(Vec<Entry>);

/// What an entry asks of a packet, and what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub action: Action,
    pub family: Family,
    pub source: Prefix,
    pub destination: Prefix,
    pub protocol: Option<u8>,
    pub source_ports: Option<Ports>,
    pub destination_ports: Option<Ports>,
}

impl List {
    /// The entries of an access list. What no entry names stays in clear, so `deny` entries at its end say nothing.
    pub fn new(acl: &[Ace]) -> Self {
        let end = acl.iter().rposition(|ace| ace.action == Action::Permit).map_or(0, |last| last + 1);
        let runs = acl[..end].chunk_by(|one, next| one.action == next.action);
        Self(runs.flat_map(|run| entries(run[0].action, run.iter().map(|ace| ace.selector))).collect())
    }

    /// The entries of packets that stay in clear.
    pub fn clear(selectors: &[Selector]) -> Self {
        Self(entries(Action::Deny, selectors.iter().copied()))
    }

    pub fn entries(&self) -> &[Entry] {
        &self.0
    }
}

impl Entry {
    fn new(action: Action, selector: &Selector) -> Self {
        let Selector { source, destination, protocol, source_ports, destination_ports } = *selector;
        let family = selector.family();
        Self { action, family, source, destination, protocol, source_ports, destination_ports }
    }

    fn has_shape_of(&self, other: &Self) -> bool {
        let shape =
            |entry: &Self| (entry.family, entry.protocol, entry.source_ports, entry.destination_ports);
        shape(self) == shape(other)
    }

    fn contains(&self, other: &Self) -> bool {
        self.source.contains(other.source) && self.destination.contains(other.destination)
    }
}

/// Those of one action, in any order; not at all what one before says already.
fn entries(action: Action, selectors: impl Iterator<Item = Selector>) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for selector in selectors {
        let entry = Entry::new(action, &selector);
        if !entries.iter().any(|before| before.has_shape_of(&entry) && before.contains(&entry)) {
            entries.push(entry);
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ace(action: Action, source: &str, destination: &str, port: Option<u16>) -> Ace {
        let prefix = |text: &str| {
            let (address, length) = text.split_once('/').unwrap();
            Prefix::new(address.parse().unwrap(), length.parse().unwrap()).unwrap()
        };
        let mut selector = Selector::between(prefix(source), prefix(destination));
        selector.protocol = port.map(|_| 6);
        selector.destination_ports = port.map(Ports::only);
        Ace { action, selector }
    }

    fn actions(acl: &[Ace]) -> Vec<Action> {
        List::new(acl).entries().iter().map(|entry| entry.action).collect()
    }

    #[test]
    fn what_an_entry_before_says_is_not_said_again() {
        use Action::Permit;
        let acl = [
            ace(Permit, "10.1.0.0/16", "10.0.0.0/8", None),
            ace(Permit, "10.1.5.0/24", "10.2.0.0/16", None),
            ace(Permit, "10.1.0.0/16", "10.2.0.0/16", Some(22)),
            ace(Permit, "2001:db8::/32", "2001:db8::/32", None),
        ];
        let list = List::new(&acl);
        let kept = [&acl[0], &acl[2], &acl[3]].map(|ace| Entry::new(Permit, &ace.selector));
        assert_eq!(list.entries(), kept);
    }

    #[test]
    fn the_order_of_different_actions_is_kept_and_the_last_denials_are_dropped() {
        use Action::{Deny, Permit};
        let acl = [
            ace(Deny, "10.1.0.0/16", "10.2.0.0/16", None),
            ace(Permit, "10.0.0.0/8", "10.0.0.0/8", None),
            ace(Deny, "10.3.0.0/16", "0.0.0.0/0", None),
            ace(Permit, "10.3.0.0/16", "0.0.0.0/0", None),
            ace(Deny, "0.0.0.0/0", "0.0.0.0/0", None),
        ];
        assert_eq!(actions(&acl), [Deny, Permit, Deny, Permit]);
        assert_eq!(actions(&[ace(Deny, "10.0.0.0/8", "10.0.0.0/8", None)]), []);
        assert_eq!(actions(&[]), []);
    }

    /// First match over the list is first match over the access list, for every packet of a small world.
    #[test]
    fn it_decides_as_the_access_list_does() {
        let mut dice = 1u64;
        let mut below = |limit: u64| {
            dice ^= dice << 13;
            dice ^= dice >> 7;
            dice ^= dice << 17;
            dice % limit
        };
        for _ in 0..300 {
            let prefix = |bits: u64, value: u64| {
                let shift = 32 - bits as u32;
                Prefix::new(
                    std::net::Ipv4Addr::from((value as u32).checked_shl(shift).unwrap_or(0)).into(),
                    bits as u8,
                )
                .unwrap()
            };
            let mut any = |most: u64| {
                let bits = below(most + 1);
                prefix(bits, below(1 << bits))
            };
            let selectors: Vec<_> = (0..12).map(|_| Selector::between(any(3), any(3))).collect();
            let acl: Vec<_> = selectors
                .into_iter()
                .map(|selector| Ace {
                    action: if below(2) == 0 { Action::Permit } else { Action::Deny },
                    selector,
                })
                .collect();
            let list = List::new(&acl);
            for packet in 0..64u64 {
                let packet = Selector::between(prefix(3, packet / 8), prefix(3, packet % 8));
                let packet = Entry::new(Action::Permit, &packet);
                let ace = acl.iter().find(|ace| Entry::new(ace.action, &ace.selector).contains(&packet));
                let entry = list.entries().iter().find(|entry| entry.contains(&packet));
                let permitted = |action: Option<Action>| action == Some(Action::Permit);
                assert_eq!(permitted(ace.map(|ace| ace.action)), permitted(entry.map(|entry| entry.action)));
            }
        }
    }
}
