use super::super::{render, request};
use crate::control::Request;
use crate::ctl::command::Cli;
use clap::Parser;
use serde_json::{json, Value};

fn peer(address: &str, state: &str, said: Option<Value>) -> Value {
    let said = said.unwrap_or(Value::Null);
    json!({"address": address, "state": state, "linked": state == "alive", "last_heard_at": said["at"],
        "role": said["role"], "priority": said["priority"], "epoch": said["epoch"], "in_step": said["in_step"],
        "configured_alike": said["alike"], "members": said["members"], "sent": 30, "received": 29,
        "refused": {"too_new": 1, "too_old": 2, "other": 3}})
}

fn said(role: &str, same: bool) -> Option<Value> {
    Some(
        json!({"at": "2026-01-31T11:59:58Z", "role": role, "priority": 200, "epoch": 5, "in_step": same, "alike": same,
        "members": 12}),
    )
}

fn entry() -> Value {
    json!({"role": "secondary", "primary": "192.0.2.11", "epoch": 5, "local_priority": 100, "preempt": true,
        "hold_down_seconds": 10, "resigned": false, "pseudotime_seconds": 7200, "committing": false,
        "registrations_blocked": 4, "elections": 2, "announcement_interval_seconds": 1, "dead_after": 3,
        "configuration": "0f".repeat(16), "signing_key": "ab".repeat(32),
        "peers": [peer("192.0.2.11", "alive", said("primary", true)), peer("192.0.2.12", "dead", said("primary", true)),
            peer("192.0.2.13", "never_heard", None), peer("192.0.2.14", "alive", said("secondary", false))]})
}

fn text(detail: bool, redundancy: Value) -> String {
    let group = json!({"name": "corp", "identity_number": 100, "redundancy": redundancy});
    let report = json!({"generated_at": "2026-01-31T12:00:00Z", "groups": [group]});
    render(&Request::ShowKsCoop { detail }, report).unwrap()
}

const OVERVIEW: &str = "\
Group corp (100)
  Role          secondary
  Primary       192.0.2.11, epoch 5
  Priority      100, takes the role 10 s after it is back
  Group's time  2h
  Keys          in use
  Elections     2, 4 registrations told to try later
  SERVER      STATE        ROLE       PRIORITY  LAST HEARD  KEYS    CONFIGURATION  MEMBERS
  192.0.2.11  alive        primary    200       2s ago      same    same           12
  192.0.2.12  dead         -          200       2s ago      -       -              12
  192.0.2.13  never heard  -          -         -           -       -              -
  192.0.2.14  alive        secondary  200       2s ago      differ  differ         12
";

#[test]
fn show_ks_coop_reads_like_this() {
    assert_eq!(text(false, entry()), OVERVIEW);
}

#[test]
fn show_ks_coop_detail_has_timers_digests_and_counters_as_well() {
    let detail = text(true, entry());
    for part in [
        "  Announced      every 1 s, dead after 3 missed\n",
        "  Configuration  0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f\n",
        &format!("  Signing key    {}\n", "ab".repeat(32)),
        "  Messages about this group, since the start or since the server was added:\n  SERVER      LINK  EPOCH  SENT  RECEIVED  TOO NEW  TOO OLD  OTHERWISE REFUSED\n",
        "  192.0.2.11  up    5      30    29        1        2        3\n",
        "  192.0.2.13  down  -      30    29        1        2        3\n",
    ] {
        assert!(detail.contains(part), "{part} is missing:\n{detail}");
    }
    let peers = OVERVIEW.find("  SERVER").unwrap();
    assert!(detail.contains(&OVERVIEW[peers..]), "{detail}");
}

#[test]
fn a_group_of_one_server_says_so() {
    let none = "Group corp (100)\n  Redundancy  none: no other key server shares this group\n";
    assert_eq!((text(false, Value::Null).as_str(), text(true, Value::Null).as_str()), (none, none));
}

