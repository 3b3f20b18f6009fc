//! One registration with one key server: phase 1, then the PULL.

use super::{MemberConfig, ServerEntry};
use crate::crypto::Random;
use crate::endpoint::{Instant, Transmit};
use crate::error::{Error, Malformed, Misbehaved, Unacceptable, Unauthenticated};
use crate::keyring::Made;
use crate::phase1::{Cookies, Informational, Initiator, InitiatorStep, IsakmpSa, Settings};
use crate::policy::{GroupId, Identity};
use crate::pull::{GroupPolicy, PullInitiator, PullStep};
use crate::retransmit::{Due, Retransmission};
use crate::wire::{Chain, Cookie, ExchangeType, Header, Notify, NotifyType, Padding, PayloadType, Payloads};
use std::net::{IpAddr, SocketAddr};

/// A registration under way.
pub(super) struct Attempt {
    server: SocketAddr,
    group: GroupId,
    stage: Stage,
    retransmission: Retransmission,
    /// Between these the server made its answer: the first message of the PULL out, the second one in.
    made: Made,
    /// The datagram that led here: the server sends it again when our answer is late.
    last_seen: Vec<u8>,
    /// What somebody who knows our cookie said in clear: believed only if nothing better comes.
    hint: Option<NotifyType>,
}

enum Stage {
    Phase1(Initiator),
    Pull(IsakmpSa, PullInitiator),
}

/// Policy and keys, and when the server can have made them.
pub(super) struct Download {
    pub(super) policy: GroupPolicy,
    pub(super) made: Made,
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
            psk: server.psk.clone(),
            identity: config.identity.clone(),
            proposals: vec![config.proposal],
            doi: config.doi,
        };
        let (initiator, message) = Initiator::start(settings, random)?;
        Ok(Attempt {
            server: server.address,
            group: config.group.id,
            stage: Stage::Phase1(initiator),
            retransmission: Retransmission::new(server.address, message, now),
            made: Made { earliest: now, latest: now },
            last_seen: Vec::new(),
            hint: None,
        })
    }

    pub(super) fn first(&self) -> Transmit {
        self.retransmission.first()
    }

    pub(super) const fn server(&self) -> SocketAddr {
        self.server
    }

    pub(super) const fn due(&self) -> Instant {
        self.retransmission.due()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) -> Progress {
        match self.retransmission.handle_timeout(now) {
            Due::Later => Progress::Nothing,
            Due::Again(transmit) => Progress::Send(transmit),
            Due::Exhausted => Progress::Failed(self.silence(), None),
        }
    }

    /// Why nothing came, as far as one can tell.
    fn silence(&self) -> Error {
        match (&self.stage, self.hint) {
            (Stage::Phase1(Initiator::AwaitAuth(_)), None | Some(NotifyType::AUTHENTICATION_FAILED)) => {
                Unauthenticated::PreSharedKey.into()
            }
            (Stage::Phase1(_), Some(NotifyType::NO_PROPOSAL_CHOSEN)) => Unacceptable::NoProposal.into(),
            (_, Some(hint)) => Unacceptable::PeerSays(hint).into(),
            (_, None) => Unacceptable::NoAnswer.into(),
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
        if bytes == self.last_seen {
            return Progress::Nothing;
        }
        let (header, body) = match Header::parse(bytes) {
            Ok(parsed) => parsed,
            Err(error) => return Progress::Ignored(error.into()),
        };
        let progress = match header.exchange {
            ExchangeType::INFORMATIONAL => self.informational(&header, body),
            _ => self.step(&header, body, random, now),
        };
        if matches!(progress, Progress::Send(_)) {
            self.last_seen = bytes.to_vec();
        }
        progress
    }

    fn step(&mut self, header: &Header, body: &[u8], random: &mut dyn Random, now: Instant) -> Progress {
        match &self.stage {
            Stage::Phase1(initiator) => match initiator.step(header, body, random) {
                Ok(InitiatorStep::Next(next, message)) => self.go_on(Stage::Phase1(next), message, now),
                Ok(InitiatorStep::Established(sa)) => self.pull(sa, random, now),
                Err(error) => Progress::Ignored(error),
            },
            Stage::Pull(sa, pull) => match pull.step(sa, header, body) {
                Ok(PullStep::Next(next, message)) => self.go_on_pulling(next, message, now),
                Ok(PullStep::Downloaded(policy)) => {
                    let download = Download { policy, made: self.made };
                    Progress::Registered(Box::new(download), self.goodbye(sa, random))
                }
                Err(error) if anybody_could_cause(&error) => Progress::Ignored(error),
                Err(error) => Progress::Failed(error, self.goodbye(sa, random)),
            },
        }
    }

    fn go_on(&mut self, stage: Stage, message: Vec<u8>, now: Instant) -> Progress {
        self.stage = stage;
        self.hint = None;
        self.retransmission = Retransmission::new(self.server, message, now);
        Progress::Send(self.retransmission.first())
    }

    fn go_on_pulling(&mut self, next: PullInitiator, message: Vec<u8>, now: Instant) -> Progress {
        if let Stage::Pull(_, pull) = &mut self.stage {
            *pull = next;
        }
        self.made.latest = now;
        self.retransmission = Retransmission::new(self.server, message, now);
        Progress::Send(self.retransmission.first())
    }

    /// Phase 1 is done: the server must be who it is expected to be before it is asked for keys.
    fn pull(&mut self, sa: IsakmpSa, random: &mut dyn Random, now: Instant) -> Progress {
        if !is_address(&sa.peer, self.server.ip()) {
            let reason = Unacceptable::UnexpectedIdentity(sa.peer.to_string());
            return Progress::Failed(reason.into(), self.goodbye(&sa, random));
        }
        self.made.earliest = now;
        match PullInitiator::start(&sa, self.group, random) {
            Ok((pull, message)) => self.go_on(Stage::Pull(sa, pull), message, now),
            Err(error) => Progress::Failed(error, None),
        }
    }

    fn goodbye(&self, sa: &IsakmpSa, random: &mut dyn Random) -> Option<Transmit> {
        let payload = sa.delete(random).ok()?;
        Some(Transmit { to: self.server, payload })
    }

    fn informational(&mut self, header: &Header, body: &[u8]) -> Progress {
        let result = match &self.stage {
            Stage::Pull(sa, _) if header.flags.is_encrypted() && Cookies::of(header) == sa.cookies => {
                sa.informed(header, body)
            }
            _ => self.take_hint(header, body).map(|()| Informational::Other),
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

    /// A notify in clear proves nothing, but it may explain the silence.
    fn take_hint(&mut self, header: &Header, body: &[u8]) -> Result<(), Error> {
        if header.initiator != self.cookie() || header.flags.is_encrypted() {
            return Err(Misbehaved::UnknownExchange.into());
        }
        let mut payloads = Payloads::new(Chain::parse(header.next, body, Padding::None)?);
        let notify = Notify::parse(payloads.take(PayloadType::NOTIFY)?.body)?;
        payloads.finish()?;
        match notify.kind.is_error() {
            true => self.hint = Some(notify.kind),
            false => return Err(Malformed::Value("notify payload").into()),
        }
        Ok(())
    }

    pub(super) fn cookie(&self) -> Cookie {
        match &self.stage {
            Stage::Phase1(initiator) => initiator.cookie(),
            Stage::Pull(sa, _) => sa.cookies.initiator,
        }
    }
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
    matches!(identity, Identity::Address(address) if IpAddr::V4(*address) == expected)
}
