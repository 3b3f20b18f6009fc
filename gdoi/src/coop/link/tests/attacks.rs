//! What the network may do to a link.

use super::*;
use crate::error::{Malformed, Misbehaved};
use crate::wire::Flags;

/// A COOP message from 1 to 2 that is still under way.
fn caught(world: &mut World, body: &[u8]) -> Vec<u8> {
    assert!(world.say(1, 2, body));
    world.flights.clear();
    world.sent.last().unwrap().payload.clone()
}

fn inject(world: &mut World, from: u8, to: u8, payload: &[u8]) {
    world.inject(address(from), address(to), payload);
}

fn last(server: &Server) -> &Event {
    &server.log.last().unwrap().1
}

#[test]
fn old_messages_are_refused() {
    let mut world = linked(DAY);
    let messages: Vec<_> = (1..=4u8).map(|number| caught(&mut world, &[number])).collect();
    for (number, taken) in [(1, true), (1, false), (3, true), (2, false), (3, false), (4, true), (1, false)] {
        // What was overtaken is waited for, but not for long.
        world.run(if number == 2 { seconds(1) } else { Duration::ZERO });
        inject(&mut world, 1, 2, &messages[number - 1]);
        let refused = |got, last| Event::Rejected(Misbehaved::Replayed { got, last }.into());
        let seen = last(world.server(2)).clone();
        match taken {
            true => assert_eq!(seen, Event::Received(vec![number as u8])),
            false => assert!((1..=4).any(|last| seen == refused(number as u64, last)), "{seen:?}"),
        }
    }
    assert_eq!(world.server(2).received(), [vec![1], vec![3], vec![4]]);
    let status = world.server(2).status(1);
    assert_eq!((status.received, status.rejected), (3, 4));
}

#[test]
fn messages_that_overtake_each_other_are_taken_once() {
    let mut world = linked(DAY);
    let messages: Vec<_> = (1..=5u8).map(|number| caught(&mut world, &[number])).collect();
    for number in [2, 1, 5, 3, 4, 1, 2, 3, 4, 5] {
        inject(&mut world, 1, 2, &messages[number - 1]);
    }
    assert_eq!(world.server(2).received(), [[2], [1], [5], [3], [4]]);
    let status = world.server(2).status(1);
    assert_eq!((status.received, status.rejected), (5, 5));
}

#[test]
fn every_octet_of_a_message_matters() {
    let mut world = linked(DAY);
    let message = caught(&mut world, b"do not touch");
    for position in 0..message.len() {
        for bit in 0..8 {
            let mut changed = message.clone();
            changed[position] ^= 1 << bit;
            inject(&mut world, 1, 2, &changed);
        }
    }
    for length in 0..message.len() {
        inject(&mut world, 1, 2, &message[..length]);
    }
    assert!(world.server(2).received().is_empty());
    assert_eq!(world.server(2).status(1).sent, 0);
    assert_one_sa(&mut world);
    inject(&mut world, 1, 2, &message);
    assert_eq!(world.server(2).received(), [b"do not touch".to_vec()]);
}

/// Both sides have the same keys: what comes back to its sender must not pass for the peer's.
#[test]
fn reflected_messages_are_refused() {
    for speaker in [1, 2] {
        let mut world = linked(DAY);
        let peer = 3 - speaker;
        assert!(world.say(speaker, peer, b"echo"));
        let message = world.sent.last().unwrap().payload.clone();
        inject(&mut world, peer, speaker, &message);
        assert_eq!(*last(world.server(speaker)), Event::Rejected(Misbehaved::Reflected.into()));
        world.route = Box::new(|_, _| None);
        world.run(seconds(4));
        let own = address(speaker);
        let question = world.sent.iter().rfind(|flight| flight.from == own).unwrap().payload.clone();
        let before = world.sent.len();
        inject(&mut world, peer, speaker, &question);
        assert_eq!(*last(world.server(speaker)), Event::Rejected(Misbehaved::Reflected.into()));
        assert_eq!(world.sent.len(), before);
    }
}

