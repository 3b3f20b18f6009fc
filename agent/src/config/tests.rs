use super::*;
use gdoi::crypto::sign::NewKey;
use gdoi::policy::{Doi, Identity, Proposal};
use gdoi::{Retransmit, Transport};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

mod access;
mod ipv6;
mod redundancy;

const MEMBER: &str = r#"groups:
  - name: corp
    identity-number: 100
    servers: [192.0.2.10, {address: 192.0.2.11, port: 1848}]
    interfaces: [wan0]
    pre-shared-key: "only for tests"
"#;

const SERVER: &str = r#"address: 192.0.2.10
pre-shared-keys:
  - {address: 198.51.100.0/24, key: "only for tests"}
groups:
  - name: corp
    identity-number: 100
    server-local:
      sa-ipsec:
        lifetime: 3600
        match-address:
          - permit ip 10.0.0.0/8 10.0.0.0/8
"#;

fn member(text: &str) -> Result<MemberSettings, String> {
    ready::<MemberFile>("gm.yaml", text)
}

fn server(text: &str) -> Result<KeyServerSettings, String> {
    ready::<KeyServerFile>("ks.yaml", text)
}

fn ready<F: Settings>(name: &str, text: &str) -> Result<F::Ready, String> {
    let mut source = Source::from_text(Path::new(name), text);
    let file: F = source.parse().map_err(|error| error.to_string())?;
    file.settle(&mut source).map_err(|error| error.to_string())
}

#[test]
fn a_short_member_file_gets_the_defaults() {
    let settings = member(MEMBER).unwrap();
    assert_eq!((settings.port, settings.control_socket), (848, PathBuf::from("/run/gdoi/gm.sock")));
    let (group, key) = &settings.groups[0];
    assert_eq!(group.group.to_string(), "corp (100)");
    assert_eq!(
        group.servers.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["192.0.2.10:848", "192.0.2.11:1848"]
    );
    assert_eq!((group.fail, group.doi, group.proposal), (FailMode::Close, Doi::Gdoi, Proposal::default()));
    assert_eq!((&group.identity, group.local_address, group.clear.len()), (&None, None, 0));
    assert_eq!((group.reception, group.mss), (Reception::Strict, MssClamp::Off));
    assert!(key.matches(b"only for tests"));
}

#[test]
fn a_full_member_file_is_understood() {
    let text = format!(
        "{MEMBER}{}",
        r#"    local-address: 198.51.100.1
    identity: {fqdn: gm1.example}
    match-address: ["deny tcp any any eq 179", "deny ospf any any"]
    fail-close: false
    passive: true
    mss-clamp: auto
    phase1: {encryption: aes-128-cbc, hash: sha-384, group: 14, lifetime: 3600, doi: 1}
control-socket: /tmp/gm.sock
port: 8848
"#
    );
    let settings = member(&text).unwrap();
    assert_eq!((settings.port, settings.control_socket), (8848, PathBuf::from("/tmp/gm.sock")));
    let (group, _) = &settings.groups[0];
    assert_eq!((group.fail, group.doi, group.clear.len()), (FailMode::Open, Doi::Ipsec, 2));
    assert_eq!((group.reception, group.mss), (Reception::AcceptClear, MssClamp::Auto));
    let fixed = member(&text.replace("mss-clamp: auto", "mss-clamp: 1360")).unwrap();
    assert_eq!(fixed.groups[0].0.mss, MssClamp::Fixed(1360));
    assert_eq!(group.identity, Some(Identity::Fqdn("gm1.example".into())));
    assert_eq!(group.proposal.to_string(), "aes-128-cbc, sha-384, group 14");
    assert_eq!(group.proposal.lifetime, Duration::from_secs(3600));
    assert_eq!(group.servers[0].port(), 8848, "the file's port is the servers' default");
}

#[test]
fn a_short_server_file_gets_the_defaults() {
    let settings = server(SERVER).unwrap();
    assert_eq!(settings.address.to_string(), "192.0.2.10:848");
    assert_eq!(settings.control_socket, PathBuf::from("/run/gdoi/ks.sock"));
    assert_eq!(settings.server.proposals.len(), 54);
    let group = &settings.server.groups[0];
    assert_eq!((group.transform.to_string().as_str(), group.replay_window), ("aes-256-gcm", 1024));
    assert_eq!((group.activation_delay.as_secs(), group.deactivation_delay.as_secs()), (30, 60));
    assert!(group.rekey.is_none() && group.authorization.addresses.is_empty());
}

