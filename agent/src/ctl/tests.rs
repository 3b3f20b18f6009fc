mod coop;

use super::*;
use clap::CommandFactory;
use serde_json::json;

fn text(request: Request, report: Value) -> String {
    render(&request, report).unwrap()
}

fn tek() -> Value {
    json!({"spi": "0x12345678", "transform": "aes-256-gcm", "replay_window": 1024,
        "expires_at": "2026-01-31T13:00:00Z", "role": "sending"})
}

fn counts(received: u64) -> Value {
    json!({"received": received, "acknowledged": received, "repeated": 1, "replayed": 2, "forged": 3, "untimely": 4,
        "unknown_spi": 5, "malformed": 6})
}

fn kek() -> Value {
    json!({"spi": "00112233445566778899aabbccddeeff", "algorithm": "aes-256-cbc, ecdsa-p256",
        "expires_at": "2026-02-01T11:00:00Z", "sequence": 7})
}

pub(super) fn member_group() -> Value {
    json!({
        "name": "corp", "identity_number": 100, "registration": "registered", "retries_at": null,
        "server": "192.0.2.10:848", "servers": ["192.0.2.10:848", "192.0.2.11:848"],
        "registrations": 2, "failures": 1, "last_failure": "no answer", "reregisters_at": "2026-01-31T12:57:00Z",
        "keys_from": {"way": "registration", "at": "2026-01-31T11:59:00Z"}, "rekeys": counts(0),
        "rejected": 0, "kek": null, "teks": [tek()], "sender_ids": ["0x20004", "0x20005"], "activation_delay_seconds": 30, "deactivation_delay_seconds": 60,
        "interfaces": ["wan0"], "fail_close": true, "protection": "encrypting"
    })
}

fn member_report(group: Value, error: Value) -> Value {
    json!({"generated_at": "2026-01-31T12:00:00Z", "groups": [group], "dataplane_error": error, "dataplane_problems": []})
}

#[test]
fn show_gm_reads_like_this() {
    assert_eq!(
        text(Request::ShowGm, member_report(member_group(), Value::Null)),
        "\
Group corp (100)
  Registration  registered with 192.0.2.10:848
  Attempts      2 completed, 1 failed
  Last failure  no answer
  Keys came     by registration, 1m ago (2026-01-31T11:59:00Z)
  Re-registers  in 57m (2026-01-31T12:57:00Z)
  Key servers   192.0.2.10:848, 192.0.2.11:848
  Interfaces    wan0
  Protection    encrypting
  Unregistered  fail-close
  Sender IDs    0x20004 0x20005
  Rekey key     none
  Traffic key   0x12345678 aes-256-gcm, replay window 1024 packets, sending, ends in 1h (2026-01-31T13:00:00Z)
"
    );
}

#[test]
fn show_gm_tells_which_way_the_keys_came() {
    let mut group = member_group();
    group["keys_from"] = json!({"way": "rekey", "at": "2026-01-31T11:59:30Z"});
    (group["rekeys"], group["kek"]) = (counts(9), kek());
    let text = text(Request::ShowGm, member_report(group, Value::Null));
    assert!(text.contains("  Keys came     by rekey, 30s ago (2026-01-31T11:59:30Z)\n"), "{text}");
    assert!(text.contains("  Rekeys        9 received, 9 acknowledged, 20 ignored\n"), "{text}");
}

