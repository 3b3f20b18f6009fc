//! Applying again: nothing to do, or exactly what somebody else undid.

use xfrm::{Desired, Gate, Problem};

use crate::bench::{acl, plane, protect, protecting, sa, Lab};

#[test]
fn the_second_time_does_nothing() {
    let Some(lab) = Lab::build() else { return };
    for desired in [protect("gm1", &[1, 2]), Desired { planes: vec![plane("gm1", Gate::Closed)] }] {
        assert_ne!(lab.apply("gm1", &desired).changes, Vec::<String>::new());
        assert_eq!(lab.apply("gm1", &desired).changes, Vec::<String>::new());
    }
}

#[test]
fn counters_survive_another_text() {
    let Some(lab) = Lab::build() else { return };
    lab.protect(&[1]);
    assert!(lab.reaches("h1", "10.2.2.10"));
    lab.protect(&[1, 2]);
    assert!(lab.reaches("h1", "10.2.2.10"));
    let carried = lab.kernel("gm1", |kernel| kernel.counters().unwrap()).planes[0];
    assert_eq!((carried.encrypted.packets, carried.decrypted.packets), (2, 2));
}

#[test]
fn removing_all_leaves_nothing() {
    let Some(lab) = Lab::build() else { return };
    let before = everything(&lab);
    lab.apply("gm1", &protect("gm1", &[1]));
    assert_ne!(everything(&lab), before);
    lab.kernel("gm1", |kernel| kernel.remove_all().unwrap());
    assert_eq!(everything(&lab), before);
    assert!(lab.kernel("gm1", |kernel| kernel.installed().unwrap()).is_empty());
    assert!(lab.reaches("h1", "10.2.2.10"));
}

fn everything(lab: &Lab) -> String {
    lab.run("gm1", "ip xfrm state; ip xfrm policy; ip -4 route show table all; ip rule; nft list ruleset")
}

#[test]
fn every_change_by_hand_is_repaired() {
    let Some(lab) = Lab::build() else { return };
    let desired = protect("gm1", &[1]);
    lab.protect(&[1]);
    let changes = [
        "ip xfrm state flush",
        "ip xfrm policy flush",
        "ip xfrm state delete dst 192.0.0.85 proto esp spi 0x84800001",
        "ip xfrm policy update dir out src 10.0.0.0/8 dst 10.0.0.0/8 dev wan action block",
        "ip xfrm policy update dir fwd src 10.0.0.0/8 dst 10.0.0.0/8 action allow",
        "ip xfrm state add src 0.0.0.0 dst 192.0.0.84 proto esp spi 0x1234 mode tunnel enc 'cbc(aes)' 0x00112233445566778899aabbccddeeff auth 'hmac(sha256)' 0x00",
        "ip route del 192.0.0.85/32",
        "ip route replace 192.0.0.85/32 dev lan",
        "ip route del local 192.0.0.84/32 dev lo table local",
        "nft flush ruleset",
        "nft flush table inet gdoi",
        "nft flush chain inet gdoi hold_out_0",
        "nft add rule inet gdoi hold_out_0 accept",
        "nft add chain inet gdoi mine",
        "nft insert rule inet gdoi hold_in_0 counter accept",
        "ip link set wan down; ip link set wan up; ip route replace default via 192.0.2.2",
        "ip xfrm state flush; ip xfrm policy flush; nft flush ruleset; ip route del 192.0.0.85/32",
    ];
    for change in changes {
        lab.run("gm1", change);
        let report = lab.apply("gm1", &desired);
        assert_ne!(report.changes, Vec::<String>::new(), "not noticed: {change}");
        assert_eq!(lab.apply("gm1", &desired).changes, Vec::<String>::new(), "not settled: {change}");
        assert!(lab.reaches("h1", "10.2.2.10"), "not repaired: {change}: {:?}", report.changes);
    }
}

#[test]
fn a_key_that_changed_under_the_same_spi_is_replaced() {
    let Some(lab) = Lab::build() else { return };
    lab.protect(&[1]);
    for member in ["gm1", "gm2"] {
        let one = xfrm::Sa { spi: sa(1).spi, ..sa(2) };
        let gate = protecting(acl(), vec![one.clone()], Some(one));
        let report = lab.apply(member, &Desired { planes: vec![plane(member, gate)] });
        assert_eq!(report.changes.len(), 4, "{:?}", report.changes);
    }
    assert!(lab.reaches("h1", "10.2.2.10"));
}

