//! A group that is no more configured: its members are told, as the reload says.

use crate::bench::alliance::{address, allied_config, primaries, start, start_with, LIFE};
use crate::bench::fleet::{
    group_config, member, member_address, member_config, rekey_config, server, server_address, server_config,
};
use crate::bench::{Link, World};
use crate::seams::watch::longest_deafness;
use gdoi::policy::GroupId;
use gdoi::{
    Change, Effect, GroupConfig, GroupName, KeyServerCommand, KeyServerConfig, MemberEvent, Refused,
    RekeyKind, Transport,
};
use std::net::SocketAddr;
use std::time::Duration;

const MULTICAST: ([u8; 4], u16) = ([239, 1, 1, 1], 848);

fn is_told(world: &World, member: SocketAddr) -> bool {
    let told = |event: &MemberEvent| matches!(event, MemberEvent::Dismissed { .. });
    world.member_events(member).iter().any(|(_, event)| told(event))
}

fn told(world: &World, members: u16) -> usize {
    (1..=members).filter(|number| is_told(world, member_address(*number))).count()
}

/// Reads its configuration again, and says what follows from it.
fn reconfigure(world: &mut World, server: SocketAddr, config: KeyServerConfig) -> Vec<Change> {
    let changes = world.reconfigure(server, config);
    // Any command has its outputs fetched.
    let nobody = GroupId(0xffff_ffff);
    let refused = world.ask_server(server, KeyServerCommand::Rekey(nobody.into(), RekeyKind::Forced));
    assert_eq!(refused, Err(Refused::NoGroup.into()));
    changes
}

fn without_groups(config: KeyServerConfig) -> KeyServerConfig {
    KeyServerConfig { groups: Vec::new(), peers: Vec::new(), ..config }
}

fn alone(link: Link, members: u16, transport: Transport) -> World {
    let mut world = World::new(3, link);
    let rekey = gdoi::RekeyConfig { transport, ..rekey_config() };
    let groups = vec![GroupConfig { rekey: Some(rekey), ..group_config() }];
    world.add_server(server_address(1), server(KeyServerConfig { groups, ..server_config(1) }, 2, world.now));
    (1..=members).for_each(|number| {
        world.add_member(member_address(number), member(member_config(number), u64::from(number)));
    });
    world.run_for(Duration::from_secs(120));
    assert!(world.views().iter().all(|view| view.registered));
    world
}

/// More than go out at once, and some of them get it only when it is repeated.
#[test]
fn all_members_of_a_removed_group_are_told() {
    for link in [Link::CALM, Link::RAIN] {
        let mut world = alone(link, 60, Transport::Unicast);
        let changes = reconfigure(&mut world, server_address(1), without_groups(server_config(1)));
        assert_eq!((changes[0].what, changes[0].effect), ("removed", Effect::Reregistration));
        world.run_for(Duration::from_secs(40));
        assert!(told(&world, 60) >= 59, "{} of 60", told(&world, 60));
        world.run_for(Duration::from_secs(60));
        let wakes = world.server(server_address(1)).status(world.now).groups.len();
        assert_eq!(wakes, 0);
    }
}

#[test]
fn a_multicast_group_is_told_as_well() {
    let mut world = alone(Link::CALM, 5, Transport::Multicast(MULTICAST.into()));
    reconfigure(&mut world, server_address(1), without_groups(server_config(1)));
    world.run_for(Duration::from_secs(30));
    assert_eq!(told(&world, 5), 5);
}

/// They are given to the other server, which still has the group, and lose nothing.
#[test]
fn members_of_cooperating_servers_are_told_by_the_primary() {
    let mut world = World::new(5, Link::CALM);
    start(&mut world, 2, 6, LIFE);
    world.run_for(Duration::from_secs(40));
    let (secondary, primary) = (address(1), address(2));
    let changes = reconfigure(&mut world, primary, without_groups(allied_config(2, 2, LIFE)));
    assert_eq!((changes[0].what, changes[0].effect), ("removed", Effect::Reregistration));
    world.run_for(Duration::from_secs(400));
    assert_eq!(told(&world, 6), 6);
    assert!(world.views().iter().all(|view| view.registered && view.outbound.is_some()));
    assert_eq!(world.server(secondary).status(world.now).groups[0].members.len(), 6);
    assert_eq!(world.server(primary).status(world.now).groups.len(), 0);
}

