//! The regression checklist, concluded: peers of a key server that flood it, that know the pre-shared key and misbehave, or
//! that ask for what there is not.

use crate::bench::fleet::{
    group, member, member_address, member_config, server, server_address, server_config,
};
use crate::bench::node::Node;
use crate::bench::rogue::{first_message, main_mode, Rogue};
use crate::bench::{Link, World};
use gdoi::crypto::Secret;
use gdoi::phase1::Cookies;
use gdoi::policy::{Doi, Identity, Proposal};
use gdoi::wire::{Cookie, Delete, ExchangeType, Identification, PayloadType, Phase1Sa, HEADER_LEN};
use gdoi::{Instant, KeyServer, KeyServerEvent};
use std::net::SocketAddr;
use std::time::Duration;

const NOW: Instant = Instant::from_millis(1_000_000);

fn key_server() -> Node<KeyServer> {
    Node::new(server(server_config(1), 1, NOW), NOW)
}

fn talk(server: &mut Node<KeyServer>, datagram: &[u8]) -> Vec<u8> {
    let sent = server.datagram(member_address(1), datagram, NOW);
    sent.into_iter().next().unwrap_or_else(|| panic!("no answer: {:?}", server.events)).payload
}

fn member_id() -> Vec<u8> {
    Identification::phase1(&member_config(1).identity).emit().unwrap()
}

/// A member that has passed phase 1.
fn inside(server: &mut Node<KeyServer>) -> Rogue {
    let mut rogue = Rogue::meet(|datagram| talk(server, datagram));
    let sixth = talk(server, &rogue.introduce(&member_id()));
    rogue.conclude(&sixth);
    rogue
}

/// The first message of a PULL with these payloads.
fn ask(rogue: &Rogue, id: u32, payloads: &[(PayloadType, &[u8])]) -> Vec<u8> {
    let hash = |rest: &[u8]| rogue.keys().pull_hash_1(id, rest);
    rogue.say((ExchangeType::GROUPKEY_PULL, id), &rogue.first_iv(id), payloads, hash)
}

fn last_reason(server: &Node<KeyServer>) -> String {
    server.events.last().unwrap().1.to_string()
}

fn group_id() -> Vec<u8> {
    Identification::group(group().id).emit().unwrap()
}

#[test]
fn item_4_refusals_show_nothing_but_the_refusal() {
    let weak = Phase1Sa::new(Doi::Gdoi, &[Proposal { key_len: 24, ..Proposal::default() }]).emit().unwrap();
    let cookies = Cookies { initiator: Cookie([9; 8]), responder: Cookie::ZERO };
    let mut server = key_server();
    let answer =
        talk(&mut server, &main_mode(cookies, &[(PayloadType::SA, &weak), (PayloadType::VENDOR, &[7; 900])]));
    assert_eq!(answer.len(), HEADER_LEN + 12);
    assert_eq!(answer[HEADER_LEN..], [0, 0, 0, 12, 0, 0, 0, 1, 1, 0, 0, 14]);
    assert_eq!(server.endpoint.status(NOW).half_open, 0);
}

/// RSA encrypted nonces were an oracle (CVE-2018-0131); nothing but pre-shared keys is ever chosen.
#[test]
fn item_12_other_ways_to_authenticate_are_not_chosen() {
    let honest = first_message(0);
    let method = HEADER_LEN + 4 + 39;
    assert_eq!(honest[method - 3..=method], [0x80, 3, 0, 1]);
    for other in [0, 2, 3, 4, 5, 6, 9, 10, 11, 64, 255] {
        let mut server = key_server();
        let mut first = honest.clone();
        first[method] = other;
        assert_eq!(talk(&mut server, &first)[18], ExchangeType::INFORMATIONAL.0);
        assert_eq!(server.endpoint.status(NOW).half_open, 0);
    }
}

#[test]
fn item_7_identities_that_are_none() {
    for id_b in [
        vec![],
        vec![1, 0, 0],
        vec![1, 0, 0, 0],
        vec![1, 0, 0, 0, 198, 51, 0],
        vec![2, 0, 0, 0],
        vec![2, 0, 0, 0, 0xff],
        vec![9, 0, 0, 0, 0x30, 0x84, 0xff, 0xff, 0xff, 0xff],
        vec![5, 0, 0, 0, 1],
        [&[11, 0, 0, 0][..], &[1; 256]].concat(),
    ] {
        let mut server = key_server();
        let mut rogue = Rogue::meet(|datagram| talk(&mut server, datagram));
        server.datagram(member_address(1), &rogue.introduce(&id_b), NOW);
        assert_eq!(server.endpoint.status(NOW).established, 0, "{id_b:?}");
    }
}

