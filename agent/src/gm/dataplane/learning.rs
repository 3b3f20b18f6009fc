//! What routers of the core say of the packets of this one.

use super::{change, DataPlane};
use crate::events::Journal;
use crate::gm::desired::Guarded;
use crate::gm::links::Links;
use crate::gm::path_mtu::{needed, planes_of, Sender, TooBig};
use gdoi::endpoint::Instant;
use xfrm::{Desired, Family, Gate};

impl DataPlane {
    /// A router of the core says that a packet was too big; it is believed if the packet can have been ours.
    pub fn learn(&mut self, said: TooBig, now: Instant, journal: &mut Journal) {
        let senders: Vec<_> = planes_of(&self.sending, &said).collect();
        let links = if senders.is_empty() { Links::default() } else { self.links().unwrap_or_default() };
        for Sender { slot, needs, .. } in senders {
            let places = self.groups.iter().flat_map(|group| group.places().map(move |place| (group, place)));
            let Some((group, (_, interface))) = places.into_iter().find(|(_, (own, _))| *own == slot) else {
                continue;
            };
            let link = links.of(slot, interface);
            if link.is_some_and(|link| self.path_mtus.learn(slot, said, link.mtu, now)) {
                let event = change::path_mtu(interface.as_str(), said, needs);
                journal.record(event.of_group(&group.settings.group.name), now);
                self.mark_changed();
            }
        }
    }

    /// What cannot carry IPv6 as hosts are used to, one line each: links, or what the core behind them was found to carry.
    pub(super) fn short_paths(&self, now: Instant) -> Vec<String> {
        let places = self.groups.iter().flat_map(Guarded::places);
        let short = |(slot, interface)| {
            let link = self.links.of(slot, interface)?;
            let needs = self.sending.iter().filter(|one| one.slot == slot && one.family == Family::V6);
            let needs = needs.map(|one| one.needs).max()?;
            let found = self.path_mtus.of(slot, Family::V6, now).unwrap_or(link.mtu).min(link.mtu);
            (found < needs).then(|| change::short_path(&link.name, found, needs))
        };
        let mut lines: Vec<_> = places.filter_map(short).collect();
        lines.dedup();
        lines
    }
}

/// The states that send, by what is desired.
pub fn sending(wanted: &Desired) -> Vec<Sender> {
    let outbound = |plane: &xfrm::Plane| match &plane.gate {
        Gate::Protect(protection) => protection
            .outbound
            .iter()
            .map(|sa| Sender { spi: sa.spi.0, slot: plane.slot, family: sa.family, needs: needed(sa) })
            .collect(),
        Gate::Closed | Gate::Open => Vec::new(),
    };
    wanted.planes.iter().flat_map(outbound).collect()
}
