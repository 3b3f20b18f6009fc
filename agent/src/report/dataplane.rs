//! What a member's kernel holds and has counted.

use super::table::{facts, table};
use super::xfrm_errors::meaning;
use super::GroupLabel;
use crate::clock::Timestamp;
use serde::{Deserialize, Serialize};

/// The answer to `show gm dataplane`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataplaneReport {
    /// When this was true.
    pub generated_at: Timestamp,
    /// One entry per group and interface.
    pub planes: Vec<PlaneEntry>,
    /// The kernel's XFRM error counters that are not zero.
    pub xfrm_errors: Vec<(String, u64)>,
    /// Why the kernel does not hold what it should, if so.
    pub error: Option<String>,
    /// What could not be done on some interface, one line each.
    pub problems: Vec<String>,
}

/// One group on one interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaneEntry {
    /// The group.
    #[serde(flatten)]
    pub group: GroupLabel,
    /// The protected interface.
    pub interface: String,
    /// What happens to the group's traffic there.
    pub protection: Protection,
    /// Where received packets are decrypted, of IPv4 and IPv6.
    pub inbound_anchors: Vec<String>,
    /// Where packets seem to go while they are encrypted.
    pub outbound_anchors: Vec<String>,
    /// What passed, None while the kernel holds nothing for it.
    pub traffic: Option<Traffic>,
    /// The states that receive, together.
    pub inbound: StateSummary,
    /// The states that send, together.
    pub outbound: StateSummary,
    /// The kernel's states.
    pub states: Vec<StateEntry>,
}

/// Packets that a plane has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Sent encrypted.
    pub encrypted_packets: u64,
    /// Octets of these.
    pub encrypted_octets: u64,
    /// Received encrypted.
    pub decrypted_packets: u64,
    /// Octets of these.
    pub decrypted_octets: u64,
    /// Held back because they would have left in clear.
    pub blocked_out_packets: u64,
    /// Refused because they came in clear.
    pub blocked_in_packets: u64,
    /// Passed in clear as GDOI or by the local list.
    pub bypassed_packets: u64,
    /// Encrypted but dropped, because their own header could not be restored.
    pub unrestored_packets: u64,
    /// Sent encrypted in pieces, because they were too long for one.
    #[serde(default)]
    pub oversize_packets: u64,
    /// Received from senders that were not known at that moment.
    #[serde(default)]
    pub unknown_sender_packets: u64,
}

/// States of one direction together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateSummary {
    /// How many there are.
    pub states: usize,
    /// Packets that they carried.
    pub packets: u64,
    /// Octets of these.
    pub octets: u64,
    /// Packets with a wrong authenticator.
    pub integrity_failures: u64,
    /// Packets that came again, or too late.
    pub replayed: u64,
}

/// One state in the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateEntry {
    /// `inbound` or `outbound`.
    pub direction: String,
    /// Its SPI in hexadecimal with 0x.
    pub spi: String,
    /// Packets that it carried.
    pub packets: u64,
    /// Octets of these.
    pub octets: u64,
    /// Packets with a wrong authenticator.
    pub integrity_failures: u64,
    /// Packets that came again, or too late.
    pub replayed: u64,
}

/// What happens to a group's traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protection {
    /// Not registered, fail-close: nothing passes.
    Closed,
    /// Not registered, fail-open: everything passes in clear.
    Open,
    /// Not registered: the kernel goes on with what an earlier run of the daemon left there.
    Adopted,
    /// Encrypted.
    Encrypting,
    /// Encrypted, but the key ends in moments and there is no other.
    Expiring,
    /// Encrypted, but for what policies of others in the kernel take.
    Displaced,
    /// Encrypted, but for what passes by links upon or beside the protected ones.
    Exposed,
    /// Registered without a key to send with: protected traffic is held back.
    Blocked,
    /// An operator had the protection removed: everything passes in clear.
    Detached,
}

impl Protection {
    /// All that there are.
    pub const ALL: [Protection; 9] = [
        Protection::Closed,
        Protection::Open,
        Protection::Adopted,
        Protection::Encrypting,
        Protection::Expiring,
        Protection::Displaced,
        Protection::Exposed,
        Protection::Blocked,
        Protection::Detached,
    ];

