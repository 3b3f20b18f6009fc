//! Whom a key server talks to, and which datagrams get through to a group.

use super::siege::{betray, seconds, Siege};
use crate::bench::alliance::{
    address, allied_config, allies, coop, primaries, start_server, LIFE, PRIMARY, SECONDARY, THIRD as TRAITOR,
};
use crate::bench::coop_message::{at, patched};
use crate::bench::fleet::{group, member_address, member_config, pre_shared_key, server_address};
use crate::bench::random::Seeded;
use crate::bench::rogue::{first_message, Rogue};
use crate::bench::traitor::VENDOR_IDS;
use crate::bench::{Link, World};
use gdoi::coop::CoopRefusals;
use gdoi::phase1::VENDOR_ID;
use gdoi::policy::GroupId;
use gdoi::wire::{ExchangeType, Identification, PayloadType};
use gdoi::{CoopEvent, Error, KeyServerEvent, Malformed, Misbehaved, Unacceptable, Unauthenticated};
use std::net::SocketAddr;

fn stranger() -> SocketAddr {
    server_address(99)
}

#[test]
fn strangers_and_members_are_no_cooperating_servers() {
    for mut siege in Siege::both() {
        let honest = siege.honest();
        let stolen = siege.traitor.seal(&honest);
        let no_peer = |siege: &mut Siege, from: SocketAddr, datagram: &[u8]| {
            let outcome = siege.withstand(from, datagram);
            let name = outcome.named(&from.ip(), &Unacceptable::NotAPeer.into());
            assert_eq!((name, outcome.rejected), ("COOP_PACKET_DROPPED", 1));
            assert_eq!(outcome.refused, CoopRefusals::default());
            siege.world.run_for(seconds(1) / 2);
        };
        no_peer(&mut siege, stranger(), &stolen);
        let first = first_message(7);
        let outcome = siege.withstand(stranger(), &first);
        assert_eq!(
            outcome.events,
            [KeyServerEvent::Phase1Failed { peer: stranger(), reason: Unacceptable::NoKey.into() }]
        );
        assert_eq!((outcome.events[0].name(), outcome.rejected), ("KS_PHASE1_FAILED", 1));
        let datagram = member_that_speaks_coop(&mut siege, &honest);
        no_peer(&mut siege, member_address(9), &datagram);
        siege.over();
    }
}

/// A member's own ISAKMP SA carries no COOP messages.
fn member_that_speaks_coop(siege: &mut Siege, body: &[u8]) -> Vec<u8> {
    let (target, from) = (address(siege.target), member_address(9));
    let mut talk = |datagram: &[u8]| siege.world.hand(from, target, datagram).remove(0).payload;
    let mut rogue = Rogue::meet(&mut talk);
    let sixth = talk(&rogue.introduce(&Identification::phase1(&member_config(9).identity).emit().unwrap()));
    rogue.conclude(&sixth);
    let payload = [&1u64.to_be_bytes(), body].concat();
    let hash = |rest: &[u8]| rogue.keys().informational_hash(5, rest);
    rogue.say((ExchangeType::COOP, 5), &rogue.first_iv(5), &[(PayloadType::COOP, &payload)], hash)
}

#[test]
fn servers_with_different_keys_have_no_link() {
    let mut world = World::new(1, Link::CALM);
    for number in 1..=2 {
        let mut config = allied_config(number, 2, LIFE);
        config.peers[0].credential = pre_shared_key(&[number; 20]);
        start_server(&mut world, config, None, &mut Seeded::new(number.into()));
    }
    world.run_for(seconds(60));
    for number in 1..=2 {
        let status = world.server(address(number)).status(world.now);
        let peer = &status.groups[0].coop.as_ref().unwrap().peers[0];
        assert!(!peer.linked && !peer.alive && peer.received == 0);
        assert!(status.rejected > 0);
        let events = world.server_events(address(number)).iter().map(|(_, event)| event);
        let names: Vec<_> = events.clone().map(KeyServerEvent::name).collect();
        assert!(names.contains(&"COOP_LINK_FAILED") && names.contains(&"KS_PHASE1_FAILED"), "{names:?}");
        assert!(!names.contains(&"COOP_KS_REACH"), "{names:?}");
        let failed = events.filter_map(|event| match event {
            KeyServerEvent::Coop { event: CoopEvent::LinkFailed { reason, .. }, .. } => Some(reason),
            _ => None,
        });
        let explained = Unauthenticated::PreSharedKey.into();
        assert!(failed.clone().count() > 0 && failed.into_iter().all(|reason| *reason == explained));
    }
    assert_eq!(primaries(&world, 2), [1, 2], "each is alone");
}

/// A peer that knows the key but is not of this implementation.
#[test]
fn a_peer_that_does_not_cooperate_gets_no_link() {
    let mut world = allies();
    let before = world.server_events(address(PRIMARY)).len();
    betray(&mut world, PRIMARY, &[&VENDOR_ID]);
    world.run_for(seconds(1));
    let reason = Unacceptable::NotCooperating.into();
    let failed = CoopEvent::LinkFailed { peer: server_address(TRAITOR).ip(), reason };
    let failed = KeyServerEvent::Coop { group: None, event: failed };
    assert_eq!(failed.name(), "COOP_LINK_FAILED");
    assert_eq!(world.server_events(address(PRIMARY))[before].1, failed);
    assert!(!coop(&world, PRIMARY)
        .peers
        .iter()
        .any(|peer| peer.linked && peer.address == server_address(TRAITOR).ip()));
}

