//! Texts about the key servers that share a group.

use super::key_server::title;
use super::table::{facts, span, table};
use crate::clock::Timestamp;
use crate::report::{CoopEntry, CoopGroup, CoopPeerEntry, CoopReport, PeerState};

type Lines = Vec<(&'static str, String)>;

/// What is shown where there is nothing.
const NOTHING: &str = "-";

/// The text of `show ks coop`.
pub fn overview(report: &CoopReport) -> String {
    let shared = |entry: &CoopEntry| facts(&lines(entry)) + &peers(entry, report.generated_at);
    report.groups.iter().map(|group| group_text(group, shared)).collect()
}

/// The text of `show ks coop detail`.
pub fn detail(report: &CoopReport) -> String {
    let shared = |entry: &CoopEntry| {
        facts(&[lines(entry), more_lines(entry)].concat())
            + &peers(entry, report.generated_at)
            + &links(entry)
    };
    report.groups.iter().map(|group| group_text(group, shared)).collect()
}

fn group_text(group: &CoopGroup, shared: impl Fn(&CoopEntry) -> String) -> String {
    let text = match &group.redundancy {
        Some(entry) => shared(entry),
        None => facts(&[("Redundancy", "none: no other key server shares this group".into())]),
    };
    format!("{}\n{text}", title(&group.group))
}

fn lines(entry: &CoopEntry) -> Lines {
    let primary = entry.primary.as_deref().unwrap_or("none");
    let keys = match entry.committing {
        true => "new ones wait until the other servers have them",
        false => "in use",
    };
    vec![
        ("Role", entry.role.to_string()),
        ("Primary", format!("{primary}, epoch {}", entry.epoch)),
        ("Priority", format!("{}, {}", entry.local_priority, preemption(entry))),
        ("Group's time", span(entry.pseudotime_seconds)),
        ("Keys", keys.into()),
        (
            "Elections",
            format!("{}, {} registrations told to try later", entry.elections, entry.registrations_blocked),
        ),
    ]
}

fn preemption(entry: &CoopEntry) -> String {
    match (entry.resigned, entry.hold_down_seconds) {
        (true, _) => "resigned: does not take the role back by itself".into(),
        (false, Some(seconds)) => format!("takes the role {seconds} s after it is back"),
        (false, None) => "does not take the role from another".into(),
    }
}

fn more_lines(entry: &CoopEntry) -> Lines {
    let interval = entry.announcement_interval_seconds;
    vec![
        ("Announced", format!("every {interval} s, dead after {} missed", entry.dead_after)),
        ("Configuration", entry.configuration.clone()),
        ("Signing key", entry.signing_key.clone().unwrap_or("none".into())),
    ]
}

fn peers(entry: &CoopEntry, now: Timestamp) -> String {
    let heading = ["SERVER", "STATE", "ROLE", "PRIORITY", "LAST HEARD", "KEYS", "CONFIGURATION", "MEMBERS"];
    rows(&heading, entry, |peer| peer_row(peer, now))
}

fn rows<const N: usize>(
    heading: &[&str; N],
    entry: &CoopEntry,
    row: impl Fn(&CoopPeerEntry) -> [String; N],
) -> String {
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    rows.extend(entry.peers.iter().map(|peer| row(peer).to_vec()));
    table(&rows)
}

/// What a dead server said of its role and keys is no more true.
fn peer_row(peer: &CoopPeerEntry, now: Timestamp) -> [String; 8] {
    let alive = peer.state == PeerState::Alive;
    let alike =
        |value: Option<bool>| shown(value.filter(|_| alive).map(|same| if same { "same" } else { "differ" }));
    [
        peer.address.clone(),
        peer.state.to_string(),
        shown(peer.role.filter(|_| alive)),
        shown(peer.priority),
        shown(peer.last_heard_at.map(|at| format!("{} ago", span(now.seconds_after(at))))),
        alike(peer.in_step),
        alike(peer.configured_alike),
        shown(peer.members),
    ]
}

fn links(entry: &CoopEntry) -> String {
    let heading = ["SERVER", "LINK", "EPOCH", "SENT", "RECEIVED", "TOO NEW", "TOO OLD", "OTHERWISE REFUSED"];
    rows(&heading, entry, |peer| {
        [
            peer.address.clone(),
            if peer.linked { "up" } else { "down" }.into(),
            shown(peer.epoch),
            peer.sent.to_string(),
            peer.received.to_string(),
            peer.refused.too_new.to_string(),
            peer.refused.too_old.to_string(),
            peer.refused.other.to_string(),
        ]
    })
}

fn shown(value: Option<impl ToString>) -> String {
    value.map_or(NOTHING.into(), |value| value.to_string())
}

#[cfg(test)]
mod tests;
