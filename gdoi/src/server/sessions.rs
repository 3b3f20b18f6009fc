//! Who is talking to the key server: bounded in number, memory and time.
//!
//! A first message makes none: it is answered by a cookie (`door`). Who brings that back has one in the room (`rooms`) for
//! what its peer has shown.

use super::rooms::{Newcomer, Place, Rooms};
use super::session_name::SessionName;
use super::spent::Spent;
use crate::crypto::prf::digest;
use crate::crypto::Hash;
use crate::endpoint::Instant;
use crate::error::{Error, Misbehaved, Unacceptable};
use crate::phase1::{Cookies, IsakmpSa, Responder};
use crate::policy::GroupId;
use crate::pull::AwaitProof;
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

const HALF_OPEN_LIFE: Duration = Duration::from_secs(30);
/// How long an SA waits for a PULL, or for one more: longer than a member repeats a message. Rekey messages need no SA.
const IDLE_LIFE: Duration = Duration::from_secs(30);
const SWEEP: Duration = Duration::from_secs(5);
const MAX_PULLS: usize = 16;
const MAX_TURNED_AWAY: usize = 64;

/// One SA with a peer, from its first message on.
pub(super) struct Session {
    pub(super) exchange: Exchange,
    /// The last message that was answered, and the answer.
    answered: Option<([u8; 32], Vec<u8>)>,
    /// The last message that was refused, and what was said to it.
    refused: Option<([u8; 32], Vec<u8>)>,
    ends: Instant,
    place: Place,
}

/// The exchange that a session has come to.
pub(super) enum Exchange {
    /// Main Mode (IKEv1), whose third message waits for its turn.
    Waiting(Box<Responder>),
    /// Main Mode (IKEv1), not finished.
    MainMode(Box<Responder>),
    /// What goes on under the SA that Main Mode left.
    Pull(Box<Established>),
    /// None any more: the SA is with a cooperating server, and the link's. What is left here answers a repeated last message.
    Handed,
}

/// An ISAKMP SA and the PULL under way.
pub(super) struct Established {
    pub(super) sa: IsakmpSa,
    /// The PULL that waits for its third message, and its group.
    pub(super) pull: Option<(AwaitProof, GroupId)>,
    /// The message IDs seen: none begins twice.
    begun: Vec<u32>,
}

impl Established {
    /// A PULL begins under a fresh message ID.
    ///
    /// # Errors
    /// A message ID that was used, or too many of them.
    pub(super) fn begin(&mut self, message_id: u32) -> Result<(), Error> {
        if self.begun.contains(&message_id) {
            return Err(Misbehaved::UnknownExchange.into());
        }
        if self.begun.len() == MAX_PULLS {
            return Err(Unacceptable::Busy.into());
        }
        self.begun.push(message_id);
        Ok(())
    }
}

impl Session {
    pub(super) fn establish(&mut self, sa: IsakmpSa, now: Instant) {
        self.refused = None;
        self.exchange = Exchange::Pull(Box::new(Established { sa, pull: None, begun: Vec::new() }));
        self.live_on(now);
    }

    /// An SA was of use.
    pub(super) fn live_on(&mut self, now: Instant) {
        if let Exchange::Pull(established) = &self.exchange {
            self.ends = now + established.sa.proposal.lifetime.min(IDLE_LIFE);
        }
    }

    /// The SA goes to somebody else.
    pub(super) fn hand_over(&mut self) {
        self.exchange = Exchange::Handed;
    }

    /// What was said to this very datagram before.
    pub(super) fn repeated(&self, datagram: &[u8]) -> Option<Vec<u8>> {
        let seen = fingerprint(datagram);
        let known = [&self.answered, &self.refused].into_iter().flatten().find(|(before, _)| *before == seen);
        known.map(|(_, reply)| reply.clone())
    }

    pub(super) fn remember(&mut self, datagram: &[u8], reply: Vec<u8>) {
        self.answered = Some((fingerprint(datagram), reply));
    }

    /// A refusal does not displace the answer, which an honest peer may still ask for.
    pub(super) fn remember_refusal(&mut self, datagram: &[u8], reply: Vec<u8>) {
        self.refused = Some((fingerprint(datagram), reply));
    }

    const fn is_half_open(&self) -> bool {
        match &self.exchange {
            Exchange::Waiting(_) | Exchange::MainMode(_) => true,
            Exchange::Pull(_) | Exchange::Handed => false,
        }
    }
}

fn fingerprint(datagram: &[u8]) -> [u8; 32] {
    digest(Hash::Sha256, &[datagram]).try_into().unwrap_or_default()
}

/// All sessions.
#[derive(Default)]
pub(super) struct Sessions {
    sessions: BTreeMap<SessionName, Session>,
    rooms: Rooms,
    spent: Spent,
    next_sweep: Option<Instant>,
    /// First messages that were refused lately, and what was said to them: their senders repeat them.
    turned_away: VecDeque<(SocketAddr, [u8; 32], Option<Vec<u8>>)>,
}

impl Sessions {
    /// Whoever takes one puts it back, or has it end.
    pub(super) fn take(&mut self, name: SessionName) -> Option<Session> {
        self.sessions.remove(&name)
    }

