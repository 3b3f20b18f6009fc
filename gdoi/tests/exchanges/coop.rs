//! Cooperating key servers and their members.

use crate::bench::alliance::{
    address, allied_config, allied_member, coop, primaries, start, start_server, start_with,
};
use crate::bench::fleet::{member, member_address};
use crate::bench::random::Seeded;
use crate::bench::{Link, World};
use gdoi::coop::Role;
use gdoi::policy::GroupId;
use gdoi::{GroupName, KeyServerCommand, KeyServerEvent, MemberEvent, RegistrationState};
use std::collections::BTreeSet;
use std::time::Duration;

const LIFE: Duration = Duration::from_secs(120);

fn world(servers: u8, members: u16) -> World {
    let mut world = World::new(1, Link::CALM);
    start(&mut world, servers, members, LIFE);
    world
}

fn registered(world: &World, members: u16) -> bool {
    (1..=members).all(|number| {
        world.member(member_address(number)).status(world.now).registration == RegistrationState::Registered
    })
}

/// All hold what any of them sends with.
fn all_hear_all(world: &World, members: u16) -> bool {
    let views: Vec<_> = (1..=members).map(|number| world.view(member_address(number))).collect();
    let sent: BTreeSet<_> = views.iter().map(|view| view.outbound.as_ref().map(|sa| sa.spi)).collect();
    sent.iter().all(|spi| {
        spi.is_some_and(|spi| views.iter().all(|view| view.inbound.iter().any(|sa| sa.spi == spi)))
    })
}

fn registrations(world: &World, members: u16) -> u64 {
    (1..=members).map(|number| world.member(member_address(number)).status(world.now).registrations).sum()
}

fn rekeys_of(world: &World, number: u8) -> usize {
    let sent = |event: &KeyServerEvent| matches!(event, KeyServerEvent::RekeySent { .. });
    world.server_events(address(number)).iter().filter(|(_, event)| sent(event)).count()
}

#[test]
fn one_is_primary_and_all_register_members_with_its_keys() {
    let mut world = world(3, 6);
    world.run_until(Duration::from_secs(40), |world| registered(world, 6));
    assert_eq!(primaries(&world, 3), [3]);
    assert!(all_hear_all(&world, 6));
    world.run_for(Duration::from_secs(3));
    for number in 1..=3 {
        let status = coop(&world, number);
        assert_eq!(status.role, if number == 3 { Role::Primary } else { Role::Secondary });
        assert!(status.peers.iter().all(|peer| {
            let said = peer.said.unwrap();
            peer.alive && peer.linked && said.in_step && said.configured_alike && said.members == 6
        }));
    }
    world.run_for(LIFE * 3);
    assert!(all_hear_all(&world, 6));
    assert_eq!(registrations(&world, 6), 6);
    assert!(rekeys_of(&world, 3) >= 3 && rekeys_of(&world, 2) == 0);
}

#[test]
fn a_killed_primary_is_replaced_and_takes_its_role_back() {
    let mut world = world(3, 3);
    world.run_until(Duration::from_secs(40), |world| registered(world, 3));
    let stored = world.crash_server(address(3));
    let killed = world.now;
    world.run_until(Duration::from_secs(5), |world| primaries(world, 3) == [2]);
    println!("replaced after {:?}", world.now.saturating_since(killed));
    world.run_for(LIFE);
    assert!(rekeys_of(&world, 2) >= 1 && all_hear_all(&world, 3));
    start_server(&mut world, allied_config(3, 3, LIFE), stored.as_ref(), &mut Seeded::new(9));
    let before = rekeys_of(&world, 2);
    world.run_until(Duration::from_secs(40), |world| primaries(world, 3) == [3]);
    assert_eq!((rekeys_of(&world, 3), rekeys_of(&world, 2)), (0, before), "handed over without a rekey");
    world.run_for(LIFE);
    assert!(rekeys_of(&world, 3) >= 1 && all_hear_all(&world, 3));
    assert_eq!(registrations(&world, 3), 3);
}

#[test]
fn a_server_that_dies_after_a_registration_has_told_the_others() {
    for offset in [100, 350, 600, 850] {
        let mut world = world(3, 0);
        world.run_for(Duration::from_secs(10) + Duration::from_millis(offset));
        world.add_member(member_address(1), member(allied_member(1, 1, 3), 1));
        world.run_until(Duration::from_secs(1), |world| registered(world, 1));
        world.run_for(Duration::from_millis(20));
        world.crash_server(address(1));
        for number in 2..=3 {
            let status = world.server(address(number)).status(world.now);
            assert_eq!(status.groups[0].members.len(), 1, "{number} at {offset} ms");
        }
    }
}

#[test]
fn both_sides_of_a_split_network_work_and_become_one_again() {
    let mut world = world(3, 3);
    world.run_until(Duration::from_secs(40), |world| registered(world, 3));
    let side = [address(1).ip(), member_address(1).ip()].map(|host| (host, 1));
    world.split(side);
    world.run_for(LIFE * 2);
    assert_eq!(primaries(&world, 3), [1, 3]);
    assert!(!all_hear_all(&world, 3), "each side made keys");
    world.heal();
    let healed = world.now;
    world.run_until(Duration::from_secs(15), |world| all_hear_all(world, 3) && primaries(world, 3) == [3]);
    println!("all hear all {:?} after", world.now.saturating_since(healed));
    world.run_for(LIFE * 2);
    assert!(all_hear_all(&world, 3));
    assert_eq!(primaries(&world, 3), [3]);
    assert_eq!(registrations(&world, 3), 3);
}

