use super::*;
use clap::CommandFactory;
use serde_json::json;

fn text(request: Request, report: Value) -> String {
    render(&request, report).unwrap()
}

fn tek() -> Value {
    json!({"spi": "0x12345678", "transform": "aes-256-cbc/hmac-sha-256", "expires_at": "2026-01-31T13:00:00Z", "role": "sending"})
}

fn member_group() -> Value {
    json!({
        "name": "corp", "identity_number": 100, "registration": "registered", "retries_at": null,
        "server": "192.0.2.10:848", "servers": ["192.0.2.10:848", "192.0.2.11:848"],
        "registrations": 2, "failures": 1, "last_failure": "no answer", "reregisters_at": "2026-01-31T12:57:00Z",
        "rejected": 0, "kek": null, "teks": [tek()], "activation_delay_seconds": 30, "deactivation_delay_seconds": 60,
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
  Re-registers  in 57m (2026-01-31T12:57:00Z)
  Key servers   192.0.2.10:848, 192.0.2.11:848
  Interfaces    wan0
  Protection    encrypting
  Unregistered  fail-close
  Rekey key     none
  Traffic key   0x12345678 aes-256-cbc/hmac-sha-256, sending, ends in 1h (2026-01-31T13:00:00Z)
"
    );
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
fn show_gm_acl_reads_like_this() {
    let report = json!({"generated_at": "2026-01-31T12:00:00Z", "groups": [
        {"name": "corp", "identity_number": 100, "local": ["deny ospf any any"], "downloaded": []}]});
    assert_eq!(
        text(Request::ShowGmAcl, report),
        "\
Group corp (100)
  Local, judged first: always in clear
    deny ospf any any
  Downloaded: encrypted
    (none)
"
    );
}

#[test]
fn show_gm_dataplane_reads_like_this() {
    let report = json!({"generated_at": "2026-01-31T12:00:00Z", "error": null, "problems": ["wan0 is down"],
        "xfrm_errors": [["XfrmInNoStates", 3]],
        "planes": [{"name": "corp", "identity_number": 100, "interface": "wan0", "protection": "encrypting",
            "inbound_anchor": "192.0.0.84", "outbound_anchor": "192.0.0.85",
            "traffic": {"encrypted_packets": 5, "encrypted_octets": 500, "decrypted_packets": 4, "decrypted_octets": 400,
                "blocked_out_packets": 0, "blocked_in_packets": 1, "bypassed_packets": 9, "unrestored_packets": 0},
            "states": [{"direction": "inbound", "spi": "0x12345678", "packets": 4, "octets": 400, "integrity_failures": 0}]}]});
    assert_eq!(
        text(Request::ShowGmDataplane, report),
        "\
Group corp (100) on wan0
  Protection       encrypting
  Anchors          inbound 192.0.0.84, outbound 192.0.0.85
  Encrypted        5 packets, 500 octets
  Decrypted        4 packets, 400 octets
  Blocked out      0 packets
  Blocked in       1 packets
  Passed in clear  9 packets
  STATE    SPI         PACKETS  OCTETS  BAD
  inbound  0x12345678  4        400     0
Kernel error counters, all users of XFRM together
  XfrmInNoStates  3
Problem: wan0 is down
"
    );
}

#[test]
fn show_ks_and_its_parts_read_like_this() {
    let group = json!({"name": "corp", "identity_number": 100, "members": 1, "refused": 2, "acl_entries": 1,
        "transform": "aes-256-cbc/hmac-sha-256", "teks": [tek()], "kek": null});
    let report = json!({"generated_at": "2026-01-31T12:00:00Z", "address": "192.0.2.10:848", "identity": "192.0.2.10",
        "half_open": 0, "established": 1, "rejected": 3, "groups": [group]});
    let overview = text(Request::ShowKs, report);
    assert!(overview.starts_with("Key server 192.0.2.10:848\n  Identity  192.0.2.10\n"), "{overview}");
    assert!(overview.contains("  Members      1 registered, 2 registrations refused\n"), "{overview}");

    let report = json!({"generated_at": "2026-01-31T12:00:00Z", "groups": [{"name": "corp", "identity_number": 100, "members": [
        {"address": "198.51.100.1", "identity": "gm1.example", "first_registered_at": "2026-01-31T11:00:00Z",
         "last_registered_at": "2026-01-31T11:58:30Z", "registrations": 2, "same_software": true}]}]});
    assert_eq!(
        text(Request::ShowKsMembers, report),
        "\
Group corp (100): 1 registered
  MEMBER        IDENTITY     LAST REGISTERED  FIRST                 TIMES  SOFTWARE
  198.51.100.1  gm1.example  1m30s ago        2026-01-31T11:00:00Z  2      this
"
    );

    let report = json!({"generated_at": "2026-01-31T12:00:00Z", "groups": [{"name": "corp", "identity_number": 100,
        "transform": "aes-256-cbc/hmac-sha-256", "tek_lifetime_seconds": 3600, "acl": ["permit ip any any"],
        "authorized_addresses": [], "authorized_identities": [], "teks": [tek()], "kek": null}]});
    let policy = text(Request::ShowKsPolicy, report);
    assert!(policy.contains("  May register  every member with a pre-shared key\n"), "{policy}");
    assert!(policy.ends_with("  Encrypted\n    permit ip any any\n"), "{policy}");
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
    for words in
        ["show gm", "show gm acl --json", "--json show gm dataplane", "show ks members", "show ks policy"]
    {
        let cli = Cli::try_parse_from(["gdoictl"].into_iter().chain(words.split(' '))).unwrap();
        assert!(request(&cli.command).is_ok(), "{words}");
    }
    assert!(Cli::try_parse_from(["gdoictl", "show"]).is_err());
}

#[test]
fn spans_show_two_units() {
    for (seconds, text) in
        [(0, "0s"), (8, "8s"), (60, "1m"), (3599, "59m59s"), (7205, "2h"), (100_000, "1d3h")]
    {
        assert_eq!(table::span(seconds), text);
    }
}
