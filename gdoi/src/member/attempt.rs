//! One registration with one key server: phase 1, then the PULL.

use super::{MemberConfig, ServerEntry};
use crate::crypto::Random;
use crate::endpoint::{Instant, Transmit};
use crate::error::{Error, Misbehaved, Unacceptable};
use crate::group::{GroupPolicy, SenderIds};
use crate::keyring::Made;
use crate::phase1::{hinted, Cookies, Informational, Initiator, IsakmpSa, Negotiated, Negotiation, Settings};
use crate::policy::{GroupId, Identity};
use crate::pull::{PullInitiator, PullStep};
use crate::retransmit::{Due, Pace, Retransmission};
use crate::wire::{Cookie, ExchangeType, Header, NotifyType};
use std::net::{IpAddr, SocketAddr};

/// A registration under way.
pub(super) struct Attempt {
    server: SocketAddr,
    group: GroupId,
    sender_ids: u16,
    stage: Stage,
}

enum Stage {
    Phase1(Box<Negotiation>),
    Pull(Box<Pulling>),
}

/// A PULL under way.
struct Pulling {
    sa: IsakmpSa,
    pull: PullInitiator,
    retransmission: Retransmission,
    /// Between these the server made its answer: the first message of the PULL out, the second one in.
    made: Made,
    /// The datagram that led here: the server sends it again when our answer is late.
    last_seen: Vec<u8>,
    /// What somebody who knows our cookie said in clear: believed only if nothing better comes.
    hint: Option<NotifyType>,
}

/// Policy and keys, and when the server can have made them.
pub(super) struct Download {
    pub(super) policy: GroupPolicy,
    pub(super) sender_ids: SenderIds,
    pub(super) made: Made,
    /// Whether the server may send in fragments what follows.
    pub(super) fragments: bool,
}

/// What an input led to.
pub(super) enum Progress {
    /// Send this and wait on.
    Send(Transmit),
    /// Wait on.
    Nothing,
    /// The datagram is not from our server or not for this registration.
    Ignored(Error),
    /// Done; the message takes leave of the server.
    Registered(Box<Download>, Option<Transmit>),
    /// It came to nothing.
    Failed(Error, Option<Transmit>),
}

impl Attempt {
    pub(super) fn start(
        config: &MemberConfig,
        server: &ServerEntry,
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
        let stage = Stage::Phase1(Box::new(negotiation));
        let (group, sender_ids) = (config.group.id, config.sender_ids);
        Ok(Attempt { server: server.address, group, sender_ids, stage })
    }

    pub(super) fn first(&self) -> Transmit {
        match &self.stage {
            Stage::Phase1(negotiation) => negotiation.first(),
            Stage::Pull(pulling) => pulling.retransmission.first(),
        }
    }

    pub(super) const fn server(&self) -> SocketAddr {
        self.server
    }