#[test]
fn transforms_and_windows_go_together() {
    let read = |ipsec: &str| {
        let settings = server(&SERVER.replace("lifetime: 3600", ipsec)).unwrap();
        let group = &settings.server.groups[0];
        (group.transform.to_string(), group.replay_window)
    };
    assert_eq!(read("transform: chacha20-poly1305"), ("chacha20-poly1305".into(), 1024));
    assert_eq!(read("transform: aes-128-gcm\n        replay-window: 4096"), ("aes-128-gcm".into(), 4096));
    assert_eq!(read("replay-window: 0"), ("aes-256-gcm".into(), 0));
    assert_eq!(read("transform: aes-256-cbc/hmac-sha-512"), ("aes-256-cbc/hmac-sha-512".into(), 0));
}

#[test]
fn short_lives_get_short_delays() {
    let settings = server(&SERVER.replace("3600", "60")).unwrap();
    let group = &settings.server.groups[0];
    assert_eq!((group.activation_delay.as_secs(), group.deactivation_delay.as_secs()), (5, 10));
}

/// Replaces `from` by `to` in `text` and expects a refusal that starts with `place` and contains `reason`.
#[track_caller]
fn refused(
    read: fn(&str) -> Result<(), String>,
    text: &str,
    from: &str,
    to: &str,
    place: &str,
    reason: &str,
) {
    assert!(text.contains(from), "{from}");
    let error = read(&text.replace(from, to)).expect_err(to);
    assert!(error.starts_with(place), "{place} expected: {error}");
    assert!(error.contains(reason), "{reason} expected: {error}");
}

#[test]
fn member_refusals_name_line_and_reason() {
    let read = |text: &str| member(text).map(drop);
    let psk = "    pre-shared-key: \"only for tests\"";
    let with = |extra: &str| format!("{psk}\n    {extra}");
    for (from, to, line, reason) in [
        ("name: corp", "name: \"two words\"", 2, "no name"),
        ("name: corp", "nome: corp", 2, "unknown field `nome`"),
        ("identity-number: 100", "identity-number: -1", 3, "invalid"),
        ("    identity-number: 100\n", "", 2, "missing field `identity-number`"),
        ("192.0.2.10,", "192.0.2.300,", 4, "`192.0.2.300` is no IP address"),
        ("192.0.2.10,", "224.0.0.1,", 4, "not the address of one host"),
        ("192.0.2.11,", "192.0.2.10,", 4, "stands here twice"),
        ("port: 1848", "port: 0", 4, "1 to 65535"),
        ("port: 1848", "prot: 1848", 4, "unknown field `prot`"),
        ("[wan0]", "[]", 5, "the list is empty"),
        ("[wan0]", "[wan0, wan0]", 5, "stands here twice"),
        ("[wan0]", "[\"wan 0\"]", 5, "no interface name"),
        ("[wan0]", "[a-very-long-interface-name]", 5, "no interface name"),
        (psk, "    pre-shared-key: short", 6, "at least 8 octets"),
        (psk, "", 2, "exactly one of `pre-shared-key` and `pre-shared-key-file`"),
        (psk, &with("pre-shared-key-file: x"), 2, "exactly one of"),
        (psk, "    pre-shared-key-file: /nonexistent/key", 6, "/nonexistent/key: cannot be read"),
        (psk, &with("match-address: [\"permit ip any any\"]"), 7, "deny entries only"),
        (
            psk,
            &with("match-address:\n      - deny ip any any\n      - deny ip 10.0.0.1/8 any"),
            9,
            "did you mean 10.0.0.0/8?",
        ),
        (psk, &with("identity: {address: 10.0.0.1, fqdn: a}"), 7, "exactly one of"),
        (psk, &with("identity: {fqdn: \"\"}"), 7, "no identity"),
        (psk, &with("local-address: 0.0.0.0"), 7, "not the address of one host"),
        (psk, &with("phase1: {encryption: 3des}"), 7, "no phase 1 cipher"),
        (psk, &with("phase1: {hash: sha-1}"), 7, "no hash"),
        (psk, &with("phase1: {group: 2}"), 7, "no Diffie-Hellman group"),
        (psk, &with("phase1: {doi: 3}"), 7, "no domain of interpretation"),
        (psk, &with("phase1: {lifetime: 10}"), 7, "300 to 604800"),
        (psk, &with("fail-close: maybe"), 7, "invalid type"),
        (psk, &with("passive: maybe"), 7, "invalid type"),
        (psk, &with("mss-clamp: none"), 7, "neither `auto` nor a number from 536 to 65495"),
        (psk, &with("mss-clamp: 535"), 7, "neither `auto`"),
        (psk, &with("name: again"), 2, "duplicate field `name`"),
        (psk, "    pre-shared-key: \"open", 7, "found unexpected end of stream"),
    ] {
        refused(read, MEMBER, from, to, &format!("gm.yaml:{line}: "), reason);
    }
}

