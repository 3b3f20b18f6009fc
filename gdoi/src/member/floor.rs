//! How often a member registers, whatever makes it do so: a server that says the same again, messages that anybody can
//! forge, states that somebody deletes again and again.
//!
//! Never two registrations within [`SPACING`], and in any span of time no more than one for each [`PERIOD`] in it and
//! [`BURST`] besides. A registration is one that brought keys: attempts that fail have a pace of their own, and the first
//! one, like the way to the next server of the list, does not wait.
//!
//! Registrations that are only a try, because the member may lack something, wait longer each time that one in a row
//! brought nothing new.

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

/// Operators are people: they get what they ask for, once a second.
const ORDERS: Duration = Duration::from_secs(1);

/// What was registered so far, as far as it matters for the next time.
#[derive(Debug, Default)]
pub(super) struct Floor {
    last: Option<Instant>,
    /// When all of [`BURST`] may be used again.
    recovered: Instant,
    /// How many in a row brought nothing.
    in_vain: u32,
    patience: Duration,
    next_order: Instant,
}

impl Floor {
    /// When the member may register again.
    pub(super) fn opens(&self) -> Instant {
        let spaced = self.last.map_or(Instant::default(), |last| last + SPACING);
        spaced.max(self.recovered.before(PERIOD * (BURST - 1)))
    }

    /// When it may try whether there is something new.
    pub(super) fn opens_for_a_try(&self) -> Instant {
        let patient = self.last.map_or(Instant::default(), |last| last + self.patience);
        self.opens().max(patient)
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
    pub(super) fn registered(&mut self, gain: Gain, random: &mut dyn Random, now: Instant) {
        self.last = Some(now);
        self.recovered = self.recovered.max(now) + PERIOD;
        self.patience = match gain {
            Gain::Something | Gain::Older => Duration::ZERO,
            Gain::Nothing => {
                let patience = (PATIENCE * 2u32.pow(self.in_vain.min(8))).min(LONGEST_PATIENCE);
                patience + draw(random, patience / 4)
            }
        };
        self.in_vain = match gain {
            Gain::Something | Gain::Older => 0,
            Gain::Nothing => self.in_vain.saturating_add(1),
        };
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
            floor.registered(gain, &mut SystemRandom, now);
            times.push(now.as_millis());
            now = opens(&floor);
        }
        times
    }

    #[test]
    fn the_first_one_does_not_wait() {
        let floor = Floor::default();
        assert_eq!((floor.opens(), floor.opens_for_a_try()), (at(0), at(0)));
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
            floor.registered(Gain::Something, &mut SystemRandom, at(second * 1000));
        }
        assert_eq!(floor.opens(), at(15_000));
        [15, 20]
            .into_iter()
            .for_each(|second| floor.registered(Gain::Something, &mut SystemRandom, at(second * 1000)));
        assert_eq!(floor.opens(), at(30_000));
        floor.registered(Gain::Something, &mut SystemRandom, at(3_600_000));
        assert_eq!(floor.opens(), at(3_605_000));
    }

    #[test]
    fn tries_in_vain_become_rare_and_a_success_forgets_them() {
        let times = greedy(Gain::Nothing, 86_400_000, Floor::opens_for_a_try);
        let gaps: Vec<_> = times.windows(2).map(|pair| (pair[1] - pair[0]) / 1000).collect();
        assert!(
            (5..=10).contains(&gaps[0]) && gaps[7..].iter().all(|gap| (300..=375).contains(gap)),
            "{gaps:?}"
        );
        let mut floor = Floor::default();
        (0..20).for_each(|_| floor.registered(Gain::Nothing, &mut SystemRandom, at(0)));
        floor.registered(Gain::Something, &mut SystemRandom, at(3_600_000));
        assert_eq!(floor.opens_for_a_try(), at(3_605_000));
        floor.registered(Gain::Nothing, &mut SystemRandom, at(3_700_000));
        assert!(floor.opens_for_a_try() <= at(3_706_250));
    }
}
