//! One registration with one key server, whatever exchanges it takes.

use super::config::{MemberConfig, ServerEntry};
use super::progress::Progress;
use super::pulling::{goodbye, Pulling, Wish};
use crate::crypto::Random;
use crate::endpoint::{Instant, Transmit};
use crate::error::{Error, Misbehaved, Unacceptable};
use crate::keyring::SidNonces;
use crate::phase1::{Initiator, IsakmpSa, Negotiated, Negotiation, Settings};
use crate::policy::{GroupId, Identity, SidRequest};
use crate::pull::{Holdings, SidWish};
use crate::retransmit::Pace;
use crate::wire::Header;
use std::net::{IpAddr, SocketAddr};

/// A registration under way.
pub(super) struct Attempt {
    server: SocketAddr,
    group: GroupId,
    sender_ids: SidWish,
    /// What the member has already, as far as the server may know.
    holdings: Option<Holdings>,
    exchange: Exchange,
}

/// The exchange that it has come to.
enum Exchange {
    /// Main Mode (IKEv1).
    MainMode(Box<Negotiation>),
    /// GROUPKEY-PULL, under the SA that Main Mode left.
    Pull(Box<Pulling>),
}

impl Attempt {
    pub(super) fn start(
        config: &MemberConfig,
        server: &ServerEntry,
        (nonces, holdings): (SidNonces, Option<Holdings>),
        random: &mut dyn Random,
        now: Instant,
    ) -> Result<Self, Error> {
        let settings = Settings {
            credential: server.credential.clone(),
            identity: config.identity.clone(),
            proposals: vec![config.proposal],
            doi: config.doi,
        };
        let negotiation =
            Negotiation::new(server.address, Initiator::start(settings, random)?, Pace::BackOff, now);
        let exchange = Exchange::MainMode(Box::new(negotiation));
        let SidNonces { own, others } = nonces;
        let request = SidRequest { count: config.sender_ids, nonce: Some(own) };
        let sender_ids = SidWish { request, others };
        let group = config.group.id;
        Ok(Attempt { server: server.address, group, sender_ids, holdings, exchange })
    }

    pub(super) fn first(&self) -> Transmit {
        match &self.exchange {
            Exchange::MainMode(negotiation) => negotiation.first(),
            Exchange::Pull(pulling) => pulling.first(),
        }
    }

    pub(super) const fn server(&self) -> SocketAddr {
        self.server
    }

    pub(super) const fn due(&self) -> Instant {
        match &self.exchange {
            Exchange::MainMode(negotiation) => negotiation.due(),
            Exchange::Pull(pulling) => pulling.due(),
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) -> Progress {
        match &mut self.exchange {
            Exchange::MainMode(negotiation) => match negotiation.handle_timeout(now) {
                Ok(again) => again.map_or(Progress::Nothing, Progress::Send),
                Err(reason) => Progress::Failed(reason, None),
            },
            Exchange::Pull(pulling) => pulling.handle_timeout(now),
        }
    }

    /// A whole message of IKEv1.
    pub(super) fn handle_message(
        &mut self,
        from: SocketAddr,
        bytes: &[u8],
        random: &mut dyn Random,
        now: Instant,
    ) -> Progress {
        if from != self.server {
            return Progress::Ignored(Misbehaved::UnknownExchange.into());
        }
        let (header, body) = match Header::parse(bytes) {
            Ok(parsed) => parsed,
            Err(error) => return Progress::Ignored(error.into()),
        };
        let negotiated = match &mut self.exchange {
            Exchange::MainMode(negotiation) => negotiation.handle_message(&header, body, random, now),
            Exchange::Pull(pulling) => return pulling.handle_datagram(bytes, &header, body, random, now),
        };
        match negotiated {
            Ok(Negotiated::Send(transmit)) => Progress::Send(transmit),
            Ok(Negotiated::Nothing) => Progress::Nothing,
            Ok(Negotiated::Established(sa)) => self.pull(*sa, bytes, random, now),
            Err(error) => Progress::Ignored(error),
        }
    }

    /// Phase 1 is done: the server must be who it is expected to be before it is asked for keys.
    fn pull(&mut self, sa: IsakmpSa, last_seen: &[u8], random: &mut dyn Random, now: Instant) -> Progress {
        if !is_address(&sa.peer, self.server.ip()) {
            let reason = Unacceptable::UnexpectedIdentity(sa.peer.to_string());
            return Progress::Failed(reason.into(), goodbye(self.server, &sa, random));
        }
        let wish =
            Wish { group: self.group, sender_ids: self.sender_ids.clone(), holdings: self.holdings.take() };
        match Pulling::start(sa, self.server, wish, last_seen, random, now) {
            Ok(pulling) => {
                let first = pulling.first();
                self.exchange = Exchange::Pull(Box::new(pulling));
                Progress::Send(first)
            }
            Err(error) => Progress::Failed(error, None),
        }
    }

    /// Whether a fragment is of a message that this registration waits for. Those of phase 1 are short.
    pub(super) fn takes_fragments(&self, from: SocketAddr, header: &Header) -> bool {
        match &self.exchange {
            Exchange::MainMode(_) => false,
            Exchange::Pull(pulling) => from == self.server && pulling.takes_fragments(header),
        }
    }

    /// Whether a message of IKEv1 answers this registration.
    pub(super) fn owns(&self, header: &Header) -> bool {
        match &self.exchange {
            Exchange::MainMode(negotiation) => negotiation.cookie() == header.initiator,
            Exchange::Pull(pulling) => pulling.cookie() == header.initiator,
        }
    }
}

fn is_address(identity: &Identity, expected: IpAddr) -> bool {
    matches!(identity, Identity::Address(address) if *address == expected)
}
