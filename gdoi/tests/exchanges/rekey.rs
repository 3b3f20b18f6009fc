//! Keys change by GROUPKEY-PUSH: nobody is without a key, and what one sends all others can read.

use crate::bench::fleet::{
    member, member_address, member_config, rekey_config, server, server_address, server_config,
};
use crate::bench::random::Seeded;
use crate::bench::{Link, World};
use gdoi::policy::Acl;
use gdoi::{
    KeyServer, KeyServerCommand, KeyServerConfig, MemberEvent, RegistrationState, RekeyKind, Removal,
    Retransmit, Transport, View,
};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

const MULTICAST: Transport =
    Transport::Multicast(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(239, 1, 1, 1)), 848));

fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

fn config(life: u64, transport: Transport) -> KeyServerConfig {
    let mut config = server_config(1);
    let mut rekey = rekey_config();
    rekey.transport = transport;
    rekey.retransmit = Retransmit { interval: seconds(2), number: 3 };
    config.groups[0].tek_lifetime = seconds(life);
    config.groups[0].rekey = Some(rekey);
    config
}

fn start(members: u16, config: KeyServerConfig, link: Link, seed: u64) -> World {
    let mut world = World::new(seed, link);
    world.add_server(server_address(1), server(config, seed, world.now));
    for number in 1..=members {
        world.add_member(member_address(number), member(member_config(number), seed + u64::from(number)));
    }
    world.run_until(seconds(120), |world| world.views().iter().all(|view| view.registered));
    world
}

/// Runs on while all can talk to all.
fn run_checked(world: &mut World, span: Duration) {
    let end = world.now + span;
    check(world);
    while world.step(end) {
        if !std::mem::take(&mut world.changed).is_empty() {
            check(world);
        }
    }
}

fn check(world: &World) {
    let views = world.views();
    for (number, sender) in views.iter().enumerate() {
        let Some(sent) = &sender.outbound else { panic!("{:?}: {number} cannot send", world.now) };
        let reads = |view: &View| view.inbound.iter().any(|sa| (sa.spi, &sa.keys) == (sent.spi, &sent.keys));
        if let Some(deaf) = views.iter().position(|view| !reads(view)) {
            panic!("{:?}: {number} sends with {}, {deaf} cannot read it", world.now, sent.spi);
        }
    }
}

fn registrations(world: &World, number: u16) -> u64 {
    world.member(member_address(number)).status(world.now).registrations
}

fn group() -> gdoi::policy::GroupId {
    crate::bench::fleet::group().id
}

fn rekey(world: &mut World, kind: RekeyKind) {
    world.command_server(server_address(1), KeyServerCommand::Rekey(group().into(), kind));
}

#[test]
fn twenty_roll_overs_without_a_registration() {
    for transport in [Transport::Unicast, MULTICAST] {
        let mut world = start(5, config(30, transport), Link::CALM, 1);
        run_checked(&mut world, seconds(20 * 20 + 30));
        for number in 1..=5 {
            assert_eq!(registrations(&world, number), 1, "{transport:?}");
            let rekeys = world.member(member_address(number)).status(world.now).rekeys;
            assert!(rekeys.received >= 20, "{rekeys:?}");
        }
    }
}

#[test]
fn lost_messages_are_made_good() {
    for seed in 0..5 {
        for transport in [Transport::Unicast, MULTICAST] {
            let mut world = start(5, config(60, transport), Link::CALM, seed);
            world.link = Link::RAIN;
            run_checked(&mut world, seconds(600));
        }
    }
}

#[test]
fn a_deaf_member_registers_again_in_time() {
    for transport in [Transport::Unicast, MULTICAST] {
        let mut world = start(3, config(60, transport), Link::CALM, 3);
        world.deafen(member_address(2), gdoi::wire::ExchangeType::GROUPKEY_PUSH);
        run_checked(&mut world, seconds(400));
        assert!(registrations(&world, 2) > 5);
        assert_eq!((registrations(&world, 1), registrations(&world, 3)), (1, 1));
    }
}

#[test]
fn who_never_answers_three_rekeys_is_dropped_and_comes_back_by_registration() {
    let mut world = start(2, config(3600, Transport::Unicast), Link::CALM, 4);
    rekey(&mut world, RekeyKind::Forced);
    world.run_for(seconds(20));
    world.cut(member_address(2).ip());
    for _ in 0..3 {
        rekey(&mut world, RekeyKind::Reminder);
        world.run_for(seconds(20));
    }
    let members = |world: &World| world.server(server_address(1)).status(world.now).groups[0].members.len();
    assert_eq!(members(&world), 1);
    world.join(member_address(2).ip());
    world.run_for(seconds(3600));
    assert_eq!(members(&world), 2);
}