#[test]
fn member_groups_must_not_clash() {
    let read = |text: &str| member(text).map(drop);
    let second = MEMBER.replace("groups:\n", "").replace("corp", "lab").replace("100", "200");
    let both = format!("{MEMBER}{second}");
    assert_eq!(member(&both).unwrap().groups.len(), 2);
    refused(read, &both, "name: lab", "name: corp", "gm.yaml:7: ", "two groups named `corp`");
    refused(
        read,
        &both,
        "identity-number: 200",
        "identity-number: 100",
        "gm.yaml:7: ",
        "same identity-number 100",
    );
    let local = format!("{both}    local-address: 198.51.100.1\n");
    refused(read, &local, "name: lab", "name: lab", "gm.yaml:7: ", "share one socket");
}

#[test]
fn too_many_planes_are_refused() {
    let names = |count| (0..count).map(|number| format!("eth{number}")).collect::<Vec<_>>().join(", ");
    let group = |name: &str, number: u32, interfaces| {
        let text = MEMBER.replace("groups:\n", "").replace("corp", name).replace("100", &number.to_string());
        text.replace("wan0", &names(interfaces))
    };
    let text = |last| format!("groups:\n{}{}{}", group("a", 1, 16), group("b", 2, 16), group("c", 3, last));
    assert!(member(&text(10)).is_ok());
    let error = member(&text(11)).unwrap_err();
    assert!(
        error.starts_with("gm.yaml:1: ") && error.contains("43 pairs") && error.contains("at most 42"),
        "{error}"
    );
}

/// Each needs four sender IDs, and a key server gives no more than 64 at once.
#[test]
fn too_many_interfaces_of_one_group_are_refused() {
    let names = |count| (0..count).map(|number| format!("eth{number}")).collect::<Vec<_>>().join(", ");
    assert!(member(&MEMBER.replace("wan0", &names(16))).is_ok());
    let error = member(&MEMBER.replace("wan0", &names(17))).unwrap_err();
    assert!(error.starts_with("gm.yaml:2: ") && error.contains("17 interfaces, at most 16"), "{error}");
}

