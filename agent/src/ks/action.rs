//! What operators make a key server do.

use super::primacy;
use crate::clock::Timestamp;
use crate::report::{ActionEntry, ActionReport, GroupLabel};
use gdoi::endpoint::{Endpoint, Instant};
use gdoi::{GroupStatus, KeyServer, KeyServerCommand, RekeyKind, Removal, Transport};
use std::net::IpAddr;

/// New keys for one group or all.
///
/// # Errors
/// No such group, one that cannot tell its members, or one that has another primary.
pub fn rekey(
    server: &mut KeyServer,
    group: Option<&str>,
    kind: RekeyKind,
    now: Instant,
) -> Result<ActionReport, String> {
    let groups = chosen(server, group, now)?;
    // Without being told, members would go on sending with a key that others no more have.
    let rekeyed: Vec<_> = groups.iter().filter(|group| group.rekey.is_some()).collect();
    if rekeyed.is_empty() || group.is_some() && rekeyed.len() < groups.len() {
        return Err("without `rekey` in its configuration members fetch new keys by themselves".into());
    }
    primacy::require(&rekeyed)?;
    carry_out(server, &rekeyed, |group| KeyServerCommand::Rekey(group.group.id, kind), now);
    Ok(report(server, &rekeyed, |before, after| rekeyed_text(before, after, kind), now))
}

fn rekeyed_text(before: &GroupStatus, after: &GroupStatus, kind: RekeyKind) -> String {
    let newest = |group: &GroupStatus| group.teks.last().map(|tek| tek.spi);
    let Some(spi) = newest(after).filter(|spi| Some(*spi) != newest(before)) else {
        return "no new key could be made, see the log".into();
    };
    let old = match kind {
        RekeyKind::ReplaceNow => "the old keys end now",
        _ => "the old keys are received until all have it",
    };
    match after.rekey.as_ref().map(|rekey| rekey.transport) {
        _ if after.members.is_empty() => format!("new key {spi}; there are no members to tell"),
        Some(Transport::Multicast(to)) => format!("new key {spi} goes to {to} by multicast; {old}"),
        _ => format!("new key {spi} goes to {} members by unicast; {old}", after.members.len()),
    }
}

/// Removes a member for good; the others must register again.
///
/// # Errors
/// No such group, no such member, or a group that has another primary.
pub fn remove(
    server: &mut KeyServer,
    group: Option<&str>,
    member: IpAddr,
    removal: Removal,
    now: Instant,
) -> Result<ActionReport, String> {
    let groups = chosen(server, group, now)?;
    let has = |group: &&GroupStatus| group.members.iter().any(|record| record.address == member);
    let groups: Vec<_> = groups.iter().filter(has).collect();
    if groups.is_empty() {
        return Err(format!("{member} is registered in no such group"));
    }
    primacy::require(&groups)?;
    carry_out(server, &groups, |group| KeyServerCommand::Remove(group.group.id, Some(member), removal), now);
    let text = |before: &GroupStatus, _: &GroupStatus| {
        format!("{member} is removed and may not register again; {}", dismissed(before, 1, removal))
    };
    Ok(report(server, &groups, text, now))
}

/// Makes all members register again.
///
/// # Errors
/// No such group, or one that has another primary.
pub fn remove_all(
    server: &mut KeyServer,
    group: Option<&str>,
    removal: Removal,
    now: Instant,
) -> Result<ActionReport, String> {
    let groups = chosen(server, group, now)?;
    let groups: Vec<_> = groups.iter().collect();
    primacy::require(&groups)?;
    carry_out(server, &groups, |group| KeyServerCommand::Remove(group.group.id, None, removal), now);
    Ok(report(server, &groups, |before, _| dismissed(before, 0, removal), now))
}

fn dismissed(group: &GroupStatus, removed: usize, removal: Removal) -> String {
    let others = group.members.len() - removed;
    match (&group.rekey, removal) {
        (None, _) => "without `rekey` members cannot be told: they keep their keys until these end".into(),
        (Some(_), Removal::Graceful) => {
            format!(
                "{others} members are told to register again; their keys live on for the deactivation-delay"
            )
        }
        (Some(_), Removal::Now) => format!("{others} members are told to register again; their keys end now"),
    }
}

/// Lets a removed member come back.
///
/// # Errors
/// No such group, the member was not removed, or the group has another primary.
pub fn readmit(
    server: &mut KeyServer,
    group: Option<&str>,
    member: IpAddr,
    now: Instant,
) -> Result<ActionReport, String> {
    let groups = chosen(server, group, now)?;
    let groups: Vec<_> = groups.iter().filter(|group| group.revoked.contains(&member)).collect();
    if groups.is_empty() {
        return Err(format!("{member} was removed from no such group"));
    }
    primacy::require(&groups)?;
    carry_out(server, &groups, |group| KeyServerCommand::Readmit(group.group.id, member), now);
    Ok(report(server, &groups, |_, _| format!("{member} may register again"), now))
}

/// Gives the role of the primary to another key server, in one group or in all that this one is primary of.
///
/// # Errors
/// No such group, this server is not primary, or nobody can take the role.
pub fn resign(server: &mut KeyServer, group: Option<&str>, now: Instant) -> Result<ActionReport, String> {
    let groups = chosen(server, group, now)?;
    let led = primacy::can_be_given_away(&groups)?;
    carry_out(server, &led, |group| KeyServerCommand::Resign(group.group.id), now);
    let after = server.status(now).groups;
    let tried = after.iter().filter(|after| led.iter().any(|before| before.group == after.group));
    let texts = tried.map(primacy::given_away).collect::<Result<Vec<_>, _>>()?;
    let entry = |(before, done): (&&GroupStatus, String)| ActionEntry { group: (&before.group).into(), done };
    Ok(ActionReport { generated_at: Timestamp::now(), groups: led.iter().zip(texts).map(entry).collect() })
}

fn chosen(server: &KeyServer, name: Option<&str>, now: Instant) -> Result<Vec<GroupStatus>, String> {
    let mut groups = server.status(now).groups;
    if let Some(name) = name {
        groups.retain(|group| group.group.name == name);
        if groups.is_empty() {
            return Err(format!("there is no group `{name}`"));
        }
    }
    Ok(groups)
}

fn carry_out(
    server: &mut KeyServer,
    groups: &[&GroupStatus],
    command: impl Fn(&GroupStatus) -> KeyServerCommand,
    now: Instant,
) {
    groups.iter().for_each(|group| server.handle_command(command(group), now));
}

fn report(
    server: &KeyServer,
    before: &[&GroupStatus],
    text: impl Fn(&GroupStatus, &GroupStatus) -> String,
    now: Instant,
) -> ActionReport {
    let after = server.status(now).groups;
    let entry = |before: &&GroupStatus| {
        let after = after.iter().find(|after| after.group == before.group).unwrap_or(before);
        ActionEntry { group: GroupLabel::from(&before.group), done: text(before, after) }
    };
    ActionReport { generated_at: Timestamp::now(), groups: before.iter().map(entry).collect() }
}
