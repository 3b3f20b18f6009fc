//! Members of which nothing is heard any more. One whose keys have all ended since its last sign of life, a registration or
//! an acknowledgement, has left: it is sent nothing more, and is welcome when it comes again.
//!
//! Where rekey messages go out by multicast, or another server leads, members that are well give this server no sign of life.
//! There nobody is forgotten by time: to multicast they cost nothing, and an operator could not remove who is not listed. They
//! only make room when the list is full.

use super::Group;
use crate::event::KeyServerEvent;
use crate::server::clock::GroupTime;
use crate::server::terms::Transport;
use std::time::Duration;

impl Group {
    /// Forgets who has left.
    pub(super) fn age_members(&mut self, now: GroupTime) {
        let multicast = self.config.rekey.as_ref().is_some_and(|rekey| rekey.transport != Transport::Unicast);
        if !self.leads() && !multicast {
            return;
        }
        self.ledger.set_members_dead_before(now.before(self.longest_silence()));
        if multicast || !self.ledger.members().has_dead() {
            return;
        }
        let members = self.ledger.amend_members().forget_dead();
        self.tell(KeyServerEvent::MembersForgotten { group: self.name(), members });
    }

    /// So long after its last sign of life all keys that a member had then have ended, and those of the next rekey, whose
    /// acknowledgements may have been lost: the members that no rekey reaches register again before.
    fn longest_silence(&self) -> Duration {
        let tek = self.config.tek_lifetime;
        let kek = self.config.rekey.as_ref().map_or(Duration::ZERO, |rekey| rekey.lifetime);
        tek.max(kek) + tek
    }
}
