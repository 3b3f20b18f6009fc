//! Reports of the key server daemon.

use super::access_list::{entries, meaning, Sending};
use super::coop::CoopRole;
use super::keys::{keys, replay_window, KekEntry, TekEntry};
use super::table::{facts, span, table};
use super::GroupLabel;
use crate::clock::Timestamp;
use gdoi::counted;
use serde::{Deserialize, Serialize};

/// The answer to `show ks`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyServerReport {
    /// When this was true.
    pub generated_at: Timestamp,
    /// The address and port served.
    pub address: String,
    /// Who the server says it is.
    pub identity: String,
    /// Phase 1 exchanges that have begun.
    pub half_open: usize,
    /// Phase 1 SAs with members that are up.
    pub established: usize,
    /// Phase 1 SAs with cooperating key servers that are up, each server once.
    #[serde(default)]
    pub links: usize,
    /// Datagrams that were refused.
    pub rejected: u64,
    /// Where the state is stored; None if it is not.
    pub state_file: Option<String>,
    /// Whether the disk takes it; while it does not, nothing is sent.
    pub state_durable: bool,
    /// The groups in the configuration's order.
    pub groups: Vec<KeyServerGroup>,
}

/// One group in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyServerGroup {
    /// Its name and number.
    #[serde(flatten)]
    pub group: GroupLabel,
    /// What this server is among those that share the group; None where there are no others.
    pub role: Option<CoopRole>,
    /// Who is primary among them, as far as it knows.
    pub primary: Option<String>,
    /// How many members have registered.
    pub members: usize,
    /// How many were forgotten since the start: nothing was heard of them until all their keys had ended.
    #[serde(default)]
    pub forgotten: u64,
    /// How many registrations were refused.
    pub refused: u64,
    /// How many entries the ACL has.
    pub acl_entries: usize,
    /// How traffic is encrypted.
    pub transform: String,
    /// The traffic keys.
    pub teks: Vec<TekEntry>,
    /// The rekey key.
    pub kek: Option<KekEntry>,
}

/// The answer to `show ks members`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MembersReport {
    /// When this was true.
    pub generated_at: Timestamp,
    /// The groups in the configuration's order.
    pub groups: Vec<MemberList>,
}

/// The members of one group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberList {
    /// Its name and number.
    #[serde(flatten)]
    pub group: GroupLabel,
    /// Who has registered.
    pub members: Vec<MemberEntry>,
    /// Who was removed and may not register.
    pub removed: Vec<String>,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberEntry {
    /// Its address.
    pub address: String,
    /// The identity that it proved.
    pub identity: String,
    /// The key server that it registered with; None where there are no others.
    pub key_server: Option<String>,
    /// Its first registration.
    pub first_registered_at: Timestamp,
    /// Its last one.
    pub last_registered_at: Timestamp,
    /// How many there were.
    pub registrations: u64,
    /// Rekey messages that it acknowledged.
    pub rekeys_acknowledged: u64,
    /// Rekey messages in a row that it did not acknowledge; with the third it gets no more until it registers.
    pub rekeys_missed: u32,
    /// When it acknowledged last.
    pub last_acknowledged_at: Option<Timestamp>,
    /// Whether it runs this software.
    pub same_software: bool,
}

/// The answer to `show ks policy`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyServerPolicies {
    /// When this was true.
    pub generated_at: Timestamp,
    /// The groups in the configuration's order.
    pub groups: Vec<KeyServerPolicy>,
}

/// The answer to `show ks acl`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyServerAcls {
    /// When this was true.
    pub generated_at: Timestamp,
    /// The groups in the configuration's order.
    pub groups: Vec<KeyServerAcl>,
}

/// One group's access list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyServerAcl {
    /// Its name and number.
    #[serde(flatten)]
    pub group: GroupLabel,
    /// The entries in order, the first that matches decides.
    pub acl: Vec<String>,
    /// How members send what is permitted.
    pub sending: Sending,
}

/// One group's policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyServerPolicy {
    /// Its name and number.
    #[serde(flatten)]
    pub group: GroupLabel,
    /// How traffic is encrypted.
    pub transform: String,
    /// The anti-replay window of a new traffic key, packets; 0 is none.
    pub replay_window: u16,
    /// What became of the sender IDs.
    pub sender_ids: SenderIdEntry,
    /// The fingerprint of the key that signs rekey messages, hexadecimal; None without rekey messages.
    pub signing_key: Option<String>,
    /// The life of a traffic key.
    pub tek_lifetime_seconds: u64,
    /// What is encrypted; the first entry that matches decides.
    pub acl: Vec<String>,
    /// How members send it.
    pub sending: Sending,
    /// Who may register by address; with `authorized_identities` empty as well everybody with a key.
    pub authorized_addresses: Vec<String>,
    /// Who may register by identity.
    pub authorized_identities: Vec<String>,
    /// The traffic keys.
    pub teks: Vec<TekEntry>,
    /// The rekey key.
    pub kek: Option<KekEntry>,
}

/// What became of a group's sender IDs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SenderIdEntry {
    /// How many bits each has.
    pub bits: u16,
    /// A new generation begins, with a new traffic key, when they are used up.
    pub generation: u32,
    /// How many were given out in this one.
    pub used: u32,
    /// How many there are.
    pub of: u32,
}

/// The text of `show ks`.
pub fn overview(report: &KeyServerReport) -> String {
    let lines = [
        ("Identity", report.identity.clone()),
        ("Phase 1", phase1(report)),
        ("Refused", counted(report.rejected, "datagram", "datagrams")),
        ("State", state(report)),
    ];
    let groups = report.groups.iter().map(|group| group_text(group, report.generated_at));
    format!("Key server {}\n{}", report.address, facts(&lines)) + &groups.collect::<String>()
}

