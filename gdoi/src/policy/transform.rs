//! The ESP transforms that a group may use for its traffic.

use super::{refuse, PolicyError};
use crate::crypto::Secret;
use std::fmt;
use std::str::FromStr;

/// ESP encryption.
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

/// How a group's traffic is encrypted and authenticated. Any member may use the key of such a
/// transform: AES-CBC draws an unpredictable IV per packet, so senders need not agree on anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transform {
    /// Encryption.
    pub cipher: Cipher,
    /// Integrity.
    pub integrity: Integrity,
}

impl FromStr for Transform {
    type Err = PolicyError;

    /// `aes-128-cbc|aes-256-cbc/hmac-sha-256|384|512`
    fn from_str(text: &str) -> Result<Self, PolicyError> {
        if ["gcm", "ccm", "ctr", "gmac", "chacha20"].iter().any(|mode| text.contains(mode)) {
            return refuse(format!(
                "`{text}` is a counter mode: the kernel chooses its nonces by itself, so members that share one \
                 key would repeat them and lose confidentiality and integrity; use aes-256-cbc/hmac-sha-256"
            ));
        }
        let (cipher, integrity) = text.split_once('/').unwrap_or((text, ""));
        let cipher = match cipher {
            "aes-128-cbc" => Cipher::AesCbc128,
            "aes-256-cbc" => Cipher::AesCbc256,
            _ => return refuse(format!("`{cipher}` is no cipher (aes-128-cbc or aes-256-cbc)")),
        };
        let integrity = match integrity {
            "hmac-sha-256" => Integrity::HmacSha256,
            "hmac-sha-384" => Integrity::HmacSha384,
            "hmac-sha-512" => Integrity::HmacSha512,
            _ => {
                return refuse(format!(
                    "`{integrity}` is no integrity algorithm (hmac-sha-256, -384 or -512)"
                ))
            }
        };
        Ok(Transform { cipher, integrity })
    }
}

impl fmt::Display for Transform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cipher = match self.cipher {
            Cipher::AesCbc128 => "aes-128-cbc",
            Cipher::AesCbc256 => "aes-256-cbc",
        };
        let integrity = match self.integrity {
            Integrity::HmacSha256 => "hmac-sha-256",
            Integrity::HmacSha384 => "hmac-sha-384",
            Integrity::HmacSha512 => "hmac-sha-512",
        };
        write!(f, "{cipher}/{integrity}")
    }
}

/// The two keys of a TEK; their lengths are those of its [`Transform`].
#[derive(Clone, Debug, PartialEq)]
pub struct TekKeys {
    /// For the [`Cipher`].
    pub encryption: Secret,
    /// For the [`Integrity`].
    pub integrity: Secret,
}

impl TekKeys {
    /// Whether they have the lengths that the transform asks for.
    pub fn fit(&self, transform: Transform) -> bool {
        self.encryption.len() == transform.cipher.key_len()
            && self.integrity.len() == transform.integrity.key_len()
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
                assert_eq!(name.parse::<Transform>().unwrap().to_string(), name);
            }
        }
    }

    #[test]
    fn others_are_refused_with_the_reason() {
        let reason = |text: &str| text.parse::<Transform>().unwrap_err().to_string();
        assert!(reason("aes-256-gcm").contains("counter mode"));
        assert!(reason("chacha20-poly1305").contains("counter mode"));
        assert!(reason("3des-cbc/hmac-sha-256").contains("no cipher"));
        assert!(reason("aes-256-cbc/hmac-md5").contains("no integrity"));
        assert!(reason("aes-256-cbc").contains("no integrity"));
    }
}
