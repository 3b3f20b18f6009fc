//! The access list on its way: whole lists between our own, the permit entries to others, and never a mixture of two.

use crate::bench::alliance::{self, allied_config, allied_member, start_server, LIFE, PRIMARY, SECONDARY};
use crate::bench::fleet::{
    acl, group, member, member_address, member_config, rekey_config, server, server_address, server_config,
};
use crate::bench::foreign::anonymous;
use crate::bench::random::Seeded;
use crate::bench::stored::{OpenedPush, Stored};
use crate::bench::whole::messages;
use crate::bench::{Link, World};
use gdoi::policy::{Acl, SendMode, MAX_ACES};
use gdoi::wire::{ExchangeType, GroupSa, PayloadType};
use gdoi::{
    Cause, Effect, KeyServer, KeyServerCommand, KeyServerConfig, KeyServerEvent, MemberEvent, RekeyKind,
    Retransmit, Transport,
};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

pub const MULTICAST: Transport =
    Transport::Multicast(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(239, 1, 1, 1)), 848));

fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

pub fn key_server() -> SocketAddr {
    server_address(1)
}

pub fn list(entries: &[&str]) -> Acl {
    Acl::new(entries.iter().map(|entry| entry.parse().unwrap()).collect()).unwrap()
}

/// As many entries as there can be, of every kind; another list for each `variant`.
pub fn thousand(variant: usize) -> Acl {
    let entry = |number: usize| match number % 5 {
        0 => format!("deny tcp 10.{variant}.{}.0/24 gt 1023 any eq {}", number % 256, number + 1),
        1 => format!("permit udp host 10.1.{}.{} any range 1000 2000", number / 256, number % 256),
        2 => format!("permit ipv6 2001:db8:{number}::/48 2001:db8::/32"),
        3 => format!("deny icmpv6 any host 2001:db8::{variant}:{number}"),
        _ => format!("permit ip 10.0.0.0/8 172.16.{}.{}/32", number / 256, number % 256),
    };
    Acl::new((0..MAX_ACES).map(|number| entry(number).parse().unwrap()).collect()).unwrap()
}

pub fn config(acl: Acl, transport: Transport) -> KeyServerConfig {
    let mut config = server_config(1);
    let mut rekey = rekey_config();
    rekey.transport = transport;
    rekey.retransmit = Retransmit { interval: seconds(2), number: 1 };
    config.groups[0].acl = acl;
    config.groups[0].rekey = Some(rekey);
    config
}

fn start(members: u16, config: KeyServerConfig) -> World {
    let mut world = World::new(1, Link::CALM);
    world.add_server(key_server(), server(config, 1, world.now));
    (1..=members).for_each(|number| join(&mut world, number));
    world
}

fn join(world: &mut World, number: u16) {
    world.add_member(member_address(number), member(member_config(number), 1000 + u64::from(number)));
    world.run_for(seconds(5));
}

pub fn join_foreign(world: &mut World, number: u16) {
    world.meddle = Box::new(anonymous);
    join(world, number);
    world.meddle = Box::new(|_| Vec::new());
}

/// With the keys from before, which open what is sent now.
pub fn rekey(world: &mut World, kind: RekeyKind) -> Stored {
    let stored = Stored::read(&world.stored(key_server()).unwrap());
    world.sent.clear();
    world.command_server(key_server(), KeyServerCommand::Rekey(group().id.into(), kind));
    stored
}

/// The message of the last rekey, not one that repeats it for those that may be behind, opened, and its length.
pub fn last_push(world: &World, before: &Stored) -> (OpenedPush, usize) {
    let is_push = |datagram: &[u8]| datagram[18] == ExchangeType::GROUPKEY_PUSH.0;
    let flight = messages(&world.sent).into_iter().find(|flight| is_push(&flight.payload)).unwrap();
    (before.kek_of(&flight.payload).unwrap().open(&flight.payload), flight.payload.len())
}

