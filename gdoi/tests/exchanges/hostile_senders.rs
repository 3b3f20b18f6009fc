//! A key server with the right pre-shared key that makes members share a sender ID or a key, and members of other
//! implementations where every sender needs a key of its own.

use crate::bench::duel::{Duel, NOW};
use crate::bench::fixture;
use crate::bench::fleet::{group, member_address, member_config, server, server_config};
use crate::bench::node::Node;
use crate::bench::rogue::Rogue;
use gdoi::crypto::Secret;
use gdoi::policy::{Seed, Sid, SidGeneration, Spi};
use gdoi::wire::{
    ExchangeType, GroupSa, Identification, Kd, KeyPacket, NotifyType, PayloadType, SaTek, SenderFields,
};
use gdoi::{KeyServer, KeyServerEvent, MemberConfig};

const SPI: u32 = 0x1230_0000;
const GENERATION: SidGeneration = SidGeneration { lineage: [7; 8], number: 3 };

fn sat() -> SaTek {
    let senders = Some(SenderFields { bits: 20, generation: GENERATION, replay_window: 1024 });
    SaTek { transform: 20, spi: SPI, authentication: 0, senders, ..fixture::sat() }
}

fn seed() -> KeyPacket {
    KeyPacket::Seed { spi: SPI, seed: Seed::new(Secret::new(vec![5; 32])).unwrap() }
}

fn sids(values: &[u32]) -> KeyPacket {
    KeyPacket::Sid { bits: 20, values: values.to_vec(), generation: Some(GENERATION) }
}

/// A member that asked for four sender IDs got this.
fn answered(policy: SaTek, kd: &[u8]) -> Duel {
    let policy = GroupSa { kek: None, gap: None, acl: None, teks: vec![policy] };
    let duel = Duel::with(MemberConfig { sender_ids: 4, ..member_config(1) });
    duel.offer(&policy.emit().unwrap(), &[(PayloadType::KD, kd)])
}

fn refuses(packets: Vec<KeyPacket>) -> String {
    answered(sat(), &Kd(packets).emit().unwrap()).failure()
}

#[test]
fn what_the_rogue_sends_is_right_unless_it_means_not_to() {
    let duel = answered(sat(), &Kd(vec![seed(), sids(&[4, 5, 6, 0xf_ffff])]).emit().unwrap());
    let view = duel.member.endpoint.view(NOW);
    assert_eq!(view.sids, [4, 5, 6, 0xf_ffff].map(Sid));
    let sa = view.outbound.unwrap();
    assert_eq!((sa.sender(Sid(4)).map(|sender| sender.spi), sa.replay_window), (Some(Spi(SPI | 4)), 1024));
}

#[test]
fn sender_ids_that_others_may_have_are_refused() {
    let without = KeyPacket::Sid { bits: 20, values: vec![1, 2, 3, 4], generation: None };
    let narrow = KeyPacket::Sid { bits: 16, values: vec![1, 2, 3, 4], generation: Some(GENERATION) };
    let other = SidGeneration { number: 4, ..GENERATION };
    let foreign = KeyPacket::Sid { bits: 20, values: vec![1, 2, 3, 4], generation: Some(other) };
    for (what, packet) in [
        ("one twice", sids(&[1, 2, 3, 1])),
        ("too few", sids(&[1, 2, 3])),
        ("too many", sids(&[1, 2, 3, 4, 5])),
        ("beyond 20 bits", sids(&[1, 2, 3, 1 << 20])),
        ("of no generation", without),
        ("of another width", narrow),
        ("for other keys", foreign),
    ] {
        let reason = refuses(vec![seed(), packet]);
        assert!(reason.contains("keys do not fit the announced policy: sender IDs"), "{what}: {reason}");
    }
    assert!(refuses(vec![seed()]).contains("sender IDs"), "none at all");
}

#[test]
fn sender_ids_in_two_packets_are_refused() {
    let reason = refuses(vec![seed(), sids(&[1, 2, 3, 4]), sids(&[5, 6, 7, 8])]);
    assert!(reason.contains("number of key packets"), "{reason}");
}

