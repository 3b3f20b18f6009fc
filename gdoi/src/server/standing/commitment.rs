//! New keys: stored, then with all servers that are heard, then with the members. Never the other way round.

use super::Standing;
use crate::coop::{Announcement, Commitment};
use crate::endpoint::Instant;
use crate::server::ledger::Ledger;
use crate::server::state::GroupState;
use std::net::IpAddr;
use std::time::Duration;

/// Nobody is waited for any longer than this.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// How a commitment ended.
pub(in crate::server) struct Committed {
    /// The servers that were not waited for any longer.
    pub(in crate::server) without: Vec<IpAddr>,
}

impl Standing {
    /// The shared state was changed here and is about to be stored: from now on the others are given it.
    pub(in crate::server) fn commit(&mut self, ledger: &Ledger, now: Instant) {
        self.committing.get_or_insert(now);
        let alive: Vec<_> = self.election.alive(now).collect();
        alive.into_iter().for_each(|peer| self.send_states(ledger, peer, now));
        self.compare_all(ledger.state());
    }

    /// The keys here changed, so all others compare differently.
    pub(in crate::server) fn compare_all(&mut self, state: &GroupState) {
        let held = self.held(state);
        for (address, peer) in &self.peers {
            self.election.compare(*address, peer.step(&state.versions, &held));
        }
    }

    /// Members may get the new keys when all that are heard have them; told once.
    pub(in crate::server) fn check_commitment(&mut self, ledger: &Ledger, now: Instant) -> Option<Committed> {
        let without = self.lacking(ledger.state(), now);
        let since = self.committing?;
        let waited = now.saturating_since(since) >= LONGEST_WAIT.max(self.election.rules().patience() * 2);
        if !without.is_empty() && !waited {
            return None;
        }
        self.committing = None;
        self.serve(ledger.state());
        Some(Committed { without })
    }

    /// Says it again to those that do not have them.
    pub(in crate::server) fn press_commitment(&mut self, ledger: &Ledger, now: Instant) {
        if self.committing.is_some() {
            let lacking = self.lacking(ledger.state(), now);
            lacking.into_iter().for_each(|peer| self.send_states(ledger, peer, now));
        }
    }

    /// The servers that are heard and do not have the keys yet.
    fn lacking(&self, state: &GroupState, now: Instant) -> Vec<IpAddr> {
        let lacks =
            |peer: &IpAddr| self.peers.get(peer).is_some_and(|peer| !peer.keys.covers(&state.versions));
        self.election.alive(now).filter(lacks).collect()
    }

    /// A secondary learns that all have the keys that it has.
    pub(in crate::server) fn release_with(
        &mut self,
        primary: IpAddr,
        announcement: &Announcement,
        state: &GroupState,
    ) {
        let follows = self.primary() == Some(primary) && primary != self.own;
        if follows && announcement.commitment == Commitment::Done && announcement.keys == state.versions {
            self.serve(state);
        }
    }

    /// What becomes of an unfinished commitment when this server leads no more: the next primary sees to it.
    pub(in crate::server) fn abandon_commitment(&mut self) {
        self.committing = None;
    }

    /// Members may have these keys. A new primary serves all that it has.
    pub(in crate::server) fn serve(&mut self, state: &GroupState) {
        self.released = state.keys.clone();
        self.released_sids = state.generation();
    }
}
