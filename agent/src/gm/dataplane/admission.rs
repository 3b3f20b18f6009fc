//! Senders that are heard for the first time: their packets wait in the kernel until the daemon says what becomes of
//! them.

use super::DataPlane;
use crate::events::{Event, Journal, Severity};
use crate::gm::desired::newcomer;
use gdoi::endpoint::Instant;
use gdoi::policy::Spi;
use gdoi::{Esn, Sa, SenderSa, View};
use xfrm::{Slot, Unknown};

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// It goes on; the kernel can decrypt it now.
    Accept,
    /// It is dropped.
    Drop,
}

/// A sender that has proved by its packet who it is.
struct Met<'a> {
    sa: &'a Sa,
    sender: SenderSa,
    /// The packet's sequence number.
    sequence: u64,
}

impl DataPlane {
    /// Lets the kernel receive from the sender of this packet, if one of the group has sent it: whoever can only send
    /// packets, and not make them, leaves no trace.
    pub fn meet(&mut self, packet: &Unknown, views: &[View], now: Instant, journal: &mut Journal) -> Word {
        let view = self.view_of(packet.slot, views);
        let Some(met) = view.and_then(|view| identify(view, packet)) else { return Word::Drop };
        match self.admit(packet, &met, now, journal) {
            Ok(()) => Word::Accept,
            Err(reason) => {
                tracing::warn!("a sender is not received from: {reason}");
                Word::Drop
            }
        }
    }

    fn view_of<'a>(&self, slot: Slot, views: &'a [View]) -> Option<&'a View> {
        let mut planes = self.groups.iter().zip(views);
        let found = planes.find(|(group, _)| group.detached.is_none() && group.slots.contains(&slot));
        found.map(|(_, view)| view)
    }

    fn admit(
        &mut self,
        packet: &Unknown,
        met: &Met<'_>,
        now: Instant,
        journal: &mut Journal,
    ) -> Result<(), String> {
        let state = newcomer(met.sa, &met.sender, packet.family, met.sequence, now)?;
        let admitted = self.senders.admit(packet.slot, packet.family, met.sa.spi, met.sender.clone());
        if admitted.is_err() {
            self.tell_of_crowd(now, journal);
            return Err("there are too many".into());
        }
        self.kernel.admit(packet.slot, &state).map_err(|error| error.to_string())
    }

    fn tell_of_crowd(&mut self, now: Instant, journal: &mut Journal) {
        if !std::mem::replace(&mut self.crowded, true) {
            let message = "More senders than can be received from use one key: a member that poses as many, or a group \
                           that is too large; the packets of more are dropped";
            journal.record(Event::new(Severity::Error, "GM_TOO_MANY_SENDERS", message), now);
        }
    }
}

/// Whose packet it is, if it is authentic.
fn identify<'a>(view: &'a View, packet: &Unknown) -> Option<Met<'a>> {
    let spi = Spi(packet.spi.0);
    let (sa, sid) = view.inbound.iter().find_map(|sa| Some((sa, sa.sid_of(spi)?)))?;
    let sender = sa.sender(sid)?;
    let esn = if sa.replay_window == 0 { Esn::Short } else { Esn::Extended };
    let high = sender.authenticate(&packet.esp, esn)?;
    let low = packet.esp.get(4..8)?.first_chunk().copied().map(u32::from_be_bytes)?;
    Some(Met { sa, sender, sequence: u64::from(high) << 32 | u64::from(low) })
}