#[test]
fn show_gm_rekey_reads_like_this() {
    let report = json!({"generated_at": "2026-01-31T12:00:00Z", "groups": [{"name": "corp", "identity_number": 100,
        "kek": kek(), "transport": {"multicast": "239.192.0.1:848"},
        "keys_from": {"way": "rekey", "at": "2026-01-31T11:59:30Z"}, "last_received_at": "2026-01-31T11:59:30Z",
        "last_sequence": 7, "reregisters_at": "2026-01-31T12:57:00Z", "counts": counts(9)}]});
    assert_eq!(
        text(Request::ShowGmRekey, report),
        "\
Group corp (100)
  Transport     multicast to 239.192.0.1:848
  Rekey key     00112233445566778899aabbccddeeff aes-256-cbc, ecdsa-p256, sequence 7, ends in 23h (2026-02-01T11:00:00Z)
  Keys came     by rekey, 30s ago (2026-01-31T11:59:30Z)
  Last rekey    sequence 7, 30s ago (2026-01-31T11:59:30Z)
  Re-registers  in 57m (2026-01-31T12:57:00Z)
  Received      9 new, 1 repeated, 9 acknowledgements sent
  Ignored       2 replayed, 3 forged, 4 out of time, 5 of an unknown key, 6 malformed
"
    );
    let report = json!({"generated_at": "2026-01-31T12:00:00Z", "groups": [{"name": "corp", "identity_number": 100,
        "kek": null, "transport": null, "keys_from": null, "last_received_at": null, "last_sequence": null,
        "reregisters_at": null, "counts": counts(0)}]});
    let none = text(Request::ShowGmRekey, report);
    assert!(none.contains("  Transport     none: keys come by registration only\n"), "{none}");
}

#[test]
fn show_ks_rekey_reads_like_this() {
    let rekey = json!({"transport": "unicast", "retransmit_interval_seconds": 10, "retransmit_number": 2, "rekeys": 40,
        "last_at": "2026-01-31T11:59:50Z", "next_at": "2026-01-31T12:54:00Z", "reminder_at": "2026-01-31T13:59:50Z",
        "waiting_for": 1, "transmissions": 4,
        "acks": {"received": 119, "unexpected": 2, "forged": 0, "malformed": 1}});
    let group = |rekey: Value| {
        json!({"generated_at": "2026-01-31T12:00:00Z", "groups": [{"name": "corp", "identity_number": 100, "members": 3,
            "kek": kek(), "rekey": rekey}]})
    };
    assert_eq!(
        text(Request::ShowKsRekey, group(rekey)),
        "\
Group corp (100)
  Transport     unicast, acknowledged
  Repeated      2 times, every 10 s
  Rekey key     00112233445566778899aabbccddeeff aes-256-cbc, ecdsa-p256, sequence 7, ends in 23h (2026-02-01T11:00:00Z)
  Rekeys        40
  Last          10s ago (2026-01-31T11:59:50Z)
  New keys      in 54m (2026-01-31T12:54:00Z)
  Reminder      in 1h59m (2026-01-31T13:59:50Z)
  Waiting for   1 of 3 members
  Acknowledged  119 times; ignored: 2 unexpected, 0 forged, 1 malformed
  Under way     sent 4 times
"
    );
    let none = text(Request::ShowKsRekey, group(Value::Null));
    assert_eq!(none, "Group corp (100)\n  Transport  none: members fetch new keys by themselves\n");
}

#[test]
fn commands_tell_what_they_did() {
    let report = json!({"generated_at": "2026-01-31T12:00:00Z",
        "groups": [{"name": "corp", "identity_number": 100, "done": "new key 0x1 goes to 3 members by unicast"}]});
    let request = Request::KsRekey { group: None, replace_now: false };
    assert_eq!(text(request, report), "Group corp (100): new key 0x1 goes to 3 members by unicast\n");
}

#[test]
fn a_reload_tells_what_holds_when() {
    let change =
        |group: Value, effect: &str| json!({"group": group, "what": "it", "effect": effect, "meaning": "so"});
    let report = |applied: bool, changes: Value| {
        let report = json!({"generated_at": "2026-01-31T12:00:00Z", "file": "ks.yaml", "applied": applied,
            "changes": changes, "warnings": ["ks.yaml: open"]});
        text(Request::Reload { dry_run: !applied }, report)
    };
    let changes = json!([change(json!("corp"), "next_rekey"), change(Value::Null, "restart")]);
    let lines = "  group corp: it: so\n  it: so\n";
    assert_eq!(report(true, changes.clone()), format!("warning: ks.yaml: open\nks.yaml: applied\n{lines}"));
    let would = "warning: ks.yaml: open\nks.yaml: would change, nothing is applied\n";
    assert_eq!(report(false, changes), format!("{would}{lines}"));
    assert!(report(true, json!([])).ends_with("ks.yaml: nothing has changed\n"));
}

