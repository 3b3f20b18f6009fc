//! Messages that are longer than a path may carry in one piece.

use crate::access::{acls, config, join_foreign, key_server, registrations, rekey, thousand, MULTICAST};
use crate::bench::alliance::{self, allied_config, allied_member, start_server, LIFE, PRIMARY, SECONDARY};
use crate::bench::fleet::{member, member_address, member_config, server, server_address};
use crate::bench::foreign::silent_about;
use crate::bench::random::Seeded;
use crate::bench::whole::messages;
use crate::bench::{Flight, Link, World};
use gdoi::fragment::{is_fragment, split, LONGEST_DATAGRAM};
use gdoi::phase1::FRAGMENTS_VENDOR_ID;
use gdoi::wire::ExchangeType;
use gdoi::{KeyServerConfig, MemberCommand, RekeyKind, Retransmit, Transport};
use std::cell::Cell;
use std::time::Duration;

fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

fn start(members: u16, config: KeyServerConfig, link: Link) -> World {
    let mut world = World::new(1, link);
    world.add_server(key_server(), server(config, 1, world.now));
    for number in 1..=members {
        world.add_member(member_address(number), member(member_config(number), 1000 + u64::from(number)));
    }
    world
}

fn longest(flights: &[Flight]) -> usize {
    flights.iter().map(|flight| flight.payload.len()).max().unwrap_or_default()
}

fn fragments(flights: &[Flight]) -> usize {
    flights.iter().filter(|flight| is_fragment(&flight.payload)).count()
}

fn of_kind(flights: &[Flight], kind: ExchangeType) -> Vec<Flight> {
    flights.iter().filter(|flight| flight.payload[18] == kind.0).cloned().collect()
}

/// One of ten is lost, whatever it is.
#[test]
fn a_thousand_entries_get_through_where_no_datagram_over_the_limit_does() {
    let config = |variant| {
        let mut config = config(thousand(variant), Transport::Unicast);
        let patient = Retransmit { interval: seconds(2), number: 30 };
        config.groups[0].rekey.as_mut().unwrap().retransmit = patient;
        config
    };
    let mut world = start(3, config(1), Link::HAIL);
    world.run_until(seconds(600), |world| acls(world) == vec![thousand(1); 3]);
    world.run_for(seconds(60));
    let before: Vec<_> = (1..=3).map(|number| registrations(&world, number)).collect();
    world.reconfigure(key_server(), config(2));
    rekey(&mut world, RekeyKind::Forced);
    world.run_until(seconds(62), |world| acls(world) == vec![thousand(2); 3]);
    let after: Vec<_> = (1..=3).map(|number| registrations(&world, number)).collect();
    assert_eq!(before, after, "the rekey brought it");
    assert_eq!(longest(&world.sent), LONGEST_DATAGRAM);
    assert!(longest(&messages(&world.sent)) > 12_000);
}

#[test]
fn a_member_that_did_not_announce_gets_whole_datagrams_and_others_do_not_suffer() {
    for transport in [Transport::Unicast, MULTICAST] {
        let mut world = start(1, config(thousand(1), transport), Link::CALM);
        world.run_for(seconds(5));
        assert!(fragments(&world.sent) > 10);
        let before = world.sent.len();
        world.meddle = Box::new(|datagram| silent_about(&FRAGMENTS_VENDOR_ID, datagram));
        world.add_member(member_address(2), member(member_config(2), 1002));
        world.run_for(seconds(5));
        world.meddle = Box::new(|_| Vec::new());
        assert_eq!(fragments(&world.sent[before..]), 0);
        world.reconfigure(key_server(), config(thousand(2), transport));
        rekey(&mut world, RekeyKind::Forced);
        world.run_for(seconds(5));
        assert_eq!(acls(&world), [thousand(2), thousand(2)]);
        let pushes = of_kind(&world.sent, ExchangeType::GROUPKEY_PUSH);
        let to = |number| pushes.iter().filter(move |flight| flight.to == member_address(number));
        assert!(to(2).all(|flight| flight.payload.len() > 12_000));
        let cut = to(1).all(|flight| flight.payload.len() <= LONGEST_DATAGRAM);
        assert_eq!(cut, transport == Transport::Unicast, "one message for all in a multicast");
        assert_eq!((registrations(&world, 1), registrations(&world, 2)), (1, 1));
    }
}

