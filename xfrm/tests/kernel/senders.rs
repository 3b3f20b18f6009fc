//! Every sender has a key of its own: receivers on demand, exact anti-replay, no clear text whoever is missing.

use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;

use nix::sys::socket::{
    sendto, socket, AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn,
};
use xfrm::{Aead, Desired, Gate, Protection, Replay, Report, Sa, Spi, SpiBlock};

use crate::agent::Agent;
use crate::bench::{acl, of_sender, plane, sa, Flood, Lab};
use crate::capture::in_clear;

/// The block of the key with this number.
fn block(number: u32) -> SpiBlock {
    SpiBlock::new(Spi(0x8490_0000 + (number << 20)), 20).unwrap()
}

/// Sender 1 is gm1, sender 2 is gm2.
fn own(member: &str) -> u32 {
    if member == "gm1" {
        1
    } else {
        2
    }
}

/// A sender under the key with this number.
fn sender(key: u32, number: u32, aead: Aead) -> Sa {
    Sa {
        spi: Spi(block(key).base().0 | number),
        keys: of_sender(aead, (16 * key + number) as u8),
        replay: Replay::Window { size: 1024, high: 0 },
        ..sa(0)
    }
}

/// What a member holds that receives from `known` and sends under the last of these keys.
fn member(name: &str, keys: &[u32], known: &[u32], aead: Aead) -> Desired {
    let inbound = |key: &u32| known.iter().map(|number| sender(*key, *number, aead)).collect::<Vec<_>>();
    let protection = Protection {
        acl: acl(),
        blocks: keys.iter().map(|key| block(*key)).collect(),
        inbound: keys.iter().flat_map(inbound).collect(),
        outbound: keys.last().map(|key| sender(*key, own(name), aead)).into_iter().collect(),
        ..Default::default()
    };
    Desired { planes: vec![plane(name, Gate::Protect(protection))] }
}

/// Both members know each other.
fn acquaint(lab: &Lab, keys: &[u32], aead: Aead) {
    lab.apply("gm1", &member("gm1", keys, &[2], aead));
    lab.apply("gm2", &member("gm2", keys, &[1], aead));
}

/// The kernel's count of packets that it refused for this reason in gm2.
fn errors(lab: &Lab, reason: &str) -> u64 {
    let counters = lab.kernel("gm2", |kernel| kernel.counters().unwrap());
    counters.errors.iter().find(|(name, _)| name == reason).map_or(0, |(_, count)| *count)
}

#[test]
fn every_cipher_works_with_sequence_numbers_and_settles() {
    let Some(lab) = Lab::build() else { return };
    for (key, aead) in (1..).zip(Aead::ALL) {
        acquaint(&lab, &[key], aead);
        let capture = lab.capture();
        lab.run("h1", "ping -n -c 2 -i 0.2 10.2.2.10");
        lab.run("h2", "ping -n -c 2 -i 0.2 10.1.1.10");
        lab.run("h1", "ping -n -M dont -c 1 -W 5 -s 1400 10.2.2.10");
        lab.run("h1", "ping -n -M dont -c 1 -W 5 -s 3000 10.2.2.10");
        let lines = capture.finish();
        assert_eq!(in_clear(&lines), Vec::<&String>::new());
        for (way, number) in [("10.1.1.10 > 10.2.2.10", 1), ("10.2.2.10 > 10.1.1.10", 2)] {
            let esp = format!("{way}: ESP(spi={}", sender(key, number, aead).spi);
            assert!(lines.iter().any(|line| line.contains(&esp)), "{esp}: {lines:?}");
        }
        let states = lab.run("gm1", "ip -s xfrm state");
        assert!(states.contains("esn") && states.contains("replay_window 1024"), "{states}");
        assert_eq!(lab.apply("gm1", &member("gm1", &[key], &[2], aead)).changes, Vec::<String>::new());
    }
}

