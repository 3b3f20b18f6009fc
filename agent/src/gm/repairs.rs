//! Repairs that do not last: somebody else works against this daemon.

use gdoi::endpoint::Instant;
use std::collections::VecDeque;
use std::time::Duration;

/// So many repairs within [`SPAN`] are no accident.
const MANY: usize = 5;
const SPAN: Duration = Duration::from_secs(60);

/// The last repairs.
#[derive(Debug, Default)]
pub struct Repairs {
    times: VecDeque<Instant>,
}

impl Repairs {
    /// One more.
    pub fn count(&mut self, now: Instant) {
        self.times.push_back(now);
        if self.times.len() > MANY {
            self.times.pop_front();
        }
    }

    /// What to tell the operator, if there were many of late.
    pub fn problem(&self, now: Instant) -> Option<String> {
        let first = self.times.front().filter(|_| self.times.len() == MANY)?;
        (now.saturating_since(*first) < SPAN).then(|| {
            format!(
                "what is installed was removed or changed {MANY} times within a minute and put back each time: find the \
                 program that does it (another IPsec daemon, a firewall that flushes all of nftables) and stop it"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_repairs_in_a_minute_are_a_problem_while_they_last() {
        let at = |seconds: u64| Instant::from_millis(seconds * 1000);
        let mut repairs = Repairs::default();
        (100..104).for_each(|second| repairs.count(at(second)));
        assert_eq!(repairs.problem(at(104)), None);
        repairs.count(at(104));
        assert!(repairs.problem(at(105)).is_some_and(|problem| problem.contains("5 times within a minute")));
        assert_eq!(repairs.problem(at(160)), None);
        let mut rare = Repairs::default();
        (0..100).for_each(|number| rare.count(at(number * 20)));
        assert_eq!(rare.problem(at(99 * 20)), None);
    }
}