pub fn pushed_sa(world: &World, before: &Stored) -> GroupSa {
    let payloads = last_push(world, before).0.payloads;
    let sa = payloads.iter().find(|(kind, _)| *kind == PayloadType::SA).unwrap();
    GroupSa::parse(&sa.1).unwrap()
}

pub fn registrations(world: &World, number: u16) -> u64 {
    world.member(member_address(number)).status(world.now).registrations
}

pub fn acls(world: &World) -> Vec<Acl> {
    world.views().into_iter().map(|view| view.acl).collect()
}

#[test]
fn a_thousand_entries_arrive_with_the_registration() {
    let world = start(2, config(thousand(1), Transport::Unicast));
    assert_eq!(acls(&world), [thousand(1), thousand(1)]);
    let longest = messages(&world.sent).iter().map(|flight| flight.payload.len()).max().unwrap();
    assert!((12_000..20_000).contains(&longest), "{longest}");
}

#[test]
fn a_rekey_without_a_change_is_small() {
    let mut world = start(2, config(thousand(1), MULTICAST));
    let before = rekey(&mut world, RekeyKind::Forced);
    world.run_for(seconds(10));
    assert!(
        last_push(&world, &before).1 < 1_200,
        "a new TEK and a new KEK: {}",
        last_push(&world, &before).1
    );
    let before = rekey(&mut world, RekeyKind::Reminder);
    world.run_for(seconds(10));
    assert!(last_push(&world, &before).1 < 1_200, "{}", last_push(&world, &before).1);
    let sa = pushed_sa(&world, &before);
    assert!(sa.acl.is_none() && sa.gap.unwrap().acl.is_some());
    assert_eq!(acls(&world), [thousand(1), thousand(1)]);
}

/// Runs on; at all times each member has one of these lists.
fn run_with(world: &mut World, span: Duration, lists: &[Acl]) {
    let end = world.now + span;
    while world.step(end) {
        if !std::mem::take(&mut world.changed).is_empty() {
            assert!(acls(world).iter().all(|acl| lists.contains(acl)));
        }
    }
}

#[test]
fn a_changed_list_reaches_the_members_by_rekey() {
    for transport in [Transport::Unicast, MULTICAST] {
        let mut world = start(3, config(thousand(1), transport));
        let changes = world.reconfigure(key_server(), config(thousand(2), transport));
        assert_eq!(changes.iter().map(|change| change.effect).collect::<Vec<_>>(), [Effect::NextRekey]);
        let before = rekey(&mut world, RekeyKind::Forced);
        run_with(&mut world, seconds(10), &[thousand(1), thousand(2)]);
        assert_eq!(pushed_sa(&world, &before).acl, Some(thousand(2)));
        assert!(acls(&world).iter().all(|acl| *acl == thousand(2)));
        let before = rekey(&mut world, RekeyKind::Reminder);
        run_with(&mut world, seconds(100), &[thousand(2)]);
        assert_eq!(pushed_sa(&world, &before).acl, None, "all have it");
        assert!((1..=3).all(|number| registrations(&world, number) == 1));
    }
}

#[test]
fn who_missed_the_change_keeps_its_list_and_registers_again() {
    let mut world = start(2, config(acl(), MULTICAST));
    world.reconfigure(key_server(), config(thousand(1), MULTICAST));
    world.deafen(member_address(2), ExchangeType::GROUPKEY_PUSH);
    rekey(&mut world, RekeyKind::Scheduled);
    rekey(&mut world, RekeyKind::Reminder);
    world.run_for(seconds(10));
    assert_eq!(acls(&world), [thousand(1), acl()]);
    world.deafen(member_address(9), ExchangeType::GROUPKEY_PUSH);
    rekey(&mut world, RekeyKind::Reminder);
    run_with(&mut world, seconds(90), &[thousand(1), acl()]);
    assert_eq!(acls(&world), [thousand(1), thousand(1)]);
    assert_eq!((registrations(&world, 1), registrations(&world, 2)), (1, 2));
    let caused = |(_, event): &(_, MemberEvent)| {
        matches!(event, MemberEvent::Reregistering { cause: Cause::AclOutdated, .. })
    };
    assert!(world.member_events(member_address(2)).iter().any(caused));
}

