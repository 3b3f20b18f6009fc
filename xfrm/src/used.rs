//! One sender's outbound states that were there or were added: none of them may be made a second time.
//!
//! A state counts its packets from 1 whenever it is added, and under one key and SPI no number may come twice: the number is
//! the packet's IV. A key that a key server has ended can come back, from another server or a restored one, with the sender
//! identifiers that it had. So what was used is remembered beyond the time that anything of its block is desired. What
//! is remembered of a key is not the key, which has ended: only enough to tell it from another one.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::model::EspKeys;
use crate::object::{Direction, State, StateId};

/// So many of which nothing is desired any more are remembered; the one that has been gone for longest is forgotten. A
/// plane has at most four that send at a time, and no key server brings back the keys of thousands of rekeys before.
const MOST_GONE: usize = 16_384;

/// Tells the key of a state from another one. Were two taken for one, the later state would only stay away.
type Fingerprint = u64;

/// What was used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Used {
    /// Since when nothing of its block is desired.
    states: HashMap<(StateId, Fingerprint), Option<u64>>,
    /// How often it was looked what is desired.
    looks: u64,
}

impl Used {
    /// A state is there.
    pub(crate) fn note(&mut self, state: &State) {
        if let Some(name) = name(state) {
            self.states.entry(name).or_insert(None);
        }
    }

    /// Whether a state was there with this key.
    pub(crate) fn has(&self, state: &State) -> bool {
        name(state).is_some_and(|name| self.states.contains_key(&name))
    }

    /// Of these something is desired; others are remembered within bounds.
    pub(crate) fn look(&mut self, is_desired: impl Fn(&StateId) -> bool) {
        self.looks += 1;
        for ((id, _), gone) in &mut self.states {
            *gone = if is_desired(id) { None } else { gone.or(Some(self.looks)) };
        }
        self.forget();
    }

    fn forget(&mut self) {
        let mut gone: Vec<_> = self.states.values().copied().flatten().collect();
        let Some(excess) = gone.len().checked_sub(MOST_GONE).filter(|excess| *excess > 0) else { return };
        gone.sort_unstable();
        let last = gone[excess - 1];
        self.states.retain(|_, gone| gone.is_none_or(|look| look > last));
    }
}

/// None for a state that may be made again.
fn name(state: &State) -> Option<(StateId, Fingerprint)> {
    match (state.id.direction, &state.keys) {
        (Direction::Outbound, EspKeys::Sender(key)) => {
            let mut hasher = DefaultHasher::new();
            key.secret().expose().hash(&mut hasher);
            Some((state.id, hasher.finish()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Family, Lane, Replay, Sa, SenderKey, Slot, Spi};

    fn state(spi: u32, octet: u8) -> State {
        let key = SenderKey::new(crate::model::Aead::AesGcm128, vec![octet; 20].into()).unwrap();
        let sa = Sa {
            spi: Spi(spi),
            family: Family::V4,
            lane: Lane::Unicast,
            keys: EspKeys::Sender(key),
            replay: Replay::Off,
            hard_lifetime: None,
        };
        State::new(Slot::new(0).unwrap(), Direction::Outbound, &sa)
    }

    #[test]
    fn what_was_used_is_known_after_its_block_has_gone_and_come_back() {
        let mut used = Used::default();
        used.note(&state(0x10_0001, 1));
        for desired in [true, false, false, true] {
            used.look(|_| desired);
            assert!(used.has(&state(0x10_0001, 1)), "{desired}");
        }
        assert!(!used.has(&state(0x10_0002, 1)), "another sender");
        assert!(!used.has(&state(0x10_0001, 2)), "another key");
        used.note(&state(0x10_0001, 2));
        assert!(used.has(&state(0x10_0001, 1)), "it can come back after the other one, too");
    }

    #[test]
    fn who_receives_may_be_made_again() {
        let mut used = Used::default();
        let mut inbound = state(0x10_0001, 1);
        inbound.id.direction = Direction::Inbound;
        used.note(&inbound);
        assert!(!used.has(&inbound));
    }

    #[test]
    fn of_what_is_gone_the_last_ones_are_remembered() {
        let mut used = Used::default();
        used.note(&state(1, 1));
        for spi in 2..MOST_GONE as u32 + 12 {
            used.note(&state(spi, 1));
            if spi % 1_000 == 0 {
                used.look(|id| id.spi == Spi(1));
            }
        }
        used.look(|id| id.spi == Spi(1));
        assert!(used.states.len() <= MOST_GONE + 1);
        assert!(used.has(&state(1, 1)), "it is desired");
        assert!(used.has(&state(MOST_GONE as u32 + 11, 1)) && !used.has(&state(2, 1)));
    }
}
