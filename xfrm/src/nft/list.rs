//! An ordered access list as few rules.
//!
//! Entries that follow each other and say the same may be asked in any order. Those of them that differ only in their
//! addresses become one set of pairs of prefixes, which nft asks in one step. A set takes no pairs that overlap, so it
//! may take several sets.

use crate::model::{Ace, Action, Family, Ports, Prefix, Selector};

/// Groups of entries; the first group that matches decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List(Vec<Group>);

/// Entries that say the same of the same protocol and ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub action: Action,
    pub shape: Shape,
    /// Sources and destinations of one family; no two overlap.
    pub pairs: Vec<Pair>,
}

/// What an entry asks of a packet besides its addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub family: Family,
    pub protocol: Option<u8>,
    pub source_ports: Option<Ports>,
    pub destination_ports: Option<Ports>,
}

/// Source and destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    pub source: Prefix,
    pub destination: Prefix,
}

impl List {
    /// The groups of an access list. What no entry names stays in clear, so `deny` entries at its end say nothing.
    pub fn new(acl: &[Ace]) -> Self {
        let end = acl.iter().rposition(|ace| ace.action == Action::Permit).map_or(0, |last| last + 1);
        let runs = acl[..end].chunk_by(|one, next| one.action == next.action);
        Self(runs.flat_map(|run| groups(run[0].action, run.iter().map(|ace| ace.selector))).collect())
    }

    /// The groups of packets that stay in clear.
    pub fn clear(selectors: &[Selector]) -> Self {
        Self(groups(Action::Deny, selectors.iter().copied()))
    }

    pub fn groups(&self) -> &[Group] {
        &self.0
    }
}

impl Shape {
    fn of(selector: &Selector) -> Self {
        let Selector { protocol, source_ports, destination_ports, .. } = *selector;
        Self { family: selector.family(), protocol, source_ports, destination_ports }
    }
}

impl Pair {
    fn of(selector: &Selector) -> Self {
        Self { source: selector.source, destination: selector.destination }
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.source.overlaps(other.source) && self.destination.overlaps(other.destination)
    }

    fn contains(&self, other: &Self) -> bool {
        self.source.contains(other.source) && self.destination.contains(other.destination)
    }
}

fn groups(action: Action, selectors: impl Iterator<Item = Selector>) -> Vec<Group> {
    let mut groups = Vec::new();
    for selector in selectors {
        place(&mut groups, action, Shape::of(&selector), Pair::of(&selector));
    }
    groups
}

/// Into the first group of the shape where nothing overlaps; not at all when one there says it already.
fn place(groups: &mut Vec<Group>, action: Action, shape: Shape, pair: Pair) {
    let mut room = None;
    for (number, group) in groups.iter().enumerate().filter(|(_, group)| group.shape == shape) {
        match group.pairs.iter().find(|one| one.overlaps(&pair)) {
            Some(one) if one.contains(&pair) => return,
            Some(_) => {}
            None => room = room.or(Some(number)),
        }
    }
    match room.and_then(|number| groups.get_mut(number)) {
        Some(group) => group.pairs.push(pair),
        None => groups.push(Group { action, shape, pairs: vec![pair] }),
    }
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

    fn sizes(acl: &[Ace]) -> Vec<(Action, usize)> {
        List::new(acl).groups().iter().map(|group| (group.action, group.pairs.len())).collect()
    }

    #[test]
    fn entries_that_say_the_same_share_a_set_unless_they_overlap() {
        use Action::Permit;
        let acl = [
            ace(Permit, "10.1.0.0/16", "10.2.0.0/16", None),
            ace(Permit, "10.2.0.0/16", "10.1.0.0/16", None),
            ace(Permit, "10.1.0.0/16", "10.0.0.0/8", None),
            ace(Permit, "10.1.5.0/24", "10.2.0.0/16", None),
            ace(Permit, "2001:db8::/32", "2001:db8::/32", None),
            ace(Permit, "10.1.0.0/16", "10.2.0.0/16", Some(22)),
            ace(Permit, "10.3.0.0/16", "10.2.0.0/16", Some(22)),
        ];
        assert_eq!(sizes(&acl), [(Permit, 2), (Permit, 1), (Permit, 1), (Permit, 2)]);
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
        assert_eq!(sizes(&acl), [(Deny, 1), (Permit, 1), (Deny, 1), (Permit, 1)]);
        assert_eq!(sizes(&[ace(Deny, "10.0.0.0/8", "10.0.0.0/8", None)]), []);
        assert_eq!(sizes(&[]), []);
    }

    /// First match over the groups is first match over the entries, for every packet of a small world.
    #[test]
    fn groups_decide_as_the_entries_do() {
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
                let pair = Pair { source: prefix(3, packet / 8), destination: prefix(3, packet % 8) };
                let entry = acl.iter().find(|ace| Pair::of(&ace.selector).contains(&pair));
                let group =
                    list.groups().iter().find(|group| group.pairs.iter().any(|one| one.contains(&pair)));
                let permitted = |action: Option<Action>| action == Some(Action::Permit);
                assert_eq!(
                    permitted(entry.map(|ace| ace.action)),
                    permitted(group.map(|group| group.action))
                );
            }
        }
    }
}
