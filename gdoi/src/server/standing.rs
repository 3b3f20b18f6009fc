//! How a server stands among those that share a group: whom it hears, who is primary, which keys members may have. A
//! server without others is a cooperation of one: it leads, and what it makes is released at once.

mod commitment;
mod peer;
mod sharing;

use super::clock::GroupTime;
use super::config::GroupConfig;
use super::keys::Keys;
use super::ledger::Ledger;
use super::state::GroupState;
use crate::coop::{
    Announcement, Author, CoopStatus, Election, Lineage, Place, Redundancy, Role, Turn, Versions, Work,
};
use crate::endpoint::Instant;
use crate::error::{Error, Misbehaved, Unacceptable};
use crate::policy::{GroupId, SidGeneration};
pub(super) use sharing::SLICE;

use peer::Peer;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;
use zeroize::Zeroizing;

/// States that servers made apart, held until they are merged; more are not taken.
const MAX_APART: usize = 8;

/// An epoch that grows by more than this at once is a mistake: no group has seen so many, and who believed it could
/// soon count no further.
const EPOCH_LEAP: u64 = 1 << 32;

/// A message for another server.
pub(super) struct Letter {
    pub(super) to: IpAddr,
    pub(super) body: Zeroizing<Vec<u8>>,
}

/// What is new in what a server says of itself.
#[derive(Default)]
pub(super) struct News {
    /// It was not heard before.
    pub(super) appeared: bool,
    /// It has another configuration, which it has not said before.
    pub(super) differs: bool,
}

/// Where a server stands in one group. Times are this server's own, but where said otherwise.
pub(super) struct Standing {
    group: GroupId,
    own: IpAddr,
    election: Election,
    peers: BTreeMap<IpAddr, Peer>,
    configuration: [u8; 16],
    /// The keys that members may have, and the generation of sender IDs that goes with them.
    released: Keys,
    released_sids: SidGeneration,
    /// Since when the others are given keys that no member has yet; the primary only.
    committing: Option<Instant>,
    /// States of servers that were apart from this one.
    apart: Vec<GroupState>,
    outbox: Vec<Letter>,
    next_announcement: Instant,
    next_tick: Instant,
    blocked: u64,
    elections: u64,
}

impl Standing {
    /// That of a server at `own` that has just started.
    pub(super) fn new(config: &GroupConfig, own: IpAddr, now: Instant) -> Self {
        let rules = config.redundancy.as_ref().filter(|rules| !rules.peers.is_empty());
        let peers = rules.iter().flat_map(|rules| &rules.peers);
        Standing {
            group: config.group.id,
            own,
            election: election(own, rules, now),
            peers: peers.map(|peer| (*peer, Peer::default())).collect(),
            configuration: config.fingerprint(own),
            released: Keys::default(),
            released_sids: GroupState::default().generation(),
            committing: None,
            apart: Vec::new(),
            outbox: Vec::new(),
            next_announcement: now,
            next_tick: now,
            blocked: 0,
            elections: 0,
        }
    }

    /// What an earlier life knew.
    pub(super) fn restore(&mut self, ledger: &Ledger) {
        self.election.know(ledger.epoch());
        self.serve(ledger.state());
    }

    /// The configuration was read again.
    pub(super) fn reconfigure(&mut self, config: &GroupConfig, ledger: &Ledger, now: Instant) {
        match &config.redundancy {
            Some(rules) if !self.is_alone() => {
                self.peers.retain(|peer, _| rules.peers.contains(peer));
                for peer in &rules.peers {
                    self.peers.entry(*peer).or_default();
                }
                self.election.set_rules(rules.clone());
                self.configuration = config.fingerprint(self.own);
            }
            None if self.is_alone() => {}
            _ => {
                *self = Standing::new(config, self.own, now);
                self.restore(ledger);
            }
        }
    }

    /// Whether there are no other servers.
    pub(super) fn is_alone(&self) -> bool {
        self.peers.is_empty()
    }

    /// Whether this server makes the keys. One that hands its role over makes none.
    pub(super) fn leads(&self) -> bool {
        self.role() == Role::Primary
    }

    pub(super) fn role(&self) -> Role {
        self.election.role()
    }

    /// Who makes the keys, as far as is known.
    pub(super) const fn primary(&self) -> Option<IpAddr> {
        self.election.primary()
    }

    /// Whether another server makes keys as well.
    pub(super) fn has_rival(&self, now: Instant) -> bool {
        self.election.has_rival(now)
    }

    pub(super) const fn epoch(&self) -> u64 {
        self.election.epoch()
    }

