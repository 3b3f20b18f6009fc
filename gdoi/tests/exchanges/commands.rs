//! Commands answer what was done, or why nothing was.

use crate::bench::alliance::{address, allied_config, start_server, LIFE};
use crate::bench::fleet::{
    group_config, member, member_address, member_config, rekey_config, server, server_address, server_config,
};
use crate::bench::random::Seeded;
use crate::bench::{Link, World};
use gdoi::coop::Role;
use gdoi::policy::GroupId;
use gdoi::{
    Error, GroupConfig, GroupName, KeyServerCommand, Outcome, Refused, RekeyKind, Removal, Transport, Which,
};
use std::net::SocketAddr;
use std::time::Duration;

const FORCED: KeyServerCommand = KeyServerCommand::Rekey(Which::All, RekeyKind::Forced);
const RESIGN: KeyServerCommand = KeyServerCommand::Resign(Which::All);

fn alone(groups: Vec<GroupConfig>, members: u16) -> World {
    let mut world = World::new(1, Link::CALM);
    let config = gdoi::KeyServerConfig { groups, ..server_config(1) };
    world.add_server(server_address(1), server(config, 2, world.now));
    (1..=members)
        .for_each(|number| world.add_member(member_address(number), member(member_config(number), 3)));
    world.run_for(Duration::from_secs(10));
    world
}

fn with_rekey_sa() -> GroupConfig {
    GroupConfig { rekey: Some(rekey_config()), ..group_config() }
}

fn other(config: GroupConfig) -> GroupConfig {
    GroupConfig { group: GroupName { name: "other".into(), id: GroupId(7) }, ..config }
}

fn refused(world: &mut World, server: SocketAddr, command: KeyServerCommand) -> Refused {
    match world.ask_server(server, command) {
        Err(Error::Refused(refused)) => refused,
        other => panic!("{command:?}: {other:?}"),
    }
}

#[test]
fn a_server_without_others_does_what_it_is_told_and_says_so() {
    let mut world = alone(vec![with_rekey_sa()], 2);
    let done = world.command_server(server_address(1), FORCED);
    let newest = world.server(server_address(1)).status(world.now).groups[0].teks.last().unwrap().spi;
    let (kind, transport) = (RekeyKind::Forced, Transport::Unicast);
    assert_eq!(done, [Outcome::Rekeyed { spi: newest, members: 2, kind, transport }]);
    let member = member_address(2).ip();
    let removal = Some(Removal::Now);
    let remove = KeyServerCommand::Remove(Which::All, Some(member), Removal::Now);
    let done = world.command_server(server_address(1), remove);
    assert_eq!(done, [Outcome::Dismissed { member: Some(member), others: 1, removal }]);
    let readmit = KeyServerCommand::Readmit(Which::All, member);
    assert_eq!(world.command_server(server_address(1), readmit), [Outcome::Readmitted { member }]);
    let all = KeyServerCommand::Remove(Which::All, None, Removal::Now);
    let done = world.command_server(server_address(1), all);
    assert_eq!(done, [Outcome::Dismissed { member: None, others: 1, removal }]);
}

#[test]
fn what_makes_no_sense_is_refused_and_changes_nothing() {
    let mut world = alone(vec![group_config(), other(with_rekey_sa())], 1);
    let (server, stranger) = (server_address(1), [10, 9, 8, 7].into());
    let named = |id| KeyServerCommand::Rekey(Which::Group(id), RekeyKind::Forced);
    let before = world.stored(server).unwrap();
    assert_eq!(refused(&mut world, server, named(GroupId(1))), Refused::NoGroup);
    assert_eq!(refused(&mut world, server, named(group_config().group.id)), Refused::NoRekeySa);
    let remove = KeyServerCommand::Remove(Which::All, Some(stranger), Removal::Now);
    assert_eq!(refused(&mut world, server, remove), Refused::NotRegistered(stranger));
    let readmit = KeyServerCommand::Readmit(Which::All, stranger);
    assert_eq!(refused(&mut world, server, readmit), Refused::NotRemoved(stranger));
    assert_eq!(refused(&mut world, server, RESIGN), Refused::NoRedundancy);
    world.run_for(Duration::from_secs(2));
    assert!(world.stored(server).unwrap() == before);
    assert_eq!(world.command_server(server, FORCED).len(), 1, "the group that has a rekey SA");
    let member = Some(member_address(1).ip());
    let remove = KeyServerCommand::Remove(Which::All, member, Removal::Now);
    let done = world.command_server(server, remove);
    assert_eq!(done, [Outcome::Dismissed { member, others: 0, removal: None }], "nobody can be told");
}

