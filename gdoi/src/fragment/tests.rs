use super::*;
use crate::endpoint::Instant;
use crate::error::Misbehaved;
use crate::wire::{Cookie, ExchangeType, MAX_MESSAGE};
use std::net::SocketAddr;
use std::time::Duration;

const START: Instant = Instant::from_millis(1_000_000);

fn peer(number: u8) -> SocketAddr {
    ([192, 0, 2, number], 848).into()
}

fn header() -> Header {
    Header {
        initiator: Cookie([1; 8]),
        responder: Cookie([2; 8]),
        next: PayloadType::HASH,
        exchange: ExchangeType::GROUPKEY_PULL,
        flags: Flags::ENCRYPTED,
        message_id: 0x0a0b_0c0d,
    }
}

/// A message of so many octets, all different from their neighbours.
fn message(length: usize) -> Vec<u8> {
    let body: Vec<_> = (0..length - HEADER_LEN).map(|octet| (octet % 251) as u8).collect();
    header().emit(&body).unwrap()
}

/// What each of these datagrams leads to.
fn feed(
    reassembly: &mut Reassembly,
    from: SocketAddr,
    datagrams: &[Vec<u8>],
    now: Instant,
) -> Vec<Result<Vec<Vec<u8>>, Error>> {
    feed_for(Purpose::Registration, reassembly, from, datagrams, now)
}

fn feed_for(
    purpose: Purpose,
    reassembly: &mut Reassembly,
    from: SocketAddr,
    datagrams: &[Vec<u8>],
    now: Instant,
) -> Vec<Result<Vec<Vec<u8>>, Error>> {
    let each = datagrams.iter().map(|datagram| reassembly.add(from, purpose, &Piece::parse(datagram)?, now));
    each.collect()
}

fn wholes(results: Vec<Result<Vec<Vec<u8>>, Error>>) -> Vec<Vec<u8>> {
    results.into_iter().flat_map(Result::unwrap).collect()
}

/// A datagram with this fragment in it.
fn datagram(id: u16, number: u8, position: Position, data: &[u8]) -> Vec<u8> {
    let fragment = Fragment { id, number, position, data }.emit().unwrap();
    let header = Header { next: PayloadType::FRAGMENT, flags: Flags::NONE, ..header() };
    header.emit(&emit_chain(&[(PayloadType::FRAGMENT, &fragment)]).unwrap()).unwrap()
}

#[test]
fn the_layout_is_the_known_one() {
    let fragments = split(&message(1_165), 0x1234).unwrap();
    let [first, last] = &fragments[..] else { panic!("{}", fragments.len()) };
    let front = |length: u16, payload: u16, number: u8, flags: u8| {
        let mut front = vec![1; 8];
        front.extend([2; 8]);
        front.extend([132, 0x10, 32, 0, 0x0a, 0x0b, 0x0c, 0x0d, 0, 0]);
        front.extend(length.to_be_bytes());
        front.extend([0, 0]);
        front.extend(payload.to_be_bytes());
        front.extend([0x12, 0x34, number, flags]);
        front
    };
    assert_eq!(first[..36], front(1_200, 1_172, 1, 0));
    assert_eq!(first[36..], message(1_165)[..1_164]);
    assert_eq!(*last, [front(37, 9, 2, 1), message(1_165)[1_164..].to_vec()].concat());
    assert!(is_fragment(first) && is_fragment(last) && !is_fragment(&message(1_165)));
}

#[test]
fn messages_of_any_length_come_whole_in_any_order() {
    for length in [28, 29, 1_164, 1_165, 2_328, 2_329, 20_000, MAX_MESSAGE] {
        let mut fragments = split(&message(length), 7).unwrap();
        assert!(fragments.iter().all(|fragment| fragment.len() <= LONGEST_DATAGRAM));
        for _ in 0..2 {
            fragments.reverse();
            let whole = wholes(feed(&mut Reassembly::default(), peer(1), &fragments, START));
            assert_eq!(whole, [message(length)]);
        }
    }
    assert_eq!(split(&[0; 27], 7), Err(Malformed::Truncated("ISAKMP header")));
}

#[test]
fn duplicates_change_nothing() {
    let mut fragments = split(&message(5_000), 7).unwrap();
    fragments.extend(fragments.clone());
    fragments.sort();
    let mut reassembly = Reassembly::default();
    assert_eq!(wholes(feed(&mut reassembly, peer(1), &fragments, START)), [message(5_000)]);
    assert_eq!(wholes(feed(&mut reassembly, peer(1), &fragments, START)).len(), 0, "it came already");
    assert_eq!(reassembly.held(), (1, 5_000));
}

