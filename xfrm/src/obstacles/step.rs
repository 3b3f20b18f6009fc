//! What was counted of a plane between two readings.

use std::collections::BTreeMap;

use crate::counters::{Counters, PlaneCounters, StateCounters};
use crate::model::{Family, Slot, Spi};
use crate::object::Direction;

/// Errors of the kernel's XFRM that only what has come to the states meets.
const AT_STATES: [&str; 11] = [
    "XfrmInError",
    "XfrmInBufferError",
    "XfrmInHdrError",
    "XfrmInNoStates",
    "XfrmInStateProtoError",
    "XfrmInStateModeError",
    "XfrmInStateSeqError",
    "XfrmInStateExpired",
    "XfrmInStateMismatch",
    "XfrmInStateInvalid",
    "XfrmInStateDirError",
];
/// Errors that policies give to what was decrypted.
const OF_POLICIES: [&str; 4] = ["XfrmInTmplMismatch", "XfrmInNoPols", "XfrmInPolBlock", "XfrmInPolError"];

/// Where packets were counted, in the order of their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    EspArrived,
    EspRaw,
    EspTaken,
    EspRouting,
    EspInput,
    /// Judged by states, well or not.
    Judged,
    Decrypted,
    InnerRouting,
    /// Decrypted, and come to hook forward or input.
    Delivered,
    Forwarding,
    Forwarded,
    ToEncrypt,
    /// Encrypted by states, or refused by them.
    Encrypted,
    /// Encrypted, with their own addresses.
    Restored,
    EspOut,
    EspLeft,
    /// Dropped by reverse path filtering, of everybody's.
    ReversePath,
    /// Refused by policies, of what everybody decrypts.
    Refused,
    /// States that are gone, and what they have carried since the last reading with them.
    GoneInbound,
    GoneOutbound,
}

const COUNT: usize = Place::GoneOutbound as usize + 1;

/// What a plane's counters say of a place.
type Station = (Place, fn(&PlaneCounters) -> u64);

const STATIONS: [Station; 13] = [
    (Place::EspArrived, |plane| plane.stations.esp_arrived),
    (Place::EspRaw, |plane| plane.stations.esp_raw),
    (Place::EspTaken, |plane| plane.stations.esp_taken),
    (Place::EspRouting, |plane| plane.stations.esp_routing),
    (Place::EspInput, |plane| plane.stations.esp_input),
    (Place::InnerRouting, |plane| plane.stations.inner_routing),
    (Place::Delivered, |plane| plane.decrypted.packets),
    (Place::Forwarding, |plane| plane.stations.forwarding),
    (Place::Forwarded, |plane| plane.stations.forwarded),
    (Place::ToEncrypt, |plane| plane.stations.to_encrypt),
    (Place::Restored, |plane| plane.encrypted.packets),
    (Place::EspOut, |plane| plane.stations.esp_out),
    (Place::EspLeft, |plane| plane.stations.esp_left),
];

/// How many packets were counted at each place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step([u64; COUNT]);

impl Step {
    /// None where something was counted anew: nothing can be told then.
    pub fn between(before: &Counters, now: &Counters, slot: Slot) -> Option<Self> {
        let mut step = Self::default();
        let (first, last) = (of_plane(before, slot)?, of_plane(now, slot)?);
        for (place, count) in STATIONS {
            step.add(place, count(last).checked_sub(count(first))?);
        }
        step.add_states(&of_states(before, slot), &of_states(now, slot));
        let errors = |counters: &Counters, is: &dyn Fn(&str) -> bool| {
            counters.errors.iter().filter(|(name, _)| is(name)).map(|(_, count)| count).sum::<u64>()
        };
        let more = |is: &dyn Fn(&str) -> bool| errors(now, is).checked_sub(errors(before, is));
        step.add(Place::Judged, more(&|name| AT_STATES.contains(&name))?);
        step.add(Place::Refused, more(&|name| OF_POLICIES.contains(&name))?);
        step.add(Place::Encrypted, more(&|name| name.starts_with("XfrmOut"))?);
        step.add(Place::ReversePath, now.reverse_path.checked_sub(before.reverse_path)?);
        Some(step)
    }

    /// How many at this place.
    pub fn at(&self, place: Place) -> u64 {
        self.0[place as usize]
    }

    /// The same, and then that.
    pub fn then(self, next: &Self) -> Self {
        Self(std::array::from_fn(|place| self.0[place] + next.0[place]))
    }

    pub(super) fn add(&mut self, place: Place, packets: u64) {
        self.0[place as usize] += packets;
    }

    fn add_states(&mut self, before: &States<'_>, now: &States<'_>) {
        for (id, state) in now {
            let then = before.get(id);
            let packets = since(state.count.packets, then.map(|state| state.count.packets));
            let failed = since(failed(state), then.map(|state| failed(state)));
            match state.direction {
                Direction::Inbound => {
                    self.add(Place::Decrypted, packets);
                    self.add(Place::Judged, packets + failed);
                }
                Direction::Outbound => self.add(Place::Encrypted, packets),
            }
        }
        for (direction, ..) in before.keys().filter(|id| !now.contains_key(*id)) {
            let place = match direction {
                Direction::Inbound => Place::GoneInbound,
                Direction::Outbound => Place::GoneOutbound,
            };
            self.add(place, 1);
        }
    }
}

type States<'a> = BTreeMap<(Direction, Family, Spi), &'a StateCounters>;

/// Of two lanes with one SPI only one is seen.
fn of_states(counters: &Counters, slot: Slot) -> States<'_> {
    let states = counters.states.iter().filter(|state| state.slot == slot);
    states.map(|state| ((state.direction, state.family, state.spi), state)).collect()
}

fn of_plane(counters: &Counters, slot: Slot) -> Option<&PlaneCounters> {
    counters.planes.iter().find(|plane| plane.slot == slot)
}

fn failed(state: &StateCounters) -> u64 {
    u64::from(state.integrity_failures) + u64::from(state.replayed)
}

/// A state that was made anew counts from zero.
fn since(now: u64, then: Option<u64>) -> u64 {
    now.checked_sub(then.unwrap_or_default()).unwrap_or(now)
}
