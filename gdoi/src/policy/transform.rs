//! The ESP transforms that a group may use for its traffic.

use super::{refuse, PolicyError, Seed};
use crate::crypto::Secret;
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
    /// The octets of salt behind the key: the front of every nonce.
    pub const SALT_LEN: usize = 4;

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
}

impl Default for Transform {
    /// The strongest that every kernel has.
    fn default() -> Self {
        Transform::PerSender(Aead::AesGcm256)
    }
}

const AEADS: [(&str, Aead); 3] = [
    ("aes-128-gcm", Aead::AesGcm128),
    ("aes-256-gcm", Aead::AesGcm256),
    ("chacha20-poly1305", Aead::ChaCha20Poly1305),
];

const CIPHERS: [(&str, Cipher); 2] = [("aes-128-cbc", Cipher::AesCbc128), ("aes-256-cbc", Cipher::AesCbc256)];

const INTEGRITIES: [(&str, Integrity); 3] = [
    ("hmac-sha-256", Integrity::HmacSha256),
    ("hmac-sha-384", Integrity::HmacSha384),
    ("hmac-sha-512", Integrity::HmacSha512),
];

fn named<T: Copy>(table: &[(&str, T)], name: &str) -> Option<T> {
    table.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
}

fn name_of<T: PartialEq>(table: &[(&'static str, T)], value: T) -> &'static str {
    table.iter().find(|(_, known)| *known == value).map_or("", |(name, _)| name)
}

impl FromStr for Transform {
    type Err = PolicyError;

    /// `aes-128-gcm|aes-256-gcm|chacha20-poly1305` or `aes-128-cbc|aes-256-cbc/hmac-sha-256|384|512`
    fn from_str(text: &str) -> Result<Self, PolicyError> {
        if let Some(aead) = named(&AEADS, text) {
            return Ok(Transform::PerSender(aead));
        }
        let (cipher, integrity) = text.split_once('/').unwrap_or((text, ""));
        if named(&AEADS, cipher).is_some() {
            return refuse(format!(
                "`{cipher}` has an integrity check of its own, write it without `/{integrity}`"
            ));
        }
        let Some(cipher) = named(&CIPHERS, cipher) else {
            return refuse(format!(
                "`{cipher}` is no cipher (aes-256-gcm, aes-128-gcm, chacha20-poly1305, or aes-256-cbc or \
                 aes-128-cbc with an integrity algorithm)"
            ));
        };
        match named(&INTEGRITIES, integrity) {
            Some(integrity) => Ok(Transform::Shared { cipher, integrity }),
            None => refuse(format!("`{integrity}` is no integrity algorithm (hmac-sha-256, -384 or -512)")),
        }
    }
}

impl fmt::Display for Transform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Transform::PerSender(aead) => f.write_str(name_of(&AEADS, aead)),
            Transform::Shared { cipher, integrity } => {
                write!(f, "{}/{}", name_of(&CIPHERS, cipher), name_of(&INTEGRITIES, integrity))
            }
        }
    }
}

/// The keys of a TEK; kind and lengths are those of its [`Transform`].
#[derive(Clone, Debug, PartialEq)]
pub enum TekKeys {
    /// What all senders use.
    Shared {
        /// For the [`Cipher`].
        encryption: Secret,
        /// For the [`Integrity`].
        integrity: Secret,
    },
    /// What the key of each sender is derived from; nobody sends with it as it is.
    PerSender(Seed),
}

impl TekKeys {
    /// Whether they have the kind and the lengths that the transform asks for.
    pub fn fit(&self, transform: Transform) -> bool {
        match (self, transform) {
            (TekKeys::Shared { encryption, integrity }, Transform::Shared { cipher, integrity: mac }) => {
                encryption.len() == cipher.key_len() && integrity.len() == mac.key_len()
            }
            (TekKeys::PerSender(_), Transform::PerSender(_)) => true,
            _ => false,
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
        assert!(reason("aes-256-cbc").contains("no integrity"));
    }

    #[test]
    fn keys_of_the_other_kind_do_not_fit() {
        let shared = |cipher, mac| TekKeys::Shared {
            encryption: Secret::new(vec![1; cipher]),
            integrity: Secret::new(vec![2; mac]),
        };
        let seed = TekKeys::PerSender(Seed::new(Secret::new(vec![1; 32])).unwrap());
        let (cbc, gcm) = ("aes-256-cbc/hmac-sha-384".parse().unwrap(), "aes-256-gcm".parse().unwrap());
        assert!(shared(32, 48).fit(cbc) && seed.fit(gcm));
        assert!(!shared(16, 48).fit(cbc) && !shared(32, 32).fit(cbc));
        assert!(!shared(32, 48).fit(gcm) && !seed.fit(cbc));
    }
}
