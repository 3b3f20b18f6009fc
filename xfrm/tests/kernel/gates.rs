//! What a plane holds back, and for how long.

use std::net::{SocketAddrV4, UdpSocket};
use std::time::Duration;

use xfrm::{Desired, Gate, Kernel, Mode, Plane, Slot};

use crate::bench::{acl, everything, plane, protect, protecting, sa, wait_until, Lab};
use crate::capture::in_clear;

#[test]
fn a_closed_gate_passes_only_gdoi_and_the_local_deny_list() {
    let Some(lab) = Lab::build() else { return };
    let mut closed = plane("gm1", Gate::Closed);
    closed.servers = vec!["192.0.2.2:848".parse().unwrap()];
    closed.clear =
        ["tcp 172.16.0.0/12 any", "tcp any 172.16.0.0/12"].map(|text| text.parse().unwrap()).into();
    lab.apply("gm1", &Desired { planes: vec![closed] });
    let capture = lab.capture();
    for (host, address) in [
        ("h1", "10.2.2.10"),
        ("h1", "172.16.2.10"),
        ("h2", "172.16.1.10"),
        ("gm1", "192.0.2.2"),
        ("core", "192.0.2.1"),
    ] {
        assert!(!lab.reaches(host, address), "{host} reaches {address}");
    }
    assert!(speaks_gdoi(&lab, "192.0.2.2:848"));
    assert!(!speaks_gdoi(&lab, "192.0.2.2:849"));
    assert!(!speaks_gdoi(&lab, "198.51.100.2:848"));
    let mut server = lab.start("h2", "iperf3 -s -1");
    wait_until("iperf3 listens", || lab.attempt("h2", "ss -ltn | grep -q :5201").0);
    lab.run("h1", "iperf3 -c 172.16.2.10 -B 172.16.1.10 -n 20K");
    server.wait().unwrap();
    let lines = capture.finish();
    let passed =
        |line: &String| line.contains("proto TCP (6)") || line.contains(".848:") || line.contains(".848 >");
    let held: Vec<_> =
        lines.iter().filter(|line| !passed(line) && !line.contains("192.0.2.2 > 192.0.2.1: ICMP")).collect();
    // The two pings towards gm1 are the core's own and stop at gm1's door.
    assert!(held.iter().all(|line| line.contains("172.16.2.10 > 172.16.1.10: ICMP")), "{held:?}");
    assert_eq!(lab.run("gm1", "ip xfrm state"), "");
}

/// A closed plane of gm1 whose local list has telnet.
fn closed() -> Plane {
    let telnet = "tcp any any eq 23".parse().unwrap();
    let servers = vec!["192.0.2.2:848".parse().unwrap(), "[2001:db8:1::2]:848".parse().unwrap()];
    Plane { servers, clear: vec![telnet], ..plane("gm1", Gate::Closed) }
}

#[test]
fn a_closed_gate_holds_without_its_table() {
    let Some(lab) = Lab::build() else { return };
    lab.apply("gm1", &Desired { planes: vec![closed()] });
    lab.run("gm1", "nft flush ruleset; ip -6 neigh flush dev wan; ip -6 neigh flush dev wan");
    let capture = lab.capture_with("'inbound and (ip or ip6)'");
    for (host, address) in
        [("h1", "10.2.2.10"), ("h1", "172.16.2.10"), ("gm1", "192.0.2.2"), ("h1", "2001:db8:a2::10")]
    {
        assert!(!lab.reaches(host, address), "{host} reaches {address}");
    }
    assert!(lab.reaches("gm1", "172.16.1.10"), "the LAN is held, too");
    assert!(!speaks_gdoi(&lab, "192.0.2.2:849"));
    assert!(speaks_gdoi(&lab, "192.0.2.2:848"));
    assert!(!lab.attempt("h1", "timeout 1 bash -c '</dev/tcp/10.2.2.10/23'").0);
    link_works(&lab);
    let lines = capture.finish();
    let passes = [".848 > 192.0.2.2.848: UDP", "10.2.2.10.23: ", "neighbor ", "router ", "listener report"];
    let held = |line: &&String| !passes.iter().any(|one| line.contains(one));
    assert_eq!(lines.iter().filter(held).collect::<Vec<_>>(), Vec::<&String>::new());
    for one in [passes[1], passes[4]] {
        assert!(lines.iter().any(|line| line.contains(one)), "{one} is held: {lines:?}");
    }
}

/// Whether neighbours find gm1, and the network learns which groups of IPv6 it listens to.
fn link_works(lab: &Lab) {
    lab.run("core", "ip -6 neigh flush dev p1");
    lab.attempt("core", "ping -n -c 1 -W 1 2001:db8:1::1");
    let neighbours = lab.run("core", "ip -6 neigh show dev p1");
    assert!(neighbours.contains("2001:db8:1::1 lladdr"), "{neighbours}");
    lab.run("gm1", "ip addr add 2001:db8:1::77/64 dev wan; sleep 1");
}

