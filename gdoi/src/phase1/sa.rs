//! The ISAKMP SA that phase 1 leaves behind.

use crate::crypto::cbc::Block;
use crate::crypto::derive::{phase2_iv, Skeyid};
use crate::crypto::{Random, Secret};
use crate::error::Error;
use crate::policy::{Identity, Proposal};
use crate::protect::{open, seal, Opened, Sealed};
use crate::wire::{emit_chain, Cookie, Delete, ExchangeType, Flags, Header, Notify, NotifyType, PayloadType};
use std::fmt;

/// The name of an ISAKMP SA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cookies {
    /// Chosen by the initiator.
    pub initiator: Cookie,
    /// Chosen by the responder.
    pub responder: Cookie,
}

impl Cookies {
    /// The pair in a header.
    pub fn of(header: &Header) -> Self {
        Cookies { initiator: header.initiator, responder: header.responder }
    }

    /// Both as 16 octets.
    pub fn octets(&self) -> [u8; 16] {
        let mut octets = [0; 16];
        octets[..8].copy_from_slice(&self.initiator.0);
        octets[8..].copy_from_slice(&self.responder.0);
        octets
    }
}

/// What a message behind phase 1 must carry in an informational exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Informational {
    /// The peer deleted this SA.
    Deleted,
    /// The peer reports this.
    Notified(NotifyType),
    /// Nothing that matters here.
    Other,
}

/// An established ISAKMP SA: protects phase 2 exchanges.
pub struct IsakmpSa {
    /// Its name.
    pub cookies: Cookies,
    /// What was agreed.
    pub proposal: Proposal,
    /// The identity that the peer proved.
    pub peer: Identity,
    /// Whether the peer announced this implementation by vendor ID.
    pub ours: bool,
    pub(super) skeyid: Skeyid,
    pub(super) cipher: Secret,
    pub(super) last_block: Block,
}

impl fmt::Debug for IsakmpSa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IsakmpSa")
            .field("cookies", &self.cookies)
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

impl IsakmpSa {
    /// The first vector of the exchange `message_id`.
    pub(crate) fn first_iv(&self, message_id: u32) -> Block {
        phase2_iv(self.skeyid.hash(), &self.last_block, message_id)
    }

    pub(crate) fn skeyid(&self) -> &Skeyid {
        &self.skeyid
    }

    fn header(&self, exchange: ExchangeType, message_id: u32) -> Header {
        let Cookies { initiator, responder } = self.cookies;
        Header { initiator, responder, next: PayloadType::NONE, exchange, flags: Flags::NONE, message_id }
    }

    /// A message of `exchange`: HASH, made by `hash` of the rest, and `payloads`.
    pub(crate) fn seal(
        &self,
        exchange: ExchangeType,
        message_id: u32,
        iv: &Block,
        payloads: &[(PayloadType, &[u8])],
        hash: impl FnOnce(&[u8]) -> Secret,
    ) -> Result<Sealed, Error> {
        let hash = hash(&emit_chain(payloads));
        let all: Vec<_> =
            std::iter::once((PayloadType::HASH, hash.expose())).chain(payloads.iter().copied()).collect();
        seal(self.header(exchange, message_id), &self.cipher, iv, &all)
    }

    pub(crate) fn open(&self, header: &Header, body: &[u8], iv: &Block) -> Result<Opened, Error> {
        open(header, body, &self.cipher, iv)
    }

    /// A protected informational message with a notify payload (RFC 2409 section 5.7).
    ///
    /// # Errors
    /// Only internal ones.
    pub fn notify(&self, kind: NotifyType, random: &mut dyn Random) -> Result<Vec<u8>, Error> {
        self.inform((PayloadType::NOTIFY, &Notify { kind }.emit()), random)
    }

    /// A protected informational message that deletes this SA.
    ///
    /// # Errors
    /// Only internal ones.
    pub fn delete(&self, random: &mut dyn Random) -> Result<Vec<u8>, Error> {
        self.inform((PayloadType::DELETE, &Delete::phase1(self.cookies.octets()).emit()), random)
    }

    fn inform(&self, payload: (PayloadType, &[u8]), random: &mut dyn Random) -> Result<Vec<u8>, Error> {
        let id = fresh_message_id(random)?;
        let hash = |rest: &[u8]| self.skeyid.informational_hash(id, rest);
        Ok(self.seal(ExchangeType::INFORMATIONAL, id, &self.first_iv(id), &[payload], hash)?.message)
    }

    /// Reads a protected informational message.
    ///
    /// # Errors
    /// Anything that is not a message of the peer with exactly one notify or delete payload.
    pub fn informed(&self, header: &Header, body: &[u8]) -> Result<Informational, Error> {
        let opened = self.open(header, body, &self.first_iv(header.message_id))?;
        let mut payloads =
            opened.authenticated(|rest| self.skeyid.informational_hash(header.message_id, rest))?;
        let delete = payloads
            .take_optional(PayloadType::DELETE)?
            .map(|payload| Delete::parse(payload.body))
            .transpose()?;
        let notify = payloads
            .take_optional(PayloadType::NOTIFY)?
            .map(|payload| Notify::parse(payload.body))
            .transpose()?;
        payloads.finish()?;
        Ok(match (delete, notify) {
            (Some(delete), _) if delete.names_phase1(self.cookies.octets()) => Informational::Deleted,
            (_, Some(notify)) => Informational::Notified(notify.kind),
            _ => Informational::Other,
        })
    }
}

/// A message ID for a new exchange, not zero.
pub(crate) fn fresh_message_id(random: &mut dyn Random) -> Result<u32, Error> {
    let mut octets = [0; 4];
    while octets == [0; 4] {
        random.fill(&mut octets)?;
    }
    Ok(u32::from_be_bytes(octets))
}
