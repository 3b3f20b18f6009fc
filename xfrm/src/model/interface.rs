//! Which links a plane protects.

use std::collections::{BTreeMap, BTreeSet};

use super::Slot;

/// Whether a link of this name is meant: by its whole name, or by its beginning, where the interface ends with `*`.
pub fn is_named(interface: &str, name: &str) -> bool {
    match interface.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == interface,
    }
}

/// The links that planes protect, by their index, whatever they are called by now: a link that got another name stays
/// protected until it is gone. With them what carries their packets, as long as it does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// In the order in which they were found.
    links: BTreeMap<Slot, Vec<u32>>,
    /// With the number of links below them of which each is a port of the next.
    carriers: BTreeMap<Slot, BTreeMap<u32, u32>>,
}

impl Kept {
    /// The plane protects this link from now on.
    pub fn add(&mut self, slot: Slot, index: u32) {
        let links = self.links.entry(slot).or_default();
        if !links.contains(&index) {
            links.push(index);
        }
    }

    /// Whether the plane protects this link.
    pub fn has(&self, slot: Slot, index: u32) -> bool {
        self.links.get(&slot).is_some_and(|indices| indices.contains(&index))
            || self.level(slot, index).is_some()
    }

    /// How many links of which each is a port of the next lie between this one and one that the plane protects, if it carries
    /// the packets of that: 0 is on the same wire.
    pub fn level(&self, slot: Slot, index: u32) -> Option<u32> {
        self.carriers.get(&slot)?.get(&index).copied()
    }

    /// Whether packets of this link of the plane are those of another one that is above it.
    pub fn is_carried(&self, slot: Slot, index: u32) -> bool {
        let highest =
            self.carriers.get(&slot).and_then(|carriers| carriers.values().max()).copied().unwrap_or(0);
        self.level(slot, index).unwrap_or(0) < highest
    }

    /// The links of a plane, those that it protected first before others, without what carries their packets.
    pub fn of(&self, slot: Slot) -> impl Iterator<Item = u32> + '_ {
        self.links.get(&slot).into_iter().flatten().copied()
    }

    /// Only these links are there.
    pub(crate) fn retain(&mut self, there: &BTreeSet<u32>) {
        self.links.values_mut().for_each(|indices| indices.retain(|index| there.contains(index)));
        self.links.retain(|_, indices| !indices.is_empty());
    }

    /// The link has the plane's whole name. Where it was the first one that had it, others only had it meanwhile, because
    /// somebody swapped names, and are released; else nobody knows which of them is meant.
    pub(crate) fn settle(&mut self, slot: Slot, named: u32) {
        if let Some(links) = self.links.get_mut(&slot).filter(|links| links.first() == Some(&named)) {
            links.truncate(1);
        }
    }

    /// What carries the packets of each plane's links is found so.
    pub(crate) fn follow(&mut self, find: impl Fn(&[u32]) -> BTreeMap<u32, u32>) {
        self.carriers = self.links.iter().map(|(slot, links)| (*slot, find(links))).collect();
        self.carriers.retain(|_, carriers| !carriers.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_whole_and_a_pattern_a_beginning() {
        assert!(is_named("wan0", "wan0") && !is_named("wan0", "wan01") && !is_named("wan0", "wan"));
        assert!(is_named("ppp*", "ppp17") && is_named("ppp*", "ppp") && !is_named("ppp*", "pp"));
    }

    #[test]
    fn a_link_is_kept_until_it_is_gone() {
        let slot = Slot::LAST;
        let mut kept = Kept::default();
        kept.add(slot, 7);
        kept.add(slot, 8);
        kept.retain(&[8, 9].into());
        assert!(kept.has(slot, 8) && !kept.has(slot, 7) && kept.of(slot).eq([8]));
        kept.retain(&BTreeSet::new());
        assert_eq!(kept, Kept::default());
    }

    #[test]
    fn names_that_were_swapped_and_swapped_back_leave_nothing() {
        let slot = Slot::LAST;
        let mut kept = Kept::default();
        kept.add(slot, 7);
        kept.add(slot, 8);
        kept.settle(slot, 8);
        assert!(kept.of(slot).eq([7, 8]), "the second one has the name");
        kept.settle(slot, 7);
        assert!(kept.of(slot).eq([7]), "the first one has it again");
    }

    #[test]
    fn what_carries_is_protected_while_it_does_and_is_no_link_of_the_plane() {
        let slot = Slot::LAST;
        let mut kept = Kept::default();
        kept.add(slot, 7);
        kept.follow(|own| own.iter().map(|index| (index + 1, 1)).collect());
        assert!(kept.has(slot, 8) && kept.level(slot, 8) == Some(1) && kept.level(slot, 7).is_none());
        assert!(kept.of(slot).eq([7]) && kept.is_carried(slot, 7) && !kept.is_carried(slot, 8));
        kept.follow(|_| BTreeMap::new());
        assert!(kept.has(slot, 7) && !kept.has(slot, 8));
    }
}
