//! What the stored state has of groups that no configuration names: a slip of the file must not cost a group its keys.

use crate::bench::alliance::{address, allied_config, start_server};
use crate::bench::fleet::{
    group, member, member_address, member_config, rekey_config, server_address, server_config,
};
use crate::bench::random::Seeded;
use crate::bench::{Link, World};
use gdoi::policy::{GroupId, Spi};
use gdoi::{
    GroupConfig, GroupName, KeyServerCommand, KeyServerConfig, KeyServerEvent, MemberCommand, MemberConfig,
    Removal,
};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const WRONG: u32 = 1000;

/// The number that members ask for.
fn right() -> u32 {
    group().id.0
}

/// One group, with keys of the senders' own.
fn numbered(number: u32) -> KeyServerConfig {
    let mut config = server_config(1);
    let group = GroupName { id: GroupId(number), ..group() };
    let transform = "aes-256-gcm".parse().unwrap();
    let rekey = Some(rekey_config());
    config.groups = vec![GroupConfig { group, transform, rekey, ..config.groups.remove(0) }];
    config
}

/// Three members, of which the third was removed.
fn started() -> World {
    let mut world = World::new(1, Link::CALM);
    start_server(&mut world, numbered(right()), None, &mut Seeded::new(1));
    for number in 1..=3 {
        let config = MemberConfig { sender_ids: 2, ..member_config(number) };
        world.add_member(member_address(number), member(config, number.into()));
    }
    world.run_for(SECOND * 30);
    let third = Some(member_address(3).ip());
    world.command_server(
        server_address(1),
        KeyServerCommand::Remove(GroupId(right()).into(), third, Removal::Now),
    );
    world.run_for(SECOND * 120);
    assert_eq!(listed(&world), [true, true, false]);
    world
}

/// Whom the key server lists.
fn listed(world: &World) -> Vec<bool> {
    let status = world.server(server_address(1)).status(world.now);
    let has =
        |number| status.groups[0].members.iter().any(|member| member.address == member_address(number).ip());
    (1..=3).map(has).collect()
}

/// A crash, and a start with a file that has this number.
fn restart(world: &mut World, number: u32, seed: u64) {
    let stored = world.crash_server(server_address(1)).unwrap();
    start_server(world, numbered(number), Some(&stored), &mut Seeded::new(seed));
    world.run_for(SECOND * 5);
}

fn told(world: &World) -> Vec<String> {
    world.server_events(server_address(1)).iter().map(|(_, event)| event.to_string()).collect()
}

/// The keys that members send with.
fn sending(world: &World) -> Vec<Spi> {
    (1..=2).map(|number| world.view(member_address(number)).outbound.unwrap().spi).collect()
}

fn goes_on(world: &mut World, before: &[Spi]) {
    let status = world.server(server_address(1)).status(world.now);
    let group = &status.groups[0];
    assert_eq!(group.group.id, GroupId(right()));
    assert_eq!((group.members.len(), group.revoked.len()), (2, 1), "{:?}", told(world));
    assert!(group.sids.given >= 6, "{:?}", group.sids);
    assert_eq!(sending(world), before);
    let new =
        |event: &KeyServerEvent| matches!(event, KeyServerEvent::NewKek { group } if group.id.0 == right());
    assert!(!world.server_events(server_address(1)).iter().any(|(_, event)| new(event)), "{:?}", told(world));
    world.command(member_address(3), MemberCommand::Register);
    world.command(member_address(1), MemberCommand::Register);
    world.run_for(SECOND * 30);
    assert_eq!(listed(world), [true, true, false]);
    assert!(
        told(world).iter().any(|event| event.contains("member was removed from the group")),
        "{:?}",
        told(world)
    );
}

#[test]
fn a_group_that_a_start_did_not_know_goes_on_with_the_next() {
    let mut world = started();
    let before = sending(&world);
    restart(&mut world, WRONG, 2);
    let kept = told(&world);
    let of_group = format!("Group {} is in no configuration", right());
    assert!(kept.iter().any(|event| event.contains(&of_group)), "{kept:?}");
    restart(&mut world, right(), 3);
    goes_on(&mut world, &before);
}

#[test]
fn a_group_that_a_start_did_not_know_goes_on_with_a_reload() {
    let mut world = started();
    let before = sending(&world);
    restart(&mut world, WRONG, 2);
    world.reload(server_address(1), numbered(right()));
    world.run_for(SECOND * 5);
    goes_on(&mut world, &before);
}

/// With its keys it ends, and the state has no more of it.
#[test]
fn a_group_of_no_configuration_is_forgotten_with_its_last_key() {
    let mut world = started();
    restart(&mut world, WRONG, 2);
    let with = world.stored(server_address(1)).unwrap().expose().len();
    world.run_for(Duration::from_secs(2 * 86_400));
    let told = told(&world);
    let of_group = format!("Group {}, ", right());
    let forgotten = |event: &&String| event.contains(&of_group) && event.contains("forgotten");
    assert_eq!(told.iter().filter(forgotten).count(), 1, "{told:?}");
    let without = world.stored(server_address(1)).unwrap().expose().len();
    assert!(without + 500 < with, "{without} of {with}");
    restart(&mut world, WRONG, 3);
    let events: Vec<_> =
        world.server_events(server_address(1)).iter().map(|(_, event)| event.name()).collect();
    assert!(!events.contains(&"KS_GROUP_KEPT"), "{events:?}");
}