#[test]
fn old_questions_and_answers_prove_nothing() {
    let mut world = linked(DAY);
    world.run(seconds(10));
    let protected = |flight: &&Flight| is(flight, ExchangeType::INFORMATIONAL);
    let old: Vec<_> = world.sent.iter().filter(protected).cloned().collect();
    assert!(old.len() >= 6);
    world.route = Box::new(|_, _| None);
    let (before, sent) = (world.server(1).log.len() + world.server(2).log.len(), world.sent.len());
    for flight in &old {
        world.inject(flight.from, flight.to, &flight.payload);
    }
    assert_eq!(world.sent.len(), sent);
    assert_eq!(world.server(1).log.len() + world.server(2).log.len(), before + old.len());
    let replayed =
        |event: &Event| matches!(event, Event::Rejected(Error::Misbehaved(Misbehaved::Replayed { .. })));
    assert_eq!(world.server(1).count(replayed) + world.server(2).count(replayed), old.len());
    for _ in 0..7 {
        old.iter().for_each(|flight| world.inject(flight.from, flight.to, &flight.payload));
        world.run(seconds(1));
    }
    for server in &world.servers {
        server.when(&Event::Down(Unacceptable::NoAnswer.into())).unwrap();
    }
}

/// A message of server 1 as its keys make it.
fn forged(world: &mut World, exchange: ExchangeType, payload: (PayloadType, &[u8])) -> Vec<u8> {
    world.server(1).channels(2)[0].sa.single(exchange, payload, &mut Chance(1)).unwrap()
}

#[test]
fn what_a_peer_must_not_say() {
    let mut world = linked(DAY);
    let sequence = |number: u64, length: usize| [&number.to_be_bytes()[..], &vec![0; length]].concat();
    let number = match world.server(1).channels(2)[0].side {
        channel::Side::Initiator => 1,
        channel::Side::Responder => 1 << 63 | 1,
    };
    let wrong_cookies = crate::wire::Liveness { kind: NotifyType::R_U_THERE, cookies: [9; 16], sequence: 1 };
    let coop = (ExchangeType::COOP, PayloadType::COOP);
    let inform = (ExchangeType::INFORMATIONAL, PayloadType::NOTIFY);
    let cases: Vec<((ExchangeType, PayloadType), Vec<u8>, Error)> = vec![
        (coop, sequence(number, channel::MAX_BODY + 1), Malformed::Length("COOP payload").into()),
        (coop, vec![0; 7], Malformed::Truncated("COOP payload").into()),
        (coop, sequence(number & 1 << 63, 1), Misbehaved::Replayed { got: 0, last: 0 }.into()),
        (
            (ExchangeType::COOP, PayloadType::NOTIFY),
            sequence(number, 1),
            Misbehaved::MissingPayload(PayloadType::COOP).into(),
        ),
        (
            (ExchangeType::INFORMATIONAL, PayloadType::COOP),
            sequence(number, 1),
            Misbehaved::UnexpectedPayload(PayloadType::COOP).into(),
        ),
        (inform, wrong_cookies.emit().unwrap(), Misbehaved::Cookie.into()),
        (
            inform,
            wrong_cookies.emit().unwrap()[..26].to_vec(),
            Malformed::Truncated("dead peer detection payload").into(),
        ),
        (
            (ExchangeType::GROUPKEY_PULL, PayloadType::NONCE),
            vec![0; 8],
            Misbehaved::UnsupportedExchange(ExchangeType::GROUPKEY_PULL).into(),
        ),
    ];
    for ((exchange, kind), body, reason) in cases {
        let message = forged(&mut world, exchange, (kind, &body));
        inject(&mut world, 1, 2, &message);
        assert_eq!(*last(world.server(2)), Event::Rejected(reason));
    }
    assert_talking(&mut world, b"no harm done");
}

