//! ESP between addresses of a group's access list under no SPI of the group's: another member encrypted it with a key that
//! this one lacks, or somebody pretends so. It is blocked like all that should have been encrypted, and its SPIs are kept
//! for a moment in a set of each plane, so that the agent can look for them without meeting a single packet.

use crate::model::Slot;

/// The chain that a packet goes to which the access list permits.
pub const STRAY: &str = "stray";

/// 64 different SPIs are kept, further ones are not. What was not seen for ten seconds is forgotten.
const SET: &str = "{ typeof esp spi; size 64; flags dynamic,timeout; timeout 10s; }";

/// The name of a plane's set.
pub fn name(slot: Slot) -> String {
    format!("strays_{}", slot.number())
}

/// The set, for the table's text.
pub fn set(slot: Slot) -> String {
    format!("\tset {} {SET}\n", name(slot))
}

/// What removes it, whether it is there or not.
pub fn forget(slot: Slot) -> String {
    let place = format!("set inet gdoi {}", name(slot));
    format!("add {place} {SET}\ndelete {place}")
}
