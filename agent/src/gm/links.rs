//! The links of this router, and which of them a group's interfaces are.

use super::desired::Guarded;
use crate::config::InterfacePattern;
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

    /// The link that stands for a plane: one of its name before one that has another name by now, one that is up before one
    /// that is down.
    pub fn of(&self, slot: Slot, interface: &InterfacePattern) -> Option<&Interface> {
        let links = self.there.iter().filter(|link| self.is_of(slot, interface, link));
        links.min_by_key(|link| (!interface.names(&link.name), !link.up))
    }

    fn is_of(&self, slot: Slot, interface: &InterfacePattern, link: &Interface) -> bool {
        interface.names(&link.name) || self.kept.has(slot, link.index)
    }

    /// The VRF of the link of this name; None if there is no such link.
    pub fn vrf_of(&self, name: &str) -> Option<Option<&str>> {
        self.there.iter().find(|link| link.name == name).map(|link| link.vrf.as_deref())
    }

    /// Links that are protected under other names than they have, as pairs of the name now and that of the configuration.
    pub fn renamed(&self, groups: &[Guarded]) -> Vec<(String, String)> {
        let places = || groups.iter().flat_map(Guarded::places);
        let was = |link: &Interface| {
            let mut places = places().filter(|(_, interface)| !interface.names(&link.name));
            places
                .find(|(slot, _)| self.kept.has(*slot, link.index))
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
}
