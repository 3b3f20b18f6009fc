//! How long packets may be.

use std::process::Child;

use xfrm::{Ace, Desired, Family, PathMtu, Plane, Prefix};

use crate::bench::{acl, acl_ipv6, dual, net, permit, wait_until, Lab};

fn protect(lab: &Lab, change: fn(&mut Plane)) {
    protect_by(lab, &[acl(), acl_ipv6()].concat(), change);
}

fn protect_by(lab: &Lab, acl: &[Ace], change: fn(&mut Plane)) {
    for member in ["gm1", "gm2"] {
        let mut wish = dual(member, acl.into());
        change(&mut wish);
        let planes = vec![wish];
        lab.apply(member, &Desired { planes: planes.clone() });
        assert_eq!(lab.apply(member, &Desired { planes }).changes, Vec::<String>::new());
    }
}

#[test]
fn the_mtu_of_the_path_is_told_to_hosts_and_longer_packets_without_df_arrive() {
    let Some(lab) = Lab::build() else { return };
    lab.run(
        "core",
        "ip route replace 10.1.1.0/24 via 192.0.2.1 mtu lock 1300
         ip route replace 10.2.2.0/24 via 198.51.100.1 mtu lock 1300
         ip route replace 2001:db8:a1::/64 via 2001:db8:1::1 mtu lock 1300
         ip route replace 2001:db8:a2::/64 via 2001:db8:2::1 mtu lock 1300",
    );
    protect(&lab, |plane| plane.path_mtu = PathMtu { v4: Some(1300), v6: Some(1300) });
    let (success, text) = lab.attempt("h1", "ping -n -M do -c 1 -W 1 -s 1300 10.2.2.10");
    assert!(!success && text.contains("mtu = 1246"), "{text}");
    lab.run("h1", "ping -n -M do -c 1 -W 5 -s 1218 10.2.2.10");
    let (success, text) = lab.attempt("h1", "ping -n -M do -c 1 -W 1 -s 1300 2001:db8:a2::10");
    assert!(!success && text.contains("mtu="), "{text}");
    for size in [1219, 1300, 1400, 3000] {
        lab.run("h1", &format!("ping -n -M dont -c 1 -W 5 -s {size} 10.2.2.10"));
    }
    let carried = lab.kernel("gm1", |kernel| kernel.counters().unwrap()).planes[0];
    assert_eq!((carried.unrestored.packets, carried.oversize.packets), (0, 4));
}

fn received(lab: &Lab, file: &str, name: &str) -> u64 {
    let text = lab.run("gm1", &format!("cat {file}"));
    if file.ends_with('6') {
        let line = text.lines().find(|line| line.split_whitespace().next() == Some(name)).unwrap();
        return line.split_whitespace().nth(1).unwrap().parse().unwrap();
    }
    let mut lines = text.lines().filter(|line| line.starts_with("Icmp:"));
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let column = names.split_whitespace().position(|word| word == name).unwrap();
    values.split_whitespace().nth(column).unwrap().parse().unwrap()
}

/// The core is narrower than the members think. It tells the host, which has sent no ESP.
#[test]
fn a_core_that_finds_esp_too_big_is_heard_by_the_member() {
    let Some(lab) = Lab::build() else { return };
    let everything = Family::ALL.map(|family| permit(Prefix::any(family), Prefix::any(family)));
    for acl in [[acl(), acl_ipv6()].concat(), everything.into()] {
        protect_by(&lab, &acl, |_| {});
        hears_of_too_big(&lab);
    }
    // About packets that nobody here has sent as ESP the host hears itself.
    protect(&lab, |_| {});
    let (_, text) = lab.attempt("h1", "ping -n -M do -c 1 -W 1 -s 1400 172.16.2.10");
    assert!(text.contains("mtu = 1300"), "{text}");
}

fn hears_of_too_big(lab: &Lab) {
    lab.run("core", "ip link set p2 mtu 1300");
    let heard = || {
        let v4 = received(lab, "/proc/self/net/snmp", "InDestUnreachs");
        (v4, received(lab, "/proc/self/net/snmp6", "Icmp6InPktTooBigs"))
    };
    let (v4, v6) = heard();
    lab.attempt("h1", "ping -n -M do -c 1 -W 1 -s 1300 10.2.2.10");
    lab.attempt("h1", "ping -n -M do -c 1 -W 1 -s 1300 2001:db8:a2::10");
    assert_eq!(heard(), (v4 + 1, v6 + 1));
}

fn serve(lab: &Lab) -> Child {
    let server = lab.start("h2", "iperf3 -s");
    wait_until("iperf3 listens", || lab.attempt("h2", "ss -ltn | grep -q :5201").0);
    server
}

#[test]
fn segments_are_clamped_in_protected_traffic_only() {
    let Some(lab) = Lab::build() else { return };
    protect(&lab, |plane| plane.mss = Some(1200));
    let mut server = serve(&lab);
    let here = lab.capture_at("h1", "eth0", "-v 'tcp[tcpflags] & tcp-syn != 0 or ip6[53] & 2 != 0'");
    let there = lab.capture_at("h2", "eth0", "-v 'tcp[tcpflags] & tcp-syn != 0 or ip6[53] & 2 != 0'");
    lab.run("h1", "iperf3 -c 10.2.2.10 -n 20K");
    lab.run("h1", "iperf3 -c 172.16.2.10 -B 172.16.1.10 -n 20K");
    lab.run("h1", "iperf3 -c 2001:db8:a2::10 -n 20K");
    server.kill().unwrap();
    server.wait().unwrap();
    let (here, there) = (here.finish(), there.finish());
    let clamped = |lines: &[String], from: &str| {
        let mut syns = lines.iter().filter(|line| line.contains(&format!("{from}.")) && line.contains("[S"));
        let syns = syns
            .by_ref()
            .filter(|line| line.contains(&format!("{from}.")) && !line.contains(&format!("> {from}.")));
        syns.map(|line| line.contains("mss 1200")).collect::<Vec<_>>()
    };
    for (lines, from, expected) in [
        (&there, "10.1.1.10", true),
        (&here, "10.2.2.10", true),
        (&there, "2001:db8:a1::10", true),
        (&here, "2001:db8:a2::10", true),
        (&there, "172.16.1.10", false),
        (&here, "172.16.2.10", false),
    ] {
        let found = clamped(lines, from);
        assert!(!found.is_empty() && found.iter().all(|one| *one == expected), "{from}: {lines:?}");
    }
}

#[test]
fn the_mtu_of_one_family_alone_is_set_and_taken_back() {
    let Some(lab) = Lab::build() else { return };
    let mut wish = dual("gm1", vec![permit(net("10.0.0.0/8"), net("10.0.0.0/8"))]);
    wish.path_mtu.v4 = Some(1400);
    lab.apply("gm1", &Desired { planes: vec![wish.clone()] });
    let shown = || lab.run("gm1", "ip route show 192.0.0.85");
    assert!(shown().contains("mtu lock 1400"), "{}", shown());
    wish.path_mtu.v4 = None;
    lab.apply("gm1", &Desired { planes: vec![wish] });
    assert!(!shown().contains("mtu"), "{}", shown());
}