#[test]
fn server_refusals_name_line_and_reason() {
    let read = |text: &str| server(text).map(drop);
    let local = "    server-local:\n";
    let with = |extra: &str| format!("{local}      {extra}\n");
    for (from, to, line, reason) in [
        ("address: 192.0.2.10\n", "address: 0.0.0.0\n", 1, "not the address of one host"),
        ("198.51.100.0/24", "198.51.100.1/24", 3, "did you mean 198.51.100.0/24?"),
        (", key: \"only for tests\"", "", 3, "exactly one of `key` and `key-file`"),
        (", key: \"only for tests\"", ", key-file: nowhere.psk", 3, "nowhere.psk: cannot be read"),
        (
            "groups:\n",
            "  - {address: 198.51.100.0/24, key: \"another key\"}\ngroups:\n",
            4,
            "two keys for 198.51.100.0/24",
        ),
        ("groups:\n", "phase1: []\ngroups:\n", 1, "`phase1` accepts nothing"),
        ("groups:\n", "phase1: [{group: 5}]\ngroups:\n", 4, "no Diffie-Hellman group"),
        ("lifetime: 3600", "lifetime: 5", 9, "20 to 2592000"),
        ("lifetime: 3600", "lifetime: 59", 9, "59 is below 60 seconds, which only `lab-timers: true`"),
        ("lifetime: 3600", "lifetime: 2592001", 9, "20 to 2592000"),
        ("lifetime: 3600", "lifetime: one hour", 9, "no whole number"),
        ("lifetime: 3600", "transform: aes-256-gcm/hmac-sha-256", 9, "integrity check of its own"),
        ("lifetime: 3600", "transform: aes-256-ctr", 9, "no cipher"),
        ("lifetime: 3600", "transform: aes-256-cbc/hmac-md5", 9, "no integrity algorithm"),
        ("lifetime: 3600", "replay: 64", 9, "unknown field `replay`"),
        ("lifetime: 3600", "replay-window: 4097", 9, "0 to 4096"),
        (
            "lifetime: 3600",
            "transform: aes-128-cbc/hmac-sha-256\n        replay-window: 64",
            9,
            "with aes-128-cbc/hmac-sha-256 all members share one key",
        ),
        ("permit ip 10.0.0.0/8 10.0.0.0/8", "permit ip 10.0.0.0/8", 11, "address is missing"),
        ("lifetime: 3600", "receive-only: perhaps", 9, "invalid type"),
        ("          - permit ip 10.0.0.0/8 10.0.0.0/8\n", "          []\n", 11, "the list is empty"),
        (local, &with("activation-delay: 500"), 8, "activation-delay 500 is over 180 seconds"),
        (local, &with("deactivation-delay: 30"), 8, "deactivation-delay must be longer"),
        (
            local,
            &with("authorization: {address: [10.0.0.0]}\n      redundant: 1"),
            9,
            "unknown field `redundant`",
        ),
        (local, &with("authorization: {identity: [{}]}"), 8, "exactly one of"),
        (local, &with("rekey: {lifetime: 86400}"), 8, "missing field `authentication`"),
        (local, &with("rekey: {authentication: nowhere.pem}"), 8, "nowhere.pem: cannot be read"),
        (local, &with("rekey: {authentication: x, encryption: aes-192-cbc}"), 8, "no rekey cipher"),
        (local, &with("rekey: {authentication: x, lifetime: 30}"), 8, "30 is below 60 seconds"),
        (local, &with("rekey: {authentication: x, transport: anycast}"), 8, "no transport"),
        (local, &with("rekey: {authentication: x, transport: multicast}"), 8, "needs the group's `address`"),
        (
            local,
            &with("rekey: {authentication: x, address: 239.1.1.1}"),
            8,
            "`address` is for `transport: multi",
        ),
        (local, &with("rekey: {authentication: x, ttl: 3}"), 8, "`ttl` is for `transport: multicast`"),
        (
            local,
            &with("rekey: {authentication: x, transport: multicast, address: 10.0.0.1}"),
            8,
            "no multicast",
        ),
        (local, &with("rekey: {authentication: x, transport: multicast, address: 224.0.0.9}"), 8, "one link"),
        (local, &with("rekey: {authentication: x, transport: multicast, address: x}"), 8, "no IP address"),
        (
            local,
            &with("rekey: {authentication: x, transport: multicast, address: 239.1.1.1, ttl: 0}"),
            8,
            "1 to 255",
        ),
        (local, &with("rekey: {authentication: x, retransmit: {interval: 10}}"), 8, "missing field `number`"),
        (
            local,
            &with("rekey: {authentication: x, retransmit: {interval: 31, number: 2}}"),
            8,
            "3 transmissions every 31 s take 93 s, at most 90 s",
        ),
        (local, &with("rekey: {authentication: x, retransmit: {interval: 0, number: 2}}"), 8, "1 to 90"),
        (local, &with("rekey: {authentication: x, reminder: 5}"), 8, "60 to 2592000"),
        ("groups:\n", "state-key-file: nowhere.key\ngroups:\n", 4, "nowhere.key: cannot be read"),
        ("groups:\n", "lab-timers: sometimes\ngroups:\n", 4, "invalid type"),
    ] {
        refused(read, SERVER, from, to, &format!("ks.yaml:{line}: "), reason);
    }
}

#[test]
fn labs_may_have_short_lives() {
    let text = SERVER.replace("3600", "20");
    assert!(server(&text).is_err());
    assert!(server(&format!("{text}lab-timers: false\n")).is_err());
    let settings = server(&format!("{text}lab-timers: true\n")).unwrap();
    assert_eq!(settings.server.groups[0].tek_lifetime, Duration::from_secs(20));
}

/// A directory with a key server's file whose group has this `rekey`, and a signing key.
fn rekeying(name: &str, rekey: &str) -> (Scratch, PathBuf) {
    let scratch = Scratch::new(name);
    let key = NewKey::EcdsaP256.generate_pem().unwrap();
    scratch.write("rekey.pem", std::str::from_utf8(key.expose()).unwrap(), 0o600);
    let text = SERVER.replace(
        "    server-local:\n",
        &format!("    server-local:\n      rekey: {{authentication: rekey.pem{rekey}}}\n"),
    );
    let path = scratch.write("ks.yaml", &text, 0o600);
    (scratch, path)
}

