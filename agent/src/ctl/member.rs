//! Texts about the member daemon.

use super::rekey::origin;
use super::table::{distance, facts};
use crate::clock::Timestamp;
use crate::report::{
    AccessList, AclReport, KekEntry, Lengths, MemberGroup, MemberReport, Protection, Registration, Sending,
    TekEntry,
};

/// The text of `show gm`.
pub fn overview(report: &MemberReport) -> String {
    let groups = report.groups.iter().map(|group| group_text(group, report.generated_at));
    groups.collect::<String>() + &trouble(report.dataplane_error.as_deref(), &report.dataplane_problems)
}

fn group_text(group: &MemberGroup, now: Timestamp) -> String {
    let mut lines = Vec::new();
    if let Some(detached) = &group.detached {
        let since = distance(detached.since, now);
        lines.push(("DETACHED", format!("TRAFFIC PASSES IN CLEAR, {since}, by {}", detached.by)));
    }
    lines.extend([
        ("Registration", registration(group, now)),
        ("Attempts", format!("{} completed, {} failed", group.registrations, group.failures)),
    ]);
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
    if !group.sender_ids.is_empty() {
        lines.push(("Sender IDs", group.sender_ids.join(" ")));
    }
    lines.extend(group.lengths.iter().map(|one| ("Packets", lengths(one))));
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

fn lengths(lengths: &Lengths) -> String {
    let link = format!("{} takes {} octets", lengths.interface, lengths.link_mtu);
    let path = lengths.path_mtu.map_or(String::new(), |mtu| format!(", the core behind it {mtu}"));
    let path_ipv6 = lengths.path_mtu_ipv6.map_or(String::new(), |mtu| format!(", {mtu} of IPv6"));
    link + &path + &path_ipv6 + &inside(lengths)
}

fn inside(lengths: &Lengths) -> String {
    let Some(overhead) = lengths.overhead else { return String::new() };
    let of = |mtu: Option<u32>, family| mtu.map(|mtu| format!("MTU {mtu} for hosts{family}"));
    let ipv4 = of(lengths.host_mtu, "");
    let ipv6 = of(lengths.host_mtu_ipv6, if ipv4.is_some() { ", of IPv6" } else { " of IPv6" });
    let mtus: Vec<_> = ipv4.into_iter().chain(ipv6).collect();
    format!("; encryption adds up to {overhead}: {}", mtus.join(", "))
}

pub(super) const fn protection(protection: Protection) -> &'static str {
    match protection {
        Protection::Closed => "closed: nothing passes before the registration",
        Protection::Open => "open: everything passes in clear before the registration",
        Protection::Adopted => "as an earlier run left it: encrypting while its keys live, blocked then",
        Protection::Encrypting => "encrypting",
        Protection::Detached => "NONE, detached: everything passes IN CLEAR until `gdoictl gm register`",
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
        let replay = replay_window(tek.replay_window);
        (
            "Traffic key",
            format!("{} {}, replay window {replay}, {}, ends {end}", tek.spi, tek.transform, tek.role),
        )
    };
    std::iter::once(("Rekey key", kek)).chain(teks.iter().map(tek)).collect()
}

/// How a window reads, shared with the key server's texts.
pub(super) fn replay_window(packets: u16) -> String {
    match packets {
        0 => "off".into(),
        packets => format!("{packets} packets"),
    }
}

pub(super) fn trouble(error: Option<&str>, problems: &[String]) -> String {
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
