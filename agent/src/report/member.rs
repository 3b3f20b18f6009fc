//! What a member tells about itself.

use super::counters::RekeyNames;
use super::dataplane::{protection, trouble, Protection};
use super::keys::{keys, KekEntry, TekEntry};
use super::lengths::{lengths, Lengths};
use super::obstacles::Obstacle;
use super::rekey::{origin, KeyOrigin};
use super::table::{distance, facts};
use super::GroupLabel;
use crate::clock::Timestamp;
use gdoi::RekeyCounters;
use serde::{Deserialize, Serialize};

/// The answer to `show gm`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberReport {
    /// When this was true.
    pub generated_at: Timestamp,
    /// The groups in the configuration's order.
    pub groups: Vec<MemberGroup>,
    /// Why the kernel does not hold what it should, if so.
    pub dataplane_error: Option<String>,
    /// What could not be done on some interface, one line each.
    pub dataplane_problems: Vec<String>,
}

/// One group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberGroup {
    /// Its name and number.
    #[serde(flatten)]
    pub group: GroupLabel,
    /// How far registration is.
    pub registration: Registration,
    /// The next attempt, while waiting for it; None as well while there is no address for it.
    pub retries_at: Option<Timestamp>,
    /// The key server in use or being tried, with port.
    pub server: String,
    /// All key servers in order, with port.
    pub servers: Vec<String>,
    /// Completed registrations since the start.
    pub registrations: u64,
    /// Failed registrations since the start.
    pub failures: u64,
    /// Why the last failed registration failed.
    pub last_failure: Option<String>,
    /// When the member fetches the next key, unless a rekey message brings it before.
    pub reregisters_at: Option<Timestamp>,
    /// How the keys came last.
    pub keys_from: Option<KeyOrigin>,
    /// Rekey messages since the start by what became of them.
    #[serde(with = "RekeyNames")]
    pub rekeys: RekeyCounters,
    /// Datagrams that were refused.
    pub rejected: u64,
    /// The rekey key.
    pub kek: Option<KekEntry>,
    /// The traffic keys.
    pub teks: Vec<TekEntry>,
    /// The sender IDs of the last registration, in hexadecimal with 0x, four for each interface.
    pub sender_ids: Vec<String>,
    /// How long after its download a key is sent with, in seconds.
    pub activation_delay_seconds: Option<u64>,
    /// How long a replaced key is still received, in seconds.
    pub deactivation_delay_seconds: Option<u64>,
    /// The protected interfaces.
    pub interfaces: Vec<String>,
    /// Whether nothing passes in clear before the registration.
    pub fail_close: bool,
    /// What happens to the group's traffic now.
    pub protection: Protection,
    /// Who had the protection removed, and when.
    pub detached: Option<Detachment>,
    /// What fits through the protected interfaces.
    #[serde(default)]
    pub lengths: Vec<Lengths>,
    /// What else on the router eats the group's packets.
    #[serde(default)]
    pub obstacles: Vec<Obstacle>,
}

/// An operator had a group's protection removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detachment {
    /// When.
    pub since: Timestamp,
    /// Who asked for it.
    pub by: String,
}

/// How far a group's registration is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Registration {
    /// An exchange is under way.
    Registering,
    /// The last attempt failed, the next one has a time; without a time it waits for an address to register from.
    Waiting,
    /// Policy and keys are there.
    Registered,
    /// They are there, and an exchange for new ones is under way.
    Reregistering,
    /// All keys have ended.
    Expired,
}

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
        ("Protection", protected(group)),
    ]);
    lines.extend(group.obstacles.iter().map(|obstacle| ("DROPPED", obstacle.text())));
    lines.extend([("Unregistered", if group.fail_close { "fail-close" } else { "fail-open" }.to_owned())]);
    if !group.sender_ids.is_empty() {
        lines.push(("Sender IDs", group.sender_ids.join(" ")));
    }
    lines.extend(group.lengths.iter().map(|one| ("Packets", lengths(one))));
    lines.extend(keys(group.kek.as_ref(), &group.teks, now));
    format!("{}\n{}", group.group.title(), facts(&lines))
}

fn protected(group: &MemberGroup) -> String {
    let eaten = group.protection == Protection::Encrypting && !group.obstacles.is_empty();
    protection(group.protection).to_owned()
        + if eaten { ", but not all gets through, see DROPPED" } else { "" }
}

fn registration(group: &MemberGroup, now: Timestamp) -> String {
    let server = &group.server;
    match group.registration {
        Registration::Registering => format!("registering with {server}"),
        Registration::Waiting => match group.retries_at {
            Some(moment) => format!("failed, next attempt at {server} {}", distance(moment, now)),
            None => "waits for an address to register from".into(),
        },
        Registration::Registered => format!("registered with {server}"),
        Registration::Reregistering => format!("registered, registering again with {server}"),
        Registration::Expired => format!("all keys have ended, registering again with {server}"),
    }
}