#[test]
fn a_lost_fragment_is_a_lost_message_and_the_next_transmission_cures_it() {
    let mut reassembly = Reassembly::default();
    let (mut first, again) = (split(&message(5_000), 7).unwrap(), split(&message(5_000), 8).unwrap());
    let late = first.remove(2);
    assert_eq!(wholes(feed(&mut reassembly, peer(1), &first, START)).len(), 0);
    assert_eq!(wholes(feed(&mut reassembly, peer(1), &again, START)), [message(5_000)]);
    assert_eq!(reassembly.held(), (2, 2 * 5_000 - 1_164));
    let now = START + LIFE;
    assert_eq!(reassembly.next_timeout(), Some(now));
    assert_eq!(wholes(feed(&mut reassembly, peer(1), &[late], now)).len(), 0, "given up before");
    reassembly.expire(now + LIFE);
    assert_eq!((reassembly.held(), reassembly.next_timeout()), ((0, 0), None));
}

#[test]
fn peers_and_associations_do_not_mix() {
    let mut reassembly = Reassembly::default();
    let fragments = split(&message(2_000), 7).unwrap();
    let mut other = fragments[1].clone();
    other[8] ^= 1;
    assert_eq!(wholes(feed(&mut reassembly, peer(1), &fragments[..1], START)).len(), 0);
    assert_eq!(wholes(feed(&mut reassembly, peer(2), &fragments[1..], START)).len(), 0);
    assert_eq!(wholes(feed(&mut reassembly, peer(1), &[other], START)).len(), 0);
    assert_eq!(wholes(feed(&mut reassembly, peer(1), &fragments[1..], START)), [message(2_000)]);
}

/// Whatever is said before or between the true fragments, the true message comes out, once.
#[test]
fn what_contradicts_spoils_nothing() {
    let fragments = split(&message(5_000), 7).unwrap();
    let other = [5; 1_164];
    let hostile = [
        datagram(7, 1, Position::Before, &other),
        datagram(7, 1, Position::Last, &other),
        datagram(7, 2, Position::Last, &other),
        datagram(7, 2, Position::Before, &other[..9]),
        datagram(7, 5, Position::Before, &other),
        datagram(7, 5, Position::Last, &other),
        datagram(7, 9, Position::Before, &other),
        datagram(7, 255, Position::Last, &other),
    ];
    for first in &hostile {
        for second in &hostile {
            for at in 0..=fragments.len() {
                let mut sent = fragments.clone();
                sent.insert(at, second.clone());
                sent.insert(at / 2, first.clone());
                let mut reassembly = Reassembly::default();
                let results = feed(&mut reassembly, peer(1), &sent, START);
                let came = results.into_iter().flatten().flatten().filter(|whole| *whole == message(5_000));
                assert_eq!(came.count(), 1, "{first:?} {second:?} {at}");
                assert!(reassembly.held().0 == 1 && reassembly.held().1 <= 8 * 6_000);
            }
        }
    }
}

#[test]
fn readings_of_one_message_are_bounded() {
    let mut reassembly = Reassembly::default();
    let forged: Vec<_> = (0..100).map(|octet| datagram(7, 1, Position::Before, &[octet; 1_164])).collect();
    let results = feed(&mut reassembly, peer(1), &forged, START);
    assert!(results[..8].iter().all(Result::is_ok));
    assert!(results[8..].iter().all(|result| *result == Err(Misbehaved::Fragment.into())));
    assert_eq!(reassembly.held(), (1, 8 * 1_164));
}

/// A KEK's SPI can be read in every rekey message. Forged fragments of a single octet come with it from a key server's
/// address and from others, before, between and after those of a long rekey message.
#[test]
fn single_octets_under_a_known_name_lose_no_rekey() {
    let rekey = split(&message(16_000), 7).unwrap();
    assert_eq!(rekey.len(), 14);
    for (origin, forgers) in [(Origin::Expected, 1), (Origin::Anybody, 1), (Origin::Anybody, 200)] {
        let mut reassembly = Reassembly::default();
        let (mut came, mut number) = (Vec::new(), 0u16);
        for fragment in &rekey {
            for _ in 0..500 {
                number += 1;
                let forged = [datagram(100 + number, 1 + number as u8 % 99, Position::Before, &[1])];
                let from = if forgers == 1 { peer(1) } else { peer(number as u8 % forgers) };
                feed_for(Purpose::Rekey(origin), &mut reassembly, from, &forged, START);
            }
            let fragment = std::slice::from_ref(fragment);
            came.extend(wholes(feed_for(Purpose::Rekey(origin), &mut reassembly, peer(1), fragment, START)));
        }
        assert_eq!(came, [message(16_000)], "{origin:?} {forgers}");
    }
}

#[test]
fn no_purpose_takes_room_from_another() {
    let purposes = [
        Purpose::Cooperation,
        Purpose::Registration,
        Purpose::Rekey(Origin::Expected),
        Purpose::Rekey(Origin::Anybody),
    ];
    let honest = split(&message(5_000), 7).unwrap();
    for kept in purposes {
        let mut reassembly = Reassembly::default();
        assert_eq!(wholes(feed_for(kept, &mut reassembly, peer(1), &honest[..4], START)).len(), 0);
        for other in purposes.into_iter().filter(|purpose| *purpose != kept) {
            for id in 0..40 {
                let begun = split(&message(60_000), id).unwrap();
                feed_for(other, &mut reassembly, peer(1), &begun[..begun.len() - 1], START);
                feed_for(other, &mut reassembly, peer(id as u8), &begun[..begun.len() - 1], START);
            }
        }
        assert_eq!(wholes(feed_for(kept, &mut reassembly, peer(1), &honest[4..], START)), [message(5_000)]);
    }
}

