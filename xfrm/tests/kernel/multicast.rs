//! Multicast data from a host behind one member to a host behind another.

use std::process::Child;

use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;
use xfrm::{Desired, Family, Gate, Lane, Protection, Sa};

use crate::bench::{acl_ipv6, dual, net, permit, plane, sa, wait_until, Lab};
use crate::capture::in_clear;

/// Static multicast routes in a namespace, until it is dropped.
struct Routes(Child);

impl Routes {
    fn set(lab: &Lab, host: &str, interfaces: &[&str], routes: &[&str]) -> Self {
        let enabled = interfaces.iter().map(|name| format!("phyint {name} enable\n")).collect::<String>();
        let file = format!("/tmp/{}.smcroute", lab.name(host));
        std::fs::write(&file, format!("{enabled}{}\n", routes.join("\n"))).unwrap();
        let child = lab.start(
            host,
            &format!("smcrouted -N -n -f {file} -i {} -P {file}.pid -u {file}.sock", lab.name(host)),
        );
        wait_until("multicast routes", || {
            let held = lab.run(host, "ip -4 mroute; ip -6 mroute");
            held.lines().filter(|line| line.contains("Oifs")).count() == routes.len()
        });
        Self(child)
    }
}

impl Drop for Routes {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.0.id() as i32), Signal::SIGTERM);
        let _ = self.0.wait();
    }
}

const V4: &str = "group 239.1.1.1 source 10.1.1.10";
const V6: &str = "group ff0e::1234 source 2001:db8:a1::10";

fn protect(lab: &Lab) {
    let acl = vec![
        permit(net("10.0.0.0/8"), net("239.0.0.0/8")),
        permit(net("2001:db8:a0::/44"), net("ff0e::/16")),
    ];
    for member in ["gm1", "gm2"] {
        lab.apply(member, &Desired { planes: vec![dual(member, acl.clone())] });
    }
}

fn onward(lab: &Lab) -> [Routes; 2] {
    let from_to = |from: &str, to: &str| [V4, V6].map(|flow| format!("mroute from {from} {flow} to {to}"));
    let core = from_to("p1", "p2");
    let gm2 = from_to("wan", "lan");
    [
        Routes::set(lab, "core", &["p1", "p2"], &core.each_ref().map(String::as_str)),
        Routes::set(lab, "gm2", &["wan", "lan"], &gm2.each_ref().map(String::as_str)),
    ]
}

fn send(lab: &Lab) {
    lab.run("h1", "ip addr del 2001:db8:c1::10/64 dev eth0");
    lab.attempt("h1", "ping -n -c 2 -i 0.2 -t 5 -W 1 -I eth0 239.1.1.1");
    lab.attempt("h1", "ping -n -c 1 -t 5 -W 1 -s 3000 -M dont -I eth0 239.1.1.1");
    lab.attempt("h1", "ping -n -c 2 -i 0.2 -t 5 -W 1 -I eth0 ff0e::1234");
}

#[test]
fn multicast_crosses_encrypted_in_both_families() {
    let Some(lab) = Lab::build() else { return };
    protect(&lab);
    let _onward = onward(&lab);
    let (v4, v6) = (format!("mroute from lan {V4} to wan"), format!("mroute from lan {V6} to gdoi0"));
    let _routes = Routes::set(&lab, "gm1", &["lan", "wan", "gdoi0"], &[&v4, &v6]);
    let wire = lab.capture_at("core", "p1", "-v 'host 239.1.1.1 or host ff0e::1234'");
    let arrival = lab.capture_at("h2", "eth0", "-v 'host 239.1.1.1 or host ff0e::1234'");
    send(&lab);
    let (wire, arrival) = (wire.finish(), arrival.finish());
    let clear: Vec<_> = in_clear(&wire).into_iter().filter(|line| !line.contains("offset")).collect();
    assert_eq!(clear, Vec::<&String>::new());
    let count = |flow: &str| wire.iter().filter(|line| line.contains(flow)).count();
    assert_eq!(count("2001:db8:a1::10 > ff0e::1234: ESP(spi=0x90000013"), 2, "{wire:?}");
    assert!(count("10.1.1.10 > 239.1.1.1: ESP(spi=0x90000010") >= 3, "{wire:?}");
    let echoes = |flow: &str| arrival.iter().filter(|line| line.contains(flow)).count();
    assert_eq!(echoes("2001:db8:a1::10 > ff0e::1234: "), 2, "{arrival:?}");
    assert!(echoes("10.1.1.10 > 239.1.1.1: ") >= 3, "{arrival:?}");
    let carried = lab.kernel("gm1", |kernel| kernel.counters().unwrap()).planes[0];
    assert_eq!((carried.unrestored.packets, carried.blocked_out.packets), (0, 0));
}