#[test]
fn a_multicast_goes_in_fragments_where_all_understand_them() {
    let mut world = start(2, config(thousand(1), MULTICAST), Link::CALM);
    world.run_for(seconds(5));
    world.reconfigure(key_server(), config(thousand(2), MULTICAST));
    rekey(&mut world, RekeyKind::Forced);
    world.run_for(seconds(10));
    assert_eq!(acls(&world), [thousand(2), thousand(2)]);
    assert_eq!(longest(&world.sent), LONGEST_DATAGRAM);
}

#[test]
fn other_software_gets_whole_datagrams() {
    let entries = vec!["permit ip 10.0.0.0/8 10.0.0.0/8"; 30];
    let acl = crate::access::list(&entries);
    let mut world = start(0, config(acl.clone(), Transport::Unicast), Link::CALM);
    join_foreign(&mut world, 1);
    rekey(&mut world, RekeyKind::Forced);
    world.run_for(seconds(10));
    assert_eq!(acls(&world), [acl]);
    assert!(longest(&world.sent) > LONGEST_DATAGRAM && fragments(&world.sent) == 0);
}

/// What key servers tell each other, and what they learn of each other's members.
#[test]
fn states_and_rekeys_of_cooperating_servers_go_in_fragments() {
    let mut world = World::new(1, Link::RAIN);
    for number in [SECONDARY, PRIMARY] {
        let mut config = allied_config(number, 2, LIFE);
        config.groups[0].acl = thousand(number.into());
        start_server(&mut world, config, None, &mut Seeded::new(number.into()));
    }
    world.run_for(seconds(30));
    world.add_member(member_address(1), member(allied_member(1, SECONDARY, 2), 7));
    world.run_until(seconds(60), |world| world.view(member_address(1)).registered);
    world.run_for(seconds(10));
    assert_eq!(acls(&world), [thousand(PRIMARY.into())]);
    world.crash_server(alliance::address(PRIMARY));
    world.run_for(seconds(30));
    let before = world.sent.len();
    let command = gdoi::KeyServerCommand::Rekey(crate::bench::fleet::group().id.into(), RekeyKind::Forced);
    world.command_server(alliance::address(SECONDARY), command);
    world.run_until(seconds(90), |world| acls(world) == [thousand(SECONDARY.into())]);
    assert_eq!(longest(&world.sent), LONGEST_DATAGRAM);
    let long = |kind| longest(&of_kind(&messages(&world.sent), kind)) > 12_000;
    assert!(long(ExchangeType::COOP) && long(ExchangeType::GROUPKEY_PULL));
    assert!(longest(&messages(&of_kind(&world.sent[before..], ExchangeType::GROUPKEY_PUSH))) > 12_000);
}

fn rejected(world: &World) -> u64 {
    world.member(member_address(1)).status(world.now).rejected
}

/// A member in the middle of a registration, and a fragment that it was sent.
fn registering() -> (World, Vec<u8>) {
    let mut world = start(1, config(thousand(1), Transport::Unicast), Link::CALM);
    world.run_until(seconds(5), |world| fragments(&world.sent) > 0);
    world.run_for(Duration::from_millis(10));
    let fragment = world.sent.iter().find(|flight| is_fragment(&flight.payload)).unwrap().payload.clone();
    (world, fragment)
}

