//! The ESP transforms that a group may use for its traffic.

use super::{refuse, PolicyError};
use std::fmt;
use std::str::FromStr;

/// ESP encryption with a key that all members share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cipher {
    /// AES-CBC with a 16-octet key (RFC 3602).
    AesCbc128,
    /// AES-CBC with a 32-octet key (RFC 3602).
    AesCbc256,
}

impl Cipher {
    /// Every one.
    pub const ALL: [Cipher; 2] = [Cipher::AesCbc128, Cipher::AesCbc256];

    /// The octets of the IV of each packet, and of a block.
    pub const IV_LEN: usize = 16;

    /// Its name in configurations.
    pub const fn name(self) -> &'static str {
        match self {
            Cipher::AesCbc128 => "aes-128-cbc",
            Cipher::AesCbc256 => "aes-256-cbc",
        }
    }

    /// The key's length in octets.
    pub const fn key_len(self) -> usize {
        match self {
            Cipher::AesCbc128 => 16,
            Cipher::AesCbc256 => 32,
        }
    }
}

/// ESP integrity: HMAC-SHA-2, the tag cut to half the hash (RFC 4868).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Integrity {
    /// HMAC-SHA-256-128.
    HmacSha256,
    /// HMAC-SHA-384-192.
    HmacSha384,
    /// HMAC-SHA-512-256.
    HmacSha512,
}

impl Integrity {
    /// Every one.
    pub const ALL: [Integrity; 3] = [Integrity::HmacSha256, Integrity::HmacSha384, Integrity::HmacSha512];

    /// Its name in configurations.
    pub const fn name(self) -> &'static str {
        match self {
            Integrity::HmacSha256 => "hmac-sha-256",
            Integrity::HmacSha384 => "hmac-sha-384",
            Integrity::HmacSha512 => "hmac-sha-512",
        }
    }

    /// The octets of the ICV in each packet: half the hash (RFC 4868 section 2.1.1).
    pub const fn icv_len(self) -> usize {
        self.key_len() / 2
    }

    /// The key's length in octets: that of the hash (RFC 4868 section 2.1.1).
    pub const fn key_len(self) -> usize {
        match self {
            Integrity::HmacSha256 => 32,
            Integrity::HmacSha384 => 48,
            Integrity::HmacSha512 => 64,
        }
    }
}

/// ESP encryption and integrity in one, in a counter mode: two senders with one key would repeat nonces and lose
/// both, so each sender has a key of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aead {
    /// AES-GCM with a 16-octet key and a 16-octet tag (RFC 4106).
    AesGcm128,
    /// AES-GCM with a 32-octet key and a 16-octet tag (RFC 4106).
    AesGcm256,
    /// ChaCha20-Poly1305, a 32-octet key (RFC 7634).
    ChaCha20Poly1305,
}

impl Aead {
    /// Every one.
    pub const ALL: [Aead; 3] = [Aead::AesGcm128, Aead::AesGcm256, Aead::ChaCha20Poly1305];

    /// The octets of salt behind the key: the front of every nonce.
    pub const SALT_LEN: usize = 4;

    /// The octets of the IV in each packet: the rest of its nonce.
    pub const IV_LEN: usize = 8;

    /// The octets of the ICV in each packet.
    pub const ICV_LEN: usize = 16;

    /// Its name in configurations.
    pub const fn name(self) -> &'static str {
        match self {
            Aead::AesGcm128 => "aes-128-gcm",
            Aead::AesGcm256 => "aes-256-gcm",
            Aead::ChaCha20Poly1305 => "chacha20-poly1305",
        }
    }

    /// The cipher key's length in octets, without the salt.
    pub const fn key_len(self) -> usize {
        match self {
            Aead::AesGcm128 => 16,
            Aead::AesGcm256 | Aead::ChaCha20Poly1305 => 32,
        }
    }
}

/// How a group's traffic is encrypted and authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transform {
    /// One key for all senders: AES-CBC draws an unpredictable IV per packet, so they need not agree on anything.
    Shared {
        /// Encryption.
        cipher: Cipher,
        /// Integrity.
        integrity: Integrity,
    },
    /// Every sender has a key of its own, derived from the TEK.
    PerSender(Aead),
}