    /// Whether the others are given keys that no member has yet.
    pub(super) const fn is_committing(&self) -> bool {
        self.committing.is_some()
    }

    /// The keys that members may have: all but those that other servers do not have yet.
    pub(super) const fn released(&self) -> &Keys {
        &self.released
    }

    /// Of these, too, those are forgotten that have ended.
    pub(super) fn expire(&mut self, now: GroupTime) {
        self.released.expire(now);
    }

    /// The generation of sender IDs that goes with them.
    pub(super) const fn released_sids(&self) -> SidGeneration {
        self.released_sids
    }

    /// All keys but those that this server goes by.
    pub(super) fn keys(&self) -> impl Iterator<Item = &Keys> {
        self.apart.iter().map(|state| &state.keys).chain([&self.released])
    }

    /// The memories of this server and of those that are heard, in the order of their addresses.
    pub(super) fn authors(&self, own: Author, now: Instant) -> Vec<Author> {
        let heard = self.election.alive(now).filter_map(|peer| Some((peer, self.author_of(peer)?)));
        let servers: BTreeMap<_, _> = heard.chain([(self.own, own)]).collect();
        servers.into_values().collect()
    }

    /// The memory of one of the others.
    pub(super) fn author_of(&self, peer: IpAddr) -> Option<Author> {
        self.peers.get(&peer)?.author
    }

    /// To whom the role is being handed over.
    pub(super) const fn successor(&self) -> Option<IpAddr> {
        self.election.successor()
    }

    /// Under which name members that register here are listed; where there are no other servers under none.
    pub(super) fn owner(&self) -> Option<IpAddr> {
        (!self.is_alone()).then_some(self.own)
    }

    /// Whether the group has another server at this address.
    pub(super) fn has_peer(&self, address: IpAddr) -> bool {
        self.peers.contains_key(&address)
    }

    /// Whether a member may register now: not while nobody knows which keys are the group's.
    pub(super) fn admits(&mut self) -> bool {
        let open = self.primary().is_some() && !self.released.teks.is_empty();
        self.blocked += u64::from(!open);
        open
    }

    /// Whether it is time to see what is due between the servers: nothing is done or said twice in so short a time.
    pub(super) fn begin_tick(&mut self, now: Instant) -> bool {
        let due = !self.is_alone() && now >= self.next_tick;
        if due {
            self.next_tick = now + self.tick();
        }
        due
    }

    /// When [`Standing::begin_tick`] says so.
    pub(super) fn next_tick(&self) -> Option<Instant> {
        (!self.is_alone()).then_some(self.next_tick)
    }

    fn tick(&self) -> Duration {
        self.election.rules().interval / 4
    }

    /// Whether another server has the group, too, and will go on with it.
    pub(super) fn has_company(&self, now: Instant) -> bool {
        self.election.alive(now).next().is_some()
    }

    /// Who is heard no more; told once.
    pub(super) fn fallen(&mut self, now: Instant) -> Vec<IpAddr> {
        let election = &self.election;
        let fallen =
            self.peers.iter_mut().filter(|(peer, state)| state.heard && !election.is_alive(**peer, now));
        fallen.map(|(peer, state)| (*peer, state.heard = false).0).collect()
    }

    /// Lets the election decide; to be asked again until it has nothing more to say.
    pub(super) fn judge(&mut self, work: Work, now: Instant) -> Option<Turn> {
        let work = if self.committing.is_some() { Work::Busy } else { work };
        let turn = self.election.judge(work, now);
        self.elections += u64::from(matches!(turn, Some(Turn::Leaderless { .. })));
        turn
    }

    /// Whether there is somebody to take the role of the primary.
    pub(super) fn has_successor(&self, now: Instant) -> bool {
        self.election.has_successor(now)
    }

    /// Gives the role away on an operator's word; whether there is somebody to take it.
    pub(super) fn resign(&mut self, now: Instant) -> bool {
        self.election.resign(now)
    }

    /// # Errors
    /// [`Misbehaved::EpochLeap`].
    pub(super) fn check_epoch(&self, announcement: &Announcement) -> Result<(), Error> {
        let reign = announcement.word.reign.map_or(0, |reign| reign.epoch);
        let claimed = announcement.word.epoch.max(reign);
        match claimed > self.epoch().saturating_add(EPOCH_LEAP) {
            true => Err(Misbehaved::EpochLeap(claimed).into()),
            false => Ok(()),
        }
    }

    /// Whether nothing is known that a peer said of itself later; from now on this is known.
    pub(super) fn is_latest(&mut self, from: IpAddr, place: Place) -> bool {
        self.peers.get_mut(&from).is_some_and(|peer| peer.is_latest(place))
    }