    pub(super) fn put_back(&mut self, name: SessionName, mut session: Session, now: Instant) {
        if !session.is_half_open() && !session.place.is_established() {
            let (place, other) = self.rooms.establish(name, session.place, now);
            session.place = place;
            other.and_then(|other| self.sessions.remove(&other));
        }
        self.sessions.insert(name, session);
    }

    /// A session that was taken is over. Its third message, should it come again, begins no other.
    pub(super) fn end(&mut self, name: SessionName, session: &Session, now: Instant) {
        self.rooms.leave(session.place);
        self.spent.note(name, now);
    }

    /// Whether an exchange of this name is over, as far as that is remembered.
    pub(super) fn is_over(&self, name: SessionName) -> bool {
        self.spent.has(name)
    }

    /// A session, if it is there, is over.
    pub(super) fn drop_named(&mut self, name: SessionName) {
        if let Some(session) = self.sessions.remove(&name) {
            self.rooms.leave(session.place);
        }
    }

    /// A session for a peer that came back, whose third message waits.
    ///
    /// # Errors
    /// [`Unacceptable::Busy`]: its address, its network or all together have too many that are too young to give way.
    pub(super) fn admit(
        &mut self,
        name: SessionName,
        newcomer: Newcomer,
        responder: Responder,
        now: Instant,
    ) -> Result<(), Error> {
        let (place, other) = self.rooms.admit(name, newcomer, now)?;
        other.and_then(|other| self.sessions.remove(&other));
        let exchange = Exchange::Waiting(Box::new(responder));
        let ends = now + HALF_OPEN_LIFE;
        let session = Session { exchange, answered: None, refused: None, ends, place };
        self.sessions.insert(name, session);
        Ok(())
    }

    pub(super) fn knows(&self, name: SessionName) -> bool {
        self.sessions.contains_key(&name)
    }

    /// Who they are with; some more than once.
    pub(super) fn peers(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.sessions.keys().map(|name| name.peer.ip())
    }

    /// Ends all with peers that `ended` says, half-open ones, too; they may come again.
    pub(super) fn end_all_with(&mut self, ended: impl Fn(IpAddr) -> bool) {
        let over: Vec<_> = self.sessions.keys().filter(|name| ended(name.peer.ip())).copied().collect();
        over.into_iter().for_each(|name| self.drop_named(name));
        self.turned_away.clear();
    }

    /// Whether this is an SA with a peer that both sides agreed fragments with.
    pub(super) fn talks_in_fragments(&self, peer: SocketAddr, cookies: Cookies) -> bool {
        let name = SessionName { peer, initiator: cookies.initiator.0 };
        match self.sessions.get(&name).map(|session| &session.exchange) {
            Some(Exchange::Pull(established)) => {
                established.sa.fragments && established.sa.cookies == cookies
            }
            Some(Exchange::Waiting(_) | Exchange::MainMode(_) | Exchange::Handed) | None => false,
        }
    }

    /// A first message came to nothing.
    pub(super) fn turn_away(&mut self, peer: SocketAddr, datagram: &[u8], reply: Option<Vec<u8>>) {
        if self.turned_away.len() == MAX_TURNED_AWAY {
            self.turned_away.pop_front();
        }
        self.turned_away.push_back((peer, fingerprint(datagram), reply));
    }

    /// What was said to this very datagram when it came to nothing before.
    pub(super) fn turned_away(&self, peer: SocketAddr, datagram: &[u8]) -> Option<Option<Vec<u8>>> {
        if self.turned_away.is_empty() {
            return None;
        }
        let seen = fingerprint(datagram);
        let known = self.turned_away.iter().find(|(whose, before, _)| *whose == peer && *before == seen);
        known.map(|(_, _, reply)| reply.clone())
    }

    /// How many are half-open and how many established, without those that are a link's.
    pub(super) fn count(&self) -> (usize, usize) {
        let (half_open, established) = self.rooms.count();
        let handed = self.sessions.values().filter(|session| matches!(session.exchange, Exchange::Handed));
        (half_open, established.saturating_sub(handed.count()))
    }

    /// Forgets what has ended; the SAs of it, so that their peers can be told.
    pub(super) fn sweep(&mut self, now: Instant) -> Vec<(SocketAddr, IsakmpSa)> {
        if self.next_sweep.is_some_and(|due| due > now) {
            return Vec::new();
        }
        self.next_sweep = Some(now + SWEEP);
        self.spent.forget(now);
        let ended = self.sessions.iter().filter(|(_, session)| session.ends <= now);
        let ended: Vec<_> = ended.map(|(name, _)| *name).collect();
        let over = ended.into_iter().filter_map(|name| {
            let session = self.sessions.remove(&name)?;
            self.end(name, &session, now);
            match session.exchange {
                Exchange::Pull(established) => Some((name.peer, established.sa)),
                Exchange::Waiting(_) | Exchange::MainMode(_) | Exchange::Handed => None,
            }
        });
        over.collect()
    }

    /// When to sweep again.
    pub(super) fn next_sweep(&self) -> Option<Instant> {
        match self.sessions.is_empty() {
            true => None,
            false => Some(self.next_sweep.unwrap_or_default()),
        }
    }
}
