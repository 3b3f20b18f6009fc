//! Messages that are lost: one of two, all of one rekey, all for a while.

use super::watch::{longest_deafness, somebody_is_deaf};
use super::{lone, lone_world, rekey, remove, seconds, MULTICAST, SOON};
use crate::bench::fleet::{member, member_address, member_config, server_address};
use crate::bench::random::Seeded;
use crate::bench::stored::with_sids_given;
use crate::bench::World;
use gdoi::crypto::sign::{NewKey, SigningKey};
use gdoi::crypto::Hash;
use gdoi::wire::ExchangeType;
use gdoi::{
    KeyServer, KeyServerCommand, KeyServerConfig, MemberConfig, MemberEvent, RekeyKind, Removal, Transport,
};
use std::time::Duration;

fn command(world: &mut World, command: KeyServerCommand) {
    world.command_server(server_address(1), command);
}

/// A member hears nothing of what follows for so long.
fn unheard(world: &mut World, number: u16, what: KeyServerCommand, span: Duration) {
    world.cut(member_address(number).ip());
    command(world, what);
    world.run_for(span);
    world.join(member_address(number).ip());
}

#[test]
fn one_lost_message_of_two_forced_rekeys_cuts_nobody_off() {
    for transport in [Transport::Unicast, MULTICAST] {
        let mut world = lone_world(lone(transport), 3);
        unheard(&mut world, 2, rekey(RekeyKind::Forced), seconds(1));
        world.run_for(seconds(1));
        command(&mut world, rekey(RekeyKind::Forced));
        let deaf = longest_deafness(&mut world, seconds(400));
        println!("{transport:?}: deaf for {deaf:?}");
        assert!(deaf <= SOON, "{transport:?}: deaf for {deaf:?}");
    }
}

/// The second one is lost, too, or is of another kind.
#[test]
fn whatever_two_rekeys_lose_is_made_good() {
    let kinds = [RekeyKind::Forced, RekeyKind::ReplaceNow, RekeyKind::Reminder];
    for (first, second) in kinds.into_iter().flat_map(|first| kinds.map(|second| (first, second))) {
        let mut world = lone_world(lone(Transport::Unicast), 3);
        unheard(&mut world, 2, rekey(first), seconds(1));
        world.run_for(seconds(1));
        unheard(&mut world, 2, rekey(second), seconds(1));
        world.run_for(seconds(15));
        let deaf = longest_deafness(&mut world, seconds(400));
        println!("{first:?}, {second:?}: deaf for {deaf:?}");
        assert!(deaf <= SOON, "{first:?}, {second:?}: deaf for {deaf:?}");
    }
}

#[test]
fn a_forced_rekey_in_an_outage_of_40_seconds_is_told_after_it() {
    for transport in [Transport::Unicast, MULTICAST] {
        for kind in [RekeyKind::Forced, RekeyKind::ReplaceNow] {
            let mut world = lone_world(lone(transport), 3);
            world.cut(member_address(2).ip());
            command(&mut world, rekey(kind));
            world.run_for(seconds(40));
            world.join(member_address(2).ip());
            let deaf = longest_deafness(&mut world, seconds(400));
            println!("{transport:?}, {kind:?}: deaf for {deaf:?} after the outage");
            assert!(deaf <= seconds(20), "{transport:?}, {kind:?}: deaf for {deaf:?} after the outage");
        }
    }
}

fn newest(world: &World) -> gdoi::policy::Spi {
    world.server(server_address(1)).status(world.now).groups[0].teks.last().unwrap().spi
}

fn dismissals(world: &World, number: u16) -> usize {
    let is = |(_, event): &&(_, MemberEvent)| matches!(event, MemberEvent::Dismissed { .. });
    world.member_events(member_address(number)).iter().filter(is).count()
}

#[test]
fn who_is_away_when_all_are_sent_away_hears_of_it_after() {
    for transport in [Transport::Unicast, MULTICAST] {
        for (member, removal) in [(None, Removal::Graceful), (Some(3), Removal::Now)] {
            let mut world = lone_world(lone(transport), 3);
            world.cut(member_address(2).ip());
            command(&mut world, remove(member, removal));
            world.run_for(seconds(40));
            world.join(member_address(2).ip());
            world.run_for(seconds(30));
            let view = world.view(member_address(2));
            assert_eq!(dismissals(&world, 2), 1, "{transport:?}, {removal:?}");
            assert!(view.inbound.iter().any(|sa| sa.spi == newest(&world)), "{transport:?}, {removal:?}");
        }
    }
}

/// A rekey comes right after: who missed that it must register again hears both.
#[test]
fn a_rekey_right_after_members_were_sent_away_hides_nothing() {
    let mut world = lone_world(lone(Transport::Unicast), 4);
    world.cut(member_address(2).ip());
    command(&mut world, remove(Some(4), Removal::Now));
    world.run_for(seconds(4));
    command(&mut world, rekey(RekeyKind::Forced));
    world.join(member_address(2).ip());
    world.run_for(seconds(30));
    assert_eq!(dismissals(&world, 2), 1);
    assert!(!somebody_is_deaf(&[1, 2, 3].map(|number| world.view(member_address(number)))));
    assert!(world.view(member_address(4)).inbound.iter().all(|sa| sa.spi != newest(&world)));
}

