//! When the kernel is compared with what it should hold, and why.

use gdoi::endpoint::Instant;
use std::time::Duration;
use xfrm::Subject;

/// How often it is compared though nobody tells of a change: some changes come without news, and news can be lost.
const INTERVAL: Duration = Duration::from_secs(10);

/// Changes come in groups, those of interfaces and those that follow a comparison: how long after the first of them is
/// compared.
const DEBOUNCE: Duration = Duration::from_millis(100);

/// Whatever others do: at most one comparison in this time, besides [`Due::disturbed`]'s second one. What comes later is
/// compared at once: it may be all that kept traffic from being clear.
const SPACING: Duration = Duration::from_secs(1);

/// A comparison that comes so long after the one before it may be followed by another one soon, so that the second thing
/// that somebody removes need not wait for the first.
const CALM: Duration = Duration::from_secs(2);

/// Why the kernel is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The daemon starts.
    Start,
    /// What it should hold has changed.
    View,
    /// An operator wants a group's protection removed.
    Detach,
    /// An interface or its addresses have changed.
    Links,
    /// It does not hold what it held.
    Repair,
    /// The daemon stops.
    Stop,
}

/// The next comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    at: Instant,
    cause: Cause,
    last: Instant,
    /// The one before the last.
    before: Instant,
}

impl Due {
    /// The first one is due.
    pub fn start() -> Self {
        Due {
            at: Instant::default(),
            cause: Cause::Start,
            last: Instant::default(),
            before: Instant::default(),
        }
    }

    /// When.
    pub const fn at(&self) -> Instant {
        self.at
    }

    /// What it should hold has changed: at once.
    pub fn wanted(&mut self, cause: Cause) {
        (self.at, self.cause) = (Instant::default(), cause);
    }

    /// Something has changed there, perhaps by what was done here last: at once or soon.
    pub fn disturbed(&mut self, subject: Subject, now: Instant) {
        let is_late = self.last + SPACING <= now;
        let was_calm = self.before + CALM <= self.last;
        let soon = match subject {
            Subject::Xfrm | Subject::Tables if is_late => now,
            _ if is_late || was_calm => now + DEBOUNCE,
            _ => (now + DEBOUNCE).max(self.last + SPACING),
        };
        self.at = self.at.min(soon);
        if subject == Subject::Links && self.cause == Cause::Repair {
            self.cause = Cause::Links;
        }
    }

    /// The comparison begins; answers why.
    pub fn begin(&mut self, now: Instant) -> Cause {
        let cause = self.cause;
        *self = Due { at: now + INTERVAL, cause: Cause::Repair, last: now, before: self.last };
        cause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    #[test]
    fn it_is_compared_at_the_start_and_every_ten_seconds() {
        let mut due = Due::start();
        assert!(due.at() <= at(1) && due.begin(at(50_000)) == Cause::Start);
        assert_eq!(due.at(), at(60_000));
        assert_eq!(due.begin(at(60_000)), Cause::Repair);
    }

    #[test]
    fn own_wishes_are_not_put_off() {
        let mut due = Due::start();
        due.begin(at(50_000));
        due.wanted(Cause::View);
        due.disturbed(Subject::Links, at(50_001));
        assert!(due.at() <= at(50_001) && due.begin(at(50_001)) == Cause::View);
    }

    #[test]
    fn news_are_gathered_for_a_moment() {
        let mut due = Due::start();
        due.begin(at(50_000));
        due.disturbed(Subject::Links, at(55_000));
        due.disturbed(Subject::Links, at(55_090));
        assert_eq!((due.at(), due.begin(at(55_100))), (at(55_100), Cause::Links));
    }

    #[test]
    fn damage_after_a_silence_is_not_put_off_and_neither_is_what_comes_with_it() {
        for subject in [Subject::Xfrm, Subject::Tables] {
            let mut due = Due::start();
            due.begin(at(48_000));
            due.disturbed(subject, at(51_000));
            assert_eq!((due.at(), due.begin(at(51_000))), (at(51_000), Cause::Repair));
            due.disturbed(subject, at(51_010));
            due.disturbed(subject, at(51_020));
            assert_eq!((due.at(), due.begin(at(51_110))), (at(51_110), Cause::Repair));
            due.disturbed(subject, at(51_120));
            assert_eq!(due.at(), at(52_110));
        }
    }

    #[test]
    fn a_storm_costs_one_comparison_a_second() {
        let (mut due, mut compared) = (Due::start(), 0);
        for now in (50_000..60_000).map(at) {
            due.disturbed(Subject::Tables, now);
            if due.at() <= now {
                due.begin(now);
                compared += 1;
            }
        }
        assert!((10..13).contains(&compared), "{compared}");
    }
}
