//! The member's side.

use super::check_header;
use super::offer::Offer;
use super::policy::GroupPolicy;
use crate::crypto::cbc::Block;
use crate::crypto::Random;
use crate::error::{Error, Malformed};
use crate::phase1::{fresh_message_id, fresh_nonce, take_nonce, IsakmpSa};
use crate::policy::GroupId;
use crate::wire::{ExchangeType, GroupSa, Header, Identification, Kd, PayloadType, Payloads, Reader};

/// A PULL that this member began.
pub enum PullInitiator {
    /// The first message is out.
    AwaitSa(AwaitSa),
    /// The third message is out.
    AwaitKeys(AwaitKeys),
}

/// What a message led to.
pub enum PullStep {
    /// The next state, and the message to send.
    Next(PullInitiator, Vec<u8>),
    /// Done.
    Downloaded(GroupPolicy),
}

/// Waits for the second message.
pub struct AwaitSa {
    message_id: u32,
    iv: Block,
    nonce: Vec<u8>,
}

/// Waits for the fourth message.
pub struct AwaitKeys {
    message_id: u32,
    iv: Block,
    ni: Vec<u8>,
    nr: Vec<u8>,
    offer: Offer,
}

impl PullInitiator {
    /// Begins: the state and the first message.
    ///
    /// # Errors
    /// Only internal ones.
    pub fn start(
        sa: &IsakmpSa,
        group: GroupId,
        random: &mut dyn Random,
    ) -> Result<(PullInitiator, Vec<u8>), Error> {
        let message_id = fresh_message_id(random)?;
        let nonce = fresh_nonce(random)?;
        let id = Identification::group(group).emit();
        let payloads = [(PayloadType::NONCE, &nonce[..]), (PayloadType::ID, &id)];
        let hash = |rest: &[u8]| sa.skeyid().pull_hash_1(message_id, rest);
        let sealed =
            sa.seal(ExchangeType::GROUPKEY_PULL, message_id, &sa.first_iv(message_id), &payloads, hash)?;
        Ok((PullInitiator::AwaitSa(AwaitSa { message_id, iv: sealed.next_iv, nonce }), sealed.message))
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

impl AwaitSa {
    fn step(&self, sa: &IsakmpSa, header: &Header, body: &[u8]) -> Result<PullStep, Error> {
        check_header(header, sa, self.message_id)?;
        let opened = sa.open(header, body, &self.iv)?;
        let mut payloads =
            opened.authenticated(|rest| sa.skeyid().pull_hash_2(self.message_id, &self.nonce, rest))?;
        let theirs = take_nonce(&mut payloads)?;
        let offer = Offer::understand(&GroupSa::parse(payloads.take(PayloadType::SA)?.body)?)?.with_teks()?;
        payloads.finish()?;
        let hash = |rest: &[u8]| sa.skeyid().pull_hash_3(self.message_id, &self.nonce, theirs, rest);
        let sealed = sa.seal(ExchangeType::GROUPKEY_PULL, self.message_id, &opened.next_iv, &[], hash)?;
        let (ni, nr) = (self.nonce.clone(), theirs.to_vec());
        let next = AwaitKeys { message_id: self.message_id, iv: sealed.next_iv, ni, nr, offer };
        Ok(PullStep::Next(PullInitiator::AwaitKeys(next), sealed.message))
    }
}

impl AwaitKeys {
    fn step(&self, sa: &IsakmpSa, header: &Header, body: &[u8]) -> Result<PullStep, Error> {
        check_header(header, sa, self.message_id)?;
        let opened = sa.open(header, body, &self.iv)?;
        let hash = |rest: &[u8]| sa.skeyid().pull_hash_4(self.message_id, &self.ni, &self.nr, rest);
        let mut payloads = opened.authenticated(hash)?;
        let sequence = take_sequence(&mut payloads)?;
        let kd = Kd::parse(payloads.take(PayloadType::KD)?.body)?;
        payloads.finish()?;
        Ok(PullStep::Downloaded(self.offer.complete(&kd, sequence)?))
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
