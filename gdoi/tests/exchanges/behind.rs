//! A member that has missed what others got notices it and asks its server: a virtual machine that stood still, a server that
//! goes on from an older state or lost it. Whoever forges such signs costs it little, and nothing that works.

use crate::bench::fleet::{
    member, member_address, member_config, rekey_config, server, server_address, server_config,
};
use crate::bench::random::Seeded;
use crate::bench::stored::Stored;
use crate::bench::{Clock, Flight, Link, World};
use gdoi::policy::Spi;
use gdoi::wire::ExchangeType;
use gdoi::{
    KeyServer, KeyServerCommand, KeyServerConfig, KeyServerEvent, MemberCommand, MemberConfig, RekeyKind,
    Removal, Transport,
};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const MULTICAST: Transport =
    Transport::Multicast(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(239, 1, 1, 1)), 848));

fn config(transport: Transport) -> KeyServerConfig {
    let mut config = server_config(1);
    config.groups[0].transform = "aes-256-gcm".parse().unwrap();
    config.groups[0].replay_window = 1024;
    let mut rekey = rekey_config();
    rekey.transport = transport;
    config.groups[0].rekey = Some(rekey);
    config
}

fn start(members: u16, transport: Transport) -> World {
    let mut world = World::new(1, Link::CALM);
    world.add_server(server_address(1), server(config(transport), 1, world.now));
    for number in 1..=members {
        join(&mut world, number);
    }
    world.run_for(SECOND * 10);
    assert_eq!(hear_all(&world, members), vec![true; members.into()]);
    world
}

fn join(world: &mut World, number: u16) {
    let config = MemberConfig { sender_ids: 2, ..member_config(number) };
    world.add_member(member_address(number), member(config, number.into()));
}

fn rekey(world: &mut World, kind: RekeyKind) {
    let group = crate::bench::fleet::group().id;
    world.command_server(server_address(1), KeyServerCommand::Rekey(group.into(), kind));
}

/// Which of the members has the keys that all others send with.
fn hear_all(world: &World, members: u16) -> Vec<bool> {
    let views: Vec<_> = (1..=members).map(|number| world.view(member_address(number))).collect();
    let sent: Vec<_> = views.iter().filter_map(|view| view.outbound.as_ref().map(|sa| &sa.keys)).collect();
    let hears = |keys| views.iter().map(|view| view.inbound.iter().any(|sa| &sa.keys == keys)).collect();
    let each: Vec<Vec<bool>> = sent.iter().map(|keys| hears(*keys)).collect();
    (0..views.len())
        .map(|member| sent.len() == views.len() && each.iter().all(|hears| hears[member]))
        .collect()
}

fn registrations(world: &World, number: u16) -> u64 {
    world.member(member_address(number)).registrations()
}

fn signs(world: &World, number: u16) -> usize {
    let events = world.member_events(member_address(number)).iter();
    events.filter(|(_, event)| event.name() == "GM_BEHIND").count()
}

/// With what the first member sends that this one cannot read, as its data plane finds out.
fn meet_unknown(world: &mut World, number: u16) {
    let sending = world.view(member_address(1));
    let spi = sending.outbound.unwrap().spi.of_sender(sending.sids[0]).unwrap();
    world.command(member_address(number), MemberCommand::UnknownEsp(spi));
}

/// It stood still for longer than a rekey, and so did its clock, so that for itself its keys still live.
fn stood_still(transport: Transport) -> World {
    let mut world = start(3, transport);
    world.run_for(SECOND * 2000);
    world.suspend(member_address(3));
    world.run_for(SECOND * 3000);
    world.resume(member_address(3), Clock::Stands);
    world.run_for(SECOND);
    assert_eq!(hear_all(&world, 3), [false; 3], "it has other keys than the others");
    world
}

#[test]
fn a_machine_that_stood_still_hears_again_after_the_first_packet() {
    for transport in [Transport::Unicast, MULTICAST] {
        let mut world = stood_still(transport);
        meet_unknown(&mut world, 3);
        world.run_for(SECOND * 10);
        assert_eq!((hear_all(&world, 3), registrations(&world, 3)), (vec![true; 3], 2), "{transport:?}");
    }
}

