mod attacks;
mod collision;
mod standing;
mod world;

use super::channel::Channel;
use super::peer::Initiation;
use super::*;
use crate::error::{Unacceptable, Unauthenticated};
use crate::wire::{ExchangeType, Notify, NotifyType, PayloadType};
use std::time::Duration;
use world::{address, entry, proposal, Chance, Event, Flight, Server, World, START};

const DAY: Duration = Duration::from_secs(86_400);

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn is(flight: &Flight, exchange: ExchangeType) -> bool {
    ExchangeType::claimed_by(&flight.payload) == Some(exchange)
}

/// Two servers with a link.
fn linked(life: Duration) -> World {
    let mut world = World::pair(life);
    world.run(seconds(2));
    assert_one_sa(&mut world);
    world
}

/// Both have one SA, and it is the same.
fn assert_one_sa(world: &mut World) {
    let cookies =
        |channels: &[Channel]| channels.iter().map(|channel| channel.sa.cookies).collect::<Vec<_>>();
    let (first, second) = (cookies(world.server(1).channels(2)), cookies(world.server(2).channels(1)));
    assert_eq!(first.len(), 1, "at {:?}", world.now);
    assert_eq!(first, second, "at {:?}", world.now);
}

/// A message each way arrives.
fn assert_talking(world: &mut World, body: &[u8]) {
    assert!(world.say(1, 2, body) && world.say(2, 1, body));
    world.run(seconds(1));
    assert_eq!(world.server(1).received().last().unwrap(), body);
    assert_eq!(world.server(2).received().last().unwrap(), body);
}

#[test]
fn a_link_comes_up_and_carries_messages_both_ways() {
    let mut world = linked(DAY);
    assert!(world.say(1, 2, b"from 1") && world.say(2, 1, b"from 2"));
    world.run(seconds(1));
    assert_eq!(world.server(2).received(), [b"from 1".to_vec()]);
    assert_eq!(world.server(1).received(), [b"from 2".to_vec()]);
    for server in &world.servers {
        assert_eq!(server.count(|event| *event == Event::Up), 1);
        assert_eq!(server.log.len(), 2, "{:?}", server.log);
    }
}

#[test]
fn the_first_phase_1_begins_within_half_a_second() {
    let mut world = World::pair(DAY);
    assert_eq!(world.server(1).links.next_timeout(), Some(START));
    assert_eq!(world.server(1).status(2).state, LinkState::None);
    world.route = Box::new(|_, _| None);
    world.run(Duration::from_millis(500));
    assert_eq!(world.sent.len(), 2);
    assert_ne!(world.sent[0].at, world.sent[1].at);
    assert_eq!(world.server(1).status(2).state, LinkState::Initiating);
    assert!(!world.say(1, 2, b"nobody there"));
    assert_eq!(world.sent.len(), 2);
}

#[test]
fn every_nth_datagram_lost() {
    for nth in 3..9 {
        for offset in 0..nth {
            let mut world = World::pair(DAY);
            world.route = Box::new(move |number, flight| (number % nth != offset).then_some(flight));
            world.run(seconds(10));
            let said: Vec<_> = (0..60u8).map(|number| vec![number]).collect();
            for body in &said {
                assert!(world.say(1, 2, body) && world.say(2, 1, body), "{nth} {offset}");
                world.run(seconds(1));
            }
            for server in &world.servers {
                let received = server.received();
                assert!(received.len() >= 20 && received.is_sorted(), "{nth} {offset}: {received:?}");
                assert!(received.iter().all(|body| said.contains(body)));
            }
            world.route = Box::new(|_, flight| Some(flight));
            world.run(seconds(30));
            assert_one_sa(&mut world);
        }
    }
}

