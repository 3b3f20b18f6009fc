//! Access lists that are not what they should be, from a key server that is believed: the member keeps what it has.

use crate::bench::duel::{Duel, NOW, NR};
use crate::bench::fixture;
use crate::bench::fleet::{
    acl, group, member, member_address, member_config, rekey_config, server, server_address, server_config,
};
use crate::bench::stored::{OpenedPush, Stored};
use crate::bench::{Link, World};
use gdoi::crypto::Secret;
use gdoi::group::AclDigest;
use gdoi::policy::{Acl, Family, Prefix, SendMode};
use gdoi::wire::{
    emit_acl, emit_chain, ExchangeType, Gap, GroupSa, IdField, Kd, KeyPacket, PayloadType, SaTek,
};
use gdoi::{KeyServerCommand, MemberEvent, RekeyKind};
use std::time::Duration;

fn list(entry: &str) -> Acl {
    Acl::new(vec![entry.parse().unwrap()]).unwrap()
}

fn sat() -> SaTek {
    let any = || IdField::prefix(&Prefix::any(Family::V4), None);
    SaTek { source: any(), destination: any(), spi: 0x1000_0001, ..fixture::sat() }
}

/// As an honest server offers its list.
fn offered(acl: Acl) -> GroupSa {
    let gap = Gap { acl: Some(AclDigest::of(&acl)), mode: Some(SendMode::Both), ..Gap::default() };
    GroupSa { kek: None, gap: Some(gap), acl: Some(acl), teks: vec![sat()] }
}

fn keys() -> Vec<u8> {
    let keys = (Secret::new(vec![3; 32]), Secret::new(vec![4; 32]));
    Kd(vec![KeyPacket::Tek { spi: 0x1000_0001, encryption: keys.0, integrity: keys.1 }])
        .emit()
        .unwrap()
        .to_vec()
}

fn refuses(policy: &[u8]) -> String {
    let mut duel = Duel::begin();
    let second = duel.second(&[(PayloadType::NONCE, &NR), (PayloadType::SA, policy)]);
    duel.member.datagram(server_address(1), &second, NOW);
    duel.failure()
}

#[test]
fn a_list_is_taken_as_it_is() {
    let acl = list("deny ipv6 any any");
    let duel = Duel::begin().offer(&offered(acl.clone()).emit().unwrap(), &[(PayloadType::KD, &keys())]);
    assert_eq!(duel.member.endpoint.view(NOW).acl, acl);
}

#[test]
fn lists_that_contradict_what_is_said_of_them() {
    let (one, other) = (list("permit ip any any"), list("permit ip any 10.0.0.0/8"));
    let refused = |change: &dyn Fn(&mut GroupSa)| {
        let mut sa = offered(one.clone());
        change(&mut sa);
        refuses(&sa.emit().unwrap())
    };
    assert!(refused(&|sa| sa.gap = None).contains("attribute ACL digest is missing"));
    assert!(refused(&|sa| sa.acl = None).contains("ACL payload is missing"));
    assert!(refused(&|sa| sa.acl = Some(other.clone())).contains("digest of the ACL"));
    assert!(refused(&|sa| sa.acl = Some(Acl::default())).contains("digest of the ACL"));
    assert!(refused(&|sa| sa.teks[0].protocol = 6).contains("traffic selectors beside an ACL"));
    assert!(refused(&|sa| sa.teks.push(sat())).contains("traffic selectors beside an ACL"));
    assert!(refused(&|sa| sa.teks[0].direction = 2).contains("SA direction 2"));
    assert!(refused(&|sa| sa.teks.clear()).contains("SAT payload is missing"));
}

