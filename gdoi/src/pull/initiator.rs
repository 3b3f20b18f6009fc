//! The member's side.

use super::check_header;
use super::holdings::{Holdings, Tell};
use super::offer::Offer;
use crate::crypto::cbc::Block;
use crate::crypto::Random;
use crate::error::{Error, Malformed, Misbehaved};
use crate::group::{GroupPolicy, SenderIds};
use crate::phase1::{fresh_message_id, fresh_nonce, take_nonce, IsakmpSa};
use crate::policy::{GroupId, SidNonce, SidRequest, Spi, SID_BITS};
use crate::wire::{
    ExchangeType, Gap, GroupSa, Header, Holds, Identification, Kd, KeyPacket, PayloadType, Payloads, Reader,
};
use std::collections::BTreeSet;

/// A PULL that this member began.
pub enum PullInitiator {
    /// The first message is out.
    AwaitSa(AwaitSa),
    /// The third message is out.
    AwaitKeys(Box<AwaitKeys>),
}

/// What a message led to.
pub enum PullStep {
    /// The next state, and the message to send.
    Next(PullInitiator, Vec<u8>),
    /// Done.
    Downloaded(Box<GroupPolicy>, SenderIds),
}

/// Which sender IDs a member wants.
#[derive(Clone, Debug, Default)]
pub struct SidWish {
    /// These; the same ones again under the same nonce.
    pub request: SidRequest,
    /// Others where a TEK with one of these SPIs is offered, under this nonce.
    pub others: Option<(Vec<Spi>, SidNonce)>,
}

/// Waits for the second message.
pub struct AwaitSa {
    message_id: u32,
    iv: Block,
    nonce: Vec<u8>,
    sender_ids: SidWish,
    holdings: Option<Holdings>,
}

/// Waits for the fourth message.
pub struct AwaitKeys {
    message_id: u32,
    iv: Block,
    ni: Vec<u8>,
    nr: Vec<u8>,
    offer: Offer,
    sender_ids: SidRequest,
}

impl PullInitiator {
    /// Begins: the state and the first message. These sender IDs will be asked for (RFC 6407 section 5.4.2), without the
    /// nonce if the server is of another implementation; none if there are some among the `holdings` for all that is offered.
    ///
    /// # Errors
    /// Only internal ones.
    pub fn start(
        sa: &IsakmpSa,
        group: GroupId,
        sender_ids: SidWish,
        holdings: Option<Holdings>,
        random: &mut dyn Random,
    ) -> Result<(PullInitiator, Vec<u8>), Error> {
        let message_id = fresh_message_id(random)?;
        let nonce = fresh_nonce(random)?;
        let id = Identification::group(group).emit()?;
        let payloads = [(PayloadType::NONCE, &nonce[..]), (PayloadType::ID, &id)];
        let hash = |rest: &[u8]| sa.skeyid().pull_hash_1(message_id, rest);
        let sealed =
            sa.seal(ExchangeType::GROUPKEY_PULL, message_id, &sa.first_iv(message_id), &payloads, hash)?;
        Ok((
            PullInitiator::AwaitSa(AwaitSa { message_id, iv: sealed.next_iv, nonce, sender_ids, holdings }),
            sealed.message,
        ))
    }

    /// Takes in a message. On an error the exchange is as it was.
    ///
    /// # Errors
    /// Unauthenticated or about another exchange: the message may be anybody's. Any other: the server's fault.
    pub fn step(&self, sa: &IsakmpSa, header: &Header, body: &[u8]) -> Result<PullStep, Error> {
        match self {
            PullInitiator::AwaitSa(state) => state.step(sa, header, body),
            PullInitiator::AwaitKeys(state) => state.step(sa, header, body),
        }
    }
}

impl SidWish {
    /// What to ask for where this is offered.
    fn given(&self, offer: &Offer) -> SidRequest {
        match &self.others {
            Some((spis, nonce)) if offer.spis().any(|spi| spis.contains(&spi)) => {
                SidRequest { nonce: Some(*nonce), ..self.request }
            }
            _ => self.request,
        }
    }
}

