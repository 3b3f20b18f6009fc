//! Keys that were given up, by name: what still comes under them a moment later is late, and no sign that this member lacks
//! a key.

use crate::endpoint::Instant;
use crate::group::Kek;
use std::collections::VecDeque;
use std::time::Duration;

/// So many are remembered.
const MOST: usize = 32;

/// Longer than the repetitions of a rekey message take (90 s at most), and than clocks of members differ.
pub(super) const LATE: Duration = Duration::from_secs(100);

/// A server says things under an earlier KEK while there may be members that have no later one: as long as a TEK lives.
pub(super) const LONG_LATE: Duration = Duration::from_secs(7_200);

/// The names of keys, and when they were given up.
#[derive(Debug)]
pub(super) struct Past<T>(VecDeque<(T, Instant)>);

/// A KEK, and the number of the last message under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PastKek {
    pub(super) spi: [u8; 16],
    pub(super) number: u32,
}

impl PastKek {
    pub(super) const fn of((kek, _): &(Kek, Instant)) -> Self {
        PastKek { spi: kek.spi, number: kek.sequence }
    }
}

impl<T> Default for Past<T> {
    fn default() -> Self {
        Past(VecDeque::new())
    }
}

impl<T: Copy> Past<T> {
    /// These are given up now.
    pub(super) fn extend(&mut self, names: impl IntoIterator<Item = T>, now: Instant) {
        for name in names {
            self.0.truncate(MOST - 1);
            self.0.push_front((name, now));
        }
    }

    /// All that are remembered.
    pub(super) fn names(&self) -> impl Iterator<Item = T> + '_ {
        self.0.iter().map(|(name, _)| *name)
    }

    /// Whether one is meant that was given up within so long.
    pub(super) fn lately(&self, is_meant: impl Fn(T) -> bool, within: Duration, now: Instant) -> bool {
        self.0.iter().any(|(name, then)| is_meant(*name) && now < *then + within)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_past_for_a_while_and_their_number_is_bounded() {
        let at = |second: u64| Instant::from_millis(second * 1000);
        let mut past = Past::default();
        past.extend([7, 8], at(0));
        let lately = |past: &Past<u32>, name, second| past.lately(|known| known == name, LATE, at(second));
        assert_eq!([7, 8, 9].map(|name| lately(&past, name, 99)), [true, true, false]);
        assert!(!lately(&past, 7, 100));
        past.extend(100..1000, at(1));
        assert_eq!((past.0.len(), lately(&past, 7, 2), lately(&past, 999, 2)), (MOST, false, true));
    }
}
