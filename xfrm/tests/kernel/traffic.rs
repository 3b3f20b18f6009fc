//! What crosses the core, and how.

use std::net::UdpSocket;
use std::time::Duration;

use xfrm::{Cipher, Direction, Integrity};

use crate::bench::{acl, plane, protect, protecting, sa, shared, wait_until, Flood, Lab};
use crate::capture::in_clear;

#[test]
fn hosts_reach_each_other_under_their_own_addresses() {
    let Some(lab) = Lab::build() else { return };
    lab.protect(&[1]);
    let capture = lab.capture();
    lab.run("h1", "ping -n -c 2 -i 0.2 10.2.2.10");
    lab.run("h2", "ping -n -c 2 -i 0.2 10.1.1.10");
    let lines = capture.finish();
    assert_eq!(in_clear(&lines), Vec::<&String>::new());
    assert!(lines.iter().any(|line| line.contains("10.1.1.10 > 10.2.2.10: ESP(spi=0x84800001")), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("10.2.2.10 > 10.1.1.10: ESP(spi=0x84800001")), "{lines:?}");
    let counters = lab.kernel("gm1", |kernel| kernel.counters().unwrap());
    let directions: Vec<_> = counters.states.iter().map(|state| state.direction).collect();
    assert_eq!((directions.len(), counters.planes.len()), (2, 1));
    assert!(directions.contains(&Direction::Inbound) && directions.contains(&Direction::Outbound));
    let carried = counters.planes[0];
    assert_eq!((carried.encrypted.packets, carried.decrypted.packets), (4, 4));
    assert_eq!(
        (carried.blocked_out.packets, carried.blocked_in.packets, carried.unrestored.packets),
        (0, 0, 0)
    );
}

#[test]
fn traffic_that_no_entry_names_stays_in_clear() {
    let Some(lab) = Lab::build() else { return };
    lab.protect(&[1]);
    let capture = lab.capture();
    assert!(lab.reaches("h1", "172.16.2.10"));
    assert!(lab.reaches("gm1", "198.51.100.1"));
    let lines = capture.finish();
    assert_eq!(in_clear(&lines).len(), 4, "{lines:?}");
}

#[test]
fn two_lans_of_one_member_talk_in_clear() {
    let Some(lab) = Lab::build() else { return };
    lab.protect(&[1]);
    let core = lab.name("core");
    lab.run("gm1", &format!("ip link add other type veth peer name eth1 netns {core}; ip link set other up; ip addr add 10.1.9.1/24 dev other"));
    lab.run("core", "ip link set eth1 up; ip addr add 10.1.9.10/24 dev eth1; ip rule add from 10.1.9.10 lookup 9; ip route add default via 10.1.9.1 table 9");
    assert!(lab.attempt("core", "ping -n -c 1 -W 1 -I 10.1.9.10 10.1.1.10").0);
}

#[test]
fn the_members_own_traffic_to_a_protected_host_is_encrypted() {
    let Some(lab) = Lab::build() else { return };
    lab.protect(&[1]);
    let capture = lab.capture();
    lab.run("gm1", "ping -n -c 1 -W 5 -I 10.1.1.1 10.2.2.10");
    lab.run("gm1", "ping -n -c 1 -W 5 -I 10.1.1.1 10.2.2.1");
    let lines = capture.finish();
    assert_eq!(in_clear(&lines), Vec::<&String>::new());
    assert_eq!(lines.len(), 4, "{lines:?}");
}

