//! Acknowledgements of rekey messages (RFC 8263).

use super::group::Group;
use crate::endpoint::Instant;
use crate::error::{Error, Misbehaved, Unauthenticated};
use crate::push::Acknowledgement;
use crate::wire::Header;
use std::net::SocketAddr;

impl Group {
    /// Whether rekey messages under this KEK are of this group.
    pub(super) fn has_kek(&self, spi: [u8; 16]) -> bool {
        self.state.keys.kek_named(spi).is_some()
    }

    /// An acknowledgement could not even be read.
    pub(super) fn count_malformed(&mut self) {
        self.acks.malformed += 1;
    }

    /// Takes in an acknowledgement. Who is not waited for is answered before any cryptography (RFC 8263 section 5).
    pub(super) fn acknowledge(
        &mut self,
        from: SocketAddr,
        spi: [u8; 16],
        message: (&Header, &[u8]),
        now: Instant,
    ) -> Result<(), Error> {
        let checked = self.check_acknowledgement(from, spi, message, now);
        match &checked {
            Ok(()) => {
                self.acks.received += 1;
                self.members.acknowledged(from.ip(), now);
                self.members_changed = true;
            }
            Err(Error::Misbehaved(Misbehaved::UnknownAcknowledgement)) => self.acks.unexpected += 1,
            Err(Error::Unauthenticated(Unauthenticated::Hash)) => self.acks.forged += 1,
            Err(_) => self.acks.malformed += 1,
        }
        checked
    }

    fn check_acknowledgement(
        &mut self,
        from: SocketAddr,
        spi: [u8; 16],
        (header, body): (&Header, &[u8]),
        now: Instant,
    ) -> Result<(), Error> {
        let unexpected = Misbehaved::UnknownAcknowledgement;
        let rekey = self.config.rekey.as_ref().ok_or(unexpected)?.terms();
        let kek = self.state.keys.kek_named(spi).ok_or(unexpected)?;
        let kek = self.kek_of(&rekey, kek, now);
        let distribution = self.distribution.as_mut().ok_or(unexpected)?;
        let sequence = distribution.sequence_under(spi).ok_or(unexpected)?;
        if !distribution.expects(from.ip()) {
            return Err(unexpected.into());
        }
        let ack = Acknowledgement::parse(&kek, header, body)?;
        let right = ack.sequence == sequence && ack.member == from.ip();
        match right && distribution.acknowledge(from.ip()) {
            true => Ok(()),
            false => Err(unexpected.into()),
        }
    }
}