#[test]
fn a_coop_message_has_one_payload() {
    let mut world = linked(DAY);
    let sa = &world.server(1).channels(2)[0].sa;
    let delete = crate::wire::Delete::phase1(sa.cookies.octets()).emit().unwrap();
    let payloads = [(PayloadType::COOP, &[0; 9][..]), (PayloadType::DELETE, &delete[..])];
    let hash = |rest: &[u8]| sa.skeyid().informational_hash(7, rest);
    let message = sa.seal(ExchangeType::COOP, 7, &sa.first_iv(7), &payloads, hash).unwrap().message;
    inject(&mut world, 1, 2, &message);
    let reason = Misbehaved::UnexpectedPayload(PayloadType::DELETE);
    assert_eq!(*last(world.server(2)), Event::Rejected(reason.into()));
    assert_one_sa(&mut world);
}

#[test]
fn messages_in_clear_are_refused() {
    let mut world = linked(DAY);
    let cookies = world.server(1).channels(2)[0].sa.cookies;
    let question =
        crate::wire::Liveness { kind: NotifyType::R_U_THERE, cookies: cookies.octets(), sequence: 1 };
    let delete = crate::wire::Delete::phase1(cookies.octets());
    for (kind, body) in
        [(PayloadType::NOTIFY, question.emit().unwrap()), (PayloadType::DELETE, delete.emit().unwrap())]
    {
        let header = Header {
            initiator: cookies.initiator,
            responder: cookies.responder,
            next: kind,
            exchange: ExchangeType::INFORMATIONAL,
            flags: Flags::NONE,
            message_id: 7,
        };
        let sent = world.sent.len();
        inject(&mut world, 1, 2, &header.emit(&crate::wire::emit_chain(&[(kind, &body)]).unwrap()).unwrap());
        assert_eq!(*last(world.server(2)), Event::Rejected(Misbehaved::Encryption.into()));
        assert_eq!(world.sent.len(), sent);
    }
    assert_one_sa(&mut world);
}

/// A notify proves nothing, because it may come again: the peer still dies.
#[test]
fn other_notifies_change_nothing() {
    let mut world = linked(DAY);
    let body = Notify { kind: NotifyType::INITIAL_CONTACT }.emit().unwrap();
    let message = forged(&mut world, ExchangeType::INFORMATIONAL, (PayloadType::NOTIFY, &body));
    world.route = Box::new(|_, _| None);
    for _ in 0..7 {
        inject(&mut world, 1, 2, &message);
        world.run(seconds(1));
    }
    assert_eq!(*last(world.server(2)), Event::Down(Unacceptable::NoAnswer.into()));
}

#[test]
fn strangers_are_refused() {
    let mut world = linked(DAY);
    let message = caught(&mut world, b"from elsewhere");
    let (header, body) = Header::parse(&message).unwrap();
    for stranger in ["192.0.2.3:848", "[2001:db8::1]:848"] {
        let stranger: SocketAddr = stranger.parse().unwrap();
        assert!(!world.server(2).links.owns(stranger, &header));
        world.with(2, |links, random, now| links.handle_datagram(stranger, &header, body, random, now));
        assert_eq!(*last(world.server(2)), Event::Rejected(Misbehaved::UnknownExchange.into()));
    }
}

#[test]
fn main_mode_belongs_to_the_side_that_began_it() {
    let mut world = linked(DAY);
    let (header, ..) = Header::parse(&world.sent[0].payload).unwrap();
    let (began, asked) = match world.sent[0].from == address(1) {
        true => (1, 2),
        false => (2, 1),
    };
    let cookies = world.server(1).channels(2)[0].sa.cookies;
    let header = Header { responder: cookies.responder, ..header };
    assert!(world.server(began).links.owns(address(asked), &header));
    assert!(!world.server(asked).links.owns(address(began), &header));
    let protected = Header { exchange: ExchangeType::INFORMATIONAL, ..header };
    assert!(world.server(asked).links.owns(address(began), &protected));
    assert!(!world.server(asked).links.owns(address(3), &protected));
    // The last message once more says nothing new.
    let main_mode: Vec<_> =
        world.sent.iter().filter(|flight| is(flight, ExchangeType::IDENTITY_PROTECTION)).cloned().collect();
    let sixth = main_mode.last().unwrap();
    world.inject(sixth.from, sixth.to, &sixth.payload);
    assert_eq!(*last(world.server(began)), Event::Rejected(Misbehaved::UnknownExchange.into()));
    assert_one_sa(&mut world);
}
