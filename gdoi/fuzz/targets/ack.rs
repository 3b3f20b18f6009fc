//! Acknowledgements for a key server with a rekey under way: raw ones, and any payloads behind a right hash. None is
//! answered, and only the member's own is believed.
#![no_main]

use gdoi::crypto::Secret;
use gdoi::{Instant, KeyServer};
use gdoi_fuzz::bench::fleet::{member_address, server_address};
use gdoi_fuzz::bench::node::Node;
use gdoi_fuzz::bench::random::Seeded;
use gdoi_fuzz::bench::stored::{Stored, StoredKek};
use gdoi_fuzz::{datagrams, payloads, registered, rekeying_config};
use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;

const NOW: Instant = Instant::from_millis(2_000_000);

/// What a key server with one member stored, octet by octet.
fn state() -> &'static [u8] {
    static STATE: OnceLock<Vec<u8>> = OnceLock::new();
    STATE.get_or_init(|| registered().stored(server_address(1).into()).unwrap().expose().to_vec())
}

fuzz_target!(|input: &[u8]| {
    let stored = Secret::from(state());
    let kek = Stored::read(&stored).keks[0].clone();
    let random = Box::new(Seeded::new(2));
    let mut node = Node::new(KeyServer::new(rekeying_config(), Some(&stored), random, NOW).unwrap(), NOW);
    assert_eq!(node.timeout(NOW).len(), 1, "it says everything once more");
    for (number, message) in datagrams(input).enumerate() {
        let Some((kind, octets)) = message.split_first() else { continue };
        let datagram = match kind % 2 {
            0 => hashed(&kek, octets).unwrap_or_default(),
            _ => octets.to_vec(),
        };
        let peer = member_address(1 + u16::from(number % 10 == 9));
        node.datagram(peer, &datagram, NOW);
        check(&node);
    }
});

fn hashed(kek: &StoredKek, octets: &[u8]) -> Option<Vec<u8>> {
    let all = payloads(octets)?;
    let rest: Vec<_> = all.iter().map(|(kind, body)| (*kind, &body[..])).collect();
    Some(kek.acknowledge_with(&rest))
}

fn check(node: &Node<KeyServer>) {
    let group = node.endpoint.status(NOW).groups.remove(0);
    let rekey = group.rekey.unwrap();
    assert_eq!(group.members.len(), 1);
    assert_eq!((rekey.acks.received, rekey.waiting_for), (1 - rekey.waiting_for as u64, rekey.waiting_for));
}
