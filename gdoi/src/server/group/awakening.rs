//! A group whose server was down for a while.

use super::Group;
use crate::endpoint::Instant;
use crate::event::KeyServerEvent;

impl Group {
    /// Says if no key of the state that was stored is left: whoever heard no other server is without keys.
    pub(in crate::server) fn look_back(&mut self, now: Instant) {
        let (time, teks) = (self.ledger.time(now), &self.keys().teks);
        if !teks.is_empty() && teks.iter().all(|tek| tek.expires <= time) {
            self.tell(KeyServerEvent::KeysEndedMeanwhile { group: self.name() });
        }
    }
}
