//! How the servers of a group share what must never be used twice: sender IDs, SPIs, numbers of rekey messages.
//!
//! The argument, for a key that every sender has of its own. It is derived from a TEK's seed and a sender ID, and the
//! sender counts its packets; so no triple of key, SPI and sequence number occurs twice if under one seed no sender ID
//! belongs to two senders, and no sender counts anew.
//!
//! 1. A seed is 256 bits at random and goes with one *generation* of sender IDs, which is named by 64 bits at random:
//!    different groups, servers that begin apart, and a group that was removed and comes back have different ones.
//! 2. Within a generation there are eight *places*, each with a range of sender IDs and a block of SPIs. A place is
//!    *granted* to one author: one memory of a group on a server. What lost its memory is another author. Nothing of it
//!    is derived from a configuration.
//! 3. Only one author may grant at a time, the *grantor*; grants of a generation are only added, never changed. The
//!    grantor is who began the generation, until it hands this over together with the role of the primary; what it
//!    granted or handed over is stored before anybody hears of it. Who leads and may not grant begins a generation of
//!    its own, with seeds of its own. So servers that do not hear each other never grant one place twice.
//! 4. An author counts in its places upwards, and stores how far before it tells. A restart goes on from there.
//! 5. A member asks for the same sender IDs again only while it still has the states that count under them, and sends under
//!    no key again that had gone (ended, deleted, given back by another server) before it has other sender IDs for it: the
//!    keyring remembers which have gone, and asks for others where one is offered again. Behind it the data plane
//!    makes no state a second time that was there, with one SPI and key, and blocks what that would send.
//!
//! The numbers of rekey messages under a KEK are divided alike, see [`next_number`].
//!
//! What this cannot see is an *old* copy of a stored state that is put in the place of the newer one: that author counts
//! again what it has counted, unless another server of the group tells it how far it was. Nor does it see two servers that
//! go on from one state: whoever stores it must see to it that it has one owner.

use super::clock::GroupTime;
use crate::coop::{Author, MAX_SERVERS};
use crate::policy::SidGeneration;
use std::time::Duration;

/// A generation that servers make necessary, since there is no place left, lives at least as long.
const PAUSE: Duration = Duration::from_secs(600);

/// Who has which place, in one generation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Division {
    pub(super) generation: SidGeneration,
    pub(super) begun: GroupTime,
    /// Who may grant; None before the first generation.
    pub(super) grantor: Option<Author>,
    /// How often something was granted or the grantor changed in this generation.
    pub(super) revision: u32,
    pub(super) places: [Option<Author>; MAX_SERVERS],
}

impl Division {
    /// The place of an author.
    pub(super) fn place(&self, author: Author) -> Option<usize> {
        self.places.iter().position(|place| *place == Some(author))
    }

    /// Who has a place.
    pub(super) fn authors(&self) -> Vec<Author> {
        self.places.iter().flatten().copied().collect()
    }

    /// Whether a place can be granted by this author.
    pub(super) fn can_grant(&self, author: Author) -> bool {
        self.grantor == Some(author) && self.places.iter().any(Option::is_none)
    }

    /// Grants a place, if there is one.
    pub(super) fn grant(&mut self, author: Author) {
        if self.place(author).is_some() {
            return;
        }
        if let Some(place) = self.places.iter_mut().find(|place| place.is_none()) {
            *place = Some(author);
            self.revision = self.revision.saturating_add(1);
        }
    }

    /// Another author may grant from now on, and nobody else.
    pub(super) fn hand_over(&mut self, to: Author) {
        self.grantor = Some(to);
        self.revision = self.revision.saturating_add(1);
    }

    /// Whether a generation may begin because of servers, not to bring members back again and again.
    pub(super) fn is_settled(&self, now: GroupTime) -> bool {
        now.saturating_since(self.begun) >= PAUSE
    }

    /// A new generation of these authors, this one the grantor. Who has a place keeps it.
    pub(super) fn begin(&mut self, lineage: [u8; 8], grantor: Author, authors: &[Author], now: GroupTime) {
        let number = self.grantor.map_or(0, |_| self.generation.number.saturating_add(1));
        for place in &mut self.places {
            place.take_if(|author| !authors.contains(author));
        }
        self.generation = SidGeneration { lineage, number };
        (self.begun, self.grantor, self.revision) = (now, Some(grantor), 0);
        authors.iter().for_each(|author| self.grant(*author));
    }

