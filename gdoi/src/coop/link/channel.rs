//! One ISAKMP SA between two key servers, and the COOP messages under it: `HDR*, HASH(1), COOP`.

use super::liveness::Liveness;
use super::numbers::Numbers;
use super::Place;
use crate::crypto::Random;
use crate::endpoint::Instant;
use crate::error::{Error, Malformed, Misbehaved};
use crate::phase1::IsakmpSa;
use crate::wire::{ExchangeType, Flags, Header, PayloadType, Reader, Writer};
use std::net::IpAddr;
use std::time::Duration;
use zeroize::Zeroizing;

/// The longest body; with all that stands around it, a message stays below what is taken.
pub(super) const MAX_BODY: usize = 59_200;

const LONGEST_LIFE: Duration = Duration::from_secs(86_400);
const COOP: &str = "COOP payload";
/// Set in the sequence numbers of the responder. Both sides use the same keys, so that a message which comes back
/// to its sender would look like one of the peer.
const RESPONDER: u64 = 1 << 63;

/// Which side of the phase 1 this server was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// It began.
    Initiator,
    /// It was asked.
    Responder,
}

/// An SA with a peer.
pub(super) struct Channel {
    pub(super) sa: IsakmpSa,
    pub(super) side: Side,
    /// The address of the server that began it.
    pub(super) begun_by: IpAddr,
    pub(super) established: Instant,
    /// When the peer last said something new under it. Only then it certainly has the SA, too.
    pub(super) heard: Option<Instant>,
    /// When it is forgotten, because another one is sent under.
    pub(super) leaves: Option<Instant>,
    /// The end of its life.
    pub(super) ends: Instant,
    pub(super) liveness: Liveness,
    sent: u64,
    received: Numbers,
}

impl Channel {
    pub(super) fn new(
        sa: IsakmpSa,
        side: Side,
        begun_by: IpAddr,
        random: &mut dyn Random,
        now: Instant,
    ) -> Result<Self, Error> {
        let liveness = Liveness::new(side, random, now)?;
        let heard = (side == Side::Initiator).then_some(now);
        let ends = now + life(&sa);
        let (established, leaves) = (now, None);
        let received = Numbers::default();
        Ok(Channel { sa, side, begun_by, established, heard, leaves, ends, liveness, sent: 0, received })
    }

    /// The instant at which `percent` of the life are over.
    pub(super) fn aged(&self, percent: u32) -> Instant {
        self.established + life(&self.sa) * percent / 100
    }

    /// When the peer was last known to live.
    pub(super) fn last_sign(&self) -> Instant {
        self.heard.unwrap_or(self.established)
    }

    /// The peer said something new.
    pub(super) fn hear(&mut self, now: Instant) {
        self.heard = Some(now);
        self.liveness.heard(now);
    }

    /// A COOP message.
    ///
    /// ```text
    /// |                     sequence number (8)                       |  body
    /// ```
    ///
    /// # Errors
    /// A body that is too long, and internal ones.
    pub(super) fn seal(&mut self, body: &[u8], random: &mut dyn Random) -> Result<Vec<u8>, Error> {
        if body.len() > MAX_BODY {
            return Err(Malformed::Length(COOP).into());
        }
        let sequence = (self.sent + 1) | number_bit(self.side);
        let payload = Writer::secret(8 + body.len(), |out| {
            out.u64(sequence);
            out.raw(body);
        })?;
        let message = self.sa.single(ExchangeType::COOP, (PayloadType::COOP, &payload), random)?;
        self.sent += 1;
        Ok(message)
    }

    /// The body of a COOP message that is the peer's and was not taken before, and its place among the peer's.
    ///
    /// # Errors
    /// Any: then nothing has changed.
    pub(super) fn open(
        &mut self,
        header: &Header,
        body: &[u8],
        now: Instant,
    ) -> Result<(Place, Zeroizing<Vec<u8>>), Error> {
        if header.flags != Flags::ENCRYPTED {
            return Err(Misbehaved::Encryption.into());
        }
        let opened = self.sa.open_single(header, body)?;
        let mut payloads = self.sa.read_single(header, &opened)?;
        let mut reader = Reader::new(payloads.take(PayloadType::COOP)?.body, COOP);
        payloads.finish()?;
        let (sequence, body) = (u64::from_be_bytes(reader.array()?), reader.rest());
        if body.len() > MAX_BODY {
            return Err(Malformed::Length(COOP).into());
        }
        let number = self.number(sequence)?;
        self.received.take(number, now)?;
        Ok((Place { sa: self.sa.cookies, number }, Zeroizing::new(body.to_vec())))
    }

    /// The number, if it is one of the peer's.
    fn number(&self, sequence: u64) -> Result<u64, Error> {
        match sequence & RESPONDER == number_bit(self.side) {
            true => Err(Misbehaved::Reflected.into()),
            false => Ok(sequence & !RESPONDER),
        }
    }
}

fn life(sa: &IsakmpSa) -> Duration {
    sa.proposal.lifetime.min(LONGEST_LIFE)
}

const fn number_bit(side: Side) -> u64 {
    match side {
        Side::Initiator => 0,
        Side::Responder => RESPONDER,
    }
}
