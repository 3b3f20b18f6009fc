//! Members of which nothing is heard any more. One whose keys have all ended since its last sign of life, a registration or
//! an acknowledgement, has left: it is sent nothing more, and is welcome when it comes again.
//!
//! Where rekey messages go out by multicast, or another server leads, members that are well give this server no sign of life.
//! There nobody is forgotten by time: to multicast they cost nothing, and an operator could not remove who is not listed. They
//! only make room when the list is full.

use super::Group;
use crate::event::KeyServerEvent;
use crate::policy::Spi;
use crate::server::clock::GroupTime;
use crate::server::keys::Keys;
use crate::server::terms::Transport;
use std::collections::BTreeMap;
use std::time::Duration;

/// Since when keys are known that live.
#[derive(Default)]
pub(super) struct Births(BTreeMap<Name, GroupTime>);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    Tek(Spi),
    Kek([u8; 16]),
}

impl Births {
    /// These keys are there now; those that were not there before are from `time`.
    pub(super) fn see(&mut self, keys: &Keys, time: GroupTime) {
        let keks = keys.kek.iter().chain(&keys.previous_keks).map(|kek| Name::Kek(kek.spi));
        let names = keys.teks.iter().map(|tek| Name::Tek(tek.spi)).chain(keks);
        self.0 = names.map(|name| (name, self.0.get(&name).copied().unwrap_or(time))).collect();
    }

    /// Who gave a sign of life before this and none since may have got none of them.
    fn oldest(&self) -> GroupTime {
        self.0.values().copied().min().unwrap_or_default()
    }
}

impl Group {
    /// Forgets who has left.
    pub(super) fn age_members(&mut self, now: GroupTime) {
        let multicast = self.config.rekey.as_ref().is_some_and(|rekey| rekey.transport != Transport::Unicast);
        if !self.leads() && !multicast {
            return;
        }
        self.births.see(&self.ledger.state().keys, now);
        let dead_before = self.births.oldest().min(now.before(self.longest_silence()));
        self.ledger.set_members_dead_before(dead_before);
        if multicast || !self.ledger.members().has_dead() {
            return;
        }
        let members = self.ledger.amend_members().forget_dead();
        self.tell(KeyServerEvent::MembersForgotten { group: self.name(), members });
    }

    /// So long after its last sign of life all keys that a member had then have ended, if the lives of keys were always what
    /// they are now, and those of the next rekey, whose acknowledgements may have been lost: members that no rekey reaches
    /// register again before.
    fn longest_silence(&self) -> Duration {
        let tek = self.config.tek_lifetime;
        let kek = self.config.rekey.as_ref().map_or(Duration::ZERO, |rekey| rekey.lifetime);
        tek.max(kek) + tek
    }
}