#[test]
fn show_gm_tells_waiting_and_trouble() {
    let mut group = member_group();
    group["registration"] = json!("waiting");
    group["retries_at"] = json!("2026-01-31T12:00:08Z");
    group["protection"] = json!("closed");
    let text = text(Request::ShowGm, member_report(group, json!("nft: no such program")));
    assert!(text.contains("failed, next attempt at 192.0.2.10:848 in 8s (2026-01-31T12:00:08Z)\n"), "{text}");
    assert!(text.contains("closed: nothing passes before the registration\n"), "{text}");
    assert!(text.ends_with("The kernel does not hold what it should: nft: no such program\n"), "{text}");
}

#[test]
fn show_gm_tells_waiting_for_an_address() {
    let mut group = member_group();
    group["registration"] = json!("waiting");
    group["retries_at"] = Value::Null;
    let text = text(Request::ShowGm, member_report(group, Value::Null));
    assert!(text.contains("Registration  waits for an address to register from\n"), "{text}");
}

#[test]
fn show_gm_acl_reads_like_this() {
    let report = json!({"generated_at": "2026-01-31T12:00:00Z", "groups": [
        {"name": "corp", "identity_number": 100, "local": ["deny ospf any any"], "downloaded": [], "sending": "encrypted"}]});
    assert_eq!(
        text(Request::ShowGmAcl, report),
        "\
Group corp (100)
  Local, judged first: always in clear
    deny ospf any any
  Downloaded, the first match decides: permit is encrypted, deny is in clear
    (none)
"
    );
}

#[test]
fn who_detached_a_group_is_the_first_line() {
    let mut group = member_group();
    group["protection"] = json!("detached");
    group["detached"] = json!({"since": "2026-01-31T11:59:00Z", "by": "root, process 7"});
    let text = text(Request::ShowGm, member_report(group, Value::Null));
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "Group corp (100)");
    assert_eq!(
        lines[1],
        "  DETACHED      TRAFFIC PASSES IN CLEAR, 1m ago (2026-01-31T11:59:00Z), by root, process 7"
    );
    assert!(text.contains("  Protection    NONE, detached: everything passes IN CLEAR"), "{text}");
}

#[test]
fn show_gm_tells_what_fits() {
    let mut group = member_group();
    group["lengths"] = json!([
        {"interface": "wan0", "link_mtu": 1500, "path_mtu": null, "path_mtu_ipv6": null, "overhead": 77, "host_mtu": 1438},
        {"interface": "wan1", "link_mtu": 1500, "path_mtu": 1400, "path_mtu_ipv6": 1300, "overhead": null, "host_mtu": null}]);
    let text = text(Request::ShowGm, member_report(group, Value::Null));
    let first = "  Packets       wan0 takes 1500 octets; encryption adds up to 77: MTU 1438 for hosts\n";
    let second = "  Packets       wan1 takes 1500 octets, the core behind it 1400, 1300 of IPv6\n";
    assert!(text.contains(&format!("{first}{second}")), "{text}");
}

#[test]
fn show_gm_tells_what_eats_packets() {
    let mut group = member_group();
    group["obstacles"] = json!([{"interface": "wan0", "place": "input", "lost_packets": 40, "of_packets": 40,
        "since": "2026-01-31T11:59:00Z"}]);
    let text = text(Request::ShowGm, member_report(group, Value::Null));
    let line = "  DROPPED       wan0, hook input drops ESP (40 of 40 packets lost): accept `iifname wan0 meta l4proto esp` there \
                before anything drops\n";
    assert!(text.contains(&format!("encrypting, but not all gets through, see DROPPED\n{line}")), "{text}");
}

#[test]
fn detaching_must_be_meant() {
    let command = |line: &str| Cli::try_parse_from(line.split(' ')).unwrap().command;
    let careless = command("gdoictl gm detach corp");
    assert!(matches!(&careless, Command::Gm(Gm::Detach { yes_send_in_clear: false, .. })));
    let reason = explain_detachment(Some("corp"));
    assert!(reason.starts_with("Nothing is done.") && reason.contains("IN CLEAR"), "{reason}");
    assert!(reason.ends_with("gdoictl gm detach corp --yes-send-in-clear"), "{reason}");
    assert!(explain_detachment(None).ends_with("gdoictl gm detach --yes-send-in-clear"));
    let meant = command("gdoictl gm detach corp --yes-send-in-clear");
    let (request, _) = request(&meant).unwrap();
    assert_eq!(request, Request::GmDetach { group: Some("corp".into()) });
}