/// One key and one SPI for unicast and multicast: two states, that only their anchors tell apart.
#[test]
fn ipv6_multicast_crosses_under_the_key_that_unicast_has() {
    let Some(lab) = Lab::build() else { return };
    let shared = |lane| Sa { family: Family::V6, lane, ..sa(7) };
    let protection = Protection {
        acl: vec![permit(net("2001:db8:a0::/44"), net("ff0e::/16")), acl_ipv6()[0]],
        inbound: vec![shared(Lane::Unicast)],
        outbound: vec![shared(Lane::Unicast), shared(Lane::Multicast)],
        ..Default::default()
    };
    for member in ["gm1", "gm2"] {
        let desired = Desired { planes: vec![plane(member, Gate::Protect(protection.clone()))] };
        lab.apply(member, &desired);
        assert_eq!(lab.apply(member, &desired).changes, Vec::<String>::new());
    }
    let _onward = onward(&lab);
    let _routes = Routes::set(&lab, "gm1", &["lan", "gdoi0"], &[&format!("mroute from lan {V6} to gdoi0")]);
    let wire = lab.capture_at("core", "p1", "-v 'host ff0e::1234'");
    let arrival = lab.capture_at("h2", "eth0", "-v 'host ff0e::1234'");
    send(&lab);
    let (wire, arrival) = (wire.finish(), arrival.finish());
    assert_eq!((wire.len(), in_clear(&wire).len()), (2, 0), "{wire:?}");
    assert!(wire[0].contains("2001:db8:a1::10 > ff0e::1234: ESP(spi=0x84800007"), "{wire:?}");
    assert_eq!(arrival.len(), 2, "{arrival:?}");
    assert!(lab.reaches("h1", "2001:db8:a2::10"));
    lab.kernel("gm1", |kernel| kernel.remove_all().unwrap());
    assert_eq!(lab.run("gm1", "ip xfrm state; ip -6 route show table all | grep 848 || true"), "");
}

#[test]
fn ipv6_multicast_that_is_routed_past_the_xfrm_interface_is_dropped() {
    let Some(lab) = Lab::build() else { return };
    protect(&lab);
    let v6 = format!("mroute from lan {V6} to wan");
    let _routes = Routes::set(&lab, "gm1", &["lan", "wan"], &[&v6]);
    let wire = lab.capture_at("core", "p1", "-v 'host ff0e::1234'");
    send(&lab);
    assert_eq!(wire.finish(), Vec::<String>::new());
    let carried = lab.kernel("gm1", |kernel| kernel.counters().unwrap()).planes[0];
    assert_eq!(carried.blocked_out.packets, 2);
}

#[test]
fn the_xfrm_interface_comes_goes_and_is_repaired_with_the_plane() {
    let Some(lab) = Lab::build() else { return };
    protect(&lab);
    let shown = || lab.run("gm1", "ip -d link show gdoi0");
    assert!(shown().contains("mtu 1426") && shown().contains("if_id 0x14b40"), "{}", shown());
    for change in ["ip link set gdoi0 down", "ip link set gdoi0 mtu 1300", "ip link del gdoi0"] {
        lab.run("gm1", change);
        protect(&lab);
        assert!(shown().contains("mtu 1426") && shown().contains(",UP"), "{change}: {}", shown());
    }
    lab.apply("gm1", &Desired { planes: vec![dual("gm1", crate::bench::acl())] });
    assert!(!lab.attempt("gm1", "ip link show gdoi0").0);
    protect(&lab);
    lab.kernel("gm1", |kernel| kernel.remove_all().unwrap());
    assert!(!lab.attempt("gm1", "ip link show gdoi0").0);
    assert_eq!(
        lab.run("gm1", "ip xfrm policy; ip xfrm state; ip -6 route show table all | grep 848 || true"),
        ""
    );
}