#[test]
fn the_first_packet_of_a_sender_is_not_lost() {
    let Some(lab) = Lab::build() else { return };
    for name in ["gm1", "gm2"] {
        lab.apply(name, &member(name, &[1], &[], Aead::AesGcm256));
    }
    let agents = [
        Agent::start(&lab, "gm1", vec![sender(1, 2, Aead::AesGcm256)]),
        Agent::start(&lab, "gm2", vec![sender(1, 1, Aead::AesGcm256)]),
    ];
    let said = lab.run("h1", "ping -n -q -c 20 -i 0.01 -W 5 10.2.2.10");
    assert!(said.contains(" 0% packet loss"), "{said}");
    let [one, two] = agents.map(Agent::stop);
    assert!(
        one.accepted.contains(&sender(1, 2, Aead::AesGcm256).spi)
            && two.accepted.contains(&sender(1, 1, Aead::AesGcm256).spi)
    );
    assert!(one.refused.is_empty() && two.refused.is_empty(), "{one:?} {two:?}");
    // What was admitted is what an agent desires from then on, and nobody is asked about it again.
    let report = lab.apply("gm1", &member("gm1", &[1], &[2], Aead::AesGcm256));
    assert_eq!(report.changes, Vec::<String>::new());
    let agents = ["gm1", "gm2"].map(|name| Agent::start(&lab, name, Vec::new()));
    assert!(lab.reaches("h1", "10.2.2.10"));
    for judged in agents.map(Agent::stop) {
        assert!(judged.refused.is_empty(), "{judged:?}");
    }
}

#[test]
fn a_sender_that_is_under_way_for_long_is_heard_with_its_high_sequence_bits() {
    let Some(lab) = Lab::build() else { return };
    let replay = Replay::Window { size: 1024, high: 3 };
    let with_high = |name: &str| {
        let mut desired = member(name, &[1], &[], Aead::AesGcm256);
        if let Gate::Protect(protection) = &mut desired.planes[0].gate {
            protection.outbound[0].replay = replay;
        }
        desired
    };
    for (high, heard) in [(0, false), (3, true)] {
        for name in ["gm1", "gm2"] {
            lab.kernel(name, |kernel| kernel.remove_all().unwrap());
            lab.apply(name, &with_high(name));
        }
        let admitted =
            |number| Sa { replay: Replay::Window { size: 1024, high }, ..sender(1, number, Aead::AesGcm256) };
        let agents =
            [Agent::start(&lab, "gm1", vec![admitted(2)]), Agent::start(&lab, "gm2", vec![admitted(1)])];
        assert_eq!(lab.reaches("h1", "10.2.2.10"), heard, "high bits {high}");
        agents.into_iter().for_each(|agent| drop(agent.stop()));
    }
}

#[test]
fn a_forged_sender_adds_nothing_and_is_dropped() {
    let Some(lab) = Lab::build() else { return };
    acquaint(&lab, &[1], Aead::AesGcm256);
    let held = || lab.run("gm2", "ip xfrm state | grep -A1 ^src; nft list set inet gdoi known_0");
    let before = held();
    let agent = Agent::start(&lab, "gm2", Vec::new());
    let forged: Vec<Vec<u8>> = (0..50).map(|number| esp(block(1).base().0 | (1000 + number))).collect();
    inject(&lab, &forged);
    assert!(lab.reaches("h1", "10.2.2.10"));
    assert_eq!(agent.stop().refused.len(), 50);
    assert_eq!(held(), before);
    let carried = lab.kernel("gm2", |kernel| kernel.counters().unwrap()).planes[0];
    assert_eq!((carried.unknown_sender.packets, carried.decrypted.packets), (50, 1));
}

/// An ESP packet from h1 to h2 that nobody sent.
fn esp(spi: u32) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 50, 0, 0, 10, 1, 1, 10, 10, 2, 2, 10];
    packet.extend([spi.to_be_bytes(), 1u32.to_be_bytes()].concat());
    packet.extend([7; 64]);
    packet
}

/// Sends packets from the core towards gm2.
fn inject(lab: &Lab, packets: &[Vec<u8>]) {
    let packets = packets.to_vec();
    lab.within("core", move || {
        let raw = socket(AddressFamily::Inet, SockType::Raw, SockFlag::empty(), SockProtocol::Raw).unwrap();
        for packet in packets {
            let [a, b, c, d] = *packet[16..].first_chunk().unwrap();
            let to = SockaddrIn::from(std::net::SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), 0));
            sendto(raw.as_raw_fd(), &packet, &to, MsgFlags::empty()).unwrap();
        }
    });
}

/// The ESP packets of one sender that cross the core while `code` runs.
fn record(lab: &Lab, spi: Spi, code: impl FnOnce()) -> Vec<Vec<u8>> {
    let capture = lab.capture_with(&format!("-x 'ip[9] == 50 and ip[20:4] == {spi}'"));
    code();
    let lines = capture.finish();
    let mut packets: Vec<Vec<u8>> = Vec::new();
    for line in &lines {
        match line.trim().strip_prefix("0x") {
            Some(row) => packets.last_mut().unwrap().extend(octets(row.split_once(':').unwrap().1)),
            None => packets.push(Vec::new()),
        }
    }
    packets
}