/// The SAs with other key servers are the links that all groups share.
fn phase1(report: &KeyServerReport) -> String {
    let KeyServerReport { established, half_open, links, .. } = report;
    let links = match report.groups.iter().any(|group| group.role.is_some()) {
        true => format!(", {links} with key servers"),
        false => String::new(),
    };
    format!("{established} established with members{links}, {half_open} half open")
}

fn state(report: &KeyServerReport) -> String {
    match (&report.state_file, report.state_durable) {
        (None, _) => "not stored: after a restart all members must register again".into(),
        (Some(file), true) => format!("stored in {file}"),
        (Some(file), false) => format!("{file} cannot be written: nothing is sent, see the events"),
    }
}

fn members_text(group: &KeyServerGroup) -> String {
    let forgotten = match group.forgotten {
        0 => String::new(),
        forgotten => format!(", {forgotten} forgotten that were not heard any more"),
    };
    let refused = counted(group.refused, "registration", "registrations");
    format!("{} registered{forgotten}, {refused} refused", group.members)
}

fn group_text(group: &KeyServerGroup, now: Timestamp) -> String {
    let mut lines: Vec<_> = redundancy(group).map(|text| ("Redundancy", text)).into_iter().collect();
    lines.extend([
        ("Members", members_text(group)),
        ("Policy", format!("{}, {}", counted(group.acl_entries, "entry", "entries"), group.transform)),
    ]);
    lines.extend(keys(group.kek.as_ref(), &group.teks, now));
    format!("{}\n{}", group.group.title(), facts(&lines))
}

fn redundancy(group: &KeyServerGroup) -> Option<String> {
    Some(match (group.role?, &group.primary) {
        (CoopRole::Primary, _) => "primary".into(),
        (role, Some(primary)) => format!("{role}, primary is {primary}"),
        (role, None) => format!("{role}, there is no primary"),
    })
}

/// The text of `show ks members`.
pub fn members(report: &MembersReport) -> String {
    report.groups.iter().map(|list| member_list(list, report.generated_at)).collect()
}

fn member_list(list: &MemberList, now: Timestamp) -> String {
    let mut text = format!("{}: {} registered\n", list.group.title(), list.members.len());
    if !list.members.is_empty() {
        text += &table(&member_rows(&list.members, now));
    }
    if !list.removed.is_empty() {
        text += &format!("  Removed, may not register: {}\n", list.removed.join(", "));
    }
    text
}

/// With the key server of each where there are several.
fn member_rows(members: &[MemberEntry], now: Timestamp) -> Vec<Vec<String>> {
    let heading =
        ["MEMBER", "IDENTITY", "LAST REGISTERED", "FIRST", "TIMES", "ACKS", "MISSED", "LAST ACK", "SOFTWARE"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    rows.extend(members.iter().map(|member| member_row(member, now)));
    if members.iter().any(|member| member.key_server.is_some()) {
        let server = |member: &MemberEntry| member.key_server.clone().unwrap_or("-".into());
        let column = std::iter::once("KEY SERVER".to_owned()).chain(members.iter().map(server));
        rows.iter_mut().zip(column).for_each(|(row, cell)| row.push(cell));
    }
    rows
}

fn member_row(member: &MemberEntry, now: Timestamp) -> Vec<String> {
    vec![
        member.address.clone(),
        member.identity.clone(),
        format!("{} ago", span(now.seconds_after(member.last_registered_at))),
        member.first_registered_at.to_string(),
        member.registrations.to_string(),
        member.rekeys_acknowledged.to_string(),
        member.rekeys_missed.to_string(),
        member
            .last_acknowledged_at
            .map_or("never".into(), |at| format!("{} ago", span(now.seconds_after(at)))),
        if member.same_software { "this" } else { "other" }.to_owned(),
    ]
}

/// The text of `show ks acl`.
pub fn access_lists(report: &KeyServerAcls) -> String {
    let list = |list: &KeyServerAcl| {
        format!("{}\n{}", list.group.title(), entries(&meaning("Access list", list.sending), &list.acl))
    };
    report.groups.iter().map(list).collect()
}

/// The text of `show ks policy`.
pub fn policies(report: &KeyServerPolicies) -> String {
    report.groups.iter().map(|policy| policy_text(policy, report.generated_at)).collect()
}

fn policy_text(policy: &KeyServerPolicy, now: Timestamp) -> String {
    let mut lines = vec![
        ("Transform", policy.transform.clone()),
        ("Replay check", format!("window {}", replay_window(policy.replay_window))),
        ("Sender IDs", sender_ids(policy.sender_ids)),
        ("Key lifetime", format!("{} seconds", policy.tek_lifetime_seconds)),
        ("May register", authorized(policy)),
    ];
    lines.extend(policy.signing_key.as_ref().map(|fingerprint| ("Signing key", fingerprint.clone())));
    lines.extend(keys(policy.kek.as_ref(), &policy.teks, now));
    let acl = entries(&meaning("Access list", policy.sending), &policy.acl);
    format!("{}\n{}{acl}", policy.group.title(), facts(&lines))
}

fn sender_ids(ids: SenderIdEntry) -> String {
    let SenderIdEntry { bits, generation, used, of } = ids;
    format!("{bits} bits, {used} of {of} used in generation {generation}")
}

fn authorized(policy: &KeyServerPolicy) -> String {
    let listed = [policy.authorized_addresses.as_slice(), &policy.authorized_identities].concat();
    match listed.is_empty() {
        true => "every member with a pre-shared key".into(),
        false => listed.join(", "),
    }
}
