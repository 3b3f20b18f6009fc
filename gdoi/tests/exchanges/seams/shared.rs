//! Several servers: who registers with another one while the primary commits new keys, and what outlives a server.

use super::watch::longest_deafness;
use super::{pulls, rekey, remove, seconds};
use crate::bench::alliance::{address, allied_config, allied_member, primaries, start_with};
use crate::bench::fleet::{member, member_address};
use crate::bench::{Link, World};
use gdoi::{KeyServerCommand, KeyServerEvent, MemberEvent, RekeyKind, Removal};
use std::time::Duration;

const LIFE: Duration = Duration::from_secs(3600);
const SECONDARY: u8 = 1;
const PRIMARY: u8 = 2;

fn config(number: u8, servers: u8) -> gdoi::KeyServerConfig {
    let mut config = allied_config(number, servers, LIFE);
    config.groups[0].activation_delay = seconds(15);
    config.groups[0].deactivation_delay = seconds(30);
    config
}

fn allied(servers: u8, members: u16) -> World {
    let mut world = World::new(1, Link::CALM);
    start_with(&mut world, servers, members, |number| config(number, servers));
    world.run_for(seconds(40));
    assert_eq!(primaries(&world, servers), [servers]);
    assert!(world.views().iter().all(|view| view.registered));
    world
}

fn newest(world: &World, server: u8) -> gdoi::policy::Spi {
    world.server(address(server)).status(world.now).groups[0].teks.last().unwrap().spi
}

fn holds(world: &World, number: u16, spi: gdoi::policy::Spi) -> bool {
    world.view(member_address(number)).inbound.iter().any(|sa| sa.spi == spi)
}

/// A third member registers at `server`, and the primary is told to change keys so many milliseconds after the first
/// message of its PULL.
fn in_the_middle(server: u8, offset: u64, command: KeyServerCommand) -> World {
    let mut world = allied(2, 2);
    let before = pulls(&world);
    let joining = gdoi::MemberConfig {
        servers: allied_member(3, server, 2).servers[..1].to_vec(),
        ..allied_member(3, server, 2)
    };
    world.add_member(member_address(3), member(joining, 3));
    world.run_until(seconds(5), |world| pulls(world) == before + 1);
    world.run_for(Duration::from_millis(offset));
    world.command_server(address(PRIMARY), command);
    world
}

#[test]
fn who_registers_elsewhere_during_the_commit_is_part_of_the_forced_rekey() {
    for server in [SECONDARY, PRIMARY] {
        for offset in (0..60).step_by(4) {
            let mut world = in_the_middle(server, offset, rekey(RekeyKind::Forced));
            let deaf = longest_deafness(&mut world, seconds(400));
            println!("server {server}, {offset} ms: deaf for {deaf:?}");
            assert!(holds(&world, 3, newest(&world, PRIMARY)), "server {server}, {offset} ms");
            assert!(deaf <= seconds(3), "server {server}, {offset} ms: deaf for {deaf:?}");
        }
    }
}

#[test]
fn who_registers_elsewhere_during_the_commit_hears_that_the_old_keys_are_gone() {
    for server in [SECONDARY, PRIMARY] {
        for offset in (0..60).step_by(4) {
            let mut world = in_the_middle(server, offset, rekey(RekeyKind::ReplaceNow));
            let deaf = longest_deafness(&mut world, seconds(400));
            println!("server {server}, {offset} ms: deaf for {deaf:?}");
            assert!(holds(&world, 3, newest(&world, PRIMARY)), "server {server}, {offset} ms");
            assert!(deaf <= seconds(3), "server {server}, {offset} ms: deaf for {deaf:?}");
        }
    }
}

#[test]
fn who_registers_elsewhere_during_the_commit_is_sent_away_with_the_others() {
    for (server, removed) in [(SECONDARY, None), (SECONDARY, Some(2)), (PRIMARY, None)] {
        for offset in (0..60).step_by(4) {
            let mut world = in_the_middle(server, offset, remove(removed, Removal::Graceful));
            world.run_for(seconds(60));
            let newest = newest(&world, PRIMARY);
            assert!(
                holds(&world, 1, newest) && holds(&world, 3, newest),
                "{server}, {removed:?}, {offset} ms"
            );
            assert_eq!(holds(&world, 2, newest), removed.is_none(), "{server}, {removed:?}, {offset} ms");
        }
    }
}