#[test]
fn what_belongs_to_others_is_left_alone() {
    let Some(lab) = Lab::build() else { return };
    lab.run(
        "gm1",
        "ip xfrm state add src 192.0.2.1 dst 198.51.100.9 proto esp spi 0x1000 reqid 9 mode tunnel \
           enc 'cbc(aes)' 0x00112233445566778899aabbccddeeff auth 'hmac(sha256)' 0x00
         ip xfrm policy add dir out src 10.1.1.0/24 dst 10.9.0.0/16 priority 300000 \
           tmpl src 192.0.2.1 dst 198.51.100.9 proto esp reqid 9 mode tunnel
         ip route add 192.0.0.9/32 dev wan
         nft 'add table inet mine; add chain inet mine c { type filter hook forward priority 0; }'",
    );
    let before = everything(&lab);
    lab.apply("gm1", &protect("gm1", &[1]));
    lab.apply("gm1", &protect("gm1", &[2]));
    lab.kernel("gm1", |kernel| kernel.remove_all().unwrap());
    assert_eq!(everything(&lab), before);
}

#[test]
fn a_policy_of_somebody_else_in_our_place_is_named() {
    let Some(lab) = Lab::build() else { return };
    lab.run("gm1", "ip xfrm policy add dir out src 10.0.0.0/8 dst 10.0.0.0/8 dev wan");
    let error = lab.kernel("gm1", |kernel| kernel.apply(&protect("gm1", &[1])).unwrap_err().to_string());
    assert!(error.contains("policy out ip 10.0.0.0/8 10.0.0.0/8"), "{error}");
}

#[test]
fn a_missing_interface_is_named_and_protected_as_soon_as_it_comes() {
    let Some(lab) = Lab::build() else { return };
    lab.apply("gm2", &protect("gm2", &[1]));
    lab.run("gm1", "ip link set wan down; ip link set wan name away");
    let problems =
        |lab: &Lab| lab.kernel("gm1", |kernel| kernel.apply(&protect("gm1", &[1])).unwrap()).problems;
    assert_eq!(problems(&lab), ["interface wan does not exist"]);
    lab.run("gm1", "ip link set away name wan");
    assert_eq!(problems(&lab), ["interface wan is down"]);
    lab.run("gm1", "ip link set wan up; ip route add default via 192.0.2.2");
    assert_eq!(problems(&lab), Vec::<String>::new());
    assert!(lab.reaches("h1", "10.2.2.10"));
    lab.run("gm1", "ip addr flush dev wan; ip addr add 192.0.2.3/31 dev wan");
    assert_eq!(problems(&lab), ["interface wan: 192.0.2.1 is not an address of this router"]);
}

#[test]
fn a_new_wan_address_does_not_disturb_the_data_plane() {
    let Some(lab) = Lab::build() else { return };
    lab.protect(&[1]);
    lab.run("core", "ip addr add 192.0.2.9/29 dev p1; ip route replace 10.1.1.0/24 via 192.0.2.10");
    lab.run(
        "gm1",
        "ip addr flush dev wan; ip addr add 192.0.2.10/29 dev wan; ip route replace default via 192.0.2.9",
    );
    assert!(lab.reaches("h1", "10.2.2.10"));
}

#[test]
fn preflight_finds_this_kernel_good_and_names_a_setting() {
    let Some(lab) = Lab::build() else { return };
    let fatal = |problem: &Problem| matches!(problem, Problem::Fatal(_));
    assert!(!lab.within("gm1", || xfrm::preflight(xfrm::Uses::default())).iter().any(fatal));
    let at_host: Vec<_> =
        lab.within("h1", || xfrm::preflight(xfrm::Uses::default())).iter().map(ToString::to_string).collect();
    assert!(at_host.iter().any(|line| line.contains("ip_forward")), "{at_host:?}");
    assert_eq!(lab.run("gm1", "ip xfrm state; nft list ruleset"), "");
}

/// Who applied before has the table in mind, and looks again only when nftables has changed.
#[test]
fn a_table_changed_by_hand_is_noticed_by_who_wrote_it() {
    let Some(lab) = Lab::build() else { return };
    let desired = protect("gm1", &[1]);
    let changes = lab.kernel("gm1", move |kernel| {
        let mut apply = || kernel.apply(&desired).unwrap().changes;
        let nft = |words: &[&str]| {
            assert!(std::process::Command::new("nft").args(words).status().unwrap().success());
        };
        assert!(!apply().is_empty() && apply().is_empty());
        nft(&["add", "rule", "inet", "gdoi", "hold_out_0", "accept"]);
        let rule = apply();
        nft(&["add", "table", "ip", "foreign"]);
        let foreign = apply();
        nft(&["flush", "ruleset"]);
        [rule, foreign, apply(), apply()]
    });
    assert_eq!(
        changes.map(|changes| changes.iter().any(|one| one.contains("write table"))),
        [true, false, true, false]
    );
}
