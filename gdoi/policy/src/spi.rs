//! SPIs, and how those of senders with keys of their own are told apart.

use std::fmt;

/// How many of an SPI's low bits are the sender's.
pub const SID_BITS: u16 = 20;

const SENDER: u32 = (1 << SID_BITS) - 1;

/// The ESP security parameter index of a TEK, 4 octets; 0 to 255 are reserved (RFC 4303 section 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Spi(pub u32);

/// A sender identifier, [`SID_BITS`] bits: under one TEK no two senders have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sid(pub u32);

/// SPIs that differ from `base` in the low `bits` only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpiBlock {
    base: Spi,
    bits: u8,
}

impl Spi {
    /// Whether the value is outside the reserved range 0 to 255.
    pub const fn is_usable(self) -> bool {
        self.0 > 255
    }

    /// The SPI of one sender, where this one is the base of a block; None where the two do not fit together.
    pub const fn of_sender(self, sid: Sid) -> Option<Spi> {
        match self.is_block_base() && sid.0 <= SENDER {
            true => Some(Spi(self.0 | sid.0)),
            false => None,
        }
    }

    /// Whether this can be the base of a block: the sender's bits are zero, the others not all.
    pub const fn is_block_base(self) -> bool {
        self.0 & SENDER == 0 && self.0 != 0
    }

    /// The base of the block that this one is in.
    pub const fn block(self) -> Spi {
        Spi(self.0 & !SENDER)
    }

    /// Who sends with this one.
    pub const fn sid(self) -> Sid {
        Sid(self.0 & SENDER)
    }
}

impl SpiBlock {
    /// The block of `2^bits` SPIs from `base`; None where `base` has one of these bits set or where there are over 31.
    pub fn new(base: Spi, bits: u8) -> Option<Self> {
        let free = 1u32.checked_shl(bits.into())? - 1;
        (base.0 & free == 0).then_some(Self { base, bits })
    }

    /// The SPIs of all senders under the TEK with this one; None where it is the base of no block.
    pub fn of_senders(base: Spi) -> Option<Self> {
        base.is_block_base().then_some(Self { base, bits: SID_BITS as u8 })
    }

    /// This SPI alone.
    pub const fn only(spi: Spi) -> Self {
        Self { base: spi, bits: 0 }
    }

    /// Its lowest SPI.
    pub const fn base(self) -> Spi {
        self.base
    }

    /// The bits that all its SPIs share.
    pub const fn mask(self) -> u32 {
        u32::MAX << self.bits
    }

    /// Whether the SPI is one of them.
    pub const fn contains(self, spi: Spi) -> bool {
        spi.0 & self.mask() == self.base.0
    }
}

impl fmt::Display for Spi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

impl fmt::Display for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#07x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senders_share_a_block_of_spis() {
        let base = Spi(0x84b0_0000);
        assert_eq!(base.of_sender(Sid(0x12_345)), Some(Spi(0x84b1_2345)));
        assert_eq!((Spi(0x84b1_2345).block(), Spi(0x84b1_2345).sid()), (base, Sid(0x12_345)));
        assert_eq!(base.of_sender(Sid(1 << 20)), None);
        assert_eq!(Spi(0x84b0_0001).of_sender(Sid(2)), None);
        assert_eq!(Spi(0).of_sender(Sid(2)), None);
    }

    #[test]
    fn a_block_holds_its_spis_and_no_others() {
        let block = SpiBlock::new(Spi(0x8490_0000), 20).unwrap();
        assert!([0x8490_0000, 0x849f_ffff].iter().all(|spi| block.contains(Spi(*spi))));
        assert!([0x848f_ffff, 0x84a0_0000].iter().all(|spi| !block.contains(Spi(*spi))));
        assert_eq!(SpiBlock::new(Spi(0x8490_0001), 20), None);
        assert_eq!(SpiBlock::new(Spi(0), 32), None);
    }

    #[test]
    fn the_block_of_a_key_is_the_one_of_its_senders() {
        let base = Spi(0x8490_0000);
        assert_eq!(SpiBlock::of_senders(base), SpiBlock::new(base, 20));
        assert_eq!((SpiBlock::of_senders(Spi(0x8490_0001)), SpiBlock::of_senders(Spi(0))), (None, None));
        let only = SpiBlock::only(Spi(7));
        assert!(only.contains(Spi(7)) && !only.contains(Spi(6)) && only.mask() == u32::MAX);
    }
}
