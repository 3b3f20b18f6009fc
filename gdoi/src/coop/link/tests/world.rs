//! Servers with links to each other in virtual time, and the network between them.

use super::super::*;
use crate::crypto::{Error as CryptoError, Secret};
use crate::phase1::{Responder, ResponderStep, Settings};
use crate::policy::Doi;
use crate::wire::{Cookie, ExchangeType};
use std::net::Ipv4Addr;
use std::time::Duration;

pub(super) const DELAY: Duration = Duration::from_millis(5);

/// SplitMix64.
pub(super) struct Chance(pub(super) u64);

impl Random for Chance {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), CryptoError> {
        for octet in out {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            *octet = (mixed >> 56) as u8;
        }
        Ok(())
    }
}

/// What a server noticed.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Event {
    Received(Vec<u8>),
    Up,
    Down(Error),
    Failed(Error),
    Rejected(Error),
}

/// A server: its links, and the table of the phase 1 exchanges that others begin.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) links: Links,
    pub(super) identity: Identity,
    pub(super) random: Chance,
    sessions: BTreeMap<Cookie, Session>,
    pub(super) log: Vec<(Instant, Event)>,
}

struct Session {
    responder: Option<Responder>,
    answered: (Vec<u8>, Vec<u8>),
}

pub(super) fn address(last: u8) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)), 848)
}

pub(super) fn entry(last: u8, psk: &[u8]) -> CoopPeer {
    CoopPeer { address: address(last), credential: Credential::PreSharedKey(Secret::from(psk)) }
}

pub(super) fn proposal(life: Duration) -> Proposal {
    Proposal { lifetime: life, ..Proposal::default() }
}

impl Server {
    pub(super) fn new(own: u8, proposal: Proposal, peers: Vec<CoopPeer>, now: Instant) -> Self {
        let (address, identity) = (address(own), Identity::Address(address(own).ip()));
        let settings = LinkSettings { own: address, identity: identity.clone(), proposals: vec![proposal] };
        let random = Chance(u64::from(own) + now.as_millis());
        let (links, sessions) = (Links::new(settings, peers, now), BTreeMap::new());
        Server { address, links, identity, random, sessions, log: Vec::new() }
    }

    /// What a key server does with a datagram that is not its links'.
    fn respond(&mut self, from: SocketAddr, bytes: &[u8], now: Instant) -> Option<Vec<u8>> {
        let (header, body) = Header::parse(bytes).ok()?;
        if header.exchange != ExchangeType::IDENTITY_PROTECTION {
            return None;
        }
        let Some(session) = self.sessions.get_mut(&header.initiator) else {
            let settings = Settings {
                credential: self.links.credential(from.ip())?.clone(),
                identity: self.identity.clone(),
                proposals: self.links.settings.proposals.clone(),
                doi: Doi::Gdoi,
            };
            let (responder, reply) = Responder::start(settings, &header, body, &mut self.random).ok()?;
            let session = Session { responder: Some(responder), answered: (bytes.to_vec(), reply.clone()) };
            self.sessions.insert(header.initiator, session);
            return Some(reply);
        };
        if session.answered.0 == bytes {
            return Some(session.answered.1.clone());
        }
        match session.responder.as_ref()?.step(&header, body, &mut self.random).ok()? {
            ResponderStep::Next(next, reply) => {
                *session = Session { responder: Some(next), answered: (bytes.to_vec(), reply.clone()) };
                Some(reply)
            }
            ResponderStep::Established(sa, reply) => {
                *session = Session { responder: None, answered: (bytes.to_vec(), reply.clone()) };
                self.links.established(from.ip(), sa, &mut self.random, now);
                Some(reply)
            }
        }
    }

    fn handle_datagram(&mut self, from: SocketAddr, bytes: &[u8], now: Instant) -> Vec<Transmit> {
        let Ok((header, body)) = Header::parse(bytes) else { return Vec::new() };
        if self.links.owns(from, &header) {
            self.links.handle_datagram(from, &header, body, &mut self.random, now);
            return self.flush(now);
        }
        let reply = self.respond(from, bytes, now).map(|payload| Transmit { to: from, payload });
        reply.into_iter().chain(self.flush(now)).collect()
    }

    /// Logs what happened; what is to send.
    fn flush(&mut self, now: Instant) -> Vec<Transmit> {
        let mut transmits = Vec::new();
        while let Some(output) = self.links.poll() {
            let event = match output {
                LinkOutput::Transmit(transmit) => {
                    transmits.push(transmit);
                    continue;
                }
                LinkOutput::Received { body, .. } => Event::Received(body.to_vec()),
                LinkOutput::Up { .. } => Event::Up,
                LinkOutput::Down { reason, .. } => Event::Down(reason),
                LinkOutput::Failed { reason, .. } => Event::Failed(reason),
                LinkOutput::Rejected { reason, .. } => Event::Rejected(reason),
            };
            self.log.push((now, event));
        }
        transmits
    }