fn octets(row: &str) -> Vec<u8> {
    let digits: String = row.split_whitespace().collect();
    (0..digits.len() / 2).map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap()).collect()
}

#[test]
fn a_replayed_packet_is_delivered_never() {
    let Some(lab) = Lab::build() else { return };
    acquaint(&lab, &[1], Aead::AesGcm256);
    let packets = record(&lab, sender(1, 1, Aead::AesGcm256).spi, || {
        lab.run("h1", "ping -n -q -c 5 -i 0.01 10.2.2.10");
    });
    assert_eq!(packets.len(), 5);
    let delivered = || lab.kernel("gm2", |kernel| kernel.counters().unwrap()).planes[0].decrypted.packets;
    assert_eq!((delivered(), errors(&lab, "XfrmInStateSeqError")), (5, 0));
    for _ in 0..20 {
        inject(&lab, &packets);
    }
    crate::bench::wait_until("all are refused", || errors(&lab, "XfrmInStateSeqError") == 100);
    assert_eq!(delivered(), 5);
    assert!(lab.reaches("h1", "10.2.2.10"));
}

#[test]
fn without_an_agent_known_senders_go_on_and_others_are_dropped() {
    let Some(lab) = Lab::build() else { return };
    acquaint(&lab, &[1], Aead::AesGcm256);
    Agent::start(&lab, "gm2", vec![sender(1, 3, Aead::AesGcm256)]).stop();
    assert!(lab.reaches("h1", "10.2.2.10"));
    let mut other = member("gm1", &[1], &[2], Aead::AesGcm256);
    if let Gate::Protect(protection) = &mut other.planes[0].gate {
        protection.outbound = vec![sender(1, 3, Aead::AesGcm256)];
    }
    lab.apply("gm1", &other);
    let capture = lab.capture();
    assert!(!lab.reaches("h1", "10.2.2.10"));
    let lines = capture.finish();
    assert_eq!(in_clear(&lines), Vec::<&String>::new());
    assert!(!lines.is_empty());
    let carried = lab.kernel("gm2", |kernel| kernel.counters().unwrap()).planes[0];
    assert_eq!((carried.unknown_sender.packets, carried.decrypted.packets), (1, 1));
}

#[test]
fn a_new_key_loses_nothing_of_any_sender() {
    let Some(lab) = Lab::build() else { return };
    acquaint(&lab, &[1], Aead::AesGcm256);
    Flood::start(&lab, "10.2.2.10").through_rounds(|key| {
        // Reception everywhere before anybody sends, as the key server's activation delay has it.
        acquaint(&lab, &[key + 1, key], Aead::AesGcm256);
        acquaint(&lab, &[key, key + 1], Aead::AesGcm256);
        acquaint(&lab, &[key + 1], Aead::AesGcm256);
    });
}

#[test]
fn every_change_by_hand_is_repaired() {
    let Some(lab) = Lab::build() else { return };
    acquaint(&lab, &[1], Aead::AesGcm256);
    let changes = [
        "ip xfrm state delete dst 192.0.0.84 proto esp spi 0x84a00002",
        "nft delete element inet gdoi known_0 { 0x84a0 . 0x0002 }",
        "nft flush set inet gdoi known_0",
        "nft add element inet gdoi known_0 { 0x84a0 . 0x0099 }",
        "nft flush chain inet gdoi senders_0",
        "nft delete table inet gdoi",
        "nft flush ruleset; ip xfrm state delete dst 192.0.0.84 proto esp spi 0x84a00002",
    ];
    let desired = member("gm1", &[1], &[2], Aead::AesGcm256);
    lab.kernel("gm1", |kernel| {
        for change in changes {
            shell(change);
            let report = kernel.apply(&desired).unwrap();
            assert_ne!(report.changes, Vec::<String>::new(), "not noticed: {change}");
            assert_eq!(kernel.apply(&desired).unwrap(), Report::default(), "not settled: {change}");
            assert!(lab.reaches("h1", "10.2.2.10"));
        }
    });
}