#[test]
fn seeds_that_are_none_are_refused() {
    let shared = |length| KeyPacket::Tek {
        spi: SPI,
        encryption: Secret::new(vec![3; length]),
        integrity: Secret::new(vec![4; 32]),
    };
    for length in [32, 36] {
        let reason = refuses(vec![shared(length), sids(&[1, 2, 3, 4])]);
        assert!(reason.contains("kind or length of a TEK"), "{reason}");
    }
    let elsewhere =
        KeyPacket::Seed { spi: SPI + (1 << 20), seed: Seed::new(Secret::new(vec![5; 32])).unwrap() };
    assert!(refuses(vec![elsewhere, sids(&[1, 2, 3, 4])]).contains("no key for a TEK"));
    // Behind count, KD type, KD length, SPI size, SPI and attribute type: the length of the seed.
    let sound = Kd(vec![seed(), sids(&[1, 2, 3, 4])]).emit().unwrap();
    assert_eq!(sound[13..17], [0, 128, 0, 32]);
    for length in [0, 1, 31, 33, 255] {
        let mut lying = sound.to_vec();
        lying[16] = length;
        let reason = answered(sat(), &lying).failure();
        assert!(reason.starts_with("malformed") || reason.starts_with("peer broke"), "{length}: {reason}");
    }
}

/// Members with one counter-mode key repeat nonces.
#[test]
fn a_counter_mode_with_one_key_for_all_is_refused() {
    let shared = answered(SaTek { senders: None, ..sat() }, &Kd(vec![seed()]).emit().unwrap()).failure();
    assert!(shared.contains("one key for all senders with ESP transform 20"), "{shared}");
    let chacha = SaTek { senders: None, transform: 249, key_bits: 0, ..sat() };
    let shared = answered(chacha, &Kd(vec![seed()]).emit().unwrap()).failure();
    assert!(shared.contains("one key for all senders with ESP transform 249"), "{shared}");
}

fn talk(server: &mut Node<KeyServer>, datagram: &[u8]) -> Vec<u8> {
    let sent = server.datagram(member_address(1), datagram, NOW);
    sent.into_iter().next().unwrap_or_else(|| panic!("no answer: {:?}", server.events)).payload
}

/// What the server answers to a member without our vendor ID that asks for the group.
fn asks(transform: &str) -> (Node<KeyServer>, Vec<(PayloadType, Vec<u8>)>) {
    let mut config = server_config(1);
    config.groups[0].transform = transform.parse().unwrap();
    let mut server = Node::new(server(config, 1, NOW), NOW);
    server.timeout(NOW);
    let mut rogue = Rogue::meet(|datagram| talk(&mut server, datagram));
    let id_b = Identification::phase1(&member_config(1).identity).emit().unwrap();
    let sixth = talk(&mut server, &rogue.introduce(&id_b));
    rogue.conclude(&sixth);
    let (id, nonce) = (7, [1; 16]);
    let hash = |rest: &[u8]| rogue.keys().pull_hash_1(id, rest);
    let group = Identification::group(group().id).emit().unwrap();
    let payloads = [(PayloadType::NONCE, &nonce[..]), (PayloadType::ID, &group[..])];
    let first = rogue.say((ExchangeType::GROUPKEY_PULL, id), &rogue.first_iv(id), &payloads, hash);
    let answer = talk(&mut server, &first);
    let answer_id = u32::from_be_bytes(answer[20..24].try_into().unwrap());
    let iv = match answer_id == id {
        true => *first.last_chunk().unwrap(),
        false => rogue.first_iv(answer_id),
    };
    let answer = rogue.open(&answer, &iv);
    (server, answer)
}

#[test]
fn a_member_of_another_implementation_is_refused_where_every_sender_has_its_own_key() {
    for transform in ["aes-128-gcm", "aes-256-gcm", "chacha20-poly1305"] {
        let (server, answer) = asks(transform);
        let kinds: Vec<_> = answer.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds, [PayloadType::HASH, PayloadType::NOTIFY], "{transform}");
        assert!(answer[1].1.ends_with(&NotifyType::NO_PROPOSAL_CHOSEN.0.to_be_bytes()), "{:?}", answer[1]);
        let (_, event) = server.events.last().unwrap();
        assert!(matches!(event, KeyServerEvent::Refused { group: Some(_), .. }), "{event:?}");
        assert!(event.to_string().contains("of another implementation"), "{event}");
        assert!(server.endpoint.status(NOW).groups[0].members.is_empty());
    }
    let (_, answer) = asks("aes-256-cbc/hmac-sha-256");
    assert!(answer.iter().any(|(kind, _)| *kind == PayloadType::SA), "one key for all it may have");
}