#[test]
fn a_wrong_key_is_named_and_tried_again_with_back_off() {
    let server = |own, peer, psk| Server::new(own, proposal(DAY), vec![entry(peer, psk)], START);
    let mut world = World::new(vec![server(1, 2, b"secret"), server(2, 1, b"Secret")]);
    world.run(seconds(200));
    let failed = Event::Failed(Unauthenticated::PreSharedKey.into());
    let server = world.server(1);
    assert!(server.log.iter().all(|(_, event)| *event == failed), "{:?}", server.log);
    // Each attempt takes 4 s: then 1, 2, 4 and 8 s of rest, each up to a quarter longer, and 8 s from there on.
    let times: Vec<_> = server.log.iter().map(|(time, _)| *time).collect();
    let rests: Vec<_> = times.windows(2).map(|pair| pair[1].saturating_since(pair[0]) - seconds(4)).collect();
    for (rest, least) in rests.iter().zip([1, 2, 4, 8, 8, 8]) {
        assert!((seconds(least)..=seconds(least) * 5 / 4).contains(rest), "{rests:?}");
    }
    assert!(rests.len() >= 6 && !server.links.is_up(address(2).ip()));
    let (own, peer) = (address(1).ip(), entry(1, b"secret"));
    world.with(2, |links, random, now| links.set_peers(vec![peer], random, now));
    assert_eq!(world.server(2).links.credential(own), Some(&entry(1, b"secret").credential));
    world.run(seconds(1));
    assert_one_sa(&mut world);
}

#[test]
fn hints_in_clear_explain_a_failure() {
    for (kind, reason) in [
        (NotifyType::NO_PROPOSAL_CHOSEN, Unacceptable::NoProposal),
        (NotifyType::INVALID_ID_INFORMATION, Unacceptable::PeerSays(NotifyType::INVALID_ID_INFORMATION)),
    ] {
        let mut world = World::pair(DAY);
        world.route = Box::new(|_, _| None);
        world.run(seconds(1));
        let (from, to) = (address(2), address(1));
        let first = world.sent.iter().find(|flight| flight.from == to).unwrap().payload.clone();
        let (header, _) = Header::parse(&first).unwrap();
        let header = Header { exchange: ExchangeType::INFORMATIONAL, next: PayloadType::NOTIFY, ..header };
        let notify =
            crate::wire::emit_chain(&[(PayloadType::NOTIFY, &Notify { kind }.emit().unwrap())]).unwrap();
        world.inject(from, to, &header.emit(&notify).unwrap());
        world.run(seconds(20));
        assert_eq!(world.server(1).log[0].1, Event::Failed(reason.into()));
        assert_eq!(world.server(2).log[0].1, Event::Failed(Unacceptable::NoAnswer.into()));
    }
}

/// Changes an octet of a vendor ID in all messages that `from` sends in clear.
fn without(id: &'static [u8], from: u8) -> Box<world::Route> {
    Box::new(move |_, mut flight| {
        let found = flight.payload.windows(id.len()).position(|window| window == id);
        if let Some(position) = found.filter(|_| flight.from == address(from)) {
            flight.payload[position] ^= 1;
        }
        Some(flight)
    })
}

#[test]
fn a_foreign_implementation_is_no_peer() {
    for id in [&crate::phase1::VENDOR_ID[..], &crate::phase1::DPD_VENDOR_ID[..]] {
        let mut world = World::pair(DAY);
        world.route = without(id, 2);
        world.run(seconds(5));
        assert!(!world.server(1).links.is_up(address(2).ip()));
        // As initiator and as responder.
        let failed = Event::Failed(Unacceptable::NotCooperating.into());
        assert!(world.server(1).count(|event| *event == failed) >= 2, "{:?}", world.server(1).log);
        world.server(2).when(&Event::Down(Unacceptable::PeerDeleted.into())).unwrap();
    }
}

#[test]
fn a_peer_must_prove_its_own_address() {
    for wrong in [Identity::Address(address(3).ip()), Identity::Fqdn("ks2.example".into())] {
        let mut world = World::pair(DAY);
        let server = world.server(2);
        (server.identity, server.links.settings.identity) = (wrong.clone(), wrong.clone());
        world.run(seconds(5));
        assert!(!world.server(1).links.is_up(address(2).ip()));
        let failed = Event::Failed(Unacceptable::UnexpectedIdentity(wrong.to_string()).into());
        assert!(world.server(1).count(|event| *event == failed) >= 2, "{:?}", world.server(1).log);
        world.server(2).when(&Event::Down(Unacceptable::PeerDeleted.into())).unwrap();
    }
}