#[test]
fn a_closed_gate_leaves_another_groups_list_alone_and_blocks_what_that_denies() {
    let Some(lab) = Lab::build() else { return };
    lab.apply("gm2", &protect("gm2", &[1]));
    for closed_first in [0, 1] {
        let closed = Plane { slot: Slot::new(closed_first).unwrap(), ..closed() };
        let mut other = protect("gm1", &[1]).planes.remove(0);
        other.slot = Slot::new(1 - closed_first).unwrap();
        other.servers = vec!["192.0.2.2:849".parse().unwrap()];
        let Gate::Protect(protection) = &mut other.gate else { unreachable!() };
        protection.acl.insert(0, "deny ip host 10.1.1.10 host 10.2.2.77".parse().unwrap());
        protection.acl.extend(everything());
        let mut planes = vec![closed, other];
        planes.sort_by_key(|plane| plane.slot);
        lab.apply("gm1", &Desired { planes });
        for table in ["", "nft flush ruleset"] {
            let capture = lab.capture();
            lab.run("gm1", &format!("true; {table}"));
            assert_eq!(lab.reaches("h1", "10.2.2.10"), table.is_empty());
            assert!(!lab.reaches("h1", "10.2.2.77"));
            assert!(speaks_gdoi(&lab, "192.0.2.2:848") && speaks_gdoi(&lab, "192.0.2.2:849"));
            let lines = capture.finish();
            let clear: Vec<_> = in_clear(&lines)
                .into_iter()
                .filter(|line| !line.contains(".848") && !line.contains(".849"))
                .collect();
            assert_eq!(clear, Vec::<&String>::new());
        }
    }
}

#[test]
fn anchors_stay_inside_when_the_inbound_route_is_gone() {
    let Some(lab) = Lab::build() else { return };
    lab.protect(&[1]);
    lab.run("gm1", "ip route del local 192.0.0.84/32 dev lo table local");
    let capture = lab.capture();
    assert!(!lab.reaches("h2", "10.1.1.10"));
    let lines = capture.finish();
    assert!(!lines.iter().any(|line| line.contains("192.0.0.84")), "{lines:?}");
    let carried = lab.kernel("gm1", |kernel| kernel.counters().unwrap()).planes[0];
    assert_eq!(carried.unrestored.packets, 1);
}

/// What the connection tracker knows keeps its addresses, and with them its policy.
#[test]
fn an_operators_masquerade_gets_no_known_flow_when_the_table_is_deleted() {
    let Some(lab) = Lab::build() else { return };
    lab.protect(&[1]);
    lab.run("gm1", "nft 'add table ip mine; add chain ip mine c { type nat hook postrouting priority srcnat; }; add rule ip mine c oifname wan masquerade'");
    let mut ping = lab.start("h1", "ping -n -q -i 0.1 -w 3 10.2.2.10");
    wait_until("it is encrypted", || {
        lab.kernel("gm1", |kernel| kernel.counters().unwrap()).planes[0].decrypted.packets > 3
    });
    lab.run("gm1", "nft delete table inet gdoi");
    let capture = lab.capture();
    ping.wait().unwrap();
    assert_eq!(in_clear(&capture.finish()), Vec::<&String>::new());
}

/// The socket of before may be held for a moment by a process that another test is about to start.
fn bound(address: SocketAddrV4) -> UdpSocket {
    let mut socket = UdpSocket::bind(address);
    for _ in 0..100 {
        if socket.is_ok() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
        socket = UdpSocket::bind(address);
    }
    socket.unwrap()
}

/// Whether a datagram from gm1 is answered by a server in the core.
fn speaks_gdoi(lab: &Lab, server: &str) -> bool {
    let server: SocketAddrV4 = server.parse().unwrap();
    let there = lab.within("core", move || bound(server));
    let here = lab.within("gm1", || bound("192.0.2.1:848".parse().unwrap()));
    for socket in [&there, &here] {
        socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    }
    let mut buffer = [0; 16];
    if here.send_to(b"hello", server).is_err() {
        return false;
    }
    let Ok((length, from)) = there.recv_from(&mut buffer) else { return false };
    there.send_to(&buffer[..length], from).unwrap();
    here.recv(&mut buffer).is_ok_and(|length| &buffer[..length] == b"hello")
}