#[test]
fn a_restarted_server_knows_what_its_members_have() {
    let mut world = start(2, config(thousand(1), MULTICAST));
    rekey(&mut world, RekeyKind::Reminder);
    world.run_for(seconds(10));
    let stored = world.stored(key_server()).unwrap();
    let config = config(thousand(1), MULTICAST);
    let again = KeyServer::new(config, Some(&stored), Box::new(Seeded::new(9)), world.now).unwrap();
    world.add_server(key_server(), again);
    world.run_for(seconds(10));
    let before = rekey(&mut world, RekeyKind::Reminder);
    world.run_for(seconds(10));
    assert!(last_push(&world, &before).1 < 1_200);
    assert!((1..=2).all(|number| registrations(&world, number) == 1));
}

#[test]
fn the_send_mode_is_switched_by_rekey() {
    let with = |mode| {
        let mut config = config(acl(), Transport::Unicast);
        config.groups[0].mode = mode;
        config
    };
    let mut world = start(2, with(SendMode::ReceiveOnly));
    let modes = |world: &World| world.views().iter().map(|view| view.mode).collect::<Vec<_>>();
    assert_eq!(modes(&world), [SendMode::ReceiveOnly; 2]);
    for mode in [SendMode::Both, SendMode::ReceiveOnly, SendMode::Both] {
        let changes = world.reconfigure(key_server(), with(mode));
        assert_eq!((changes[0].what, changes[0].effect), ("receive-only", Effect::NextRekey));
        rekey(&mut world, RekeyKind::Forced);
        world.run_for(seconds(60));
        assert_eq!(modes(&world), [mode; 2]);
    }
    assert_eq!((registrations(&world, 1), registrations(&world, 2)), (1, 1));
}

/// Other software is told by the direction of the SAs, which our own understand from servers that they know.
#[test]
fn in_a_group_with_other_software_the_direction_says_the_mode() {
    let mut receiving = config(acl(), Transport::Unicast);
    receiving.groups[0].mode = SendMode::ReceiveOnly;
    let mut world = start(1, config(acl(), Transport::Unicast));
    join_foreign(&mut world, 2);
    world.reconfigure(key_server(), receiving);
    let before = rekey(&mut world, RekeyKind::Forced);
    world.run_for(seconds(10));
    assert!(pushed_sa(&world, &before).teks.iter().all(|tek| tek.direction == 2));
    assert_eq!(world.view(member_address(1)).mode, SendMode::ReceiveOnly);
    let refused = |(_, event): &(_, MemberEvent)| matches!(event, MemberEvent::RekeyRefused { reason, .. } if reason.to_string().contains("SA direction 2"));
    assert!(world.member_events(member_address(2)).iter().any(refused), "it takes the server for another's");
}

#[test]
fn a_secondary_hands_out_the_list_of_the_primary() {
    let mut world = World::new(1, Link::CALM);
    for number in [SECONDARY, PRIMARY] {
        let mut config = allied_config(number, 2, LIFE);
        config.groups[0].acl = thousand(number.into());
        start_server(&mut world, config, None, &mut Seeded::new(number.into()));
    }
    world.run_for(seconds(30));
    assert_eq!(alliance::primaries(&world, 2), [PRIMARY]);
    world.add_member(member_address(1), member(allied_member(1, SECONDARY, 2), 7));
    world.run_for(seconds(10));
    assert_eq!(world.member(member_address(1)).status(world.now).server, alliance::address(SECONDARY));
    assert_eq!(acls(&world), [thousand(PRIMARY.into())]);
    world.crash_server(alliance::address(PRIMARY));
    world.run_for(seconds(30));
    let command = KeyServerCommand::Rekey(group().id.into(), RekeyKind::Forced);
    world.command_server(alliance::address(SECONDARY), command);
    world.run_for(seconds(10));
    assert_eq!(acls(&world), [thousand(SECONDARY.into())], "a primary says what its own configuration says");
    assert_eq!(registrations(&world, 1), 1);
}

