//! A group's policy and keys, and how a key server writes them into SA and KD payloads.

use super::notice::AclNotice;
use crate::crypto::sign::{PublicKey, SignatureAlgorithm};
use crate::crypto::Secret;
use crate::policy::{
    Aead, Integrity, Selector, SendMode, SenderTerms, SidGeneration, Side, Spi, TekKeys, Transform, SID_BITS,
};
use crate::wire::{Gap, GroupSa, IdField, Kd, KeyPacket, SaKek, SaTek, SenderFields};
use std::net::SocketAddr;
use std::time::Duration;

pub(super) const UDP: u8 = 17;
pub(super) const KEK_ALG_AES: u16 = 3;
pub(super) const KEK_IV_LEN: usize = 16;
pub(super) const ESP_AES_CBC: u8 = 12;
pub(super) const ESP_AES_GCM_16: u8 = 20;
/// From the range for private use: IKEv1 has no number for it.
pub(super) const ESP_CHACHA20_POLY1305: u8 = 249;
pub(super) const TUNNEL: u16 = 1;
pub(super) const SOURCE_AND_DESTINATION: u16 = 4;
pub(super) const RECEIVER_ONLY: u16 = 2;
pub(super) const SYMMETRIC: u16 = 3;

/// All that a PULL downloads, or the part of it that a PUSH changes.
#[derive(Clone, Debug)]
pub struct GroupPolicy {
    /// Which traffic the group protects, and how that is told.
    pub acl: AclNotice,
    /// What members do when they send; nothing is said of it beside selectors where there is no TEK.
    pub mode: SendMode,
    /// The traffic keys, the one that ends first before the others.
    pub teks: Vec<Tek>,
    /// The rekey SA, where the group has one.
    pub kek: Option<Kek>,
    /// ATD, whole seconds.
    pub activation_delay: Option<Duration>,
    /// DTD, whole seconds.
    pub deactivation_delay: Option<Duration>,
    /// The group's time, milliseconds; between our own implementations only.
    pub pseudotime: Option<u64>,
}

/// Sender identifiers for one member (RFC 6407 section 5.6.4).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SenderIds {
    /// How many bits each has.
    pub bits: u16,
    /// No other member has any of these under the same traffic keys.
    pub values: Vec<u32>,
    /// For which traffic keys they are; between our own implementations only.
    pub generation: Option<SidGeneration>,
}

/// A traffic encryption key.
#[derive(Clone, Debug, PartialEq)]
pub struct Tek {
    /// Its SPI; where every sender has its own key the base of a block.
    pub spi: Spi,
    /// How it is used.
    pub transform: Transform,
    /// The keys, of the kind and lengths that the transform has.
    pub keys: TekKeys,
    /// Where every sender has its own key.
    pub senders: Option<SenderTerms>,
    /// What is left of its life, whole seconds.
    pub lifetime: Duration,
}

/// A key encryption key: the rekey SA.
#[derive(Clone, Debug)]
pub struct Kek {
    /// The cookie pair of the rekey messages, 16 octets.
    pub spi: [u8; 16],
    /// The IV (16 octets) and the AES key (16 or 32 octets).
    pub key: Secret,
    /// What is left of its life, whole seconds.
    pub lifetime: Duration,
    /// How rekey messages are signed.
    pub signature: SignatureAlgorithm,
    /// The key that verifies them.
    pub verification: PublicKey,
    /// Where they come from.
    pub source: SocketAddr,
    /// Where they go to.
    pub destination: SocketAddr,
    /// The number of the last one sent.
    pub sequence: u32,
    /// Which acknowledgement it asks for.
    pub ack: Option<AckType>,
}

/// KEK_ACK_REQUESTED (RFC 8263 section 2), as far as there is no LKH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckType {
    /// REKEY_ACK_KEK_SHA256.
    KekSha256,
    /// REKEY_ACK_KEK_SHA512.
    KekSha512,
}

impl AckType {
    /// The value of the attribute.
    pub const fn number(self) -> u16 {
        match self {
            AckType::KekSha256 => 1,
            AckType::KekSha512 => 3,
        }
    }

    /// The type of this value; one that cannot be answered is as none (RFC 8263 section 4).
    pub const fn from_number(number: u16) -> Option<Self> {
        match number {
            1 => Some(AckType::KekSha256),
            3 => Some(AckType::KekSha512),
            _ => None,
        }
    }
}

