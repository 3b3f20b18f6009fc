//! Who is talking to the key server: bounded in number, memory and time.
//!
//! ```text
//! first message --- answered by a cookie, nothing is kept (door)
//! third message, with the cookie ---> half-open: those who proved themselves lately | others
//! fifth message, with the proof ----> established
//! ```
//!
//! Each kind has room of its own, so that nobody takes the place of who has shown more. Within a kind an address gives way
//! to itself, a network of IPv6 too, and only who is old enough to have been lost gives way to others.

use super::arrivals::{Arrivals, Ticket};
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
/// Of those who proved themselves lately, and as many of others.
const MAX_HALF_OPEN: usize = 1024;
const MAX_HALF_OPEN_PER_ADDRESS: usize = 8;
const MAX_HALF_OPEN_PER_NETWORK: usize = 64;
const MAX_ESTABLISHED: usize = 16_384;
const MAX_ESTABLISHED_PER_ADDRESS: usize = 4;
const MAX_ESTABLISHED_PER_NETWORK: usize = 1024;
/// How many addresses are remembered that proved themselves.
const MAX_PROVED: usize = 16_384;
/// How old an exchange is at least that gives way to another one of its own address, and to one of others: a message and
/// its repetition may still be on their way.
const YIELDS_TO_ITSELF: Duration = Duration::from_secs(1);
const YIELDS_TO_OTHERS: Duration = Duration::from_secs(4);
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
    place: Place,
}

/// Where a session is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    kind: Kind,
    ticket: Ticket,
}

/// Who comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Newcomer {
    /// A cooperating server.
    Server,
    /// A member, or anybody else.
    Anybody,
}

/// What its peer has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// That it hears us.
    Stranger,
    /// That it hears us; it is a cooperating server, or lately one of its address has proved itself.
    Known,
    /// That it is who it says.
    Established,
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
    strangers: Arrivals<(SessionName, Instant)>,
    known: Arrivals<(SessionName, Instant)>,
    established: Arrivals<(SessionName, Instant)>,
    /// The addresses of peers that have proved themselves.
    proved: Arrivals<()>,
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
        if !session.is_half_open() && session.place.kind != Kind::Established {
            self.leave(session.place);
            self.note_proof(name.peer.ip());
            session.place = self.join_established(name, now);
        }
        self.sessions.insert(name, session);
    }

    /// A session that was taken is over. Its third message, should it come again, begins no other.
    pub(super) fn end(&mut self, name: SessionName, session: &Session, now: Instant) {
        self.leave(session.place);
        self.spent.note(name, now);
    }

    /// Whether an exchange of this name is over, as far as that is remembered.
    pub(super) fn is_over(&self, name: SessionName) -> bool {
        self.spent.has(name)
    }

    /// A session, if it is there, is over.
    pub(super) fn drop_named(&mut self, name: SessionName) {
        if let Some(session) = self.sessions.remove(&name) {
            self.leave(session.place);
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
        let proved = self.proved.of_address(name.peer.ip()) > 0;
        let kind = match newcomer {
            Newcomer::Anybody if !proved => Kind::Stranger,
            Newcomer::Anybody | Newcomer::Server => Kind::Known,
        };
        self.make_room(kind, name.peer.ip(), now)?;
        let place = Place { kind, ticket: self.roll(kind).push(name.peer.ip(), (name, now)) };
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

    /// How many are half-open and how many established.
    pub(super) fn count(&self) -> (usize, usize) {
        (self.strangers.len() + self.known.len(), self.established.len())
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
            self.leave(session.place);
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

    fn roll(&mut self, kind: Kind) -> &mut Arrivals<(SessionName, Instant)> {
        match kind {
            Kind::Stranger => &mut self.strangers,
            Kind::Known => &mut self.known,
            Kind::Established => &mut self.established,
        }
    }

    fn leave(&mut self, place: Place) {
        self.roll(place.kind).remove(place.ticket);
    }

    /// Room for one more half-open session of a peer.
    fn make_room(&mut self, kind: Kind, peer: IpAddr, now: Instant) -> Result<(), Error> {
        let roll = self.roll(kind);
        let crowded = kind == Kind::Stranger && roll.of_network(peer) >= MAX_HALF_OPEN_PER_NETWORK;
        let (first, patience) = if roll.of_address(peer) >= MAX_HALF_OPEN_PER_ADDRESS {
            (roll.oldest_of_address(peer), YIELDS_TO_ITSELF)
        } else if crowded {
            (roll.oldest_of_network(peer), YIELDS_TO_OTHERS)
        } else if roll.len() >= MAX_HALF_OPEN {
            (roll.oldest(), YIELDS_TO_OTHERS)
        } else {
            return Ok(());
        };
        let first = first.and_then(|ticket| roll.get(ticket).copied());
        match first.filter(|(_, since)| now.saturating_since(*since) >= patience) {
            Some((name, _)) => {
                self.drop_named(name);
                Ok(())
            }
            None => Err(Unacceptable::Busy.into()),
        }
    }

    /// The oldest gives way: it has had its keys.
    fn join_established(&mut self, name: SessionName, now: Instant) -> Place {
        let (peer, roll) = (name.peer.ip(), &mut self.established);
        let first = match peer {
            _ if roll.of_address(peer) >= MAX_ESTABLISHED_PER_ADDRESS => roll.oldest_of_address(peer),
            _ if roll.of_network(peer) >= MAX_ESTABLISHED_PER_NETWORK => roll.oldest_of_network(peer),
            _ => roll.oldest().filter(|_| roll.len() >= MAX_ESTABLISHED),
        };
        if let Some((other, _)) = first.and_then(|ticket| roll.get(ticket).copied()) {
            self.drop_named(other);
        }
        let ticket = self.established.push(peer, (name, now));
        Place { kind: Kind::Established, ticket }
    }

    fn note_proof(&mut self, peer: IpAddr) {
        let before = self.proved.oldest_of_address(peer);
        let full = || self.proved.oldest().filter(|_| self.proved.len() >= MAX_PROVED);
        if let Some(ticket) = before.or_else(full) {
            self.proved.remove(ticket);
        }
        self.proved.push(peer, ());
    }
}