fn shell(command: &str) {
    let output = std::process::Command::new("sh").args(["-c", command]).output().unwrap();
    assert!(output.status.success(), "{command}: {output:?}");
}

#[test]
fn a_sending_state_that_somebody_removed_is_not_used_again() {
    let Some(lab) = Lab::build() else { return };
    acquaint(&lab, &[1], Aead::AesGcm256);
    lab.apply("gm2", &member("gm2", &[1], &[1, 3], Aead::AesGcm256));
    assert!(lab.reaches("h1", "10.2.2.10"));
    let desired = member("gm1", &[1], &[2], Aead::AesGcm256);
    let mut renewed = desired.clone();
    if let Gate::Protect(protection) = &mut renewed.planes[0].gate {
        protection.outbound = vec![sender(1, 3, Aead::AesGcm256)];
    }
    lab.kernel("gm1", |kernel| {
        assert_eq!(kernel.apply(&desired).unwrap(), Report::default());
        shell("ip xfrm state flush");
        for _ in 0..2 {
            let report = kernel.apply(&desired).unwrap();
            assert_eq!(report.spent, [(desired.planes[0].slot, sender(1, 1, Aead::AesGcm256).spi)]);
            assert!(!lab.reaches("h1", "10.2.2.10"));
        }
        assert_eq!(kernel.apply(&renewed).unwrap().spent, []);
        assert!(lab.reaches("h1", "10.2.2.10"));
        assert_eq!(kernel.apply(&renewed).unwrap(), Report::default());
    });
}

/// A key server ended the key, and another one brings it back.
#[test]
fn a_key_that_went_and_came_back_is_not_counted_anew() {
    let Some(lab) = Lab::build() else { return };
    acquaint(&lab, &[1], Aead::AesGcm256);
    lab.apply("gm2", &member("gm2", &[1], &[1, 3], Aead::AesGcm256));
    assert!(lab.reaches("h1", "10.2.2.10"));
    let desired = member("gm1", &[1], &[2], Aead::AesGcm256);
    let (mut ended, mut renewed) = (desired.clone(), desired.clone());
    if let (Gate::Protect(ended), Gate::Protect(renewed)) =
        (&mut ended.planes[0].gate, &mut renewed.planes[0].gate)
    {
        (ended.blocks, ended.inbound, ended.outbound) = Default::default();
        renewed.outbound = vec![sender(1, 3, Aead::AesGcm256)];
    }
    lab.kernel("gm1", |kernel| {
        assert_eq!(kernel.apply(&desired).unwrap(), Report::default());
        assert_ne!(kernel.apply(&ended).unwrap().changes, Vec::<String>::new());
        for _ in 0..2 {
            let report = kernel.apply(&desired).unwrap();
            assert_eq!(report.spent, [(desired.planes[0].slot, sender(1, 1, Aead::AesGcm256).spi)]);
            assert!(!lab.reaches("h1", "10.2.2.10"));
        }
        assert_eq!(kernel.apply(&renewed).unwrap().spent, []);
        assert!(lab.reaches("h1", "10.2.2.10"));
    });
}

#[test]
fn preflight_misses_nothing_even_beside_a_running_agent() {
    let Some(lab) = Lab::build() else { return };
    let about_transforms = || {
        let lines: Vec<_> = lab
            .within("gm1", || xfrm::preflight(xfrm::Uses::default()))
            .iter()
            .map(ToString::to_string)
            .collect();
        lines.into_iter().filter(|line| line.contains("transform")).collect::<Vec<_>>()
    };
    assert_eq!(about_transforms(), Vec::<String>::new());
    let agent = Agent::start(&lab, "gm1", Vec::new());
    assert_eq!(about_transforms(), Vec::<String>::new());
    agent.stop();
}

#[test]
fn another_window_is_a_change_and_a_moving_one_is_not() {
    let Some(lab) = Lab::build() else { return };
    acquaint(&lab, &[1], Aead::AesGcm256);
    assert!(lab.reaches("h1", "10.2.2.10"));
    let mut desired = member("gm1", &[1], &[2], Aead::AesGcm256);
    assert_eq!(lab.apply("gm1", &desired).changes, Vec::<String>::new());
    if let Gate::Protect(protection) = &mut desired.planes[0].gate {
        protection.inbound[0].replay = Replay::Window { size: 64, high: 0 };
    }
    assert_eq!(lab.apply("gm1", &desired).changes.len(), 2);
    assert!(lab.reaches("h1", "10.2.2.10"));
}
