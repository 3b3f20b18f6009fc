//! What encryption costs of a packet's length.

use gdoi::policy::{Cipher, Integrity, Transform};

/// Outer IPv4 header and ESP header (RFC 4303 section 2), in octets.
const HEADERS: u32 = 20 + 8;
/// Pad length and next header.
const TRAILER: u32 = 2;

/// What a transform adds, in octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overhead {
    iv: u32,
    block: u32,
    tag: u32,
}

impl From<Transform> for Overhead {
    fn from(transform: Transform) -> Self {
        let tag = match transform.integrity {
            Integrity::HmacSha256 => 16,
            Integrity::HmacSha384 => 24,
            Integrity::HmacSha512 => 32,
        };
        match transform.cipher {
            Cipher::AesCbc128 | Cipher::AesCbc256 => Overhead { iv: 16, block: 16, tag },
        }
    }
}

impl Overhead {
    /// What is always added; up to one octet less than a cipher block of padding comes to it.
    pub const fn least(self) -> u32 {
        HEADERS + self.iv + TRAILER + self.tag
    }

    /// The most that is added.
    pub const fn most(self) -> u32 {
        self.least() + self.block - 1
    }

    /// The longest packet that fits, encrypted, into `mtu` octets.
    pub const fn inside(self, mtu: u32) -> u32 {
        let room = mtu.saturating_sub(HEADERS + self.iv + self.tag);
        (room - room % self.block).saturating_sub(TRAILER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overhead(transform: &str) -> Overhead {
        transform.parse::<Transform>().unwrap().into()
    }

    #[test]
    fn what_fits_inside_fills_the_link() {
        let sha_256 = overhead("aes-256-cbc/hmac-sha-256");
        assert_eq!((sha_256.least(), sha_256.most(), sha_256.inside(1500)), (62, 77, 1438));
        assert_eq!(overhead("aes-128-cbc/hmac-sha-384").inside(1500), 1422);
        assert_eq!(overhead("aes-128-cbc/hmac-sha-512").inside(1500), 1422);
        assert_eq!(sha_256.inside(40), 0);
    }

    #[test]
    fn nothing_longer_fits() {
        for transform in ["aes-256-cbc/hmac-sha-256", "aes-256-cbc/hmac-sha-384", "aes-256-cbc/hmac-sha-512"]
        {
            let overhead = overhead(transform);
            for mtu in 600..700 {
                let inside = overhead.inside(mtu);
                let padded = |length: u32| {
                    HEADERS + overhead.iv + (length + TRAILER).next_multiple_of(overhead.block) + overhead.tag
                };
                assert!(padded(inside) <= mtu && padded(inside + 1) > mtu, "{transform} {mtu}");
                assert!(padded(inside) - inside <= overhead.most());
            }
        }
    }
}