/// Nobody is told what would become of a group that there is not.
#[test]
fn only_groups_that_there_are_can_be_detached() {
    let path = std::env::temp_dir().join(format!("gdoi-ctl-groups-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let daemon = std::thread::spawn(move || {
        for _ in 0..2 {
            let (mut client, _) = listener.accept().unwrap();
            let mut asked = [0; 100];
            let length = std::io::Read::read(&mut client, &mut asked).unwrap();
            assert!(String::from_utf8_lossy(&asked[..length]).contains("show-gm"));
            let answer = json!({"ok": {"groups": [{"name": "corp"}, {"name": "lab"}]}}).to_string() + "\n";
            std::io::Write::write_all(&mut client, answer.as_bytes()).unwrap();
        }
    });
    let socket = path.to_str().unwrap();
    let cli = Cli::try_parse_from(["gdoictl", "--socket", socket, "gm", "detach"]).unwrap();
    let said = unknown_group(&cli, Some("nosuch")).unwrap();
    assert!(said.ends_with("there is no group `nosuch`"), "{said}");
    assert_eq!(unknown_group(&cli, Some("lab")), None);
    daemon.join().unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(
        (unknown_group(&cli, Some("nosuch")), unknown_group(&cli, None)),
        (None, None),
        "nobody to ask"
    );
}

#[test]
fn show_ks_and_its_parts_read_like_this() {
    let group = json!({"name": "corp", "identity_number": 100, "members": 1, "refused": 2, "acl_entries": 1,
        "transform": "aes-256-cbc/hmac-sha-256", "teks": [tek()], "kek": null});
    let report = json!({"generated_at": "2026-01-31T12:00:00Z", "address": "192.0.2.10:848", "identity": "192.0.2.10",
        "half_open": 0, "established": 1, "rejected": 3, "state_file": "/var/lib/gdoi-ks/state", "state_durable": true,
        "groups": [group]});
    let overview = text(Request::ShowKs, report.clone());
    assert!(overview.contains("  State     stored in /var/lib/gdoi-ks/state\n"), "{overview}");
    let with = |file: Value| {
        let mut report = report.clone();
        (report["state_file"], report["state_durable"]) = (file, json!(false));
        text(Request::ShowKs, report)
    };
    assert!(with(Value::Null).contains("not stored: after a restart"));
    assert!(with(json!("/x/state")).contains("/x/state cannot be written: nothing is sent"));
    assert!(overview.starts_with("Key server 192.0.2.10:848\n  Identity  192.0.2.10\n"), "{overview}");
    assert!(overview.contains("  Members      1 registered, 2 registrations refused\n"), "{overview}");

    let report = json!({"generated_at": "2026-01-31T12:00:00Z", "groups": [{"name": "corp", "identity_number": 100, "members": [
        {"address": "198.51.100.1", "identity": "gm1.example", "first_registered_at": "2026-01-31T11:00:00Z",
         "last_registered_at": "2026-01-31T11:58:30Z", "registrations": 2, "rekeys_acknowledged": 5, "rekeys_missed": 1,
         "last_acknowledged_at": "2026-01-31T11:59:30Z", "same_software": true}], "removed": ["198.51.100.9"]}]});
    assert_eq!(
        text(Request::ShowKsMembers, report),
        "\
Group corp (100): 1 registered
  MEMBER        IDENTITY     LAST REGISTERED  FIRST                 TIMES  ACKS  MISSED  LAST ACK  SOFTWARE
  198.51.100.1  gm1.example  1m30s ago        2026-01-31T11:00:00Z  2      5     1       30s ago   this
  Removed, may not register: 198.51.100.9
"
    );

    let report = json!({"generated_at": "2026-01-31T12:00:00Z", "groups": [{"name": "corp", "identity_number": 100,
        "transform": "aes-256-gcm", "replay_window": 1024,
        "sender_ids": {"bits": 20, "generation": 3, "used": 8, "of": 131072}, "tek_lifetime_seconds": 3600, "acl": ["permit ip any any"], "sending": "encrypted",
        "authorized_addresses": [], "authorized_identities": [], "teks": [tek()], "kek": null, "signing_key": "ab12"}]});
    let policy = text(Request::ShowKsPolicy, report);
    assert!(policy.contains("  Signing key   ab12\n"), "{policy}");
    assert!(
        policy.contains("  Transform     aes-256-gcm\n  Replay check  window 1024 packets\n"),
        "{policy}"
    );
    assert!(policy.contains("  Sender IDs    20 bits, 8 of 131072 used in generation 3\n"), "{policy}");
    assert!(policy.contains("  May register  every member with a pre-shared key\n"), "{policy}");
    assert!(policy.ends_with("deny is in clear\n    permit ip any any\n"), "{policy}");
}

