//! When a message was made, as a member can tell from the group's time (pseudotime) in it.
//!
//! A message says how much is left of a key's life, and that was true when it was made. A repetition comes long after,
//! and counting from its arrival would give the key that much more life. So both ends of the span in which it can
//! have been made are kept apart: a member sends with a key until the earliest end that the server can have meant, and
//! receives with it until the latest, since others may send with it until then.
//!
//! * A PULL is answered after it was asked for and before the answer came. Its policy says the group's time then, which
//!   ties that to the member's clock: within the time that the answer took.
//! * A PUSH was made before it came; how long before, its group's time says. It cannot have been made later than the
//!   promptest of the last [`HEARD`] messages allows: each of those came after it was made, too. One of them may be a
//!   late repetition; all of them are only where the first transmission of each was lost. (Whose turn comes last in a
//!   unicast rekey of 10,000 members hears each message 25 s late, and is so much less exact.)
//! * More than the last few messages are not asked, because clocks do not run alike: two that differ by 300 in a million
//!   drift apart by less in that many lives of a key than the time between a member's last packet with a key and the
//!   key's end (see [`crate::lifetime`]). A server whose clock was set back is believed again after as many messages,
//!   or after the next PULL.
//! * The earliest is reckoned from the last PULL. A member whose clock is slow would find it after the latest, and does
//!   not; one whose clock is fast lets its keys end too early, until it registers again because of that.
//! * What is held already is never reckoned anew by a later message: should the server's clock have been set, others may
//!   still send with it until the end that they were told. Only an end that no server has named is: one that follows from
//!   a message of a server that may not have known the key.

use crate::endpoint::Instant;
use std::collections::VecDeque;
use std::time::Duration;

/// So many messages are remembered.
const HEARD: usize = 8;

/// The span in which a message was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Made {
    pub(crate) earliest: Instant,
    pub(crate) latest: Instant,
}

/// The group's time in milliseconds, on the member's clock.
#[derive(Debug, Default)]
pub(super) struct GroupClock {
    /// A group's time, and the earliest that it can have been then.
    earliest: Option<(u64, Instant)>,
    /// What the last messages said, and when they came.
    heard: VecDeque<(u64, Instant)>,
}

impl GroupClock {
    /// The group's time at `now`, if the server tells it; never behind the server's own.
    pub(super) fn at(&self, now: Instant) -> Option<u64> {
        let (time, then) = self.earliest?;
        Some(time.saturating_add(now.saturating_since(then).as_millis() as u64))
    }

    /// The group's time in the last message.
    pub(super) const fn told(&self) -> Option<u64> {
        match self.earliest {
            Some((time, _)) => Some(time),
            None => None,
        }
    }

    /// Takes in the group's time in a PULL that was answered within `made`. If it contradicts what was heard before, the
    /// group began anew.
    pub(super) fn pulled(&mut self, time: Option<u64>, made: Made) -> Made {
        let Some(time) = time else { return made };
        if self.latest(time).is_some_and(|latest| latest < made.earliest) {
            self.heard.clear();
        }
        self.earliest = Some((time, made.earliest));
        Made { latest: self.hear(time, made.latest), ..made }
    }

    /// Takes in the group's time in a PUSH; without one it counts as made when it came, and the time that was known
    /// holds no more: key servers that began apart have become one group (COOP).
    pub(super) fn pushed(&mut self, time: Option<u64>, now: Instant) -> Made {
        let Some(time) = time else {
            *self = GroupClock::default();
            return Made { earliest: now, latest: now };
        };
        let latest = self.hear(time, now);
        let earliest = self.earliest.map_or(latest, |(then, at)| shift(at, then, time)).min(latest);
        self.earliest = Some((time, earliest));
        Made { earliest, latest }
    }

    /// A message from `time` came at `now`: when it was made at the latest.
    fn hear(&mut self, time: u64, now: Instant) -> Instant {
        self.heard.truncate(HEARD - 1);
        self.heard.push_front((time, now));
        self.latest(time).unwrap_or(now)
    }

    fn latest(&self, time: u64) -> Option<Instant> {
        self.heard.iter().map(|(then, came)| shift(*came, *then, time)).min()
    }
}

