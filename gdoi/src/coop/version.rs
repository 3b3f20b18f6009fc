//! Who has seen which changes.
//!
//! A server without a stored state is another author in each of its lives, so authors that are no more would pile up. All
//! changes of the keys are numbered in one sequence, whoever makes them: each has a higher number than all that its author
//! had seen. So the authors with the lowest numbers can be left out again, and the highest of their numbers is kept instead,
//! the *floor*: all changes up to that are known. Who still names such an author is covered, as before.
//!
//! What this takes for known without being so is a change that servers made apart, with a number that is no higher than the
//! floor of the others: these must have seen [`MAX_AUTHORS`] more authors meanwhile, each a server that lost its memory and
//! then made keys.

use crate::error::Malformed;
use crate::wire::{Reader, Writer};

/// More authors are not told apart; the floor counts as one.
pub(crate) const MAX_AUTHORS: usize = 32;

/// Nobody counts so far. Higher numbers are a mistake of others, which must not end the counting of all.
const LAST: u64 = 1 << 62;

/// Who changes what servers share: one memory of a server. One that lost its state is another author.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Author(pub(crate) [u8; 8]);

/// In the place of an author: the floor.
const FLOOR: Author = Author([0; 8]);

/// How many changes of each author are known: a version vector. The author that was last to change stands first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Versions(Vec<(Author, u64)>);

impl Versions {
    /// The number of the last change of this author that is known; 0 without any.
    pub(crate) fn of(&self, author: Author) -> u64 {
        self.entry(author).max(self.entry(FLOOR))
    }

    fn entry(&self, author: Author) -> u64 {
        self.0.iter().find(|(known, _)| *known == author).map_or(0, |(_, number)| *number)
    }

    /// One more change of this author, who knows all these.
    pub(crate) fn bump(&mut self, author: Author) {
        let counted = self.0.iter().map(|(_, number)| *number).filter(|number| *number < LAST);
        let number = counted.max().unwrap_or_default().max(self.entry(author)).saturating_add(1);
        self.0.retain(|(known, _)| *known != author);
        self.0.insert(0, (author, number));
        self.make_room();
    }

    /// The changes of this author up to `number` are known.
    pub(crate) fn raise(&mut self, author: Author, number: u64) {
        if let Some((_, known)) = self.0.iter_mut().find(|(known, _)| *known == author) {
            *known = number.max(*known);
        } else if number > self.entry(FLOOR) {
            self.0.push((author, number));
            self.make_room();
        }
    }

    /// Nothing is known of this author any more.
    pub(crate) fn forget(&mut self, author: Author) {
        self.0.retain(|(known, _)| *known != author);
    }

    /// Whether another author can be told apart from these.
    pub(crate) fn has_room_for(&self, author: Author) -> bool {
        self.0.len() < MAX_AUTHORS || self.0.iter().any(|(known, _)| *known == author)
    }

    /// Those that changed nothing for the longest time go into the floor.
    fn make_room(&mut self) {
        while self.0.len() > MAX_AUTHORS {
            let authors = self.0.iter().filter(|(author, _)| *author != FLOOR);
            let Some((_, floor)) = authors.min_by_key(|(_, number)| *number).copied() else { return };
            self.0.retain(|(author, number)| *author == FLOOR || *number > floor);
            self.raise(FLOOR, floor);
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
            if versions.entry(author) != 0 || number == 0 {
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

    /// Whoever knew an author that is no more goes on being covered by those who left it out, and not the other way round.
    #[test]
    fn authors_that_are_no_more_are_left_out_and_stay_known() {
        let mut versions = Versions::default();
        let mut earlier = Vec::new();
        for life in 1..=200 {
            versions.bump(Author([life; 8]));
            earlier.push(versions.clone());
        }
        assert_eq!(versions.iter().count(), MAX_AUTHORS);
        assert_eq!((versions.of(Author([200; 8])), versions.of(Author([1; 8]))), (200, 200 - 31));
        for (life, before) in (1..).zip(&earlier) {
            assert!(versions.covers(before), "life {life}");
            assert_eq!(before.covers(&versions), life == 200, "life {life}");
        }
        for pair in earlier.windows(2) {
            let mut joined = pair[0].clone();
            joined.join(&pair[1]);
            assert!(joined == pair[1] && joined.iter().count() <= MAX_AUTHORS);
        }
    }

    /// Two sides of a split network change the same state, one of them by many authors.
    #[test]
    fn what_was_changed_apart_is_not_taken_for_known() {
        let mut common = Versions::default();
        (1..=40).for_each(|life| common.bump(Author([life; 8])));
        let (mut one, mut other) = (common.clone(), common.clone());
        one.bump(A);
        (50..50 + MAX_AUTHORS as u8 - 2).for_each(|life| other.bump(Author([life; 8])));
        assert!(!one.covers(&other) && !other.covers(&one));
        let mut both = other.clone();
        both.join(&one);
        assert!(both.covers(&one) && both.covers(&other) && both.covers(&common));
        let mut reverse = one.clone();
        reverse.join(&other);
        assert!(reverse == both);
    }

    #[test]
    fn a_number_that_nobody_can_have_counted_ends_no_others_counting() {
        let mut versions = versions(&[(B, u64::MAX), (A, 7)]);
        versions.bump(A);
        assert_eq!((versions.of(A), versions.of(B)), (8, u64::MAX));
    }

    #[test]
    fn what_is_forgotten_leaves_room() {
        let mut versions = Versions::default();
        (1..=MAX_AUTHORS as u8).for_each(|number| versions.raise(Author([number; 8]), number.into()));
        assert!(versions.has_room_for(Author([1; 8])) && !versions.has_room_for(Author([99; 8])));
        versions.forget(Author([1; 8]));
        assert!(versions.has_room_for(Author([99; 8])));
        assert_eq!(versions.of(Author([1; 8])), 0);
    }
}