#[test]
fn a_machine_that_stood_still_hears_again_after_the_first_rekey_message() {
    for transport in [Transport::Unicast, MULTICAST] {
        let mut world = stood_still(transport);
        rekey(&mut world, RekeyKind::Reminder);
        world.run_for(SECOND * 10);
        assert_eq!((hear_all(&world, 3), registrations(&world, 3)), (vec![true; 3], 2), "{transport:?}");
        rekey(&mut world, RekeyKind::Forced);
        world.run_for(SECOND * 60);
        assert_eq!((hear_all(&world, 3), registrations(&world, 3)), (vec![true; 3], 2), "by message again");
    }
}

/// Of the signs that come at once the first says least: others may lack the same as it does.
#[test]
fn a_machine_that_stood_still_is_heard_again_at_once_whatever_sign_it_met_first() {
    for transport in [Transport::Unicast, MULTICAST] {
        let mut world = stood_still(transport);
        world.inject(server_address(1), member_address(3), &forged(7));
        world.run_for(Duration::from_millis(50));
        meet_unknown(&mut world, 3);
        world.run_for(SECOND * 10);
        assert_eq!((hear_all(&world, 3), registrations(&world, 3)), (vec![true; 3], 2), "{transport:?}");
    }
}

/// While it waits before it asks once more, the next rekey message comes: of a key that nobody sends with yet.
#[test]
fn who_was_cut_off_until_its_keys_ended_hears_again_by_the_next_message() {
    let mut world = start(3, Transport::Unicast);
    let rekeys = |world: &World| {
        let sent = |event: &KeyServerEvent| matches!(event, KeyServerEvent::RekeySent { .. });
        world.server_events(server_address(1)).iter().filter(|(_, event)| sent(event)).count()
    };
    world.cut(member_address(3).ip());
    world.run_until(SECOND * 8000, |world| rekeys(world) == 2);
    assert!(world.view(member_address(3)).inbound.is_empty(), "its keys have ended");
    let before = registrations(&world, 3);
    world.join(member_address(3).ip());
    world.run_until(SECOND * 25, |world| world.view(member_address(3)).outbound.is_some());
    assert_eq!((hear_all(&world, 3), registrations(&world, 3)), (vec![true; 3], before));
}

#[test]
fn a_machine_that_slept_registers_when_it_wakes() {
    let mut world = start(3, Transport::Unicast);
    world.run_for(SECOND * 2000);
    world.suspend(member_address(3));
    world.run_for(SECOND * 3000);
    world.resume(member_address(3), Clock::GoesOn);
    world.run_for(SECOND * 5);
    assert_eq!((hear_all(&world, 3), registrations(&world, 3)), (vec![true; 3], 2));
}

/// Goes on from what was stored some time ago: the rekey messages after that are forgotten, and so are the keys in them.
fn restored(forgotten: &[RekeyKind], transport: Transport) -> World {
    let mut world = start(3, transport);
    world.run_for(SECOND * 60);
    rekey(&mut world, RekeyKind::Forced);
    world.run_for(SECOND * 120);
    let old = world.stored(server_address(1)).unwrap();
    for kind in forgotten {
        rekey(&mut world, *kind);
        world.run_for(SECOND * 120);
    }
    let random = Box::new(Seeded::new(9));
    let server = KeyServer::new(config(transport), Some(&old), random, world.now).unwrap();
    world.add_server(server_address(1), server);
    world
}

#[test]
fn members_of_a_server_that_goes_on_from_an_older_state_hear_it_again() {
    for (forgotten, transport) in [
        (&[RekeyKind::Reminder, RekeyKind::Reminder][..], Transport::Unicast),
        (&[RekeyKind::Forced, RekeyKind::Reminder], Transport::Unicast),
        (&[RekeyKind::ReplaceNow], Transport::Unicast),
    ] {
        let mut world = restored(forgotten, transport);
        // The first sign is the message that a server sends when it starts.
        world.run_for(SECOND * 10);
        join(&mut world, 4);
        world.run_for(SECOND * 20);
        assert_eq!(hear_all(&world, 4), [true; 4], "{forgotten:?}, {transport:?}");
        rekey(&mut world, RekeyKind::Forced);
        world.run_for(SECOND * 60);
        assert_eq!(hear_all(&world, 4), [true; 4], "and what it sends, {forgotten:?}, {transport:?}");
        assert!((1..=3).all(|number| registrations(&world, number) <= 3));
    }
}

