//! Senders with keys of their own (RFC 6407 sections 3.5 and 5.6.4): which identifiers go with which TEK, and what
//! their keys come from.

use crate::crypto::{Error, Random, Secret};
use std::cmp::Ordering;

/// The most sender identifiers that a member may ask for at once.
pub const MAX_SIDS: u16 = 64;

/// The largest anti-replay window, packets.
pub const MAX_REPLAY_WINDOW: u16 = 4_096;

/// What the keys of all senders under one TEK are derived from: 32 octets.
#[derive(Clone, Debug, PartialEq)]
pub struct Seed(Secret);

impl Seed {
    /// Its length in octets.
    pub const LEN: usize = 32;

    /// None where the length is another.
    pub fn new(secret: Secret) -> Option<Seed> {
        (secret.len() == Seed::LEN).then_some(Seed(secret))
    }

    /// A fresh one.
    ///
    /// # Errors
    /// Those of the source.
    pub fn draw(random: &mut dyn Random) -> Result<Seed, Error> {
        random.secret(Seed::LEN).map(Seed)
    }

    /// The octets.
    pub const fn secret(&self) -> &Secret {
        &self.0
    }
}

/// Which sender identifiers are for which TEKs: in one generation none is given out twice. Members only compare it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SidGeneration {
    /// Drawn at random with each generation, so that no two are taken for each other, whoever began them; 8 octets.
    pub lineage: [u8; 8],
    /// Which of the group's; servers that do not hear each other may begin the same.
    pub number: u32,
}

/// Says that a member still has the states that count under the sender IDs that it got with it: 16 octets at random.
/// Whoever asks with the same one again gets the same ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SidNonce(pub [u8; 16]);

/// What a member asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SidRequest {
    /// How many, 0 to [`MAX_SIDS`].
    pub count: u16,
    /// Under which nonce; only members of this implementation have one.
    pub nonce: Option<SidNonce>,
}

impl SidGeneration {
    /// The length of its octets.
    pub const LEN: usize = 12;

    /// The later one is greater; of two that were begun apart it is the same one for everybody.
    pub fn order(&self, other: &SidGeneration) -> Ordering {
        (self.number, self.lineage).cmp(&(other.number, other.lineage))
    }

    /// The lineage and the number.
    pub fn octets(&self) -> [u8; SidGeneration::LEN] {
        let mut octets = [0; SidGeneration::LEN];
        octets[..8].copy_from_slice(&self.lineage);
        octets[8..].copy_from_slice(&self.number.to_be_bytes());
        octets
    }

    /// The generation of these octets; None where they are not so many.
    pub fn from_octets(octets: &[u8]) -> Option<SidGeneration> {
        let (lineage, rest) = octets.split_first_chunk()?;
        Some(SidGeneration { lineage: *lineage, number: u32::from_be_bytes(rest.try_into().ok()?) })
    }
}

/// What goes with a TEK of a per-sender transform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderTerms {
    /// Whose sender identifiers may be used with it.
    pub generation: SidGeneration,
    /// The anti-replay window, packets, 0 to [`MAX_REPLAY_WINDOW`]; 0 is no replay check and no extended sequence
    /// numbers.
    pub replay_window: u16,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_has_one_length() {
        assert!(Seed::new(Secret::new(vec![1; 32])).is_some());
        assert!(Seed::new(Secret::new(vec![1; 31])).is_none());
        assert!(Seed::new(Secret::new(vec![1; 33])).is_none());
    }

    #[test]
    fn generations_are_twelve_octets() {
        let generation = SidGeneration { lineage: *b"lineage.", number: 0x0102_0304 };
        assert_eq!(&generation.octets(), b"lineage.\x01\x02\x03\x04");
        assert_eq!(SidGeneration::from_octets(&generation.octets()), Some(generation));
        assert_eq!(SidGeneration::from_octets(&generation.octets()[..11]), None);
        assert_eq!(SidGeneration::from_octets(b"lineage.\x01\x02\x03\x04\x05"), None);
    }
}