#[test]
fn requests_without_what_a_request_needs() {
    let (nonce, id) = ((PayloadType::NONCE, &[1; 16][..]), group_id());
    let id = (PayloadType::ID, &id[..]);
    let name = Identification::phase1(&Identity::Fqdn("corp".into())).emit().unwrap();
    let long = [&[11, 0, 0, 0][..], &[1; 256]].concat();
    for (payloads, reason) in [
        (&[nonce][..], "ID payload is missing"),
        (&[id], "nonce payload is missing"),
        (&[nonce, nonce, id], "nonce payload occurs twice"),
        (&[nonce, id, id], "ID payload occurs twice"),
        (&[nonce, id, (PayloadType::KE, &[1; 64])], "KE payload is out of place"),
        (&[(PayloadType::NONCE, &[1; 7]), id], "nonce is not"),
        (&[(PayloadType::NONCE, &[1; 129]), id], "nonce is not"),
        (&[nonce, (PayloadType::ID, &name)], "group identity type 2"),
        (&[nonce, (PayloadType::ID, &[11, 0, 0, 0])], "ID payload has an impossible length"),
        (&[nonce, (PayloadType::ID, &long)], "ID payload has an impossible length"),
    ] {
        let mut server = key_server();
        let rogue = inside(&mut server);
        server.datagram(member_address(1), &ask(&rogue, 5, payloads), NOW);
        assert!(last_reason(&server).contains(reason), "{reason}: {}", last_reason(&server));
        assert!(server.endpoint.status(NOW).groups[0].members.is_empty());
    }
}

#[test]
fn a_group_may_be_asked_for_by_name() {
    let mut server = key_server();
    let rogue = inside(&mut server);
    let name = Identification::phase1(&Identity::KeyId(b"corp".to_vec())).emit().unwrap();
    let answer =
        talk(&mut server, &ask(&rogue, 5, &[(PayloadType::NONCE, &[1; 16]), (PayloadType::ID, &name)]));
    assert_eq!(answer[18], ExchangeType::GROUPKEY_PULL.0);
}

/// Keys leave the server only in answer to a third message with the right hash.
#[test]
fn no_keys_without_a_proof_of_life() {
    let mut server = key_server();
    let rogue = inside(&mut server);
    let id = group_id();
    let second =
        talk(&mut server, &ask(&rogue, 5, &[(PayloadType::NONCE, &[1; 16]), (PayloadType::ID, &id)]));
    let iv = *second.last_chunk().unwrap();
    let wrong = rogue.say((ExchangeType::GROUPKEY_PULL, 5), &iv, &[], |_| Secret::new(vec![0; 32]));
    assert_eq!(server.datagram(member_address(1), &wrong, NOW), []);
    assert!(last_reason(&server).contains("hash does not match"));
    let replayed = ask(&rogue, 6, &[(PayloadType::NONCE, &[1; 16]), (PayloadType::ID, &id)]);
    assert_ne!(talk(&mut server, &replayed), second);
    assert!(server.endpoint.status(NOW).groups[0].members.is_empty());
}

#[test]
fn item_9_informational_messages_of_a_member() {
    let mut server = key_server();
    let rogue = inside(&mut server);
    let dpd = [&[0, 0, 0, 1, 1, 16, 0x8d, 0x28][..], &rogue.cookies.octets(), &[0; 4]].concat();
    let dpd = (PayloadType::NOTIFY, &dpd[..]);
    let foreign = Delete::phase1([1; 16]).emit().unwrap();
    for payloads in [&[dpd][..], &[dpd, dpd], &[(PayloadType::DELETE, &foreign), dpd], &[]] {
        assert_eq!(server.datagram(member_address(1), &rogue.inform(9, payloads), NOW), []);
        assert_eq!(server.endpoint.status(NOW).established, 1);
    }
    let own = Delete::phase1(rogue.cookies.octets()).emit().unwrap();
    server.datagram(member_address(1), &rogue.inform(10, &[(PayloadType::DELETE, &own), dpd]), NOW);
    assert_eq!(server.endpoint.status(NOW).established, 0);
}

