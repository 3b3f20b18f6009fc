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
    /// Packets that reverse path filtering (`rp_filter`) has dropped.
    pub reverse_path: u64,
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
    /// Where packets were counted on their way.
    pub stations: Stations,
}

/// Packets of a plane, where they were counted on their way, in its order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stations {
    /// ESP under SPIs of the plane: has come in by its interface.
    pub esp_arrived: u64,
    /// The same: has passed hook prerouting up to priority raw.
    pub esp_raw: u64,
    /// Of known senders among it: was given the inbound anchor as its destination.
    pub esp_taken: u64,
    /// ESP for the inbound anchor: has passed hook prerouting.
    pub esp_routing: u64,
    /// The same: has been routed to this router.
    pub esp_input: u64,
    /// Decrypted: has passed hook prerouting.
    pub inner_routing: u64,
    /// Decrypted: has come to hook forward.
    pub forwarding: u64,
    /// The same: has passed it.
    pub forwarded: u64,
    /// To be encrypted: has come to hook postrouting.
    pub to_encrypt: u64,
    /// Encrypted: has passed hook output.
    pub esp_out: u64,
    /// The same: has passed hook postrouting.
    pub esp_left: u64,
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
    /// Packets that came again, or too late for the replay window.
    pub replayed: u32,
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
        stations: Stations {
            esp_arrived: count("esp_arrived").packets,
            esp_raw: count("esp_raw").packets,
            esp_taken: count("esp_taken").packets,
            esp_routing: count("esp_routing").packets,
            esp_input: count("esp_input").packets,
            inner_routing: count("inner_routing").packets,
            forwarding: count("forwarding").packets,
            forwarded: count("forwarded").packets,
            to_encrypt: count("to_encrypt").packets,
            esp_out: count("esp_out").packets,
            esp_left: count("esp_left").packets,
        },
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
        replayed: usage.replayed,
    }
}

/// All that is counted for the whole kernel.
pub fn of_the_kernel() -> Counters {
    Counters { errors: errors(), reverse_path: reverse_path(), ..Counters::default() }
}

/// `/proc/thread-self` and not `/proc/net`, which is the network namespace of the process's first thread. The file is
/// absent from kernels without XFRM statistics.
fn errors() -> Vec<(String, u64)> {
    let text = fs::read_to_string("/proc/thread-self/net/xfrm_stat").unwrap_or_default();
    text.lines().filter_map(read_error).filter(|(_, count)| *count > 0).collect()
}

/// `IPReversePathFilter` of `/proc/net/netstat`, where a line of names is followed by one of numbers.
fn reverse_path() -> u64 {
    let text = fs::read_to_string("/proc/thread-self/net/netstat").unwrap_or_default();
    read_reverse_path(&text).unwrap_or_default()
}

fn read_reverse_path(text: &str) -> Option<u64> {
    let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, numbers) = (lines.next()?.split(' '), lines.next()?.split(' '));
    names
        .zip(numbers)
        .find(|(name, _)| *name == "IPReversePathFilter")
        .and_then(|(_, number)| number.parse().ok())
}

fn read_error(line: &str) -> Option<(String, u64)> {
    let mut words = line.split_whitespace();
    Some((words.next()?.to_owned(), words.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_found_below_its_name() {
        let text = "TcpExt: SyncookiesSent IPReversePathFilter X\nTcpExt: 0 17 3\nIpExt: IPReversePathFilter\nIpExt: 9\n";
        assert_eq!(read_reverse_path(text), Some(17));
        assert_eq!(
            (read_reverse_path("TcpExt: A\n"), read_reverse_path("TcpExt: A\nTcpExt: 1\n")),
            (None, None)
        );
    }
}