#[test]
fn an_oversize_datagram_without_df_arrives_whole() {
    let Some(lab) = Lab::build() else { return };
    lab.protect(&[1]);
    let capture = lab.capture();
    for (from, to, address) in [("h1", "h2", "10.2.2.10"), ("h2", "h1", "10.1.1.10")] {
        let receiver = lab.within(to, move || UdpSocket::bind((address, 5000)).unwrap());
        receiver.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
        let datagram: Vec<u8> = (0..5000u32).map(|number| number as u8).collect();
        let sent = datagram.clone();
        lab.within(from, move || {
            UdpSocket::bind("0.0.0.0:0").unwrap().send_to(&sent, (address, 5000)).unwrap()
        });
        let mut received = [0; 6000];
        let length = receiver.recv(&mut received).unwrap();
        assert!(received[..length] == datagram[..]);
    }
    // Just around the threshold of 1438 octets, header included.
    for size in 1400..1420 {
        lab.run("h1", &format!("ping -n -M dont -c 1 -W 5 -s {size} 10.2.2.10"));
    }
    let lines = capture.finish();
    assert_eq!(in_clear(&lines), Vec::<&String>::new());
    let foreign = lines.iter().filter(|line| !line.contains("10.1.1.10") || !line.contains("10.2.2.10"));
    assert_eq!(foreign.collect::<Vec<_>>(), Vec::<&String>::new());
    for member in ["gm1", "gm2"] {
        let carried = lab.kernel(member, |kernel| kernel.counters().unwrap()).planes[0];
        assert_eq!(carried.unrestored.packets, 0);
        // Counts and put-aside addresses are no change of the table.
        assert_eq!(lab.apply(member, &protect(member, &[1])).changes, Vec::<String>::new());
    }
}

#[test]
fn a_packet_with_df_that_is_too_big_is_answered_with_the_mtu() {
    let Some(lab) = Lab::build() else { return };
    lab.protect(&[1]);
    let (success, text) = lab.attempt("h1", "ping -n -M do -c 1 -W 1 -s 1411 10.2.2.10");
    assert!(!success && text.contains("mtu = 1438"), "{text}");
    lab.run("h1", "ping -n -M do -c 1 -W 5 -s 1410 10.2.2.10");
}

#[test]
fn tcp_bulk_crosses_in_both_directions() {
    let Some(lab) = Lab::build() else { return };
    lab.protect(&[1]);
    let mut server = lab.start("h2", "iperf3 -s");
    wait_until("iperf3 listens", || lab.attempt("h2", "ss -ltn | grep -q :5201").0);
    let capture = lab.capture();
    for direction in ["", "-R"] {
        let text = lab.run("h1", &format!("iperf3 -c 10.2.2.10 -t 2 -i 0 {direction}"));
        println!("{}", text.lines().filter(|line| line.contains("receiver")).collect::<String>());
    }
    server.kill().unwrap();
    server.wait().unwrap();
    let lines = capture.finish();
    assert_eq!(in_clear(&lines), Vec::<&String>::new());
    assert!(lines.len() > 100);
}

/// Their cipher text looks like anything now and then: like a multicast packet once in 256.
#[test]
fn of_many_oversize_datagrams_none_is_lost() {
    const BURSTS: u32 = 40;
    let Some(lab) = Lab::build() else { return };
    lab.protect(&[1]);
    let receiver = lab.within("h2", || UdpSocket::bind("10.2.2.10:5000").unwrap());
    receiver.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let sender = lab.within("h1", || UdpSocket::bind("10.1.1.10:0").unwrap());
    sender.connect("10.2.2.10:5000").unwrap();
    for burst in 0..BURSTS {
        (0..50).for_each(|_| assert_eq!(sender.send(&[0; 2000]).unwrap(), 2000));
        let arrived = (0..50).filter(|_| receiver.recv(&mut [0; 2000]).is_ok()).count();
        assert_eq!(arrived, 50, "of burst {burst}");
    }
}

#[test]
fn the_outbound_state_is_switched_under_a_flood_without_loss() {
    let Some(lab) = Lab::build() else { return };
    lab.protect(&[1]);
    Flood::start(&lab, "10.2.2.10").through_rounds(|round| {
        // Reception everywhere before anybody sends, as the key server's activation delay has it.
        lab.protect(&[round + 1, round]);
        lab.protect(&[round, round + 1]);
        lab.protect(&[round + 1]);
    });
}