#[test]
fn a_forced_rekey_loses_nothing_and_the_old_keys_go() {
    let mut world = start(3, config(3600, Transport::Unicast), Link::CALM, 5);
    let old = world.view(member_address(1)).outbound.unwrap().spi;
    rekey(&mut world, RekeyKind::Forced);
    run_checked(&mut world, seconds(40));
    let view = world.view(member_address(1));
    assert!(view.outbound.unwrap().spi != old && view.inbound.iter().all(|sa| sa.spi != old));
    rekey(&mut world, RekeyKind::Forced);
    run_checked(&mut world, seconds(60));
}

#[test]
fn replace_now_leaves_only_the_new_key() {
    let mut world = start(3, config(3600, Transport::Unicast), Link::CALM, 6);
    let old = world.view(member_address(1)).outbound.unwrap().spi;
    rekey(&mut world, RekeyKind::ReplaceNow);
    world.run_for(seconds(2));
    check(&world);
    let view = world.view(member_address(2));
    assert_eq!(view.inbound.len(), 1);
    assert_ne!(view.outbound.unwrap().spi, old);
}

#[test]
fn removing_all_members_loses_nothing_without_now() {
    let mut world = start(4, config(3600, Transport::Unicast), Link::CALM, 7);
    let command = KeyServerCommand::Remove(group().into(), None, Removal::Graceful);
    world.command_server(server_address(1), command);
    run_checked(&mut world, seconds(120));
    assert!((1..=4).all(|number| registrations(&world, number) == 2));
}

/// Some hear of it late, and each comes back when it likes: those that are back early do not hurry.
#[test]
fn a_large_group_loses_nothing_when_it_must_register_again() {
    for seed in 0..5 {
        let mut world = start(60, config(3600, Transport::Unicast), Link::CALM, 100 * seed);
        world.link = Link::RAIN;
        let command = KeyServerCommand::Remove(group().into(), None, Removal::Graceful);
        world.command_server(server_address(1), command);
        run_checked(&mut world, seconds(120));
        assert!((1..=60).all(|number| registrations(&world, number) == 2));
    }
}

#[test]
fn a_removed_member_cannot_come_back_and_cannot_read_the_new_keys() {
    for removal in [Removal::Graceful, Removal::Now] {
        let mut world = start(3, config(3600, Transport::Unicast), Link::CALM, 8);
        let command = KeyServerCommand::Remove(group().into(), Some(member_address(2).ip()), removal);
        world.command_server(server_address(1), command);
        world.run_for(seconds(120));
        let state = world.member(member_address(2)).status(world.now).registration;
        assert_eq!(state, RegistrationState::Expired);
        let (one, three) = (world.view(member_address(1)), world.view(member_address(3)));
        assert_eq!(one.outbound.unwrap().spi, three.outbound.unwrap().spi);
    }
}

fn restarted(world: &World, seed: u64, life: u64) -> KeyServer {
    let stored = world.stored(server_address(1)).unwrap();
    KeyServer::new(config(life, Transport::Unicast), Some(&stored), Box::new(Seeded::new(seed)), world.now)
        .unwrap()
}

#[test]
fn a_restarted_server_goes_on_without_a_registration() {
    let mut world = start(3, config(60, Transport::Unicast), Link::CALM, 9);
    for seed in 100..130 {
        run_checked(&mut world, seconds(7));
        let server = restarted(&world, seed, 60);
        world.add_server(server_address(1), server);
    }
    run_checked(&mut world, seconds(60));
    assert!((1..=3).all(|number| registrations(&world, number) == 1));
    let failures = |event: &MemberEvent| matches!(event, MemberEvent::RekeyRefused { .. });
    let refused = (1..=3).flat_map(|number| world.member_events(member_address(number)).to_vec());
    assert!(!refused.map(|(_, event)| event).any(|event| failures(&event)), "a number was used twice");
}

/// As many keys as the largest policy has room for are told, and as many as can be read again are stored.
#[test]
fn rekeys_by_the_dozen_keep_nobody_out() {
    for kind in [RekeyKind::Forced, RekeyKind::ReplaceNow] {
        let mut config = config(3600, Transport::Unicast);
        let entry = |number| format!("permit ip 10.{number}.0.0/16 any").parse().unwrap();
        config.groups[0].acl = Acl::new((0..100).map(entry).collect()).unwrap();
        let mut world = start(2, config, Link::CALM, 1);
        for _ in 0..40 {
            rekey(&mut world, kind);
            world.run_for(Duration::from_millis(50));
        }
        world.add_member(member_address(3), member(member_config(3), 3));
        world.run_for(seconds(2));
        assert!(world.view(member_address(3)).registered);
        let again = restarted(&world, 5, 3600);
        world.add_server(server_address(1), again);
        world.run_for(seconds(60));
        check(&world);
        assert_eq!((1..=3).map(|number| registrations(&world, number)).sum::<u64>(), 3);
    }
}

#[test]
fn a_damaged_state_is_refused_whole() {
    let world = start(1, config(60, Transport::Unicast), Link::CALM, 10);
    let stored = world.stored(server_address(1)).unwrap();
    for length in 0..stored.len() {
        let cut = gdoi::crypto::Secret::from(&stored.expose()[..length]);
        let random = Box::new(Seeded::new(1));
        assert!(KeyServer::new(config(60, Transport::Unicast), Some(&cut), random, world.now).is_err());
    }
}

