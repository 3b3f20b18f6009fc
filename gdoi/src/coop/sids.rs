//! Sender identifiers (SIDs, RFC 6407 section 3.5): which ones were given out. Each server has a range of its own, so
//! that none is given twice even by servers that do not hear each other.
//!
//! A SID has 20 bits: the place that the group's primary granted to the server (3) and a number that it counts up (17).
//! When a range comes to its end, a new *generation* begins: all members must register again, under new traffic keys,
//! and all ranges begin anew.

use super::MAX_SERVERS;
use crate::error::Malformed;
use crate::policy::{SidGeneration, MAX_SIDS, SID_BITS};
use crate::wire::{Reader, Writer};

/// How many SIDs a server has.
const RANGE: u32 = (1 << SID_BITS) / MAX_SERVERS as u32;

/// A range is renewed when so many are left.
const RESERVE: u32 = RANGE / 8;

/// How many SIDs every server has given out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sids {
    generation: SidGeneration,
    given: [u32; MAX_SERVERS],
}

impl Sids {
    /// SIDs for one member from the range of the server in this place; None when there are not so many left.
    pub(crate) fn give(&mut self, place: usize, count: u16) -> Option<Vec<u32>> {
        let given = self.given.get_mut(place)?;
        let end = given.checked_add(count.into()).filter(|end| *end <= RANGE)?;
        let first = (place as u32) * RANGE;
        let sids = (*given..end).map(|number| first + number).collect();
        *given = end;
        Some(sids)
    }

    /// Takes in what another server knows.
    pub(crate) fn join(&mut self, other: &Sids) {
        match self.generation.order(&other.generation) {
            std::cmp::Ordering::Less => *self = other.clone(),
            std::cmp::Ordering::Equal => {
                self.given
                    .iter_mut()
                    .zip(other.given)
                    .for_each(|(given, theirs)| *given = theirs.max(*given));
            }
            std::cmp::Ordering::Greater => {}
        }
    }

    /// All ranges begin anew, if this generation did not begin yet.
    pub(crate) fn begin(&mut self, generation: SidGeneration) {
        self.join(&Sids { generation, given: [0; MAX_SERVERS] });
    }

    pub(crate) const fn generation(&self) -> SidGeneration {
        self.generation
    }

    /// How many were given out in this generation, by all servers.
    pub(crate) fn given(&self) -> u32 {
        self.given.iter().sum()
    }

    /// How many each server has.
    pub(crate) const fn range(&self) -> u32 {
        RANGE
    }

    /// Whether some server may not have as many left as a member can ask for.
    pub(crate) fn used_up(&self) -> bool {
        self.given.iter().any(|given| *given > RANGE - u32::from(MAX_SIDS))
    }

    /// Whether some range comes to its end.
    pub(crate) fn run_out(&self) -> bool {
        self.given.iter().any(|given| *given > RANGE - RESERVE)
    }

    /// The generation (12 octets) and how many each of the 8 servers has given out (4 each).
    pub(crate) fn write(&self, out: &mut Writer) {
        out.raw(&self.generation.octets());
        self.given.iter().for_each(|given| out.u32(*given));
    }

    /// # Errors
    /// [`Malformed`]: truncated, or more than there are.
    pub(crate) fn parse(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let generation = SidGeneration { lineage: reader.array()?, number: reader.u32()? };
        let mut sids = Sids { generation, ..Sids::default() };
        for given in &mut sids.given {
            *given = reader.u32()?;
        }
        match sids.given.iter().all(|given| *given <= RANGE) {
            true => Ok(sids),
            false => Err(Malformed::Value("sender IDs")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn name(number: u32) -> SidGeneration {
        SidGeneration { lineage: [7; 8], number }
    }

    #[test]
    fn every_server_counts_in_its_own_range() {
        let mut sids = Sids::default();
        assert_eq!(sids.give(0, 2), Some(vec![0, 1]));
        assert_eq!(sids.give(7, 1), Some(vec![7 << 17]));
        assert_eq!(sids.give(0, 1), Some(vec![2]));
        assert_eq!(sids.give(8, 1), None);
    }

    #[test]
    fn a_range_ends_and_a_new_generation_begins() {
        let mut sids = Sids::default();
        let mut last = 0;
        while let Some(given) = sids.give(1, MAX_SIDS) {
            last = given[63];
            assert!(sids.run_out() || !sids.used_up());
        }
        assert_eq!((last, sids.give(1, 1)), ((2 << 17) - 1, None));
        assert!(sids.run_out() && sids.used_up() && sids.given() == sids.range());
        assert!(!Sids::default().run_out() && !Sids::default().used_up());
        sids.begin(SidGeneration::default());
        assert!(sids.run_out(), "this one has begun");
        sids.begin(name(1));
        assert_eq!((sids.give(1, 1), sids.generation()), (Some(vec![1 << 17]), name(1)));
    }

    #[test]
    fn what_any_server_knows_is_known() {
        let (mut one, mut other) = (Sids::default(), Sids::default());
        one.give(0, 5);
        other.give(1, 3);
        one.join(&other);
        assert_eq!(one.given[..2], [5, 3]);
        other.begin(name(2));
        one.join(&other);
        assert_eq!((one.generation, one.given), (name(2), [0; 8]));
        one.join(&Sids { generation: name(1), given: [9; 8] });
        assert_eq!(one.given, [0; 8]);
    }

    #[test]
    fn round_trip() {
        let sent = Sids { generation: name(3), given: [0, 1, 2, 3, 4, 5, 6, RANGE] };
        let mut octets = Writer::plain(0, |out| sent.write(out)).unwrap();
        assert_eq!(Sids::parse(&mut Reader::new(&octets, "test")), Ok(sent));
        octets[43] = 1;
        assert_eq!(Sids::parse(&mut Reader::new(&octets, "test")), Err(Malformed::Value("sender IDs")));
        assert_eq!(Sids::parse(&mut Reader::new(&octets[..43], "test")), Err(Malformed::Truncated("test")));
    }
}
