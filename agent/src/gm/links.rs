//! The links of this router, and which of them a group's interfaces are.

use super::desired::Guarded;
use crate::config::InterfacePattern;
use std::cmp::Reverse;
use xfrm::{Interface, Kept, Slot};

/// The links that there are, and those that planes protect under other names.
#[derive(Clone, Debug, Default)]
pub struct Links {
    there: Vec<Interface>,
    kept: Kept,
}

impl Links {
    /// These, with what planes protect.
    pub fn new(there: Vec<Interface>, kept: Kept) -> Self {
        Links { there, kept }
    }

    /// The link that stands for a plane: a bridge or bond before its ports, one of its name before one that has another name
    /// by now, one that is up before one that is down.
    pub fn of(&self, slot: Slot, interface: &InterfacePattern) -> Option<&Interface> {
        let links = self.there.iter().filter(|link| self.is_of(slot, interface, link));
        let level = |link: &Interface| Reverse(self.kept.level(slot, link.index).unwrap_or(0));
        links.min_by_key(|link| (level(link), !interface.names(&link.name), !link.up))
    }

    fn is_of(&self, slot: Slot, interface: &InterfacePattern, link: &Interface) -> bool {
        interface.names(&link.name) || self.kept.has(slot, link.index)
    }

    /// The VRF of the link of this name; None if there is no such link.
    pub fn vrf_of(&self, name: &str) -> Option<Option<&str>> {
        self.there.iter().find(|link| link.name == name).map(|link| link.vrf.as_deref())
    }

    /// Of the links that were protected for an entry before and those of its name: the indices of those that it means now, and
    /// the names of the others. A whole name means the link that has it, if one has: the others had it while names were
    /// swapped, or belong to an interface that was replaced. Of a pattern every link is meant that ever had such a name.
    pub fn meant(
        &self,
        interface: &InterfacePattern,
        before: impl Iterator<Item = u32>,
    ) -> (Vec<u32>, Vec<String>) {
        let named = || self.there.iter().filter(|link| interface.names(&link.name)).map(|link| link.index);
        let is_meant = |index: &u32| {
            interface.is_pattern() || named().next().is_none() || named().any(|one| one == *index)
        };
        let (mut kept, released): (Vec<_>, Vec<_>) = before.partition(is_meant);
        let new: Vec<_> = named().filter(|index| !kept.contains(index)).collect();
        kept.extend(new);
        let name = |index| self.there.iter().find(|link| link.index == index).map(|link| link.name.clone());
        (kept, released.into_iter().filter_map(name).collect())
    }

    /// Links that are protected under other names than they have, as pairs of the name now and that of the configuration.
    /// Those that only share a wire have addresses of their own.
    pub fn renamed(&self, groups: &[Guarded]) -> Vec<(String, String)> {
        let places = || groups.iter().flat_map(Guarded::places);
        let was = |link: &Interface| {
            let mut places = places().filter(|(_, interface)| !interface.names(&link.name));
            places
                .find(|(slot, _)| {
                    self.kept.has(*slot, link.index) && self.kept.level(*slot, link.index) != Some(0)
                })
                .map(|(_, interface)| interface.to_string())
        };
        self.there.iter().filter_map(|link| Some((link.name.clone(), was(link)?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_found_by_name_and_then_by_what_was_protected() {
        let link = |index, name: &str, up| Interface { index, name: name.into(), up, mtu: 1500, vrf: None };
        let (slot, other) = (Slot::new(0).unwrap(), Slot::new(1).unwrap());
        let mut kept = Kept::default();
        kept.add(slot, 4);
        let links =
            Links::new(vec![link(4, "wanx", true), link(5, "ppp0", false), link(6, "ppp1", true)], kept);
        let of = |slot, text: &str| links.of(slot, &text.parse().unwrap()).map(|link| link.index);
        assert_eq!((of(slot, "wan0"), of(other, "wan0"), of(slot, "wanx")), (Some(4), None, Some(4)));
        assert_eq!((of(other, "ppp*"), of(slot, "ppp0")), (Some(6), Some(5)));
    }

    #[test]
    fn a_start_means_the_link_that_has_the_name() {
        let link = |index, name: &str| Interface { index, name: name.into(), up: true, mtu: 1500, vrf: None };
        let links = Links::new(vec![link(7, "wan0"), link(8, "lan"), link(9, "wan1")], Kept::default());
        let meant = |text: &str, before: &[u32]| links.meant(&text.parse().unwrap(), before.iter().copied());
        assert_eq!(meant("wan0", &[7, 8]), (vec![7], vec!["lan".to_owned()]));
        assert_eq!(meant("wan0", &[8, 5]), (vec![7], vec!["lan".to_owned()]), "5 is gone");
        assert_eq!(meant("wan2", &[8]), (vec![8], vec![]), "it has another name by now");
        assert_eq!(meant("wan*", &[8]), (vec![8, 7, 9], vec![]), "a pattern means all that had such a name");
    }
}
