//! Putting fields one behind the other.

use crate::error::Malformed;
use std::ops::{Deref, DerefMut};
use zeroize::Zeroizing;

const UNFINISHED: &str = "message being written";

/// Octets that there is room for, once there is any.
const LEAST: usize = 64;

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
    #[inline]
    pub fn raw(&mut self, octets: &[u8]) {
        self.make_room(octets.len());
        self.octets.extend_from_slice(octets);
    }

    /// One octet.
    #[inline]
    pub fn u8(&mut self, number: u8) {
        self.raw(&[number]);
    }

    /// Two octets.
    #[inline]
    pub fn u16(&mut self, number: u16) {
        self.raw(&number.to_be_bytes());
    }

    /// Four octets.
    #[inline]
    pub fn u32(&mut self, number: u32) {
        self.raw(&number.to_be_bytes());
    }

    /// Eight octets.
    #[inline]
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

    #[inline]
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

    #[inline]
    fn reserve(&mut self, width: usize) -> usize {
        let field = self.octets.len();
        self.raw(&[0; 8][..width]);
        field
    }

    #[inline]
    fn fill(&mut self, field: usize, width: usize, number: usize, part: &'static str) {
        let octets = (number as u64).to_be_bytes();
        let (high, low) = octets.split_at(octets.len() - width);
        match high.iter().all(|octet| *octet == 0) {
            true => self.octets[field..field + width].copy_from_slice(low),
            false => self.spoil(Malformed::Length(part)),
        }
    }

    #[inline]
    fn make_room(&mut self, more: usize) {
        if more > self.octets.capacity() - self.octets.len() {
            self.grow(more);
        }
    }

    /// A vector that grows by itself leaves a copy of its octets behind, which may be keys.
    #[cold]
    fn grow(&mut self, more: usize) {
        let least = (self.octets.len() + more).max(2 * self.octets.capacity()).max(LEAST);
        let mut larger = Zeroizing::new(Vec::with_capacity(least));
        larger.extend_from_slice(&self.octets);
        self.octets = larger;
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
        // Where counting begins behind the end there is no length, and none that would fit.
        let length = self.writer.octets.len().checked_sub(self.start).unwrap_or(usize::MAX);
        self.writer.fill(self.field, self.width, length, self.part);
        self.writer.open -= 1;
    }
}

#[cfg(test)]
mod tests;
