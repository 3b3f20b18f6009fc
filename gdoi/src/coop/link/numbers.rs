//! Which messages of a peer were taken: each one once, wherever others overtook it on its way. What several groups have to
//! say to one server goes out at the same moments, and networks with more than one path reorder it; if only what is newer
//! than all before was taken, half of it would be lost.

use crate::endpoint::Instant;
use crate::error::{Error, Misbehaved};
use std::collections::BTreeMap;
use std::time::Duration;

/// So long a message may come later than one that was sent after it. What somebody kept back for longer is not taken.
const LATE: Duration = Duration::from_secs(1);

/// Not more messages are waited for: as many as are sent at once.
const MAX_SKIPPED: u64 = 128;

/// The numbers of a peer's messages under one SA.
#[derive(Default)]
pub(super) struct Numbers {
    last: u64,
    /// Those below it that have not come, and when a later one came.
    skipped: BTreeMap<u64, Instant>,
}

impl Numbers {
    /// Takes a number that was not taken before.
    ///
    /// # Errors
    /// [`Misbehaved::Replayed`]: nothing has changed.
    pub(super) fn take(&mut self, got: u64, now: Instant) -> Result<(), Error> {
        if got > self.last {
            self.advance(got, now);
            return Ok(());
        }
        let in_time = |since: &Instant| now.saturating_since(*since) < LATE;
        match self.skipped.get(&got).is_some_and(in_time) {
            true => self.skipped.remove(&got),
            false => return Err(Misbehaved::Replayed { got, last: self.last }.into()),
        };
        Ok(())
    }

    fn advance(&mut self, got: u64, now: Instant) {
        let first = (self.last + 1).max(got.saturating_sub(MAX_SKIPPED));
        self.skipped.retain(|number, since| {
            *number >= got.saturating_sub(MAX_SKIPPED) && now.saturating_since(*since) < LATE
        });
        self.skipped.extend((first..got).map(|number| (number, now)));
        self.last = got;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Instant = Instant::from_millis(1_000_000);

    fn taken(numbers: &mut Numbers, got: u64, now: Instant) -> bool {
        numbers.take(got, now).is_ok()
    }

    #[test]
    fn each_is_taken_once_in_whatever_order() {
        let mut numbers = Numbers::default();
        for got in [3, 1, 7, 2, 5, 6, 4] {
            assert!(taken(&mut numbers, got, START), "{got}");
        }
        for got in 0..=7 {
            let refused = Misbehaved::Replayed { got, last: 7 };
            assert_eq!(numbers.take(got, START), Err(refused.into()));
        }
        assert!(numbers.skipped.is_empty());
    }

    #[test]
    fn what_comes_too_late_is_refused() {
        let mut numbers = Numbers::default();
        assert!(taken(&mut numbers, 4, START));
        let (in_time, late) = (START + (LATE - Duration::from_millis(1)), START + LATE);
        assert!(taken(&mut numbers, 2, in_time) && !taken(&mut numbers, 1, late));
        assert!(
            taken(&mut numbers, 6, late) && taken(&mut numbers, 5, late) && !taken(&mut numbers, 3, late)
        );
        assert!(numbers.skipped.is_empty(), "what is too late is forgotten");
    }

    #[test]
    fn only_so_many_are_waited_for() {
        let mut numbers = Numbers::default();
        for got in [u64::MAX >> 1, (u64::MAX >> 1) + 100, u64::MAX] {
            assert!(taken(&mut numbers, got, START));
            assert!(numbers.skipped.len() as u64 <= MAX_SKIPPED);
            assert!(!taken(&mut numbers, got - MAX_SKIPPED - 1, START));
        }
        assert!(taken(&mut numbers, u64::MAX - MAX_SKIPPED, START) && !taken(&mut numbers, 1, START));
    }
}
