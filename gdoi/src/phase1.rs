//! IKEv1 Main Mode (RFC 2409 section 5), here with pre-shared keys (section 5.4).
//!
//! ```text
//!     initiator                      responder
//!     HDR, SA, VID            -->
//!                             <--    HDR, SA, VID
//!     HDR, KE, Ni             -->
//!                             <--    HDR, KE, Nr
//!     HDR*, IDii, HASH_I      -->
//!                             <--    HDR*, IDir, HASH_R
//! ```

mod anti_clogging;
mod credential;
mod initiator;
mod negotiation;
mod opening;
mod responder;
mod sa;

pub(crate) use anti_clogging::{AntiClogging, Named, OfferName};
pub use credential::Credential;
pub use initiator::{Initiator, InitiatorStep};
pub(crate) use negotiation::{hinted, Negotiated, Negotiation};
pub use opening::Opening;
pub use responder::{Responder, ResponderStep};
pub(crate) use sa::fresh_message_id;
pub use sa::{Cookies, Informational, IsakmpSa};

use crate::crypto::cbc::Block;
use crate::crypto::derive::{phase1_iv, Exchange, Skeyid};
use crate::crypto::{DhGroup, KeyPair, Random, Secret};
use crate::error::{Error, Malformed, Misbehaved, Unacceptable};
use crate::policy::{Doi, Identity, Proposal};
use crate::protect::Opened;
use crate::wire::{
    emit_chain, Chain, Cookie, ExchangeType, Flags, Header, Identification, Padding, PayloadType, Payloads,
};

/// The vendor ID of this implementation: the first 16 octets of the SHA-256 of
/// "Group Domain of Interpretation for Linux", and a version. Private attributes go only to peers that sent it.
pub const VENDOR_ID: [u8; 17] =
    [0x87, 0x63, 0x46, 0xff, 0xca, 0x71, 0xfd, 0x00, 0x08, 0xaf, 0x2f, 0x1a, 0x64, 0x43, 0xb3, 0xd1, 1];

/// The vendor ID of dead peer detection, version 1.0 (RFC 3706 section 5.1). Cooperating key servers send it,
/// members do not.
pub const DPD_VENDOR_ID: [u8; 16] =
    [0xaf, 0xca, 0xd7, 0x13, 0x68, 0xa1, 0xf1, 0xc9, 0x6b, 0x86, 0x96, 0xfc, 0x77, 0x57, 1, 0];

/// The vendor ID that announces fragments ([`crate::fragment`]): the first 16 octets of the SHA-256 of
/// "Group Domain of Interpretation for Linux: fragments".
pub const FRAGMENTS_VENDOR_ID: [u8; 16] =
    [0xcd, 0xed, 0x1e, 0x65, 0xed, 0x3f, 0xf9, 0x30, 0x43, 0x55, 0xe9, 0x9e, 0x6c, 0xee, 0xe1, 0xf1];

const NONCE_LEN: usize = 32;

/// What one side brings to phase 1.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What it proves itself with to this peer.
    pub credential: Credential,
    /// Who this side says it is.
    pub identity: Identity,
    /// What the initiator offers, or the responder accepts; in order of preference.
    pub proposals: Vec<Proposal>,
    /// The DOI that the initiator sends; a responder answers with the one it got.
    pub doi: Doi,
}

/// The part of the exchange that both sides keep from its first two messages.
#[derive(Clone)]
struct Transcript {
    cookies: Cookies,
    proposal: Proposal,
    /// The body of the initiator's SA payload.
    sai_b: Vec<u8>,
    announced: Announced,
}

/// What a peer's vendor IDs say of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Announced {
    /// It is this implementation.
    ours: bool,
    /// It detects dead peers and answers those who do.
    dpd: bool,
    /// It is this implementation and takes messages in fragments.
    fragments: bool,
}

/// What both sides know after the fourth message.
struct Keys {
    skeyid: Skeyid,
    cipher: Secret,
    iv: Block,
    initiator_public: Vec<u8>,
    responder_public: Vec<u8>,
}

/// The public value and nonce of each side.
struct Contribution<'a> {
    public: &'a [u8],
    nonce: &'a [u8],
}

impl Keys {
    fn derive(
        transcript: &Transcript,
        credential: &Credential,
        g_xy: &Secret,
        initiator: &Contribution<'_>,
        responder: &Contribution<'_>,
    ) -> Keys {
        let hash = transcript.proposal.hash;
        let (initiator_public, responder_public) = (initiator.public.to_vec(), responder.public.to_vec());
        let exchange = exchange(transcript, &initiator_public, &responder_public);
        let skeyid = credential.skeyid(hash, initiator.nonce, responder.nonce);
        let skeyid = Skeyid::derive(hash, skeyid, g_xy, &exchange);
        let cipher = skeyid.cipher_key(transcript.proposal.key_len);
        let iv = phase1_iv(hash, &exchange);
        Keys { skeyid, cipher, iv, initiator_public, responder_public }
    }

    fn hash_i(&self, transcript: &Transcript, id_b: &[u8]) -> Secret {
        let exchange = exchange(transcript, &self.initiator_public, &self.responder_public);
        self.skeyid.hash_i(&exchange, &transcript.sai_b, id_b)
    }

    fn hash_r(&self, transcript: &Transcript, id_b: &[u8]) -> Secret {
        let exchange = exchange(transcript, &self.initiator_public, &self.responder_public);
        self.skeyid.hash_r(&exchange, &transcript.sai_b, id_b)
    }
}

