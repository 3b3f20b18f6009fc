//! The second half of a registration with IKEv1: the PULL, under the SA that Main Mode left.

use super::progress::{Download, Progress};
use crate::crypto::Random;
use crate::endpoint::{Instant, Transmit};
use crate::error::{Error, Misbehaved, Unacceptable};
use crate::keyring::Made;
use crate::phase1::{hinted, Cookies, Informational, IsakmpSa};
use crate::policy::GroupId;
use crate::pull::{Holdings, PullInitiator, PullStep, SidWish};
use crate::retransmit::{Due, Pace, Retransmission};
use crate::wire::{Cookie, ExchangeType, Header, NotifyType};
use std::net::SocketAddr;

/// A PULL under way.
pub(super) struct Pulling {
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

/// What the server is asked for.
pub(super) struct Wish {
    pub(super) group: GroupId,
    pub(super) sender_ids: SidWish,
    pub(super) holdings: Option<Holdings>,
}

impl Pulling {
    /// Asks for a group under an SA that the datagram `last_seen` finished.
    ///
    /// # Errors
    /// Only internal ones.
    pub(super) fn start(
        sa: IsakmpSa,
        server: SocketAddr,
        wish: Wish,
        last_seen: &[u8],
        random: &mut dyn Random,
        now: Instant,
    ) -> Result<Self, Error> {
        let Wish { group, sender_ids, holdings } = wish;
        let (pull, message) = PullInitiator::start(&sa, group, sender_ids, holdings, random)?;
        let retransmission = Retransmission::new(server, message, Pace::BackOff, now);
        let (made, last_seen) = (Made { earliest: now, latest: now }, last_seen.to_vec());
        Ok(Pulling { sa, pull, retransmission, made, last_seen, hint: None })
    }

    pub(super) fn first(&self) -> Transmit {
        self.retransmission.first()
    }

    pub(super) const fn due(&self) -> Instant {
        self.retransmission.due()
    }

    pub(super) const fn cookie(&self) -> Cookie {
        self.sa.cookies.initiator
    }

    /// Whether a fragment is of a message that is waited for.
    pub(super) fn takes_fragments(&self, header: &Header) -> bool {
        self.sa.fragments && self.sa.cookies == Cookies::of(header)
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
        self.hint.map_or(Unacceptable::NoAnswer, Unacceptable::PeerSays).into()
    }

    pub(super) fn handle_datagram(
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
            ExchangeType::INFORMATIONAL => self.informational(header, body, random),
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

    fn informational(&mut self, header: &Header, body: &[u8], random: &mut dyn Random) -> Progress {
        let result = match header.flags.is_encrypted() && Cookies::of(header) == self.sa.cookies {
            true => self.sa.informed(header, body),
            false => self.take_hint(header, body),
        };
        match result {
            Ok(Informational::Deleted) => Progress::Failed(Unacceptable::PeerDeleted.into(), None),
            Ok(Informational::Postponed(delay)) => {
                Progress::Postponed(delay, goodbye(self.server(), &self.sa, random))
            }
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

/// Takes leave of the server.
pub(super) fn goodbye(server: SocketAddr, sa: &IsakmpSa, random: &mut dyn Random) -> Option<Transmit> {
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
