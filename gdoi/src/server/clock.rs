//! A group's own time: its pseudotime. All that servers share is in it, whatever their clocks say.

use crate::endpoint::Instant;
use std::ops::Add;
use std::time::Duration;

/// A point in a group's time: milliseconds since the group began. What this server's clock shows then, its
/// [`GroupClock`] tells; the two kinds of time do not mix.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct GroupTime(u64);

impl GroupTime {
    pub(super) const fn from_millis(ms: u64) -> Self {
        GroupTime(ms)
    }

    pub(super) const fn as_millis(self) -> u64 {
        self.0
    }

    /// The time that passed since `earlier`; zero if that lies ahead.
    pub(super) const fn saturating_since(self, earlier: GroupTime) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// So long before; the group's beginning if that lies before it.
    pub(super) fn before(self, delay: Duration) -> GroupTime {
        GroupTime(self.0.saturating_sub(millis(delay)))
    }

    /// The point in time that is as far from `theirs` as this one was from `ours`: another clock is gone by.
    pub(super) fn moved(self, ours: GroupTime, theirs: GroupTime) -> GroupTime {
        match self >= ours {
            true => theirs + self.saturating_since(ours),
            false => theirs.before(ours.saturating_since(self)),
        }
    }
}

impl Add<Duration> for GroupTime {
    type Output = GroupTime;

    fn add(self, delay: Duration) -> GroupTime {
        GroupTime(self.0.saturating_add(millis(delay)))
    }
}

fn millis(delay: Duration) -> u64 {
    u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)
}

/// Where the group's time stands against this server's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct GroupClock {
    /// Milliseconds that the group's time is ahead.
    offset: i64,
}

impl GroupClock {
    /// A clock that begins at zero now.
    pub(super) fn starting(now: Instant) -> Self {
        let mut clock = GroupClock::default();
        clock.set(GroupTime::default(), now);
        clock
    }

    /// A clock of which [`GroupClock::offset`] was kept.
    pub(super) const fn ahead_by(offset: i64) -> Self {
        GroupClock { offset }
    }

    /// Milliseconds that the group's time is ahead of this server's.
    pub(super) const fn offset(&self) -> i64 {
        self.offset
    }

    /// From now on it is `time`.
    pub(super) fn set(&mut self, time: GroupTime, now: Instant) {
        self.offset = time.as_millis().wrapping_sub(now.as_millis()) as i64;
    }

    /// The group's time.
    pub(super) fn time(&self, now: Instant) -> GroupTime {
        GroupTime(now.as_millis().saturating_add_signed(self.offset))
    }

    /// When this server's clock shows what the group's time is then.
    pub(super) fn local(&self, time: GroupTime) -> Instant {
        Instant::from_millis(time.as_millis().saturating_add_signed(self.offset.saturating_neg()))
    }

    /// Goes along with the primary's time. What is on its way arrives late, never early: a time ahead of ours is
    /// true, one far behind means that our clock runs faster, and is approached step by step.
    pub(super) fn follow(&mut self, time: GroupTime, now: Instant) {
        const DELAY: Duration = Duration::from_millis(500);
        let ours = self.time(now);
        if time > ours {
            self.set(time, now);
        } else if let Some(ahead) = ours.saturating_since(time).checked_sub(DELAY) {
            self.offset = self.offset.saturating_sub((ahead / 4).as_millis() as i64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    const fn time(ms: u64) -> GroupTime {
        GroupTime::from_millis(ms)
    }

    #[test]
    fn it_counts_from_its_beginning_and_back() {
        let clock = GroupClock::starting(at(5_000));
        assert_eq!(clock.time(at(6_500)), time(1_500));
        assert_eq!(clock.local(time(1_500)), at(6_500));
        let mut later = clock;
        later.set(time(90_000), at(5_000));
        assert_eq!((later.time(at(5_001)), later.local(time(90_001))), (time(90_001), at(5_001)));
        assert_eq!(GroupClock::ahead_by(later.offset()), later);
    }

    #[test]
    fn it_follows_a_faster_clock_at_once_and_a_slower_one_slowly() {
        let mut clock = GroupClock::starting(at(0));
        clock.follow(time(1_200), at(1_000));
        assert_eq!(clock.time(at(1_000)), time(1_200));
        clock.follow(time(1_000), at(1_000));
        assert_eq!(clock.time(at(1_000)), time(1_200), "a delay is no difference");
        clock.follow(time(500), at(1_000));
        assert_eq!(clock.time(at(1_000)), time(1_150));
    }

    #[test]
    fn times_move_as_the_clock_does() {
        let moved = |then| time(then).moved(time(1_000), time(5_000));
        assert_eq!((moved(1_500), moved(400), moved(0)), (time(5_500), time(4_400), time(4_000)));
        assert_eq!(time(400).moved(time(1_000), time(100)), time(0), "no time is before the beginning");
    }

    #[test]
    fn time_saturates_at_both_ends() {
        assert_eq!(time(5).saturating_since(time(9)), Duration::ZERO);
        assert_eq!(time(u64::MAX) + Duration::MAX, time(u64::MAX));
        assert_eq!(time(5).before(Duration::from_secs(1)), time(0));
    }
}
