//! New keys: stored, then with all servers that are heard, then with the members. Never the other way round.

use super::*;

/// Nobody is waited for any longer than this.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

impl Group {
    /// The shared state was changed here and is about to be stored: from now on the others are given it.
    pub(in crate::server) fn commit(&mut self, author: crate::coop::Author, now: Instant) {
        self.state_changed = false;
        let terms = self.config.terms();
        let Some(coop) = &mut self.coop else { return };
        self.state.versions.bump(author);
        self.state.terms = Some(terms);
        coop.committing.get_or_insert(now);
        let alive: Vec<_> = coop.election.alive(now).collect();
        alive.into_iter().for_each(|peer| self.send_states(peer, now));
        self.compare_all();
        self.check_commitment(now);
    }

    /// The keys here changed, so all others compare differently.
    pub(super) fn compare_all(&mut self) {
        let Some(coop) = &mut self.coop else { return };
        let held = coop.held(&self.state);
        for (address, peer) in &coop.peers {
            coop.election.compare(*address, peer.step(&self.state.versions, &held));
        }
    }

    /// Members get the new keys when all that are heard have them.
    pub(super) fn check_commitment(&mut self, now: Instant) {
        let lacking = self.lacking(now);
        let Some(coop) = &self.coop else { return };
        let Some(since) = coop.committing else { return };
        let waited = now.saturating_since(since) >= LONGEST_WAIT.max(coop.election.rules().patience() * 2);
        if !lacking.is_empty() && !waited {
            return;
        }
        if !lacking.is_empty() {
            self.say(CoopEvent::NotCommitted(lacking));
        }
        self.release(now);
        self.announce(now);
    }

    fn release(&mut self, now: Instant) {
        let time = self.clock.time(now);
        if let Some(coop) = &mut self.coop {
            coop.committing = None;
            coop.serve(&self.state);
        }
        self.distribution.iter_mut().for_each(|distribution| distribution.release(time));
    }

    /// A secondary learns that all have the keys that it has.
    pub(super) fn release_with(&mut self, primary: IpAddr, announcement: &Announcement) {
        let Some(coop) = &mut self.coop else { return };
        let follows = coop.election.primary() == Some(primary) && primary != coop.own;
        if follows && announcement.commitment == Commitment::Done && announcement.keys == self.state.versions
        {
            coop.serve(&self.state);
        }
    }

    /// The servers that are heard and do not have the keys yet.
    fn lacking(&self, now: Instant) -> Vec<IpAddr> {
        let Some(coop) = &self.coop else { return Vec::new() };
        let lacks =
            |peer: &IpAddr| coop.peers.get(peer).is_some_and(|peer| !peer.keys.covers(&self.state.versions));
        coop.election.alive(now).filter(lacks).collect()
    }

    /// Says it again to those that do not have them.
    pub(super) fn press_commitment(&mut self, now: Instant) {
        if self.coop.as_ref().is_some_and(|coop| coop.committing.is_some()) {
            self.lacking(now).into_iter().for_each(|peer| self.send_states(peer, now));
            self.check_commitment(now);
        }
    }

    /// What becomes of an unfinished commitment when this server leads no more: the next primary sees to it.
    pub(super) fn abandon_commitment(&mut self) {
        self.distribution = None;
        self.coop.iter_mut().for_each(|coop| coop.committing = None);
    }

    /// A new primary serves all that it has.
    pub(super) fn release_all(&mut self) {
        if let Some(coop) = &mut self.coop {
            coop.serve(&self.state);
        }
    }
}
