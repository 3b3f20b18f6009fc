//! Who comes to the key server for the first time: a first message is answered and forgotten, and the exchange begins with
//! the third, which brings back what the answer said.

use super::config::CredentialEntry;
use super::credentials::Credentials;
use super::hint::clear_notify;
use super::offers::Offers;
use super::public_keys::{PublicKeys, Task, Turn};
use super::rooms::Newcomer;
use super::session_name::SessionName;
use super::sessions::Exchange;
use super::KeyServer;
use crate::crypto::{Random, Secret};
use crate::endpoint::Instant;
use crate::error::{Error, Malformed, Misbehaved, Unacceptable};
use crate::event::KeyServerEvent;
use crate::phase1::{AntiClogging, Cookies, Named, OfferName, Opening, Responder, Settings};
use crate::policy::{Doi, Proposal};
use crate::wire::{Cookie, ExchangeType, Header, NotifyType};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// The longest third message, octets: that of the largest group with the longest nonce is half as long.
const MAX_THIRD: usize = 2_048;

/// What the door of a key server knows.
pub(super) struct Door {
    cookies: AntiClogging,
    pub(super) credentials: Arc<Credentials>,
    offers: Offers,
    pub(super) public_keys: PublicKeys,
}

impl Door {
    pub(super) fn new(entries: &[CredentialEntry], random: &mut dyn Random) -> Result<Self, Error> {
        let secret: Secret = random.secret(32)?;
        let cookies = AntiClogging::new(secret);
        let (credentials, offers) = (Arc::new(Credentials::of(entries)), Offers::default());
        Ok(Door { cookies, credentials, offers, public_keys: PublicKeys::default() })
    }

    /// Other credentials count from now on.
    pub(super) fn read(&mut self, entries: &[CredentialEntry]) {
        self.credentials = Arc::new(Credentials::of(entries));
    }

    /// The second message.
    fn answer(
        &mut self,
        peer: SocketAddr,
        opening: &Opening,
        accepted: &[Proposal],
        now: Instant,
    ) -> Result<Vec<u8>, Error> {
        let name = OfferName::of(opening.offer(), &opening.sai_b, accepted);
        let name =
            name.unwrap_or_else(|| OfferName::Remembered(self.offers.remember(peer.ip(), &opening.sai_b)));
        opening.answer(self.cookies.cookie(peer, opening, name, now))
    }

    /// The first message that was answered with this cookie.
    fn recall(
        &self,
        peer: SocketAddr,
        cookies: Cookies,
        accepted: &[Proposal],
        now: Instant,
    ) -> Option<Opening> {
        let Named { offer, announced } = Named::by(cookies.responder)?;
        let sai_b = match offer {
            OfferName::Remembered(place) => self.offers.at(place)?.to_vec(),
            named => named.body(accepted)?,
        };
        let opening = Opening::of(accepted, cookies.initiator, &sai_b, announced).ok()?;
        self.cookies.knows(peer, cookies, &opening, offer, now).then_some(opening)
    }

    /// A peer that offered this has proved itself.
    pub(super) fn prove(&mut self, peer: IpAddr, responder: &Responder) {
        self.offers.prove(peer, responder.offered());
    }
}

impl KeyServer {
    /// A first message, whose sender may be anybody.
    pub(super) fn open(
        &mut self,
        from: SocketAddr,
        header: &Header,
        body: &[u8],
        datagram: &[u8],
        now: Instant,
    ) {
        if let Some(reply) = self.sessions.turned_away(from, datagram) {
            return reply.into_iter().for_each(|reply| self.transmit(from, reply));
        }
        match self.answer_first(from, header, body, now) {
            Ok(reply) => self.transmit(from, reply),
            Err(reason @ Error::Unacceptable(_)) => {
                let no_proposal = reason == Unacceptable::NoProposal.into();
                let (cookies, kind) = (Cookies::of(header), NotifyType::NO_PROPOSAL_CHOSEN);
                let random = self.random.as_mut();
                let notify = || clear_notify(cookies, kind, random);
                let reply = no_proposal.then(notify).flatten();
                self.sessions.turn_away(from, datagram, reply.clone());
                reply.into_iter().for_each(|reply| self.transmit(from, reply));
                self.complain(KeyServerEvent::Phase1Failed { peer: from, reason }, now);
            }
            Err(reason) => self.refuse_stranger(from, reason, now),
        }
    }

    /// Nothing is said to it; operators hear what may be their mistake by its name.
    fn refuse_stranger(&mut self, from: SocketAddr, reason: Error, now: Instant) {
        let event = match reason {
            Error::Unacceptable(_) => KeyServerEvent::Phase1Failed { peer: from, reason },
            _ => KeyServerEvent::Rejected { from, reason },
        };
        self.complain(event, now);
    }