fn per_sender() -> KeyServerConfig {
    let mut config = lone(Transport::Unicast);
    config.groups[0].transform = "aes-256-gcm".parse().unwrap();
    config
}

fn sender(world: &mut World, number: u16) {
    let config = MemberConfig { sender_ids: 2, ..member_config(number) };
    world.add_member(member_address(number), member(config, number.into()));
}

#[test]
fn who_is_away_when_sender_ids_are_renewed_hears_of_it_after() {
    let mut world = lone_world(per_sender(), 0);
    (1..=3).for_each(|number| sender(&mut world, number));
    world.run_for(seconds(20));
    world.cut(member_address(2).ip());
    let stored = with_sids_given(&world.stored(server_address(1)).unwrap(), 0, (1 << 17) - 1);
    let again = KeyServer::new(per_sender(), Some(&stored), Box::new(Seeded::new(5)), world.now).unwrap();
    world.add_server(server_address(1), again);
    world.run_for(seconds(40));
    world.join(member_address(2).ip());
    let generation = |world: &World, number| {
        world.member(member_address(number)).status(world.now).sid_generation.unwrap()
    };
    world.run_for(seconds(30));
    assert_eq!(generation(&world, 1), generation(&world, 3));
    assert_eq!(generation(&world, 2), generation(&world, 1), "it has sender IDs of now");
    assert!(!somebody_is_deaf(&world.views()));
}

/// Another signing key: all must register again, and one is away.
#[test]
fn who_is_away_at_a_reload_that_sends_all_away_hears_of_it_after() {
    let mut world = lone_world(lone(Transport::Unicast), 3);
    world.cut(member_address(2).ip());
    let mut changed = lone(Transport::Unicast);
    let pkcs8 = NewKey::EcdsaP256.generate().unwrap();
    changed.groups[0].rekey.as_mut().unwrap().signing_key =
        SigningKey::from_pkcs8(&pkcs8, Hash::Sha256).unwrap();
    world.reconfigure(server_address(1), changed);
    world.hand(([203, 0, 113, 9], 9).into(), server_address(1), &[0; 40]);
    world.run_for(seconds(40));
    world.join(member_address(2).ip());
    world.run_for(seconds(60));
    assert_eq!(dismissals(&world, 2), 1);
    assert!(world.view(member_address(2)).inbound.iter().any(|sa| sa.spi == newest(&world)));
}

/// A server that dies in the middle does not know who has heard of it, so all are told.
#[test]
fn a_restart_between_two_forced_rekeys_cuts_nobody_off() {
    let mut world = lone_world(lone(Transport::Unicast), 3);
    unheard(&mut world, 2, rekey(RekeyKind::Forced), seconds(1));
    world.run_for(seconds(1));
    unheard(&mut world, 3, rekey(RekeyKind::Forced), seconds(1));
    let stored = world.stored(server_address(1)).unwrap();
    let config = lone(Transport::Unicast);
    let again = KeyServer::new(config, Some(&stored), Box::new(Seeded::new(5)), world.now).unwrap();
    world.add_server(server_address(1), again);
    let deaf = longest_deafness(&mut world, seconds(400));
    println!("deaf for {deaf:?}");
    assert!(deaf <= SOON, "deaf for {deaf:?}");
}

/// What was acknowledged in the second before a crash is not stored. Who answers then is known by the KEK that it answers
/// under.
#[test]
fn who_answers_after_a_crash_is_told_under_the_kek_that_it_has() {
    let mut world = lone_world(lone(Transport::Unicast), 2);
    for seed in 0..3 {
        command(&mut world, rekey(RekeyKind::Forced));
        world.run_for(Duration::from_millis(100));
        let (stored, config) = (world.stored(server_address(1)).unwrap(), lone(Transport::Unicast));
        let again = KeyServer::new(config, Some(&stored), Box::new(Seeded::new(seed)), world.now).unwrap();
        world.add_server(server_address(1), again);
        world.run_for(seconds(2));
        command(&mut world, rekey(RekeyKind::ReplaceNow));
        world.run_for(seconds(1));
        let holds =
            |number| world.view(member_address(number)).inbound.iter().any(|sa| sa.spi == newest(&world));
        assert!(holds(1) && holds(2), "{seed}");
    }
}

/// It was away when a key came under the KEK that it has, and comes back when all send with that; before it can ask, an
/// operator wants another one.
#[test]
fn a_forced_rekey_names_the_key_that_a_member_missed_before() {
    let mut world = lone_world(lone(Transport::Unicast), 3);
    let teks = |world: &World| world.server(server_address(1)).status(world.now).groups[0].teks.len();
    world.cut(member_address(2).ip());
    world.deafen(member_address(2), ExchangeType::IDENTITY_PROTECTION);
    world.run_until(seconds(3600), |world| teks(world) == 2);
    let new = newest(&world);
    let sends = |world: &World| world.view(member_address(1)).outbound.is_some_and(|sa| sa.spi == new);
    world.run_until(seconds(400), sends);
    world.join(member_address(2).ip());
    command(&mut world, rekey(RekeyKind::Forced));
    world.run_for(seconds(1));
    let deaf = longest_deafness(&mut world, seconds(20));
    println!("deaf for {deaf:?} after the message");
    assert_eq!(deaf, Duration::ZERO);
}