impl AwaitSa {
    fn step(&self, sa: &IsakmpSa, header: &Header, body: &[u8]) -> Result<PullStep, Error> {
        check_header(header, sa, self.message_id)?;
        let opened = sa.open(header, body, &self.iv)?;
        let mut payloads =
            opened.authenticated(|rest| sa.skeyid().pull_hash_2(self.message_id, &self.nonce, rest))?;
        let theirs = take_nonce(&mut payloads)?;
        let offer = Offer::understand(&GroupSa::parse(payloads.take(PayloadType::SA)?.body)?)?.whole()?;
        payloads.finish()?;
        let hash = |rest: &[u8]| sa.skeyid().pull_hash_3(self.message_id, &self.nonce, theirs, rest);
        // "If any describe the use of a counter mode cipher" (RFC 6407 section 3.3). A server of ours may change to one, and
        // gives the identifiers for that.
        let counts = sa.ours || offer.generations().next().is_some();
        let (message_id, held) = (self.message_id, self.holdings.as_ref());
        let has_sids = held.is_some_and(|held| held.have_sids_for(&offer));
        let sender_ids =
            if counts && !has_sids { self.sender_ids.given(&offer) } else { SidRequest::default() };
        let tells = held.is_some_and(|held| sa.ours && held.tell == Tell::Server && held.cover(&offer));
        let asks = sender_ids.count > 0;
        let wish = Gap {
            sender_ids: asks.then_some(sender_ids.count),
            sender_id_nonce: sender_ids.nonce.filter(|_| sa.ours && asks),
            holds: tells.then_some(Holds::AllOffered),
            ..Gap::default()
        };
        let body = wish.emit()?;
        let body = [(PayloadType::GAP, &body[..])];
        let payloads = if wish == Gap::default() { &[][..] } else { &body[..] };
        let sealed = sa.seal(ExchangeType::GROUPKEY_PULL, message_id, &opened.next_iv, payloads, hash)?;
        let (ni, nr) = (self.nonce.clone(), theirs.to_vec());
        let next = AwaitKeys { message_id, iv: sealed.next_iv, ni, nr, offer, sender_ids };
        Ok(PullStep::Next(PullInitiator::AwaitKeys(Box::new(next)), sealed.message))
    }
}

impl AwaitKeys {
    fn step(&self, sa: &IsakmpSa, header: &Header, body: &[u8]) -> Result<PullStep, Error> {
        check_header(header, sa, self.message_id)?;
        let opened = sa.open(header, body, &self.iv)?;
        let hash = |rest: &[u8]| sa.skeyid().pull_hash_4(self.message_id, &self.ni, &self.nr, rest);
        let mut payloads = opened.authenticated(hash)?;
        let sequence = take_sequence(&mut payloads)?;
        let mut kd = Kd::parse(payloads.take(PayloadType::KD)?.body)?;
        payloads.finish()?;
        let sids = self.take_sender_ids(&mut kd)?;
        Ok(PullStep::Downloaded(Box::new(self.offer.complete(&kd, sequence)?), sids))
    }

    /// As many as were asked for. Where no TEK needs any, none at all will do: the server may have no use for them.
    fn take_sender_ids(&self, kd: &mut Kd) -> Result<SenderIds, Error> {
        let wrong = Err(Misbehaved::KeyMismatch("sender IDs").into());
        let count = usize::from(self.sender_ids.count);
        let needed = count > 0 && self.offer.generations().next().is_some();
        let is_sid = |packet: &KeyPacket| matches!(packet, KeyPacket::Sid { .. });
        let index = kd.0.iter().position(is_sid).filter(|_| count > 0);
        let Some(KeyPacket::Sid { bits, values, generation }) = index.map(|index| kd.0.remove(index)) else {
            return if needed { wrong } else { Ok(SenderIds::default()) };
        };
        let distinct = values.iter().collect::<BTreeSet<_>>().len() == values.len();
        let fit = values.iter().all(|value| u64::from(*value) >> bits.min(63) == 0);
        let usable = bits == SID_BITS
            && generation.is_some_and(|given| self.offer.generations().any(|offered| offered == given));
        match distinct && fit && values.len() == count && (usable || !needed) {
            true => Ok(SenderIds { bits, values, generation, nonce: self.sender_ids.nonce }),
            false => wrong,
        }
    }
}

/// The SEQ payload, 4 octets (RFC 6407 section 5.7).
fn take_sequence(payloads: &mut Payloads<'_>) -> Result<Option<u32>, Error> {
    let Some(payload) = payloads.take_optional(PayloadType::SEQ)? else { return Ok(None) };
    let mut reader = Reader::new(payload.body, "SEQ payload");
    let sequence = reader.u32()?;
    reader.finish().map_err(|_| Malformed::Length("SEQ payload"))?;
    Ok(Some(sequence))
}
