//! Cooperating key servers in `ks.yaml`.

use super::*;
use gdoi::coop::{Preemption, Redundancy};
use std::net::{IpAddr, SocketAddr};
use std::thread;

/// Of one of three servers.
const COOPERATING: &str = r#"address: 192.0.2.10
pre-shared-keys:
  - {address: 198.51.100.0/24, key: "only for tests"}
  - {address: 192.0.2.11, key: "between servers"}
  - {address: 192.0.2.12, key: "between others"}
groups:
  - name: corp
    identity-number: 100
    server-local:
      rekey: {authentication: rekey.pem}
      redundancy:
        local-priority: 100
        peers: [192.0.2.11, 192.0.2.12]
      sa-ipsec: {match-address: [permit ip any any]}
"#;

/// The same beside a signing key.
fn cooperating(name: &str, from: &str, to: &str) -> (Scratch, Result<Loaded<KeyServerSettings>, String>) {
    assert!(COOPERATING.contains(from), "{from}");
    let (scratch, _) = rekeying(name, "");
    let path = scratch.write("coop.yaml", &COOPERATING.replace(from, to), 0o600);
    let loaded = load::<KeyServerFile>(&path).map_err(|error| error.to_string());
    (scratch, loaded)
}

#[track_caller]
fn redundancy(from: &str, to: &str) -> Redundancy {
    let (_scratch, loaded) = cooperating(&format!("coop-{:?}", thread::current().id()), from, to);
    loaded.unwrap().settings.server.groups[0].redundancy.clone().unwrap()
}

fn peers() -> Vec<IpAddr> {
    vec![[192, 0, 2, 11].into(), [192, 0, 2, 12].into()]
}

#[test]
fn a_short_redundancy_gets_the_defaults() {
    assert_eq!(
        redundancy("        local-priority: 100\n", ""),
        Redundancy {
            priority: 1,
            peers: peers(),
            preemption: Preemption::After(Duration::from_secs(10)),
            interval: Duration::from_secs(1),
            dead_after: 3,
        }
    );
}

#[test]
fn a_full_redundancy_is_understood() {
    let full = "local-priority: 255\n        preempt: true\n        hold-down: 0\n        announcement-interval: 20\n\
                \x20       dead-after: 10";
    assert_eq!(
        redundancy("local-priority: 100", full),
        Redundancy {
            priority: 255,
            peers: peers(),
            preemption: Preemption::After(Duration::ZERO),
            interval: Duration::from_secs(20),
            dead_after: 10,
        }
    );
    let never = redundancy("local-priority: 100", "preempt: false");
    assert_eq!((never.priority, never.preemption), (1, Preemption::Never));
}

#[test]
fn peers_come_once_with_this_port_and_a_key_of_their_own() {
    let second = COOPERATING.split_once("groups:\n").unwrap().1;
    let second = second.replace("corp", "lab").replace("100\n", "200\n").replace("11, 192.0.2.12", "11");
    let (_scratch, loaded) = cooperating("union", "groups:\n", &format!("port: 1848\ngroups:\n{second}"));
    let server = loaded.unwrap().settings.server;
    assert_eq!(server.groups.len(), 2);
    let addresses: Vec<_> = server.peers.iter().map(|peer| peer.address).collect();
    assert_eq!(addresses, peers().into_iter().map(|peer| SocketAddr::new(peer, 1848)).collect::<Vec<_>>());
    let credentials = [pre_shared_key(b"between servers"), pre_shared_key(b"between others")];
    assert_eq!(server.peers.iter().map(|peer| peer.credential.clone()).collect::<Vec<_>>(), credentials);
    assert!(super::server(SERVER).unwrap().server.peers.is_empty(), "none without redundancy");
}

#[test]
fn key_servers_may_share_one_key_among_them() {
    let (_scratch, loaded) = cooperating("shared", "between others", "between servers");
    assert_eq!(loaded.unwrap().settings.server.peers.len(), 2);
}

