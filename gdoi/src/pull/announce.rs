//! How a key server writes a group's policy and keys into SA and KD payloads.

use super::numbers::{
    ack_number, authentication_number, ESP_AES_CBC, ESP_AES_GCM_16, ESP_CHACHA20_POLY1305, KEK_ALG_AES,
    KEK_IV_LEN, RECEIVER_ONLY, SOURCE_AND_DESTINATION, SYMMETRIC, TUNNEL, UDP,
};
use crate::group::{AclNotice, GroupPolicy, Kek, Tek};
use crate::policy::{
    Aead, Family, Prefix, Selector, SendMode, SenderTerms, Side, TekKeys, Transform, SID_BITS,
};
use crate::wire::{Gap, GroupSa, IdField, Kd, KeyPacket, SaKek, SaTek, SenderFields};
use std::net::SocketAddr;
use std::time::Duration;

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
            sender_id_nonce: None,
            holds: None,
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
    fn announce(&self) -> SaKek {
        SaKek {
            protocol: UDP,
            source: IdField::address(self.source.ip(), self.source.port()),
            destination: receivers(self.destination),
            spi: self.spi,
            algorithm: KEK_ALG_AES,
            key_bits: (self.key.len().saturating_sub(KEK_IV_LEN) * 8) as u16,
            lifetime: whole_seconds(self.lifetime),
            signature_hash: self.signature.hash_number(),
            signature_algorithm: self.signature.number(),
            signature_bits: self.verification.bits() as u16,
            ack_requested: self.ack.map_or(0, ack_number),
        }
    }
}

/// Where all members get it in one message that goes to each of them: any address (RFC 6407 section 5.3 leaves the type free).
fn receivers(destination: SocketAddr) -> IdField {
    match destination.ip().is_unspecified() {
        true => IdField::prefix(&Prefix::any(Family::of(destination.ip())), Some(destination.port())),
        false => IdField::address(destination.ip(), destination.port()),
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
