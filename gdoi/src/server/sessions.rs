//! Who is talking to the key server: bounded in number, memory and time.

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
const LONGEST_LIFE: Duration = Duration::from_secs(86_400);
const SWEEP: Duration = Duration::from_secs(5);
const MAX_HALF_OPEN: usize = 1024;
const MAX_HALF_OPEN_PER_PEER: usize = 8;
const MAX_ESTABLISHED: usize = 16_384;
const MAX_ESTABLISHED_PER_PEER: usize = 4;
const MAX_PULLS: usize = 16;
const MAX_TURNED_AWAY: usize = 64;

/// Whose a session is, and how its initiator named it: by its cookie (IKEv1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SessionName {
    pub(super) peer: SocketAddr,
    pub(super) initiator: [u8; 8],
}

/// One SA with a peer, from its first message on.
pub(super) struct Session {
    pub(super) exchange: Exchange,
    /// The last message that was answered, and the answer.
    answered: Option<([u8; 32], Vec<u8>)>,
    /// The last message that was refused, and what was said to it.
    refused: Option<([u8; 32], Vec<u8>)>,
    ends: Instant,
}

/// The exchange that a session has come to.
pub(super) enum Exchange {
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
    pub(super) fn half_open(responder: Responder, now: Instant) -> Self {
        Session {
            exchange: Exchange::MainMode(Box::new(responder)),
            answered: None,
            refused: None,
            ends: now + HALF_OPEN_LIFE,
        }
    }

    pub(super) fn establish(&mut self, sa: IsakmpSa, now: Instant) {
        self.ends = now + sa.proposal.lifetime.min(LONGEST_LIFE);
        self.refused = None;
        self.exchange = Exchange::Pull(Box::new(Established { sa, pull: None, begun: Vec::new() }));
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
            Exchange::MainMode(_) => true,
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
    next_sweep: Option<Instant>,
    /// First messages that were refused lately, and what was said to them: their senders repeat them.
    turned_away: VecDeque<([u8; 32], Option<Vec<u8>>)>,
}

impl Sessions {
    pub(super) fn take(&mut self, name: SessionName) -> Option<Session> {
        self.sessions.remove(&name)
    }

    pub(super) fn insert(&mut self, name: SessionName, session: Session) {
        self.sessions.insert(name, session);
    }

    pub(super) fn knows(&self, name: SessionName) -> bool {
        self.sessions.contains_key(&name)
    }

    /// Who they are with; some more than once.
    pub(super) fn peers(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.sessions.keys().map(|name| name.peer.ip())
    }

    /// Ends all with peers that `ended` says, half-open ones, too; they may come again.
    pub(super) fn end(&mut self, ended: impl Fn(IpAddr) -> bool) {
        self.sessions.retain(|name, _| !ended(name.peer.ip()));
        self.turned_away.clear();
    }

    /// Whether this is an SA with a peer that both sides agreed fragments with.
    pub(super) fn talks_in_fragments(&self, peer: SocketAddr, cookies: Cookies) -> bool {
        let name = SessionName { peer, initiator: cookies.initiator.0 };
        match self.sessions.get(&name).map(|session| &session.exchange) {
            Some(Exchange::Pull(established)) => {
                established.sa.fragments && established.sa.cookies == cookies
            }
            Some(Exchange::MainMode(_) | Exchange::Handed) | None => false,
        }
    }

    /// A first message came to nothing.
    pub(super) fn turn_away(&mut self, datagram: &[u8], reply: Option<Vec<u8>>) {
        if self.turned_away.len() == MAX_TURNED_AWAY {
            self.turned_away.pop_front();
        }
        self.turned_away.push_back((fingerprint(datagram), reply));
    }

    /// What was said to this very datagram when it came to nothing before.
    pub(super) fn turned_away(&self, datagram: &[u8]) -> Option<Option<Vec<u8>>> {
        let seen = fingerprint(datagram);
        self.turned_away.iter().find(|(before, _)| *before == seen).map(|(_, reply)| reply.clone())
    }

    /// Makes room for one more half-open session. A peer's own oldest goes first, then anybody's oldest that
    /// never came back: a flood from forged addresses must not keep honest members out for long.
    ///
    /// # Errors
    /// [`Unacceptable::Busy`] with too many established ones.
    pub(super) fn admit(&mut self, peer: SocketAddr) -> Result<(), Error> {
        let of_peer = |ip: &IpAddr| *ip == peer.ip();
        self.evict(Session::is_half_open, of_peer, MAX_HALF_OPEN_PER_PEER);
        self.evict(|session| !session.is_half_open(), of_peer, MAX_ESTABLISHED_PER_PEER);
        self.evict(Session::is_half_open, |_| true, MAX_HALF_OPEN);
        match self.count().1 {
            0..MAX_ESTABLISHED => Ok(()),
            _ => Err(Unacceptable::Busy.into()),
        }
    }

    fn evict(&mut self, kind: impl Fn(&Session) -> bool, whose: impl Fn(&IpAddr) -> bool, most: usize) {
        let matching =
            || self.sessions.iter().filter(|(name, session)| whose(&name.peer.ip()) && kind(session));
        if matching().count() < most {
            return;
        }
        if let Some(oldest) = matching().min_by_key(|(_, session)| session.ends).map(|(name, _)| *name) {
            self.sessions.remove(&oldest);
        }
    }

    /// How many are half-open and how many established.
    pub(super) fn count(&self) -> (usize, usize) {
        let half_open = self.sessions.values().filter(|session| session.is_half_open()).count();
        (half_open, self.sessions.len() - half_open)
    }

    /// Forgets what has ended.
    pub(super) fn sweep(&mut self, now: Instant) {
        if self.next_sweep.is_none_or(|due| due <= now) {
            self.sessions.retain(|_, session| session.ends > now);
            self.next_sweep = Some(now + SWEEP);
        }
    }

    /// When to sweep again.
    pub(super) fn next_sweep(&self) -> Option<Instant> {
        match self.sessions.is_empty() {
            true => None,
            false => Some(self.next_sweep.unwrap_or_default()),
        }
    }
}
