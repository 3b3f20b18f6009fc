//! Members and servers that are no more: what is remembered of them ends, and nothing of those that live.

use crate::access::MULTICAST;
use crate::bench::alliance::{
    address, allied_config, allied_member, coop, primaries, start_server, start_with,
};
use crate::bench::fleet::{
    group, member, member_address, member_config, rekey_config, server, server_address, server_config,
};
use crate::bench::random::Seeded;
use crate::bench::{Archive, Link, World};
use gdoi::{
    CoopEvent, GroupStatus, KeyServer, KeyServerCommand, KeyServerConfig, KeyServerEvent, RekeyKind,
    Transport,
};
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);

const fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

fn config(transport: Transport) -> KeyServerConfig {
    let (mut config, mut rekey) = (server_config(1), rekey_config());
    rekey.transport = transport;
    config.groups[0].rekey = Some(rekey);
    config
}

fn world(config: KeyServerConfig, members: u16, link: Link) -> World {
    let mut world = World::new(1, link);
    world.archive = Archive::Nothing;
    world.add_server(server_address(1), server(config, 1, world.now));
    for number in 1..=members {
        world.add_member(member_address(number), member(member_config(number), number.into()));
    }
    world.run_for(seconds(30));
    assert!(world.views().iter().all(|view| view.registered));
    world
}

fn status(world: &World, server: u8) -> GroupStatus {
    let there = server_address(server);
    world.server(there).status(world.clock_of(there)).groups.remove(0)
}

/// All that is left of a group is its server, and what that remembers.
fn abandoned(config: impl Fn() -> KeyServerConfig, members: u16) -> World {
    let before = world(config(), members, Link::CALM);
    let stored = before.stored(server_address(1)).unwrap();
    let mut world = World::new(2, Link::CALM);
    (world.now, world.archive) = (before.now, Archive::Nothing);
    let again = KeyServer::new(config(), Some(&stored), Box::new(Seeded::new(9)), world.now).unwrap();
    world.add_server(server_address(1), again);
    world
}

#[test]
fn a_year_of_rekeys_for_fifty_members_that_vanished() {
    let mut world = abandoned(|| config(Transport::Unicast), 50);
    assert_eq!(status(&world, 1).members.len(), 50);
    world.run_for(365 * DAY);
    let left = status(&world, 1);
    println!("{} datagrams in a year, {} members left", world.launched(), left.members.len());
    assert_eq!((left.members.len(), left.forgotten), (0, 50));
    assert!(world.launched() < 50 * 150, "{} datagrams", world.launched());
    let told = |(_, event): &(_, KeyServerEvent)| {
        matches!(event, KeyServerEvent::MembersForgotten { members: 50, .. })
    };
    assert_eq!(world.server_events(server_address(1)).iter().filter(|event| told(event)).count(), 1);
}

/// Without a rekey SA members are only in the list; it forgets them as well.
#[test]
fn members_of_a_group_without_rekeys_vanish_too() {
    let mut world = abandoned(|| server_config(1), 5);
    world.run_for(seconds(3_600));
    assert_eq!(status(&world, 1).members.len(), 5, "their keys may live");
    world.run_for(seconds(2 * 3_600));
    assert_eq!((status(&world, 1).members.len(), status(&world, 1).forgotten), (0, 5));
}

#[test]
fn members_that_acknowledge_are_never_forgotten() {
    let mut world = world(config(Transport::Unicast), 5, Link::RAIN);
    world.run_for(5 * DAY);
    let status = status(&world, 1);
    assert_eq!((status.members.len(), status.forgotten), (5, 0));
    let registrations =
        (1..=5).map(|number| world.member(member_address(number)).status(world.now).registrations);
    assert!(registrations.max() <= Some(2), "they hear the rekeys");
}

/// The keys that members have are of the old lives, and so are the times at which they were heard last.
#[test]
fn shorter_lives_of_keys_make_nobody_old() {
    let lives = |tek: u64, kek: u64| {
        let mut config = config(Transport::Unicast);
        config.groups[0].tek_lifetime = seconds(tek);
        config.groups[0].rekey.as_mut().unwrap().lifetime = seconds(kek);
        config
    };
    let mut world = world(lives(86_400, 86_400), 3, Link::CALM);
    world.run_for(seconds(20 * 3_600));
    world.reconfigure(server_address(1), lives(600, 1_200));
    for _ in 0..12 {
        world.run_for(seconds(600));
        assert_eq!((status(&world, 1).members.len(), status(&world, 1).forgotten), (3, 0));
    }
}

/// They give no signs of life, and must stay where an operator can remove them.
#[test]
fn members_that_hear_multicast_are_not_taken_for_dead() {
    let mut world = world(config(MULTICAST), 5, Link::CALM);
    world.run_for(5 * DAY);
    let status = status(&world, 1);
    assert_eq!((status.members.len(), status.forgotten), (5, 0));
    assert!((1..=5).all(|number| world.member(member_address(number)).status(world.now).registrations == 1));
}

