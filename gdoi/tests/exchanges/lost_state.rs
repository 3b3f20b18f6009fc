//! A key server that lost its state has new keys: whoever registers again sends with what it was given now, hears the others
//! as before, and is heard by all that registered.

use crate::bench::fleet::{
    member, member_address, member_config, rekey_config, server, server_address, server_config,
};
use crate::bench::random::Seeded;
use crate::bench::{Link, World};
use gdoi::policy::TekKeys;
use gdoi::{
    KeyServer, KeyServerCommand, KeyServerConfig, KeyServerEvent, MemberCommand, MemberConfig, RekeyKind,
    Severity,
};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
/// The activation delay, and what the registration takes.
const SWITCH: Duration = Duration::from_secs(16);

type Kind = fn() -> KeyServerConfig;

const KINDS: [Kind; 2] = [shared, per_sender];

/// With a key for all.
fn shared() -> KeyServerConfig {
    let mut config = server_config(1);
    config.groups[0].rekey = Some(rekey_config());
    config
}

/// With one for each sender.
fn per_sender() -> KeyServerConfig {
    let mut config = shared();
    config.groups[0].transform = "aes-256-gcm".parse().unwrap();
    config.groups[0].replay_window = 1024;
    config
}

fn join(world: &mut World, number: u16) {
    let config = MemberConfig { sender_ids: 2, ..member_config(number) };
    world.add_member(member_address(number), member(config, number.into()));
    world.run_for(SECOND);
}

fn start(config: Kind) -> World {
    let mut world = World::new(1, Link::CALM);
    world.add_server(server_address(1), server(config(), 1, world.now));
    (1..=2).for_each(|number| join(&mut world, number));
    world.run_for(SECOND * 600);
    world
}

/// Begins with nothing.
fn forget(world: &mut World, config: Kind) {
    world.add_server(server_address(1), server(config(), 98, world.now));
}

fn register(world: &mut World, number: u16) {
    world.command(member_address(number), MemberCommand::Register);
    world.run_for(SECOND);
}

fn sends(world: &World, number: u16) -> TekKeys {
    world.view(member_address(number)).outbound.unwrap().keys
}

fn hears(world: &World, listener: u16, speaker: u16) -> bool {
    let keys = sends(world, speaker);
    world.view(member_address(listener)).inbound.iter().any(|sa| sa.keys == keys)
}

fn all_hear_all(world: &World, members: u16) -> bool {
    (1..=members).all(|listener| (1..=members).all(|speaker| hears(world, listener, speaker)))
}

#[test]
fn members_that_register_again_send_with_what_they_are_given() {
    for config in KINDS {
        let mut world = start(config);
        let old = sends(&world, 1);
        forget(&mut world, config);
        (1..=2).for_each(|number| register(&mut world, number));
        assert!(
            all_hear_all(&world, 2) && sends(&world, 1) == old,
            "none switches before the other can follow"
        );
        world.run_for(SWITCH);
        join(&mut world, 3);
        assert!(sends(&world, 1) != old && sends(&world, 1) == sends(&world, 3));
        assert!(all_hear_all(&world, 3));
    }
}

/// Only one of two has registered again: it hears the other, which goes on with the old key, and new members; and is heard by
/// those that have what the server has now.
#[test]
fn who_has_registered_again_hears_those_that_have_not() {
    for config in KINDS {
        let mut world = start(config);
        let old = sends(&world, 1);
        forget(&mut world, config);
        register(&mut world, 1);
        assert!(hears(&world, 1, 2) && hears(&world, 2, 1), "both directions, for as long as the delay");
        world.run_for(SWITCH);
        join(&mut world, 3);
        assert!(hears(&world, 1, 2) && hears(&world, 1, 3) && hears(&world, 3, 1));
        assert!(sends(&world, 2) == old && !hears(&world, 2, 1), "until it registers, too");
        let spi = world.view(member_address(1)).outbound.unwrap().spi;
        world.command(member_address(2), MemberCommand::UnknownEsp(spi));
        world.run_for(SECOND * 10);
        assert!(hears(&world, 2, 1) && hears(&world, 2, 3), "which the first packet makes it do");
        world.run_for(SWITCH);
        assert!(all_hear_all(&world, 3));
        world.run_for(SECOND * 7200);
        assert!(all_hear_all(&world, 3), "and from then on");
    }
}

/// The state of before a rekey: the key of then is the one that new members get.
#[test]
fn members_of_a_server_with_an_older_state_send_with_what_they_are_given() {
    for (config, age) in KINDS.into_iter().flat_map(|config| [(config, 5), (config, 120)]) {
        let mut world = start(config);
        let old = world.stored(server_address(1)).unwrap();
        let group = crate::bench::fleet::group().id;
        world.command_server(server_address(1), KeyServerCommand::Rekey(group.into(), RekeyKind::Forced));
        world.run_for(SECOND * age);
        let random = Box::new(Seeded::new(9));
        let server = KeyServer::new(config(), Some(&old), random, world.now).unwrap();
        world.add_server(server_address(1), server);
        world.run_for(SECOND);
        (1..=2).for_each(|number| register(&mut world, number));
        world.run_for(SWITCH);
        join(&mut world, 3);
        assert!(all_hear_all(&world, 3), "{age}");
        world.run_for(SECOND * 120);
        assert!(all_hear_all(&world, 3), "{age}, and when the delays of the rekey are over");
    }
}

#[test]
fn a_server_whose_keys_all_ended_while_it_was_down_says_so() {
    for (down, told) in [(60, 0), (4000, 1)] {
        let mut world = start(shared);
        let stored = world.crash_server(server_address(1)).unwrap();
        world.run_for(SECOND * down);
        let server = KeyServer::new(shared(), Some(&stored), Box::new(Seeded::new(9)), world.now).unwrap();
        world.add_server(server_address(1), server);
        world.run_for(SECOND);
        let ended = |event: &&KeyServerEvent| event.name() == "KS_KEYS_ENDED";
        let events: Vec<_> = world.server_events(server_address(1)).iter().map(|(_, event)| event).collect();
        let events: Vec<_> = events.into_iter().filter(ended).collect();
        assert_eq!(events.len(), told, "{down}");
        assert!(events.iter().all(|event| event.severity() == Severity::Warning));
    }
}
