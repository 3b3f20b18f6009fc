//! How often a member registers, whatever makes it do so: a server that says the same again, messages that anybody can
//! forge, states that somebody deletes again and again.
//!
//! Never two registrations within [`SPACING`], and in any span of time no more than one for each [`PERIOD`] in it and
//! [`BURST`] besides. A registration is one that brought keys: attempts that fail have a pace of their own, and the first
//! one, like the way to the next server of the list, does not wait.
//!
//! Registrations that are only a try, because the member may lack something, wait longer each time that one in a row
//! brought nothing new. That is counted apart for each reason to try: most anybody can make up, and that one is made up
//! again and again does not delay what another one makes necessary.

use crate::crypto::Random;
use crate::endpoint::Instant;
use crate::keyring::Gain;
use crate::retransmit::draw;
use std::time::Duration;

const SPACING: Duration = Duration::from_secs(5);
const PERIOD: Duration = Duration::from_secs(10);
const BURST: u32 = 3;

/// How long after a registration that brought nothing new the next try is, at most and before jitter: so long after the
/// first, twice as long after each other one.
const PATIENCE: Duration = SPACING;
const LONGEST_PATIENCE: Duration = Duration::from_secs(300);

/// The same for a reason that goes on as long as something is missing, which somebody who makes it up must do, too.
const LONGEST_PATIENCE_WHILE_IT_GOES_ON: Duration = Duration::from_secs(60);

/// Operators are people: they get what they ask for, once a second.
const ORDERS: Duration = Duration::from_secs(1);

/// Why a member tries whether there is something new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// Its keys end.
    End,
    /// ESP came under an unknown key, or a rekey message under an unknown KEK: a datagram is all that it takes.
    Datagram,
    /// ESP goes on coming under an unknown key.
    LastingEsp,
    /// A rekey message came from another time, or with a number that was used.
    Untimely,
    NumberAgain,
}

const REASONS: usize = 5;

/// Tries that brought nothing.
#[derive(Clone, Copy, Debug, Default)]
struct InVain {
    /// How many in a row.
    count: u32,
    patience: Duration,
    last: Option<Instant>,
}

/// What was registered so far, as far as it matters for the next time.
#[derive(Debug, Default)]
pub(super) struct Floor {
    last: Option<Instant>,
    /// When all of [`BURST`] may be used again.
    recovered: Instant,
    /// For each [`Reason`].
    in_vain: [InVain; REASONS],
    next_order: Instant,
}

impl Floor {
    /// When the member may register again.
    pub(super) fn opens(&self) -> Instant {
        let spaced = self.last.map_or(Instant::default(), |last| last + SPACING);
        spaced.max(self.recovered.before(PERIOD * (BURST - 1)))
    }

    /// When it may try whether there is something new.
    pub(super) fn opens_for_a_try(&self, reason: Reason) -> Instant {
        let InVain { patience, last, .. } = self.in_vain[reason as usize];
        self.opens().max(last.map_or(Instant::default(), |last| last + patience))
    }

    /// When an operator's next order is carried out.
    pub(super) const fn opens_for_orders(&self) -> Instant {
        self.next_order
    }

    /// One is carried out.
    pub(super) fn ordered(&mut self, now: Instant) {
        self.next_order = now + ORDERS;
    }

    /// The server was asked, and answered.
    pub(super) fn registered(&mut self, gain: Gain, reason: Reason, random: &mut dyn Random, now: Instant) {
        self.last = Some(now);
        self.recovered = self.recovered.max(now) + PERIOD;
        if gain != Gain::Nothing {
            self.in_vain = Default::default();
            return;
        }
        let in_vain = &mut self.in_vain[reason as usize];
        let patience = (PATIENCE * 2u32.pow(in_vain.count.min(8))).min(reason.longest_patience());
        in_vain.patience = patience + draw(random, patience / 4);
        in_vain.count = in_vain.count.saturating_add(1);
        in_vain.last = Some(now);
    }
}

