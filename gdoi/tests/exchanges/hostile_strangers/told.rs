//! What operators are told of floods.

use super::{inside, usual, work, NOW};
use crate::bench::fleet::member_address;
use crate::bench::node::Node;
use crate::bench::rogue::first_message;
use gdoi::policy::GroupId;
use gdoi::wire::{ExchangeType, Identification, PayloadType};
use gdoi::KeyServer;
use std::net::SocketAddr;
use std::time::Duration;

fn count(server: &Node<KeyServer>, name: &str) -> usize {
    server.events.iter().filter(|(_, event)| event.name() == name).count()
}

/// A member that asks 16 times under each association for a group that there is not.
fn ask_for_nothing(server: &mut Node<KeyServer>, associations: u16) {
    for number in 1..=associations {
        let rogue = inside(server, number, number.into(), NOW);
        let id = Identification::group(GroupId(4711)).emit().unwrap();
        let payloads = [(PayloadType::NONCE, &[1; 16][..]), (PayloadType::ID, &id)];
        for ask in 1..=16 {
            let hash = |rest: &[u8]| rogue.keys().pull_hash_1(ask, rest);
            let first = rogue.say((ExchangeType::GROUPKEY_PULL, ask), &rogue.first_iv(ask), &payloads, hash);
            assert_eq!(server.datagram(member_address(number), &first, NOW).len(), 1);
        }
    }
}

#[test]
fn a_flood_of_refusals_is_told_in_few_words_and_counted() {
    let mut server = usual();
    ask_for_nothing(&mut server, 10);
    let told = count(&server, "KS_GM_REFUSED");
    assert!(told <= 10, "{told}");
    work(&mut server, NOW + Duration::from_secs(30));
    assert_eq!(count(&server, "KS_EVENTS_OMITTED"), 1);
    let said = server.events.iter().find(|(_, event)| event.name() == "KS_EVENTS_OMITTED").unwrap();
    let text = said.1.to_string();
    assert!(text.contains("KS_GM_REFUSED") && text.contains(&(160 - told).to_string()), "{text}");
}

#[test]
fn a_flood_of_one_kind_hides_no_other() {
    let mut server = usual();
    (0..5_000).for_each(|_| drop(server.datagram(member_address(1), &[0; 28], NOW)));
    let stranger: SocketAddr = "203.0.113.1:848".parse().unwrap();
    server.datagram(stranger, &first_message(1), NOW);
    assert_eq!(count(&server, "KS_PHASE1_FAILED"), 1);
    ask_for_nothing(&mut server, 1);
    assert_eq!(count(&server, "KS_GM_REFUSED"), 10);
    assert!(count(&server, "KS_PACKET_DROPPED") <= 10);
}
