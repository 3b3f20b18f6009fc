//! Putting fields one behind the other.

use crate::error::Malformed;
use std::ops::{Deref, DerefMut};
use zeroize::Zeroizing;

const UNFINISHED: &str = "message being written";

/// Writes fields in order, numbers in network order, into one buffer; zeroed on drop, and what it has grown out of, too.
///
/// A length or a number of entries stands before what it counts, and is filled in behind it. Whatever does not fit into
/// its field, or was begun and not ended, spoils the whole: then [`Writer::finish`] yields an error and no octets.
pub struct Writer {
    octets: Zeroizing<Vec<u8>>,
    /// The parts that are begun and not ended.
    open: usize,
    /// The first thing that did not fit.
    fault: Option<Malformed>,
}

impl Writer {
    /// Nothing yet, with room for `length` octets before it has to grow.
    pub fn with_capacity(length: usize) -> Self {
        Writer { octets: Zeroizing::new(Vec::with_capacity(length)), open: 0, fault: None }
    }

    /// What `write` writes, zeroed on drop.
    ///
    /// # Errors
    /// As [`Writer::finish`].
    pub fn secret(length: usize, write: impl FnOnce(&mut Writer)) -> Result<Zeroizing<Vec<u8>>, Malformed> {
        let mut writer = Writer::with_capacity(length);
        write(&mut writer);
        writer.finish()
    }

    /// What `write` writes, where it is no secret.
    ///
    /// # Errors
    /// As [`Writer::finish`].
    pub fn plain(length: usize, write: impl FnOnce(&mut Writer)) -> Result<Vec<u8>, Malformed> {
        Ok(std::mem::take(&mut *Writer::secret(length, write)?))
    }

    /// All that was written.
    ///
    /// # Errors
    /// [`Malformed::Length`]: something is longer than the field before it can say. [`Malformed::Truncated`]: a part was
    /// begun and not ended.
    pub fn finish(self) -> Result<Zeroizing<Vec<u8>>, Malformed> {
        match (self.fault, self.open) {
            (Some(fault), _) => Err(fault),
            (None, 0) => Ok(self.octets),
            (None, _) => Err(Malformed::Truncated(UNFINISHED)),
        }
    }

    /// What is there so far, for a digest of it.
    pub fn written(&self) -> &[u8] {
        &self.octets
    }

    /// Octets as they are.
    pub fn raw(&mut self, octets: &[u8]) {
        self.make_room(octets.len());
        self.octets.extend_from_slice(octets);
    }

    /// One octet.
    pub fn u8(&mut self, number: u8) {
        self.raw(&[number]);
    }

    /// Two octets.
    pub fn u16(&mut self, number: u16) {
        self.raw(&number.to_be_bytes());
    }

    /// Four octets.
    pub fn u32(&mut self, number: u32) {
        self.raw(&number.to_be_bytes());
    }

    /// Eight octets.
    pub fn u64(&mut self, number: u64) {
        self.raw(&number.to_be_bytes());
    }

    /// One octet, 0 or 1.
    pub fn flag(&mut self, set: bool) {
        self.u8(u8::from(set));
    }

