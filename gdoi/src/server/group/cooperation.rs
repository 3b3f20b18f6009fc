//! What a group does with the servers that share it: notices who is silent, releases keys that all have, announces itself.

use super::Group;
use crate::crypto::Random;
use crate::endpoint::Instant;
use crate::error::Error;
use crate::event::CoopEvent;
use std::net::IpAddr;

impl Group {
    /// Does what is due between the servers.
    pub(in crate::server) fn cooperate(
        &mut self,
        random: &mut dyn Random,
        now: Instant,
    ) -> Result<(), Error> {
        if !self.standing.begin_tick(now) {
            return Ok(());
        }
        for peer in self.standing.fallen(now) {
            self.say(CoopEvent::Unreachable(peer));
        }
        // What fails here keeps nobody from hearing that this server is there.
        let turned = self.take_turns(random, now).and(self.finish(random, now));
        self.commit(now);
        self.standing.press_commitment(&self.ledger, now);
        self.check_commitment(now);
        self.standing.announce_if_due(&self.ledger, now);
        turned
    }

    /// Another server is there: it is told at once how this one stands.
    pub(in crate::server) fn greet(&mut self, peer: IpAddr, now: Instant) {
        if self.has_peer(peer) {
            self.standing.announce_to(&self.ledger, peer, now);
        }
    }

    /// A message of this group went to another server.
    pub(in crate::server) fn count_sent(&mut self, to: IpAddr) {
        self.standing.count_sent(to);
    }

    /// Members get the new keys when all that are heard have them.
    pub(super) fn check_commitment(&mut self, now: Instant) {
        let Some(committed) = self.standing.check_commitment(&self.ledger, now) else { return };
        if !committed.without.is_empty() {
            self.say(CoopEvent::NotCommitted(committed.without));
        }
        self.rekeying.release(self.ledger.time(now));
        self.outbox.events.append(&mut self.outbox.committed);
        self.standing.announce(&self.ledger, now);
    }

    /// What becomes of an unfinished commitment when this server leads no more: the next primary sees to it.
    pub(super) fn abandon_commitment(&mut self) {
        self.rekeying.abandon();
        self.outbox.committed.clear();
        self.standing.abandon_commitment();
    }
}