    /// That of a group whose servers were apart: the later generation; in one generation the later grants, which
    /// contain those before.
    pub(super) fn join(&mut self, other: &Division) {
        let order = self.generation.order(&other.generation).then(self.revision.cmp(&other.revision));
        if order.is_lt() {
            *self = other.clone();
        }
    }
}

/// The next number of a message under a KEK, by this author, after the last one that it knows to be used. `known` are the
/// authors that had places when the KEK was made or got them since: each has the numbers that leave its remainder when
/// divided by eight, and the only one has all. Another one, which got the KEK when servers that were apart found
/// together, leaves a gap that none of those comes near, and comes out where two of its kind meet once in 65,536 times.
pub(super) fn next_number(known: &[Author], author: Author, used: u32) -> u32 {
    const GAP: u32 = 1 << 17;
    let next = used.saturating_add(1);
    let Some(remainder) = known.iter().position(|known| *known == author) else {
        let Author([high, low, ..]) = author;
        let own = GAP / 2 + u32::from(u16::from_be_bytes([high, low]));
        return (used / GAP).saturating_add(1).saturating_mul(GAP).saturating_add(own);
    };
    let (remainder, divisor) = (remainder as u32, if known.len() > 1 { MAX_SERVERS as u32 } else { 1 });
    next.saturating_add((remainder + divisor - next % divisor) % divisor)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Author = Author([1; 8]);
    const B: Author = Author([2; 8]);
    const C: Author = Author([3; 8]);

    fn at(seconds: u64) -> GroupTime {
        GroupTime::from_millis(seconds * 1000)
    }

    fn division(authors: &[Author]) -> Division {
        let mut division = Division::default();
        division.begin([9; 8], A, authors, at(0));
        division
    }

    #[test]
    fn places_are_granted_in_order_and_kept() {
        let mut division = division(&[A, B]);
        assert_eq!((division.place(A), division.place(B), division.place(C)), (Some(0), Some(1), None));
        division.grant(C);
        division.grant(B);
        assert_eq!((division.place(B), division.place(C), division.revision), (Some(1), Some(2), 3));
        division.begin([8; 8], C, &[C, A], at(9));
        assert_eq!((division.place(A), division.place(B), division.place(C)), (Some(0), None, Some(2)));
        assert_eq!(
            (division.generation, division.begun),
            (SidGeneration { lineage: [8; 8], number: 1 }, at(9))
        );
    }

    #[test]
    fn only_the_grantor_grants_and_only_while_there_is_room() {
        let mut division = division(&[A]);
        assert!(division.can_grant(A) && !division.can_grant(B));
        division.hand_over(B);
        assert!(!division.can_grant(A) && division.can_grant(B));
        (10..17).for_each(|number| division.grant(Author([number; 8])));
        assert!(!division.can_grant(B) && division.place(Author([16; 8])) == Some(7));
        division.grant(C);
        assert_eq!(division.place(C), None);
    }

    #[test]
    fn numbers_under_a_kek_are_everybodys_own() {
        assert_eq!([0, 1, 7].map(|used| next_number(&[A], A, used)), [1, 2, 8], "nobody else has it");
        assert_eq!([0, 7, 8].map(|used| next_number(&[A, B], A, used)), [8, 8, 16]);
        assert_eq!([0, 1, 8].map(|used| next_number(&[A, B], B, used)), [1, 9, 9]);
        let gap = 1 << 17;
        let own = |Author(octets): Author| gap / 2 + u32::from(u16::from_be_bytes([octets[0], octets[1]]));
        assert_eq!(next_number(&[A, B], C, 9), gap + own(C));
        assert_eq!(next_number(&[A, B], C, gap + own(C)), 2 * gap + own(C));
        assert_ne!(next_number(&[A], C, 9), next_number(&[A], B, 9));
        assert_eq!(next_number(&[A], C, u32::MAX), u32::MAX, "long before that there is another KEK");
    }

    #[test]
    fn the_later_of_two_counts_wherever_they_are_joined() {
        let (before, mut granted) = (division(&[A]), division(&[A]));
        granted.grant(B);
        let mut later = before.clone();
        later.begin([8; 8], B, &[B], at(5));
        for (one, other, joined) in [(&before, &granted, &granted), (&granted, &later, &later)] {
            for (one, other) in [(one, other), (other, one)] {
                let mut both = one.clone();
                both.join(other);
                assert_eq!((both.generation, both.places), (joined.generation, joined.places));
            }
        }
    }
}