#[test]
fn show_ks_acl_reads_like_this() {
    let report = json!({"generated_at": "2026-01-31T12:00:00Z", "groups": [{"name": "corp", "identity_number": 100,
        "acl": ["deny tcp any any eq 22", "permit ipv6 any any"], "sending": "clear"}]});
    assert_eq!(
        text(Request::ShowKsAcl, report),
        "\
Group corp (100)
  Access list, receive-only: what is permitted is sent in clear and accepted in either form
    deny tcp any any eq 22
    permit ipv6 any any
"
    );
}

#[test]
fn show_events_reads_like_the_log() {
    let report = json!({"generated_at": "2026-01-31T12:00:00Z", "events": [{"time": "2026-01-31T11:00:00Z", "severity": "warning",
        "name": "GM_TEST", "group": "corp (100)", "peer": "192.0.2.10:848", "message": "it happened"}]});
    let expected = "2026-01-31T11:00:00Z Warning GM_TEST: it happened group=corp (100) peer=192.0.2.10:848\n";
    assert_eq!(text(Request::ShowEvents, report), expected);
}

#[test]
fn an_answer_of_another_version_says_so() {
    let error = render(&Request::ShowGm, json!({})).unwrap_err();
    assert!(error.contains("another version"), "{error}");
}

#[test]
fn an_absent_daemon_is_one_clear_line() {
    let error = exchange(Path::new("/nonexistent/gm.sock"), &Request::ShowGm).unwrap_err();
    assert_eq!(error, "the daemon is not running");
}

#[test]
fn the_command_line_is_sound() {
    Cli::command().debug_assert();
    let parsed = |words: &str| Cli::try_parse_from(["gdoictl"].into_iter().chain(words.split(' ')));
    for words in [
        "show gm",
        "show gm acl --json",
        "--json show gm dataplane",
        "show gm rekey",
        "show ks members",
        "show ks policy",
        "show ks acl",
        "show ks rekey",
        "show events",
        "gm register corp",
        "reload --dry-run",
    ] {
        assert!(request(&parsed(words).unwrap().command).is_some(), "{words}");
    }
    let asked = |words: &str| request(&parsed(words).unwrap().command).unwrap().0;
    let (corp, member) = (Some("corp".to_owned()), "198.51.100.1".parse().unwrap());
    assert_eq!(asked("ks rekey"), Request::KsRekey { group: None, replace_now: false });
    assert_eq!(
        asked("ks rekey --group corp --replace-now"),
        Request::KsRekey { group: corp.clone(), replace_now: true }
    );
    assert_eq!(asked("ks remove 198.51.100.1 --now"), Request::KsRemove { group: None, member, now: true });
    assert_eq!(
        asked("ks remove --all --group corp"),
        Request::KsRemoveAll { group: corp.clone(), now: false }
    );
    assert_eq!(asked("ks readmit 198.51.100.1 --group corp"), Request::KsReadmit { group: corp, member });
    for words in
        ["ks remove", "ks remove --all 198.51.100.1", "ks remove gm1", "ks key generate --type dsa x"]
    {
        assert!(parsed(words).is_err(), "{words}");
    }
    assert!(request(&parsed("ks key generate rekey.pem").unwrap().command).is_none());
    assert!(Cli::try_parse_from(["gdoictl", "show"]).is_err());
}
