//! Whatever the world is like, a member registers no more often than a floor allows ([`crate::bench`] holds every
//! registration of every test against it), and a server turns away who asks again for what it has.

use crate::bench::fleet::{
    acl, member, member_address, member_config, rekey_config, server, server_address, server_config,
};
use crate::bench::random::Seeded;
use crate::bench::{Link, World};
use gdoi::policy::{Acl, Identity};
use gdoi::{
    KeyServer, KeyServerCommand, KeyServerConfig, MemberCommand, MemberConfig, MemberEvent, RekeyKind,
    Removal,
};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn config(life: u64) -> KeyServerConfig {
    let mut config = server_config(1);
    config.groups[0].tek_lifetime = SECOND * life as u32;
    config.groups[0].rekey = Some(rekey_config());
    config
}

fn per_sender(life: u64) -> KeyServerConfig {
    let mut config = config(life);
    config.groups[0].transform = "aes-256-gcm".parse().unwrap();
    config.groups[0].replay_window = 1024;
    config
}

fn start(members: u16, config: KeyServerConfig) -> World {
    let mut world = World::new(1, Link::CALM);
    world.set_skew(server_address(1), SECOND * 16);
    let now = world.clock_of(server_address(1));
    world.add_server(server_address(1), server(config, 1, now));
    for number in 1..=members {
        let config = MemberConfig { sender_ids: 2, ..member_config(number) };
        world.add_member(member_address(number), member(config, number.into()));
    }
    world.run_for(SECOND * 5);
    assert!(world.views().iter().all(|view| view.outbound.is_some()));
    world
}

fn registrations(world: &World, number: u16) -> u64 {
    world.member(member_address(number)).registrations()
}

fn given(world: &World) -> u32 {
    world.server(server_address(1)).status(world.clock_of(server_address(1))).groups[0].sids.given
}

fn count(world: &World, number: u16, name: &str) -> usize {
    world.member_events(member_address(number)).iter().filter(|(_, event)| event.name() == name).count()
}

/// Comes back from its state with another clock.
fn set_back(world: &mut World, config: KeyServerConfig) {
    let stored = world.crash_server(server_address(1)).unwrap();
    world.set_skew(server_address(1), Duration::ZERO);
    let server = KeyServer::new(config, Some(&stored), Box::new(Seeded::new(5)), world.now).unwrap();
    world.add_server(server_address(1), server);
}

/// The key that the members get is inside their margin, and the server has no other yet.
#[test]
fn a_server_whose_clock_went_back_is_not_asked_without_end() {
    for config in [config, per_sender] {
        let mut world = start(3, config(60));
        world.run_for(SECOND * 30);
        set_back(&mut world, config(60));
        world.run_for(SECOND * 60);
        let registered: Vec<_> = (1..=3).map(|number| registrations(&world, number)).collect();
        println!("{registered:?} registrations in 95 s");
        assert!(registered.iter().all(|number| (2..=6).contains(number)), "{registered:?}");
        assert!(world.views().iter().all(|view| view.outbound.is_some()), "and all have a key");
    }
}

/// Orders of its server, changes of its address, states that somebody deletes: every second, each for a minute.
#[test]
fn whatever_it_is_told_by_whom_a_member_keeps_the_floor() {
    let group = crate::bench::fleet::group().id;
    let mut world = start(2, per_sender(3600));
    for second in 0..60 {
        let all = KeyServerCommand::Remove(group.into(), None, Removal::Graceful);
        world.command_server(server_address(1), all);
        if second % 7 == 0 {
            world.command_server(
                server_address(1),
                KeyServerCommand::Rekey(group.into(), RekeyKind::ReplaceNow),
            );
        }
        world.run_for(SECOND);
    }
    let dismissed = registrations(&world, 1);
    for _ in 0..60 {
        world.command(member_address(1), MemberCommand::RenewSenderIds);
        world.run_for(SECOND);
    }
    let renewed = registrations(&world, 1) - dismissed;
    assert!((6..=9).contains(&renewed), "{renewed}");
    world.run_for(SECOND * 60);
    for _ in 0..60 {
        world.move_member(member_address(1), Identity::Address(member_address(1).ip()));
        world.run_for(SECOND);
    }
    let moved = registrations(&world, 1) - dismissed - renewed;
    assert!((6..=9).contains(&moved), "{moved}");
    world.run_for(SECOND * 120);
    assert!(world.views().iter().all(|view| view.outbound.is_some()));
}

