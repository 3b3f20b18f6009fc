//! What a member that knows the pre-shared key may say: any payloads behind a right hash, in the first and third message of
//! PULLs and in informational messages.
#![no_main]

use gdoi::wire::{ExchangeType, Identification, PayloadType};
use gdoi::{Instant, KeyServer};
use gdoi_fuzz::bench::fleet::{member_address, member_config, server, server_config};
use gdoi_fuzz::bench::node::Node;
use gdoi_fuzz::bench::rogue::Rogue;
use gdoi_fuzz::datagrams;
use libfuzzer_sys::fuzz_target;

const NOW: Instant = Instant::from_millis(1_000_000);

fuzz_target!(|input: &[u8]| {
    let mut node = Node::new(server(server_config(1), 1, NOW), NOW);
    let rogue = inside(&mut node);
    for (id, message) in (1..).zip(datagrams(input)) {
        let Some(([kind, next], octets)) = message.split_first_chunk() else { continue };
        let chain = (PayloadType(*next), octets);
        let datagram = match kind % 2 {
            0 => rogue.say_octets((ExchangeType::GROUPKEY_PULL, id), &rogue.first_iv(id), chain, |rest| {
                rogue.keys().pull_hash_1(id, rest)
            }),
            _ => rogue.say_octets((ExchangeType::INFORMATIONAL, id), &rogue.first_iv(id), chain, |rest| {
                rogue.keys().informational_hash(id, rest)
            }),
        };
        node.datagram(member_address(1), &datagram, NOW);
        let status = node.endpoint.status(NOW);
        assert!(status.groups[0].members.is_empty(), "nobody proved to be alive");
        assert!(status.established <= 1);
    }
});

fn talk(node: &mut Node<KeyServer>, datagram: &[u8]) -> Vec<u8> {
    node.datagram(member_address(1), datagram, NOW).remove(0).payload
}

fn inside(node: &mut Node<KeyServer>) -> Rogue {
    let mut rogue = Rogue::meet(|datagram| talk(node, datagram));
    let id = Identification::phase1(&member_config(1).identity).emit().unwrap();
    let sixth = talk(node, &rogue.introduce(&id));
    rogue.conclude(&sixth);
    rogue
}
