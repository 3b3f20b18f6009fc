//! The rekey message under way, if there is one, and what became of the acknowledgements.

use super::clock::GroupTime;
use super::distribution::Distribution;
use crate::endpoint::Transmit;
use crate::error::{Error, Misbehaved, Unauthenticated};
use crate::group::AclDigest;
use crate::group::Kek;
use crate::push::Acknowledgement;
use crate::wire::Header;
use std::net::{IpAddr, SocketAddr};

/// What became of the acknowledgements that a key server got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AckCounters {
    /// Good ones.
    pub received: u64,
    /// Repeated, or of no rekey under way.
    pub unexpected: u64,
    /// The hash does not match.
    pub forged: u64,
    /// No acknowledgement.
    pub malformed: u64,
}

/// The rekey message under way and its acknowledgements.
#[derive(Default)]
pub(super) struct Rekeying {
    distribution: Option<Distribution>,
    acks: AckCounters,
}

/// How the last wait for acknowledgements ended.
pub(super) struct Concluded {
    /// Which ACL members have after it.
    pub(super) told: AclDigest,
    /// Who never acknowledged.
    pub(super) members: Vec<IpAddr>,
}

impl Rekeying {
    /// A message is to go out, once it is released; what was under way is given up for it.
    pub(super) fn begin(&mut self, distribution: Distribution) {
        self.distribution = Some(distribution);
    }

    /// It may go out.
    pub(super) fn release(&mut self, now: GroupTime) {
        self.distribution.iter_mut().for_each(|distribution| distribution.release(now));
    }

    /// It is given up.
    pub(super) fn abandon(&mut self) {
        self.distribution = None;
    }

    pub(super) const fn is_under_way(&self) -> bool {
        self.distribution.is_some()
    }

    /// What to send now.
    pub(super) fn handle_timeout(&mut self, now: GroupTime) -> Vec<Transmit> {
        self.distribution.as_mut().map(|distribution| distribution.handle_timeout(now)).unwrap_or_default()
    }

    /// When [`Rekeying::handle_timeout`] or [`Rekeying::conclude`] has something to say.
    pub(super) fn due(&self) -> Option<GroupTime> {
        self.distribution.as_ref().and_then(Distribution::due)
    }

    /// Ends it if all have acknowledged or the last wait is over.
    pub(super) fn conclude(&mut self, now: GroupTime) -> Option<Concluded> {
        let over = self.distribution.take_if(|distribution| distribution.is_over(now))?;
        Some(Concluded { told: over.acl(), members: over.silent() })
    }

    /// How many have not acknowledged it.
    pub(super) fn waiting_for(&self) -> usize {
        self.distribution.as_ref().map_or(0, |distribution| distribution.silent().len())
    }

    /// Messages sent for it so far.
    pub(super) fn transmissions(&self) -> u64 {
        self.distribution.as_ref().map_or(0, Distribution::transmissions)
    }

    pub(super) const fn acks(&self) -> AckCounters {
        self.acks
    }

    /// An acknowledgement could not even be read.
    pub(super) fn count_malformed(&mut self) {
        self.acks.malformed += 1;
    }

    /// Takes in an acknowledgement (RFC 8263) of a message under `kek`, which is None where members are told nothing. Who
    /// is not waited for is answered before any cryptography (section 5).
    ///
    /// # Errors
    /// It changed nothing but a counter.
    pub(super) fn acknowledge(
        &mut self,
        from: SocketAddr,
        kek: Option<&Kek>,
        message: (&Header, &[u8]),
    ) -> Result<(), Error> {
        let checked = self.check(from, kek, message);
        *match &checked {
            Ok(()) => &mut self.acks.received,
            Err(Error::Misbehaved(Misbehaved::UnknownAcknowledgement)) => &mut self.acks.unexpected,
            Err(Error::Unauthenticated(Unauthenticated::Hash)) => &mut self.acks.forged,
            Err(_) => &mut self.acks.malformed,
        } += 1;
        checked
    }

    fn check(
        &mut self,
        from: SocketAddr,
        kek: Option<&Kek>,
        (header, body): (&Header, &[u8]),
    ) -> Result<(), Error> {
        let unexpected = Misbehaved::UnknownAcknowledgement;
        let (kek, distribution) = kek.zip(self.distribution.as_mut()).ok_or(unexpected)?;
        let sequence = distribution.sequence_under(kek.spi).ok_or(unexpected)?;
        if !distribution.expects(from.ip()) {
            return Err(unexpected.into());
        }
        let ack = Acknowledgement::parse(kek, header, body)?;
        let right = ack.sequence == sequence && ack.member == from.ip();
        match right && distribution.acknowledge(from.ip()) {
            true => Ok(()),
            false => Err(unexpected.into()),
        }
    }
}