#[test]
fn a_short_rekey_part_gets_the_defaults() {
    let (_scratch, path) = rekeying("unicast", "");
    let loaded = load::<KeyServerFile>(&path).unwrap();
    let rekey = loaded.settings.server.groups[0].rekey.as_ref().unwrap();
    let retransmit = Retransmit { interval: Duration::from_secs(10), number: 2 };
    assert_eq!((rekey.transport, rekey.retransmit, rekey.key_len), (Transport::Unicast, retransmit, 32));
    assert_eq!((rekey.lifetime.as_secs(), rekey.reminder.as_secs()), (86_400, 7_200));
    assert!(
        loaded.settings.routes.is_empty() && loaded.settings.state.is_none() && loaded.warnings.is_empty()
    );
}

#[test]
fn a_full_rekey_part_is_understood() {
    let (_scratch, path) = rekeying(
        "multicast",
        ", transport: multicast, address: 239.192.0.1, port: 1848, interface: wan0, ttl: 5, lifetime: 7200, \
         encryption: aes-128-cbc, retransmit: {interval: 30, number: 1}, reminder: 600",
    );
    let loaded = load::<KeyServerFile>(&path).unwrap();
    let rekey = loaded.settings.server.groups[0].rekey.as_ref().unwrap();
    let group = "239.192.0.1:1848".parse().unwrap();
    assert_eq!((rekey.transport, rekey.key_len), (Transport::Multicast(group), 16));
    assert_eq!((rekey.lifetime.as_secs(), rekey.reminder.as_secs()), (7_200, 600));
    let route = MulticastRoute { group, interface: "wan0".parse().ok(), ttl: 5 };
    assert_eq!(loaded.settings.routes, [route]);
}

#[test]
fn repetitions_that_come_too_late_are_told() {
    let (_scratch, path) = rekeying("late", ", retransmit: {interval: 20, number: 3}");
    let text = fs::read_to_string(&path).unwrap().replace("lifetime: 3600", "lifetime: 120");
    fs::write(&path, text).unwrap();
    let loaded = load::<KeyServerFile>(&path).unwrap();
    assert!(
        loaded.warnings[0].contains("60 s after the first, is too late for keys of 120 s"),
        "{:?}",
        loaded.warnings
    );
}

#[test]
fn the_state_key_is_octets_or_digits_beside_the_configuration() {
    let scratch = Scratch::new("state");
    let text = format!("{SERVER}state-directory: here\nstate-key-file: state.key\n");
    let path = scratch.write("ks.yaml", &text, 0o600);
    let key = scratch.write("state.key", "", 0o600);
    for good in [&[200; 32][..], "0f".repeat(32).as_bytes(), (("0f".repeat(32)) + "\n").as_bytes()] {
        fs::write(&key, good).unwrap();
        let state = load::<KeyServerFile>(&path).unwrap().settings.state.unwrap();
        assert_eq!(state.directory, scratch.0.join("here"));
    }
    for bad in [&b""[..], &[1; 31], b"not hexadecimal"] {
        fs::write(&key, bad).unwrap();
        let error = check(&path).unwrap_err().to_string();
        assert!(error.contains("ks.yaml:13: ") && error.contains("neither 32 octets nor 64"), "{error}");
    }
}

#[test]
fn one_multicast_group_has_one_way_out() {
    let part = |name: &str, number: u8, ttl: u8| {
        format!(
            "  - name: {name}\n    identity-number: {number}\n    server-local:\n      rekey: {{authentication: x, \
             transport: multicast, address: 239.1.1.1, ttl: {ttl}}}\n      sa-ipsec: {{match-address: [permit ip any any]}}\n"
        )
    };
    let head = &SERVER[..SERVER.find("  - name").unwrap()];
    let error = server(&format!("{head}{}{}", part("a", 1, 3), part("b", 2, 4))).unwrap_err();
    assert!(
        error.starts_with("ks.yaml:10: ") && error.contains("`interface` and `ttl` must be the same"),
        "{error}"
    );
    let error = server(&format!("{head}{}{}", part("a", 1, 3), part("b", 2, 3))).unwrap_err();
    assert!(error.contains("x: cannot be read"), "{error}");
}