    pub(super) fn status(&self, peer: u8) -> LinkStatus {
        let peer = address(peer).ip();
        self.links.status().into_iter().find(|status| status.peer == peer).unwrap()
    }

    pub(super) fn channels(&self, peer: u8) -> &[channel::Channel] {
        &self.links.links[&address(peer).ip()].channels
    }

    pub(super) fn count(&self, wanted: impl Fn(&Event) -> bool) -> usize {
        self.log.iter().filter(|(_, event)| wanted(event)).count()
    }

    pub(super) fn received(&self) -> Vec<Vec<u8>> {
        let bodies = self.log.iter().filter_map(|(_, event)| match event {
            Event::Received(body) => Some(body.clone()),
            _ => None,
        });
        bodies.collect()
    }

    /// When it noticed the first such thing.
    pub(super) fn when(&self, wanted: &Event) -> Option<Instant> {
        self.log.iter().find(|(_, event)| event == wanted).map(|(time, _)| *time)
    }
}

/// A datagram under way.
#[derive(Clone, Debug)]
pub(super) struct Flight {
    pub(super) at: Instant,
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) payload: Vec<u8>,
}

/// What becomes of a datagram, given how many were sent before: how it arrives, or nothing if it is lost.
pub(super) type Route = dyn Fn(usize, Flight) -> Option<Flight>;

/// All servers and the network.
pub(super) struct World {
    pub(super) now: Instant,
    pub(super) servers: Vec<Server>,
    pub(super) flights: Vec<Flight>,
    /// All that was ever sent.
    pub(super) sent: Vec<Flight>,
    pub(super) route: Box<Route>,
}

impl World {
    pub(super) fn new(servers: Vec<Server>) -> Self {
        let (flights, sent, route) = (Vec::new(), Vec::new(), Box::new(|_, flight| Some(flight)));
        World { now: START, servers, flights, sent, route }
    }

    /// Two servers, 1 and 2, with the same key and the same life of an SA.
    pub(super) fn pair(life: Duration) -> Self {
        let server = |own, peer| Server::new(own, proposal(life), vec![entry(peer, b"secret")], START);
        World::new(vec![server(1, 2), server(2, 1)])
    }

    pub(super) fn server(&mut self, last: u8) -> &mut Server {
        self.servers.iter_mut().find(|server| server.address == address(last)).unwrap()
    }

    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..1_000_000 {
            match self.next() {
                Some(next) if next <= end => self.now = self.now.max(next),
                _ => {
                    self.now = end;
                    return;
                }
            }
            self.deliver();
            self.tick();
        }
        panic!("time stands still");
    }

    fn next(&self) -> Option<Instant> {
        let timeouts = self.servers.iter().filter_map(|server| server.links.next_timeout());
        timeouts.chain(self.flights.iter().map(|flight| flight.at)).min()
    }

    fn deliver(&mut self) {
        let now = self.now;
        let (due, later) = self.flights.drain(..).partition(|flight| flight.at <= now);
        self.flights = later;
        for Flight { from, to, payload, .. } in due {
            self.inject(from, to, &payload);
        }
    }

    /// A datagram arrives.
    pub(super) fn inject(&mut self, from: SocketAddr, to: SocketAddr, payload: &[u8]) {
        let now = self.now;
        let found = self.servers.iter_mut().find(|server| server.address == to);
        if let Some(server) = found {
            let transmits = server.handle_datagram(from, payload, now);
            self.send(to, transmits);
        }
    }

    fn tick(&mut self) {
        for index in 0..self.servers.len() {
            let (now, server) = (self.now, &mut self.servers[index]);
            if server.links.next_timeout().is_some_and(|due| due <= now) {
                server.links.handle_timeout(&mut server.random, now);
                let (from, transmits) = (server.address, server.flush(now));
                self.send(from, transmits);
            }
        }
    }

    pub(super) fn send(&mut self, from: SocketAddr, transmits: Vec<Transmit>) {
        for Transmit { to, payload } in transmits {
            let flight = Flight { at: self.now + DELAY, from, to, payload };
            self.flights.extend((self.route)(self.sent.len(), flight.clone()));
            self.sent.push(flight);
        }
    }

    /// A server sends a body.
    pub(super) fn say(&mut self, from: u8, to: u8, body: &[u8]) -> bool {
        let now = self.now;
        let server = self.server(from);
        let said = server.links.send(address(to).ip(), body, &mut server.random);
        let (from, transmits) = (server.address, server.flush(now));
        self.send(from, transmits);
        said
    }

    /// Calls a server's links, and sends what comes of it.
    pub(super) fn with(&mut self, last: u8, act: impl FnOnce(&mut Links, &mut Chance, Instant)) {
        let now = self.now;
        let server = self.server(last);
        act(&mut server.links, &mut server.random, now);
        let (from, transmits) = (server.address, server.flush(now));
        self.send(from, transmits);
    }
}

pub(super) const START: Instant = Instant::from_millis(1_000_000);
