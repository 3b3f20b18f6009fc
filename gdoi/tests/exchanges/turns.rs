//! Unlucky turns for a member: between servers, between two messages, between two endings.

use crate::bench::alliance::{address, allied_config, allied_member, primaries, start_server};
use crate::bench::fleet::{group, member, member_address, rekey_config, server_config};
use crate::bench::random::Seeded;
use crate::bench::{Archive, Link, World};
use gdoi::crypto::Secret;
use gdoi::policy::{Sid, Spi};
use gdoi::{KeyServerCommand, KeyServerConfig, MemberCommand, MemberConfig, MemberEvent, RekeyKind, Removal};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn per_sender(mut config: KeyServerConfig) -> KeyServerConfig {
    config.groups[0].transform = "aes-256-gcm".parse().unwrap();
    config.groups[0].replay_window = 1024;
    config
}

fn alone(life: u64) -> KeyServerConfig {
    let mut config = per_sender(server_config(1));
    config.groups[0].rekey = Some(rekey_config());
    config.groups[0].tek_lifetime = SECOND * life as u32;
    config
}

fn sids(world: &World, number: u16) -> Vec<Sid> {
    world.member(member_address(number)).status(world.now).sender_ids
}

fn print_events(world: &World, number: u16) {
    for (at, event) in world.member_events(member_address(number)) {
        if !matches!(event, MemberEvent::ViewChanged(_)) {
            println!("  {at:?} {event}");
        }
    }
}

/// From one server to another and back: the first one gives again what it gave.
#[test]
fn a_member_that_comes_back_to_a_server_gets_sender_ids_it_can_use() {
    let mut world = World::new(1, Link::CALM);
    let mut random = Seeded::new(7);
    let config = |number| {
        let mut config = per_sender(allied_config(number, 2, SECOND * 600));
        config.groups[0].rekey = None;
        config
    };
    (1..=2).for_each(|number| start_server(&mut world, config(number), None, &mut random));
    world.run_for(SECOND * 20);
    world.add_member(member_address(1), member(allied_member(1, 1, 2), 5));
    world.run_for(SECOND * 20);
    println!("at 1: {:?}", sids(&world, 1));
    // One goes for a minute, the member's router asks the other.
    world.cut(address(1).ip());
    world.command(member_address(1), MemberCommand::Register);
    world.run_for(SECOND * 120);
    println!("at 2: {:?}", sids(&world, 1));
    world.join(address(1).ip());
    world.run_for(SECOND * 60);
    world.cut(address(2).ip());
    world.command(member_address(1), MemberCommand::Register);
    world.run_for(SECOND * 1800);
    println!("back: {:?}", sids(&world, 1));
    print_events(&world, 1);
    let view = world.view(member_address(1));
    assert!(view.outbound.is_some(), "the member is without keys");
}

/// The states are lost while a registration is under way that the server postpones.
#[test]
fn states_lost_while_the_server_postpones_are_not_forgotten() {
    let mut world = World::new(1, Link::CALM);
    start_server(&mut world, alone(3600), None, &mut Seeded::new(7));
    let config = MemberConfig { sender_ids: 2, ..allied_member(1, 1, 1) };
    world.add_member(member_address(1), member(config, 5));
    world.run_for(SECOND * 10);
    let before = sids(&world, 1);
    world.command(member_address(1), MemberCommand::UnknownEsp(Spi(0x7ff0_0001)));
    let begun = |world: &World| {
        let started =
            |(_, event): &&(_, MemberEvent)| matches!(event, MemberEvent::RegistrationStarted { .. });
        world.member_events(member_address(1)).iter().filter(started).count()
    };
    world.run_until(SECOND * 20, |world| begun(world) == 2);
    world.command(member_address(1), MemberCommand::RenewSenderIds);
    world.run_for(SECOND * 1200);
    print_events(&world, 1);
    println!("{before:?} {:?}", sids(&world, 1));
    assert_ne!(sids(&world, 1), before, "after 20 minutes it still has the sender IDs whose states are lost");
}

/// A new primary that does not know what members have ends all KEKs.
#[test]
fn a_dismissal_under_two_keks_is_one() {
    for removal in [Removal::Graceful, Removal::Now] {
        let mut world = World::new(1, Link::CALM);
        let mut random = Seeded::new(7);
        let config = |number| per_sender(allied_config(number, 2, SECOND * 3600));
        (1..=2).for_each(|number| start_server(&mut world, config(number), None, &mut random));
        world.run_for(SECOND * 20);
        (1..=3).for_each(|number| {
            world.add_member(member_address(number), member(allied_member(number, 1, 2), number.into()));
        });
        world.run_for(SECOND * 20);
        assert_eq!(primaries(&world, 2), [2]);
        world.command_server(address(2), KeyServerCommand::Rekey(group().id.into(), RekeyKind::Forced));
        world.run_for(SECOND * 20);
        world.crash_server(address(2));
        world.run_for(SECOND * 20);
        assert_eq!(primaries(&world, 2), [1]);
        let then = world.now;
        world.command_server(address(1), KeyServerCommand::Remove(group().id.into(), None, removal));
        let mut deaf = BTreeMap::new();
        let end = world.now + SECOND * 200;
        while world.step(end) {
            for number in 1..=3 {
                if world.view(member_address(number)).outbound.is_none() {
                    deaf.insert(number, world.now.saturating_since(then));
                }
            }
        }
        println!("{removal:?}: without a key until {deaf:?}");
        print_events(&world, 1);
        assert!(deaf.values().all(|deaf| *deaf < SECOND * 20), "{removal:?} {deaf:?}");
    }
}

