//! The acknowledgement of a rekey message (RFC 8263 section 3). Its key is the group's, so it proves that some
//! member is alive, not which one.

use super::cookies;
use crate::crypto::derive::ack_key;
use crate::crypto::prf::prf;
use crate::crypto::{Hash, Secret};
use crate::error::{Error, Misbehaved, Unauthenticated};
use crate::group::{AckType, Kek};
use crate::policy::Identity;
use crate::wire::{
    emit_chain, Chain, Cookie, ExchangeType, Flags, Header, Identification, Padding, PayloadType, Payloads,
    Reader,
};
use std::net::IpAddr;

/// What an acknowledgement says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Acknowledgement {
    /// The number of the rekey message.
    pub(crate) sequence: u32,
    /// The member, by the address that it registered with.
    pub(crate) member: IpAddr,
}

impl Acknowledgement {
    /// The message, if the KEK asks for one.
    pub(crate) fn emit(&self, kek: &Kek) -> Option<Vec<u8>> {
        let key = key(kek)?;
        let sequence = self.sequence.to_be_bytes();
        let id = self.identification().emit().ok()?;
        let rest = [(PayloadType::SEQ, &sequence[..]), (PayloadType::ID, &id[..])];
        let hash = prf(hash_of(kek.ack?), &key, &[&emit_chain(&rest).ok()?]);
        let all: Vec<_> = std::iter::once((PayloadType::HASH, hash.expose())).chain(rest).collect();
        header(kek).emit(&emit_chain(&all).ok()?).ok()
    }

    fn identification(&self) -> Identification {
        Identification::phase1(&Identity::Address(self.member))
    }

    /// Reads a message that answers a rekey under `kek`.
    ///
    /// # Errors
    /// Any: the message changes nothing.
    pub(crate) fn parse(kek: &Kek, header: &Header, body: &[u8]) -> Result<Self, Error> {
        let (Some(key), Some(ack)) = (key(kek), kek.ack) else {
            return Err(Misbehaved::UnknownAcknowledgement.into());
        };
        if header.flags != Flags::NONE || header.message_id != 0 {
            return Err(Misbehaved::Encryption.into());
        }
        let chain = Chain::parse(header.next, body, Padding::None)?;
        let covered = chain.payloads.first().map_or(0, |first| first.whole.len());
        let mut payloads = Payloads::new(chain);
        let hash = payloads.take(PayloadType::HASH)?.body;
        if !prf(hash_of(ack), &key, &[&body[covered..]]).matches(hash) {
            return Err(Unauthenticated::Hash.into());
        }
        let mut reader = Reader::new(payloads.take(PayloadType::SEQ)?.body, "SEQ payload");
        let sequence = reader.u32()?;
        reader.finish()?;
        let id = Identification::parse(payloads.take(PayloadType::ID)?.body)?;
        payloads.finish()?;
        match id.identity()? {
            Identity::Address(member) => Ok(Acknowledgement { sequence, member }),
            _ => Err(Misbehaved::UnknownAcknowledgement.into()),
        }
    }
}

fn key(kek: &Kek) -> Option<Secret> {
    let (_, base_key) = super::split_key(kek).ok()?;
    Some(ack_key(hash_of(kek.ack?), &base_key, &kek.spi))
}

const fn hash_of(ack: AckType) -> Hash {
    match ack {
        AckType::KekSha256 => Hash::Sha256,
        AckType::KekSha512 => Hash::Sha512,
    }
}

fn header(kek: &Kek) -> Header {
    let (initiator, responder) = cookies(kek);
    Header {
        initiator: Cookie(initiator),
        responder: Cookie(responder),
        next: PayloadType::HASH,
        exchange: ExchangeType::GROUPKEY_PUSH_ACK,
        flags: Flags::NONE,
        message_id: 0,
    }
}