/// Both register in the same moment, so that the second one falls into the pause after the first; the server dies right
/// after.
#[test]
fn two_registrations_in_one_moment_are_both_told_before_the_server_dies() {
    let mut world = World::new(1, Link::CALM);
    start_with(&mut world, 3, 0, |number| config(number, 3));
    world.run_for(seconds(40));
    for number in 1..=4 {
        world.add_member(member_address(number), member(allied_member(number, 1, 3), number.into()));
    }
    let registered = |world: &World| world.server(address(1)).status(world.now).groups[0].members.len();
    world.run_until(seconds(2), |world| registered(world) == 4);
    world.crash_server(address(1));
    world.run_for(Duration::from_millis(15));
    for number in 2..=3 {
        let members = world.server(address(number)).status(world.now).groups[0].members.len();
        assert_eq!(members, 4, "server {number} knows all of them");
    }
}

/// Only the primary knew the key, and members have it: an operator ends all old keys at the server that takes over.
#[test]
fn replace_now_ends_a_key_that_only_the_dead_primary_had() {
    let mut world = allied(2, 2);
    world.cut(address(SECONDARY).ip());
    world.run_for(seconds(10));
    world.command_server(address(PRIMARY), rekey(RekeyKind::Forced));
    world.run_for(seconds(5));
    let forced = newest(&world, PRIMARY);
    assert!(holds(&world, 1, forced) && holds(&world, 2, forced));
    world.crash_server(address(PRIMARY));
    world.join(address(SECONDARY).ip());
    world.run_for(seconds(20));
    assert_eq!(primaries(&world, 1), [SECONDARY]);
    world.command_server(address(SECONDARY), rekey(RekeyKind::ReplaceNow));
    world.run_for(seconds(10));
    for number in 1..=2 {
        assert!(!holds(&world, number, forced), "{number} still has what only the dead server knew");
        assert!(holds(&world, number, newest(&world, SECONDARY)));
    }
}

fn names_since(world: &World, before: usize) -> Vec<&'static str> {
    world.server_events(address(PRIMARY))[before..].iter().map(|(_, event)| event.name()).collect()
}

/// What is told as done is with all servers.
#[test]
fn new_keys_are_reported_when_all_servers_have_them() {
    for command in [rekey(RekeyKind::Forced), remove(Some(1), Removal::Graceful)] {
        let mut world = allied(2, 2);
        let before = world.server_events(address(PRIMARY)).len();
        world.command_server(address(PRIMARY), command);
        let told = names_since(&world, before);
        assert!(told.is_empty(), "{command:?}: told before it is true: {told:?}");
        world.run_for(Duration::from_millis(100));
        let told = names_since(&world, before);
        assert!(told.contains(&"KS_NEW_TEK") && told.contains(&"KS_SEND_UNICAST_REKEY"), "{told:?}");
        let events = world.server_events(address(PRIMARY));
        assert!(events.iter().any(|(_, event)| matches!(event, KeyServerEvent::NewKek { .. })));
    }
}

/// The primary dies while one of two members has not heard of the forced rekey: its successor tells it.
#[test]
fn a_successor_tells_those_that_the_dead_primary_had_not_reached() {
    let mut world = allied(2, 2);
    world.cut(member_address(2).ip());
    world.command_server(address(PRIMARY), rekey(RekeyKind::Forced));
    world.run_for(seconds(2));
    world.crash_server(address(PRIMARY));
    world.run_for(seconds(20));
    assert_eq!(primaries(&world, 1), [SECONDARY]);
    world.join(member_address(2).ip());
    world.run_for(seconds(15));
    assert!(holds(&world, 2, newest(&world, SECONDARY)), "it has the key that all others send with");
    let again = |(_, event): &(_, MemberEvent)| matches!(event, MemberEvent::Reregistering { .. });
    assert!(!world.member_events(member_address(2)).iter().any(again));
}
