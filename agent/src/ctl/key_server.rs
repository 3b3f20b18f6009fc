//! Texts about the key server daemon.

use super::member::{entries, keys, meaning, replay_window};
use super::table::{facts, span, table};
use crate::clock::Timestamp;
use crate::report::{
    CoopRole, GroupLabel, KeyServerAcl, KeyServerAcls, KeyServerGroup, KeyServerPolicies, KeyServerPolicy,
    KeyServerReport, MemberEntry, MemberList, MembersReport, SenderIdEntry,
};

/// The text of `show ks`.
pub fn overview(report: &KeyServerReport) -> String {
    let lines = [
        ("Identity", report.identity.clone()),
        ("Phase 1", format!("{} established, {} half open", report.established, report.half_open)),
        ("Refused", format!("{} datagrams", report.rejected)),
        ("State", state(report)),
    ];
    let groups = report.groups.iter().map(|group| group_text(group, report.generated_at));
    format!("Key server {}\n{}", report.address, facts(&lines)) + &groups.collect::<String>()
}

fn state(report: &KeyServerReport) -> String {
    match (&report.state_file, report.state_durable) {
        (None, _) => "not stored: after a restart all members must register again".into(),
        (Some(file), true) => format!("stored in {file}"),
        (Some(file), false) => format!("{file} cannot be written: nothing is sent, see the events"),
    }
}

/// How a text about a group begins.
pub fn title(group: &GroupLabel) -> String {
    format!("Group {} ({})", group.name, group.identity_number)
}

fn group_text(group: &KeyServerGroup, now: Timestamp) -> String {
    let mut lines: Vec<_> = redundancy(group).map(|text| ("Redundancy", text)).into_iter().collect();
    lines.extend([
        ("Members", format!("{} registered, {} registrations refused", group.members, group.refused)),
        ("Policy", format!("{} entries, {}", group.acl_entries, group.transform)),
    ]);
    lines.extend(keys(group.kek.as_ref(), &group.teks, now));
    format!("{}\n{}", title(&group.group), facts(&lines))
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
    let mut text = format!("{}: {} registered\n", title(&list.group), list.members.len());
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
        format!("{}\n{}", title(&list.group), entries(&meaning("Access list", list.sending), &list.acl))
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
    format!("{}\n{}{acl}", title(&policy.group), facts(&lines))
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
