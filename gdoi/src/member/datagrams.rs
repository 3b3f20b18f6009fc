//! What a member does with a datagram. All that it sends itself is short; what it gets may come in fragments.

use super::progress::Progress;
use super::rekeys::Received;
use super::{Activity, Member};
use crate::endpoint::{Instant, Transmit};
use crate::error::{Error, Misbehaved};
use crate::event::{Cause, MemberEvent, Sign};
use crate::fragment::{is_fragment, Origin, Piece, Purpose};
use crate::group::{Deletion, Rekey};
use crate::phase1::Cookies;
use crate::policy::Identity;
use crate::retransmit::draw;
use crate::wire::{ExchangeType, Header};
use std::net::SocketAddr;
use std::time::Duration;

/// Below the 5 s after which no acknowledgement may come (RFC 8263 section 6).
const ACK_JITTER: Duration = Duration::from_secs(4);

impl Member {
    /// Whether a datagram of IKEv1 is for this member.
    pub(super) fn owns_isakmp(&self, datagram: &[u8], now: Instant) -> bool {
        let Ok((header, _)) = Header::parse(datagram) else { return false };
        match &self.activity {
            Activity::Registering(attempt) if attempt.owns(&header) => true,
            _ => self.keyring.kek_named(Cookies::of(&header).octets(), now).is_some(),
        }
    }

    /// A datagram of IKEv1: a message or a fragment of one.
    pub(super) fn handle_isakmp(&mut self, from: SocketAddr, datagram: &[u8], now: Instant) {
        if !is_fragment(datagram) {
            return self.handle_message(from, datagram, now);
        }
        match self.gather(from, datagram, now) {
            Ok(message) => message.iter().for_each(|message| self.handle_message(from, message, now)),
            Err(reason) => {
                if ExchangeType::claimed_by(datagram) == Some(ExchangeType::GROUPKEY_PUSH) {
                    self.learn_from(from, datagram, &reason, now);
                }
                self.reject(from, reason, now);
            }
        }
    }

    /// A datagram of no version that is spoken here: counted as what it claims to be. Of those who are not asked anything
    /// no more is said than of any other.
    pub(super) fn refuse_version(&mut self, from: SocketAddr, datagram: &[u8], reason: Error, now: Instant) {
        if is_fragment(datagram) {
            return self.reject(from, reason, now);
        }
        if ExchangeType::claimed_by(datagram) == Some(ExchangeType::GROUPKEY_PUSH) {
            self.rekeys.count(&reason);
            return self.refuse_rekey(from, reason, now);
        }
        match &self.activity {
            Activity::Registering(attempt) if attempt.server() == from => self.reject(from, reason, now),
            _ => self.reject(from, Misbehaved::UnknownExchange.into(), now),
        }
    }

    /// A whole message of IKEv1, however it came.
    fn handle_message(&mut self, from: SocketAddr, bytes: &[u8], now: Instant) {
        if ExchangeType::claimed_by(bytes) == Some(ExchangeType::GROUPKEY_PUSH) {
            return self.rekey(from, bytes, now);
        }
        let progress = match &mut self.activity {
            Activity::Registering(attempt) => attempt.handle_message(from, bytes, self.random.as_mut(), now),
            Activity::Idle(_) | Activity::Retrying(_) => {
                Progress::Ignored(Misbehaved::UnknownExchange.into())
            }
        };
        self.progress(from, progress, now);
    }

    /// Takes in a fragment; what it made whole.
    fn gather(&mut self, from: SocketAddr, datagram: &[u8], now: Instant) -> Result<Vec<Vec<u8>>, Error> {
        let piece = Piece::parse(datagram)?;
        match self.takes_fragments(from, &piece.header, now) {
            true => self.reassembly.add(from, self.purpose(from, &piece.header), &piece, now),
            false => Err(Misbehaved::UnknownExchange.into()),
        }
    }

    /// A KEK's SPI is no secret: fragments under it are told apart by where they seem to come from.
    fn purpose(&self, from: SocketAddr, header: &Header) -> Purpose {
        let known = || self.config.servers.iter().any(|server| server.address.ip() == from.ip());
        match header.exchange {
            ExchangeType::GROUPKEY_PUSH if known() => Purpose::Rekey(Origin::Expected),
            ExchangeType::GROUPKEY_PUSH => Purpose::Rekey(Origin::Anybody),
            _ => Purpose::Registration,
        }
    }