/// The rekey message with the list is lost each time, and the next one names it.
#[test]
fn another_list_each_second_makes_a_member_come_no_more_often() {
    let mut world = start(2, config(3600));
    let group = crate::bench::fleet::group().id;
    for number in 0..60 {
        let mut changed = config(3600);
        let more = format!("permit ip 10.{number}.0.0/16 any").parse().unwrap();
        changed.groups[0].acl = Acl::new([acl().entries(), &[more]].concat()).unwrap();
        world.cut(member_address(1).ip());
        world.reconfigure(server_address(1), changed);
        world.command_server(server_address(1), KeyServerCommand::Rekey(group.into(), RekeyKind::Forced));
        world.run_for(SECOND / 2);
        world.join(member_address(1).ip());
        world.command_server(server_address(1), KeyServerCommand::Rekey(group.into(), RekeyKind::Reminder));
        world.run_for(SECOND / 2);
    }
    world.run_for(SECOND * 120);
    let lists: Vec<_> = world.views().into_iter().map(|view| view.acl).collect();
    assert_eq!(lists[0], lists[1], "it has the newest in the end");
}

/// Operators may, but a script is no operator.
#[test]
fn orders_by_the_hundred_are_carried_out_once_a_second() {
    let mut world = start(1, config(3600));
    for _ in 0..500 {
        world.command(member_address(1), MemberCommand::Register);
        world.run_for(Duration::from_millis(10));
    }
    world.run_for(SECOND * 5);
    let (registered, begun) = (registrations(&world, 1), count(&world, 1, "GM_REGISTER"));
    assert!((3..=8).contains(&registered) && begun <= 8, "{registered} of {begun}");
}

/// The same keys, and no other sender IDs: the server says so and when it is worth while to ask again.
#[test]
fn who_asks_again_for_what_it_has_is_told_when_there_will_be_more() {
    let mut world = start(2, per_sender(3600));
    let (view, before) = (world.view(member_address(1)), given(&world));
    world.command(member_address(1), MemberCommand::UnknownEsp(gdoi::policy::Spi(0x7ff0_0001)));
    world.run_for(SECOND * 15);
    assert_eq!((count(&world, 1, "GM_BEHIND"), count(&world, 1, "GM_REGS_POSTPONED")), (1, 1));
    assert_eq!((registrations(&world, 1), given(&world)), (1, before), "no sender ID was used up for it");
    assert_eq!(world.view(member_address(1)), view);
    let postponed = world.member_events(member_address(1)).iter().find_map(|(_, event)| match event {
        MemberEvent::NothingNewer { before, .. } => Some(*before),
        _ => None,
    });
    assert!(
        postponed.is_some_and(|before| (SECOND * 3000..=SECOND * 3600).contains(&before)),
        "{postponed:?}"
    );
}

/// It may have given others what was given to this member: that is not sent with any longer.
#[test]
fn of_a_server_with_an_older_state_other_sender_ids_are_wanted() {
    let mut world = start(1, per_sender(3600));
    let old = world.stored(server_address(1)).unwrap();
    world.command(member_address(1), MemberCommand::Register);
    world.run_for(SECOND);
    let before = world.view(member_address(1)).sids;
    let command = KeyServerCommand::Rekey(crate::bench::fleet::group().id.into(), RekeyKind::Reminder);
    for _ in 0..3 {
        world.command_server(server_address(1), command);
        world.run_for(SECOND * 30);
    }
    world.deafen(member_address(1), gdoi::wire::ExchangeType::GROUPKEY_PUSH);
    let now = world.clock_of(server_address(1));
    let again = KeyServer::new(per_sender(3600), Some(&old), Box::new(Seeded::new(5)), now).unwrap();
    world.add_server(server_address(1), again);
    world.command(member_address(1), MemberCommand::UnknownEsp(gdoi::policy::Spi(0x7ff0_0001)));
    world.run_for(SECOND * 30);
    let after = world.view(member_address(1)).sids;
    assert!(after.iter().all(|sid| !before.contains(sid)), "{before:?} {after:?}");
    assert_eq!(count(&world, 1, "GM_BEHIND"), 1);
}

/// A router that restarts has no states: it is not told that it has everything.
#[test]
fn who_has_lost_its_keys_is_served_at_once() {
    let mut world = start(2, per_sender(3600));
    for life in 0..5 {
        let config = MemberConfig { sender_ids: 2, ..member_config(1) };
        world.add_member(member_address(1), member(config, 100 + life));
        world.run_for(SECOND);
        assert!(world.view(member_address(1)).outbound.is_some());
    }
    let number_before = given(&world);
    world.command(member_address(2), MemberCommand::RenewSenderIds);
    world.run_for(SECOND);
    assert_eq!(given(&world), number_before + 2, "nor who needs other sender IDs");
}

/// Several states that are lost at once are told one after the other.
#[test]
fn one_registration_brings_other_sender_ids_for_all_states_that_were_lost() {
    let mut world = start(2, per_sender(3600));
    world.run_for(SECOND * 60);
    let before = registrations(&world, 1);
    for _ in 0..3 {
        world.command(member_address(1), MemberCommand::RenewSenderIds);
    }
    world.run_for(SECOND * 60);
    assert_eq!(registrations(&world, 1) - before, 1);
    world.command(member_address(1), MemberCommand::RenewSenderIds);
    world.run_for(SECOND * 60);
    assert_eq!(registrations(&world, 1) - before, 2, "what is lost after that needs others again");
}