#[test]
fn empty_and_foreign_files_are_refused() {
    for text in ["", "groups: []\n", "- a\n- b\n", "groups:\n  corp: {}\n"] {
        assert!(member(text).unwrap_err().starts_with("gm.yaml:1: ") || text.contains("corp"), "{text}");
        assert!(server(text).is_err());
    }
}

/// A directory of its own under the system's for temporary files, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("gdoi-config-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }

    fn write(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn key_files_are_read_beside_the_configuration() {
    let scratch = Scratch::new("keys");
    let text = MEMBER.replace("pre-shared-key: \"only for tests\"", "pre-shared-key-file: corp.psk");
    let path = scratch.write("gm.yaml", &text, 0o600);
    scratch.write("corp.psk", "only for tests\n", 0o644);
    let loaded = load::<MemberFile>(&path).unwrap();
    assert!(loaded.settings.groups[0].1.matches(b"only for tests"));
    assert_eq!(loaded.warnings.len(), 1, "{:?}", loaded.warnings);
    assert!(loaded.warnings[0].contains("corp.psk: everybody"), "{:?}", loaded.warnings);
    scratch.write("corp.psk", "\n", 0o600);
    let error = check(&path).unwrap_err().to_string();
    assert!(error.contains("gm.yaml:6: ") && error.contains("at least 8 octets"), "{error}");
}

#[test]
fn check_knows_whose_file_it_is() {
    let scratch = Scratch::new("kind");
    assert_eq!(check(&scratch.write("a.yaml", MEMBER, 0o600)).unwrap(), Vec::<String>::new());
    assert_eq!(check(&scratch.write("b.yaml", SERVER, 0o600)).unwrap(), Vec::<String>::new());
    let neither = check(&scratch.write("c.yaml", "groups: []\n", 0o600)).unwrap_err().to_string();
    assert!(neither.ends_with("nor a key server's (address)"), "{neither}");
    let missing = check(&scratch.0.join("d.yaml")).unwrap_err().to_string();
    assert!(missing.contains("d.yaml: cannot be read: No such file"), "{missing}");
}

#[test]
fn a_file_is_bounded() {
    let scratch = Scratch::new("bound");
    let path = scratch.write("gm.yaml", &"#".repeat((1 << 20) + 1), 0o600);
    assert!(check(&path).unwrap_err().to_string().contains("larger than"));
}

#[test]
fn secrets_stay_out_of_debug_output() {
    let shown = format!("{:?} {:?}", member(MEMBER).unwrap(), server(SERVER).unwrap());
    assert!(!shown.contains("only for tests"), "{shown}");
}

#[test]
fn the_shipped_examples_are_valid() {
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
    Source::read(&deploy.join("gm.yaml")).unwrap().parse::<MemberFile>().unwrap();
    Source::read(&deploy.join("ks.yaml")).unwrap().parse::<KeyServerFile>().unwrap();
}

/// What the shipped example explains in comments works without the number signs.
#[test]
fn the_shipped_examples_comments_are_valid() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/ks.yaml");
    let text = fs::read_to_string(path).unwrap().replace("        transport: unicast", "#");
    let keys =
        ["lifetime", "encryption", "retransmit", "reminder", "transport", "address", "interface", "ttl"];
    let own = ["# port", "# state-", "# lab-timers", "# control-socket"];
    let uncommented = |line: &str| match line.strip_prefix("        # ") {
        Some(rest) if keys.iter().any(|key| rest.starts_with(key)) => format!("        {rest}\n"),
        _ if own.iter().any(|key| line.starts_with(key)) => format!("{}\n", &line[2..]),
        _ => format!("{line}\n"),
    };
    let text: String = text.lines().map(uncommented).collect();
    assert!(text.contains("\n        ttl: 32\n") && text.contains("\nlab-timers: true"), "{text}");
    Source::from_text(Path::new("ks.yaml"), text).parse::<KeyServerFile>().unwrap();
}

#[test]
fn the_configurations_of_the_readme_are_valid() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")).unwrap();
    let blocks: Vec<&str> =
        readme.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    let kinds: Vec<Kind> =
        blocks.iter().map(|text| Source::from_text(Path::new("README.md"), *text).kind().unwrap()).collect();
    assert_eq!(kinds, [Kind::KeyServer, Kind::Member, Kind::KeyServer]);
    let (scratch, _) = rekeying("readme", "");
    for block in [blocks[0], blocks[2]] {
        let file = scratch.write("readme.yaml", block, 0o600);
        assert_eq!(check(&file).unwrap(), Vec::<String>::new());
    }
    member(blocks[1]).unwrap();
}