#[test]
fn what_differs_from_every_day_is_said() {
    let with = |changes: &[(&str, Value)]| {
        let mut entry = entry();
        changes.iter().for_each(|(key, value)| entry[key] = value.clone());
        text(true, entry)
    };
    let electing = with(&[("role", json!("electing")), ("primary", Value::Null)]);
    assert!(electing.contains("electing\n  Primary        none, epoch 5\n"), "{electing}");
    let never = with(&[("preempt", json!(false)), ("hold_down_seconds", Value::Null)]);
    assert!(never.contains("100, does not take the role from another\n"), "{never}");
    let resigned = with(&[("resigned", json!(true))]);
    assert!(resigned.contains("100, resigned: does not take the role back by itself\n"), "{resigned}");
    let committing = with(&[("committing", json!(true))]);
    assert!(committing.contains("new ones wait until the other servers have them\n"), "{committing}");
    let unsigned = with(&[("signing_key", Value::Null)]);
    assert!(unsigned.contains("Signing key    none\n"), "{unsigned}");
}

#[test]
fn show_ks_tells_the_role_and_show_ks_members_the_key_server() {
    let mut group = json!({"name": "corp", "identity_number": 100, "role": "secondary", "primary": "192.0.2.11",
        "members": 1, "refused": 2, "acl_entries": 1, "transform": "x", "teks": [], "kek": null});
    let overview = |group: &Value| {
        let report = json!({"generated_at": "2026-01-31T12:00:00Z", "address": "192.0.2.10:848",
            "identity": "192.0.2.10", "half_open": 0, "established": 1, "rejected": 3, "state_file": null,
            "state_durable": true, "links": 2, "groups": [group]});
        render(&Request::ShowKs, report).unwrap()
    };
    assert!(
        overview(&group).contains("  Redundancy  secondary, primary is 192.0.2.11\n"),
        "{}",
        overview(&group)
    );
    assert!(overview(&group)
        .contains("  Phase 1   1 established with members, 2 with key servers, 0 half open\n"));
    group["role"] = json!("primary");
    assert!(overview(&group).contains("  Redundancy  primary\n"));
    (group["role"], group["primary"]) = (json!("starting"), Value::Null);
    assert!(overview(&group).contains("  Redundancy  starting, there is no primary\n"));

    let member = |address: &str, server: Value| {
        json!({"address": address, "identity": "gm", "key_server": server,
            "first_registered_at": "2026-01-31T11:00:00Z", "last_registered_at": "2026-01-31T11:58:30Z",
            "registrations": 2, "rekeys_acknowledged": 5, "rekeys_missed": 1, "last_acknowledged_at": null,
            "same_software": true})
    };
    let members = [member("198.51.100.1", json!("192.0.2.11")), member("198.51.100.2", Value::Null)];
    let report = json!({"generated_at": "2026-01-31T12:00:00Z",
        "groups": [{"name": "corp", "identity_number": 100, "members": members, "removed": []}]});
    let text = render(&Request::ShowKsMembers, report).unwrap();
    let ends: Vec<_> = text.lines().map(|line| line.split("  ").last().unwrap()).collect();
    assert_eq!(ends[1..], ["KEY SERVER", "192.0.2.11", "-"], "{text}");
}

#[test]
fn the_command_line_asks_for_it() {
    let asked = |words: &str| {
        let cli = Cli::try_parse_from(["gdoictl"].into_iter().chain(words.split(' '))).unwrap();
        request(&cli.command).unwrap().0
    };
    assert_eq!(asked("show ks coop"), Request::ShowKsCoop { detail: false });
    assert_eq!(asked("show ks coop detail --json"), Request::ShowKsCoop { detail: true });
    assert_eq!(asked("ks coop resign"), Request::KsCoopResign { group: None });
    assert_eq!(asked("ks coop resign --group corp"), Request::KsCoopResign { group: Some("corp".into()) });
    let report = json!({"generated_at": "2026-01-31T12:00:00Z",
        "groups": [{"name": "corp", "identity_number": 100, "done": "192.0.2.11 is primary now"}]});
    let told = render(&asked("ks coop resign"), report).unwrap();
    assert_eq!(told, "Group corp (100): 192.0.2.11 is primary now\n");
}