#[test]
fn an_operator_gives_the_role_away() {
    let mut world = world(3, 3);
    world.run_until(Duration::from_secs(40), |world| registered(world, 3));
    world.run_for(Duration::from_secs(10));
    let group = world.server(address(3)).status(world.now).groups[0].group.id;
    world.command_server(address(3), KeyServerCommand::Resign(group.into()));
    world.run_for(Duration::from_secs(30));
    assert_eq!(primaries(&world, 3), [2]);
    assert!(coop(&world, 3).resigned);
}

/// One server's clock jumps ahead, or back to where the others are.
#[test]
fn a_clock_that_jumps_is_set_by_the_group() {
    for (servers, jumping) in [(2, 1), (2, 2), (3, 1), (3, 3)] {
        let mut world = world(servers, 3);
        world.run_for(Duration::from_secs(60));
        world.set_skew(address(jumping), Duration::from_secs(20));
        world.run_for(Duration::from_secs(120));
        let events = |number| world.server_events(address(number)).len();
        let before: Vec<_> = (1..=servers).map(events).collect();
        let elections: Vec<_> = (1..=servers).map(|number| coop(&world, number).elections).collect();
        assert_eq!(primaries(&world, servers), [servers], "{servers} servers, {jumping} jumps: {before:?}");
        world.run_for(LIFE);
        for number in 1..=servers {
            let status = coop(&world, number);
            assert_eq!(status.elections, elections[usize::from(number) - 1], "nobody elects any more");
            assert!(status.pseudotime.abs_diff(coop(&world, 1).pseudotime) < 1000);
        }
        assert!(all_hear_all(&world, 3));
        let expired = |(_, event): &(_, MemberEvent)| matches!(event, MemberEvent::KeysExpired { .. });
        assert!((1..=3).all(|number| !world.member_events(member_address(number)).iter().any(expired)));
    }
}

#[test]
fn a_server_joins_by_a_reload_and_leaves_by_another() {
    let mut world = world(2, 2);
    world.run_until(Duration::from_secs(40), |world| registered(world, 2));
    (1..=2).for_each(|number| drop(world.reconfigure(address(number), allied_config(number, 3, LIFE))));
    start_server(&mut world, allied_config(3, 3, LIFE), None, &mut Seeded::new(9));
    let added = |event: &KeyServerEvent| event.name() == "COOP_KS_ADD";
    assert_eq!(world.server_events(address(1)).iter().filter(|(_, event)| added(event)).count(), 1);
    world.run_until(Duration::from_secs(40), |world| primaries(world, 3) == [3]);
    assert!(coop(&world, 3).peers.iter().all(|peer| peer.said.is_some_and(|said| said.members == 2)));
    (1..=2).for_each(|number| drop(world.reconfigure(address(number), allied_config(number, 2, LIFE))));
    world.crash_server(address(3));
    world.run_for(LIFE);
    assert_eq!((primaries(&world, 2), registrations(&world, 2)), (vec![2], 2));
    assert!(all_hear_all(&world, 2) && coop(&world, 2).peers.len() == 1);
}

/// One link serves two groups, and each counts its own messages, there and back.
#[test]
fn messages_are_counted_by_group_in_both_directions() {
    let mut world = World::new(1, Link::CALM);
    for number in 1..=2 {
        let mut config = allied_config(number, 2, Duration::from_secs(3_600));
        let mut other = allied_config(number, 2, Duration::from_secs(3_600)).groups.remove(0);
        other.group = GroupName { name: "other".into(), id: GroupId(7) };
        other.redundancy.as_mut().unwrap().interval = Duration::from_secs(5);
        config.groups.push(other);
        start_server(&mut world, config, None, &mut Seeded::new(number.into()));
    }
    world.run_for(Duration::from_secs(120));
    let status = |number| world.server(address(number)).status(world.now);
    let counts = |number: u8, group: usize| {
        let peer = status(number).groups[group].coop.as_ref().unwrap().peers[0].clone();
        (peer.sent, peer.received)
    };
    for group in [0, 1] {
        let ((sent, received), (back, heard)) = (counts(1, group), counts(2, group));
        assert!(
            sent.abs_diff(heard) <= 2 && back.abs_diff(received) <= 2,
            "{sent} {heard} {back} {received}"
        );
    }
    assert!(counts(1, 0).0 > 3 * counts(1, 1).0, "{:?} {:?}", counts(1, 0), counts(1, 1));
    assert_eq!((status(1).links, status(1).established), (1, 0));
}

/// What two groups of the same servers have to say goes over one link, at the same moments.
#[test]
fn messages_that_overtake_each_other_cost_no_group_its_primary() {
    let config = |number| {
        let (mut config, other) = (allied_config(number, 4, LIFE), allied_config(number, 4, LIFE));
        config.groups.extend(other.groups);
        (config.groups[1].group.name, config.groups[1].group.id) = ("other".into(), GroupId(9));
        config
    };
    for seed in 1..=5 {
        let mut world = World::new(seed, Link::BREEZE);
        start_with(&mut world, 4, 4, config);
        world.run_for(Duration::from_secs(30));
        let told: Vec<_> = (1..=4).map(|number| world.server_events(address(number)).len()).collect();
        world.run_for(LIFE);
        for (number, told) in (1..).zip(told) {
            let events = world.server_events(address(number))[told..].iter();
            let lost = |(_, event): &&(_, KeyServerEvent)| {
                ["COOP_KS_UNREACH", "COOP_KS_ELECTION", "KS_PACKET_DROPPED"].contains(&event.name())
            };
            let lost: Vec<_> = events.filter(lost).map(|(_, event)| event.to_string()).collect();
            assert_eq!(lost, [""; 0], "seed {seed}, server {number}: nothing was lost on the way");
        }
    }
}