#[test]
fn the_operators_masquerade_does_not_touch_protected_traffic() {
    let Some(lab) = Lab::build() else { return };
    lab.run(
        "gm1",
        "nft 'add table ip mine; add chain ip mine post { type nat hook postrouting priority srcnat; }; \
         add rule ip mine post oifname wan masquerade'",
    );
    lab.protect(&[1]);
    let capture = lab.capture();
    assert!(lab.reaches("h1", "10.2.2.10"));
    assert!(lab.reaches("h2", "10.1.1.10"));
    assert!(lab.reaches("h1", "172.16.2.10"));
    let lines = capture.finish();
    let clear = in_clear(&lines);
    assert_eq!(clear.len(), 2, "{clear:?}");
    assert!(clear.iter().all(|line| line.contains("192.0.2.1")), "{clear:?}");
    assert!(lines.iter().any(|line| line.contains("10.1.1.10 > 10.2.2.10: ESP")), "{lines:?}");
}

#[test]
fn icmp_errors_about_protected_traffic_never_cross_in_clear() {
    let Some(lab) = Lab::build() else { return };
    lab.protect(&[1]);
    let capture = lab.capture();
    // Both are answered by gm2 with its WAN address, which no entry names.
    lab.attempt("h1", "ping -n -t 2 -c 1 -W 1 10.2.2.10");
    lab.attempt("h1", "ping -n -c 1 -W 4 10.2.2.99");
    let lines = capture.finish();
    assert_eq!(in_clear(&lines), Vec::<&String>::new());
}

#[test]
fn icmp_errors_about_clear_traffic_pass() {
    let Some(lab) = Lab::build() else { return };
    lab.protect(&[1]);
    let (_, text) = lab.attempt("h1", "ping -n -t 2 -c 1 -W 1 172.16.2.10");
    assert!(text.contains("From 192.0.2.2") && text.contains("Time to live exceeded"), "{text}");
}

#[test]
fn a_local_deny_entry_stays_in_clear_and_the_rest_does_not() {
    let Some(lab) = Lab::build() else { return };
    let clear = ["icmp any any", "tcp any any eq 5202", "tcp any eq 5202 any"];
    for member in ["gm1", "gm2"] {
        let mut desired = protect(member, &[1]);
        desired.planes[0].clear = clear.map(|text| text.parse().unwrap()).into();
        lab.apply(member, &desired);
    }
    let capture = lab.capture();
    assert!(lab.reaches("h1", "10.2.2.10"));
    for port in [5201, 5202] {
        let mut server = lab.start("h2", &format!("iperf3 -s -1 -p {port}"));
        wait_until("iperf3 listens", || lab.attempt("h2", &format!("ss -ltn | grep -q :{port}")).0);
        lab.run("h1", &format!("iperf3 -c 10.2.2.10 -p {port} -n 20K"));
        server.wait().unwrap();
    }
    let lines = capture.finish();
    let clear = in_clear(&lines);
    assert_eq!(clear.iter().filter(|line| line.contains("ICMP echo")).count(), 2, "{clear:?}");
    assert!(clear.iter().all(|line| line.contains("ICMP echo") || line.contains(".5202")), "{clear:?}");
    assert!(clear.len() > 10 && lines.len() - clear.len() > 10, "{lines:?}");
}

#[test]
fn every_algorithm_works() {
    let Some(lab) = Lab::build() else { return };
    let variants = [
        (Cipher::AesCbc128, Integrity::HmacSha256),
        (Cipher::AesCbc256, Integrity::HmacSha384),
        (Cipher::AesCbc256, Integrity::HmacSha512),
    ];
    for (number, (cipher, integrity)) in variants.into_iter().enumerate() {
        let one = xfrm::Sa { keys: shared((cipher, 3), (integrity, 4)), ..sa(20 + number as u32) };
        for member in ["gm1", "gm2"] {
            let gate = protecting(acl(), vec![one.clone()], Some(one.clone()));
            lab.apply(member, &xfrm::Desired { planes: vec![plane(member, gate)] });
        }
        lab.run("h1", "ping -n -c 1 -W 5 10.2.2.10");
        lab.run("h1", "ping -n -M dont -c 1 -W 5 -s 1400 10.2.2.10");
        lab.run("h1", "ping -n -M dont -c 1 -W 5 -s 3000 10.2.2.10");
    }
}
