//! Reports about rekey messages.

use super::counters::{AckNames, RekeyNames};
use super::keys::KekEntry;
use super::table::{distance, facts};
use super::GroupLabel;
use crate::clock::Timestamp;
use gdoi::{counted, AckCounters, RekeyCounters};
use serde::{Deserialize, Serialize};

/// How rekey messages come to the members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RekeyTransport {
    /// To each member, acknowledged.
    Unicast,
    /// To this group, address and port.
    Multicast(String),
}

/// The answer to `show ks rekey`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyServerRekeys {
    /// When this was true.
    pub generated_at: Timestamp,
    /// The groups in the configuration's order.
    pub groups: Vec<KeyServerRekey>,
}

/// One group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyServerRekey {
    /// Its name and number.
    #[serde(flatten)]
    pub group: GroupLabel,
    /// How many members have registered.
    pub members: usize,
    /// The rekey key.
    pub kek: Option<KekEntry>,
    /// None where members fetch new keys themselves.
    pub rekey: Option<RekeyEntry>,
}

/// How a group is rekeyed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RekeyEntry {
    /// How messages reach the members.
    pub transport: RekeyTransport,
    /// The time between repetitions.
    pub retransmit_interval_seconds: u64,
    /// How many repetitions there are.
    pub retransmit_number: u32,
    /// Rekeys since the group began.
    pub rekeys: u64,
    /// The last one.
    pub last_at: Option<Timestamp>,
    /// When new keys are due.
    pub next_at: Option<Timestamp>,
    /// When the keys of now are sent once more.
    pub reminder_at: Option<Timestamp>,
    /// Members that have not acknowledged the message under way.
    pub waiting_for: usize,
    /// How often the message under way was sent.
    pub transmissions: u64,
    /// What became of the acknowledgements since the daemon's start.
    #[serde(with = "AckNames")]
    pub acks: AckCounters,
}

/// The answer to `show gm rekey`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRekeys {
    /// When this was true.
    pub generated_at: Timestamp,
    /// The groups in the configuration's order.
    pub groups: Vec<MemberRekey>,
}

/// One group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRekey {
    /// Its name and number.
    #[serde(flatten)]
    pub group: GroupLabel,
    /// The rekey key.
    pub kek: Option<KekEntry>,
    /// How messages come; None without a rekey key.
    pub transport: Option<RekeyTransport>,
    /// How the keys came last.
    pub keys_from: Option<KeyOrigin>,
    /// When the last new message came.
    pub last_received_at: Option<Timestamp>,
    /// Its sequence number.
    pub last_sequence: Option<u32>,
    /// When the member registers again if it hears nothing.
    pub reregisters_at: Option<Timestamp>,
    /// Messages since the daemon's start by what became of them.
    #[serde(with = "RekeyNames")]
    pub counts: RekeyCounters,
}

/// How and when keys came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyOrigin {
    /// How.
    pub way: KeyWay,
    /// When.
    pub at: Timestamp,
}

/// How keys came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyWay {
    /// The member fetched them (GROUPKEY-PULL).
    Registration,
    /// The key server sent them (GROUPKEY-PUSH).
    Rekey,
}

type Lines = Vec<(&'static str, String)>;

/// The text of `show ks rekey`.
pub fn of_key_server(report: &KeyServerRekeys) -> String {
    report.groups.iter().map(|group| key_server_group(group, report.generated_at)).collect()
}

fn key_server_group(group: &KeyServerRekey, now: Timestamp) -> String {
    let lines = match &group.rekey {
        None => vec![("Transport", "none: members fetch new keys by themselves".to_owned())],
        Some(rekey) => rekey_lines(rekey, group.members, group.kek.as_ref(), now),
    };
    format!("{}\n{}", group.group.title(), facts(&lines))
}

fn rekey_lines(rekey: &RekeyEntry, members: usize, kek: Option<&KekEntry>, now: Timestamp) -> Lines {
    let (interval, number) = (rekey.retransmit_interval_seconds, rekey.retransmit_number);
    let mut lines = vec![
        ("Transport", transport(&rekey.transport)),
        ("Repeated", format!("{number} times, every {interval} s")),
        ("Rekey key", key(kek, now)),
        ("Rekeys", rekey.rekeys.to_string()),
        ("Last", moment(rekey.last_at, now)),
        ("New keys", moment(rekey.next_at, now)),
        ("Reminder", moment(rekey.reminder_at, now)),
    ];
    if rekey.transport == RekeyTransport::Unicast {
        let AckCounters { received, unexpected, forged, malformed } = rekey.acks;
        lines.extend([
            ("Waiting for", format!("{} of {}", rekey.waiting_for, counted(members, "member", "members"))),
            (
                "Acknowledged",
                format!("{received} times; ignored: {unexpected} unexpected, {forged} forged, {malformed} malformed"),
            ),
        ]);
    }
    let awaited = rekey.waiting_for > 0 || rekey.transport != RekeyTransport::Unicast;
    if awaited && rekey.transmissions > 0 {
        lines.push(("Under way", format!("sent {} times", rekey.transmissions)));
    }
    lines
}

fn transport(transport: &RekeyTransport) -> String {
    match transport {
        RekeyTransport::Unicast => "unicast, acknowledged".into(),
        RekeyTransport::Multicast(group) => format!("multicast to {group}"),
    }
}

fn key(kek: Option<&KekEntry>, now: Timestamp) -> String {
    kek.map_or("none".into(), |kek| {
        let end = distance(kek.expires_at, now);
        format!("{} {}, sequence {}, ends {end}", kek.spi, kek.algorithm, kek.sequence)
    })
}

fn moment(moment: Option<Timestamp>, now: Timestamp) -> String {
    moment.map_or("none".into(), |moment| distance(moment, now))
}

/// The text of `show gm rekey`.
pub fn of_member(report: &MemberRekeys) -> String {
    report.groups.iter().map(|group| member_group(group, report.generated_at)).collect()
}

fn member_group(group: &MemberRekey, now: Timestamp) -> String {
    let way = group.transport.as_ref().map_or("none: keys come by registration only".into(), transport);
    let last = match (group.last_received_at, group.last_sequence) {
        (Some(at), Some(sequence)) => format!("sequence {sequence}, {}", distance(at, now)),
        _ => "none".into(),
    };
    let mut lines = vec![
        ("Transport", way),
        ("Rekey key", key(group.kek.as_ref(), now)),
        ("Keys came", origin(group.keys_from, now)),
        ("Last rekey", last),
        ("Re-registers", moment(group.reregisters_at, now)),
    ];
    lines.extend(counts(group.counts));
    format!("{}\n{}", group.group.title(), facts(&lines))
}

/// How the keys came last.
pub fn origin(origin: Option<KeyOrigin>, now: Timestamp) -> String {
    match origin {
        None => "not yet".into(),
        Some(KeyOrigin { way: KeyWay::Registration, at }) => {
            format!("by registration, {}", distance(at, now))
        }
        Some(KeyOrigin { way: KeyWay::Rekey, at }) => format!("by rekey, {}", distance(at, now)),
    }
}

fn counts(counts: RekeyCounters) -> Lines {
    let RekeyCounters {
        received,
        acknowledged,
        repeated,
        replayed,
        forged,
        untimely,
        unknown_spi,
        malformed,
    } = counts;
    vec![
        ("Received", format!("{received} new, {repeated} repeated, {acknowledged} acknowledgements sent")),
        (
            "Ignored",
            format!(
                "{replayed} replayed, {forged} forged, {untimely} out of time, {unknown_spi} of an unknown key, \
                 {malformed} malformed"
            ),
        ),
    ]
}
