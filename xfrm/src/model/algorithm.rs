//! How an SA encrypts, and what that costs in octets.

use std::fmt;

use super::{Family, Key};

/// Ciphers and keys of an SA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// A cipher with unpredictable IVs and an authenticator: several senders may share it.
    Cbc {
        /// Cipher and key.
        encryption: EncryptionKey,
        /// Authenticator and key.
        integrity: IntegrityKey,
    },
    /// A counter-mode cipher with a built-in authenticator, for one sender only.
    Aead(AeadKey),
}

/// Cipher and key of an SA (RFC 3602).
#[derive(Clone, PartialEq, Eq)]
pub enum EncryptionKey {
    /// AES-CBC with a 128-bit key.
    AesCbc128(Key<16>),
    /// AES-CBC with a 256-bit key.
    AesCbc256(Key<32>),
}

/// Authenticator and key of an SA; the value on the wire is the first half of the hash (RFC 4868 section 2.1.1).
#[derive(Clone, PartialEq, Eq)]
pub enum IntegrityKey {
    /// HMAC-SHA-256-128.
    HmacSha256(Key<32>),
    /// HMAC-SHA-384-192.
    HmacSha384(Key<48>),
    /// HMAC-SHA-512-256.
    HmacSha512(Key<64>),
}

/// Authenticating cipher with its key, and behind the key 4 octets of salt; the ICV has 16 octets.
#[derive(Clone, PartialEq, Eq)]
pub enum AeadKey {
    /// AES-GCM with a 128-bit key (RFC 4106).
    AesGcm128(Key<20>),
    /// AES-GCM with a 256-bit key (RFC 4106).
    AesGcm256(Key<36>),
    /// ChaCha20-Poly1305 (RFC 7634).
    ChaCha20Poly1305(Key<36>),
}

/// SPI and sequence number (RFC 4303 section 2), in octets.
const ESP_HEADER: u32 = 8;
/// Pad length and next header (RFC 4303 section 2), in octets.
const TRAILER: u32 = 2;

impl Algorithm {
    /// Octets of the IV between the ESP header and the encrypted packet.
    pub fn iv_octets(&self) -> u32 {
        match self {
            Self::Cbc { .. } => 16,
            Self::Aead(_) => 8,
        }
    }

    /// Octets of the authenticator behind the encrypted packet.
    pub fn icv_octets(&self) -> u32 {
        match self {
            Self::Cbc { integrity, .. } => integrity.tag_length(),
            Self::Aead(_) => 16,
        }
    }

    /// Octets by which a packet grows at most.
    pub fn overhead(&self, family: Family) -> u32 {
        self.fixed(family) + TRAILER + self.block() - 1
    }

    /// The longest packet, in octets, that is not longer than `mtu` when it is encrypted (the kernel's
    /// `xfrm_state_mtu`).
    pub fn longest_inside(&self, family: Family, mtu: u32) -> u32 {
        let room = mtu.saturating_sub(self.fixed(family));
        (room - room % self.block()).saturating_sub(TRAILER)
    }

    fn fixed(&self, family: Family) -> u32 {
        family.header_octets() + ESP_HEADER + self.iv_octets() + self.icv_octets()
    }

    /// What the packet and its trailer are padded to a multiple of, in octets.
    fn block(&self) -> u32 {
        match self {
            Self::Cbc { .. } => 16,
            Self::Aead(_) => 4,
        }
    }
}

impl EncryptionKey {
    /// The secret octets.
    pub fn octets(&self) -> &[u8] {
        match self {
            Self::AesCbc128(key) => key.octets(),
            Self::AesCbc256(key) => key.octets(),
        }
    }
}

impl IntegrityKey {
    /// The secret octets.
    pub fn octets(&self) -> &[u8] {
        match self {
            Self::HmacSha256(key) => key.octets(),
            Self::HmacSha384(key) => key.octets(),
            Self::HmacSha512(key) => key.octets(),
        }
    }

    /// Octets of the authenticator on the wire: half the hash (RFC 4868 section 2.1.1).
    pub fn tag_length(&self) -> u32 {
        self.octets().len() as u32 / 2
    }
}

impl AeadKey {
    /// The secret octets: the key, then the salt.
    pub fn octets(&self) -> &[u8] {
        match self {
            Self::AesGcm128(key) => key.octets(),
            Self::AesGcm256(key) | Self::ChaCha20Poly1305(key) => key.octets(),
        }
    }
}

impl fmt::Debug for EncryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AesCbc128(_) => "AesCbc128",
            Self::AesCbc256(_) => "AesCbc256",
        })
    }
}

impl fmt::Debug for IntegrityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HmacSha256(_) => "HmacSha256",
            Self::HmacSha384(_) => "HmacSha384",
            Self::HmacSha512(_) => "HmacSha512",
        })
    }
}

impl fmt::Debug for AeadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AesGcm128(_) => "AesGcm128",
            Self::AesGcm256(_) => "AesGcm256",
            Self::ChaCha20Poly1305(_) => "ChaCha20Poly1305",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cbc() -> Algorithm {
        Algorithm::Cbc {
            encryption: EncryptionKey::AesCbc256(Key::new([1; 32])),
            integrity: IntegrityKey::HmacSha256(Key::new([1; 32])),
        }
    }

    fn gcm() -> Algorithm {
        Algorithm::Aead(AeadKey::AesGcm256(Key::new([1; 36])))
    }

    /// 1446 over 1500 is what the kernel tells hosts for GCM over IPv4.
    #[test]
    fn the_longest_packet_inside_is_the_kernels() {
        assert_eq!(gcm().longest_inside(Family::V4, 1500), 1446);
        assert_eq!(gcm().longest_inside(Family::V6, 1500), 1426);
        assert_eq!(cbc().longest_inside(Family::V4, 1500), 1438);
        assert_eq!(cbc().longest_inside(Family::V4, 40), 0);
    }

    #[test]
    fn no_packet_grows_by_more_than_the_overhead() {
        for algorithm in [cbc(), gcm()] {
            for family in [Family::V4, Family::V6] {
                for mtu in 1280..1400 {
                    let grown = algorithm.longest_inside(family, mtu) + algorithm.overhead(family);
                    assert!((mtu..mtu + 16).contains(&grown), "{mtu} {grown}");
                }
            }
        }
    }
}
