//! The key server's side: one message for all members.

use super::{cookies, split_key, SignedLength, REKEY};
use crate::crypto::cbc::BLOCK;
use crate::crypto::sign::SigningKey;
use crate::error::Error;
use crate::group::{Deletion, GroupPolicy, Kek};
use crate::protect::seal;
use crate::wire::{emit_chain, Cookie, Delete, ExchangeType, Flags, Header, PayloadType};
use zeroize::Zeroizing;

/// What a rekey message says.
pub(crate) struct PushContent<'a> {
    /// Its number under this KEK, from 1.
    pub(crate) sequence: u32,
    /// What ends.
    pub(crate) deletions: &'a [Deletion],
    /// What begins: new TEKs, a new KEK, delays.
    pub(crate) policy: Option<&'a GroupPolicy>,
    /// How the header is signed.
    pub(crate) signed_length: SignedLength,
}

/// The message, encrypted under `kek` and signed.
///
/// # Errors
/// Internal ones, and content that is too long for a message.
pub(crate) fn emit(kek: &Kek, signing_key: &SigningKey, content: &PushContent<'_>) -> Result<Vec<u8>, Error> {
    let sequence = content.sequence.to_be_bytes();
    let deletes: Vec<_> = deletes(content.deletions).iter().map(Delete::emit).collect::<Result<_, _>>()?;
    let sa = content.policy.map(|policy| policy.announce().emit()).transpose()?;
    let kd = content.policy.map(|policy| policy.download().emit()).transpose()?;
    let mut payloads = vec![(PayloadType::SEQ, &sequence[..])];
    payloads.extend(deletes.iter().map(|body| (PayloadType::DELETE, &body[..])));
    payloads.extend(sa.iter().map(|body| (PayloadType::SA, &body[..])));
    payloads.extend(kd.iter().map(|body| (PayloadType::KD, &body[..])));
    seal_signed(kek, (signing_key, content.signed_length), &payloads)
}

/// TEKs share one payload (RFC 6407 section 5.9).
pub(super) fn deletes(deletions: &[Deletion]) -> Vec<Delete> {
    let tek = |deletion: &Deletion| match deletion {
        Deletion::Tek(spi) => Some(spi.0),
        Deletion::AllTeks => Some(0),
        Deletion::Kek(_) | Deletion::AllKeks => None,
    };
    let kek = |deletion: &Deletion| match deletion {
        Deletion::Kek(spi) => Some(Delete::kek(*spi)),
        Deletion::AllKeks => Some(Delete::kek([0; 16])),
        Deletion::Tek(_) | Deletion::AllTeks => None,
    };
    let teks: Vec<_> = deletions.iter().filter_map(tek).collect();
    let teks = (!teks.is_empty()).then(|| Delete::teks(&teks));
    teks.into_iter().chain(deletions.iter().filter_map(kek)).collect()
}

/// The message with these payloads and their signature behind them.
pub(super) fn seal_signed(
    kek: &Kek,
    signer: (&SigningKey, SignedLength),
    payloads: &[(PayloadType, &[u8])],
) -> Result<Vec<u8>, Error> {
    let signature = sign(kek, signer, payloads)?;
    let signed: Vec<_> = payloads.iter().copied().chain([(PayloadType::SIG, &signature[..])]).collect();
    let (iv, key) = split_key(kek)?;
    Ok(seal(header(kek), &key, &iv, &signed)?.message)
}

/// The signature of "rekey", the header, and the payloads before the SIG payload.
fn sign(
    kek: &Kek,
    (signing_key, signed_length): (&SigningKey, SignedLength),
    payloads: &[(PayloadType, &[u8])],
) -> Result<Vec<u8>, Error> {
    let room = vec![0; signing_key.signature_len()];
    let all: Vec<_> = payloads.iter().copied().chain([(PayloadType::SIG, &room[..])]).collect();
    let chain = emit_chain(&all)?;
    let signed = &chain[..chain.len() - room.len() - 4];
    let header = header(kek).emit_before(match signed_length {
        SignedLength::Padded => chain.len().next_multiple_of(BLOCK),
        SignedLength::Unpadded => chain.len(),
    })?;
    let covered = Zeroizing::new([REKEY, &header, signed].concat());
    Ok(signing_key.sign(&covered)?)
}

fn header(kek: &Kek) -> Header {
    let (initiator, responder) = cookies(kek);
    Header {
        initiator: Cookie(initiator),
        responder: Cookie(responder),
        next: PayloadType::SEQ,
        exchange: ExchangeType::GROUPKEY_PUSH,
        flags: Flags::ENCRYPTED,
        message_id: 0,
    }
}
