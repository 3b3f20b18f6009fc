//! Servers that were apart and find together again: whom each of them serves, and with which keys.

use crate::bench::alliance::{address, primaries, start};
use crate::bench::fleet::{group, member_address};
use crate::bench::stored::Stored;
use crate::bench::{Link, World};
use crate::seams::watch::{longest_deafness, somebody_is_deaf};
use gdoi::policy::Spi;
use gdoi::wire::ExchangeType;
use gdoi::{KeyServerCommand, KeyServerEvent, MemberCommand, MemberRecord, RekeyKind, Removal};
use std::collections::BTreeSet;
use std::time::Duration;

const LIFE: Duration = Duration::from_secs(120);
const SECOND: Duration = Duration::from_secs(1);

/// Until the servers have found each other, and one round of retransmissions.
const SOON: Duration = Duration::from_secs(13);

/// The first server and the first member are on one side, all others on the other; all have answered a rekey message of the
/// third server.
fn apart() -> World {
    let mut world = World::new(1, Link::CALM);
    start(&mut world, 3, 3, LIFE);
    world.run_for(SECOND * 100);
    assert_eq!(primaries(&world, 3), [3]);
    let acknowledged =
        |number| record(&world, 3, number).is_some_and(|record| record.rekeys_acknowledged > 0);
    assert!((1..=3).all(acknowledged));
    world.split([address(1).ip(), member_address(1).ip()].map(|host| (host, 1)));
    world.run_for(SECOND * 6);
    assert_eq!(primaries(&world, 3), [1, 3]);
    world
}

fn register(world: &mut World, number: u16) {
    world.command(member_address(number), MemberCommand::Register);
}

fn force(world: &mut World, server: u8) {
    world.command_server(address(server), KeyServerCommand::Rekey(group().id.into(), RekeyKind::Forced));
}

/// What the third server makes of the members of its own side has high numbers.
fn come_and_go(world: &mut World) {
    for number in [2, 3] {
        register(world, number);
    }
    world.run_for(SECOND * 6);
}

fn record(world: &World, server: u8, number: u16) -> Option<MemberRecord> {
    let members = world.server(address(server)).status(world.now).groups[0].members.clone();
    members.into_iter().find(|record| record.address == member_address(number).ip())
}

fn lists(world: &World, server: u8, number: u16) -> bool {
    record(world, server, number).is_some()
}

fn deafness_after(mut world: World) -> Duration {
    world.heal();
    let deaf = longest_deafness(&mut world, SECOND * 60);
    for server in 1..=3 {
        assert!(lists(&world, server, 1), "server {server} has the member that the first one registered");
    }
    deaf
}

/// One side tells a member of three keys that it cannot hear of, and drops it; on the other side it registers again.
#[test]
fn who_registers_on_one_side_is_not_dropped_by_what_the_other_side_missed_before() {
    let mut world = apart();
    come_and_go(&mut world);
    for _ in 0..3 {
        force(&mut world, 3);
        world.run_for(SECOND * 5);
    }
    let dropped = |event: &KeyServerEvent| matches!(event, KeyServerEvent::MemberDropped { .. });
    assert!(world.server_events(address(3)).iter().any(|(_, event)| dropped(event)));
    register(&mut world, 1);
    world.run_for(SECOND);
    let deaf = deafness_after(world);
    println!("deaf for {deaf:?}");
    assert!(deaf <= SOON, "deaf for {deaf:?}");
}

fn teks(world: &World, server: u8) -> BTreeSet<Spi> {
    let status = world.server(address(server)).status(world.now);
    status.groups[0].teks.iter().map(|tek| tek.spi).collect()
}

/// What was said since then under these KEKs that names one of these TEKs.
fn told_under(world: &World, since: usize, keks: &Stored, teks: &BTreeSet<Spi>) -> Vec<Spi> {
    let pushes = world.sent[since..].iter().map(|flight| &flight.payload);
    let pushes = pushes.filter(|push| ExchangeType::claimed_by(push) == Some(ExchangeType::GROUPKEY_PUSH));
    let readable = pushes.filter_map(|push| Some(keks.kek_of(push)?.open(push).teks));
    readable.flatten().map(Spi).filter(|spi| teks.contains(spi)).collect()
}

/// A member that one side removes is served by the other, which knows nothing of it: of the keys that were made since where
/// it was removed none goes under a KEK that it has, whoever of both makes one group of them.
#[test]
fn who_was_removed_on_one_side_is_told_no_key_of_that_side() {
    for (server, other, removed) in [(1, 3, 2), (1, 3, 3), (3, 1, 1)] {
        for rekeyed in [false, true] {
            let mut world = apart();
            if rekeyed {
                force(&mut world, other);
                world.run_for(SECOND * 10);
            }
            let (before, member) = (teks(&world, server), member_address(removed));
            let remove = KeyServerCommand::Remove(group().id.into(), Some(member.ip()), Removal::Graceful);
            world.command_server(address(server), remove);
            world.run_for(SECOND * 5);
            let mut since: BTreeSet<_> = teks(&world, server).difference(&before).copied().collect();
            assert_eq!(since.len(), 1);
            let (sent, known) = (world.sent.len(), teks(&world, other));
            let theirs = Stored::read(&world.stored(address(other)).unwrap());
            world.heal();
            world.run_for(SECOND * 20);
            let case = format!("server {server} removed member {removed}, {rekeyed}");
            assert_eq!(told_under(&world, sent, &theirs, &since), [], "{case}");
            since.extend(teks(&world, server).difference(&known));
            assert!(world.view(member).inbound.iter().all(|sa| !since.contains(&sa.spi)), "{case}");
            let others: Vec<_> = (1..=3).filter(|number| *number != removed).collect();
            let views: Vec<_> = others.iter().map(|number| world.view(member_address(*number))).collect();
            assert!(!somebody_is_deaf(&views), "{case}: the others hear each other");
            assert!((1..=3).all(|server| !lists(&world, server, removed)), "{case}");
        }
    }
}

/// Two sides make keys at once, and a member gets those of both: each side says what its own are and that all others end,
/// before they are one and all of them live on. A member that comes then sends with the first.
#[test]
fn keys_live_on_that_another_side_did_not_know_when_it_made_its_own() {
    let mut world = World::new(1, Link::CALM);
    start(&mut world, 2, 2, LIFE);
    world.run_for(SECOND * 100);
    let sides =
        |member| [(address(1).ip(), 1), (member_address(1).ip(), member), (member_address(2).ip(), 2)];
    world.split(sides(1));
    world.run_for(SECOND * 6);
    assert_eq!(primaries(&world, 2), [1, 2]);
    force(&mut world, 1);
    world.run_for(SECOND);
    world.split(sides(0));
    force(&mut world, 2);
    world.run_for(SECOND);
    assert_eq!(world.view(member_address(1)).inbound.len(), 4);
    world.deafen(member_address(2), ExchangeType::GROUPKEY_PUSH);
    world.heal();
    world.run_for(SECOND * 3);
    register(&mut world, 2);
    world.run_for(SECOND);
    let deaf = longest_deafness(&mut world, LIFE / 2);
    println!("deaf for {deaf:?}");
    assert!(deaf <= SOON, "deaf for {deaf:?}");
}
