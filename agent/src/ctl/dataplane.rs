//! Texts about what a member's kernel holds and has counted.

use super::member::{protection, trouble};
use super::table::{facts, table};
use super::xfrm_errors::meaning;
use crate::report::{DataplaneReport, PlaneEntry, StateSummary, Traffic};

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
    format!("Group {} ({}) on {}\n", plane.group.name, plane.group.identity_number, plane.interface)
        + &facts(&lines)
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
    fn states_are_for_those_who_ask() {
        assert!(!overview(&report()).contains("0x00000007"));
        assert!(
            detail(&report()).contains("  inbound  0x00000007  9        900     3    5\n"),
            "{}",
            detail(&report())
        );
    }
}
