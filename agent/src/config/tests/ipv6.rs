//! Key servers and members with IPv6 addresses.

use super::*;
use std::net::IpAddr;

fn member(servers: &str, rest: &str) -> Result<MemberSettings, String> {
    let text = format!(
        "groups:\n  - name: a\n    identity-number: 1\n    interfaces: [wan0]\n    pre-shared-key: \"only for tests\"\n    servers: {servers}\n{rest}"
    );
    let mut source = Source::from_text(Path::new("gm.yaml"), text);
    let file: MemberFile = source.parse().map_err(|error: ConfigError| error.to_string())?;
    file.settle(&mut source).map_err(|error| error.to_string())
}

fn key_server(address: &str, group: &str) -> Result<KeyServerSettings, String> {
    let text = format!(
        "address: {address}\npre-shared-keys:\n  - {{address: 2001:db8::/32, key: \"only for tests\"}}\n  - {{address: 192.0.2.2, key: \"only for servers\"}}\ngroups:\n  - name: a\n    identity-number: 1\n    server-local:\n      authorization: {{address: [2001:db8:1::/48, 198.51.100.0/24]}}\n      sa-ipsec: {{match-address: [permit ip any any]}}\n{group}"
    );
    let mut source = Source::from_text(Path::new("ks.yaml"), text);
    let file: KeyServerFile = source.parse().map_err(|error: ConfigError| error.to_string())?;
    file.settle(&mut source).map_err(|error| error.to_string())
}

#[test]
fn members_ask_servers_of_one_family() {
    let settings =
        member("[2001:db8::10, {address: 2001:db8::11, port: 1848}]", "    local-address: 2001:db8:1::1\n");
    let (group, _) = &settings.unwrap().groups[0];
    assert_eq!(
        group.servers,
        ["[2001:db8::10]:848", "[2001:db8::11]:1848"].map(|text| text.parse().unwrap())
    );
    assert_eq!(group.local_address, "2001:db8:1::1".parse().ok());
    let both = "gm.yaml:7: 192.0.2.10 and server 2001:db8::10: all groups of a VRF share one socket";
    assert!(member("\n      - 2001:db8::10\n      - 192.0.2.10\n", "")
        .unwrap_err()
        .replace(":8:", ":7:")
        .starts_with(both));
    let local = member("[192.0.2.10]", "    local-address: 2001:db8:1::1\n").unwrap_err();
    assert!(local.starts_with("gm.yaml:7: 2001:db8:1::1 and server 192.0.2.10: "), "{local}");
}

#[test]
fn groups_of_different_vrfs_share_nothing() {
    let second = |vrf: &str| {
        format!(
            "    vrf: red\n  - {{name: b, identity-number: 2, interfaces: [wan1], pre-shared-key: \"only for tests\", \
             servers: [192.0.2.10], local-address: 198.51.100.1{vrf}}}\n"
        )
    };
    let groups = member("[2001:db8::10]", &second(", vrf: blue")).unwrap().groups;
    let vrfs: Vec<_> = groups.iter().map(|(group, _)| group.vrf.as_ref().map(ToString::to_string)).collect();
    assert_eq!(vrfs, [Some("red".to_owned()), Some("blue".to_owned())]);
    assert_eq!(member("[2001:db8::10]", &second("")).unwrap().groups[1].0.vrf, None);
    let one = member("[2001:db8::10]", &second(", vrf: red")).unwrap_err();
    assert!(
        one.contains("share one socket, so their local-address must be the same, or their vrf differ"),
        "{one}"
    );
    let no_name = member("[2001:db8::10]", "    vrf: no/name\n").unwrap_err();
    assert!(no_name.contains("is no interface name"), "{no_name}");
}

#[test]
fn addresses_that_cannot_be_spoken_to_are_refused() {
    for (address, reason) in [
        ("\"::\"", "is not the address of one host"),
        ("ff15::1", "is not the address of one host"),
        ("\"::ffff:192.0.2.1\"", "is not the address of one host"),
        ("fe80::1", "fe80::1 holds on one link only"),
        ("2001:db8::x", "this is no IP address"),
    ] {
        let refused = member(&format!("[{address}]"), "").unwrap_err();
        assert!(refused.starts_with("gm.yaml:6: ") && refused.contains(reason), "{refused}");
    }
}

#[test]
fn key_servers_have_keys_and_lists_of_both_families() {
    let server = key_server("2001:db8::10", "").unwrap().server;
    let own: IpAddr = "2001:db8::10".parse().unwrap();
    assert_eq!((server.address.ip(), server.identity), (own, gdoi::policy::Identity::Address(own)));
    assert_eq!(server.credentials[0].peers.to_string(), "2001:db8::/32");
    let listed: Vec<_> = server.groups[0].authorization.addresses.iter().map(ToString::to_string).collect();
    assert_eq!(listed, ["2001:db8:1::/48", "198.51.100.0/24"]);
}

#[test]
fn what_a_server_sends_to_is_of_its_family() {
    let peer = |peer: &str| {
        key_server(
            "2001:db8::10",
            &format!("      rekey: {{authentication: x}}\n      redundancy: {{peers: [{peer}]}}\n"),
        )
    };
    let refused = peer("192.0.2.2").unwrap_err();
    assert!(
        refused.contains("ks.yaml:12: 192.0.2.2 is of IPv4, this key server's `address` is not"),
        "{refused}"
    );
    let group = |group: &str| {
        key_server(
            "2001:db8::10",
            &format!("      rekey: {{authentication: x, transport: multicast, address: {group}}}\n"),
        )
    };
    let refused = group("239.1.1.1").unwrap_err();
    assert!(
        refused.contains("ks.yaml:11: 239.1.1.1 is of IPv4, this key server's `address` is not"),
        "{refused}"
    );
    for (address, reason) in [
        ("ff02::1", "ff02::1 is for the routing protocols of one link, take one of 239.0.0.0/8 or ff15::/16"),
        ("2001:db8::1", "2001:db8::1 is no multicast group"),
    ] {
        let refused = group(address).unwrap_err();
        assert!(refused.starts_with("ks.yaml:11: ") && refused.contains(reason), "{refused}");
    }
    assert!(
        group("ff15::848").unwrap_err().contains("named here cannot be read"),
        "only the signing key is missing"
    );
}