/// They go on with the keys that the others have, past the time after which keys end that are replaced.
#[test]
fn members_that_other_servers_serve_on_are_never_without_keys() {
    for (servers, transform) in [(2, None), (3, None), (2, Some("aes-256-gcm")), (3, Some("aes-256-gcm"))] {
        let config = |number| {
            let mut config = allied_config(number, servers, LIFE);
            let transform = transform.into_iter().map(|name| name.parse().unwrap());
            transform.for_each(|transform| config.groups[0].transform = transform);
            config
        };
        let mut world = World::new(5, Link::CALM);
        start_with(&mut world, servers, 6, config);
        world.run_for(Duration::from_secs(40));
        assert_eq!(primaries(&world, servers), [servers]);
        reconfigure(&mut world, address(servers), without_groups(config(servers)));
        let end = world.now + 2 * config(1).groups[0].deactivation_delay;
        while world.now < end {
            world.run_for(Duration::from_secs(1));
            let views = world.views();
            let sent: Vec<_> = views.iter().filter_map(|view| view.outbound.as_ref()).collect();
            assert_eq!(sent.len(), 6, "{servers} servers, {transform:?}: all can send");
            let hears = |keys| views.iter().all(|view| view.inbound.iter().any(|held| held.keys == keys));
            assert!(sent.iter().all(|sa| hears(sa.keys.clone())), "{servers} servers, {transform:?}");
        }
        assert_eq!(told(&world, 6), 6);
    }
}

/// Where another server has the group, its keys are no more over than if this one had died: who registers again is given the
/// same ones, and nobody ceases to hear the others.
#[test]
fn a_primary_that_removes_a_group_which_others_have_ends_no_keys() {
    for life in [Duration::from_secs(120), LIFE] {
        let mut world = World::new(5, Link::CALM);
        start(&mut world, 3, 6, life);
        world.run_for(Duration::from_secs(40));
        reconfigure(&mut world, address(3), without_groups(allied_config(3, 3, life)));
        let deaf = longest_deafness(&mut world, Duration::from_secs(200));
        println!("life {life:?}: deaf for {deaf:?}");
        assert_eq!(told(&world, 6), 6);
        assert!(deaf < Duration::from_secs(1), "life {life:?}: deaf for {deaf:?}");
    }
}

/// Nobody gives these keys out any more: they end after the deactivation delay.
#[test]
fn the_last_server_that_removes_a_group_ends_its_keys() {
    let mut world = World::new(5, Link::CALM);
    start(&mut world, 2, 4, LIFE);
    world.run_for(Duration::from_secs(40));
    reconfigure(&mut world, address(1), without_groups(allied_config(1, 2, LIFE)));
    world.run_for(Duration::from_secs(5));
    let config = allied_config(2, 2, LIFE);
    let delay = config.groups[0].deactivation_delay;
    reconfigure(&mut world, address(2), without_groups(config));
    world.run_for(delay / 2);
    assert!(world.views().iter().all(|view| !view.inbound.is_empty()));
    world.run_for(delay / 2 + Duration::from_secs(5));
    assert_eq!(told(&world, 4), 4);
    assert!(world.views().iter().all(|view| view.inbound.is_empty()), "they are over");
}

/// A secondary makes no keys and tells nobody anything; so it does not say that it does.
#[test]
fn a_secondary_that_removes_a_group_says_that_it_tells_nobody() {
    let mut world = World::new(5, Link::CALM);
    start(&mut world, 2, 6, LIFE);
    world.run_for(Duration::from_secs(40));
    let changes = reconfigure(&mut world, address(1), without_groups(allied_config(1, 2, LIFE)));
    assert_eq!(changes[0].what, "removed");
    assert_ne!(changes[0].effect, Effect::Reregistration);
    world.run_for(Duration::from_secs(60));
    assert_eq!(told(&world, 6), 0);
}

/// It is another group then, and the last words of the one before do not go on beside it.
#[test]
fn a_group_that_comes_back_at_once_begins_anew() {
    let mut world = alone(Link::CALM, 60, Transport::Unicast);
    reconfigure(&mut world, server_address(1), without_groups(server_config(1)));
    let groups = vec![GroupConfig { rekey: Some(rekey_config()), ..group_config() }];
    reconfigure(&mut world, server_address(1), KeyServerConfig { groups, ..server_config(1) });
    world.run_for(Duration::from_secs(3_700));
    assert!(world.views().iter().all(|view| view.registered && view.outbound.is_some()));
}

#[test]
fn another_name_of_a_group_is_a_change() {
    let mut world = alone(Link::CALM, 1, Transport::Unicast);
    let group = GroupName { name: "korp".into(), ..group_config().group };
    let groups = vec![GroupConfig { group, rekey: Some(rekey_config()), ..group_config() }];
    let changes = reconfigure(&mut world, server_address(1), KeyServerConfig { groups, ..server_config(1) });
    let [change] = &changes[..] else { panic!("{changes:?}") };
    assert_eq!((change.what, change.effect, change.group.name.as_str()), ("name", Effect::AtOnce, "korp"));
    assert_eq!(world.server(server_address(1)).status(world.now).groups[0].group.name, "korp");
    assert_eq!(told(&world, 1), 0);
}
