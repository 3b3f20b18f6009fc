//! What routers of the core say of the packets of this one.

use super::{change, DataPlane};
use crate::events::Journal;
use crate::gm::links::Links;
use crate::gm::path_mtu::{planes_of, Sender, TooBig};
use gdoi::endpoint::Instant;
use xfrm::{Desired, Gate};

impl DataPlane {
    /// A router of the core says that a packet was too big; it is believed if the packet can have been ours.
    pub fn learn(&mut self, said: TooBig, now: Instant, journal: &mut Journal) {
        let slots: Vec<_> = planes_of(&self.sending, &said).collect();
        let links = if slots.is_empty() { Links::default() } else { self.links().unwrap_or_default() };
        for slot in slots {
            let places = self.groups.iter().flat_map(|group| group.places().map(move |place| (group, place)));
            let Some((group, (_, interface))) = places.into_iter().find(|(_, (own, _))| *own == slot) else {
                continue;
            };
            let link = links.of(slot, interface);
            if link.is_some_and(|link| self.path_mtus.learn(slot, said, link.mtu, now)) {
                let event = change::path_mtu(interface.as_str(), said);
                journal.record(event.of_group(&group.settings.group.name), now);
                self.mark_changed();
            }
        }
    }
}

/// The states that send, by what is desired.
pub fn sending(wanted: &Desired) -> Vec<Sender> {
    let outbound = |plane: &xfrm::Plane| match &plane.gate {
        Gate::Protect(protection) => {
            protection.outbound.iter().map(|sa| Sender { spi: sa.spi.0, slot: plane.slot }).collect()
        }
        Gate::Closed | Gate::Open => Vec::new(),
    };
    wanted.planes.iter().flat_map(outbound).collect()
}
