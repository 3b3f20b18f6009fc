//! The keys of a group, as a member and a key server show them.

use super::table::distance;
use crate::clock::Timestamp;
use crate::fingerprint::hex;
use gdoi::endpoint::Instant;
use serde::{Deserialize, Serialize};

/// A traffic key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TekEntry {
    /// Its SPI in hexadecimal with 0x.
    pub spi: String,
    /// Cipher and integrity algorithm.
    pub transform: String,
    /// The anti-replay window, packets; 0 is none.
    pub replay_window: u16,
    /// The end of its life.
    pub expires_at: Timestamp,
    /// What it is used for now: `sending` (and receiving) or `receiving`.
    pub role: String,
}

impl TekEntry {
    /// What `tek` looks like from outside.
    pub fn new(tek: &gdoi::TekStatus, now: Instant) -> Self {
        TekEntry {
            spi: tek.spi.to_string(),
            transform: tek.transform.to_string(),
            replay_window: tek.replay_window,
            expires_at: Timestamp::at(tek.expires, now),
            role: tek.role.to_string(),
        }
    }
}

/// The key that protects rekey messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KekEntry {
    /// Its SPI, 32 hexadecimal digits.
    pub spi: String,
    /// Cipher and signature.
    pub algorithm: String,
    /// The end of its life.
    pub expires_at: Timestamp,
    /// The last sequence number used under it.
    pub sequence: u32,
}

impl KekEntry {
    /// What `kek` looks like from outside.
    pub fn new(kek: &gdoi::KekStatus, now: Instant) -> Self {
        KekEntry {
            spi: hex(&kek.spi),
            algorithm: kek.algorithm.to_string(),
            expires_at: Timestamp::at(kek.expires, now),
            sequence: kek.sequence,
        }
    }
}

/// Lines about keys, shared with the key server's texts.
pub(super) fn keys(kek: Option<&KekEntry>, teks: &[TekEntry], now: Timestamp) -> Vec<(&'static str, String)> {
    let kek = kek.map_or("none".to_owned(), |kek| {
        format!(
            "{} {}, sequence {}, ends {}",
            kek.spi,
            kek.algorithm,
            kek.sequence,
            distance(kek.expires_at, now)
        )
    });
    let tek = |tek: &TekEntry| {
        let end = distance(tek.expires_at, now);
        let replay = replay_window(tek.replay_window);
        (
            "Traffic key",
            format!("{} {}, replay window {replay}, {}, ends {end}", tek.spi, tek.transform, tek.role),
        )
    };
    std::iter::once(("Rekey key", kek)).chain(teks.iter().map(tek)).collect()
}

/// How a window reads, shared with the key server's texts.
pub(super) fn replay_window(packets: u16) -> String {
    match packets {
        0 => "off".into(),
        packets => format!("{packets} packets"),
    }
}
