//! An ordered access list as rules.
//!
//! Each entry is a rule of its own. Sets of prefixes would be asked in one step, but the kernel fills a set of ranges only
//! after the rules that ask it hold already: for some milliseconds after each write of the table it would match nothing,
//! and what it should hold would pass.

use crate::model::{Ace, Action, Selector};

/// Entries; the first that matches decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List(Vec<Ace>);

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

    pub fn entries(&self) -> &[Ace] {
        &self.0
    }
}

/// Those of one action, in any order; not at all what one before says already.
fn entries(action: Action, selectors: impl Iterator<Item = Selector>) -> Vec<Ace> {
    let mut entries: Vec<Ace> = Vec::new();
    for selector in selectors {
        let is_said =
            |before: &Ace| has_shape_of(&before.selector, &selector) && contains(&before.selector, &selector);
        if !entries.iter().any(is_said) {
            entries.push(Ace { action, selector });
        }
    }
    entries
}

fn has_shape_of(one: &Selector, other: &Selector) -> bool {
    let shape = |one: &Selector| (one.family(), one.protocol(), one.source().ports, one.destination().ports);
    shape(one) == shape(other)
}

fn contains(one: &Selector, other: &Selector) -> bool {
    one.source().prefix.covers(&other.source().prefix)
        && one.destination().prefix.covers(&other.destination().prefix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Prefix, Side};

    fn acl<const N: usize>(entries: [&str; N]) -> [Ace; N] {
        entries.map(|entry| entry.parse().unwrap())
    }

    fn actions(acl: &[Ace]) -> Vec<Action> {
        List::new(acl).entries().iter().map(|entry| entry.action).collect()
    }

    #[test]
    fn what_an_entry_before_says_is_not_said_again() {
        let acl = acl([
            "permit ip 10.1.0.0/16 10.0.0.0/8",
            "permit ip 10.1.5.0/24 10.2.0.0/16",
            "permit tcp 10.1.0.0/16 10.2.0.0/16 eq 22",
            "permit ipv6 2001:db8::/32 2001:db8::/32",
        ]);
        assert_eq!(List::new(&acl).entries(), [acl[0], acl[2], acl[3]]);
    }

    #[test]
    fn the_order_of_different_actions_is_kept_and_the_last_denials_are_dropped() {
        use Action::{Deny, Permit};
        let mixed = acl([
            "deny ip 10.1.0.0/16 10.2.0.0/16",
            "permit ip 10.0.0.0/8 10.0.0.0/8",
            "deny ip 10.3.0.0/16 any",
            "permit ip 10.3.0.0/16 any",
            "deny ip any any",
        ]);
        assert_eq!(actions(&mixed), [Deny, Permit, Deny, Permit]);
        assert_eq!(actions(&acl(["deny ip 10.0.0.0/8 10.0.0.0/8"])), []);
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
                let address = std::net::Ipv4Addr::from((value as u32).checked_shl(shift).unwrap_or(0));
                Side::from(Prefix::new(address.into(), bits as u8).unwrap())
            };
            let between = |source, destination| Selector::new(None, source, destination).unwrap();
            let mut any = |most: u64| {
                let bits = below(most + 1);
                prefix(bits, below(1 << bits))
            };
            let selectors: Vec<_> = (0..12).map(|_| between(any(3), any(3))).collect();
            let acl: Vec<_> = selectors
                .into_iter()
                .map(|selector| Ace {
                    action: if below(2) == 0 { Action::Permit } else { Action::Deny },
                    selector,
                })
                .collect();
            let list = List::new(&acl);
            for packet in 0..64u64 {
                let packet = between(prefix(3, packet / 8), prefix(3, packet % 8));
                let permitted = |entries: &[Ace]| {
                    let decides = entries.iter().find(|entry| contains(&entry.selector, &packet));
                    decides.is_some_and(|entry| entry.action == Action::Permit)
                };
                assert_eq!(permitted(&acl), permitted(list.entries()));
            }
        }
    }
}
