//! Counters for people: what each plane and each state has carried.

use std::fs;

use crate::message::Usage;
use crate::model::{Family, Slot, Spi};
use crate::object::{Direction, StateId};

/// A reading of all counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Per plane that holds something in the kernel.
    pub planes: Vec<PlaneCounters>,
    /// Per state, in the kernel's own count.
    pub states: Vec<StateCounters>,
    /// The kernel's XFRM error counters that are not zero (`/proc/net/xfrm_stat`), of all XFRM users together.
    pub errors: Vec<(String, u64)>,
}

/// What passed one plane, since its table was first written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlaneCounters {
    /// The plane.
    pub slot: Slot,
    /// Sent encrypted under their own header (a segmentation-offload packet counts once).
    pub encrypted: Count,
    /// Received encrypted and accepted.
    pub decrypted: Count,
    /// Held back on the way out: they would have left in clear.
    pub blocked_out: Count,
    /// Refused on the way in: they came in clear.
    pub blocked_in: Count,
    /// Passed in clear as GDOI or by a `clear` entry, both directions.
    pub bypassed: Count,
    /// IPv4 packets that were too long for one piece and had their addresses put aside before encryption.
    pub oversize: Count,
    /// Encrypted but dropped because their own header could not be restored; anything but zero is a defect.
    pub unrestored: Count,
    /// Received from senders that were not known at that moment: put before the agent, or dropped where that would have
    /// been too many or there is none.
    pub unknown_sender: Count,
}

/// Packets and octets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Packets.
    pub packets: u64,
    /// Octets.
    pub bytes: u64,
}

/// What one state has carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateCounters {
    /// Its plane.
    pub slot: Slot,
    /// Which way it works.
    pub direction: Direction,
    /// Which packets it carries.
    pub family: Family,
    /// Its SPI.
    pub spi: Spi,
    /// What it carried.
    pub count: Count,
    /// Packets whose authenticator was wrong.
    pub integrity_failures: u32,
}

/// Sorts nft's counters by plane.
pub fn planes(readings: &[(Slot, &'static str, u64, u64)]) -> Vec<PlaneCounters> {
    let mut slots: Vec<_> = readings.iter().map(|(slot, ..)| *slot).collect();
    slots.sort_unstable();
    slots.dedup();
    slots.into_iter().map(|slot| plane(slot, readings)).collect()
}

fn plane(slot: Slot, readings: &[(Slot, &'static str, u64, u64)]) -> PlaneCounters {
    let count = |wanted: &str| {
        let found = readings.iter().find(|(of, name, ..)| *of == slot && *name == wanted);
        found.map(|(_, _, packets, bytes)| Count { packets: *packets, bytes: *bytes }).unwrap_or_default()
    };
    PlaneCounters {
        slot,
        encrypted: count("encrypted"),
        decrypted: count("decrypted"),
        blocked_out: count("blocked_out"),
        blocked_in: count("blocked_in"),
        bypassed: count("bypassed"),
        oversize: count("oversize"),
        unrestored: count("unrestored"),
        unknown_sender: count("unknown_sender"),
    }
}

pub fn state(id: StateId, usage: Usage) -> StateCounters {
    StateCounters {
        slot: id.slot,
        direction: id.direction,
        family: id.family,
        spi: id.spi,
        count: Count { packets: usage.packets, bytes: usage.bytes },
        integrity_failures: usage.integrity_failures,
    }
}

/// `/proc/thread-self` and not `/proc/net`, which is the network namespace of the process's first thread. The file is
/// absent from kernels without XFRM statistics.
pub fn errors() -> Vec<(String, u64)> {
    let text = fs::read_to_string("/proc/thread-self/net/xfrm_stat").unwrap_or_default();
    text.lines().filter_map(read_error).filter(|(_, count)| *count > 0).collect()
}

fn read_error(line: &str) -> Option<(String, u64)> {
    let mut words = line.split_whitespace();
    Some((words.next()?.to_owned(), words.next()?.parse().ok()?))
}
