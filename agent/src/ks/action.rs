//! What operators make a key server do, and how it is told.

use crate::clock::Timestamp;
use crate::control::Request;
use crate::report::{ActionEntry, ActionReport, GroupLabel};
use gdoi::endpoint::{Endpoint, Instant};
use gdoi::{counted, Done, KeyServer, KeyServerCommand, Outcome, RekeyKind, Removal, Transport, Which};

/// Carries out a request that changes something.
///
/// # Errors
/// Why nothing was changed, what failed in which group, or that the request is not for a key server.
pub fn act(server: &mut KeyServer, request: &Request, now: Instant) -> Result<ActionReport, String> {
    let which = |group: &Option<String>| which(server, group.as_deref(), now);
    let command = match request {
        Request::KsRekey { group, replace_now: true } => {
            KeyServerCommand::Rekey(which(group)?, RekeyKind::ReplaceNow)
        }
        Request::KsRekey { group, replace_now: false } => {
            KeyServerCommand::Rekey(which(group)?, RekeyKind::Forced)
        }
        Request::KsRemove { group, member, now } => {
            KeyServerCommand::Remove(which(group)?, Some(*member), removal(*now))
        }
        Request::KsRemoveAll { group, now } => KeyServerCommand::Remove(which(group)?, None, removal(*now)),
        Request::KsReadmit { group, member } => KeyServerCommand::Readmit(which(group)?, *member),
        Request::KsCoopResign { group } => KeyServerCommand::Resign(which(group)?),
        _ => return Err("this is the key server daemon, not the group member's".into()),
    };
    report(&server.handle_command(command, now).map_err(|reason| reason.to_string())?)
}

const fn removal(at_once: bool) -> Removal {
    match at_once {
        true => Removal::Now,
        false => Removal::Graceful,
    }
}

fn which(server: &KeyServer, name: Option<&str>, now: Instant) -> Result<Which, String> {
    let Some(name) = name else { return Ok(Which::All) };
    let groups = server.status(now).groups;
    let named = groups.iter().find(|group| group.group.name == name);
    named.map(|group| Which::Group(group.group.id)).ok_or_else(|| format!("there is no group `{name}`"))
}

fn report(done: &[Done]) -> Result<ActionReport, String> {
    if done.iter().any(|done| done.outcome.is_err()) {
        return Err(done.iter().map(line).collect::<Vec<_>>().join("; "));
    }
    let entry = |(group, outcome)| ActionEntry { group: GroupLabel::from(group), done: text(outcome) };
    let outcomes = done.iter().filter_map(|done| Some((&done.group, done.outcome.as_ref().ok()?)));
    let groups = outcomes.map(entry).collect();
    Ok(ActionReport { generated_at: Timestamp::now(), groups, not_in_force: None })
}

/// What became of one group, where something failed in one of them.
fn line(done: &Done) -> String {
    match &done.outcome {
        Ok(outcome) => format!("group {}: {}", done.group.name, text(outcome)),
        Err(reason) => format!("group {}: FAILED: {reason}", done.group.name),
    }
}

fn text(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Rekeyed { spi, members: 0, .. } => format!("new key {spi}; there are no members to tell"),
        Outcome::Rekeyed { spi, members, kind, transport } => {
            let to = match transport {
                Transport::Multicast(to) => format!("{to} by multicast"),
                Transport::Unicast => format!("{} by unicast", counted(*members, "member", "members")),
            };
            format!("new key {spi} goes to {to}; {}", old_keys(*kind))
        }
        Outcome::Dismissed { member: Some(member), others, removal } => {
            format!("{member} is removed and may not register again; {}", dismissed(*others, *removal))
        }
        Outcome::Dismissed { member: None, others, removal } => dismissed(*others, *removal),
        Outcome::Readmitted { member } => format!("{member} may register again"),
        Outcome::Resigned => {
            "the role of the primary is handed over; `gdoictl show ks coop` tells to whom".into()
        }
    }
}

const fn old_keys(kind: RekeyKind) -> &'static str {
    match kind {
        RekeyKind::ReplaceNow => "the old keys end now",
        _ => "the old keys are received until all have it",
    }
}

fn dismissed(others: usize, removal: Option<Removal>) -> String {
    let keys = match removal {
        None => return "without `rekey` members cannot be told: they keep their keys until these end".into(),
        Some(Removal::Graceful) => "live on for the deactivation-delay",
        Some(Removal::Now) => "end now",
    };
    match others {
        1 => format!("1 member is told to register again; its keys {keys}"),
        others => format!("{others} members are told to register again; their keys {keys}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gdoi::policy::{GroupId, Spi};
    use gdoi::{Error, GroupName, Unacceptable};
    use std::net::IpAddr;

    const MEMBER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn rekeyed(kind: RekeyKind, transport: Transport, members: usize) -> String {
        text(&Outcome::Rekeyed { spi: Spi(0x1234), members, kind, transport })
    }

    #[test]
    fn who_is_told_of_new_keys_and_what_becomes_of_the_old_ones() {
        let multicast = Transport::Multicast("239.1.1.1:848".parse().unwrap());
        let (forced, now) = (RekeyKind::Forced, RekeyKind::ReplaceNow);
        assert_eq!(
            rekeyed(forced, Transport::Unicast, 3),
            "new key 0x00001234 goes to 3 members by unicast; the old keys are received until all have it"
        );
        assert_eq!(
            rekeyed(now, multicast, 3),
            "new key 0x00001234 goes to 239.1.1.1:848 by multicast; the old keys end now"
        );
        assert!(rekeyed(forced, Transport::Unicast, 1).contains(" goes to 1 member by unicast; "));
        assert_eq!(rekeyed(now, multicast, 0), "new key 0x00001234; there are no members to tell");
    }

    #[test]
    fn who_is_removed_and_who_must_register_again() {
        let one = Outcome::Dismissed { member: None, others: 1, removal: Some(Removal::Now) };
        assert_eq!(text(&one), "1 member is told to register again; its keys end now");
        let told = |member, removal| text(&Outcome::Dismissed { member, others: 2, removal });
        assert_eq!(
            told(Some(MEMBER), Some(Removal::Now)),
            "192.0.2.1 is removed and may not register again; 2 members are told to register again; their keys end now"
        );
        assert!(
            told(None, Some(Removal::Graceful)).ends_with("their keys live on for the deactivation-delay")
        );
        assert!(told(None, None).starts_with("without `rekey` members cannot be told"));
        assert_eq!(text(&Outcome::Readmitted { member: MEMBER }), "192.0.2.1 may register again");
    }

    #[test]
    fn what_failed_is_told_with_its_group() {
        let group = GroupName { name: "corp".into(), id: GroupId(100) };
        let failed = Done { group, outcome: Err(Error::from(Unacceptable::NoSpis)) };
        let group = GroupName { name: "lab".into(), id: GroupId(101) };
        let done = Done { group, outcome: Ok(Outcome::Readmitted { member: MEMBER }) };
        let told = "group corp: FAILED: no block of SPIs is left for another key; group lab: 192.0.2.1 may register again";
        assert_eq!(report(&[failed, done]), Err(told.into()));
    }
}
