//! Fragments on their way to a whole message.

use super::{is_fragment, Piece};
use crate::endpoint::Instant;
use crate::error::{Error, Malformed, Misbehaved};
use crate::phase1::Cookies;
use crate::wire::{Fragment, PayloadType, Position, MAX_MESSAGE};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// How long after its first fragment a message is given up. Fragments are sent together; longer than they can be apart.
pub const LIFE: Duration = Duration::from_secs(5);
/// The most messages of one address.
pub const MAX_PER_PEER: usize = 8;
/// The most messages in all.
pub const MAX_MESSAGES: usize = 64;
/// The most octets of fragments in all.
pub const MAX_OCTETS: usize = 2 * 1024 * 1024;

/// The messages of which some fragments have come.
#[derive(Debug, Default)]
pub struct Reassembly {
    messages: BTreeMap<Name, Message>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Name {
    peer: SocketAddr,
    cookies: Cookies,
    id: u16,
}

/// One of them. Once it is whole its name is kept for the rest of its time, so that duplicates begin no other.
#[derive(Debug)]
struct Message {
    begun: Instant,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Gathering(Parts),
    Whole,
}

#[derive(Debug, Default)]
struct Parts {
    /// The number of the last fragment, once it has come.
    last: Option<u8>,
    octets: usize,
    parts: BTreeMap<u8, Vec<u8>>,
}

impl Reassembly {
    /// Takes in a fragment; the message, if this was all that lacked.
    ///
    /// # Errors
    /// The fragment contradicts others, makes the message too long, or completes a message that is itself a fragment.
    pub fn add(
        &mut self,
        peer: SocketAddr,
        piece: &Piece<'_>,
        now: Instant,
    ) -> Result<Option<Vec<u8>>, Error> {
        self.expire(now);
        let name = Name { peer, cookies: Cookies::of(&piece.header), id: piece.fragment.id };
        self.make_room(&name, piece.fragment.data.len());
        let fresh = || Message { begun: now, stage: Stage::Gathering(Parts::default()) };
        let message = self.messages.entry(name).or_insert_with(fresh);
        let Stage::Gathering(parts) = &mut message.stage else { return Ok(None) };
        parts.take(&piece.fragment)?;
        let Some(whole) = parts.joined() else { return Ok(None) };
        message.stage = Stage::Whole;
        match is_fragment(&whole) {
            true => Err(Misbehaved::UnexpectedPayload(PayloadType::FRAGMENT).into()),
            false => Ok(Some(whole)),
        }
    }

    /// Gives up what has not become whole in time.
    pub fn expire(&mut self, now: Instant) {
        self.messages.retain(|_, message| message.begun + LIFE > now);
    }

    /// When [`Reassembly::expire`] has something to do.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.messages.values().map(|message| message.begun + LIFE).min()
    }

    /// How many messages there are, and how many octets of them.
    pub fn held(&self) -> (usize, usize) {
        (self.messages.len(), self.messages.values().map(Message::octets).sum())
    }

    fn make_room(&mut self, name: &Name, octets: usize) {
        let of_peer = self.messages.keys().filter(|other| other.peer.ip() == name.peer.ip()).count();
        let another = usize::from(!self.messages.contains_key(name));
        if of_peer + another > MAX_PER_PEER {
            self.evict(name.peer.ip());
        }
        while self.exceeds(another, octets) {
            let Some(greediest) = self.greediest() else { return };
            self.evict(greediest);
        }
    }

    fn exceeds(&self, messages: usize, octets: usize) -> bool {
        let held = self.held();
        held.0 + messages > MAX_MESSAGES || held.1 + octets > MAX_OCTETS
    }

    /// Whose messages take the most room.
    fn greediest(&self) -> Option<IpAddr> {
        let mut shares: BTreeMap<IpAddr, (usize, usize)> = BTreeMap::new();
        for (name, message) in &self.messages {
            let share = shares.entry(name.peer.ip()).or_default();
            *share = (share.0 + message.octets(), share.1 + 1);
        }
        shares.into_iter().max_by_key(|(_, share)| *share).map(|(peer, _)| peer)
    }

    /// Forgets one message of a peer: one that is whole rather than one that is not, and then the oldest.
    fn evict(&mut self, peer: IpAddr) {
        let of_peer = self.messages.iter().filter(|(name, _)| name.peer.ip() == peer);
        let rank = |message: &Message| (matches!(message.stage, Stage::Gathering(_)), message.begun);
        let first = of_peer.min_by_key(|(_, message)| rank(message)).map(|(name, _)| *name);
        first.and_then(|name| self.messages.remove(&name));
    }
}

impl Message {
    const fn octets(&self) -> usize {
        match &self.stage {
            Stage::Gathering(parts) => parts.octets,
            Stage::Whole => 0,
        }
    }
}

impl Parts {
    /// On an error nothing has changed.
    fn take(&mut self, fragment: &Fragment<'_>) -> Result<(), Error> {
        if !self.suits(fragment) {
            return Err(Misbehaved::Fragment.into());
        }
        if self.parts.contains_key(&fragment.number) {
            return Ok(());
        }
        let octets = self.octets + fragment.data.len();
        if octets > MAX_MESSAGE {
            return Err(Malformed::Length("message in fragments").into());
        }
        self.octets = octets;
        self.parts.insert(fragment.number, fragment.data.to_vec());
        if fragment.position == Position::Last {
            self.last = Some(fragment.number);
        }
        Ok(())
    }

    /// Whether the fragment says nothing else than those that came before.
    fn suits(&self, fragment: &Fragment<'_>) -> bool {
        let Fragment { number, position, data, .. } = *fragment;
        let highest = self.parts.keys().next_back().copied().unwrap_or_default();
        let in_place = match (position, self.last) {
            (Position::Last, Some(last)) => number == last,
            (Position::Last, None) => number > highest,
            (Position::Before, last) => last.is_none_or(|last| number < last),
        };
        in_place && self.parts.get(&number).is_none_or(|known| known == data)
    }

    /// The message, if nothing lacks.
    fn joined(&self) -> Option<Vec<u8>> {
        let complete = self.last.is_some_and(|last| self.parts.len() == usize::from(last));
        complete.then(|| self.parts.values().flatten().copied().collect())
    }
}
