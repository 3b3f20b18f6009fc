//! ESP between addresses of a group's access list under no SPI of the group's: another member encrypted it with a key that
//! this one lacks, or somebody pretends so. It is blocked like all that should have been encrypted, and its SPIs are kept
//! for a moment in a set of each plane, so that the agent can look for them without meeting a single packet.

use super::known::{SPI, SPI_TYPE};
use crate::model::Slot;

/// The chain that a packet goes to which the access list permits.
pub const STRAY: &str = "stray";
/// The chain that ESP among it is noted in: one that does not ask for the protocol, or nft lists its SPI in a way that it
/// does not read.
pub const NOTE: &str = "note";

/// The name of a plane's set.
pub fn name(slot: Slot) -> String {
    format!("strays_{}", slot.number())
}

/// What notes the SPI of ESP.
pub fn note(slot: Slot) -> String {
    format!("update @{} {{ {SPI} }}", name(slot))
}

/// The set, for the table's text.
pub fn set(slot: Slot) -> String {
    format!("\tset {} {}\n", name(slot), definition())
}

/// What removes it, whether it is there or not.
pub fn forget(slot: Slot) -> String {
    let place = format!("set inet gdoi {}", name(slot));
    format!("add {place} {}\ndelete {place}", definition())
}

/// 64 different SPIs are kept, further ones are not. What was not seen for ten seconds is forgotten.
fn definition() -> String {
    format!("{{ type {SPI_TYPE}; size 64; flags dynamic,timeout; timeout 10s; }}")
}
