//! What is refused, and how it is said.

use super::*;

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
        ("[wan0]", "[wan0, lo]", 5, "loopback"),
        ("[wan0]", "[\"*\"]", 5, "every interface"),
        ("[wan0]", "[l*]", 5, "loopback"),
        ("[wan0]", "[gdoi*]", 5, "gdoi-gm makes"),
        ("[wan0]", "[gdoi7]", 5, "gdoi-gm makes"),
        ("[wan0]", "[p*p]", 5, "no interface name"),
        ("[wan0]", "[ppp*, ppp0]", 5, "name the same interfaces"),
        ("[wan0]", "[ppp0, pp*]", 5, "name the same interfaces"),
        ("[wan0]", "[a-very-long-interface-name]", 5, "no interface name"),
        (psk, "    pre-shared-key: short", 6, "at least 8 octets"),
        (psk, "", 2, "exactly one of `pre-shared-key` and `pre-shared-key-file`"),
        (psk, &with("pre-shared-key-file: x"), 2, "exactly one of"),
        (
            psk,
            "    pre-shared-key-file: /nonexistent/key",
            6,
            "the file that is named here cannot be read: No such",
        ),
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
        ("groups:\n", "anchors: 10.0.0.1\ngroups:\n", 1, "neither `special-purpose` nor `as112`"),
        (psk, &with("name: again"), 7, "this key stands twice in its mapping"),
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
        (
            ", key: \"only for tests\"",
            ", key-file: nowhere.psk",
            3,
            "the file that is named here cannot be read: No such",
        ),
        (
            "groups:\n",
            "  - {address: 198.51.100.0/24, key: \"another key\"}\ngroups:\n",
            4,
            "two keys for 198.51.100.0/24",
        ),
        ("groups:\n", "phase1: []\ngroups:\n", 4, "`phase1` accepts nothing"),
        ("groups:\n", "phase1:\ngroups:\n", 4, "`phase1` accepts nothing"),
        ("groups:\n", "phase1:\n  # - {group: 14}\n\ngroups:\n", 4, "`phase1` accepts nothing"),
        ("groups:\n", "port: 848\nport: 848\ngroups:\n", 5, "this key stands twice"),
        ("lifetime: 3600", "lifetime: 3600\n        lifetime: 3601", 10, "this key stands twice"),
        (local, &with("authorization:"), 8, "`authorization` names nobody"),
        ("groups:\n", "phase1: [{group: 5}]\ngroups:\n", 4, "no Diffie-Hellman group"),
        ("lifetime: 3600", "lifetime: 5", 9, "from 60 to 2592000 (from 20 with lab-timers)"),
        ("lifetime: 3600", "lifetime: 59", 9, "59 is below 60 seconds, which only `lab-timers: true`"),
        ("lifetime: 3600", "lifetime: 2592001", 9, "from 60 to 2592000"),
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
        (
            local,
            &with("rekey: {authentication: nowhere.pem}"),
            8,
            "the file that is named here cannot be read: No such",
        ),
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
        (
            "groups:\n",
            "state-key-file: nowhere.key\ngroups:\n",
            4,
            "the file that is named here cannot be read: No such",
        ),
        ("groups:\n", "control-socket: /run/a b\ngroups:\n", 4, "no name of a file"),
        ("groups:\n", "lab-timers: sometimes\ngroups:\n", 4, "invalid type"),
    ] {
        refused(read, SERVER, from, to, &format!("ks.yaml:{line}: "), reason);
    }
}
