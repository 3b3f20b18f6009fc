//! Reports about the key servers that share a group.

use super::table::{facts, span, table};
use super::GroupLabel;
use crate::clock::Timestamp;
use gdoi::coop::Role;
use gdoi::counted;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The answer to `show ks coop`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoopReport {
    /// When this was true.
    pub generated_at: Timestamp,
    /// The groups in the configuration's order.
    pub groups: Vec<CoopGroup>,
}

/// One group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoopGroup {
    /// Its name and number.
    #[serde(flatten)]
    pub group: GroupLabel,
    /// None where no other key server shares it.
    pub redundancy: Option<CoopEntry>,
}

/// How this key server stands in a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoopEntry {
    /// What it is.
    pub role: CoopRole,
    /// Who is primary, as far as it knows.
    pub primary: Option<String>,
    /// The number of the primary's reign.
    pub epoch: u64,
    /// The highest is elected.
    pub local_priority: u8,
    /// Whether it takes the role from a primary of lower priority.
    pub preempt: bool,
    /// How long after it is back; None if it never does.
    pub hold_down_seconds: Option<u64>,
    /// Whether it gave the role away on an operator's word and does not take it back.
    pub resigned: bool,
    /// The group's own time.
    pub pseudotime_seconds: u64,
    /// Whether new keys wait until the other servers have them.
    pub committing: bool,
    /// Registrations that were told to try later.
    pub registrations_blocked: u64,
    /// Elections that it saw begin.
    pub elections: u64,
    /// How often it announces itself.
    pub announcement_interval_seconds: u64,
    /// After so many announcements missed a server is dead.
    pub dead_after: u32,
    /// The digest of the configuration, the same on all servers; hexadecimal.
    pub configuration: String,
    /// The fingerprint of the key that signs rekey messages, the same on all servers; hexadecimal.
    pub signing_key: Option<String>,
    /// The other servers.
    pub peers: Vec<CoopPeerEntry>,
}

/// Another key server. What it said of itself is as old as `last_heard_at`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoopPeerEntry {
    /// Its address.
    pub address: String,
    /// Whether it is heard.
    pub state: PeerState,
    /// Whether an ISAKMP SA with it stands.
    pub linked: bool,
    /// When it was heard last.
    pub last_heard_at: Option<Timestamp>,
    /// What it is.
    pub role: Option<CoopRole>,
    /// Its priority.
    pub priority: Option<u8>,
    /// The number of the reign that it follows.
    pub epoch: Option<u64>,
    /// Whether it has the same keys.
    pub in_step: Option<bool>,
    /// Whether its configuration is the same.
    pub configured_alike: Option<bool>,
    /// The members that it knows.
    pub members: Option<u32>,
    /// Messages about this group sent to it.
    pub sent: u64,
    /// Messages about this group taken from it.
    pub received: u64,
    /// Messages of it about this group that changed nothing.
    pub refused: CoopRefusalCounts,
}

/// Messages that changed nothing, by reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoopRefusalCounts {
    /// The time in them is too far ahead.
    pub too_new: u64,
    /// The time in them is too far behind.
    pub too_old: u64,
    /// Anything else.
    pub other: u64,
}

/// What a key server is in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CoopRole {
    /// It has just started and listens who is there.
    Starting,
    /// It registers members with the primary's keys.
    Secondary,
    /// No primary is left, and none is elected yet.
    Electing,
    /// It makes the keys.
    Primary,
    /// It is primary and hands the role over.
    Yielding,
}

impl From<Role> for CoopRole {
    fn from(role: Role) -> Self {
        match role {
            Role::Starting => CoopRole::Starting,
            Role::Secondary => CoopRole::Secondary,
            Role::Electing => CoopRole::Electing,
            Role::Primary => CoopRole::Primary,
            Role::Yielding => CoopRole::Yielding,
        }
    }
}

impl fmt::Display for CoopRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CoopRole::Starting => "starting",
            CoopRole::Secondary => "secondary",
            CoopRole::Electing => "electing",
            CoopRole::Primary => "primary",
            CoopRole::Yielding => "yielding",
        })
    }
}

/// Whether another key server is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeerState {
    /// It is.
    Alive,
    /// It was, and is no more.
    Dead,
    /// Not since this server's start.
    NeverHeard,
}

impl fmt::Display for PeerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PeerState::Alive => "alive",
            PeerState::Dead => "dead",
            PeerState::NeverHeard => "never heard",
        })
    }
}

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
    format!("{}\n{text}", group.group.title())
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
        ("Elections", format!("{}, {} told to try later", entry.elections, blocked(entry))),
    ]
}

fn blocked(entry: &CoopEntry) -> String {
    counted(entry.registrations_blocked, "registration", "registrations")
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

/// One link serves all groups; what is counted is what is about this one.
fn links(entry: &CoopEntry) -> String {
    let heading = ["SERVER", "LINK", "EPOCH", "SENT", "RECEIVED", "TOO NEW", "TOO OLD", "OTHERWISE REFUSED"];
    let counters = rows(&heading, entry, |peer| {
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
    });
    format!("  Messages about this group, since the start or since the server was added:\n{counters}")
}

fn shown(value: Option<impl ToString>) -> String {
    value.map_or(NOTHING.into(), |value| value.to_string())
}
