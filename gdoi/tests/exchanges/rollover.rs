//! TEKs come and go by re-registration: nobody is ever without a key, and what one sends all others can read.

use crate::bench::fleet::{
    group, member, member_address, member_config, rekey_config, server, server_address, server_config,
};
use crate::bench::random::Seeded;
use crate::bench::{Link, World};
use gdoi::policy::Spi;
use gdoi::{KeyServerCommand, MemberConfig, RekeyKind, Removal, View};
use std::time::Duration;

/// Five lives of a TEK with members that join at any time of the first two.
fn check(life: u64, members: u16, link: Link, seed: u64) {
    ["aes-256-cbc/hmac-sha-256", "aes-256-gcm"]
        .into_iter()
        .for_each(|name| check_with(name, life, members, link, seed));
}

fn check_with(transform: &str, life: u64, members: u16, link: Link, seed: u64) {
    let life = Duration::from_secs(life);
    let mut random = Seeded::new(seed);
    let mut joins: Vec<_> =
        (0..members).map(|_| Duration::from_millis(random.below(2 * life.as_millis() as u64))).collect();
    joins.sort();
    let mut world = World::new(seed, link);
    let mut config = server_config(1);
    config.groups[0].tek_lifetime = life;
    config.groups[0].transform = transform.parse().unwrap();
    world.add_server(server_address(1), server(config, seed, world.now));
    let start = world.now;
    for (number, join) in (1..).zip(joins) {
        while world.step(start + join) {
            check_views(&mut world, start);
        }
        let config = MemberConfig { sender_ids: 4, ..member_config(number) };
        world.add_member(member_address(number), member(config, seed + u64::from(number)));
    }
    while world.step(start + 5 * life) {
        check_views(&mut world, start);
    }
}

fn check_views(world: &mut World, start: gdoi::Instant) {
    if std::mem::take(&mut world.changed).is_empty() {
        return;
    }
    let views: Vec<_> = world.views().into_iter().filter(|view| view.registered).collect();
    for (number, sender) in views.iter().enumerate() {
        let at = world.now.saturating_since(start);
        let Some(sent) = &sender.outbound else { panic!("{at:?}: {number} cannot send") };
        let reads = |view: &View| view.inbound.iter().any(|sa| (sa.spi, &sa.keys) == (sent.spi, &sent.keys));
        if let Some(deaf) = views.iter().position(|view| !reads(view)) {
            panic!("{at:?}: {number} of {} sends with {}, {deaf} cannot read it", views.len(), sent.spi);
        }
    }
}

#[test]
fn short_lives_for_laboratories() {
    for life in [60, 120] {
        (0..10).for_each(|seed| check(life, 8, Link::CALM, seed));
    }
}

#[test]
fn lives_of_minutes() {
    for life in [300, 600, 1200] {
        (0..10).for_each(|seed| check(life, 8, Link::CALM, seed));
    }
}

#[test]
fn the_usual_hour() {
    (0..10).for_each(|seed| check(3600, 12, Link::CALM, seed));
}

#[test]
fn the_usual_hour_over_a_bad_line() {
    (0..10).for_each(|seed| check(3600, 12, Link::RAIN, seed));
}

/// What each of the members 1 and 2 sent with, one after the other, from one hour of a group to the next; in the time in
/// which a scheduled key waits for its turn the server is told something.
fn senders_over(command: KeyServerCommand, wait: u64) -> Vec<Vec<Spi>> {
    let mut world = World::new(1, Link::CALM);
    let mut config = server_config(1);
    config.groups[0].rekey = Some(rekey_config());
    config.groups[0].transform = "aes-256-gcm".parse().unwrap();
    let life = config.groups[0].tek_lifetime;
    world.add_server(server_address(1), server(config, 1, world.now));
    for number in 1..=3 {
        let config = MemberConfig { sender_ids: 4, ..member_config(number) };
        world.add_member(member_address(number), member(config, number.into()));
    }
    let start = world.now;
    let mut sent = vec![Vec::new(); 2];
    let follow = |world: &mut World, sent: &mut Vec<Vec<Spi>>, end| {
        while world.step(end) {
            for (number, sent) in (1..).zip(sent.iter_mut()) {
                let now = world.view(member_address(number)).outbound.map(|sa| sa.spi);
                sent.extend(now.filter(|spi| sent.last() != Some(spi)));
            }
        }
    };
    follow(&mut world, &mut sent, start + life * 9 / 10 + Duration::from_secs(wait));
    let waits = |number| world.view(member_address(number)).inbound.len() == 2;
    assert!((1..=2).all(waits), "the scheduled key has come");
    world.command_server(server_address(1), command);
    follow(&mut world, &mut sent, start + life * 2);
    sent
}

/// The scheduled key would begin to send after the one that was ordered.
#[test]
fn nobody_goes_back_to_a_key_that_another_took_over_from() {
    let all = group().id.into();
    let forced = KeyServerCommand::Rekey(all, RekeyKind::Forced);
    let removal = KeyServerCommand::Remove(all, Some(member_address(3).ip()), Removal::Graceful);
    for command in [forced, removal] {
        for wait in [20, 250, 290, 310] {
            for sent in senders_over(command, wait) {
                let mut once = sent.clone();
                once.sort();
                once.dedup();
                assert_eq!(once.len(), sent.len(), "{command:?} after {wait} s: {sent:?}");
            }
        }
    }
}