#[test]
fn a_peer_of_another_group_has_no_say_in_this_one() {
    let mut world = World::new(1, Link::CALM);
    for own in 1..=2 {
        let (mut config, other) = (allied_config(own, TRAITOR, LIFE), allied_config(own, TRAITOR, LIFE));
        config.groups.extend(other.groups);
        let [first, second] = &mut config.groups[..] else { unreachable!() };
        first.redundancy.as_mut().unwrap().peers.retain(|peer| *peer != server_address(TRAITOR).ip());
        (second.group.name, second.group.id) = ("other".into(), GroupId(9));
        start_server(&mut world, config, None, &mut Seeded::new(own.into()));
    }
    world.run_for(seconds(30));
    let traitor = betray(&mut world, PRIMARY, &VENDOR_IDS);
    world.run_for(seconds(1));
    let mut siege = Siege { world, traitor, target: PRIMARY };
    let own = patched(&siege.honest(), at::GROUP, &9u32.to_be_bytes());
    siege.taken(&own);
    for body in [siege.honest(), siege.state(|_| {}), siege.members((0, 5), &[])] {
        let body = patched(&body, at::GROUP, &group().id.0.to_be_bytes());
        let outcome = siege.withstand_body(&body);
        let reason = Unacceptable::NotAPeerOf(group().id).into();
        let name = outcome.named(&siege.traitor.address.ip(), &reason);
        assert_eq!((name, outcome.rejected), ("COOP_PACKET_DROPPED", 1));
        siege.world.run_for(seconds(1));
    }
    siege.over();
}

#[test]
fn replayed_reflected_and_changed_datagrams_are_dropped() {
    for mut siege in Siege::both() {
        let from = siege.traitor.address;
        let honest = siege.honest();
        let older = siege.traitor.seal(&honest);
        siege.taken(&honest);
        let newer = siege.traitor.seal(&honest);
        siege.world.hand(from, address(siege.target), &newer);
        siege.dropped(from, &newer, Misbehaved::Replayed { got: 4, last: 4 });
        siege.world.run_for(seconds(1) / 2);
        siege.dropped(from, &older, Misbehaved::Replayed { got: 2, last: 4 });
        let numbered = siege.traitor.seal_as(0, &honest);
        siege.dropped(from, &numbered, Misbehaved::Replayed { got: 0, last: 4 });
        let mut flights = siege.world.sent.iter().filter(|flight| flight.to == from).rev();
        let own =
            flights.find(|flight| siege.traitor.open(&flight.payload).is_some()).unwrap().payload.clone();
        siege.dropped(from, &own, Misbehaved::Reflected);
        // Whose number is not its own: only the other side sets this bit.
        let numbered = siege.traitor.seal_as(1 << 63 | 9, &honest);
        siege.dropped(from, &numbered, Misbehaved::Reflected);
        siege.over();
    }
}

/// As a network may deliver what it said.
#[test]
fn what_was_overtaken_on_its_way_changes_nothing() {
    for mut siege in Siege::both() {
        let (from, honest) = (siege.traitor.address, siege.honest());
        let claims = patched(&honest, at::ROLE, &[2, 200, 2]);
        let older = [&claims, &honest].map(|body| siege.traitor.seal(body));
        siege.taken(&honest);
        for datagram in older {
            let outcome = siege.withstand(from, &datagram);
            assert_eq!((outcome.events, outcome.rejected), (vec![], 0));
        }
        let peers = coop(&siege.world, siege.target).peers;
        let said = peers.iter().find(|peer| peer.address == from.ip()).unwrap().said.unwrap();
        assert_eq!((said.priority, said.claims), (1, false));
        siege.over();
    }
}

#[test]
fn datagrams_cut_short_or_changed_anywhere_are_dropped() {
    let mut siege = Siege::of(SECONDARY);
    let from = siege.traitor.address;
    let honest = siege.honest();
    let sound = siege.traitor.seal(&honest);
    let changed = (0..sound.len()).map(|at| patched(&sound, at, &[sound[at] ^ 1]));
    let cut = (0..sound.len()).map(|length| sound[..length].to_vec());
    for (index, datagram) in cut.chain(changed).enumerate() {
        let outcome = siege.withstand(from, &datagram);
        assert_eq!((outcome.rejected, outcome.refused), (1, CoopRefusals::default()), "{index}");
    }
    siege.world.hand(from, address(siege.target), &sound);
    // More than ten in ten seconds are not named.
    siege.stay(10);
    siege.dropped(from, &sound, Misbehaved::Replayed { got: 2, last: 12 });
    siege.over();
}

#[test]
fn messages_without_or_with_more_than_a_body_are_dropped() {
    let mut siege = Siege::of(PRIMARY);
    let from = siege.traitor.address;
    let payload = [&50u64.to_be_bytes()[..], &siege.honest()].concat();
    let coop = (PayloadType::COOP, &payload[..]);
    type Payloads<'a> = Vec<(PayloadType, &'a [u8])>;
    let cases: [(Payloads<'_>, Error); 4] = [
        (vec![(PayloadType::NONCE, &[0; 8])], Misbehaved::MissingPayload(PayloadType::COOP).into()),
        (vec![coop, coop], Misbehaved::DuplicatePayload(PayloadType::COOP).into()),
        (vec![coop, (PayloadType::NONCE, &[0; 8])], Misbehaved::UnexpectedPayload(PayloadType::NONCE).into()),
        (vec![(PayloadType::COOP, &payload[..7])], Malformed::Truncated("COOP payload").into()),
    ];
    for (payloads, reason) in cases {
        let datagram = siege.traitor.seal_payloads(50, &payloads);
        siege.dropped(from, &datagram, reason);
    }
    let longest = siege.traitor.seal(&vec![0; 59_201]);
    siege.dropped(from, &longest, Malformed::Length("COOP payload"));
    siege.over();
}
