//! Exchanges that are over while their cookies are still good: a third message that comes late or again begins no other.

use super::session_name::SessionName;
use crate::endpoint::Instant;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// How long a cookie is good at most.
const LIFE: Duration = Duration::from_secs(60);
/// How many are remembered.
const MAX_SPENT: usize = 16_384;

/// The exchanges that ended lately.
#[derive(Default)]
pub(super) struct Spent {
    names: BTreeMap<SessionName, Instant>,
    order: VecDeque<(SessionName, Instant)>,
}

impl Spent {
    pub(super) fn note(&mut self, name: SessionName, now: Instant) {
        self.forget(now);
        self.names.insert(name, now);
        self.order.push_back((name, now));
    }

    pub(super) fn has(&self, name: SessionName) -> bool {
        self.names.contains_key(&name)
    }

    pub(super) fn forget(&mut self, now: Instant) {
        while let Some((name, noted)) = self.order.front().copied() {
            if now.saturating_since(noted) < LIFE && self.order.len() < MAX_SPENT {
                return;
            }
            self.order.pop_front();
            if self.names.get(&name) == Some(&noted) {
                self.names.remove(&name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_remembered_for_a_minute_and_within_bounds() {
        let mut spent = Spent::default();
        let name = |number: u32| {
            let initiator = [number.to_be_bytes(), [0; 4]].concat().try_into().unwrap();
            SessionName { peer: ([192, 0, 2, 1], 848).into(), initiator }
        };
        let at = |second: u64| Instant::from_millis(second * 1_000);
        spent.note(name(1), at(1));
        spent.note(name(1), at(31));
        spent.forget(at(61));
        assert!(spent.has(name(1)), "it ended again");
        spent.forget(at(91));
        assert!(!spent.has(name(1)) && spent.order.is_empty());
        (0..20_000).for_each(|number| spent.note(name(number), at(100)));
        assert_eq!((spent.names.len(), spent.order.len()), (MAX_SPENT, MAX_SPENT));
        assert!(spent.has(name(19_999)) && !spent.has(name(0)));
    }
}
