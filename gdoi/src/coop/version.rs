//! Who has seen which changes.

use crate::error::Malformed;
use crate::wire::{Reader, Writer};

/// More authors are not told apart; those that changed nothing for the longest time are forgotten first.
const MAX_AUTHORS: usize = 32;

/// Who changes what servers share: one memory of a server. One that lost its state is another author.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Author(pub(crate) [u8; 8]);

/// How many changes of each author are known: a version vector. The author that was last to change stands first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Versions(Vec<(Author, u64)>);

impl Versions {
    /// The number of the last change of this author; 0 without any.
    pub(crate) fn of(&self, author: Author) -> u64 {
        self.0.iter().find(|(known, _)| *known == author).map_or(0, |(_, number)| *number)
    }

    /// One more change of this author.
    pub(crate) fn bump(&mut self, author: Author) {
        let number = self.of(author).saturating_add(1);
        self.0.retain(|(known, _)| *known != author);
        self.0.insert(0, (author, number));
        self.0.truncate(MAX_AUTHORS);
    }

    /// The changes of this author up to `number` are known.
    pub(crate) fn raise(&mut self, author: Author, number: u64) {
        if let Some((_, known)) = self.0.iter_mut().find(|(known, _)| *known == author) {
            *known = number.max(*known);
        } else if number > 0 && self.0.len() < MAX_AUTHORS {
            self.0.push((author, number));
        }
    }

    /// What either knows.
    pub(crate) fn join(&mut self, other: &Versions) {
        other.0.iter().for_each(|(author, number)| self.raise(*author, *number));
    }

    /// Whether all that `other` knows is known.
    pub(crate) fn covers(&self, other: &Versions) -> bool {
        other.0.iter().all(|(author, number)| self.of(*author) >= *number)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Author, u64)> + '_ {
        self.0.iter().copied()
    }

    /// A number of entries (1 octet) of an author (8) and a number (8).
    pub(crate) fn write(&self, out: &mut Writer) {
        out.list_u8("versions", &self.0, |out, (Author(author), number)| {
            out.raw(author);
            out.u64(*number);
        });
    }

    /// # Errors
    /// [`Malformed`]: truncated, too many entries, an author twice.
    pub(crate) fn parse(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let count = usize::from(reader.u8()?);
        if count > MAX_AUTHORS {
            return Err(Malformed::TooMany("authors"));
        }
        let mut versions = Versions::default();
        for _ in 0..count {
            let (author, number) = (Author(reader.array()?), reader.u64()?);
            if versions.of(author) != 0 || number == 0 {
                return Err(Malformed::Value("versions"));
            }
            versions.0.push((author, number));
        }
        Ok(versions)
    }
}

/// In whatever order.
impl PartialEq for Versions {
    fn eq(&self, other: &Self) -> bool {
        self.covers(other) && other.covers(self)
    }
}

impl Eq for Versions {}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Author = Author([1; 8]);
    const B: Author = Author([2; 8]);

    fn versions(list: &[(Author, u64)]) -> Versions {
        let mut versions = Versions::default();
        list.iter().for_each(|(author, number)| versions.raise(*author, *number));
        versions
    }

    #[test]
    fn later_changes_cover_earlier_ones_and_concurrent_ones_do_not() {
        let (old, mut new) = (versions(&[(A, 1)]), versions(&[(A, 1)]));
        new.bump(A);
        assert!(new.covers(&old) && !old.covers(&new) && old.covers(&old));
        let other = versions(&[(A, 1), (B, 1)]);
        assert!(!other.covers(&new) && !new.covers(&other));
        new.join(&other);
        assert!(new.covers(&other) && new == versions(&[(B, 1), (A, 2)]));
    }

    #[test]
    fn round_trip() {
        let sent = versions(&[(A, 7), (B, u64::MAX)]);
        let octets = Writer::plain(0, |out| sent.write(out)).unwrap();
        assert_eq!(Versions::parse(&mut Reader::new(&octets, "test")), Ok(sent));
    }

    #[test]
    fn what_nobody_sends_is_refused() {
        let parse = |octets: &[u8]| Versions::parse(&mut Reader::new(octets, "test")).unwrap_err();
        assert_eq!(parse(&[33]), Malformed::TooMany("authors"));
        assert_eq!(parse(&[1, 0]), Malformed::Truncated("test"));
        assert_eq!(parse(&[[1].as_slice(), &[0; 16]].concat()), Malformed::Value("versions"));
        let entry = [[1; 8], [1; 8]].concat();
        assert_eq!(parse(&[&[2], &entry[..], &entry[..]].concat()), Malformed::Value("versions"));
    }

    #[test]
    fn counting_ends_where_numbers_do() {
        let mut versions = versions(&[(A, u64::MAX)]);
        versions.bump(A);
        assert_eq!(versions.of(A), u64::MAX);
    }

    #[test]
    fn the_number_of_authors_is_bounded() {
        let mut versions = Versions::default();
        (1..=100).for_each(|number| versions.bump(Author([number; 8])));
        assert_eq!(versions.iter().count(), MAX_AUTHORS);
        assert_eq!((versions.of(Author([100; 8])), versions.of(Author([1; 8]))), (1, 0));
    }
}
