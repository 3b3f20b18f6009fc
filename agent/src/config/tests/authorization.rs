//! Who may register, and what proves it.

use super::*;
use gdoi::Authorization;

const LOCAL: &str = "    server-local:\n";
const KEY: &str = "  - {address: 198.51.100.0/24, key: \"only for tests\"}\n";

/// With this `authorization`, which begins in line 8.
fn with(authorization: &str) -> String {
    SERVER.replace(LOCAL, &format!("{LOCAL}      authorization:{authorization}\n"))
}

fn authorization(text: &str) -> Result<Authorization, String> {
    server(text).map(|mut settings| settings.server.groups.remove(0).authorization)
}

#[test]
fn what_is_emptied_is_not_everybody() {
    for emptied in [
        "",
        " {}",
        " ~",
        " null",
        " {address: []}",
        " {identity: []}",
        " {address: ~}",
        " {address: [10.0.0.0/8], identity: }",
        " {address: , identity: [{address: 10.1.1.1}]}",
        "\n        # address: [10.0.0.0/8]",
        "\n        address:\n          # - 10.0.0.0/8",
        "\n        address: [10.0.0.0/8]\n        identity:\n          # - {fqdn: gm1.example}",
        "\n        address:\n        identity:",
    ] {
        let refused = authorization(&with(emptied)).expect_err(emptied);
        assert!(
            ["ks.yaml:8: ", "ks.yaml:9: ", "ks.yaml:10: "].iter().any(|at| refused.starts_with(at)),
            "{refused}"
        );
    }
    assert!(authorization(&with("")).unwrap_err().contains("`authorization` names nobody"));
    assert_eq!(authorization(SERVER), Ok(Authorization::default()), "left out it is everybody with a key");
}

/// What else means more when it is left out than when it is empty.
#[test]
fn other_emptied_keys_are_not_taken_for_left_out() {
    for (emptied, from) in [
        ("phase1:\n  # - {encryption: aes-256-cbc}\ngroups:\n", "groups:\n"),
        ("state-key-file:\ngroups:\n", "groups:\n"),
        ("    server-local:\n      rekey:\n        # authentication: rekey.pem\n", LOCAL),
        ("    server-local:\n      redundancy:\n        # peers: [192.0.2.11]\n", LOCAL),
    ] {
        let refused = server(&SERVER.replace(from, emptied)).expect_err(emptied);
        assert!(refused.starts_with("ks.yaml:"), "{refused}");
    }
}

#[test]
fn a_name_that_no_key_is_bound_to_is_refused_with_its_line() {
    let text = with("\n        address: [198.51.100.0/24]\n        identity:\n          - {address: 198.51.100.7}\n          \
                     - {fqdn: gm-1.example}");
    let refused = authorization(&text).unwrap_err();
    assert!(refused.starts_with("ks.yaml:12: nothing proves identity gm-1.example"), "{refused}");
    assert!(refused.contains("`pre-shared-keys` the same `identity`"), "{refused}");
    for other in ["fqdn: gm-2.example", "user-fqdn: gm-1.example", "key-id: gm-1.example"] {
        let key = KEY.replace("key:", &format!("identity: {{{other}}}, key:"));
        assert!(authorization(&text.replace(KEY, &key)).is_err(), "{other}");
    }
    let bound = KEY.replace("key:", "identity: {fqdn: gm-1.example}, key:");
    let lists = authorization(&text.replace(KEY, &bound)).unwrap();
    let identities = vec![Identity::Address([198, 51, 100, 7].into()), Identity::Fqdn("gm-1.example".into())];
    assert_eq!(lists, Authorization { addresses: vec!["198.51.100.0/24".parse().unwrap()], identities });
}

#[test]
fn keys_are_bound_to_names() {
    let entry = |identity: &str| KEY.replace("key:", &format!("identity: {identity}, key:"));
    let settings = server(&SERVER.replace(KEY, &entry("{key-id: gm1}"))).unwrap();
    assert_eq!(settings.server.credentials[0].identity, Some(Identity::KeyId(b"gm1".to_vec())));
    assert_eq!(server(SERVER).unwrap().server.credentials[0].identity, None);
    for (identity, reason) in [
        ("{address: 198.51.100.1}", "an address proves itself"),
        ("{}", "exactly one of"),
        ("", "exactly one of"),
        ("{fqdn: a, key-id: a}", "exactly one of"),
    ] {
        let refused = server(&SERVER.replace(KEY, &entry(identity))).unwrap_err();
        assert!(refused.starts_with("ks.yaml:3: ") && refused.contains(reason), "{refused}");
    }
}

#[test]
fn nobody_is_authorized_twice() {
    let refused = |lists: &str| authorization(&with(lists)).unwrap_err();
    assert!(refused(" {address: [10.0.0.0/8, 10.0.0.0/8]}").contains("stands here twice"));
    assert!(refused(" {identity: [{fqdn: a}, {fqdn: a}]}").contains("identity a stands here twice"));
}

#[test]
fn addresses_without_any_key_are_told() {
    let scratch = Scratch::new("strangers");
    let local = "    server-local:\n";
    let lists = "      authorization:\n        address:\n          - 198.51.100.128/25\n          - 203.0.113.0/24\n          - 0.0.0.0/0\n";
    let text = SERVER.replace(local, &format!("{local}{lists}"));
    let warnings = check(&scratch.write("ks.yaml", &text, 0o600)).unwrap();
    let [warning] = &warnings[..] else { panic!("{warnings:?}") };
    let told = "ks.yaml:11: no entry of `pre-shared-keys` is for 203.0.113.0/24: nobody there can register";
    assert!(warning.ends_with(told), "{warning}");
}