#[test]
fn a_changed_policy_reaches_the_members_with_the_next_rekey() {
    let mut world = start(2, config(3600, Transport::Unicast), Link::CALM, 11);
    let mut changed = config(3600, Transport::Unicast);
    changed.groups[0].acl =
        gdoi::policy::Acl::new(vec!["permit ip 10.0.0.0/9 any".parse().unwrap()]).unwrap();
    changed.groups[0].transform = "aes-128-cbc/hmac-sha-512".parse().unwrap();
    let changes = world.reconfigure(server_address(1), changed);
    assert_eq!(changes.iter().map(|change| change.what).collect::<Vec<_>>(), ["match-address", "transform"]);
    assert_eq!(world.view(member_address(1)).acl.entries().len(), 3);
    rekey(&mut world, RekeyKind::Forced);
    run_checked(&mut world, seconds(40));
    let view = world.view(member_address(1));
    assert_eq!(view.acl.entries()[0].to_string(), "permit ip 10.0.0.0/9 any");
    assert_eq!(view.outbound.unwrap().transform.to_string(), "aes-128-cbc/hmac-sha-512");
}

#[test]
fn who_is_readmitted_comes_back() {
    let mut world = start(2, config(3600, Transport::Unicast), Link::CALM, 12);
    let removed = member_address(2).ip();
    let remove = KeyServerCommand::Remove(group().into(), Some(removed), Removal::Now);
    world.command_server(server_address(1), remove);
    world.run_for(seconds(60));
    let status = world.server(server_address(1)).status(world.now);
    assert_eq!((status.groups[0].revoked.clone(), status.groups[0].members.len()), (vec![removed], 1));
    world.command_server(server_address(1), KeyServerCommand::Readmit(group().into(), removed));
    world.run_for(seconds(120));
    let status = world.server(server_address(1)).status(world.now);
    assert_eq!((status.groups[0].revoked.len(), status.groups[0].members.len()), (0, 2));
    check(&world);
}

#[test]
fn a_group_without_members_needs_no_reminders() {
    let mut world = start(1, config(30 * 86_400, Transport::Unicast), Link::CALM, 13);
    rekey(&mut world, RekeyKind::Forced);
    world.run_for(seconds(60));
    let command = KeyServerCommand::Remove(group().into(), Some(member_address(1).ip()), Removal::Now);
    world.command_server(server_address(1), command);
    world.run_for(seconds(3 * 86_400));
}

#[test]
fn the_multicast_group_is_known_while_the_kek_lives() {
    let world = start(1, config(3600, MULTICAST), Link::CALM, 14);
    let group = |world: &World| world.view(member_address(1)).rekey_group;
    let Transport::Multicast(expected) = MULTICAST else { unreachable!() };
    assert_eq!(group(&world), Some(expected));
    assert_eq!(group(&start(1, config(3600, Transport::Unicast), Link::CALM, 14)), None);
    let mut removed = start(1, config(3600, MULTICAST), Link::CALM, 15);
    let command = KeyServerCommand::Remove(
        crate::bench::fleet::group().id.into(),
        Some(member_address(1).ip()),
        Removal::Now,
    );
    removed.command_server(server_address(1), command);
    removed.run_for(seconds(60));
    assert_eq!(group(&removed), None);
}

#[test]
fn truncated_messages_are_counted_for_what_they_seem() {
    use gdoi::wire::ExchangeType;
    let mut world = start(1, config(3600, Transport::Unicast), Link::CALM, 16);
    rekey(&mut world, RekeyKind::Reminder);
    world.run_for(seconds(1));
    for kind in [ExchangeType::GROUPKEY_PUSH, ExchangeType::GROUPKEY_PUSH_ACK] {
        let flight = world.sent.iter().rfind(|flight| flight.payload[18] == kind.0).unwrap().clone();
        for length in 19..59 {
            world.inject(flight.from, flight.to, &flight.payload[..length]);
        }
        world.run_for(seconds(1));
    }
    let member = world.member(member_address(1)).status(world.now).rekeys;
    let server = world.server(server_address(1)).status(world.now);
    assert_eq!((member.received, member.malformed), (1, 40));
    assert_eq!(server.groups[0].rekey.clone().unwrap().acks.malformed, 40);
}

#[test]
fn changes_of_a_group_without_rekeys_wait_for_the_next_registration() {
    use gdoi::Effect;
    let plain = || server_config(1);
    let mut world = start(1, plain(), Link::CALM, 17);
    let mut changed = plain();
    changed.groups[0].tek_lifetime = seconds(7200);
    changed.groups[0].rekey = Some(rekey_config());
    let changes = world.reconfigure(server_address(1), changed);
    assert_eq!(changes.len(), 2);
    assert!(changes.iter().all(|change| change.effect == Effect::NextRegistration), "{changes:?}");
}