#[test]
fn other_software_is_told_what_the_rfc_can_say() {
    let entries = ["deny tcp any any eq 22", "permit udp any6 eq 53 any6", "permit ip 10.0.0.0/8 any"];
    let mut world = start(1, config(list(&entries), MULTICAST));
    join_foreign(&mut world, 2);
    assert_eq!(acls(&world), [list(&entries), list(&entries[1..])]);
    let left_out =
        |(_, event): &(_, KeyServerEvent)| matches!(event, KeyServerEvent::DeniesLeftOut { entries: 1, .. });
    assert!(world.server_events(key_server()).iter().any(left_out));
    let before = rekey(&mut world, RekeyKind::Forced);
    world.run_for(seconds(10));
    let sa = pushed_sa(&world, &before);
    let gap = sa.gap.unwrap();
    assert!(sa.acl.is_none() && gap.acl.is_none() && gap.mode.is_none() && gap.pseudotime.is_none());
    assert_eq!(acls(&world), [list(&entries), list(&entries[1..])], "the deny entry of the list still holds");
    assert_eq!((registrations(&world, 1), registrations(&world, 2)), (1, 1));
}

#[test]
fn in_a_group_with_other_software_changed_lists_reach_our_own_as_well() {
    let old = ["deny tcp any any eq 22", "permit ip 10.0.0.0/8 any"];
    let (other_deny, other_permit) =
        (["deny tcp any any eq 23", old[1]], [old[0], "permit ip 10.0.0.0/9 any"]);
    for (new, effect) in [(other_deny, Effect::Reregistration), (other_permit, Effect::NextRekey)] {
        let mut world = start(1, config(list(&old), Transport::Unicast));
        join_foreign(&mut world, 2);
        let changes = world.reconfigure(key_server(), config(list(&new), Transport::Unicast));
        assert_eq!(changes[0].effect, effect);
        rekey(&mut world, RekeyKind::Forced);
        run_with(&mut world, seconds(90), &[list(&old), list(&new), list(&old[1..]), list(&new[1..])]);
        assert_eq!(world.view(member_address(1)).acl, list(&new));
    }
}

#[test]
fn other_software_is_refused_where_it_would_leak() {
    for entries in [&["permit tcp any range 1 9 any"][..], &["deny ip any any"], &["permit ip any any"; 200]]
    {
        let mut world = start(1, config(list(entries), Transport::Unicast));
        join_foreign(&mut world, 2);
        assert_eq!((registrations(&world, 1), registrations(&world, 2)), (1, 0));
        let status = world.server(key_server()).status(world.now);
        assert_eq!((status.groups[0].members.len(), status.groups[0].refused), (1, 1));
        let last = world.server_events(key_server()).last().unwrap().1.to_string();
        assert!(last.contains("other software, and RFC 6407 cannot tell it the ACL"), "{last}");
    }
}

#[test]
fn a_list_that_other_software_cannot_be_told_parts_with_it() {
    let mut world = start(1, config(list(&["permit ip any any"]), Transport::Unicast));
    join_foreign(&mut world, 2);
    let changed = list(&["deny tcp any any eq 22", "permit tcp any any gt 9"]);
    world.reconfigure(key_server(), config(changed.clone(), Transport::Unicast));
    let before = rekey(&mut world, RekeyKind::Forced);
    world.run_for(seconds(10));
    assert_eq!(acls(&world), [changed.clone(), list(&["permit ip any any"])]);
    assert_eq!(pushed_sa(&world, &before).acl, Some(changed));
    assert_eq!(world.server(key_server()).status(world.now).groups[0].members.len(), 1);
}