    /// Rekey messages may come from any address, whole or in fragments.
    fn takes_fragments(&self, from: SocketAddr, header: &Header, now: Instant) -> bool {
        match &self.activity {
            _ if header.exchange == ExchangeType::GROUPKEY_PUSH => {
                let kek = self.keyring.kek_named(Cookies::of(header).octets(), now);
                self.rekeys_in_fragments && kek.is_some()
            }
            Activity::Registering(attempt) => attempt.takes_fragments(from, header),
            Activity::Idle(_) | Activity::Retrying(_) => false,
        }
    }

    /// A rekey message. It may come from any address: the signature says who made it.
    fn rekey(&mut self, from: SocketAddr, datagram: &[u8], now: Instant) {
        let own = match self.config.identity {
            Identity::Address(address) => Some(address),
            _ => None,
        };
        match self.rekeys.receive(&self.keyring, own, from, datagram, now) {
            Received::New(rekey, ack) => {
                self.take_rekey(from, *rekey, now);
                self.acknowledge(ack, now);
            }
            Received::Again(ack) => self.acknowledge(ack, now),
            Received::Refused(reason) => {
                self.learn_from(from, datagram, &reason, now);
                self.refuse_rekey(from, reason, now);
            }
        }
    }

    fn refuse_rekey(&mut self, from: SocketAddr, reason: Error, now: Instant) {
        self.complain(MemberEvent::RekeyRefused { group: self.group(), from, reason }, now);
    }

    fn take_rekey(&mut self, from: SocketAddr, rekey: Rekey, now: Instant) {
        let (sequence, had_kek) = (rekey.sequence, self.keyring.kek(now).is_some());
        let cause = if only_deletes(&rekey) { Cause::KeysDeleted } else { Cause::KeysEnd };
        let brings_kek = rekey.policy.as_ref().is_some_and(|policy| policy.kek.is_some());
        let teks = rekey.policy.iter().flat_map(|policy| policy.teks.iter().map(|tek| tek.spi)).collect();
        self.keyring.push(rekey, now);
        self.report(MemberEvent::Rekeyed { group: self.group(), from, sequence, teks });
        self.change_view(now);
        let without_keys = self.cause == Cause::Dismissed && self.keyring.last_tek(now).is_none();
        if (had_kek || without_keys) && self.keyring.kek(now).is_none() {
            return self.dismissed(from, now);
        }
        if self.keyring.lacks_sender_ids(now) {
            return self.replace_sender_ids(now);
        }
        if self.keyring.lacks_acl() {
            return self.fetch_acl(now);
        }
        // What made it suspect that it lacks something may be something else than what this brought.
        let settled = match self.cause {
            Cause::Behind(Sign::UnknownKek) => brings_kek,
            Cause::Behind(_) | Cause::SenderLost | Cause::Moved | Cause::Command => false,
            Cause::Dismissed => self.keyring.kek(now).is_some(),
            Cause::KeysEnd | Cause::KeysDeleted | Cause::AclOutdated => true,
        };
        if settled && matches!(self.activity, Activity::Idle(_) | Activity::Retrying(_)) {
            self.expect_the_end(now);
            self.cause = cause;
        }
    }

    /// At once to a server that waits for it; where the message came by multicast, a little later each.
    fn acknowledge(&mut self, ack: Option<Transmit>, now: Instant) {
        let Some(ack) = ack else { return };
        self.rekeys.counters.acknowledged += 1;
        let multicast = self.keyring.kek(now).is_some_and(|(kek, _)| kek.destination.ip().is_multicast());
        match multicast {
            true => self.late_ack = Some((now + draw(self.random.as_mut(), ACK_JITTER), ack)),
            false => self.transmit(ack),
        }
    }
}

/// Whether traffic keys end, and none begins.
fn only_deletes(rekey: &Rekey) -> bool {
    let is_tek = |deletion: &Deletion| matches!(deletion, Deletion::Tek(_) | Deletion::AllTeks);
    let begins = rekey.policy.as_ref().is_some_and(|policy| !policy.teks.is_empty());
    !begins && rekey.deletions.iter().any(is_tek)
}