/// However often a number is mistyped: the state stays as small as before.
#[test]
fn only_so_many_groups_of_no_configuration_are_kept() {
    let mut world = World::new(1, Link::CALM);
    start_server(&mut world, numbered(1), None, &mut Seeded::new(1));
    world.run_for(SECOND);
    let one = world.stored(server_address(1)).unwrap().expose().len();
    for number in 2..=100 {
        restart(&mut world, number, number.into());
    }
    let all = world.stored(server_address(1)).unwrap().expose().len();
    assert!(all <= one * 65, "{all}, one group takes {one}");
    restart(&mut world, 99, 7);
    let status = world.server(server_address(1)).status(world.now);
    assert_eq!(status.groups[0].teks.len(), 1);
}

/// A host that no group names is told by its name, not as one that breaks rules.
#[test]
fn announcements_of_a_host_that_is_no_peer_are_called_so() {
    let mut world = World::new(1, Link::CALM);
    let mut random = Seeded::new(7);
    // The third one is up before the others are reloaded. It has the key of any member.
    let of_two = |number| allied_config(number, 2, Duration::from_secs(3600));
    let mut of_three = allied_config(3, 3, Duration::from_secs(3600));
    for peer in &mut of_three.peers {
        peer.credential = member_config(1).servers[0].credential.clone();
    }
    for number in [1, 2] {
        let mut config = of_two(number);
        config.credentials.iter_mut().for_each(|entry| entry.peers = "0.0.0.0/0".parse().unwrap());
        start_server(&mut world, config, None, &mut random);
    }
    start_server(&mut world, of_three, None, &mut random);
    world.run_for(SECOND * 30);
    let third: Vec<_> = world.server_events(address(3)).iter().map(|(_, event)| event.to_string()).collect();
    let mute = |event: &&String| event.contains("no word since phase 1") && event.contains("`peers`");
    assert!(third.iter().filter(mute).count() >= 2, "{third:#?}");
    for number in [1, 2] {
        let events: Vec<_> = world.server_events(address(number)).iter().map(|(_, event)| event).collect();
        let of_stranger: Vec<_> = events
            .iter()
            .map(ToString::to_string)
            .filter(|event| event.contains(&address(3).ip().to_string()))
            .collect();
        assert!(!of_stranger.is_empty());
        assert!(
            of_stranger
                .iter()
                .all(|event| event.contains("no group here names") && event.contains("`peers`")),
            "{of_stranger:#?}"
        );
    }
}

/// Nothing was used up where a server came anew.
#[test]
fn new_sender_ids_are_told_of_with_their_cause() {
    for number in 1..=3 {
        let mut world = World::new(1, Link::CALM);
        let mut random = Seeded::new(7);
        let config = |number| {
            let mut config = allied_config(number, 3, Duration::from_secs(3600));
            config.groups[0].transform = "aes-256-gcm".parse().unwrap();
            config
        };
        (1..=3).for_each(|number| start_server(&mut world, config(number), None, &mut random));
        world.run_for(SECOND * 700);
        let without = KeyServerConfig { groups: Vec::new(), peers: Vec::new(), ..config(number) };
        world.reload(address(number), without);
        world.run_for(SECOND * 60);
        world.reload(address(number), config(number));
        world.run_for(SECOND * 1_000);
        for server in 1..=3 {
            let events = world.server_events(address(server)).iter();
            let renewed: Vec<_> = events
                .filter(|(_, event)| event.name() == "KS_NEW_SIDS")
                .map(|(_, event)| event.to_string())
                .collect();
            println!("{number} was without: {server} tells {renewed:?}");
            assert!(renewed.iter().all(|text| !text.contains("came to their end")), "{renewed:?}");
        }
    }
}

/// It is another group then, with the same members kept out of it.
#[test]
fn who_was_removed_stays_out_of_a_group_that_a_reload_took_away_and_another_brings_back() {
    for restarts in [false, true] {
        let mut world = started();
        let without = || KeyServerConfig { groups: Vec::new(), ..numbered(right()) };
        world.reload(server_address(1), without());
        world.run_for(SECOND * 60);
        if restarts {
            restart(&mut world, WRONG, 2);
        }
        world.reload(server_address(1), numbered(right()));
        world.run_for(SECOND * 4_000);
        let status = world.server(server_address(1)).status(world.now);
        assert_eq!((status.groups[0].revoked.len(), status.groups[0].members.len()), (1, 2), "{restarts}");
        assert_eq!(listed(&world), [true, true, false], "{restarts}");
    }
}