#[test]
fn redundancy_refusals_name_line_and_reason() {
    let priority = "local-priority: 100";
    let list = "[192.0.2.11, 192.0.2.12]";
    let nine = (11..=18).map(|host| format!("192.0.2.{host}")).collect::<Vec<_>>().join(", ");
    for (from, to, line, reason) in [
        (priority, "priority: 100", 12, "unknown field `priority`"),
        (priority, "local-priority: 0", 12, "`0` is no whole number from 1 to 255"),
        (priority, "local-priority: 256", 12, "1 to 255"),
        (priority, "hold-down: 3601", 12, "0 to 3600"),
        (priority, "announcement-interval: 0", 12, "1 to 20"),
        (priority, "announcement-interval: 21", 12, "1 to 20"),
        (priority, "dead-after: 1", 12, "2 to 10"),
        (priority, "dead-after: 11", 12, "2 to 10"),
        (priority, "preempt: sometimes", 12, "invalid type"),
        (priority, "preempt: false\n        hold-down: 10", 12, "`hold-down` is for `preempt: true`"),
        (&format!("        peers: {list}\n"), "", 12, "missing field `peers`"),
        (list, "[]", 13, "the list is empty"),
        (list, "[192.0.2.11, 192.0.2.11]", 13, "`192.0.2.11` stands here twice"),
        (list, "[239.0.0.1]", 13, "239.0.0.1 is not the address of one host"),
        (list, "[0.0.0.0]", 13, "0.0.0.0 is not the address of one host"),
        (list, "[ks2.example]", 13, "this is no IP address"),
        (list, &format!("[{nine}]"), 13, "8 elements, at most 7 are possible"),
        (list, "[192.0.2.10]", 13, "192.0.2.10 is this key server itself"),
        (list, "[192.0.2.11, 192.0.2.13]", 13, "192.0.2.13 needs an entry of its own in `pre-shared-keys`"),
        (list, "\n          - 192.0.2.11\n          - 192.0.2.13 # no key", 15, "members must not have it"),
        ("address: 192.0.2.11,", "address: 192.0.2.0/24,", 13, "192.0.2.11 needs an entry of its own"),
        (
            "192.0.2.12, key: \"between others\"",
            "192.0.2.12, key: \"only for tests\"",
            13,
            "192.0.2.12 has the same pre-shared key as 198.51.100.0/24: whoever has that key can pose",
        ),
        ("      rekey: {authentication: rekey.pem}\n", "", 10, "`redundancy` needs `rekey`: without it"),
    ] {
        let (scratch, loaded) = cooperating("refused", from, to);
        let error = loaded.map(drop).expect_err(to);
        let place = format!("{}:{line}: ", scratch.0.join("coop.yaml").display());
        assert!(error.starts_with(&place), "{place} expected: {error}");
        assert!(error.contains(reason), "{reason} expected: {error}");
    }
}

#[test]
fn the_line_of_an_element_is_found_in_its_list() {
    let source = |text: &str| Source::from_text(Path::new("x"), text);
    for (text, line) in [
        ("a: 1.2.3.4\npeers: [1.2.3.4]\n", 2),
        ("peers:\n  - 1.2.3.45\nother: 1.2.3.4\npeers: [1.1.1.1,\n  1.2.3.4]", 5),
        ("peers: [11.2.3.4] # 1.2.3.4\n\npeers:\n  - \"1.2.3.4\"\n", 4),
        ("x: 1\nredundancy: {peers: [*others]}\n", 2),
        ("none", 1),
    ] {
        let error = source(text).error_in_list("peers", "1.2.3.4", "why").to_string();
        assert_eq!(error, format!("x:{line}: why"), "{text}");
    }
}

/// A file of `deploy/`, and what it makes of two keys and a signing key beside it.
fn shipped(name: &str, change: impl Fn(&str) -> String) -> Loaded<KeyServerSettings> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(name);
    let (scratch, _) = rekeying(name, "");
    scratch.write("corp.psk", "of the members\n", 0o600);
    scratch.write("servers.psk", "between servers\n", 0o600);
    scratch.write("ks2.psk", "between servers\n", 0o600);
    let text = fs::read_to_string(path).unwrap();
    load::<KeyServerFile>(&scratch.write(name, &change(&text), 0o600)).unwrap()
}

#[test]
fn the_shipped_example_of_two_servers_is_valid_on_both() {
    let loaded = shipped("ks-coop.yaml", str::to_owned);
    assert_eq!((loaded.settings.server.peers.len(), loaded.warnings), (1, Vec::new()));
    // What the comments say of the other one.
    let other = |line: &str| match line.split_once("# other: ") {
        Some((own, other)) if line.contains("{address") => {
            let address = other.split(';').next().unwrap();
            format!("{}\n", own.replace("192.0.2.11", address))
        }
        Some((own, other)) => format!("{}: {other}\n", own.split(':').next().unwrap()),
        None => format!("{line}\n"),
    };
    let loaded = shipped("ks-coop.yaml", |text| text.lines().map(other).collect());
    let server = loaded.settings.server;
    assert_eq!((server.address.to_string(), server.peers.len()), ("192.0.2.11:848".into(), 1));
    assert_eq!(server.peers[0].address.to_string(), "192.0.2.10:848");
    assert_eq!(server.groups[0].redundancy.as_ref().unwrap().priority, 50);
}

#[test]
fn the_commented_redundancy_of_the_shipped_example_is_valid() {
    let uncommented = |line: &str| match line.split_once("# ") {
        Some((indent, rest))
            if indent == "      " && (rest.starts_with("redundancy") || rest.starts_with("  ")) =>
        {
            format!("{indent}{rest}\n")
        }
        Some((indent, rest)) if rest.starts_with("- {address: 192.0.2.11") => format!("{indent}{rest}\n"),
        _ => format!("{line}\n"),
    };
    let loaded = shipped("ks.yaml", |text| text.lines().map(uncommented).collect());
    let group = &loaded.settings.server.groups[0];
    let expected = redundancy("[192.0.2.11, 192.0.2.12]", "[192.0.2.11]");
    assert_eq!((group.redundancy.as_ref(), loaded.settings.server.peers.len()), (Some(&expected), 1));
}