#[test]
fn a_fragment_in_fragments_is_refused() {
    let inner = split(&message(5_000), 7).unwrap().remove(0);
    let results = feed(&mut Reassembly::default(), peer(1), &split(&inner, 8).unwrap(), START);
    let refused = Err(Misbehaved::UnexpectedPayload(PayloadType::FRAGMENT).into());
    assert_eq!(results, [Ok(Vec::new()), refused]);
}

#[test]
fn no_message_is_longer_than_one_that_comes_whole() {
    let mut reassembly = Reassembly::default();
    let datagrams: Vec<_> =
        (1..=255).map(|number| datagram(7, number, Position::Before, &[9; 300])).collect();
    let results = feed(&mut reassembly, peer(1), &datagrams, START);
    let refused = Err(Malformed::Length("message in fragments").into());
    assert!(results[..200].iter().all(|result| *result == Ok(Vec::new())));
    assert!(results[200..].iter().all(|result| *result == refused));
    assert_eq!(reassembly.held(), (1, MAX_MESSAGE));
}

#[test]
fn what_is_no_fragment_is_refused() {
    let sound = datagram(7, 1, Position::Last, &[9; 40]);
    assert!(Piece::parse(&sound).is_ok());
    let encrypted = [&sound[..19], &[1], &sound[20..]].concat();
    assert_eq!(Piece::parse(&encrypted), Err(Misbehaved::Encryption.into()));
    let fragment = Fragment { id: 7, number: 1, position: Position::Last, data: &[9; 40] }.emit().unwrap();
    let header = Header { next: PayloadType::FRAGMENT, flags: Flags::NONE, ..header() };
    let two = emit_chain(&[(PayloadType::FRAGMENT, &fragment), (PayloadType::FRAGMENT, &fragment)]).unwrap();
    let twice = Misbehaved::DuplicatePayload(PayloadType::FRAGMENT);
    assert_eq!(Piece::parse(&header.emit(&two).unwrap()), Err(twice.into()));
    let more = emit_chain(&[(PayloadType::FRAGMENT, &fragment), (PayloadType::NONCE, &[1])]).unwrap();
    let unexpected = Misbehaved::UnexpectedPayload(PayloadType::NONCE);
    assert_eq!(Piece::parse(&header.emit(&more).unwrap()), Err(unexpected.into()));
    let behind = [&emit_chain(&[(PayloadType::FRAGMENT, &fragment)]).unwrap()[..], &[0]].concat();
    let trailing = Malformed::TrailingBytes("payload chain");
    assert_eq!(Piece::parse(&header.emit(&behind).unwrap()), Err(trailing.into()));
}

#[test]
fn one_peer_gets_only_its_share() {
    let mut reassembly = Reassembly::default();
    let honest = split(&message(3_000), 7).unwrap();
    assert_eq!(wholes(feed(&mut reassembly, peer(1), &honest[..2], START)).len(), 0);
    for id in 0..1_000 {
        let now = START + Duration::from_millis(id.into());
        let begun = split(&message(60_000), id).unwrap();
        feed(&mut reassembly, peer(2), &begun[..begun.len() - 1], now);
        assert!(reassembly.held().0 <= 1 + MAX_PER_PEER);
        assert!(reassembly.held().1 <= 3_000 + 4 * MAX_MESSAGE);
    }
    let now = START + Duration::from_secs(2);
    assert_eq!(wholes(feed(&mut reassembly, peer(1), &honest[2..], now)), [message(3_000)]);
}

/// Many peers flood with whatever takes the most; the one message of an honest peer gets through.
#[test]
fn memory_is_bounded_and_the_greedy_pay() {
    let mut reassembly = Reassembly::default();
    let honest = split(&message(3_000), 7).unwrap();
    assert_eq!(wholes(feed(&mut reassembly, peer(0), &honest[..2], START)).len(), 0);
    let mut most = (0, 0);
    for round in 0..5 {
        for hostile in 1..=100 {
            let begun = split(&message(60_000), round).unwrap();
            feed(&mut reassembly, peer(hostile), &begun[1..], START + Duration::from_millis(1));
            let held = reassembly.held();
            most = (most.0.max(held.0), most.1.max(held.1));
        }
    }
    assert!(most.0 <= MAX_MESSAGES && (MAX_OCTETS - MAX_MESSAGE..=MAX_OCTETS).contains(&most.1), "{most:?}");
    assert_eq!(wholes(feed(&mut reassembly, peer(0), &honest[2..], START)), [message(3_000)]);
    for id in 0..1_000 {
        let small = [datagram(id, 2, Position::Before, &[1])];
        feed(&mut reassembly, peer(id as u8), &small, START + Duration::from_millis(2));
        assert!(reassembly.held().0 <= MAX_MESSAGES && reassembly.held().1 <= MAX_OCTETS);
    }
}
