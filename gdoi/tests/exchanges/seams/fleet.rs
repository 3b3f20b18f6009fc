//! A large group, and two forced rekeys that come close together.

use super::watch::longest_deafness;
use super::{join, lone, lone_world, rekey, seconds, MULTICAST};
use crate::bench::fleet::{member_address, server, server_address};
use crate::bench::{Archive, Link, World};
use gdoi::{KeyServerEvent, RekeyKind, Transport};
use std::time::Duration;

/// Ten thousand where the build is quick enough.
const MEMBERS: u16 = if cfg!(debug_assertions) { 2_000 } else { 10_000 };

/// Nobody is left behind, and the second message costs each member that could read the first one nothing.
#[test]
fn a_large_fleet_survives_two_forced_rekeys_in_two_seconds() {
    let mut world = World::new(1, Link::CALM);
    world.archive = Archive::Nothing;
    world.add_server(server_address(1), server(lone(Transport::Unicast), 1, world.now));
    for number in 1..=MEMBERS {
        join(&mut world, number);
        world.step(world.now);
    }
    world.run_for(seconds(30));
    let registered = |world: &World| {
        (1..=MEMBERS).map(|number| world.member(member_address(number)).registrations()).sum::<u64>()
    };
    let before = registered(&world);
    assert_eq!(before, u64::from(MEMBERS), "all have registered once");
    world.link = Link::DRIZZLE;
    let sent = |world: &World| {
        let is = |event: &KeyServerEvent| matches!(event, KeyServerEvent::RekeySent { .. });
        world.server_events(server_address(1)).iter().filter(|(_, event)| is(event)).count()
    };
    let launched = world.launched();
    world.command_server(server_address(1), rekey(RekeyKind::Forced));
    world.run_for(seconds(2));
    world.command_server(server_address(1), rekey(RekeyKind::Forced));
    world.run_for(seconds(90));
    let newest = world.server(server_address(1)).status(world.now).groups[0].teks.last().unwrap().spi;
    let behind = (1..=MEMBERS)
        .filter(|number| {
            let view = world.member(member_address(*number)).view(world.now);
            view.outbound.is_none_or(|sa| sa.spi != newest)
        })
        .count();
    println!(
        "{MEMBERS} members, 1 % lost: {behind} behind, {} datagrams, {} messages made",
        world.launched() - launched,
        sent(&world)
    );
    assert_eq!(behind, 0, "nobody is left behind");
    assert_eq!(registered(&world), before, "and nobody had to register again");
    // The first one had gone to some 800 of them.
    let most = (u64::from(MEMBERS) + 900) * 2 * 107 / 100;
    assert!(world.launched() - launched < most, "one message and one acknowledgement each");
}

/// 1 % lost, and new keys every hour: nobody is deaf for more than ten seconds.
#[test]
fn a_day_of_forced_rekeys_every_hour() {
    for transport in [Transport::Unicast, MULTICAST] {
        let mut world = lone_world(lone(transport), 12);
        world.archive = Archive::Nothing;
        world.link = Link::DRIZZLE;
        let mut deaf = Duration::ZERO;
        for _ in 0..24 {
            world.command_server(server_address(1), rekey(RekeyKind::Forced));
            deaf = deaf.max(longest_deafness(&mut world, seconds(3600)));
        }
        let registrations: u64 =
            (1..=12).map(|number| world.member(member_address(number)).registrations()).sum();
        println!("{transport:?}: deaf for {deaf:?} at most, {registrations} registrations of 12 members");
        assert!(deaf <= seconds(10), "{transport:?}: deaf for {deaf:?}");
    }
}
