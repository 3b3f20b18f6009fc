//! The key server's side.

use super::check_header;
use crate::crypto::cbc::Block;
use crate::crypto::Random;
use crate::error::{Error, Unacceptable};
use crate::group::{GroupPolicy, SenderIds};
use crate::phase1::{fresh_nonce, take_nonce, IsakmpSa};
use crate::policy::{SidGeneration, SidRequest};
use crate::wire::{ExchangeType, Gap, Header, Holds, IdType, Identification, KeyPacket, PayloadType};

/// What a group is named by.
pub(crate) const GROUP_IDENTITY: &str = "group identity type";

/// The first message of a PULL, authenticated: a member asks for a group.
pub struct Request {
    message_id: u32,
    iv: Block,
    ni: Vec<u8>,
    group: Vec<u8>,
}

/// Waits for the third message, the proof that the member is alive: nothing about the group changes before.
pub struct AwaitProof {
    message_id: u32,
    iv: Block,
    ni: Vec<u8>,
    nr: Vec<u8>,
    policy: GroupPolicy,
}

/// A third message that proves the member to be alive.
pub struct Proof {
    iv: Block,
    /// The sender IDs that it asks for (RFC 6407 section 5.4.2).
    pub sender_ids: SidRequest,
    /// Whether it says that it has all that it was offered.
    pub holds: Option<Holds>,
}

impl Request {
    /// Reads a first message.
    ///
    /// # Errors
    /// Anything but an authenticated HASH(1), Ni, ID with a key ID.
    pub fn parse(sa: &IsakmpSa, header: &Header, body: &[u8]) -> Result<Request, Error> {
        check_header(header, sa, header.message_id)?;
        let opened = sa.open(header, body, &sa.first_iv(header.message_id))?;
        let mut payloads = opened.authenticated(|rest| sa.skeyid().pull_hash_1(header.message_id, rest))?;
        let ni = take_nonce(&mut payloads)?.to_vec();
        let id = Identification::parse(payloads.take(PayloadType::ID)?.body)?;
        payloads.finish()?;
        match id.kind {
            IdType::KEY_ID => {
                Ok(Request { message_id: header.message_id, iv: opened.next_iv, ni, group: id.data })
            }
            other => Err(Unacceptable::Unsupported(GROUP_IDENTITY, u32::from(other.0)).into()),
        }
    }

    /// The group asked for: its number as 4 octets, or its name.
    pub fn group(&self) -> &[u8] {
        &self.group
    }

    /// Answers with the group's policy; the keys in `policy` are those that the fourth message will carry.
    ///
    /// # Errors
    /// Internal ones, and a policy that is too long for a message.
    pub fn offer(
        self,
        sa: &IsakmpSa,
        policy: GroupPolicy,
        random: &mut dyn Random,
    ) -> Result<(AwaitProof, Vec<u8>), Error> {
        let Request { message_id, iv, ni, .. } = self;
        let nr = fresh_nonce(random)?;
        let announced = policy.announce().emit()?;
        let payloads = [(PayloadType::NONCE, &nr[..]), (PayloadType::SA, &announced)];
        let hash = |rest: &[u8]| sa.skeyid().pull_hash_2(message_id, &ni, rest);
        let sealed = sa.seal(ExchangeType::GROUPKEY_PULL, message_id, &iv, &payloads, hash)?;
        Ok((AwaitProof { message_id, iv: sealed.next_iv, ni, nr, policy }, sealed.message))
    }
}

impl AwaitProof {
    /// Which exchange this is.
    pub const fn message_id(&self) -> u32 {
        self.message_id
    }

    /// What was offered.
    pub const fn policy(&self) -> &GroupPolicy {
        &self.policy
    }

    /// The generations of sender IDs that go with the traffic keys that were offered.
    pub fn generations(&self) -> impl Iterator<Item = SidGeneration> + '_ {
        self.policy.teks.iter().filter_map(|tek| tek.senders.map(|terms| terms.generation))
    }

    /// Takes in the third message.
    ///
    /// # Errors
    /// Anything but an authenticated HASH(3) with at most a GAP.
    pub fn check(&self, sa: &IsakmpSa, header: &Header, body: &[u8]) -> Result<Proof, Error> {
        check_header(header, sa, self.message_id)?;
        let opened = sa.open(header, body, &self.iv)?;
        let hash = |rest: &[u8]| sa.skeyid().pull_hash_3(self.message_id, &self.ni, &self.nr, rest);
        let mut payloads = opened.authenticated(hash)?;
        let gap = payloads.take_optional(PayloadType::GAP)?;
        let gap = gap.map(|payload| Gap::parse(payload.body)).transpose()?;
        payloads.finish()?;
        let gap = gap.unwrap_or_default();
        let sender_ids = SidRequest { count: gap.sender_ids.unwrap_or_default(), nonce: gap.sender_id_nonce };
        Ok(Proof { iv: opened.next_iv, sender_ids, holds: gap.holds.filter(|_| sa.ours) })
    }

    /// Answers a third message with the keys and the sender IDs that it asked for.
    ///
    /// # Errors
    /// Internal ones, and a policy that is too long for a message.
    pub fn deliver(&self, sa: &IsakmpSa, proof: &Proof, sids: Option<SenderIds>) -> Result<Vec<u8>, Error> {
        let mut kd = self.policy.download();
        kd.0.extend(sids.map(|SenderIds { bits, values, generation, .. }| KeyPacket::Sid {
            bits,
            values,
            generation,
        }));
        let (kd, iv) = (kd.emit()?, &proof.iv);
        let sequence = self.policy.kek.as_ref().map(|kek| kek.sequence.to_be_bytes());
        let seq = sequence.iter().map(|octets| (PayloadType::SEQ, &octets[..]));
        let payloads: Vec<_> = seq.chain([(PayloadType::KD, &kd[..])]).collect();
        let hash = |rest: &[u8]| sa.skeyid().pull_hash_4(self.message_id, &self.ni, &self.nr, rest);
        Ok(sa.seal(ExchangeType::GROUPKEY_PULL, self.message_id, iv, &payloads, hash)?.message)
    }
}
