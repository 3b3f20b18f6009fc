//! What a server has heard of the others, and how long ago.

use super::claim::{Reign, Step, Word};
use crate::coop::Role;
use crate::endpoint::Instant;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

/// What a peer said last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heard {
    pub(super) word: Word,
    pub(super) step: Step,
    pub(super) at: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    reign: Reign,
    /// When its count last grew; None when the primary itself says that it is over.
    grew: Option<Instant>,
}

/// Peers and reigns. What has not been renewed for longer than the patience is as good as gone.
#[derive(Debug)]
pub(super) struct Others {
    patience: Duration,
    peers: BTreeMap<IpAddr, Heard>,
    reigns: BTreeMap<IpAddr, Known>,
}

impl Others {
    pub(super) const fn new(patience: Duration) -> Self {
        Others { patience, peers: BTreeMap::new(), reigns: BTreeMap::new() }
    }

    /// Forgets all but these.
    pub(super) fn keep(&mut self, peers: &[IpAddr], patience: Duration) {
        self.patience = patience;
        self.peers.retain(|peer, _| peers.contains(peer));
        self.reigns.retain(|peer, _| peers.contains(peer));
    }

    /// Takes in what a peer says.
    pub(super) fn hear(&mut self, peer: IpAddr, word: Word, step: Step, now: Instant) {
        self.peers.insert(peer, Heard { word, step, at: now });
        if let Some(known) = self.reigns.get_mut(&peer).filter(|_| !word.role.leads()) {
            known.grew = None;
        }
        if let Some(reign) = word.reign {
            self.hear_of(reign, now);
        }
    }

    fn hear_of(&mut self, reign: Reign, now: Instant) {
        let newer =
            |known: &Known| (reign.epoch, reign.heartbeat) > (known.reign.epoch, known.reign.heartbeat);
        if self.reigns.get(&reign.primary).is_none_or(newer) {
            self.reigns.insert(reign.primary, Known { reign, grew: Some(now) });
        }
    }

    pub(super) fn compare(&mut self, peer: IpAddr, step: Step) {
        self.peers.entry(peer).and_modify(|heard| heard.step = step);
    }

    pub(super) fn last(&self, peer: IpAddr) -> Option<&Heard> {
        self.peers.get(&peer)
    }

    pub(super) fn is_alive(&self, peer: IpAddr, now: Instant) -> bool {
        self.peers.get(&peer).is_some_and(|heard| self.is_fresh(heard.at, now))
    }

    /// The peers that are alive.
    pub(super) fn heard(&self, now: Instant) -> impl Iterator<Item = (IpAddr, &Heard)> + '_ {
        let alive = self.peers.iter().filter(move |(_, heard)| self.is_fresh(heard.at, now));
        alive.map(|(peer, heard)| (*peer, heard))
    }

    /// Secondaries that are alive and have all keys.
    pub(super) fn in_step(&self, now: Instant) -> impl Iterator<Item = (IpAddr, &Heard)> + '_ {
        self.heard(now).filter(|(_, heard)| heard.step == Step::Same && heard.word.role == Role::Secondary)
    }

    pub(super) fn reign_of(&self, primary: IpAddr) -> Option<Reign> {
        self.reigns.get(&primary).map(|known| known.reign)
    }

    /// The best of the reigns that live.
    pub(super) fn best_reign(&self, now: Instant) -> Option<Reign> {
        let lives = |known: &&Known| known.grew.is_some_and(|grew| self.is_fresh(grew, now));
        let living = self.reigns.values().filter(lives).map(|known| known.reign);
        living.max_by_key(|reign| (reign.priority, reign.primary))
    }

    fn is_fresh(&self, then: Instant, now: Instant) -> bool {
        now.saturating_since(then) < self.patience
    }
}
