//! Unlucky moments on the key server: two changes in one reload, a removal between two messages, a group that goes and
//! comes back, keys of another kind that have ended.

use crate::access::join_foreign;
use crate::bench::alliance::{address, allied_config, primaries, start_with, LIFE};
use crate::bench::coop_message::{at, number, patched};
use crate::bench::fleet::{
    group, member, member_address, member_config, rekey_config, server, server_address, server_config,
};
use crate::bench::{Link, World};
use crate::hostile_coop::siege::Siege;
use gdoi::coop::{Preemption, Redundancy};
use gdoi::crypto::sign::{NewKey, SigningKey};
use gdoi::crypto::Hash;
use gdoi::{
    KeyServerCommand, KeyServerConfig, KeyServerEvent, MemberCommand, MemberConfig, MemberEvent, RekeyKind,
    Removal, Transport,
};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

const MULTICAST: Transport =
    Transport::Multicast(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(239, 1, 1, 1)), 848));

const fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

fn lone() -> KeyServerConfig {
    let mut config = server_config(1);
    config.groups[0].rekey = Some(rekey_config());
    config
}

fn lone_world(config: KeyServerConfig, members: u16) -> World {
    let mut world = World::new(1, Link::CALM);
    world.add_server(server_address(1), server(config, 1, world.now));
    for number in 1..=members {
        world.add_member(member_address(number), member(member_config(number), number.into()));
    }
    world.run_for(seconds(20));
    assert!(world.views().iter().all(|view| view.registered));
    world
}

/// Another signing key and another transport: both call for all members to register again.
fn doubly_changed(mut config: KeyServerConfig) -> KeyServerConfig {
    let rekey = config.groups[0].rekey.as_mut().unwrap();
    let pkcs8 = NewKey::EcdsaP256.generate().unwrap();
    rekey.signing_key = SigningKey::from_pkcs8(&pkcs8, Hash::Sha256).unwrap();
    rekey.transport = MULTICAST;
    config
}

/// A server reads another configuration and is woken, as its owner does after a command.
fn reload(world: &mut World, server: SocketAddr, config: KeyServerConfig) {
    world.reconfigure(server, config);
    world.hand(SocketAddr::from(([203, 0, 113, 9], 9)), server, &[0; 40]);
}

fn dismissed(world: &World, members: u16) -> usize {
    let is = |(_, event): &(_, MemberEvent)| matches!(event, MemberEvent::Dismissed { .. });
    (1..=members).filter(|number| world.member_events(member_address(*number)).iter().any(is)).count()
}

fn with_the_newest_key(world: &World, server: SocketAddr) -> usize {
    let newest = world.server(server).status(world.now).groups[0].teks.last().unwrap().spi;
    world.views().iter().filter(|view| view.inbound.iter().any(|sa| sa.spi == newest)).count()
}

#[test]
fn members_are_sent_away_once_however_many_changes_call_for_it() {
    let mut world = lone_world(lone(), 30);
    reload(&mut world, server_address(1), doubly_changed(lone()));
    world.run_for(seconds(100));
    assert_eq!((dismissed(&world, 30), with_the_newest_key(&world, server_address(1))), (30, 30));
    let mut world = World::new(1, Link::CALM);
    start_with(&mut world, 2, 4, |number| allied_config(number, 2, LIFE));
    world.run_for(seconds(40));
    assert_eq!(primaries(&world, 2), [2]);
    reload(&mut world, address(2), doubly_changed(allied_config(2, 2, LIFE)));
    world.run_for(seconds(900));
    assert_eq!((dismissed(&world, 4), with_the_newest_key(&world, address(2))), (4, 4));
}

#[test]
fn a_redundancy_of_nobody_is_none() {
    let mut config = lone();
    let (preemption, interval) = (Preemption::Never, seconds(1));
    config.groups[0].redundancy =
        Some(Redundancy { priority: 10, peers: Vec::new(), preemption, interval, dead_after: 3 });
    lone_world(config, 1);
}

