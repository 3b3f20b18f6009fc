//! A group's own time: its pseudotime. All that servers share is in it, whatever their clocks say.

use crate::endpoint::Instant;
use std::time::Duration;

/// Where the group's time stands against this server's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct GroupClock {
    /// Milliseconds that the group's time is ahead.
    pub(super) offset: i64,
}

impl GroupClock {
    /// A clock that begins at zero now.
    pub(super) fn starting(now: Instant) -> Self {
        let mut clock = GroupClock::default();
        clock.set(Instant::default(), now);
        clock
    }

    /// From now on it is `time`.
    pub(super) fn set(&mut self, time: Instant, now: Instant) {
        self.offset = time.as_millis().wrapping_sub(now.as_millis()) as i64;
    }

    /// The group's time.
    pub(super) fn time(&self, now: Instant) -> Instant {
        Instant::from_millis(now.as_millis().saturating_add_signed(self.offset))
    }

    /// When this server's clock shows what the group's time is then.
    pub(super) fn local(&self, time: Instant) -> Instant {
        Instant::from_millis(time.as_millis().saturating_add_signed(self.offset.saturating_neg()))
    }

    /// Goes along with the primary's time. What is on its way arrives late, never early: a time ahead of ours is
    /// true, one far behind means that our clock runs faster, and is
    /// approached step by step.
    pub(super) fn follow(&mut self, time: Instant, now: Instant) {
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

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    #[test]
    fn it_counts_from_its_beginning_and_back() {
        let clock = GroupClock::starting(at(5_000));
        assert_eq!(clock.time(at(6_500)), at(1_500));
        assert_eq!(clock.local(at(1_500)), at(6_500));
        let mut later = clock;
        later.set(at(90_000), at(5_000));
        assert_eq!((later.time(at(5_001)), later.local(at(90_001))), (at(90_001), at(5_001)));
    }

    #[test]
    fn it_follows_a_faster_clock_at_once_and_a_slower_one_slowly() {
        let mut clock = GroupClock::starting(at(0));
        clock.follow(at(1_200), at(1_000));
        assert_eq!(clock.time(at(1_000)), at(1_200));
        clock.follow(at(1_000), at(1_000));
        assert_eq!(clock.time(at(1_000)), at(1_200), "a delay is no difference");
        clock.follow(at(500), at(1_000));
        assert_eq!(clock.time(at(1_000)), at(1_150));
    }
}
