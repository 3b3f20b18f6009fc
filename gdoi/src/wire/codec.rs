//! Taking fields off a slice, and putting them one behind the other.

mod writer;

pub use writer::{Length, Writer};

use crate::error::Malformed;

/// Reads fields in order; every error names the part that is being read.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    part: &'static str,
}

impl<'a> Reader<'a> {
    /// A reader over all of `bytes`, which are the part called `part`.
    pub const fn new(bytes: &'a [u8], part: &'static str) -> Self {
        Reader { bytes, part }
    }

    /// The next `length` octets.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] where fewer are left.
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (head, tail) = self.bytes.split_at_checked(length).ok_or(Malformed::Truncated(self.part))?;
        self.bytes = tail;
        Ok(head)
    }

    /// The next `N` octets as an array.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] where fewer are left.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let part = self.part;
        self.take(N)?.try_into().map_err(|_| Malformed::Truncated(part))
    }

    /// One octet.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] at the end.
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    /// Two octets in network order.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] where fewer are left.
    pub fn u16(&mut self) -> Result<u16, Malformed> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    /// Four octets in network order.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] where fewer are left.
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    /// Eight octets in network order.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] where fewer are left.
    pub fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    /// `length` octets that must be zero.
    ///
    /// # Errors
    /// [`Malformed::Reserved`] where they are not.
    pub fn reserved(&mut self, length: usize) -> Result<(), Malformed> {
        let zero = self.take(length)?.iter().all(|octet| *octet == 0);
        zero.then_some(()).ok_or(Malformed::Reserved(self.part))
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.bytes)
    }

    /// Whether nothing is left.
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// How many octets are left.
    pub const fn remaining(&self) -> usize {
        self.bytes.len()
    }

    /// The end of the part.
    ///
    /// # Errors
    /// [`Malformed::TrailingBytes`] where octets are left.
    pub fn finish(self) -> Result<(), Malformed> {
        self.is_empty().then_some(()).ok_or(Malformed::TrailingBytes(self.part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_in_network_order() {
        let mut reader = Reader::new(&[1, 2, 3, 4, 5, 6, 7, 0, 0, 9], "test");
        assert_eq!(reader.u8(), Ok(1));
        assert_eq!(reader.u16(), Ok(0x0203));
        assert_eq!(reader.u32(), Ok(0x0405_0607));
        assert_eq!(reader.reserved(2), Ok(()));
        assert_eq!(reader.finish(), Err(Malformed::TrailingBytes("test")));
        assert_eq!(reader.reserved(1), Err(Malformed::Reserved("test")));
        assert_eq!(reader.u8(), Err(Malformed::Truncated("test")));
        assert_eq!(reader.finish(), Ok(()));
    }
}