impl Reason {
    const fn longest_patience(self) -> Duration {
        match self {
            Reason::LastingEsp => LONGEST_PATIENCE_WHILE_IT_GOES_ON,
            _ => LONGEST_PATIENCE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::SystemRandom;

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    /// When a member registers that does so whenever it may, in a span.
    fn greedy(gain: Gain, span: u64, opens: impl Fn(&Floor) -> Instant) -> Vec<u64> {
        let (mut floor, mut times) = (Floor::default(), Vec::new());
        let mut now = at(1_000_000);
        let end = now + Duration::from_millis(span);
        while now < end {
            floor.registered(gain, Reason::End, &mut SystemRandom, now);
            times.push(now.as_millis());
            now = opens(&floor);
        }
        times
    }

    #[test]
    fn the_first_one_does_not_wait() {
        let floor = Floor::default();
        assert_eq!((floor.opens(), floor.opens_for_a_try(Reason::End)), (at(0), at(0)));
    }

    #[test]
    fn never_two_within_five_seconds_nor_more_than_one_in_ten_on_average() {
        let times = greedy(Gain::Something, 3_600_000, Floor::opens);
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 5_000));
        for first in 0..times.len() {
            for last in first..times.len() {
                let most = 3 + (times[last] - times[first]) / 10_000;
                assert!((last - first + 1) as u64 <= most, "{first} to {last}");
            }
        }
        assert_eq!(times.len(), 362);
    }

    #[test]
    fn after_a_while_a_burst_is_possible_again() {
        let mut floor = Floor::default();
        for second in [0, 5, 10] {
            floor.registered(Gain::Something, Reason::End, &mut SystemRandom, at(second * 1000));
        }
        assert_eq!(floor.opens(), at(15_000));
        for second in [15, 20] {
            floor.registered(Gain::Something, Reason::End, &mut SystemRandom, at(second * 1000));
        }
        assert_eq!(floor.opens(), at(30_000));
        floor.registered(Gain::Something, Reason::End, &mut SystemRandom, at(3_600_000));
        assert_eq!(floor.opens(), at(3_605_000));
    }

    #[test]
    fn tries_in_vain_become_rare_and_a_success_forgets_them() {
        let times = greedy(Gain::Nothing, 86_400_000, |floor| floor.opens_for_a_try(Reason::End));
        let gaps: Vec<_> = times.windows(2).map(|pair| (pair[1] - pair[0]) / 1000).collect();
        assert!(
            (5..=10).contains(&gaps[0]) && gaps[7..].iter().all(|gap| (300..=375).contains(gap)),
            "{gaps:?}"
        );
        let mut floor = Floor::default();
        (0..20).for_each(|_| floor.registered(Gain::Nothing, Reason::End, &mut SystemRandom, at(0)));
        floor.registered(Gain::Something, Reason::Datagram, &mut SystemRandom, at(3_600_000));
        assert_eq!(floor.opens_for_a_try(Reason::End), at(3_605_000));
        floor.registered(Gain::Nothing, Reason::End, &mut SystemRandom, at(3_700_000));
        assert!(floor.opens_for_a_try(Reason::End) <= at(3_706_250));
    }

    #[test]
    fn what_was_in_vain_for_one_reason_does_not_delay_another() {
        let mut floor = Floor::default();
        for second in (0..3_600).step_by(300) {
            floor.registered(Gain::Nothing, Reason::Datagram, &mut SystemRandom, at(second * 1000));
        }
        assert!(floor.opens_for_a_try(Reason::Datagram) >= at(3_600_000));
        for other in [Reason::End, Reason::LastingEsp, Reason::Untimely, Reason::NumberAgain] {
            assert_eq!(floor.opens_for_a_try(other), at(3_305_000), "{other:?}");
        }
    }

    #[test]
    fn what_goes_on_is_asked_about_each_minute() {
        let mut floor = Floor::default();
        (0..20).for_each(|_| floor.registered(Gain::Nothing, Reason::LastingEsp, &mut SystemRandom, at(0)));
        let opens = floor.opens_for_a_try(Reason::LastingEsp);
        assert!(opens >= at(180_000) && opens <= at(205_000), "{opens:?}");
    }
}