#[test]
fn gdoi_is_never_encrypted_even_where_an_entry_names_everything() {
    let Some(lab) = Lab::build() else { return };
    let gate = protecting(everything(), vec![sa(1)], Some(sa(1)));
    let mut desired = plane("gm1", gate);
    desired.servers = vec!["192.0.2.2:848".parse().unwrap()];
    lab.apply("gm1", &Desired { planes: vec![desired] });
    let capture = lab.capture();
    assert!(speaks_gdoi(&lab, "192.0.2.2:848"));
    assert!(!lab.reaches("gm1", "192.0.2.2"));
    let lines = capture.finish();
    let clear = in_clear(&lines);
    assert_eq!(clear.len(), 2, "{clear:?}");
    assert!(clear.iter().all(|line| line.contains(".848")), "{clear:?}");
    assert!(lines.iter().any(|line| line.contains("192.0.2.1 > 192.0.2.2: ESP")), "{lines:?}");
}

/// Whether gm1 hears what a server in the core sends to this group; joining asks the network with IGMP.
fn hears_rekeys(lab: &Lab, group: &str) -> bool {
    let group: SocketAddrV4 = group.parse().unwrap();
    let here = lab.within("gm1", move || {
        let socket = UdpSocket::bind(group).unwrap();
        socket.join_multicast_v4(group.ip(), &[192, 0, 2, 1].into()).unwrap();
        socket
    });
    here.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    lab.run("core", "ip route replace 239.0.0.0/8 dev p1");
    let there = lab.within("core", || UdpSocket::bind("192.0.2.2:848").unwrap());
    there.send_to(b"rekey", group).unwrap();
    here.recv(&mut [0; 16]).is_ok()
}

#[test]
fn rekey_messages_to_a_multicast_group_come_in_and_igmp_goes_out() {
    let Some(lab) = Lab::build() else { return };
    let protect = protecting(everything(), vec![sa(1)], Some(sa(1)));
    for gate in [Gate::Closed, protect] {
        let mut desired = plane("gm1", gate);
        desired.servers = vec!["192.0.2.2:848".parse().unwrap()];
        lab.apply("gm1", &Desired { planes: vec![desired.clone()] });
        assert!(!hears_rekeys(&lab, "239.1.1.1:848"), "{:?}", desired.gate);
        desired.rekey_group = Some("239.1.1.1:848".parse().unwrap());
        lab.apply("gm1", &Desired { planes: vec![desired.clone()] });
        let capture = lab.capture();
        assert!(hears_rekeys(&lab, "239.1.1.1:848"), "{:?}", desired.gate);
        assert!(!hears_rekeys(&lab, "239.1.1.2:848") && !hears_rekeys(&lab, "239.1.1.1:849"));
        let lines = capture.finish();
        let reported = |group: &str| lines.iter().any(|line| line.contains("igmp") && line.contains(group));
        assert!(reported("239.1.1.1"), "{lines:?}");
    }
}

#[test]
fn groups_on_one_interface_do_not_lock_each_other_out() {
    let Some(lab) = Lab::build() else { return };
    for closed_first in [0, 1] {
        let mut closed = plane("gm1", Gate::Closed);
        closed.slot = Slot::new(closed_first).unwrap();
        closed.servers = vec!["192.0.2.2:849".parse().unwrap()];
        let mut protecting = protect("gm1", &[1]).planes.remove(0);
        protecting.slot = Slot::new(1 - closed_first).unwrap();
        protecting.servers = vec!["192.0.2.2:848".parse().unwrap()];
        let mut planes = vec![closed, protecting];
        planes.sort_by_key(|plane| plane.slot);
        lab.apply("gm1", &Desired { planes });
        lab.apply("gm2", &protect("gm2", &[1]));
        assert!(speaks_gdoi(&lab, "192.0.2.2:848") && speaks_gdoi(&lab, "192.0.2.2:849"));
        assert!(lab.reaches("h1", "10.2.2.10") && lab.reaches("h2", "10.1.1.10"));
        assert!(!lab.reaches("h1", "172.16.2.10") && !lab.reaches("h2", "172.16.1.10"));
    }
}

#[test]
fn an_open_gate_leaves_no_trace() {
    let Some(lab) = Lab::build() else { return };
    let report = lab.apply("gm1", &Desired { planes: vec![plane("gm1", Gate::Open)] });
    assert_eq!(report.changes, Vec::<String>::new());
    assert!(lab.reaches("h1", "10.2.2.10"));
}

#[test]
fn without_a_sending_state_protected_traffic_is_blocked_and_the_rest_passes() {
    let Some(lab) = Lab::build() else { return };
    lab.protect(&[1]);
    assert!(lab.reaches("h1", "10.2.2.10"));
    let stopped = plane("gm1", protecting(acl(), Vec::new(), None));
    lab.apply("gm1", &Desired { planes: vec![stopped] });
    let capture = lab.capture();
    assert!(!lab.reaches("h1", "10.2.2.10"));
    assert!(!lab.attempt("gm1", "ping -n -c 1 -W 1 -I 10.1.1.1 10.2.2.10").0);
    assert!(lab.reaches("h1", "172.16.2.10"));
    let lines = capture.finish();
    assert_eq!(in_clear(&lines).len(), 2, "{lines:?}");
    assert_eq!(lab.run("gm1", "ip xfrm state"), "");
}