impl Transform {
    /// Whether every sender has a key of its own.
    pub const fn is_per_sender(self) -> bool {
        matches!(self, Transform::PerSender(_))
    }

    /// Octets of the IV between the ESP header and the encrypted packet.
    pub const fn iv_octets(self) -> u32 {
        match self {
            Transform::Shared { .. } => Cipher::IV_LEN as u32,
            Transform::PerSender(_) => Aead::IV_LEN as u32,
        }
    }

    /// Octets of the ICV behind the encrypted packet.
    pub const fn icv_octets(self) -> u32 {
        match self {
            Transform::Shared { integrity, .. } => integrity.icv_len() as u32,
            Transform::PerSender(_) => Aead::ICV_LEN as u32,
        }
    }

    /// What the packet and its trailer are padded to a multiple of, in octets.
    pub(crate) const fn block_octets(self) -> u32 {
        match self {
            Transform::Shared { .. } => Cipher::IV_LEN as u32,
            Transform::PerSender(_) => 4,
        }
    }
}

impl Default for Transform {
    /// The strongest that every kernel has.
    fn default() -> Self {
        Transform::PerSender(Aead::AesGcm256)
    }
}

impl FromStr for Transform {
    type Err = PolicyError;

    /// `aes-128-gcm|aes-256-gcm|chacha20-poly1305` or `aes-128-cbc|aes-256-cbc/hmac-sha-256|384|512`
    fn from_str(text: &str) -> Result<Self, PolicyError> {
        if let Some(aead) = aead(text) {
            return Ok(Transform::PerSender(aead));
        }
        let (cipher, integrity) = text.split_once('/').unwrap_or((text, ""));
        if aead(cipher).is_some() {
            return refuse(format!(
                "`{cipher}` has an integrity check of its own, write it without `/{integrity}`"
            ));
        }
        let Some(cipher) = Cipher::ALL.into_iter().find(|known| known.name() == cipher) else {
            return refuse(format!(
                "`{cipher}` is no cipher (aes-256-gcm, aes-128-gcm, chacha20-poly1305, or aes-256-cbc or \
                 aes-128-cbc with an integrity algorithm)"
            ));
        };
        if integrity.is_empty() {
            return refuse(format!(
                "`{}` needs an integrity algorithm behind it: {0}/hmac-sha-256, -384 or -512",
                cipher.name()
            ));
        }
        match Integrity::ALL.into_iter().find(|known| known.name() == integrity) {
            Some(integrity) => Ok(Transform::Shared { cipher, integrity }),
            None => refuse(format!("`{integrity}` is no integrity algorithm (hmac-sha-256, -384 or -512)")),
        }
    }
}

fn aead(name: &str) -> Option<Aead> {
    Aead::ALL.into_iter().find(|known| known.name() == name)
}

impl fmt::Display for Transform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Transform::PerSender(aead) => f.write_str(aead.name()),
            Transform::Shared { cipher, integrity } => {
                write!(f, "{}/{}", cipher.name(), integrity.name())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_and_print_alike() {
        for cipher in ["aes-128-cbc", "aes-256-cbc"] {
            for integrity in ["hmac-sha-256", "hmac-sha-384", "hmac-sha-512"] {
                let name = format!("{cipher}/{integrity}");
                let transform: Transform = name.parse().unwrap();
                assert_eq!((transform.to_string(), transform.is_per_sender()), (name, false));
            }
        }
        for name in ["aes-128-gcm", "aes-256-gcm", "chacha20-poly1305"] {
            let transform: Transform = name.parse().unwrap();
            assert_eq!((transform.to_string().as_str(), transform.is_per_sender()), (name, true));
        }
        assert_eq!(Transform::default().to_string(), "aes-256-gcm");
    }

    #[test]
    fn others_are_refused_with_the_reason() {
        let reason = |text: &str| text.parse::<Transform>().unwrap_err().to_string();
        assert!(reason("aes-256-gcm/hmac-sha-256").contains("of its own"));
        assert!(reason("aes-256-ctr/hmac-sha-256").contains("no cipher"));
        assert!(reason("3des-cbc/hmac-sha-256").contains("no cipher"));
        assert!(reason("aes-256-cbc/hmac-md5").contains("no integrity"));
        assert!(reason("aes-256-cbc").contains("needs an integrity"));
    }
}
