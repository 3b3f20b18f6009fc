//! The keys of senders that have their own, and the proof that a packet was sent with one.
//!
//! A sender's key is HKDF-SHA-256 (RFC 5869) of the TEK's seed, without salt, for `"GDOI per-sender ESP" | group number
//! (4) | SPI (4)`: the cipher key and 4 octets of salt behind it.
//!
//! ```text
//! | SPI (4) | sequence number (4) | IV (8) | encrypted payload | ICV (16) |        nonce = salt (4) | IV (8)
//! ```

use crate::crypto::prf::prf;
use crate::crypto::{Hash, Secret};
use crate::policy::{Aead, GroupId, Seed, SenderKey, Spi};
use aws_lc_rs::aead::{
    Aad, Algorithm, LessSafeKey, Nonce, UnboundKey, AES_128_GCM, AES_256_GCM, CHACHA20_POLY1305, NONCE_LEN,
};
use zeroize::Zeroizing;

const LABEL: &[u8] = b"GDOI per-sender ESP";
/// An IPv4 packet has no more octets.
const MAX_PACKET: usize = 65_535;

/// So many high halves of a sequence number are tried: a sender that is heard for the first time after more than 2^36
/// packets under one key is not known.
const MAX_HIGH: u32 = 16;

/// Whether sequence numbers have 64 bits, of which the packet carries the low 32 (RFC 4303 section 2.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Esn {
    /// 64 bits.
    Extended,
    /// 32 bits.
    Short,
}

/// What one sender sends with.
#[derive(Clone, Debug, PartialEq)]
pub struct SenderSa {
    /// Its SPI.
    pub spi: Spi,
    /// With what it encrypts.
    pub key: SenderKey,
}

impl SenderSa {
    /// None where the key would not have the length that the cipher asks for.
    pub(crate) fn derive(seed: &Seed, aead: Aead, group: GroupId, spi: Spi) -> Option<SenderSa> {
        let info = [LABEL, &group.0.to_be_bytes(), &spi.0.to_be_bytes()].concat();
        let secret = hkdf(seed.secret(), &info, aead.key_len() + Aead::SALT_LEN);
        Some(SenderSa { spi, key: SenderKey::new(aead, secret).ok()? })
    }

    /// Verifies one ESP packet, from its SPI on (RFC 4106 sections 3 to 5, RFC 7634 section 2). Some if this sender
    /// made it, with the high half of its sequence number: 0 to 15, always 0 where they are short.
    pub fn authenticate(&self, esp: &[u8], esn: Esn) -> Option<u32> {
        let packet = Packet::split(esp).filter(|packet| packet.spi == self.spi.0.to_be_bytes())?;
        let aead = self.key.aead();
        let (key, salt) = self.key.secret().expose().split_at_checked(aead.key_len())?;
        let key = LessSafeKey::new(UnboundKey::new(algorithm(aead), key).ok()?);
        let mut nonce = [0; NONCE_LEN];
        nonce[..Aead::SALT_LEN].copy_from_slice(salt);
        nonce[Aead::SALT_LEN..].copy_from_slice(packet.iv);
        let mut plain = Zeroizing::new(vec![0; packet.encrypted.len()]);
        let mut opens = |aad: &[u8]| {
            let nonce = Nonce::assume_unique_for_key(nonce);
            key.open_separate_gather(nonce, Aad::from(aad), packet.encrypted, packet.icv, &mut plain).is_ok()
        };
        match esn {
            Esn::Short => opens(&[packet.spi, packet.sequence].concat()).then_some(0),
            Esn::Extended => {
                (0..MAX_HIGH).find(|high| opens(&[packet.spi, high.to_be_bytes(), packet.sequence].concat()))
            }
        }
    }
}

/// The fields of an ESP packet.
struct Packet<'a> {
    spi: [u8; 4],
    sequence: [u8; 4],
    iv: &'a [u8; Aead::IV_LEN],
    encrypted: &'a [u8],
    icv: &'a [u8; Aead::ICV_LEN],
}

impl<'a> Packet<'a> {
    /// None for octets that cannot be one: too few or too many.
    fn split(esp: &'a [u8]) -> Option<Self> {
        let (spi, rest) = esp.split_first_chunk().filter(|_| esp.len() <= MAX_PACKET)?;
        let (sequence, rest) = rest.split_first_chunk()?;
        let (iv, rest) = rest.split_first_chunk()?;
        let (encrypted, icv) = rest.split_last_chunk()?;
        Some(Packet { spi: *spi, sequence: *sequence, iv, encrypted, icv })
    }
}

const fn algorithm(aead: Aead) -> &'static Algorithm {
    match aead {
        Aead::AesGcm128 => &AES_128_GCM,
        Aead::AesGcm256 => &AES_256_GCM,
        Aead::ChaCha20Poly1305 => &CHACHA20_POLY1305,
    }
}

/// HKDF-SHA-256 without salt (RFC 5869 section 2), `length` octets.
fn hkdf(secret: &Secret, info: &[u8], length: usize) -> Secret {
    let extracted = prf(Hash::Sha256, &Secret::new(vec![0; 32]), &[secret.expose()]);
    let mut octets = Vec::with_capacity(length + 32);
    let mut block = Secret::new(Vec::new());
    for number in 1..=u8::MAX {
        block = prf(Hash::Sha256, &extracted, &[block.expose(), info, &[number]]);
        octets.extend_from_slice(block.expose());
        if octets.len() >= length {
            break;
        }
    }
    octets.truncate(length);
    Secret::new(octets)
}

#[cfg(test)]
mod tests;