/// What was sent before it went back stays what it is: sent before.
#[test]
fn what_was_recorded_before_a_server_went_back_is_not_taken_in_again() {
    let mut world = restored(&[RekeyKind::Reminder, RekeyKind::Reminder], Transport::Unicast);
    world.run_for(SECOND * 20);
    let push = |flight: &&crate::bench::Flight| {
        flight.to == member_address(1)
            && ExchangeType::claimed_by(&flight.payload) == Some(ExchangeType::GROUPKEY_PUSH)
    };
    let recorded: Vec<_> = world.sent.iter().filter(push).cloned().collect();
    assert!(recorded.len() >= 4, "{}", recorded.len());
    let received = |world: &World| world.member(member_address(1)).status(world.now).rekeys.received;
    let (before, view) = (received(&world), world.view(member_address(1)));
    recorded.iter().for_each(|flight| world.inject(flight.from, flight.to, &flight.payload));
    world.run_for(SECOND * 5);
    assert_eq!((received(&world), world.view(member_address(1))), (before, view));
}

/// Somebody sends old messages again, two hundred in a second: they hide nothing.
#[test]
fn what_is_sent_again_does_not_hide_that_a_server_went_back() {
    let mut world = restored(&[RekeyKind::Reminder, RekeyKind::Reminder], Transport::Unicast);
    let is_push = |flight: &&crate::bench::Flight| {
        flight.to == member_address(1)
            && ExchangeType::claimed_by(&flight.payload) == Some(ExchangeType::GROUPKEY_PUSH)
    };
    let pushes: Vec<_> = world.sent.iter().filter(is_push).map(|flight| flight.payload.clone()).collect();
    let last = pushes.last().unwrap();
    let old = pushes.iter().rev().find(|push| push[..16] == last[..16] && *push != last).unwrap();
    for _ in 0..400 {
        (0..20).for_each(|_| world.inject(server_address(1), member_address(1), old));
        world.run_for(Duration::from_millis(100));
    }
    let replayed = world.member(member_address(1)).status(world.now).rekeys.replayed;
    assert!(replayed >= 8_000, "{replayed}");
    assert_eq!([1, 2].map(|number| (signs(&world, number), registrations(&world, number))), [(1, 2); 2]);
}

/// New keys, a new KEK, and a list of members that is empty: only those that hear the multicast group hear of it.
#[test]
fn members_of_a_server_that_lost_its_state_come_back_with_the_first_message() {
    let mut world = start(3, MULTICAST);
    world.add_server(server_address(1), server(config(MULTICAST), 99, world.now));
    join(&mut world, 4);
    world.run_for(SECOND * 5);
    rekey(&mut world, RekeyKind::Reminder);
    world.run_for(SECOND * 10);
    assert!((1..=3).all(|number| registrations(&world, number) == 2));
    world.run_for(SECOND * 15);
    assert_eq!(hear_all(&world, 4), [true; 4]);
}

/// A rekey message as it looks from outside.
fn forged(kek: u8) -> Vec<u8> {
    let mut datagram = vec![kek; 28 + 64];
    datagram[16..20].copy_from_slice(&[8, 0x10, ExchangeType::GROUPKEY_PUSH.0, 1]);
    datagram[20..24].copy_from_slice(&[0; 4]);
    datagram[24..28].copy_from_slice(&92u32.to_be_bytes());
    datagram
}