#[test]
fn who_was_forgotten_is_welcome() {
    let mut world = abandoned(|| config(Transport::Unicast), 1);
    world.run_for(3 * DAY);
    assert_eq!(status(&world, 1).members.len(), 0);
    world.add_member(member_address(1), member(member_config(1), 5));
    world.run_for(seconds(10));
    assert_eq!(status(&world, 1).members.len(), 1);
}

/// Keys live for two minutes and four, so that all signs of life are old after six.
fn short_lived(number: u8) -> KeyServerConfig {
    let mut config = allied_config(number, 2, seconds(120));
    config.groups[0].rekey.as_mut().unwrap().lifetime = seconds(240);
    config
}

/// What members acknowledged to the primary before is known to that one only.
#[test]
fn a_new_primary_forgets_nobody_whom_it_had_not_listened_to() {
    let mut world = World::new(1, Link::CALM);
    world.archive = Archive::Nothing;
    start_with(&mut world, 2, 4, short_lived);
    world.run_for(seconds(1_000));
    assert_eq!((primaries(&world, 2), status(&world, 1).members.len()), (vec![2], 4));
    world.crash_server(address(2));
    for _ in 0..100 {
        world.run_for(seconds(10));
        assert_eq!((status(&world, 1).members.len(), status(&world, 1).forgotten), (4, 0));
    }
    assert_eq!(primaries(&world, 1), [1]);
}

/// All servers forget who has left, not only the primary.
#[test]
fn the_other_servers_learn_who_is_forgotten() {
    let mut world = World::new(1, Link::CALM);
    world.archive = Archive::Nothing;
    start_with(&mut world, 2, 4, short_lived);
    world.run_for(seconds(60));
    for number in [3, 4] {
        world.cut(member_address(number).ip());
    }
    world.run_for(seconds(1_000));
    assert_eq!((status(&world, 1).members.len(), status(&world, 2).members.len()), (2, 2));
}

fn lists(world: &World, server: u8) -> Vec<std::net::IpAddr> {
    status(world, server).members.iter().map(|member| member.address).collect()
}

/// Each life of a server without a stored state is another author. In each one more member registers there.
#[test]
fn forty_lives_of_a_server_without_memory_share_their_members() {
    let mut world = World::new(1, Link::CALM);
    world.archive = Archive::Nothing;
    let mut random = Seeded::new(7);
    let config = |number| allied_config(number, 2, 10 * DAY);
    [1, 2].into_iter().for_each(|number| start_server(&mut world, config(number), None, &mut random));
    world.run_for(seconds(30));
    for life in 1..=40 {
        world.add_member(member_address(life), member(allied_member(life, 1, 2), random.draw()));
        world.run_for(seconds(10));
        assert_eq!(lists(&world, 2).len(), usize::from(life), "the other server in life {life}");
        world.crash_server(address(1));
        start_server(&mut world, config(1), None, &mut random);
        world.run_for(seconds(20));
        assert_eq!(lists(&world, 1), lists(&world, 2), "life {life}");
    }
    assert_eq!(primaries(&world, 2), [2]);
}

/// In each life the server leads and makes keys.
#[test]
fn forty_lives_of_a_primary_without_memory_make_one_history_of_keys() {
    let mut world = World::new(1, Link::CALM);
    world.archive = Archive::Nothing;
    let mut random = Seeded::new(7);
    let config = |number| allied_config(number, 2, 10 * DAY);
    start_with(&mut world, 2, 2, config);
    world.run_for(seconds(30));
    for life in 1..=40 {
        assert_eq!(primaries(&world, 2), [2], "life {life}");
        let rekey = KeyServerCommand::Rekey(group().id.into(), RekeyKind::Forced);
        world.command_server(address(2), rekey);
        world.run_for(seconds(10));
        world.crash_server(address(2));
        start_server(&mut world, config(2), None, &mut random);
        world.run_for(seconds(40));
        let said = coop(&world, 1).peers[0].said.unwrap();
        assert!(said.in_step, "life {life}");
        let merged = |(_, event): &(_, KeyServerEvent)| {
            matches!(event, KeyServerEvent::Coop { event: CoopEvent::Merged { .. }, .. })
        };
        for number in [1, 2] {
            assert!(
                !world.server_events(address(number)).iter().any(merged),
                "server {number} in life {life}"
            );
        }
    }
    let spis = |number| status(&world, number).teks.iter().map(|tek| tek.spi).collect::<Vec<_>>();
    assert_eq!(spis(1), spis(2));
    assert!(world.views().iter().all(|view| view.outbound.is_some()));
}