    /// Whether the group's traffic is encrypted.
    pub const fn is_encrypted(self) -> bool {
        matches!(
            self,
            Protection::Encrypting | Protection::Expiring | Protection::Displaced | Protection::Exposed
        )
    }

    /// Its name for programs, also in JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Protection::Closed => "closed",
            Protection::Open => "open",
            Protection::Adopted => "adopted",
            Protection::Encrypting => "encrypting",
            Protection::Expiring => "expiring",
            Protection::Displaced => "displaced",
            Protection::Exposed => "exposed",
            Protection::Blocked => "blocked",
            Protection::Detached => "detached",
        }
    }
}

/// The text of `show gm dataplane`.
pub fn overview(report: &DataplaneReport) -> String {
    report.planes.iter().map(plane).collect::<String>() + &rest(report)
}

/// The text of `show gm dataplane --states`.
pub fn detail(report: &DataplaneReport) -> String {
    let each = |entry: &PlaneEntry| plane(entry) + &states(entry);
    report.planes.iter().map(each).collect::<String>() + &rest(report)
}

fn rest(report: &DataplaneReport) -> String {
    errors(&report.xfrm_errors) + &trouble(report.error.as_deref(), &report.problems)
}

fn plane(plane: &PlaneEntry) -> String {
    let mut lines =
        vec![("Protection", protection(plane.protection).to_owned()), ("Anchors", anchors(plane))];
    if let Some(seen) = plane.traffic {
        lines.extend(traffic(seen));
    }
    lines.push(("Integrity failed", packets(plane.inbound.integrity_failures)));
    lines.push(("Replayed", packets(plane.inbound.replayed)));
    lines.push(("States inbound", summary(plane.inbound)));
    lines.push(("States outbound", summary(plane.outbound)));
    format!("{} on {}\n", plane.group.title(), plane.interface) + &facts(&lines)
}

fn traffic(seen: Traffic) -> Vec<(&'static str, String)> {
    let mut lines = vec![
        ("Encrypted", format!("{} packets, {} octets", seen.encrypted_packets, seen.encrypted_octets)),
        ("Decrypted", format!("{} packets, {} octets", seen.decrypted_packets, seen.decrypted_octets)),
        ("Blocked out", packets(seen.blocked_out_packets)),
        ("Blocked in", packets(seen.blocked_in_packets)),
        ("Passed in clear", packets(seen.bypassed_packets)),
        ("Oversize", format!("{}, encrypted in pieces", packets(seen.oversize_packets))),
        (
            "Unknown sender",
            format!("{}, each put to the daemon or dropped", packets(seen.unknown_sender_packets)),
        ),
    ];
    if seen.unrestored_packets > 0 {
        lines.push(("Not restored", format!("{} packets dropped, a defect", seen.unrestored_packets)));
    }
    lines
}

fn anchors(plane: &PlaneEntry) -> String {
    format!("inbound {}, outbound {}", plane.inbound_anchors.join(" "), plane.outbound_anchors.join(" "))
}

fn packets(count: u64) -> String {
    format!("{count} packets")
}

fn summary(states: StateSummary) -> String {
    format!("{}, {} packets, {} octets", states.states, states.packets, states.octets)
}

fn states(plane: &PlaneEntry) -> String {
    if plane.states.is_empty() {
        return String::new();
    }
    let mut rows = vec![["STATE", "SPI", "PACKETS", "OCTETS", "BAD", "REPLAYED"].map(str::to_owned).to_vec()];
    rows.extend(plane.states.iter().map(|state| {
        vec![
            state.direction.clone(),
            state.spi.clone(),
            state.packets.to_string(),
            state.octets.to_string(),
            state.integrity_failures.to_string(),
            state.replayed.to_string(),
        ]
    }));
    table(&rows)
}