#[test]
fn item_8_fragments_are_no_payloads_here() {
    let mut server = key_server();
    let cookies = Cookies { initiator: Cookie([9; 8]), responder: Cookie::ZERO };
    for body in [&[][..], &[0, 1, 1, 1], &[0; 3000]] {
        assert_eq!(
            server.datagram(member_address(1), &main_mode(cookies, &[(PayloadType(132), body)]), NOW),
            []
        );
    }
    assert_eq!(server.endpoint.status(NOW).half_open, 0);
}

#[test]
fn a_duplicate_is_answered_with_the_same_octets() {
    let mut world = World::new(5, Link::CALM);
    world.meddle = Box::new(|datagram| vec![datagram.to_vec(), datagram.to_vec()]);
    let there = server_address(1);
    world.add_server(there, server(server_config(1), 1, world.now));
    world.add_member(member_address(1), member(member_config(1), 2));
    world.run_for(Duration::from_secs(60));
    let answers: Vec<_> =
        world.sent.iter().filter(|flight| flight.from == there).map(|flight| &flight.payload).collect();
    assert_eq!(answers.len(), 3 * 5);
    assert!(answers.chunks(3).all(|answers| answers[0] == answers[1] && answers[1] == answers[2]));
    let from_member = world.sent.iter().filter(|flight| flight.from == member_address(1)).count();
    assert_eq!(from_member, 3 + 2 + 1, "duplicates of answers make the member do nothing");
    assert_eq!(world.server(there).status(world.now).groups[0].members[0].registrations, 1);
}

fn flood(server: &mut Node<KeyServer>, peers: impl Iterator<Item = SocketAddr>, now: Instant) {
    for (number, peer) in (0..).zip(peers) {
        server.datagram(peer, &first_message(number), now);
    }
}

#[test]
fn item_13_half_open_exchanges_are_bounded_and_forgotten() {
    let mut server = key_server();
    flood(&mut server, (0..3000).map(member_address), NOW);
    assert!(server.endpoint.status(NOW).half_open <= 1024);
    flood(&mut server, (0..3000).map(|_| member_address(7)), NOW);
    assert!(server.endpoint.status(NOW).half_open <= 1024);
    let later = NOW + Duration::from_secs(40);
    server.timeout(later);
    assert_eq!(server.endpoint.status(later).half_open, 0);
}

#[test]
fn item_13_one_peer_may_have_only_a_few() {
    let mut server = key_server();
    flood(&mut server, (0..1000).map(|_| member_address(7)), NOW);
    assert!(server.endpoint.status(NOW).half_open <= 8);
}

#[test]
fn item_13_one_peer_may_have_only_a_few_established_ones() {
    let mut server = key_server();
    for number in 0..50u64 {
        let now = NOW + Duration::from_millis(number * 500);
        let mut talk =
            |datagram: &[u8]| server.datagram(member_address(1), datagram, now).remove(0).payload.clone();
        let mut rogue = Rogue::meet_with(&first_message(number), &mut talk);
        talk(&rogue.introduce(&member_id()));
    }
    assert_eq!(server.endpoint.status(NOW).established, 4);
}

/// A thousand forged first messages in each second; the honest member's exchange takes four round trips of 20 ms.
#[test]
fn item_13_an_honest_member_gets_through_a_flood() {
    let mut world = World::new(5, Link::CALM);
    let there = server_address(1);
    world.add_server(there, server(server_config(1), 1, world.now));
    for number in 0..4000u64 {
        world.inject(member_address(1000 + number as u16), there, &first_message(number));
        world.run_for(Duration::from_millis(1));
        if number == 2000 {
            world.add_member(member_address(1), member(member_config(1), 2));
        }
    }
    let status = world.member(member_address(1)).status(world.now);
    assert_eq!((status.registrations, status.failures), (1, 0));
}

#[test]
fn bad_datagrams_are_all_counted_and_few_are_reported() {
    let mut server = key_server();
    (0..5000).for_each(|_| drop(server.datagram(member_address(1), &[0; 28], NOW)));
    assert_eq!(server.endpoint.status(NOW).rejected, 5000);
    let reports =
        server.events.iter().filter(|(_, event)| matches!(event, KeyServerEvent::Rejected { .. })).count();
    assert!(reports <= 10, "{reports}");
}