impl GroupPolicy {
    /// The SA payload. TEKs repeat for every traffic selector.
    pub(crate) fn announce(&self) -> GroupSa {
        let seconds = |delay: Duration| u16::try_from(delay.as_secs()).unwrap_or(u16::MAX);
        let gap = Gap {
            activation_delay: self.activation_delay.map(seconds),
            deactivation_delay: self.deactivation_delay.map(seconds),
            sender_ids: None,
            pseudotime: self.pseudotime,
            acl: self.acl.digest(),
            mode: self.acl.digest().map(|_| self.mode),
        };
        let selectors = self.acl.selectors();
        GroupSa {
            kek: self.kek.as_ref().map(Kek::announce),
            gap: (gap != Gap::default()).then_some(gap),
            acl: self.acl.payload(),
            teks: self
                .teks
                .iter()
                .flat_map(|tek| selectors.iter().map(|selector| tek.announce(selector, self.direction())))
                .collect(),
        }
    }

    /// Without a GAP that members of this implementation read, the SAs say it.
    const fn direction(&self) -> u16 {
        match (&self.acl, self.mode) {
            (AclNotice::Selectors(_), SendMode::ReceiveOnly) => RECEIVER_ONLY,
            _ => SYMMETRIC,
        }
    }

    /// The KD payload.
    pub(crate) fn download(&self) -> Kd {
        let kek = self.kek.iter().map(|kek| KeyPacket::Kek {
            spi: kek.spi,
            key: kek.key.clone(),
            verification_key: kek.verification.spki().to_vec(),
        });
        Kd(kek.chain(self.teks.iter().map(Tek::download)).collect())
    }
}

impl Tek {
    fn download(&self) -> KeyPacket {
        let spi = self.spi.0;
        match &self.keys {
            TekKeys::Shared { encryption, integrity } => {
                KeyPacket::Tek { spi, encryption: encryption.clone(), integrity: integrity.clone() }
            }
            TekKeys::PerSender(seed) => KeyPacket::Seed { spi, seed: seed.clone() },
        }
    }

    /// A range of several ports has no form in a SAT: no list with one is announced like this.
    fn announce(&self, selector: &Selector, direction: u16) -> SaTek {
        let field = |side: Side| IdField::prefix(&side.prefix, side.ports.and_then(|ports| ports.single()));
        let (transform, key_bits, authentication) = numbers(self.transform);
        let fields = |terms: SenderTerms| SenderFields {
            bits: SID_BITS,
            generation: terms.generation,
            replay_window: terms.replay_window,
        };
        SaTek {
            protocol: selector.protocol().unwrap_or(0),
            source: field(selector.source()),
            destination: field(selector.destination()),
            transform,
            spi: self.spi.0,
            lifetime: whole_seconds(self.lifetime),
            mode: TUNNEL,
            authentication,
            key_bits,
            preservation: SOURCE_AND_DESTINATION,
            direction,
            senders: self.senders.map(fields),
        }
    }
}

impl Kek {
    /// The SPI as the two cookies of a rekey message.
    pub(crate) fn cookies(&self) -> ([u8; 8], [u8; 8]) {
        let (mut initiator, mut responder) = ([0; 8], [0; 8]);
        initiator.copy_from_slice(&self.spi[..8]);
        responder.copy_from_slice(&self.spi[8..]);
        (initiator, responder)
    }

    fn announce(&self) -> SaKek {
        SaKek {
            protocol: UDP,
            source: IdField::address(self.source.ip(), self.source.port()),
            destination: IdField::address(self.destination.ip(), self.destination.port()),
            spi: self.spi,
            algorithm: KEK_ALG_AES,
            key_bits: (self.key.len().saturating_sub(KEK_IV_LEN) * 8) as u16,
            lifetime: whole_seconds(self.lifetime),
            signature_hash: self.signature.hash_number(),
            signature_algorithm: self.signature.number(),
            signature_bits: self.verification.bits() as u16,
            ack_requested: self.ack.map_or(0, AckType::number),
        }
    }
}

fn whole_seconds(lifetime: Duration) -> u32 {
    u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX)
}

/// ESP transform, key length in bits (without the salt, RFC 4106 section 8.2) and authentication algorithm; 0 where there
/// is none to be said.
const fn numbers(transform: Transform) -> (u8, u16, u16) {
    match transform {
        Transform::Shared { cipher, integrity } => {
            (ESP_AES_CBC, cipher.key_len() as u16 * 8, authentication_number(integrity))
        }
        Transform::PerSender(Aead::ChaCha20Poly1305) => (ESP_CHACHA20_POLY1305, 0, 0),
        Transform::PerSender(aead) => (ESP_AES_GCM_16, aead.key_len() as u16 * 8, 0),
    }
}

pub(super) const fn authentication_number(integrity: Integrity) -> u16 {
    match integrity {
        Integrity::HmacSha256 => 5,
        Integrity::HmacSha384 => 6,
        Integrity::HmacSha512 => 7,
    }
}
