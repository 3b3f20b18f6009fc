use super::samples::address;
use super::*;
use gdoi::policy::{GroupId, Spi};
use gdoi::{CoopEvent, Error, GroupName, Misbehaved, Unacceptable};

fn logged(event: CoopEvent) -> Event {
    let group = Some(GroupName { name: "corp".into(), id: GroupId(100) });
    log_entry(&KeyServerEvent::Coop { group, event })
}

#[test]
fn what_cooperating_servers_report_comes_with_name_severity_group_and_peer() {
    let peer = address(11);
    let refused = |reason| CoopEvent::Refused { peer, reason };
    let unanswered: Error = Unacceptable::NoAnswer.into();
    let (warning, notice, info) = (Severity::Warning, Severity::Notice, Severity::Info);
    for (event, name, severity) in [
        (CoopEvent::PeerAdded(peer), "COOP_KS_ADD", info),
        (CoopEvent::Reachable(peer), "COOP_KS_REACH", notice),
        (CoopEvent::Unreachable(peer), "COOP_KS_UNREACH", warning),
        (CoopEvent::LinkFailed { peer, reason: unanswered }, "COOP_LINK_FAILED", warning),
        (CoopEvent::Election { lost: Some(peer) }, "COOP_KS_ELECTION", warning),
        (CoopEvent::BecamePrimary { previous: Some(peer), epoch: 6 }, "COOP_KS_TRANS_TO_PRI", notice),
        (CoopEvent::BecameSecondary { primary: peer, epoch: 6 }, "COOP_KS_TRANS_TO_SEC", notice),
        (CoopEvent::ConfigMismatch(peer), "COOP_CONFIG_MISMATCH", warning),
        (CoopEvent::TimeLost(peer), "COOP_KS_VALID_ANN_TIMER_EXPIRED", warning),
        (refused(Misbehaved::TooNew(200).into()), "GDOI_ANN_TIMESTAMP_LARGE", warning),
        (refused(Misbehaved::TooOld(200).into()), "GDOI_ANN_TIMESTAMP_TOO_OLD", warning),
        (refused(Misbehaved::UnknownExchange.into()), "COOP_PACKET_DROPPED", warning),
    ] {
        let entry = logged(event);
        assert_eq!((entry.name.as_str(), entry.severity), (name, severity));
        assert_eq!(
            (entry.group.as_deref(), entry.peer.as_deref()),
            (Some("corp"), Some("192.0.2.11")),
            "{name}"
        );
        assert!(entry.message.starts_with("Group corp (100): "), "{}", entry.message);
    }
}

#[test]
fn what_is_about_no_single_server_names_none() {
    let merged = logged(CoopEvent::Merged { teks: vec![Spi(0x1234)] });
    assert_eq!(
        (merged.name.as_str(), merged.severity, merged.peer),
        ("COOP_KS_MERGE", Severity::Notice, None)
    );
    let alone = logged(CoopEvent::NotCommitted(vec![address(11), address(12)]));
    assert_eq!((alone.name.as_str(), alone.peer), ("COOP_NOT_COMMITTED", None));
    assert!(alone.message.ends_with("192.0.2.11 192.0.2.12"), "{}", alone.message);
    let member = logged(CoopEvent::RegistrationBlocked("198.51.100.1:848".parse().unwrap()));
    let name = "COOP_KS_BLOCK_NEW_GM_REGISTER_ELECTION";
    assert_eq!((member.name.as_str(), member.peer.as_deref()), (name, Some("198.51.100.1:848")));
}

#[test]
fn the_link_of_all_groups_is_about_none() {
    let event = CoopEvent::Reachable(address(11));
    let entry = log_entry(&KeyServerEvent::Coop { group: None, event });
    assert_eq!((entry.group, entry.peer.as_deref()), (None, Some("192.0.2.11")));
    assert!(entry.message.starts_with("key server 192.0.2.11"), "{}", entry.message);
}
