//! One sender's outbound states that were used and are gone.
//!
//! A state that is added anew counts from 1: its receivers would take all that it sends for replayed, and its key would
//! meet a second series of IVs. So such a state stays away, and what it would have sent is blocked until the member has
//! another sender identifier.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::installed::Installed;
use crate::model::{Desired, Gate, Plane, Sa, Slot, Spi};
use crate::object::{Direction, HeldState, State, StateId};

/// What is desired without the SAs whose states were removed or changed by somebody, and these.
pub fn withhold<'a>(installed: &Installed, desired: &'a Desired) -> (Cow<'a, Desired>, Vec<(Slot, Spi)>) {
    let held: HashMap<_, _> = installed.states.iter().map(|held| (held.id, held)).collect();
    let is_spent = |slot, sa: &Sa| is_spent(installed, &held, slot, sa);
    let spent: Vec<_> = outbound(desired).filter(|(slot, sa)| is_spent(*slot, sa)).map(name).collect();
    if spent.is_empty() {
        return (Cow::Borrowed(desired), spent);
    }
    let mut rest = desired.clone();
    for Plane { slot, gate, .. } in &mut rest.planes {
        if let Gate::Protect(protection) = gate {
            protection.outbound.retain(|sa| !is_spent(*slot, sa));
        }
    }
    (Cow::Owned(rest), spent)
}

fn is_spent(installed: &Installed, held: &HashMap<StateId, &HeldState>, slot: Slot, sa: &Sa) -> bool {
    let state = State::new(slot, Direction::Outbound, sa);
    installed.used.has(&state) && !held.get(&state.id).is_some_and(|held| state.is_held_as(held))
}

fn outbound(desired: &Desired) -> impl Iterator<Item = (Slot, &Sa)> {
    desired.planes.iter().flat_map(|plane| {
        let sas = match &plane.gate {
            Gate::Protect(protection) => &protection.outbound[..],
            Gate::Closed | Gate::Open => &[],
        };
        sas.iter().map(move |sa| (plane.slot, sa))
    })
}

fn name((slot, sa): (Slot, &Sa)) -> (Slot, Spi) {
    (slot, sa.spi)
}
