//! Texts about the member daemon.

use super::rekey::origin;
use super::table::{distance, facts, table};
use crate::clock::Timestamp;
use crate::report::{
    AccessList, AclReport, DataplaneReport, KekEntry, MemberGroup, MemberReport, PlaneEntry, Protection,
    Registration, Sending, TekEntry, Traffic,
};

/// The text of `show gm`.
pub fn overview(report: &MemberReport) -> String {
    let groups = report.groups.iter().map(|group| group_text(group, report.generated_at));
    groups.collect::<String>() + &trouble(report.dataplane_error.as_deref(), &report.dataplane_problems)
}

fn group_text(group: &MemberGroup, now: Timestamp) -> String {
    let mut lines = vec![
        ("Registration", registration(group, now)),
        ("Attempts", format!("{} completed, {} failed", group.registrations, group.failures)),
    ];
    if let Some(reason) = &group.last_failure {
        lines.push(("Last failure", reason.clone()));
    }
    lines.push(("Keys came", origin(group.keys_from, now)));
    if group.kek.is_some() || group.rekeys.received > 0 {
        let rekeys = group.rekeys;
        let text = format!(
            "{} received, {} acknowledged, {} ignored",
            rekeys.received,
            rekeys.acknowledged,
            rekeys.refused()
        );
        lines.push(("Rekeys", text));
    }
    if let Some(moment) = group.reregisters_at {
        lines.push(("Re-registers", distance(moment, now)));
    }
    lines.extend([
        ("Key servers", group.servers.join(", ")),
        ("Interfaces", group.interfaces.join(", ")),
        ("Protection", protection(group.protection).to_owned()),
        ("Unregistered", if group.fail_close { "fail-close" } else { "fail-open" }.to_owned()),
    ]);
    lines.extend(keys(group.kek.as_ref(), &group.teks, now));
    format!("Group {} ({})\n{}", group.group.name, group.group.identity_number, facts(&lines))
}

fn registration(group: &MemberGroup, now: Timestamp) -> String {
    let server = &group.server;
    match group.registration {
        Registration::Registering => format!("registering with {server}"),
        Registration::Waiting => {
            let when = group.retries_at.map_or(String::new(), |moment| format!(" {}", distance(moment, now)));
            format!("failed, next attempt at {server}{when}")
        }
        Registration::Registered => format!("registered with {server}"),
        Registration::Reregistering => format!("registered, registering again with {server}"),
        Registration::Expired => format!("all keys have ended, registering again with {server}"),
    }
}

const fn protection(protection: Protection) -> &'static str {
    match protection {
        Protection::Closed => "closed: nothing passes before the registration",
        Protection::Open => "open: everything passes in clear before the registration",
        Protection::Adopted => "as an earlier run left it: encrypting while its keys live, blocked then",
        Protection::Encrypting => "encrypting",
        Protection::Blocked => "blocked: there is no key, protected traffic is held back",
    }
}

/// Lines about keys, shared with the key server's texts.
pub(super) fn keys(kek: Option<&KekEntry>, teks: &[TekEntry], now: Timestamp) -> Vec<(&'static str, String)> {
    let kek = kek.map_or("none".to_owned(), |kek| {
        format!(
            "{} {}, sequence {}, ends {}",
            kek.spi,
            kek.algorithm,
            kek.sequence,
            distance(kek.expires_at, now)
        )
    });
    let tek = |tek: &TekEntry| {
        let end = distance(tek.expires_at, now);
        ("Traffic key", format!("{} {}, {}, ends {end}", tek.spi, tek.transform, tek.role))
    };
    std::iter::once(("Rekey key", kek)).chain(teks.iter().map(tek)).collect()
}

fn trouble(error: Option<&str>, problems: &[String]) -> String {
    let error = error.map(|error| format!("The kernel does not hold what it should: {error}\n"));
    error.into_iter().chain(problems.iter().map(|problem| format!("Problem: {problem}\n"))).collect()
}

/// The text of `show gm acl`.
pub fn access_lists(report: &AclReport) -> String {
    report.groups.iter().map(access_list).collect()
}

fn access_list(list: &AccessList) -> String {
    format!(
        "Group {} ({})\n{}{}",
        list.group.name,
        list.group.identity_number,
        entries("Local, judged first: always in clear", &list.local),
        entries(&meaning("Downloaded", list.sending), &list.downloaded)
    )
}

/// What the entries of a list mean, shared with the key server's texts.
pub(super) fn meaning(title: &str, sending: Sending) -> String {
    match sending {
        Sending::Encrypted => {
            format!("{title}, the first match decides: permit is encrypted, deny is in clear")
        }
        Sending::Clear => {
            format!("{title}, receive-only: what is permitted is sent in clear and accepted in either form")
        }
    }
}

/// A list under its title, shared with the key server's texts.
pub(super) fn entries(title: &str, entries: &[String]) -> String {
    let entries: String = entries.iter().map(|entry| format!("    {entry}\n")).collect();
    format!("  {title}\n{}", if entries.is_empty() { "    (none)\n" } else { &entries })
}

/// The text of `show gm dataplane`.
pub fn dataplane(report: &DataplaneReport) -> String {
    let mut text: String = report.planes.iter().map(plane).collect();
    if !report.xfrm_errors.is_empty() {
        text += "Kernel error counters, all users of XFRM together\n";
        let rows: Vec<_> =
            report.xfrm_errors.iter().map(|(name, count)| vec![name.clone(), count.to_string()]).collect();
        text += &table(&rows);
    }
    text + &trouble(report.error.as_deref(), &report.problems)
}

fn plane(plane: &PlaneEntry) -> String {
    let mut lines = vec![
        ("Protection", protection(plane.protection).to_owned()),
        ("Anchors", format!("inbound {}, outbound {}", plane.inbound_anchor, plane.outbound_anchor)),
    ];
    if let Some(seen) = plane.traffic {
        lines.extend(traffic(seen));
    }
    let mut text =
        format!("Group {} ({}) on {}\n", plane.group.name, plane.group.identity_number, plane.interface)
            + &facts(&lines);
    if !plane.states.is_empty() {
        text += &states(plane);
    }
    text
}

fn traffic(seen: Traffic) -> Vec<(&'static str, String)> {
    let packets = |count: u64| format!("{count} packets");
    let mut lines = vec![
        ("Encrypted", format!("{} packets, {} octets", seen.encrypted_packets, seen.encrypted_octets)),
        ("Decrypted", format!("{} packets, {} octets", seen.decrypted_packets, seen.decrypted_octets)),
        ("Blocked out", packets(seen.blocked_out_packets)),
        ("Blocked in", packets(seen.blocked_in_packets)),
        ("Passed in clear", packets(seen.bypassed_packets)),
    ];
    if seen.unrestored_packets > 0 {
        lines.push(("Not restored", format!("{} packets dropped, a defect", seen.unrestored_packets)));
    }
    lines
}

fn states(plane: &PlaneEntry) -> String {
    let mut rows = vec![["STATE", "SPI", "PACKETS", "OCTETS", "BAD"].map(str::to_owned).to_vec()];
    rows.extend(plane.states.iter().map(|state| {
        vec![
            state.direction.clone(),
            state.spi.clone(),
            state.packets.to_string(),
            state.octets.to_string(),
            state.integrity_failures.to_string(),
        ]
    }));
    table(&rows)
}
