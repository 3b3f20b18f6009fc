//! A server that cannot make keys: it goes on with what it has, and does not spin.

use super::{join, lone, seconds};
use crate::bench::fleet::{member_address, server_address, server_config};
use crate::bench::random::Seeded;
use crate::bench::{Link, World};
use gdoi::crypto::{Error, Random};
use gdoi::policy::GroupId;
use gdoi::{GroupConfig, GroupName, KeyServer, KeyServerConfig, KeyServerEvent, Transport};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Duration;

/// Fails while it is told to.
struct Failing(Seeded, Arc<AtomicBool>);

impl Random for Failing {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), Error> {
        match self.1.load(Ordering::Relaxed) {
            true => Err(Error::Randomness),
            false => self.0.fill(out),
        }
    }
}

fn short(mut config: KeyServerConfig) -> KeyServerConfig {
    config.groups[0].tek_lifetime = seconds(60);
    config
}

fn world_that_fails(config: KeyServerConfig) -> (World, Arc<AtomicBool>) {
    let mut world = World::new(1, Link::CALM);
    let fails = Arc::new(AtomicBool::new(false));
    let random = Box::new(Failing(Seeded::new(3), fails.clone()));
    world.add_server(server_address(1), KeyServer::new(config, None, random, world.now).unwrap());
    (1..=3).for_each(|number| join(&mut world, number));
    world.run_for(seconds(10));
    (world, fails)
}

/// Keys are due and there is no randomness: the server waits before it tries again (the world panics over one that
/// spins), and has new keys soon after there is some.
#[test]
fn a_server_without_randomness_waits_and_makes_keys_when_it_can() {
    let (mut world, fails) = world_that_fails(short(lone(Transport::Unicast)));
    let teks = |world: &World| world.server(server_address(1)).status(world.now).groups[0].teks.len();
    fails.store(true, Ordering::Relaxed);
    world.run_for(seconds(35));
    assert_eq!(teks(&world), 1, "the new one is due");
    fails.store(false, Ordering::Relaxed);
    world.run_for(Duration::from_millis(1_500));
    assert_eq!(teks(&world), 2);
    world.run_for(seconds(60));
    let registrations = |number| world.member(member_address(number)).registrations();
    assert!((1..=3).all(|number| registrations(number) == 1));
}

/// What failed left nothing behind: no key that only those have that register.
#[test]
fn a_rekey_that_fails_changes_nothing() {
    let (mut world, fails) = world_that_fails(lone(Transport::Unicast));
    let stored = world.stored(server_address(1)).unwrap();
    fails.store(true, Ordering::Relaxed);
    for kind in [gdoi::RekeyKind::Forced, gdoi::RekeyKind::ReplaceNow] {
        let done = world.ask_server(server_address(1), super::rekey(kind)).unwrap();
        assert!(done[0].outcome.is_err());
    }
    let removal = super::remove(Some(1), gdoi::Removal::Now);
    assert!(world.ask_server(server_address(1), removal).unwrap()[0].outcome.is_err());
    assert_eq!(world.server(server_address(1)).status(world.now).groups[0].members.len(), 3);
    assert!(world.stored(server_address(1)).unwrap() == stored, "nothing was changed");
}

fn groups(number: u32) -> Vec<GroupConfig> {
    let numbered = |id| GroupConfig {
        group: GroupName { name: format!("group-{id}"), id: GroupId(id) },
        transform: "aes-256-gcm".parse().unwrap(),
        ..short(server_config(1)).groups.remove(0)
    };
    (1..=number).map(numbered).collect()
}

/// More groups than there are blocks of SPIs for two keys each: those that get no key keep the others from nothing.
#[test]
fn groups_that_get_no_key_keep_no_other_from_one() {
    let mut world = World::new(1, Link::CALM);
    world.archive = crate::bench::Archive::Nothing;
    let config = KeyServerConfig { groups: groups(300), ..server_config(1) };
    let server = KeyServer::new(config, None, Box::new(Seeded::new(1)), world.now).unwrap();
    world.add_server(server_address(1), server);
    world.run_for(seconds(45));
    let status = world.server(server_address(1)).status(world.now);
    let with_two = status.groups.iter().filter(|group| group.teks.len() == 2).count();
    let with_none = status.groups.iter().filter(|group| group.teks.is_empty()).count();
    println!("{with_two} groups with two keys, {with_none} with none");
    assert_eq!((with_two, with_none), (211, 0));
    world.run_for(seconds(30));
    let status = world.server(server_address(1)).status(world.now);
    assert!(status.groups.iter().all(|group| !group.teks.is_empty()), "blocks come free, and are used");
    let refused = |(_, event): &&(_, KeyServerEvent)| matches!(event, KeyServerEvent::Rejected { .. });
    let told = world.server_events(server_address(1)).iter().filter(refused).count();
    assert!((1..=80).contains(&told), "{told} times told");
}