/// `at` was the instant of the group's time `from`: the instant of `to`.
fn shift(at: Instant, from: u64, to: u64) -> Instant {
    match to.checked_sub(from) {
        Some(ahead) => at + Duration::from_millis(ahead),
        None => at.before(Duration::from_millis(from - to)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Instant {
        Instant::from_millis(second * 1000)
    }

    fn made(earliest: u64, latest: u64) -> Made {
        Made { earliest: at(earliest), latest: at(latest) }
    }

    fn pulled(time: u64, asked: u64, answered: u64) -> GroupClock {
        let mut clock = GroupClock::default();
        clock.pulled(Some(time * 1000), made(asked, answered));
        clock
    }

    #[test]
    fn without_the_groups_time_only_the_arrival_counts() {
        let mut clock = GroupClock::default();
        assert_eq!(clock.pulled(None, made(5, 9)), made(5, 9));
        assert_eq!(clock.pushed(None, at(10)), made(10, 10));
        assert_eq!(clock.at(at(10)), None);
    }

    #[test]
    fn a_late_repetition_is_known_as_one() {
        let mut clock = pulled(100, 1000, 1003);
        assert_eq!(clock.pushed(Some(200_000), at(1120)), made(1100, 1103));
        assert_eq!(clock.pushed(Some(300_000), at(1201)), made(1200, 1201), "this one was prompt");
        assert_eq!(clock.pushed(Some(400_000), at(1320)), made(1300, 1301), "and counts for the next");
    }

    #[test]
    fn a_message_is_never_made_after_it_came() {
        let mut clock = pulled(100, 1000, 1000);
        assert_eq!(clock.pushed(Some(260_000), at(1100)), made(1100, 1100));
        assert_eq!(clock.at(at(1101)), Some(261_000));
    }

    #[test]
    fn a_later_pull_is_no_less_exact_than_what_was_known() {
        let mut clock = pulled(100, 1000, 1001);
        assert_eq!(clock.pulled(Some(200_000), made(1095, 1110)), made(1095, 1101));
    }

    #[test]
    fn a_pull_begins_anew_with_a_group_that_did() {
        let mut clock = pulled(100_000, 1000, 1001);
        assert_eq!(clock.pulled(Some(5_000), made(1100, 1102)), made(1100, 1102));
        assert_eq!(clock.at(at(1110)), Some(15_000));
        assert_eq!(clock.pushed(Some(10_000), at(1120)), made(1105, 1107));
    }

    /// The server's clock goes back by a minute, and no PULL comes.
    #[test]
    fn a_server_whose_clock_was_set_is_believed_again() {
        let mut clock = pulled(1000, 1000, 1000);
        let minutes = (1..=9)
            .map(|minute| clock.pushed(Some((1000 + (minute - 1) * 60) * 1000), at(1000 + minute * 60)));
        let late: Vec<_> = minutes
            .zip(1..)
            .map(|(made, minute)| at(1000 + minute * 60).saturating_since(made.latest))
            .collect();
        assert_eq!((late[0].as_secs(), late[8].as_secs()), (60, 0));
    }

    /// A month of hourly messages, one in three late, on clocks that differ by 300 in a million.
    #[test]
    fn clocks_that_do_not_run_alike_do_not_drift_away() {
        for (fast, slow) in [(3, 0), (0, 3)] {
            let mut clock = pulled(0, 1_000_000, 1_000_000);
            for hour in 1..=720 {
                let time = hour * 3_600_000;
                let truth =
                    Instant::from_millis(1_000_000_000 + time + time / 10_000 * fast - time / 10_000 * slow);
                let delay = if hour % 3 == 0 { 20_000 } else { 50 };
                let made = clock.pushed(Some(time), truth + Duration::from_millis(delay));
                let (early, late) =
                    (truth.saturating_since(made.latest), made.latest.saturating_since(truth));
                assert!(early < Duration::from_secs(9) && late < Duration::from_secs(2), "{hour}: {made:?}");
                assert!(made.earliest <= made.latest, "{hour}: {made:?}");
            }
        }
    }

    /// What the clocks of members may differ by while they remember is less than what their senders keep clear of.
    #[test]
    fn so_few_messages_are_remembered_that_drift_does_not_matter() {
        for seconds in [20, 60, 300, 3600, 12_000, 86_400, 30 * 86_400] {
            let life = Duration::from_secs(seconds);
            assert!(life * HEARD as u32 * 3 / 10_000 < crate::lifetime::switch_margin(life), "{seconds}");
        }
    }
}