#[test]
fn a_member_takes_fragments_of_its_registration_only_and_only_from_its_server() {
    let (mut world, fragment) = registering();
    assert!(!world.view(member_address(1)).registered);
    let mut stray = fragment.clone();
    stray[0] ^= 1;
    for (from, fragment, refused) in [(1, &fragment, 0), (9, &fragment, 1), (1, &stray, 1)] {
        let before = rejected(&world);
        world.inject(server_address(from), member_address(1), fragment);
        world.run_for(Duration::from_millis(10));
        assert_eq!(rejected(&world) - before, refused);
    }
    world.run_for(seconds(5));
    assert!(world.view(member_address(1)).registered);
    let before = rejected(&world);
    world.inject(key_server(), member_address(1), &fragment);
    world.run_for(seconds(1));
    assert_eq!(rejected(&world) - before, 1, "the registration is over");
}

#[test]
fn a_key_server_takes_fragments_under_an_established_association_only() {
    let (mut world, _) = registering();
    let sent = messages(&world.sent);
    let (first, request) = (&sent[0].payload, &of_kind(&sent, ExchangeType::GROUPKEY_PULL)[0].payload);
    let (from, to) = (member_address(1), key_server());
    let before = world.server(to).status(world.now);
    for (from, message) in [(from, first), (member_address(2), request)] {
        for fragment in split(message, 1).unwrap() {
            assert_eq!(world.hand(from, to, &fragment).len(), 0);
        }
    }
    let after = world.server(to).status(world.now);
    assert_eq!((after.rejected, after.half_open), (before.rejected + 2, before.half_open));
    let again = of_kind(&messages(&world.sent), ExchangeType::GROUPKEY_PULL).pop().unwrap().payload;
    let whole = world.hand(from, to, &again);
    let in_fragments = world.hand(from, to, &split(&again, 1).unwrap()[0]);
    assert_eq!((whole.len(), &whole[0].payload), (1, &in_fragments[0].payload), "the same answer again");
}

/// Who sees the cookies and is faster than the server.
#[test]
fn forged_fragments_spoil_no_transmission() {
    for same_id in [false, true] {
        let mut world = start(1, config(thousand(1), Transport::Unicast), Link::CALM);
        let forged = Cell::new(false);
        world.meddle = Box::new(move |datagram| {
            if !is_fragment(datagram) || forged.replace(true) {
                return Vec::new();
            }
            let mut forgery = datagram.to_vec();
            let at = if same_id { 1_000 } else { 33 };
            forgery[at] ^= 1;
            vec![forgery]
        });
        world.run_for(seconds(10));
        assert_eq!(acls(&world), [thousand(1)]);
        assert_eq!(registrations(&world, 1), 1);
        let answers = messages(&of_kind(&world.sent, ExchangeType::GROUPKEY_PULL));
        let long = answers.iter().filter(|flight| flight.payload.len() > LONGEST_DATAGRAM);
        assert_eq!(long.count(), 1);
    }
}

#[test]
fn rekeys_in_fragments_come_from_servers_that_the_member_registered_with_so() {
    let mut world = start(1, config(thousand(1), Transport::Unicast), Link::CALM);
    world.run_for(seconds(5));
    world.meddle = Box::new(|datagram| silent_about(&FRAGMENTS_VENDOR_ID, datagram));
    world.command(member_address(1), MemberCommand::Register);
    world.run_for(seconds(5));
    world.meddle = Box::new(|_| Vec::new());
    world.reconfigure(key_server(), config(thousand(2), Transport::Unicast));
    rekey(&mut world, RekeyKind::Forced);
    world.run_for(seconds(5));
    let push = of_kind(&world.sent, ExchangeType::GROUPKEY_PUSH).remove(0).payload;
    assert!(push.len() > LONGEST_DATAGRAM);
    let before = rejected(&world);
    split(&push, 1)
        .unwrap()
        .iter()
        .for_each(|fragment| world.inject(key_server(), member_address(1), fragment));
    world.run_for(seconds(1));
    assert_eq!(rejected(&world) - before, split(&push, 1).unwrap().len() as u64);
}
