//! The member's side: every check before anything is believed, the signature before the content is read.

use super::{cookies, split_key, REKEY};
use crate::error::{Error, Misbehaved, Unauthenticated};
use crate::group::{Deletion, GroupPolicy, Kek, Rekey};
use crate::protect::open;
use crate::pull::Offer;
use crate::wire::{Delete, Flags, GroupSa, Header, Kd, Payload, PayloadType, Reader, HEADER_LEN};
use zeroize::Zeroizing;

/// Takes in a rekey message under `kek`, whose last sequence number is `kek.sequence`.
///
/// # Errors
/// Any: the message changes nothing.
pub(crate) fn receive(kek: &Kek, datagram: &[u8]) -> Result<Rekey, Error> {
    let (header, body) = Header::parse(datagram)?;
    check_header(kek, &header)?;
    let (iv, key) = split_key(kek)?;
    let opened = open(&header, body, &key, &iv)?;
    let chain = opened.chain()?;
    let sequence = sequence_of(&chain.payloads)?;
    if sequence <= kek.sequence {
        return Err(Misbehaved::Sequence { got: sequence, last: kek.sequence }.into());
    }
    let Some((signature, payloads)) =
        chain.payloads.split_last().filter(|(last, _)| last.kind == PayloadType::SIG)
    else {
        return Err(Misbehaved::MissingPayload(PayloadType::SIG).into());
    };
    let signed = &opened.plain()[..chain.length - signature.whole.len()];
    verify(kek, &header, (&datagram[..HEADER_LEN], chain.length), (signed, signature.body))?;
    let (deletions, policy) = content(&payloads[1..])?;
    Ok(Rekey { kek_spi: kek.spi, sequence, deletions, policy })
}

/// The group's time in a rekey message as it says itself, which nobody may have signed: enough to pass over one that is old.
pub(crate) fn claimed_time(kek: &Kek, datagram: &[u8]) -> Option<u64> {
    let (header, body) = Header::parse(datagram).ok()?;
    let (iv, key) = split_key(kek).ok()?;
    let opened = open(&header, body, &key, &iv).ok()?;
    let chain = opened.chain().ok()?;
    let sa = chain.payloads.iter().find(|payload| payload.kind == PayloadType::SA)?;
    GroupSa::parse(sa.body).ok()?.gap?.pseudotime
}

/// The signature covers the header "before it has been encrypted" (RFC 6407 section 4), and encryption pads: the length in
/// it may be that of the message or what it was before. Both readings are taken.
fn verify(
    kek: &Kek,
    header: &Header,
    (sent, unpadded): (&[u8], usize),
    (signed, signature): (&[u8], &[u8]),
) -> Result<(), Error> {
    let before = header.emit_before(unpadded)?;
    let covered = |header: &[u8]| Zeroizing::new([REKEY, header, signed].concat());
    let holds = |header: &[u8]| kek.verification.verify(&covered(header), signature).is_ok();
    match holds(sent) || before != sent && holds(&before) {
        true => Ok(()),
        false => Err(Unauthenticated::Signature.into()),
    }
}

fn check_header(kek: &Kek, header: &Header) -> Result<(), Error> {
    if (header.initiator.0, header.responder.0) != cookies(kek) || header.message_id != 0 {
        return Err(Misbehaved::UnknownExchange.into());
    }
    match header.flags {
        Flags::ENCRYPTED => Ok(()),
        _ => Err(Misbehaved::Encryption.into()),
    }
}

fn sequence_of(payloads: &[Payload<'_>]) -> Result<u32, Error> {
    let first = payloads.first().filter(|first| first.kind == PayloadType::SEQ);
    let first = first.ok_or(Unauthenticated::Decryption)?;
    let mut reader = Reader::new(first.body, "SEQ payload");
    let sequence = reader.u32()?;
    reader.finish()?;
    Ok(sequence)
}

/// The payloads between SEQ and SIG: deletes, then SA and KD or neither.
fn content(payloads: &[Payload<'_>]) -> Result<(Vec<Deletion>, Option<GroupPolicy>), Error> {
    let count = payloads.iter().take_while(|payload| payload.kind == PayloadType::DELETE).count();
    let (deletes, rest) = payloads.split_at(count);
    let mut deletions = Vec::new();
    for payload in deletes {
        deletions.extend(Delete::parse(payload.body)?.deletions()?);
    }
    let policy = match rest {
        [] if deletions.is_empty() => return Err(Misbehaved::MissingPayload(PayloadType::SA).into()),
        [] => None,
        [sa, kd] if (sa.kind, kd.kind) == (PayloadType::SA, PayloadType::KD) => {
            // The first message under a new KEK will have the number 1.
            Some(Offer::understand(&GroupSa::parse(sa.body)?)?.complete(&Kd::parse(kd.body)?, Some(0))?)
        }
        [other, ..] => return Err(Misbehaved::UnexpectedPayload(other.kind).into()),
    };
    Ok((deletions, policy))
}