/// A server and five members to which anything happens; of those that were removed, which keys anybody had then.
struct Removals {
    seed: u64,
    random: Seeded,
    world: World,
    kept: Option<Secret>,
    removed: BTreeMap<u16, BTreeSet<Spi>>,
}

impl Removals {
    fn new(seed: u64) -> Self {
        let (random, mut world) = (Seeded::new(seed), World::new(seed, Link::RAIN));
        world.archive = Archive::Nothing;
        let mut removals = Removals { seed, random, world, kept: None, removed: BTreeMap::new() };
        removals.start();
        for number in 1..=5 {
            let config = MemberConfig { sender_ids: 2, ..allied_member(number, 1, 1) };
            removals.world.add_member(member_address(number), member(config, removals.random.draw()));
        }
        removals.world.run_for(SECOND * 30);
        removals
    }

    fn start(&mut self) {
        let mut config = alone(900);
        if self.seed % 3 == 0 {
            config.groups[0].transform = "aes-256-cbc/hmac-sha-256".parse().unwrap();
        }
        config.groups[0].rekey.as_mut().unwrap().retransmit.interval = SECOND;
        start_server(&mut self.world, config, self.kept.as_ref(), &mut self.random);
    }

    /// The server may refuse it.
    fn ask(&mut self, command: KeyServerCommand) -> bool {
        self.world.ask_server(address(1), command).is_ok()
    }

    fn something_happens(&mut self) {
        let (number, id) = (1 + self.random.below(5) as u16, group().id);
        match self.random.below(10) {
            0 | 1 => {
                self.kept = self.world.crash_server(address(1)).or(self.kept.take());
                self.start();
            }
            2 | 3 if !self.removed.contains_key(&number) => self.remove(number),
            4 => {
                if let Some((number, _)) = self.removed.pop_first() {
                    self.ask(KeyServerCommand::Readmit(id.into(), member_address(number).ip()));
                }
            }
            5 => {
                self.world.cut(member_address(number).ip());
                self.world.run_for(SECOND * self.random.below(30) as u32);
                self.world.join(member_address(number).ip());
            }
            6 => {
                self.ask(KeyServerCommand::Remove(id.into(), None, Removal::Graceful));
            }
            7 => self.world.command(member_address(number), MemberCommand::Register),
            _ => {
                let kinds = [RekeyKind::Forced, RekeyKind::ReplaceNow, RekeyKind::Reminder];
                let kind = kinds[self.random.below(3) as usize];
                self.ask(KeyServerCommand::Rekey(id.into(), kind));
            }
        }
    }

    fn remove(&mut self, number: u16) {
        let removal = if self.random.percent(50) { Removal::Now } else { Removal::Graceful };
        let status = self.world.server(address(1)).status(self.world.now).groups.remove(0);
        let mut known: BTreeSet<_> = status.teks.iter().map(|tek| tek.spi).collect();
        known.extend(self.world.views().iter().flat_map(|view| view.inbound.iter()).map(|sa| sa.spi));
        if self.ask(KeyServerCommand::Remove(group().id.into(), Some(member_address(number).ip()), removal)) {
            self.removed.insert(number, known);
        }
    }

    /// For a while, in which none that was removed gets a key that was made since.
    fn pass(&mut self) {
        let end = self.world.now + SECOND * self.random.below(40) as u32;
        while self.world.step(end) {
            if std::mem::take(&mut self.world.changed).is_empty() {
                continue;
            }
            for (number, known) in &self.removed {
                let view = self.world.told(member_address(*number));
                let new = view.inbound.iter().find(|sa| !known.contains(&sa.spi)).map(|sa| sa.spi);
                if new.is_some() {
                    print_events(&self.world, *number);
                }
                assert_eq!(new, None, "seed {}: removed {number} at {:?}", self.seed, self.world.now);
            }
        }
    }
}

/// A member that was removed gets no key that was made since.
#[test]
fn a_removed_member_gets_no_key_that_was_made_since() {
    let one = std::env::var("GDOI_SEED").ok().and_then(|seed| seed.parse().ok());
    for seed in one.map_or(1..=40, |seed: u64| seed..=seed) {
        let mut removals = Removals::new(seed);
        for _ in 0..60 {
            removals.something_happens();
            removals.pass();
        }
    }
}
