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
/// protected until it is gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept(BTreeMap<Slot, BTreeSet<u32>>);

impl Kept {
    /// The plane protects this link from now on.
    pub fn add(&mut self, slot: Slot, index: u32) {
        self.0.entry(slot).or_default().insert(index);
    }

    /// Whether the plane protects this link.
    pub fn has(&self, slot: Slot, index: u32) -> bool {
        self.0.get(&slot).is_some_and(|indices| indices.contains(&index))
    }

    /// The links of a plane.
    pub fn of(&self, slot: Slot) -> impl Iterator<Item = u32> + '_ {
        self.0.get(&slot).into_iter().flatten().copied()
    }

    /// Only these links are there.
    pub(crate) fn retain(&mut self, there: &BTreeSet<u32>) {
        self.0.values_mut().for_each(|indices| indices.retain(|index| there.contains(index)));
        self.0.retain(|_, indices| !indices.is_empty());
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
}