/// Members of other software are refused while some sender has a key of its own, and no longer.
#[test]
fn a_foreign_member_may_join_when_the_keys_of_single_senders_have_ended() {
    let mut per_sender = lone();
    per_sender.groups[0].transform = "aes-256-gcm".parse().unwrap();
    let mut world = World::new(1, Link::CALM);
    world.add_server(server_address(1), server(per_sender, 1, world.now));
    world.add_member(member_address(1), member(MemberConfig { sender_ids: 4, ..member_config(1) }, 1));
    world.run_for(seconds(20));
    reload(&mut world, server_address(1), lone());
    let rekey = KeyServerCommand::Rekey(group().id.into(), RekeyKind::Forced);
    world.command_server(server_address(1), rekey);
    world.run_for(seconds(200));
    join_foreign(&mut world, 2);
    let refused = |(_, event): &(_, KeyServerEvent)| matches!(event, KeyServerEvent::Refused { .. });
    assert!(!world.server_events(server_address(1)).iter().any(refused));
}

#[test]
fn who_is_removed_between_two_messages_does_not_come_back_with_the_second() {
    let mut world = lone_world(lone(), 2);
    let (before, removed) = (world.sent.len(), member_address(2).ip());
    world.command(member_address(2), MemberCommand::Register);
    let pulls = |world: &World| world.sent[before..].iter().filter(|flight| flight.payload[18] == 32).count();
    world.run_until(seconds(10), |world| pulls(world) == 3);
    let remove = KeyServerCommand::Remove(group().id.into(), Some(removed), Removal::Now);
    world.command_server(server_address(1), remove);
    world.run_for(seconds(2));
    let status = world.server(server_address(1)).status(world.now).groups.remove(0);
    assert_eq!(status.revoked, [removed]);
    assert!(status.members.iter().all(|record| record.address != removed), "{:?}", status.members);
    let newest = status.teks.last().unwrap().spi;
    assert!(world.view(member_address(2)).inbound.iter().all(|sa| sa.spi != newest));
}

/// The old key still lives when the group comes back, and its sender IDs begin anew.
#[test]
fn a_group_that_comes_back_is_another_one() {
    let mut config = lone();
    config.groups[0].transform = "aes-256-gcm".parse().unwrap();
    let again = || {
        let mut config = lone();
        config.groups[0].transform = "aes-256-gcm".parse().unwrap();
        config
    };
    let mut world = World::new(1, Link::CALM);
    world.add_server(server_address(1), server(config, 1, world.now));
    let joins = |world: &mut World, number: u16| {
        let config = MemberConfig { sender_ids: 2, ..member_config(number) };
        world.add_member(member_address(number), member(config, number.into()));
        world.run_for(seconds(10));
        world.member(member_address(number)).status(world.now).sid_generation.unwrap()
    };
    let before = joins(&mut world, 1);
    reload(&mut world, server_address(1), KeyServerConfig { groups: Vec::new(), ..lone() });
    reload(&mut world, server_address(1), again());
    assert_ne!(joins(&mut world, 2), before, "no sender ID of it goes with a key of the group before");
}

/// A hostile server counts epochs up: what it only says is stored with the next change, not at once.
#[test]
fn epochs_that_another_server_counts_up_cost_no_store_each() {
    for mut siege in Siege::both() {
        let base = number(&siege.honest(), at::EPOCH);
        let server = address(siege.target);
        let mut states = vec![siege.world.stored(server).unwrap()];
        for step in 1..=200u64 {
            let body = patched(&siege.honest(), at::EPOCH, &(base + step).to_be_bytes());
            let datagram = siege.traitor.seal(&body);
            siege.world.hand(siege.traitor.address, server, &datagram);
            states.push(siege.world.stored(server).unwrap());
        }
        states.dedup();
        assert!(states.len() < 5, "{} stores at once for 200 announcements", states.len());
    }
}