#[test]
fn protected_traffic_that_arrives_in_clear_is_refused() {
    let Some(lab) = Lab::build() else { return };
    // Only gm1 protects: what h2 sends arrives in clear.
    lab.apply("gm1", &protect("gm1", &[1]));
    lab.run("h2", "ping -n -q -c 3 -i 0.2 -W 5 10.1.1.10 || true");
    lab.run("h2", "ping -n -q -c 2 -i 0.2 -W 5 10.1.1.1 || true");
    let carried = lab.kernel("gm1", |kernel| kernel.counters().unwrap()).planes[0];
    assert_eq!((carried.blocked_in.packets, carried.decrypted.packets), (5, 0));
}

#[test]
fn nothing_leaks_when_states_and_policies_are_removed_by_hand() {
    let Some(lab) = Lab::build() else { return };
    lab.protect(&[1]);
    let capture = lab.capture();
    lab.run("gm1", "ip xfrm state flush");
    assert!(!lab.reaches("h1", "10.2.2.10"));
    lab.run("gm1", "ip xfrm policy flush");
    assert!(!lab.reaches("h1", "10.2.2.10"));
    assert!(!lab.attempt("gm1", "ping -n -c 1 -W 1 -I 10.1.1.1 10.2.2.10").0);
    let lines = capture.finish();
    assert_eq!(in_clear(&lines), Vec::<&String>::new());
    let carried = lab.kernel("gm1", |kernel| kernel.counters().unwrap()).planes[0];
    assert_eq!(carried.blocked_out.packets, 2);
    lab.apply("gm1", &protect("gm1", &[1]));
    assert!(lab.reaches("h1", "10.2.2.10"));
}

#[test]
fn a_state_that_expires_blocks_and_comes_back_with_the_next_apply() {
    let Some(lab) = Lab::build() else { return };
    let mut desired = protect("gm1", &[1]);
    let short = xfrm::Sa { hard_lifetime: Some(Duration::from_secs(1)), ..sa(1) };
    desired.planes[0].gate = protecting(acl(), vec![short.clone()], Some(short));
    lab.apply("gm1", &desired);
    lab.apply("gm2", &protect("gm2", &[1]));
    wait_until("the states expire", || lab.run("gm1", "ip xfrm state").is_empty());
    let capture = lab.capture();
    assert!(!lab.reaches("h1", "10.2.2.10"));
    assert_eq!(in_clear(&capture.finish()), Vec::<&String>::new());
    lab.apply("gm1", &desired);
    assert!(lab.reaches("h1", "10.2.2.10"));
}

#[test]
fn what_a_killed_agent_left_is_recognised() {
    let Some(lab) = Lab::build() else { return };
    assert_eq!(lab.kernel("gm1", |kernel| kernel.installed().unwrap()).protecting(), vec![]);
    lab.apply("gm1", &Desired { planes: vec![plane("gm1", Gate::Closed)] });
    assert_eq!(lab.kernel("gm1", |kernel| kernel.installed().unwrap()).protecting(), vec![]);
    lab.apply("gm1", &protect("gm1", &[1, 2]));
    let found = lab.kernel("gm1", |kernel: &mut Kernel| kernel.installed().unwrap().protecting());
    let [found] = &found[..] else { panic!("{found:?}") };
    assert_eq!((found.slot, found.interface.as_str()), (plane("gm1", Gate::Open).slot, "wan"));
    assert_eq!((found.inbound.len(), found.outbound, found.policies), (2, Some(sa(2).spi), 1));
    let protecting = |lab: &Lab| lab.kernel("gm1", |kernel| kernel.installed().unwrap()).protecting();
    lab.run("gm1", "ip xfrm policy deleteall dir out");
    assert_eq!(protecting(&lab), vec![], "the table is alone");
    lab.apply("gm1", &protect("gm1", &[1, 2]));
    assert_eq!(protecting(&lab).len(), 1);
    lab.run("gm1", "nft flush chain inet gdoi hold_out_0");
    assert_eq!(protecting(&lab), vec![], "the policies are alone");
    let mut receiving = protect("gm1", &[1, 2]);
    let Gate::Protect(protection) = &mut receiving.planes[0].gate else { unreachable!() };
    protection.mode = Mode::ReceiveOnly;
    lab.apply("gm1", &receiving);
    assert_eq!(protecting(&lab).len(), 1, "it sends in clear anyway");
}