/// Those that are not primary say whom to ask.
#[test]
fn only_the_primary_acts() {
    let mut world = World::new(1, Link::CALM);
    (1..=2).for_each(|number| {
        start_server(&mut world, allied_config(number, 2, LIFE), None, &mut Seeded::new(number.into()));
    });
    let group = "corp".to_owned();
    assert_eq!(refused(&mut world, address(2), FORCED), Refused::NoPrimary { group: group.clone() });
    world.run_for(Duration::from_secs(30));
    let (secondary, primary) = (address(1), address(2));
    let elsewhere = Refused::NotPrimary { group: group.clone(), primary: primary.ip() };
    for command in [FORCED, KeyServerCommand::Remove(Which::All, None, Removal::Graceful), RESIGN] {
        assert_eq!(refused(&mut world, secondary, command), elsewhere);
    }
    assert_eq!(world.command_server(primary, FORCED).len(), 1);
    world.run_for(Duration::from_secs(10));
    assert_eq!(world.command_server(primary, RESIGN), [Outcome::Resigned]);
    assert_eq!(refused(&mut world, primary, FORCED), Refused::Yielding { group: group.clone() });
    world.run_for(Duration::from_secs(10));
    let role =
        |world: &World, server| world.server(server).status(world.now).groups[0].coop.as_ref().unwrap().role;
    assert_eq!((role(&world, secondary), role(&world, primary)), (Role::Primary, Role::Secondary));
    world.crash_server(primary);
    world.run_for(Duration::from_secs(10));
    assert_eq!(refused(&mut world, secondary, RESIGN), Refused::NoSuccessor { group });
}

#[test]
fn one_group_of_another_primary_stops_all() {
    let mut world = World::new(1, Link::CALM);
    for number in 1..=2 {
        let mut config = allied_config(number, 2, LIFE);
        if number == 1 {
            config.groups.insert(0, other(with_rekey_sa()));
        }
        start_server(&mut world, config, None, &mut Seeded::new(number.into()));
    }
    world.run_for(Duration::from_secs(30));
    let teks = |world: &World| world.server(address(1)).status(world.now).groups[0].teks.clone();
    let before = teks(&world);
    assert!(matches!(refused(&mut world, address(1), FORCED), Refused::NotPrimary { .. }));
    assert_eq!(teks(&world), before);
    let named = KeyServerCommand::Rekey(GroupId(7).into(), RekeyKind::Forced);
    assert_eq!(world.command_server(address(1), named).len(), 1);
    assert_ne!(teks(&world), before);
}

#[test]
fn refusals_say_whom_to_ask_and_that_nothing_was_changed() {
    let group = || "corp".to_owned();
    for (refusal, words) in [
        (
            Refused::NotPrimary { group: group(), primary: [192, 0, 2, 11].into() },
            "group corp: this key server is not primary, ask 192.0.2.11; nothing was changed",
        ),
        (
            Refused::Yielding { group: group() },
            "group corp: this key server hands the role of the primary over, try again in a few seconds; nothing was \
             changed",
        ),
        (
            Refused::NoPrimary { group: group() },
            "group corp: no primary key server is elected yet, try again in a few seconds; nothing was changed",
        ),
        (
            Refused::NoRedundancy,
            "there is nobody to take the role of the primary: no `redundancy` is configured",
        ),
    ] {
        assert_eq!(Error::from(refusal).to_string(), words);
    }
}

/// All groups that are named, or none.
#[test]
fn no_more_members_are_removed_than_a_state_has_room_for() {
    let mut world = alone(vec![with_rekey_sa(), other(with_rekey_sa())], 0);
    let server = server_address(1);
    let group = |world: &World, index: usize| world.server(server).status(world.now).groups[index].clone();
    for number in 1..=513u16 {
        world.add_member(member_address(number), member(member_config(number), number.into()));
        world.run_for(Duration::from_millis(500));
        let remove = KeyServerCommand::Remove(Which::All, Some(member_address(number).ip()), Removal::Now);
        match (number, world.ask_server(server, remove)) {
            (..=512, done) => assert!(done.unwrap()[0].outcome.is_ok()),
            (_, Err(Error::Refused(Refused::TooManyRemoved { removed, .. }))) => assert_eq!(removed, 512),
            (_, other) => panic!("{other:?}"),
        }
    }
    assert_eq!((group(&world, 0).revoked.len(), group(&world, 0).members.len()), (512, 1));
}