fn errors(counters: &[(String, u64)]) -> String {
    let error = |(name, count): &(String, u64)| {
        let (what, advice) = meaning(name);
        format!("  {count} {name}\n    {what}\n    {advice}\n")
    };
    match counters.is_empty() {
        true => String::new(),
        false => {
            "Kernel error counters, all users of XFRM together\n".to_owned()
                + &counters.iter().map(error).collect::<String>()
        }
    }
}

/// In words.
pub(super) const fn protection(protection: Protection) -> &'static str {
    match protection {
        Protection::Closed => "closed: nothing passes before the registration",
        Protection::Open => "open: everything passes in clear before the registration",
        Protection::Adopted => "as an earlier run left it: encrypting while its keys live, blocked then",
        Protection::Encrypting => "encrypting",
        Protection::Expiring => "encrypting, but the key ends in moments and no other has come",
        Protection::Displaced => "NOT all encrypted: policies of others come before the group's, see Problem",
        Protection::Exposed => "NOT all encrypted: something of it passes IN CLEAR, see Problem",
        Protection::Detached => "NONE, detached: everything passes IN CLEAR until `gdoictl gm register`",
        Protection::Blocked => "blocked: there is no key, protected traffic is held back",
    }
}

/// What is wrong with it.
pub(super) fn trouble(error: Option<&str>, problems: &[String]) -> String {
    let error = error.map(|error| format!("The kernel does not hold what it should: {error}\n"));
    error.into_iter().chain(problems.iter().map(|problem| format!("Problem: {problem}\n"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn report() -> DataplaneReport {
        let summary = |states, packets| json!({"states": states, "packets": packets, "octets": packets * 100, "integrity_failures": 3, "replayed": 5});
        serde_json::from_value(json!({"generated_at": "2026-01-31T12:00:00Z", "error": null, "problems": ["wan0 is down"],
            "xfrm_errors": [["XfrmInStateSeqError", 5]],
            "planes": [{"name": "corp", "identity_number": 100, "interface": "wan0", "protection": "encrypting",
                "inbound_anchors": ["192.0.0.84", "100::848:0"], "outbound_anchors": ["192.0.0.85", "100::848:1"],
                "traffic": {"encrypted_packets": 10, "encrypted_octets": 1000, "decrypted_packets": 9,
                    "decrypted_octets": 900, "blocked_out_packets": 1, "blocked_in_packets": 2, "bypassed_packets": 4,
                    "unrestored_packets": 0, "oversize_packets": 2, "unknown_sender_packets": 6},
                "inbound": summary(2, 9), "outbound": summary(1, 10),
                "states": [{"direction": "inbound", "spi": "0x00000007", "packets": 9, "octets": 900,
                    "integrity_failures": 3, "replayed": 5}]}]}))
        .unwrap()
    }

    #[test]
    fn show_gm_dataplane_reads_like_this() {
        assert_eq!(
            overview(&report()),
            "\
Group corp (100) on wan0
  Protection        encrypting
  Anchors           inbound 192.0.0.84 100::848:0, outbound 192.0.0.85 100::848:1
  Encrypted         10 packets, 1000 octets
  Decrypted         9 packets, 900 octets
  Blocked out       1 packets
  Blocked in        2 packets
  Passed in clear   4 packets
  Oversize          2 packets, encrypted in pieces
  Unknown sender    6 packets, each put to the daemon or dropped
  Integrity failed  3 packets
  Replayed          5 packets
  States inbound    2, 9 packets, 900 octets
  States outbound   1, 10 packets, 1000 octets
Kernel error counters, all users of XFRM together
  5 XfrmInStateSeqError
    received: replayed, or later than the replay window allows
    does the core duplicate or hold back packets? raise `replay-window`; else somebody replays
Problem: wan0 is down
"
        );
    }

    #[test]
    fn words_are_those_of_json() {
        assert!(Protection::ALL.iter().all(|one| json!(one) == json!(one.word())));
    }

    #[test]
    fn states_are_for_those_who_ask() {
        assert!(!overview(&report()).contains("0x00000007"));
        assert!(
            detail(&report()).contains("  inbound  0x00000007  9        900     3    5\n"),
            "{}",
            detail(&report())
        );
    }
}