/// The octets of a list, cut and changed anywhere.
#[test]
fn lists_that_are_none() {
    let sound = emit_acl(&list("deny tcp 10.0.0.0/9 range 5 9 host 10.1.1.1 eq 22")).unwrap();
    let digest = [&[0, 129, 0, 16][..], &[7; 16]].concat();
    let refused = |acl: &[u8]| {
        let chain = [
            (PayloadType::GAP, &digest[..]),
            (PayloadType::ACL, acl),
            (PayloadType::SAT, &sat().emit().unwrap()),
        ];
        let head = [0, 0, 0, 2, 0, 0, 0, 0, 0, PayloadType::GAP.0, 0, 0];
        refuses(&[&head[..], &emit_chain(&chain).unwrap()].concat())
    };
    assert!(refused(&sound).contains("digest of the ACL"), "as far as the octets go it is sound");
    for length in 0..sound.len() {
        assert!(refused(&sound[..length]).contains("ACL payload is truncated"), "{length}");
    }
    assert!(refused(&[&sound[..], &[0]].concat()).contains("trailing octets"));
    assert!(refused(&[1, 0, 3, 0xe9]).contains("too many ACL entries"));
    for position in 0..sound.len() {
        let mut changed = sound.clone();
        changed[position] = 0xff;
        let reason = refused(&changed);
        assert!(
            reason.starts_with("malformed") || reason.contains("digest of the ACL"),
            "{position}: {reason}"
        );
    }
}

/// A member that has the usual list, and the last rekey message that it took.
fn rekeyed() -> (World, OpenedPush, Stored) {
    let mut world = World::new(1, Link::CALM);
    let mut config = server_config(1);
    config.groups[0].rekey = Some(rekey_config());
    world.add_server(server_address(1), server(config, 1, world.now));
    world.add_member(member_address(1), member(member_config(1), 1));
    world.run_for(Duration::from_secs(5));
    let command = KeyServerCommand::Rekey(group().id.into(), RekeyKind::Reminder);
    world.command_server(server_address(1), command);
    world.run_for(Duration::from_secs(2));
    let stored = Stored::read(&world.stored(server_address(1)).unwrap());
    let is_push = |datagram: &[u8]| datagram[18] == ExchangeType::GROUPKEY_PUSH.0;
    let push = world.sent.iter().rfind(|flight| is_push(&flight.payload)).unwrap().payload.clone();
    let opened = stored.kek_of(&push).unwrap().open(&push);
    (world, opened, stored)
}

/// What a member makes of that message with another policy: the reason if it refuses.
fn pushed(change: &dyn Fn(&mut GroupSa)) -> Option<String> {
    let (mut world, OpenedPush { sequence, mut payloads, .. }, stored) = rekeyed();
    for (kind, body) in &mut payloads {
        match *kind {
            PayloadType::SEQ => *body = (sequence + 1).to_be_bytes().to_vec(),
            PayloadType::SA => {
                let mut sa = GroupSa::parse(body).unwrap();
                change(&mut sa);
                *body = sa.emit().unwrap();
            }
            _ => {}
        }
    }
    let message = stored.keks[0].seal(&payloads, &rekey_config().signing_key);
    world.inject(server_address(1), member_address(1), &message);
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.view(member_address(1)).acl, acl(), "the list is what it was");
    world.member_events(member_address(1)).iter().find_map(|(_, event)| match event {
        MemberEvent::RekeyRefused { reason, .. } => Some(reason.to_string()),
        _ => None,
    })
}

#[test]
fn rekey_messages_with_lists_that_do_not_fit() {
    let other = || list("permit ip any any");
    assert_eq!(pushed(&|_| {}), None);
    assert!(pushed(&|sa| sa.acl = Some(other())).unwrap().contains("digest of the ACL"));
    assert!(pushed(&|sa| (sa.acl, sa.gap) = (Some(other()), None))
        .unwrap()
        .contains("ACL digest is missing"));
    assert!(pushed(&|sa| sa.teks[0].protocol = 6).unwrap().contains("beside an ACL"));
}

/// It says only that there is another list: the old one holds until that is here.
#[test]
fn a_digest_alone_changes_no_list() {
    let other = |sa: &mut GroupSa| {
        let gap = sa.gap.take().unwrap();
        sa.gap = Some(Gap { acl: Some(AclDigest([9; 16])), ..gap });
    };
    assert_eq!(pushed(&other), None);
}
