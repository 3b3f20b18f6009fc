//! The rekey part.

use super::*;

#[test]
fn labs_may_have_short_lives() {
    let text = SERVER.replace("3600", "20");
    assert!(server(&text).is_err());
    assert!(server(&format!("{text}lab-timers: false\n")).is_err());
    let settings = server(&format!("{text}lab-timers: true\n")).unwrap();
    assert_eq!(settings.server.groups[0].tek_lifetime, Duration::from_secs(20));
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
    assert!(error.contains("named here cannot be read"), "{error}");
}
