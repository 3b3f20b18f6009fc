//! Which SPIs new keys get: no two keys of this server's groups can be taken for each other.
//!
//! Where every sender has its own key a TEK has a block of SPIs, and its base is the server's place (3 bits), 9 bits at
//! random and 20 bits for the sender: servers that do not hear each other never choose the same block.

use crate::coop::MAX_SERVERS;
use crate::crypto::Random;
use crate::error::{Error, Unacceptable};
use crate::policy::{Spi, SID_BITS};

/// How many blocks a server may use, the block of zero among them.
const BLOCKS: u32 = (1 << (32 - SID_BITS)) / MAX_SERVERS as u32;

/// Only a server all of whose blocks are taken tries in vain so often.
const TRIES: usize = 10_000;

/// An SPI for a key that all senders share.
///
/// # Errors
/// Randomness, [`Unacceptable::NoSpis`].
pub(super) fn fresh_spi(taken: &[Spi], random: &mut dyn Random) -> Result<Spi, Error> {
    let mut octets = [0; 4];
    for _ in 0..TRIES {
        random.fill(&mut octets)?;
        let spi = Spi(u32::from_be_bytes(octets));
        let free = |taken: &Spi| *taken != spi && !(taken.is_block_base() && *taken == spi.block());
        if spi.is_usable() && !spi.is_block_base() && taken.iter().all(free) {
            return Ok(spi);
        }
    }
    Err(Unacceptable::NoSpis.into())
}

/// The base of a block of SPIs for the server in this place.
///
/// # Errors
/// Randomness, [`Unacceptable::NoSpis`].
pub(super) fn fresh_block(place: usize, taken: &[Spi], random: &mut dyn Random) -> Result<Spi, Error> {
    let first = place as u32 * BLOCKS;
    let bases = (first..first + BLOCKS).map(|block| Spi(block << SID_BITS));
    let is_free = |base: &Spi| base.is_block_base() && taken.iter().all(|taken| taken.block() != *base);
    let free: Vec<_> = bases.filter(is_free).collect();
    let mut octets = [0; 4];
    random.fill(&mut octets)?;
    let drawn = (u32::from_be_bytes(octets) as usize).checked_rem(free.len());
    drawn.and_then(|index| free.get(index)).copied().ok_or(Unacceptable::NoSpis.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::SystemRandom;
    use std::collections::BTreeSet;

    #[test]
    fn blocks_are_of_the_servers_place_and_never_taken_twice() {
        for place in 0..MAX_SERVERS {
            let mut taken = Vec::new();
            while let Ok(base) = fresh_block(place, &taken, &mut SystemRandom) {
                assert_eq!((base.0 >> 29, base.0 & 0xf_ffff), (place as u32, 0));
                assert!(base.0 != 0 && base.is_usable());
                taken.push(base);
            }
            let distinct = taken.iter().collect::<BTreeSet<_>>().len();
            assert_eq!((taken.len(), distinct), (if place == 0 { 511 } else { 512 }, taken.len()));
        }
    }

    #[test]
    fn a_block_with_a_shared_key_in_it_is_taken() {
        let all = (0..512).map(|block| Spi(block << 20 | 0x777)).filter(|spi| spi.0 >> 20 != 5);
        let taken: Vec<_> = all.collect();
        assert_eq!(fresh_block(0, &taken, &mut SystemRandom), Ok(Spi(5 << 20)));
    }

    /// Draws these numbers.
    struct Drawn(Vec<u32>);

    impl Random for Drawn {
        fn fill(&mut self, out: &mut [u8]) -> Result<(), crate::crypto::Error> {
            out.copy_from_slice(&self.0.remove(0).to_be_bytes());
            Ok(())
        }
    }

    #[test]
    fn shared_keys_keep_out_of_blocks() {
        let taken = [Spi(0x1230_0000), Spi(0x4560_0001)];
        let mut random = Drawn(vec![255, 0x1230_0001, 0x1230_0000, 0x4560_0001, 0x7890_0000, 0x4560_0002]);
        assert_eq!(fresh_spi(&taken, &mut random), Ok(Spi(0x4560_0002)));
        assert!(random.0.is_empty(), "reserved, in a block, its base, taken, a base, free");
    }
}