#[test]
fn the_list_of_peers_changes() {
    let mut world = linked(DAY);
    let others = vec![entry(3, b"third"), entry(1, b"itself")];
    world.with(1, |links, random, now| links.set_peers(others, random, now));
    let server = world.server(1);
    assert!(server.links.is_peer(address(3).ip()) && !server.links.is_peer(address(2).ip()));
    assert!(!server.links.is_peer(address(1).ip()));
    assert!(!server.links.is_peer("2001:db8::1".parse().unwrap()));
    assert_eq!(server.links.credential(address(2).ip()), None);
    world.run(seconds(20));
    assert_eq!(world.server(2).log[1].1, Event::Down(Unacceptable::PeerDeleted.into()));
    assert_eq!(world.server(2).log[2].1, Event::Failed(Unacceptable::NoAnswer.into()));
    let silent = Event::Failed(Unacceptable::NoAnswer.into());
    let rest = &world.server(1).log[1..];
    assert!(
        rest.iter().all(|(_, event)| *event == silent),
        "{rest:?}: only the one that is not there is missed"
    );
    world.with(1, |links, random, now| links.set_peers(vec![entry(2, b"secret")], random, now));
    world.run(seconds(20));
    assert_talking(&mut world, b"again");
}

#[test]
fn a_new_key_keeps_the_sa() {
    let mut world = linked(DAY);
    let cookies = world.server(1).channels(2)[0].sa.cookies;
    world.with(1, |links, random, now| links.set_peers(vec![entry(2, b"changed")], random, now));
    assert_talking(&mut world, b"still there");
    assert_eq!(world.server(1).channels(2)[0].sa.cookies, cookies);
}

#[test]
fn bodies_are_bounded() {
    let mut world = linked(DAY);
    let longest = vec![7; channel::MAX_BODY];
    assert_talking(&mut world, &longest);
    assert_talking(&mut world, b"");
    assert!(!world.say(1, 2, &vec![7; channel::MAX_BODY + 1]));
    assert!(!world.say(1, 3, b"nobody"));
}

#[test]
fn status_counts() {
    let mut world = linked(DAY);
    assert_talking(&mut world, b"hello");
    assert_talking(&mut world, b"hello again");
    let status = world.server(1).status(2);
    assert_eq!((status.state, status.sent, status.received, status.rejected), (LinkState::Up, 2, 2, 0));
    assert!(status.established.is_some_and(|since| since > START && since < START + seconds(1)));
    let asked = status.probes_sent;
    world.route = Box::new(|_, _| None);
    world.run(seconds(4));
    let status = world.server(1).status(2);
    assert_eq!((status.probes_sent, status.probes_unanswered), (asked + 2, 2));
}

struct Broken;

impl Random for Broken {
    fn fill(&mut self, _: &mut [u8]) -> Result<(), crate::crypto::Error> {
        Err(crate::crypto::Error::Randomness)
    }
}

#[test]
fn without_randomness_nothing_is_sent_and_nothing_breaks() {
    let mut world = linked(DAY);
    let now = world.now;
    let peer = address(2).ip();
    world.with(1, |links, _, _| {
        assert!(!links.send(peer, b"body", &mut Broken));
        for second in 0..30 {
            links.handle_timeout(&mut Broken, now + seconds(second));
        }
    });
    world.run(seconds(0));
    let internal = Event::Failed(Error::Internal(crate::crypto::Error::Randomness));
    let log = world.server(1).log.clone();
    assert_eq!(log[1].1, Event::Down(Unacceptable::NoAnswer.into()));
    assert!(log[2..].iter().all(|(_, event)| *event == internal) && log.len() > 3, "{log:?}");
    let mut fresh = Chance(5);
    world.with(1, |links, _, _| links.handle_timeout(&mut fresh, now + seconds(60)));
    world.run(seconds(70));
    assert_talking(&mut world, b"recovered");
}
