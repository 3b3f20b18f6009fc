//! What ended a KEK and all keys is heard once, whoever brings it again: also where a server that has not heard of the end gives
//! the KEK back, and counts its messages from a lower number.

use crate::bench::alliance::{address, allied_config, primaries, start_server, start_with};
use crate::bench::fleet::{
    group, member, member_address, member_config, rekey_config, server, server_config,
};
use crate::bench::random::Seeded;
use crate::bench::{Link, World};
use gdoi::wire::ExchangeType;
use gdoi::{KeyServerCommand, KeyServerConfig, MemberCommand, MemberEvent, RekeyKind, Removal};
use std::net::SocketAddr;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const MOMENT: Duration = Duration::from_millis(50);

fn config() -> KeyServerConfig {
    let mut config = server_config(1);
    config.groups[0].rekey = Some(rekey_config());
    config
}

/// All members are told that all is over, and what is said of it.
fn end_all(world: &mut World, server: SocketAddr, span: Duration) -> Vec<Vec<u8>> {
    let before = world.sent.len();
    world.command_server(server, KeyServerCommand::Remove(group().id.into(), None, Removal::Now));
    world.run_for(span);
    let mut said = Vec::new();
    for flight in world.sent[before..].iter().filter(|flight| flight.from == server) {
        if flight.payload[18] == ExchangeType::GROUPKEY_PUSH.0 && !said.contains(&flight.payload) {
            said.push(flight.payload.clone());
        }
    }
    said
}

/// Each message is brought to member 1 once a second. In how many seconds it had nothing to send with, and how often it was sent
/// away.
fn bring_again(world: &mut World, said: &[Vec<u8>]) -> (u32, usize) {
    let dismissed = |world: &World| {
        let told = |event: &MemberEvent| matches!(event, MemberEvent::Dismissed { .. });
        world.member_events(member_address(1)).iter().filter(|(_, event)| told(event)).count()
    };
    let (mut silent, before, start) = (0, dismissed(world), world.now);
    while world.now < start + SECOND * 600 {
        for payload in said {
            world.inject(address(1), member_address(1), payload);
            world.run_for(MOMENT);
        }
        world.run_for(SECOND - MOMENT * said.len().min(19) as u32);
        silent += u32::from(world.view(member_address(1)).outbound.is_none());
    }
    (silent, dismissed(world) - before)
}

/// Members 1 and 2 with server 1; 3 and 4 with server 2, which ends all keys.
#[test]
fn what_one_side_of_a_split_group_ended_the_other_hears_once() {
    let mut world = World::new(5, Link::CALM);
    start_with(&mut world, 2, 4, |number| allied_config(number, 2, SECOND * 3600));
    world.run_for(SECOND * 40);
    let host = |number| member_address(number).ip();
    let (one, other) = ((address(1).ip(), 1), (address(2).ip(), 2));
    world.split([one, (host(1), 1), (host(2), 1), other, (host(3), 2), (host(4), 3)]);
    world.run_for(SECOND * 20);
    assert_eq!(primaries(&world, 2), [1, 2]);
    let said = end_all(&mut world, address(2), SECOND * 60);
    assert!(said.len() > 1, "there are several messages, with different numbers");
    let (silent, dismissed) = bring_again(&mut world, &said);
    assert!(silent <= 5 && dismissed <= 1, "{silent} s without a key, sent away {dismissed} times");
    // What its own server says is still heard.
    let rekey = KeyServerCommand::Rekey(group().id.into(), RekeyKind::Forced);
    world.command_server(address(1), rekey);
    world.run_for(SECOND * 5);
    let key = world.server(address(1)).status(world.now).groups[0].teks.last().unwrap().spi;
    assert!(world.view(member_address(1)).inbound.iter().any(|sa| sa.spi == key));
}

#[test]
fn what_a_server_ended_that_was_restored_since_is_heard_once() {
    let mut world = World::new(5, Link::CALM);
    world.add_server(address(1), server(config(), 1, world.now));
    (1..=3).for_each(|number| {
        world.add_member(member_address(number), member(member_config(number), number.into()));
    });
    world.run_for(SECOND * 10);
    let stored = world.stored(address(1)).unwrap();
    world.cut(member_address(3).ip());
    let said = end_all(&mut world, address(1), SECOND * 120);
    assert!(said.len() > 1, "there are several messages, with different numbers");
    world.crash_server(address(1));
    start_server(&mut world, config(), Some(&stored), &mut Seeded::new(9));
    world.run_for(SECOND * 5);
    world.command(member_address(1), MemberCommand::Register);
    world.run_for(SECOND * 20);
    let (silent, dismissed) = bring_again(&mut world, &said);
    assert!(silent <= 5 && dismissed <= 1, "{silent} s without a key, sent away {dismissed} times");
    // The server itself can still end all: its number is a used one, its time is later.
    let before = world.member(member_address(1)).registrations();
    world.command_server(address(1), KeyServerCommand::Remove(group().id.into(), None, Removal::Now));
    world.run_for(SECOND * 5);
    assert_eq!(world.member(member_address(1)).registrations(), before + 1);
}