    pub(super) const fn due(&self) -> Instant {
        match &self.stage {
            Stage::Phase1(negotiation) => negotiation.due(),
            Stage::Pull(pulling) => pulling.retransmission.due(),
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) -> Progress {
        match &mut self.stage {
            Stage::Phase1(negotiation) => match negotiation.handle_timeout(now) {
                Ok(again) => again.map_or(Progress::Nothing, Progress::Send),
                Err(reason) => Progress::Failed(reason, None),
            },
            Stage::Pull(pulling) => pulling.handle_timeout(now),
        }
    }

    pub(super) fn handle_datagram(
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
        let negotiated = match &mut self.stage {
            Stage::Phase1(negotiation) => negotiation.handle_message(&header, body, random, now),
            Stage::Pull(pulling) => return pulling.handle_datagram(bytes, &header, body, random, now),
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
        let (pull, message) = match PullInitiator::start(&sa, self.group, self.sender_ids, random) {
            Ok(begun) => begun,
            Err(error) => return Progress::Failed(error, None),
        };
        let retransmission = Retransmission::new(self.server, message, Pace::BackOff, now);
        let first = retransmission.first();
        let (made, last_seen) = (Made { earliest: now, latest: now }, last_seen.to_vec());
        self.stage = Stage::Pull(Box::new(Pulling { sa, pull, retransmission, made, last_seen, hint: None }));
        Progress::Send(first)
    }

    /// Whether a fragment is of a message that this registration waits for. Those of phase 1 are short.
    pub(super) fn takes_fragments(&self, from: SocketAddr, header: &Header) -> bool {
        match &self.stage {
            Stage::Phase1(_) => false,
            Stage::Pull(pulling) => {
                let sa = &pulling.sa;
                from == self.server && sa.fragments && sa.cookies == Cookies::of(header)
            }
        }
    }

    pub(super) fn cookie(&self) -> Cookie {
        match &self.stage {
            Stage::Phase1(negotiation) => negotiation.cookie(),
            Stage::Pull(pulling) => pulling.sa.cookies.initiator,
        }
    }
}

impl Pulling {
    fn handle_timeout(&mut self, now: Instant) -> Progress {
        match self.retransmission.handle_timeout(now) {
            Due::Later => Progress::Nothing,
            Due::Again(transmit) => Progress::Send(transmit),
            Due::Exhausted => Progress::Failed(self.silence(), None),
        }
    }

    /// Why nothing came, as far as one can tell.
    fn silence(&self) -> Error {
        self.hint.map_or(Unacceptable::NoAnswer, Unacceptable::PeerSays).into()
    }

    fn handle_datagram(
        &mut self,
        bytes: &[u8],
        header: &Header,
        body: &[u8],
        random: &mut dyn Random,
        now: Instant,
    ) -> Progress {
        if bytes == self.last_seen {
            return Progress::Nothing;
        }
        let progress = match header.exchange {
            ExchangeType::INFORMATIONAL => self.informational(header, body),
            _ => self.step(header, body, random, now),
        };
        if matches!(progress, Progress::Send(_)) {
            self.last_seen = bytes.to_vec();
        }
        progress
    }

    fn step(&mut self, header: &Header, body: &[u8], random: &mut dyn Random, now: Instant) -> Progress {
        match self.pull.step(&self.sa, header, body) {
            Ok(PullStep::Next(next, message)) => self.go_on(next, message, now),
            Ok(PullStep::Downloaded(policy, sender_ids)) => {
                let (made, fragments) = (self.made, self.sa.fragments);
                let download = Download { policy: *policy, sender_ids, made, fragments };
                Progress::Registered(Box::new(download), goodbye(self.server(), &self.sa, random))
            }
            Err(error) if anybody_could_cause(&error) => Progress::Ignored(error),
            Err(error) => Progress::Failed(error, goodbye(self.server(), &self.sa, random)),
        }
    }

    fn go_on(&mut self, next: PullInitiator, message: Vec<u8>, now: Instant) -> Progress {
        self.pull = next;
        self.made.latest = now;
        self.retransmission = Retransmission::new(self.server(), message, Pace::BackOff, now);
        Progress::Send(self.retransmission.first())
    }

    fn server(&self) -> SocketAddr {
        self.retransmission.to()
    }

    fn informational(&mut self, header: &Header, body: &[u8]) -> Progress {
        let result = match header.flags.is_encrypted() && Cookies::of(header) == self.sa.cookies {
            true => self.sa.informed(header, body),
            false => self.take_hint(header, body),
        };
        match result {
            Ok(Informational::Deleted) => Progress::Failed(Unacceptable::PeerDeleted.into(), None),
            Ok(Informational::Notified(kind)) if kind.is_error() => {
                Progress::Failed(Unacceptable::PeerSays(kind).into(), None)
            }
            Ok(_) => Progress::Nothing,
            Err(error) => Progress::Ignored(error),
        }
    }

    fn take_hint(&mut self, header: &Header, body: &[u8]) -> Result<Informational, Error> {
        self.hint = Some(hinted(self.sa.cookies.initiator, header, body)?);
        Ok(Informational::Other)
    }
}

fn goodbye(server: SocketAddr, sa: &IsakmpSa, random: &mut dyn Random) -> Option<Transmit> {
    let payload = sa.delete(random).ok()?;
    Some(Transmit { to: server, payload })
}

/// Errors that say nothing about the server: the message need not be from it.
fn anybody_could_cause(error: &Error) -> bool {
    matches!(
        error,
        Error::Unauthenticated(_)
            | Error::Misbehaved(
                Misbehaved::UnknownExchange | Misbehaved::UnsupportedExchange(_) | Misbehaved::Encryption
            )
    )
}

fn is_address(identity: &Identity, expected: IpAddr) -> bool {
    matches!(identity, Identity::Address(address) if *address == expected)
}
