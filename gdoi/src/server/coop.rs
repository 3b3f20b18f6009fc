//! What a group does with the servers that share it: tells them how it stands, gives them what they lack, takes what
//! it lacks, and becomes primary or secondary.

mod commit;
mod merge;
mod peer;
mod receive;
mod turn;

use super::config::GroupConfig;
use super::group::Group;
use super::keys::Keys;
use super::record::write_state;
use super::state::GroupState;
use crate::coop::{
    write_head, Announcement, Commitment, CoopStatus, Election, Kind, Lineage, Redundancy, Slice, Turn,
    Versions, Work,
};
use crate::crypto::Random;
use crate::endpoint::Instant;
use crate::error::{Error, Malformed};
use crate::event::{CoopEvent, KeyServerEvent};
use crate::policy::SidGeneration;
use crate::wire::Writer;
use peer::Peer;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;
use zeroize::Zeroizing;

/// States that servers made apart, held until they are merged; more are not taken.
const MAX_APART: usize = 8;

/// A message for another server.
pub(super) struct Letter {
    pub(super) to: IpAddr,
    pub(super) body: Zeroizing<Vec<u8>>,
}

/// Cooperation in one group. Times are this server's own, but where said otherwise.
pub(super) struct Coop {
    own: IpAddr,
    election: Election,
    peers: BTreeMap<IpAddr, Peer>,
    configuration: [u8; 16],
    /// The keys that members may have, and the generation of sender IDs that goes with them.
    released: Keys,
    released_sids: SidGeneration,
    /// Whether this server does not know which sender IDs it gave out in an earlier life.
    forgetful: bool,
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

impl Coop {
    pub(super) fn new(
        config: &GroupConfig,
        own: IpAddr,
        rules: Redundancy,
        epoch: u64,
        now: Instant,
    ) -> Self {
        let peers = rules.peers.iter().map(|peer| (*peer, Peer::default())).collect();
        Coop {
            own,
            election: Election::new(own, rules, epoch, now),
            peers,
            configuration: config.fingerprint(own),
            released: Keys::default(),
            released_sids: GroupState::default().generation(),
            forgetful: true,
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
    pub(super) fn restore(&mut self, epoch: u64, state: &GroupState) {
        self.election.know(epoch);
        self.forgetful = false;
        self.serve(state);
    }

    /// Members may have these keys.
    fn serve(&mut self, state: &GroupState) {
        self.released = state.keys.clone();
        self.released_sids = state.generation();
    }

    /// Whether this server makes the keys. One that hands its role over makes none.
    pub(super) fn leads(&self) -> bool {
        self.election.role() == crate::coop::Role::Primary
    }

    pub(super) const fn released(&self) -> &Keys {
        &self.released
    }

    /// All keys but those that this server goes by.
    pub(super) fn keys(&self) -> impl Iterator<Item = &Keys> {
        self.apart.iter().map(|state| &state.keys).chain([&self.released])
    }

    pub(super) const fn epoch(&self) -> u64 {
        self.election.epoch()
    }

    /// This server's place among all of the group by address: what is divided among them goes by it.
    pub(super) fn place(&self) -> usize {
        let servers: BTreeSet<_> = self.election.rules().peers.iter().copied().chain([self.own]).collect();
        servers.iter().position(|server| *server == self.own).unwrap_or_default()
    }

    pub(super) const fn served_sids(&self) -> SidGeneration {
        self.released_sids
    }

    /// Whether what an earlier life gave out must be left out; asked once.
    pub(super) fn recollects(&mut self) -> bool {
        std::mem::take(&mut self.forgetful)
    }

    /// Which sequence numbers are this server's: those that leave this remainder when divided by that number.
    pub(super) fn slot(&self) -> (u32, u32) {
        (self.place() as u32, crate::coop::MAX_SERVERS as u32)
    }

    /// Whether the group has another server at this address.
    pub(super) fn has_peer(&self, address: IpAddr) -> bool {
        self.peers.contains_key(&address)
    }

    /// The configuration was read again.
    pub(super) fn reconfigure(&mut self, config: &GroupConfig, rules: &Redundancy) {
        self.peers.retain(|peer, _| rules.peers.contains(peer));
        for peer in &rules.peers {
            self.peers.entry(*peer).or_default();
        }
        self.election.set_rules(rules.clone());
        self.configuration = config.fingerprint(self.own);
    }

    pub(super) fn take_letters(&mut self) -> Vec<Letter> {
        std::mem::take(&mut self.outbox)
    }

    /// Nothing is done or said twice in so short a time.
    fn tick(&self) -> Duration {
        self.election.rules().interval / 4
    }

    pub(super) const fn next_tick(&self) -> Instant {
        self.next_tick
    }

    /// `time` is the group's.
    pub(super) fn status(&self, lineage: Option<Lineage>, time: Instant, now: Instant) -> CoopStatus {
        let peers = self.peers.iter();
        CoopStatus {
            role: self.election.role(),
            primary: self.election.primary(),
            epoch: self.election.epoch(),
            lineage: lineage.map(|Lineage(octets)| octets),
            redundancy: self.election.rules().clone(),
            resigned: self.election.resigned(),
            pseudotime: time.as_millis(),
            configuration: self.configuration,
            committing: self.committing.is_some(),
            blocked: self.blocked,
            elections: self.elections,
            peers: peers.map(|(address, peer)| peer.status(*address, self, now)).collect(),
        }
    }

    /// All changes in the states that are held.
    fn held(&self, state: &GroupState) -> Versions {
        let mut held = state.versions.clone();
        self.apart.iter().for_each(|apart| held.join(&apart.versions));
        held
    }
}

impl Group {
    /// The servers that share the group.
    pub(super) fn peers(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.config.redundancy.iter().flat_map(|rules| rules.peers.iter().copied())
    }

    pub(super) fn say(&mut self, event: CoopEvent) {
        let group = Some(self.name());
        self.events.push(KeyServerEvent::Coop { group, event });
    }

    /// Does what is due between the servers; `now` is this server's time.
    pub(super) fn cooperate(&mut self, random: &mut dyn Random, now: Instant) -> Result<(), Error> {
        let Some(coop) = &mut self.coop else { return Ok(()) };
        if now < coop.next_tick {
            return Ok(());
        }
        coop.next_tick = now + coop.tick();
        self.notice_silence(now);
        self.take_turns(random, now)?;
        self.finish(random, now)?;
        self.press_commitment(now);
        self.announce_if_due(now);
        Ok(())
    }

    fn notice_silence(&mut self, now: Instant) {
        let Some(coop) = &mut self.coop else { return };
        let election = &coop.election;
        let fallen =
            coop.peers.iter_mut().filter(|(peer, state)| state.heard && !election.is_alive(**peer, now));
        let fallen: Vec<_> = fallen.map(|(peer, state)| (*peer, state.heard = false).0).collect();
        fallen.into_iter().for_each(|peer| self.say(CoopEvent::Unreachable(peer)));
    }

    fn announce_if_due(&mut self, now: Instant) {
        let Some(coop) = &mut self.coop else { return };
        if now >= coop.next_announcement {
            coop.next_announcement = now + coop.election.rules().interval;
            coop.election.beat();
            self.announce(now);
        }
    }

    /// Tells all others how this server stands.
    pub(super) fn announce(&mut self, now: Instant) {
        let Some(coop) = &self.coop else { return };
        let peers: Vec<_> = coop.peers.keys().copied().collect();
        let body = self.announcement(coop, now).emit(self.name().id);
        peers.into_iter().for_each(|to| self.post(to, body.clone()));
    }

    /// Another server is there: it is told at once how this one stands.
    pub(super) fn greet(&mut self, peer: IpAddr, now: Instant) {
        if self.coop.as_ref().is_some_and(|coop| coop.has_peer(peer)) {
            self.announce_to(peer, now);
        }
    }

    /// Tells one.
    fn announce_to(&mut self, to: IpAddr, now: Instant) {
        let Some(coop) = &self.coop else { return };
        let body = self.announcement(coop, now).emit(self.name().id);
        self.post(to, body);
    }

    /// What cannot be written is not sent, as what is too long for a link: the next announcement says again what lacks.
    fn post(&mut self, to: IpAddr, body: Result<Zeroizing<Vec<u8>>, Malformed>) {
        if let (Some(coop), Ok(body)) = (&mut self.coop, body) {
            coop.outbox.push(Letter { to, body });
        }
    }

    fn announcement(&self, coop: &Coop, now: Instant) -> Announcement {
        Announcement {
            lineage: self.state.lineage,
            pseudotime: self.clock.time(now).as_millis(),
            word: coop.election.word(now),
            commitment: if coop.committing.is_some() { Commitment::Pending } else { Commitment::Done },
            members: self.members.records().count() as u32,
            configuration: coop.configuration,
            sids: self.sids.clone(),
            keys: self.state.versions.clone(),
            held: coop.held(&self.state),
            listed: self.members.seen().clone(),
        }
    }

    /// Gives a server all states that are held here.
    fn send_states(&mut self, to: IpAddr, now: Instant) {
        let Some(coop) = &mut self.coop else { return };
        let (held, pause) = (coop.held(&self.state), coop.tick());
        let Some(peer) = coop.peers.get_mut(&to) else { return };
        if !Peer::may_give(&mut peer.given_states, &held, pause, now) {
            return;
        }
        let Some(coop) = &self.coop else { return };
        let states = std::iter::once(&self.state).chain(&coop.apart).filter(|state| state.lineage.is_some());
        let bodies: Vec<_> = states.map(|state| self.state_message(state, now)).collect();
        bodies.into_iter().for_each(|body| self.post(to, body));
    }

    fn state_message(&self, state: &GroupState, now: Instant) -> Result<Zeroizing<Vec<u8>>, Malformed> {
        Writer::secret(16_384, |out| {
            write_head(out, Kind::State, self.name().id);
            out.raw(&Lineage::octets(self.state.lineage));
            out.u64(self.clock.time(now).as_millis());
            write_state(out, state);
        })
    }

    /// The answer to a member while nobody knows which keys are the group's.
    pub(super) fn is_blocked(&mut self, member: std::net::SocketAddr) -> bool {
        let Some(coop) = &mut self.coop else { return false };
        let open = coop.election.primary().is_some() && !coop.released.teks.is_empty();
        if !open {
            coop.blocked += 1;
            self.say(CoopEvent::RegistrationBlocked(member));
        }
        !open
    }

    /// Gives the role away on an operator's word; whether there is somebody to take it.
    pub(super) fn resign(&mut self, now: Instant) -> bool {
        let resigned = self.coop.as_mut().is_some_and(|coop| coop.election.resign(now));
        if resigned {
            self.announce(now);
        }
        resigned
    }
}
