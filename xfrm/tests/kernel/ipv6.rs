//! IPv6 through the same planes.

use std::net::UdpSocket;
use std::time::Duration;

use xfrm::{Desired, Family, Gate, Protection};

use crate::bench::{acl, acl_ipv6, dual, everything, net, permit, plane, protecting, sa, wait_until, Lab};
use crate::capture::in_clear;

const H1: &str = "2001:db8:a1::10";
const H2: &str = "2001:db8:a2::10";

fn protect(lab: &Lab) {
    for member in ["gm1", "gm2"] {
        let planes = vec![dual(member, [acl(), acl_ipv6()].concat())];
        lab.apply(member, &Desired { planes });
    }
}

#[test]
fn both_families_cross_under_their_own_addresses() {
    let Some(lab) = Lab::build() else { return };
    protect(&lab);
    let (capture, ipv6) = (lab.capture(), lab.capture_ipv6());
    for (host, address) in [("h1", H2), ("h2", H1), ("h1", "10.2.2.10"), ("h2", "10.1.1.10")] {
        lab.run(host, &format!("ping -n -c 2 -i 0.2 -W 5 {address}"));
    }
    let (lines, ipv6) = (capture.finish(), ipv6.finish());
    assert_eq!((in_clear(&lines), in_clear(&ipv6)), (vec![], vec![]));
    assert!(ipv6.iter().any(|line| line.contains(&format!("{H1} > {H2}: ESP(spi=0x90000011"))), "{ipv6:?}");
    assert!(ipv6.iter().any(|line| line.contains(&format!("{H2} > {H1}: ESP(spi=0x90000021"))), "{ipv6:?}");
    assert!(lines.iter().any(|line| line.contains("10.1.1.10 > 10.2.2.10: ESP(spi=0x90000010")), "{lines:?}");
    let carried = lab.kernel("gm1", |kernel| kernel.counters().unwrap()).planes[0];
    assert_eq!((carried.encrypted.packets, carried.decrypted.packets), (8, 8));
    for member in ["gm1", "gm2"] {
        let planes = vec![dual(member, [acl(), acl_ipv6()].concat())];
        assert_eq!(lab.apply(member, &Desired { planes }).changes, Vec::<String>::new());
    }
}

#[test]
fn a_shared_key_works_for_ipv6_alone() {
    let Some(lab) = Lab::build() else { return };
    for member in ["gm1", "gm2"] {
        let shared = xfrm::Sa { family: Family::V6, ..sa(7) };
        let gate = protecting(acl_ipv6(), vec![shared.clone()], Some(shared));
        lab.apply(member, &Desired { planes: vec![plane(member, gate)] });
    }
    let capture = lab.capture_ipv6();
    lab.run("h1", &format!("ping -n -c 1 -W 5 {H2}"));
    lab.run("gm1", "ping -n -c 1 -W 5 -I 2001:db8:a1::1 2001:db8:a2::1");
    let lines = capture.finish();
    assert_eq!((lines.len(), in_clear(&lines).len()), (4, 0), "{lines:?}");
    assert!(lab.reaches("h1", "10.2.2.10"));
}

