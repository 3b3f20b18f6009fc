//! The ISAKMP SA that phase 1 leaves behind.

use crate::crypto::cbc::Block;
use crate::crypto::derive::{phase2_iv, Skeyid};
use crate::crypto::{Random, Secret};
use crate::error::{Error, Misbehaved};
use crate::policy::{Identity, Proposal};
use crate::protect::{open, seal, Opened, Sealed};
use crate::wire::{
    emit_chain, Cookie, Delete, ExchangeType, Flags, Header, Liveness, Notify, NotifyType, PayloadType,
    Payloads, Postponement,
};
use std::fmt;
use std::time::Duration;

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
    /// The peer asks whether this side is alive: the number of its question (RFC 3706).
    AreYouThere(u32),
    /// The peer says that it is alive: the number of the question that it answers.
    StillHere(u32),
    /// The peer has nothing newer before that, and wants to be asked then.
    Postponed(Duration),
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
    /// Whether both sides announced dead peer detection (RFC 3706): in the negotiations of cooperating key servers.
    pub dpd: bool,
    /// Whether both sides announced that they take messages in fragments.
    pub fragments: bool,
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
        let hash = hash(&emit_chain(payloads)?);
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
        self.inform((PayloadType::NOTIFY, &Notify { kind }.emit()?), random)
    }

    /// A protected informational message that asks a member of this implementation to try later, and says when.
    ///
    /// # Errors
    /// Only internal ones.
    pub(crate) fn postpone(&self, delay: Duration, random: &mut dyn Random) -> Result<Vec<u8>, Error> {
        let seconds = u32::try_from(delay.as_secs()).unwrap_or(u32::MAX);
        self.inform((PayloadType::NOTIFY, &Postponement { seconds }.emit()?), random)
    }

    /// A protected informational message of dead peer detection, question or answer.
    pub(crate) fn liveness(
        &self,
        kind: NotifyType,
        sequence: u32,
        random: &mut dyn Random,
    ) -> Result<Vec<u8>, Error> {
        let liveness = Liveness { kind, cookies: self.cookies.octets(), sequence };
        self.inform((PayloadType::NOTIFY, &liveness.emit()?), random)
    }

    /// A protected informational message that deletes this SA.
    ///
    /// # Errors
    /// Only internal ones.
    pub fn delete(&self, random: &mut dyn Random) -> Result<Vec<u8>, Error> {
        self.inform((PayloadType::DELETE, &Delete::phase1(self.cookies.octets()).emit()?), random)
    }

    fn inform(&self, payload: (PayloadType, &[u8]), random: &mut dyn Random) -> Result<Vec<u8>, Error> {
        self.single(ExchangeType::INFORMATIONAL, payload, random)
    }

    /// The only message of an exchange, `HDR*, HASH(1), payload` with the hash of RFC 2409 section 5.7.
    pub(crate) fn single(
        &self,
        exchange: ExchangeType,
        payload: (PayloadType, &[u8]),
        random: &mut dyn Random,
    ) -> Result<Vec<u8>, Error> {
        let id = fresh_message_id(random)?;
        let hash = |rest: &[u8]| self.skeyid.informational_hash(id, rest);
        Ok(self.seal(exchange, id, &self.first_iv(id), &[payload], hash)?.message)
    }

    /// Decrypts the only message of an exchange.
    pub(crate) fn open_single(&self, header: &Header, body: &[u8]) -> Result<Opened, Error> {
        self.open(header, body, &self.first_iv(header.message_id))
    }

    /// What stands behind the hash of the only message of an exchange.
    pub(crate) fn read_single<'a>(&self, header: &Header, opened: &'a Opened) -> Result<Payloads<'a>, Error> {
        opened.authenticated(|rest| self.skeyid.informational_hash(header.message_id, rest))
    }

    /// Reads a protected informational message.
    ///
    /// # Errors
    /// Anything that is not a message of the peer with exactly one notify or delete payload.
    pub fn informed(&self, header: &Header, body: &[u8]) -> Result<Informational, Error> {
        let opened = self.open_single(header, body)?;
        let mut payloads = self.read_single(header, &opened)?;
        let delete = payloads
            .take_optional(PayloadType::DELETE)?
            .map(|payload| Delete::parse(payload.body))
            .transpose()?;
        let notified = payloads
            .take_optional(PayloadType::NOTIFY)?
            .map(|payload| self.notified(payload.body))
            .transpose()?;
        payloads.finish()?;
        Ok(match (delete, notified) {
            (Some(delete), _) if delete.names_phase1(self.cookies.octets()) => Informational::Deleted,
            (_, Some(notified)) => notified,
            _ => Informational::Other,
        })
    }

    fn notified(&self, body: &[u8]) -> Result<Informational, Error> {
        let kind = Notify::parse(body)?.kind;
        if !Liveness::has(kind) {
            let postponed = Postponement::parse(body)?.filter(|_| self.ours);
            let delay = postponed.map(|postponement| Duration::from_secs(postponement.seconds.into()));
            return Ok(delay.map_or(Informational::Notified(kind), Informational::Postponed));
        }
        let liveness = Liveness::parse(body)?;
        match (liveness.cookies == self.cookies.octets(), kind) {
            (false, _) => Err(Misbehaved::Cookie.into()),
            (true, NotifyType::R_U_THERE) => Ok(Informational::AreYouThere(liveness.sequence)),
            (true, _) => Ok(Informational::StillHere(liveness.sequence)),
        }
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
