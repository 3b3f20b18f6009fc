//! The messages of one purpose: bounded by address and in all, in number and octets.

use super::{Message, Name, LIFE, MAX_MESSAGES, MAX_OCTETS};
use crate::endpoint::Instant;
use crate::error::Error;
use crate::phase1::Cookies;
use crate::wire::{Cookie, Fragment};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// The messages, and how many octets of them there are.
#[derive(Debug)]
pub(super) struct Pool {
    messages: BTreeMap<Name, Message>,
    octets: usize,
    /// How many messages were begun.
    begun: u64,
    /// The most of one address.
    messages_of_peer: usize,
    octets_of_peer: usize,
}

impl Pool {
    pub(super) const fn new(messages_of_peer: usize, octets_of_peer: usize) -> Self {
        Pool { messages: BTreeMap::new(), octets: 0, begun: 0, messages_of_peer, octets_of_peer }
    }

    pub(super) fn add(
        &mut self,
        name: Name,
        fragment: &Fragment<'_>,
        now: Instant,
    ) -> Result<Vec<Vec<u8>>, Error> {
        self.expire(now);
        if !self.messages.contains_key(&name) {
            self.make_room(name.peer.ip());
            self.begun += 1;
        }
        let message = self.messages.entry(name).or_insert_with(|| Message::begin(self.begun, now));
        let before = message.octets();
        let result = message.take(fragment);
        self.octets = self.octets + message.octets() - before;
        self.shed(name);
        result
    }

    pub(super) fn expire(&mut self, now: Instant) {
        let is_over = |message: &Message| message.begun + LIFE <= now;
        if self.messages.values().any(is_over) {
            self.messages.retain(|_, message| !is_over(message));
            self.octets = self.messages.values().map(Message::octets).sum();
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.messages.values().map(|message| message.begun + LIFE).min()
    }

    pub(super) fn held(&self) -> (usize, usize) {
        (self.messages.len(), self.octets)
    }

    /// Room for one more message of a peer.
    fn make_room(&mut self, peer: IpAddr) {
        if self.of_peer(peer).count() >= self.messages_of_peer {
            self.evict(self.least(self.of_peer(peer)));
        }
        if self.messages.len() >= MAX_MESSAGES {
            self.evict(self.least(self.of_the_greediest(|_| 1)));
        }
    }

    /// Gives up messages until the octets are in bounds again: of the peer that spoke last where it has too many, else of
    /// the one that has the most. The message that has just grown goes last.
    fn shed(&mut self, grown: Name) {
        let peer = grown.peer.ip();
        while self.of_peer(peer).map(|(_, message)| message.octets()).sum::<usize>() > self.octets_of_peer {
            let others = self.least(self.of_peer(peer).filter(|(name, _)| **name != grown));
            self.evict(others.or(Some(grown)));
        }
        while self.octets > MAX_OCTETS {
            let greediest = self.of_the_greediest(Message::octets);
            let others = self.least(greediest.filter(|(name, _)| **name != grown));
            self.evict(others.or(Some(grown)));
        }
    }

    /// The messages of the peers that have the most.
    fn of_the_greediest(
        &self,
        measure: impl Fn(&Message) -> usize,
    ) -> impl Iterator<Item = (&Name, &Message)> {
        let mut shares: BTreeMap<IpAddr, usize> = BTreeMap::new();
        for (name, message) in &self.messages {
            *shares.entry(name.peer.ip()).or_default() += measure(message);
        }
        let most = shares.values().copied().max().unwrap_or_default();
        self.messages.iter().filter(move |(name, _)| shares.get(&name.peer.ip()) == Some(&most))
    }

    fn of_peer(&self, peer: IpAddr) -> impl Iterator<Item = (&Name, &Message)> {
        let zero = Cookies { initiator: Cookie::ZERO, responder: Cookie::ZERO };
        let first = Name { peer: SocketAddr::new(peer, 0), cookies: zero, id: 0 };
        self.messages.range(first..).take_while(move |(name, _)| name.peer.ip() == peer)
    }

    /// The message that is missed least: one that is whole, then the one of which the fewest fragments have come, since
    /// those of a true one come together; then the oldest.
    fn least<'a>(&self, among: impl Iterator<Item = (&'a Name, &'a Message)>) -> Option<Name> {
        let rank = |message: &Message| (!message.is_whole(), message.progress(), message.number);
        among.min_by_key(|(_, message)| rank(message)).map(|(name, _)| *name)
    }

    fn evict(&mut self, name: Option<Name>) {
        let Some(message) = name.and_then(|name| self.messages.remove(&name)) else { return };
        self.octets -= message.octets();
    }
}