#[test]
fn what_is_too_long_is_answered_and_fragments_of_the_host_arrive() {
    let Some(lab) = Lab::build() else { return };
    protect(&lab);
    let capture = lab.capture_ipv6();
    let (success, text) = lab.attempt("h1", &format!("ping -n -M do -c 1 -W 1 -s 1400 {H2}"));
    assert!(!success && text.contains("mtu=1426"), "{text}");
    lab.run("h1", &format!("ping -n -M do -c 1 -W 5 -s 1378 {H2}"));
    // The first answer of h2 tells it the path's MTU.
    lab.attempt("h1", &format!("ping -n -c 1 -W 1 -s 3000 {H2}"));
    for (from, to, address) in [("h1", "h2", H2), ("h2", "h1", H1)] {
        let receiver = lab.within(to, move || UdpSocket::bind((address, 5000)).unwrap());
        receiver.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
        let datagram: Vec<u8> = (0..5000u32).map(|number| number as u8).collect();
        let sent = datagram.clone();
        lab.within(from, move || UdpSocket::bind("[::]:0").unwrap().send_to(&sent, (address, 5000)).unwrap());
        let mut received = [0; 6000];
        let length = receiver.recv(&mut received).unwrap();
        assert!(received[..length] == datagram[..]);
    }
    let mut server = lab.start("h2", "iperf3 -s");
    wait_until("iperf3 listens", || lab.attempt("h2", "ss -ltn | grep -q :5201").0);
    for direction in ["", "-R"] {
        lab.run("h1", &format!("iperf3 -c {H2} -t 1 -i 0 {direction}"));
    }
    server.kill().unwrap();
    server.wait().unwrap();
    assert_eq!(in_clear(&capture.finish()), Vec::<&String>::new());
    let carried = lab.kernel("gm1", |kernel| kernel.counters().unwrap()).planes[0];
    assert_eq!(carried.unrestored.packets, 0);
}

#[test]
fn nothing_protected_passes_in_clear() {
    let Some(lab) = Lab::build() else { return };
    let blocking = Protection { acl: acl_ipv6(), ..Default::default() };
    lab.apply("gm1", &Desired { planes: vec![plane("gm1", Gate::Protect(blocking))] });
    let capture = lab.capture_ipv6();
    assert!(!lab.reaches("h1", H2) && !lab.reaches("h2", H1));
    lab.run("gm1", "ip xfrm policy flush");
    assert!(!lab.reaches("h1", H2));
    // Seen from gm2, which protects nothing: its request comes in and is refused.
    let lines = capture.finish();
    assert!(lines.iter().all(|line| line.contains(&format!("{H2} > {H1}"))), "{lines:?}");
    let carried = lab.kernel("gm1", |kernel| kernel.counters().unwrap()).planes[0];
    assert_eq!((carried.blocked_out.packets, carried.blocked_in.packets), (1, 1));
    assert!(lab.reaches("h1", "2001:db8:c2::10"));
}

#[test]
fn a_closed_gate_and_an_entry_that_names_everything_leave_the_link_working() {
    let Some(lab) = Lab::build() else { return };
    let any = vec![permit(net("::/0"), net("::/0"))];
    for gate in [Gate::Closed, dual("gm1", [everything(), any].concat()).gate] {
        let mut wish = plane("gm1", gate);
        wish.servers = vec!["[2001:db8:1::2]:848".parse().unwrap()];
        lab.apply("gm1", &Desired { planes: vec![wish] });
        lab.run("gm1", "ip -6 neigh flush dev wan; ip -6 neigh flush dev wan");
        assert!(!lab.reaches("gm1", "2001:db8:1::2") && !lab.reaches("core", "2001:db8:1::1"));
        assert!(speaks_gdoi(&lab));
        let neighbours = lab.run("gm1", "ip -6 neigh show dev wan");
        assert!(neighbours.contains("2001:db8:1::2 lladdr"), "{neighbours}");
    }
}

/// Whether a datagram from gm1's port of GDOI is answered by the core's.
fn speaks_gdoi(lab: &Lab) -> bool {
    let there = lab.within("core", || UdpSocket::bind("[2001:db8:1::2]:848").unwrap());
    let here = lab.within("gm1", || UdpSocket::bind("[2001:db8:1::1]:848").unwrap());
    for socket in [&there, &here] {
        socket.set_read_timeout(Some(Duration::from_millis(1500))).unwrap();
    }
    let mut buffer = [0; 16];
    if here.send_to(b"hello", "[2001:db8:1::2]:848").is_err() {
        return false;
    }
    let Ok((length, from)) = there.recv_from(&mut buffer) else { return false };
    there.send_to(&buffer[..length], from).unwrap();
    here.recv(&mut buffer).is_ok_and(|length| &buffer[..length] == b"hello")
}