#[test]
fn forgers_of_signs_are_paid_little_heed_and_true_ones_are_heard() {
    let mut world = start(2, Transport::Unicast);
    let (given, view) = (given(&world), world.view(member_address(2)));
    for millis in 0..36_000u32 {
        if millis % 2 == 0 {
            world.inject(server_address(1), member_address(2), &forged(millis as u8));
        } else {
            world.command(member_address(2), MemberCommand::UnknownEsp(Spi(0x7000_0000 | millis)));
        }
        world.run_for(Duration::from_millis(50));
    }
    let (registered, signs) = (registrations(&world, 2), signs(&world, 2));
    println!(
        "{registered} registrations and {signs} signs heeded in half an hour of 20 forged ones a second"
    );
    assert!(signs <= 12 && registered <= 8, "{signs} {registered}");
    assert_eq!(world.view(member_address(2)), view, "what works is left alone");
    assert_eq!(self::given(&world), given, "and no sender ID is used up");
    world.run_for(SECOND * 600);
    world.suspend(member_address(2));
    world.run_for(SECOND * 3600);
    world.resume(member_address(2), Clock::Stands);
    assert_eq!(hear_all(&world, 2), [false; 2]);
    meet_unknown(&mut world, 2);
    world.run_for(SECOND * 10);
    assert_eq!(hear_all(&world, 2), [true; 2]);
}

fn given(world: &World) -> u32 {
    world.server(server_address(1)).status(world.now).groups[0].sids.given
}

#[test]
fn from_elsewhere_an_unknown_rekey_message_is_no_sign() {
    let mut world = start(2, Transport::Unicast);
    world.inject(server_address(2), member_address(2), &forged(7));
    world.run_for(SECOND * 60);
    assert_eq!((signs(&world, 2), registrations(&world, 2)), (0, 1));
}

/// Others are a little slower to leave an old key: that is no sign.
#[test]
fn an_old_key_is_no_sign_for_a_while() {
    let mut world = start(2, Transport::Unicast);
    let old = world.view(member_address(2)).outbound.unwrap().spi;
    rekey(&mut world, RekeyKind::ReplaceNow);
    world.run_for(SECOND * 2);
    assert_ne!(world.view(member_address(2)).outbound.unwrap().spi, old);
    world.command(member_address(2), MemberCommand::UnknownEsp(Spi(old.0 | 1)));
    world.run_for(SECOND * 60);
    assert_eq!((signs(&world, 2), registrations(&world, 2)), (0, 1));
}

/// Seconds until member 1 has what member 2 sends with, whose ESP it hears each second.
fn until_it_hears(world: &mut World) -> Duration {
    let start = world.now;
    let lacks = |world: &World| {
        let sa = world.view(member_address(2)).outbound.unwrap();
        let held = world.view(member_address(1)).inbound;
        held.iter().all(|held| held.keys != sa.keys).then_some(sa.spi)
    };
    while let Some(spi) = lacks(world).filter(|_| world.now < start + SECOND * 3_600) {
        world.command(member_address(1), MemberCommand::UnknownEsp(spi));
        world.run_for(SECOND);
    }
    world.now.saturating_since(start)
}

/// For a quarter of an hour somebody sends a packet with another SPI every ten seconds.
fn make_up_signs(world: &mut World) {
    for count in 0..90u32 {
        world.command(member_address(1), MemberCommand::UnknownEsp(Spi(0x4444_0000 + count)));
        world.run_for(SECOND * 10);
    }
}

#[test]
fn signs_that_somebody_made_up_do_not_make_the_true_one_late() {
    let mut world = start(3, Transport::Unicast);
    make_up_signs(&mut world);
    // The server comes back without its state, and another member registers.
    world.add_server(server_address(1), server(config(Transport::Unicast), 98, world.now));
    world.run_for(SECOND * 5);
    world.command(member_address(2), MemberCommand::Register);
    world.run_for(SECOND * 20);
    let waited = until_it_hears(&mut world);
    assert!(waited < SECOND * 20, "{waited:?}");
}

/// Whoever has the KEK answers for another member, which the message has not reached.
#[test]
fn an_acknowledgement_for_another_hides_nobody() {
    for made_up in [false, true] {
        let mut world = start(3, Transport::Unicast);
        if made_up {
            make_up_signs(&mut world);
        }
        let (victim, before) = (member_address(1), world.sent.len());
        let kek = Stored::read(&world.stored(server_address(1)).unwrap()).keks[0].clone();
        world.cut(victim.ip());
        rekey(&mut world, RekeyKind::Forced);
        world.run_for(Duration::from_millis(100));
        let is_push = |payload: &[u8]| payload[18] == ExchangeType::GROUPKEY_PUSH.0;
        let push = world.sent[before..].iter().find(|flight| is_push(&flight.payload)).unwrap();
        let ack = kek.acknowledgement(kek.open(&push.payload.clone()).sequence, victim.ip());
        world.hand(victim, server_address(1), &ack);
        world.run_for(SECOND * 8);
        world.join(victim.ip());
        world.run_for(SECOND * 12);
        let waited = until_it_hears(&mut world);
        assert!(waited < SECOND * 20, "{made_up} {waited:?}");
    }
}