fn exchange<'a>(transcript: &Transcript, initiator: &'a [u8], responder: &'a [u8]) -> Exchange<'a> {
    Exchange {
        initiator_public: initiator,
        responder_public: responder,
        initiator_cookie: transcript.cookies.initiator.0,
        responder_cookie: transcript.cookies.responder.0,
    }
}

fn main_mode(cookies: Cookies, payloads: &[(PayloadType, &[u8])]) -> Result<Vec<u8>, Error> {
    let next = payloads.first().map_or(PayloadType::NONE, |(kind, _)| *kind);
    Ok(Header { next, ..main_mode_header(cookies) }.emit(&emit_chain(payloads)?)?)
}

fn main_mode_header(cookies: Cookies) -> Header {
    Header {
        initiator: cookies.initiator,
        responder: cookies.responder,
        next: PayloadType::NONE,
        exchange: ExchangeType::IDENTITY_PROTECTION,
        flags: Flags::NONE,
        message_id: 0,
    }
}

/// Whether a datagram says that it is the first message of a phase 1, whose sender has shown nothing yet.
pub fn is_first(datagram: &[u8]) -> bool {
    let exchange = ExchangeType::claimed_by(datagram);
    exchange == Some(ExchangeType::IDENTITY_PROTECTION) && datagram.get(8..16) == Some(&Cookie::ZERO.0[..])
}

/// Whether the message is one of this exchange at all.
fn check_header(header: &Header, cookies: Cookies) -> Result<(), Error> {
    match (header.exchange, header.message_id) {
        (ExchangeType::IDENTITY_PROTECTION, 0) if cookies == Cookies::of(header) => Ok(()),
        (ExchangeType::IDENTITY_PROTECTION, _) => Err(Misbehaved::UnknownExchange.into()),
        (other, _) => Err(Misbehaved::UnsupportedExchange(other).into()),
    }
}

fn clear_payloads<'a>(header: &Header, body: &'a [u8]) -> Result<Payloads<'a>, Error> {
    if header.flags.is_encrypted() {
        return Err(Misbehaved::Encryption.into());
    }
    Ok(Payloads::new(Chain::parse(header.next, body, Padding::None)?))
}

/// Takes all vendor IDs; those that mean nothing here are passed over.
fn take_vendor_ids(payloads: &mut Payloads<'_>) -> Announced {
    let all = payloads.take_all(PayloadType::VENDOR);
    let among = |id: &[u8]| all.iter().any(|payload| payload.body == id);
    let ours = among(&VENDOR_ID);
    Announced { ours, dpd: among(&DPD_VENDOR_ID), fragments: ours && among(&FRAGMENTS_VENDOR_ID) }
}

/// An SA payload and vendor IDs: the first message or the second.
fn first_payloads<'a>(sa: &'a [u8], vendor_ids: &[&'a [u8]]) -> Vec<(PayloadType, &'a [u8])> {
    let vendor_ids = vendor_ids.iter().map(|id| (PayloadType::VENDOR, *id));
    std::iter::once((PayloadType::SA, sa)).chain(vendor_ids).collect()
}

/// The peer's public value and nonce.
fn take_contribution<'a>(payloads: &mut Payloads<'a>) -> Result<Contribution<'a>, Error> {
    let public = payloads.take(PayloadType::KE)?.body;
    let nonce = take_nonce(payloads)?;
    Ok(Contribution { public, nonce })
}

/// A nonce of 8 to 128 octets (RFC 6407 section 5.8; RFC 2409 allows up to 256).
pub(crate) fn take_nonce<'a>(payloads: &mut Payloads<'a>) -> Result<&'a [u8], Error> {
    let nonce = payloads.take(PayloadType::NONCE)?.body;
    match nonce.len() {
        8..=128 => Ok(nonce),
        _ => Err(Misbehaved::NonceLength.into()),
    }
}

pub(crate) fn fresh_nonce(random: &mut dyn Random) -> Result<Vec<u8>, Error> {
    let mut nonce = vec![0; NONCE_LEN];
    random.fill(&mut nonce)?;
    Ok(nonce)
}

fn fresh_cookie(random: &mut dyn Random) -> Result<Cookie, Error> {
    let mut cookie = Cookie::ZERO;
    while cookie == Cookie::ZERO {
        random.fill(&mut cookie.0)?;
    }
    Ok(cookie)
}

fn agree(pair: &KeyPair, peer: &[u8]) -> Result<Secret, Error> {
    pair.agree(peer).map_err(at_fault)
}

/// The peer's value must be one of the group before anything is made of it.
fn check_public(group: DhGroup, peer: &[u8]) -> Result<(), Error> {
    group.check(peer).map_err(at_fault)
}

fn at_fault(error: crate::crypto::Error) -> Error {
    match error {
        crate::crypto::Error::BadPublicValue => Unacceptable::PublicValue.into(),
        other => Error::Internal(other),
    }
}

/// The fifth or sixth message: the identity of its sender, once that is proved. The sender's HASH_I or HASH_R is `hash` of
/// the identity payload's body.
fn take_identity(
    opened: &Opened,
    credential: &Credential,
    hash: impl FnOnce(&[u8]) -> Secret,
) -> Result<Identity, Error> {
    let mut payloads = opened.payloads().map_err(|_| credential.failure())?;
    let id = payloads.take(PayloadType::ID).map_err(|_| credential.failure())?.body;
    credential.check(&mut payloads, &hash(id))?;
    take_vendor_ids(&mut payloads);
    payloads.take_all(PayloadType::NOTIFY);
    payloads.finish()?;
    Identification::parse(id)?.identity()
}

#[cfg(test)]
mod tests;