    /// An octet that says whether there is something, and what there is.
    pub fn optional<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.flag(value.is_some());
        if let Some(value) = value {
            write(self, value);
        }
    }

    /// A length or number in one octet that is known beforehand.
    pub fn count_u8(&mut self, number: usize, part: &'static str) {
        let field = self.reserve(1);
        self.fill(field, 1, number, part);
    }

    /// A length or number in two octets that is known beforehand.
    pub fn count_u16(&mut self, number: usize, part: &'static str) {
        let field = self.reserve(2);
        self.fill(field, 2, number, part);
    }

    /// The number of entries in one octet, and each of them.
    pub fn list_u8<T>(
        &mut self,
        part: &'static str,
        entries: impl IntoIterator<Item = T>,
        write: impl FnMut(&mut Self, T),
    ) {
        self.list(1, part, entries, write);
    }

    /// The number of entries in two octets, and each of them.
    pub fn list_u16<T>(
        &mut self,
        part: &'static str,
        entries: impl IntoIterator<Item = T>,
        write: impl FnMut(&mut Self, T),
    ) {
        self.list(2, part, entries, write);
    }

    /// The number of entries in four octets, and each of them.
    pub fn list_u32<T>(
        &mut self,
        part: &'static str,
        entries: impl IntoIterator<Item = T>,
        write: impl FnMut(&mut Self, T),
    ) {
        self.list(4, part, entries, write);
    }

    fn list<T>(
        &mut self,
        width: usize,
        part: &'static str,
        entries: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Self, T),
    ) {
        let (field, mut number) = (self.reserve(width), 0);
        self.open += 1;
        for entry in entries {
            write(self, entry);
            number += 1;
        }
        self.open -= 1;
        self.fill(field, width, number, part);
    }

    /// A length in one octet, and the part that it counts: all that is written until the guard goes.
    pub fn length_u8(&mut self, part: &'static str) -> Length<'_> {
        self.begin(1, None, part)
    }

    /// A length in two octets, and the part that it counts: all that is written until the guard goes.
    pub fn length_u16(&mut self, part: &'static str) -> Length<'_> {
        self.begin(2, None, part)
    }

    /// As [`Writer::length_u16`], where the length counts from `start`: itself and what stands before it, too.
    pub fn length_u16_from(&mut self, start: usize, part: &'static str) -> Length<'_> {
        self.begin(2, Some(start), part)
    }

    /// A length in four octets that counts from `start`, itself and what stands before it, too.
    pub fn length_u32_from(&mut self, start: usize, part: &'static str) -> Length<'_> {
        self.begin(4, Some(start), part)
    }

    fn begin(&mut self, width: usize, start: Option<usize>, part: &'static str) -> Length<'_> {
        let field = self.reserve(width);
        self.open += 1;
        Length { start: start.unwrap_or(field + width), field, width, part, writer: self }
    }

    /// How many octets are there: where the next one will stand.
    pub fn position(&self) -> usize {
        self.octets.len()
    }

    /// An octet that stands there already; nothing where there is none.
    pub(in crate::wire) fn set(&mut self, position: usize, octet: u8) {
        self.octets.iter_mut().skip(position).take(1).for_each(|there| *there = octet);
    }

    /// Zeros to the next multiple of `block` octets.
    pub fn pad(&mut self, block: usize) {
        let padded = self.octets.len().next_multiple_of(block);
        self.make_room(padded - self.octets.len());
        self.octets.resize(padded, 0);
    }

    /// What is to be written cannot be: the first such fault is what [`Writer::finish`] says.
    pub fn spoil(&mut self, fault: Malformed) {
        self.fault = self.fault.or(Some(fault));
    }

    fn reserve(&mut self, width: usize) -> usize {
        let field = self.octets.len();
        self.raw(&[0; 8][..width]);
        field
    }

    fn fill(&mut self, field: usize, width: usize, number: usize, part: &'static str) {
        let octets = (number as u64).to_be_bytes();
        let (high, low) = octets.split_at(octets.len() - width);
        match high.iter().all(|octet| *octet == 0) {
            true => self.octets[field..field + width].copy_from_slice(low),
            false => self.spoil(Malformed::Length(part)),
        }
    }

    /// A vector that grows by itself leaves a copy of its octets behind, which may be keys.
    fn make_room(&mut self, more: usize) {
        let length = self.octets.len() + more;
        if length > self.octets.capacity() {
            let mut larger = Zeroizing::new(Vec::with_capacity(length.max(2 * self.octets.capacity())));
            larger.extend_from_slice(&self.octets);
            self.octets = larger;
        }
    }
}

/// A part in the making, to be written through this; its length is filled in when this goes. One that goes because of a
/// panic leaves the part open.
#[must_use = "the part ends where this goes"]
pub struct Length<'w> {
    writer: &'w mut Writer,
    /// Where counting begins.
    start: usize,
    field: usize,
    width: usize,
    part: &'static str,
}

impl Deref for Length<'_> {
    type Target = Writer;

    fn deref(&self) -> &Writer {
        self.writer
    }
}

impl DerefMut for Length<'_> {
    fn deref_mut(&mut self) -> &mut Writer {
        self.writer
    }
}

impl Drop for Length<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let length = self.writer.octets.len() - self.start;
        self.writer.fill(self.field, self.width, length, self.part);
        self.writer.open -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Reader;
    use std::panic::{catch_unwind, AssertUnwindSafe};

    fn written(write: impl FnOnce(&mut Writer)) -> Result<Vec<u8>, Malformed> {
        Writer::plain(0, write)
    }

    #[test]
    fn what_is_written_is_read() {
        let octets = written(|out| {
            out.u8(1);
            out.u16(0x0203);
            out.u32(0x0405_0607);
            out.u64(8);
            out.raw(&[9; 3]);
            out.pad(4);
        });
        let octets = octets.unwrap();
        let mut reader = Reader::new(&octets, "test");
        assert_eq!((reader.u8(), reader.u16(), reader.u32()), (Ok(1), Ok(0x0203), Ok(0x0405_0607)));
        assert_eq!((reader.u64(), reader.array(), reader.reserved(2)), (Ok(8), Ok([9; 3]), Ok(())));
        assert_eq!(reader.finish(), Ok(()));
    }

    #[test]
    fn lengths_are_those_of_what_stands_behind_them() {
        let octets = written(|out| {
            out.u8(7);
            let mut outer = out.length_u16("outer");
            outer.length_u8("inner").raw(&[1, 2]);
            outer.u8(3);
        });
        assert_eq!(octets.unwrap(), [7, 0, 4, 2, 1, 2, 3]);
    }

    #[test]
    fn lengths_may_count_from_before_themselves() {
        let octets = written(|out| {
            out.u8(7);
            let start = out.position();
            out.u8(8);
            out.length_u16_from(start, "part").u8(9);
        });
        assert_eq!(octets.unwrap(), [7, 8, 0, 4, 9]);
        assert_eq!(written(|out| out.length_u32_from(0, "all").u8(9)).unwrap(), [0, 0, 0, 5, 9]);
    }

    #[test]
    fn lists_are_counted_and_options_announced() {
        let octets = written(|out| {
            out.list_u8("list", [1, 2], Writer::u8);
            out.list_u16("list", [0; 0], Writer::u8);
            out.list_u32("list", [3], Writer::u16);
            out.optional(Some(4), Writer::u8);
            out.optional(None, Writer::u8);
            out.count_u8(5, "count");
        });
        assert_eq!(octets.unwrap(), [2, 1, 2, 0, 0, 0, 0, 0, 1, 0, 3, 1, 4, 0, 5]);
    }

    #[test]
    fn what_does_not_fit_into_its_field_spoils_the_whole() {
        let long = Err(Malformed::Length("long"));
        assert!(written(|out| out.length_u8("long").raw(&[1; 255])).is_ok());
        assert_eq!(written(|out| out.length_u8("long").raw(&[1; 256])), long);
        assert!(written(|out| out.length_u16("long").raw(&[1; 65_535])).is_ok());
        assert_eq!(written(|out| out.length_u16("long").raw(&[1; 65_536])), long);
        assert!(written(|out| out.length_u16_from(0, "long").raw(&[1; 65_533])).is_ok());
        assert_eq!(written(|out| out.length_u16_from(0, "long").raw(&[1; 65_534])), long);
        assert_eq!(written(|out| out.list_u8("long", [0; 256], Writer::u8)), long);
        assert_eq!(written(|out| out.list_u16("long", vec![0; 65_536], Writer::u8)), long);
        assert_eq!(written(|out| out.count_u8(256, "long")), long);
    }

    #[test]
    fn the_first_fault_is_told() {
        let octets = written(|out| {
            out.length_u8("first").raw(&[1; 300]);
            out.length_u8("second").raw(&[1; 300]);
        });
        assert_eq!(octets, Err(Malformed::Length("first")));
    }

    #[test]
    fn a_part_that_was_interrupted_cannot_pass_for_a_whole_one() {
        let mut writer = Writer::with_capacity(64);
        let interrupted = catch_unwind(AssertUnwindSafe(|| {
            let mut part = writer.length_u16("part");
            part.u8(1);
            panic!("in the middle of it");
        }));
        assert!(interrupted.is_err());
        writer.u8(2);
        assert_eq!(writer.finish(), Err(Malformed::Truncated(UNFINISHED)));
    }

    #[test]
    fn neither_can_a_list_that_was_interrupted_nor_a_guard_that_was_forgotten() {
        let mut writer = Writer::with_capacity(64);
        let entry = |_: &mut Writer, number: u8| assert!(number < 2, "in the middle of it");
        let list = catch_unwind(AssertUnwindSafe(|| writer.list_u8("list", [1, 2, 3], entry)));
        assert!(list.is_err());
        assert_eq!(writer.finish(), Err(Malformed::Truncated(UNFINISHED)));
        let forgotten = written(|out| {
            let mut outer = out.length_u16("outer");
            std::mem::forget(outer.length_u16("inner"));
        });
        assert_eq!(forgotten, Err(Malformed::Truncated(UNFINISHED)));
    }

    #[test]
    fn it_grows_as_needed() {
        let octets = written(|out| (0..1000).for_each(|number| out.u16(number)));
        let expected: Vec<u8> = (0..1000_u16).flat_map(u16::to_be_bytes).collect();
        assert_eq!(octets.unwrap(), expected);
    }
}