    fn answer_first(
        &mut self,
        from: SocketAddr,
        header: &Header,
        body: &[u8],
        now: Instant,
    ) -> Result<Vec<u8>, Error> {
        if !self.has_credential(from.ip()) {
            return Err(Unacceptable::NoKey.into());
        }
        let opening = Opening::parse(&self.config.proposals, header, body)?;
        self.door.answer(from, &opening, &self.config.proposals, now)
    }

    /// A message without a session: the third of a phase 1, or nothing of ours.
    pub(super) fn come_back(
        &mut self,
        name: SessionName,
        header: &Header,
        body: &[u8],
        datagram: &[u8],
        now: Instant,
    ) {
        let from = name.peer;
        match self.welcome(name, header, body, datagram, now) {
            Ok(Turn::Now(task)) => self.exchange_keys(task, now),
            Ok(Turn::Later(displaced)) => {
                displaced.into_iter().for_each(|name| self.sessions.drop_named(name))
            }
            Ok(Turn::Never(name)) => {
                self.sessions.drop_named(name);
                self.refuse_stranger(from, Unacceptable::Busy.into(), now);
            }
            Err(reason) => self.refuse_stranger(from, reason, now),
        }
    }

    /// Looks at all of it that costs no public-key work.
    fn welcome(
        &mut self,
        name: SessionName,
        header: &Header,
        body: &[u8],
        datagram: &[u8],
        now: Instant,
    ) -> Result<Turn, Error> {
        match header.exchange {
            ExchangeType::IDENTITY_PROTECTION => {}
            // Under an SA that this server has forgotten.
            ExchangeType::GROUPKEY_PULL | ExchangeType::INFORMATIONAL | ExchangeType::COOP => {
                return Err(Misbehaved::UnknownExchange.into())
            }
            other => return Err(Misbehaved::UnsupportedExchange(other).into()),
        }
        if self.sessions.is_over(name) {
            return Err(Misbehaved::UnknownExchange.into());
        }
        let (peer, cookies) = (name.peer, Cookies::of(header));
        let opening = self.door.recall(peer, cookies, &self.config.proposals, now);
        let opening = opening.ok_or(Misbehaved::UnknownExchange)?;
        if datagram.len() > MAX_THIRD {
            return Err(Malformed::Length("third message").into());
        }
        let cost = opening.group().cost();
        let responder = Responder::answered(self.settings(peer)?, cookies.responder, opening);
        responder.check(header, body)?;
        if !self.door.public_keys.allow(peer.ip(), now) {
            return Err(Unacceptable::Busy.into());
        }
        let newcomer = match self.links.is_peer(peer.ip()) {
            true => Newcomer::Server,
            false => Newcomer::Anybody,
        };
        self.sessions.admit(name, newcomer, responder, now)?;
        let task = Task { session: name, datagram: datagram.to_vec(), cost };
        Ok(match newcomer {
            Newcomer::Server => self.door.public_keys.begin_at_once(task, now),
            Newcomer::Anybody => self.door.public_keys.begin(task, now),
        })
    }

    /// Does what waits, as far as there is time for it.
    pub(super) fn work(&mut self, now: Instant) {
        while let Some(task) = self.door.public_keys.next(now) {
            self.exchange_keys(task, now);
        }
    }

    /// The third message has its turn.
    fn exchange_keys(&mut self, Task { session: name, datagram, .. }: Task, now: Instant) {
        let Some(mut session) = self.sessions.take(name) else { return };
        session.exchange = match session.exchange {
            Exchange::Waiting(responder) => Exchange::MainMode(responder),
            other => other,
        };
        self.go_on(name, session, &datagram, now);
    }

    fn settings(&self, peer: SocketAddr) -> Result<Settings, Error> {
        Ok(Settings {
            credential: self.credential_entry(peer.ip()).ok_or(Unacceptable::NoKey)?.credential,
            identity: self.config.identity.clone(),
            proposals: self.config.proposals.clone(),
            doi: Doi::Gdoi,
        })
    }

    fn has_credential(&self, address: IpAddr) -> bool {
        self.links.is_peer(address) || self.configured_credential(address).is_some()
    }

    /// The entry of the longest prefix.
    pub(super) fn configured_credential(&self, address: IpAddr) -> Option<&CredentialEntry> {
        self.config.credentials.get(self.door.credentials.place(address)?)
    }
}

/// Whether a message opens a phase 1.
pub(super) fn is_first(header: &Header) -> bool {
    header.exchange == ExchangeType::IDENTITY_PROTECTION && header.responder == Cookie::ZERO
}
