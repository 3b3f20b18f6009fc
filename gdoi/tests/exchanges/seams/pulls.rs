//! Keys that change between two messages of a PULL.

use super::watch::longest_deafness;
use super::{join, lone, lone_world, pulls, rekey, remove, seconds, MULTICAST, SOON};
use crate::bench::fleet::{member_address, server_address};
use crate::bench::foreign::anonymous;
use crate::bench::World;
use gdoi::wire::ExchangeType;
use gdoi::{KeyServerCommand, RekeyKind, Removal, Transport};
use std::time::Duration;

/// A third member has asked, and the command comes when `messages` of its PULL are on their way or read.
fn asked_just_before(transport: Transport, messages: usize, command: KeyServerCommand) -> World {
    let mut world = lone_world(lone(transport), 2);
    let before = pulls(&world);
    join(&mut world, 3);
    world.run_until(seconds(5), |world| pulls(world) == before + messages);
    world.command_server(server_address(1), command);
    world
}

fn has_the_newest(world: &World, number: u16) -> bool {
    let newest = world.server(server_address(1)).status(world.now).groups[0].teks.last().unwrap().spi;
    world.view(member_address(number)).inbound.iter().any(|sa| sa.spi == newest)
}

#[test]
fn who_asked_just_before_a_forced_rekey_gets_its_keys() {
    for transport in [Transport::Unicast, MULTICAST] {
        for messages in 1..=4 {
            let mut world = asked_just_before(transport, messages, rekey(RekeyKind::Forced));
            let deaf = longest_deafness(&mut world, seconds(400));
            println!("{transport:?}, after message {messages}: deaf for {deaf:?}");
            assert!(has_the_newest(&world, 3), "{transport:?}, after message {messages}");
            assert!(deaf <= SOON, "{transport:?}, after message {messages}: deaf for {deaf:?}");
        }
    }
}

#[test]
fn who_asked_just_before_the_old_keys_were_replaced_gets_the_new_ones() {
    for transport in [Transport::Unicast, MULTICAST] {
        for messages in 1..=4 {
            let mut world = asked_just_before(transport, messages, rekey(RekeyKind::ReplaceNow));
            let deaf = longest_deafness(&mut world, seconds(400));
            println!("{transport:?}, after message {messages}: deaf for {deaf:?}");
            assert!(has_the_newest(&world, 3), "{transport:?}, after message {messages}");
            assert!(deaf <= seconds(2), "{transport:?}, after message {messages}: deaf for {deaf:?}");
        }
    }
}

#[test]
fn who_asked_just_before_all_were_sent_away_gets_the_new_keys() {
    for removal in [Removal::Graceful, Removal::Now] {
        for messages in 1..=4 {
            let mut world = asked_just_before(Transport::Unicast, messages, remove(Some(2), removal));
            // A member does not register again within five seconds, whatever it is told.
            world.run_for(seconds(7));
            assert!(has_the_newest(&world, 3) || removal == Removal::Graceful);
            world.run_for(seconds(57));
            assert!(has_the_newest(&world, 1) && has_the_newest(&world, 3), "after message {messages}");
            assert!(!has_the_newest(&world, 2));
        }
    }
}

/// Members of other software are told in the same way, or begin again by themselves.
#[test]
fn a_foreign_member_that_asked_just_before_is_told() {
    for kind in [RekeyKind::Forced, RekeyKind::ReplaceNow] {
        let mut world = lone_world(lone(Transport::Unicast), 2);
        let before = pulls(&world);
        world.meddle = Box::new(anonymous);
        join(&mut world, 3);
        world.run_until(seconds(5), |world| pulls(world) == before + 3);
        world.command_server(server_address(1), rekey(kind));
        let deaf = longest_deafness(&mut world, seconds(30));
        assert!(has_the_newest(&world, 3), "{kind:?}");
        assert!(deaf <= SOON, "{kind:?}: deaf for {deaf:?}");
        let record = &world.server(server_address(1)).status(world.now).groups[0].members[2];
        assert!(!record.ours, "it is of other software");
    }
}

/// What is put off comes again within a second, not with the back-off of one whom nobody answers.
#[test]
fn who_is_put_off_asks_again_at_once() {
    let mut world = asked_just_before(Transport::Unicast, 3, rekey(RekeyKind::ReplaceNow));
    let start = world.now;
    world.run_until(seconds(60), |world| has_the_newest(world, 3));
    let waited = world.now.saturating_since(start);
    println!("registered {waited:?} later");
    assert!(waited <= Duration::from_millis(1_200), "{waited:?}");
}

/// Its rekey message does not go out before the keys that it is under.
#[test]
fn the_keys_go_before_the_message_under_them() {
    let mut world = asked_just_before(Transport::Unicast, 3, rekey(RekeyKind::Forced));
    world.run_for(seconds(5));
    let to = world.sent.iter().filter(|flight| flight.to == member_address(3));
    let kinds: Vec<_> = to.map(|flight| flight.payload[18]).collect();
    let push = kinds.iter().position(|kind| *kind == ExchangeType::GROUPKEY_PUSH.0).unwrap();
    assert_eq!(kinds[..push].iter().filter(|kind| **kind == ExchangeType::GROUPKEY_PULL.0).count(), 2);
    let refused = world.member(member_address(3)).status(world.now).rekeys.unknown_spi;
    assert_eq!(refused, 0);
}