/// A member that was sent away waits for its turn, a minute perhaps. Meanwhile all keys end, which it does not hear of.
#[test]
fn who_was_sent_away_and_waits_hears_that_the_others_went_on() {
    let mut waits = Vec::new();
    for seed in 0..8 {
        let mut world = World::new(seed, Link::CALM);
        let mut config = config(Transport::Unicast);
        config.groups[0].deactivation_delay = SECOND * 600;
        world.add_server(server_address(1), server(config, 1, world.now));
        for number in 1..=3 {
            let config = MemberConfig { sender_ids: 2, ..member_config(number) };
            world.add_member(member_address(number), member(config, seed * 10 + u64::from(number)));
        }
        world.run_for(SECOND * 10);
        let group = crate::bench::fleet::group().id.into();
        let remove = |member, removal| KeyServerCommand::Remove(group, member, removal);
        let gone = Some(member_address(3).ip());
        world.command_server(server_address(1), remove(gone, Removal::Graceful));
        world.run_for(Duration::from_millis(500));
        world.cut(member_address(1).ip());
        world.command_server(server_address(1), remove(None, Removal::Now));
        world.run_for(SECOND * 5);
        world.join(member_address(1).ip());
        world.command(member_address(2), MemberCommand::Register);
        world.run_for(SECOND * 3);
        waits.push(until_it_hears(&mut world));
    }
    assert!(waits.iter().all(|wait| *wait < SECOND * 14), "{waits:?}");
}

/// It knows the KEK before, under which those hear that all keys are over that may not have heard of the one of now.
#[test]
fn who_was_sent_away_and_loses_its_keys_does_not_wait_without_them() {
    let mut silences = Vec::new();
    for seed in 0..8 {
        let mut world = World::new(seed, Link::CALM);
        let mut config = config(Transport::Unicast);
        config.groups[0].transform = "aes-256-cbc/hmac-sha-256".parse().unwrap();
        config.groups[0].replay_window = 0;
        config.groups[0].deactivation_delay = SECOND * 600;
        world.add_server(server_address(1), server(config, 1, world.now));
        for number in 1..=4 {
            let random = seed * 10 + u64::from(number);
            world.add_member(member_address(number), member(member_config(number), random));
        }
        world.run_for(SECOND * 10);
        // Member 2 misses the new KEK, so that it is told what follows under the old one.
        world.cut(member_address(2).ip());
        rekey(&mut world, RekeyKind::Forced);
        world.run_for(SECOND * 2);
        let group = crate::bench::fleet::group().id.into();
        let remove = |world: &mut World, number| {
            let gone = Some(member_address(number).ip());
            let removal = KeyServerCommand::Remove(group, gone, Removal::Graceful);
            world.command_server(server_address(1), removal);
            world.run_for(Duration::from_millis(400));
        };
        remove(&mut world, 4);
        let before = world.sent.len();
        remove(&mut world, 3);
        let told = |flight: &&Flight| flight.to.ip() == member_address(2).ip();
        let payloads: Vec<_> =
            world.sent[before..].iter().filter(told).map(|flight| flight.payload.clone()).collect();
        assert!(!payloads.is_empty());
        payloads.iter().for_each(|payload| world.inject(server_address(1), member_address(1), payload));
        let (start, mut silent) = (world.now, Duration::ZERO);
        while world.now < start + SECOND * 70 {
            world.run_for(SECOND);
            silent += SECOND * u32::from(world.view(member_address(1)).outbound.is_none());
        }
        silences.push(silent);
    }
    assert!(silences.iter().any(|silent| *silent > Duration::ZERO), "it lost its keys");
    assert!(silences.iter().all(|silent| *silent < SECOND * 10), "{silences:?}");
}