    /// Remembers what a peer says of itself; what is new in it.
    pub(super) fn take_word(
        &mut self,
        from: IpAddr,
        announcement: &Announcement,
        state: &GroupState,
        now: Instant,
    ) -> News {
        let held = self.held(state);
        let Some(peer) = self.peers.get_mut(&from) else { return News::default() };
        let before = peer.take(announcement);
        let step = peer.step(&state.versions, &held);
        let appeared = !std::mem::replace(&mut peer.heard, true);
        self.election.hear(from, announcement.word, step, now);
        let differs = announcement.configuration != self.configuration;
        News { appeared, differs: differs && before != Some(announcement.configuration) }
    }

    /// Counts a message that went to a peer.
    pub(super) fn count_sent(&mut self, to: IpAddr) {
        if let Some(peer) = self.peers.get_mut(&to) {
            peer.sent += 1;
        }
    }

    /// Counts a message of a peer by what became of it.
    pub(super) fn count(&mut self, from: IpAddr, heard: &Result<(), Error>) {
        match (heard, self.peers.get_mut(&from)) {
            (Ok(()), Some(peer)) => peer.received += 1,
            (Err(reason), Some(peer)) => peer.refuse(reason),
            (_, None) => {}
        }
    }

    /// One message of another time is a mistake. Where nothing else comes for long, the time here is wrong: whether that
    /// is so.
    pub(super) fn has_lost_time(&mut self, from: IpAddr, now: Instant) -> bool {
        let patience = self.election.rules().patience();
        let Some(peer) = self.peers.get_mut(&from) else { return false };
        let lasts = peer.untimely_for(patience, now) >= patience * 2;
        lasts && self.election.alive(now).next().is_none()
    }

    /// Listens anew who is there, as after a start.
    pub(super) fn start_again(&mut self, now: Instant) {
        self.election.start_again(now);
        self.peers.values_mut().for_each(Peer::forgive);
    }

    /// Whether there are states that were made apart from this server's.
    pub(super) fn has_apart(&self) -> bool {
        !self.apart.is_empty()
    }

    /// They are to be merged.
    pub(super) fn take_apart(&mut self) -> Vec<GroupState> {
        std::mem::take(&mut self.apart)
    }

    /// Whether all that is in a state is held here.
    pub(super) fn holds(&self, own: &GroupState, state: &GroupState) -> bool {
        let known = |held: &GroupState| held.lineage.is_some() && held.versions.covers(&state.versions);
        std::iter::once(own).chain(&self.apart).any(known)
    }

    /// Forgets states of which all is in this one.
    pub(super) fn forget_covered(&mut self, state: &GroupState) {
        self.apart.retain(|apart| !state.versions.covers(&apart.versions));
    }

    /// Puts a state that was made apart beside this server's.
    ///
    /// # Errors
    /// [`Unacceptable::Busy`].
    pub(super) fn keep_apart(&mut self, state: GroupState) -> Result<(), Error> {
        if self.apart.len() >= MAX_APART {
            return Err(Unacceptable::Busy.into());
        }
        self.apart.push(state);
        Ok(())
    }

    /// All changes in the states that are held.
    pub(super) fn held(&self, own: &GroupState) -> Versions {
        let mut held = own.versions.clone();
        self.apart.iter().for_each(|apart| held.join(&apart.versions));
        held
    }

    /// None where there are no other servers; `time` is the group's.
    pub(super) fn status(
        &self,
        lineage: Option<Lineage>,
        time: GroupTime,
        now: Instant,
    ) -> Option<CoopStatus> {
        let peer = |(address, peer): (&IpAddr, &Peer)| {
            let configured_alike = peer.configuration == Some(self.configuration);
            peer.status(*address, &self.election, configured_alike, now)
        };
        (!self.is_alone()).then(|| CoopStatus {
            role: self.role(),
            primary: self.primary(),
            epoch: self.epoch(),
            lineage: lineage.map(|Lineage(octets)| octets),
            redundancy: self.election.rules().clone(),
            resigned: self.election.resigned(),
            pseudotime: time.as_millis(),
            configuration: self.configuration,
            committing: self.committing.is_some(),
            blocked: self.blocked,
            elections: self.elections,
            peers: self.peers.iter().map(peer).collect(),
        })
    }
}

fn election(own: IpAddr, rules: Option<&Redundancy>, now: Instant) -> Election {
    match rules {
        Some(rules) => Election::new(own, rules.clone(), now),
        None => Election::alone(own),
    }
}
