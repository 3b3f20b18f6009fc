//! Acknowledgements of rekey messages (RFC 8263).

use super::group::Group;
use super::KeyServer;
use crate::endpoint::Instant;
use crate::error::{Error, Malformed, Misbehaved, Unauthenticated};
use crate::event::KeyServerEvent;
use crate::phase1::Cookies;
use crate::push::Acknowledgement;
use crate::wire::{ExchangeType, Header};
use std::net::{IpAddr, SocketAddr};

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
        let right = ack.sequence == sequence && IpAddr::V4(ack.member) == from.ip();
        match right && distribution.acknowledge(from.ip()) {
            true => Ok(()),
            false => Err(unexpected.into()),
        }
    }
}

impl KeyServer {
    pub(super) fn acknowledgement(&mut self, from: SocketAddr, header: &Header, body: &[u8], now: Instant) {
        let spi = Cookies::of(header).octets();
        let Some(index) = self.groups.iter().position(|group| group.has_kek(spi)) else {
            let reason = Misbehaved::UnknownExchange.into();
            return self.complain(KeyServerEvent::Rejected { from, reason }, now);
        };
        let time = self.groups[index].clock.time(now);
        if let Err(reason) = self.groups[index].acknowledge(from, spi, (header, body), time) {
            let group = self.groups[index].name();
            self.complain(KeyServerEvent::AckRefused { group, from, reason }, now);
        }
    }

    /// A datagram that is no message; one that begins as an acknowledgement of a group's is counted there, too.
    pub(super) fn malformed(&mut self, from: SocketAddr, datagram: &[u8], reason: Malformed, now: Instant) {
        if ExchangeType::claimed_by(datagram) == Some(ExchangeType::GROUPKEY_PUSH_ACK) {
            let named = datagram.first_chunk().copied();
            let groups = self.groups.iter_mut().filter(|group| named.is_some_and(|spi| group.has_kek(spi)));
            groups.for_each(Group::count_malformed);
        }
        self.complain(KeyServerEvent::Rejected { from, reason: reason.into() }, now);
    }
}
