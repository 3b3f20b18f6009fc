//! Senders that are heard for the first time: their packets wait in the kernel until the daemon says what becomes of
//! them.

use super::DataPlane;
use crate::events::{Event, Journal, Severity};
use crate::gm::desired::newcomer;
use gdoi::endpoint::Instant;
use gdoi::{Esn, Sa, SenderSa, View};
use std::collections::BTreeMap;
use xfrm::{Admission, Family, Slot, Spi, Unknown};

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// It goes on; the kernel can decrypt it now.
    Accept,
    /// It is dropped.
    Drop,
}

/// A sender that has proved by its packet who it is.
struct Met {
    sa: Sa,
    sender: SenderSa,
    /// The packet's sequence number.
    sequence: u64,
}

/// A sender as the kernel tells it from others.
pub type Place = (Slot, Family, Spi);

impl DataPlane {
    /// Lets the kernel receive from the senders of these packets, as far as members of the group have sent them: whoever
    /// can only send packets, and not make them, leaves no trace. Answers a word for each packet.
    pub fn meet(&mut self, packets: &[Unknown], now: Instant, journal: &mut Journal) -> Vec<Word> {
        let newcomers = self.newcomers(packets, now, journal);
        self.admit(newcomers);
        let word = |packet| if self.admitted.contains(&place(packet)) { Word::Accept } else { Word::Drop };
        packets.iter().map(word).collect()
    }

    /// Of senders that were admitted a moment ago more packets may wait: what the kernel can decrypt it judges itself.
    fn newcomers(
        &mut self,
        packets: &[Unknown],
        now: Instant,
        journal: &mut Journal,
    ) -> BTreeMap<Place, xfrm::Sa> {
        let mut newcomers = BTreeMap::new();
        for packet in packets {
            let place = place(packet);
            if self.admitted.contains(&place) || newcomers.contains_key(&place) {
                continue;
            }
            let view = self.view_of(packet.slot);
            let Some(met) = view.and_then(|view| identify(view, packet)) else { continue };
            match self.get_to_know(packet, met, now, journal) {
                Ok(state) => drop(newcomers.insert(place, state)),
                Err(reason) => tracing::warn!("a sender is not received from: {reason}"),
            }
        }
        newcomers
    }

    fn view_of(&self, slot: Slot) -> Option<&View> {
        let found = self.needs().find(|(group, _)| group.detached.is_none() && group.slots.contains(&slot));
        found.map(|(_, view)| view)
    }

    fn get_to_know(
        &mut self,
        packet: &Unknown,
        met: Met,
        now: Instant,
        journal: &mut Journal,
    ) -> Result<xfrm::Sa, String> {
        let state = newcomer(&met.sa, &met.sender, packet.family, met.sequence, now);
        let admitted = self.senders.admit(packet.slot, packet.family, met.sa.spi, met.sender);
        if admitted.is_err() {
            self.tell_of_crowd(now, journal);
            return Err("there are too many".into());
        }
        Ok(state)
    }

    fn admit(&mut self, newcomers: BTreeMap<Place, xfrm::Sa>) {
        let mut planes = BTreeMap::<Slot, Vec<xfrm::Sa>>::new();
        for ((slot, ..), state) in newcomers {
            planes.entry(slot).or_default().push(state);
        }
        for (slot, states) in planes {
            let Admission { received, refused } = self.kernel.admit(slot, &states);
            refused.iter().for_each(|error| tracing::warn!("a sender is not received from: {error}"));
            self.admitted.extend(received.into_iter().map(|(family, spi)| (slot, family, spi)));
        }
    }

    fn tell_of_crowd(&mut self, now: Instant, journal: &mut Journal) {
        if !std::mem::replace(&mut self.crowded, true) {
            let message = "More senders than can be received from use one key: a member that poses as many, or a group \
                           that is too large; the packets of more are dropped";
            journal.record(Event::new(Severity::Error, "GM_TOO_MANY_SENDERS", message), now);
        }
    }
}

fn place(packet: &Unknown) -> Place {
    (packet.slot, packet.family, packet.spi)
}

/// Whose packet it is, if it is authentic.
fn identify(view: &View, packet: &Unknown) -> Option<Met> {
    let (sa, sid) = view.inbound.iter().find_map(|sa| Some((sa, sa.sid_of(packet.spi)?)))?;
    let sender = sa.sender(sid)?;
    let esn = if sa.replay_window == 0 { Esn::Short } else { Esn::Extended };
    let high = sender.authenticate(&packet.esp, esn)?;
    let low = packet.esp.get(4..8)?.first_chunk().copied().map(u32::from_be_bytes)?;
    Some(Met { sa: sa.clone(), sender, sequence: u64::from(high) << 32 | u64::from(low) })
}
