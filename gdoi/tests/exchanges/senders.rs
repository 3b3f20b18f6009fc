//! Groups in which every sender has its own key: who sends with what, over rekeys, restarts, several key servers, and
//! the end of the sender IDs.

use crate::bench::alliance::{address, allied_config, primaries, start_server, start_with};
use crate::bench::fleet::{
    member, member_address, member_config, rekey_config, server, server_address, server_config,
};
use crate::bench::random::Seeded;
use crate::bench::stored::with_sids_given;
use crate::bench::{Link, World};
use gdoi::policy::{GroupId, Sid, SidGeneration, Spi, TekKeys, MAX_SIDS};
use gdoi::{
    Effect, GroupName, KeyServer, KeyServerCommand, KeyServerConfig, KeyServerEvent, MemberCommand,
    MemberConfig, MemberEvent, RekeyKind, View,
};
use std::collections::BTreeSet;
use std::time::Duration;

const LIFE: Duration = Duration::from_secs(600);
const RANGE: u32 = 1 << 17;

fn per_sender(mut config: KeyServerConfig) -> KeyServerConfig {
    config.groups[0].transform = "aes-256-gcm".parse().unwrap();
    config.groups[0].replay_window = 1024;
    config
}

fn alone() -> KeyServerConfig {
    let mut config = per_sender(server_config(1));
    config.groups[0].rekey = Some(rekey_config());
    config.groups[0].tek_lifetime = LIFE;
    config
}

fn sender(number: u16) -> MemberConfig {
    MemberConfig { sender_ids: 4, ..member_config(number) }
}

/// One server and its members, all of them registered.
fn world(config: KeyServerConfig, members: u16) -> World {
    let mut world = World::new(1, Link::CALM);
    world.add_server(address(1), server(config, 1, world.now));
    (1..=members)
        .for_each(|number| world.add_member(member_address(number), member(sender(number), number.into())));
    world.run_for(Duration::from_secs(10));
    assert!(world.views().iter().all(|view| view.outbound.is_some()));
    world
}

/// Several servers and their members, all of them registered.
fn allied(servers: u8, members: u16) -> World {
    let mut world = World::new(1, Link::CALM);
    start_with(&mut world, servers, members, |number| per_sender(allied_config(number, servers, LIFE)));
    world.run_for(Duration::from_secs(40));
    assert!(world.views().iter().all(|view| view.outbound.is_some()));
    world
}

fn status(world: &World, number: u8) -> gdoi::GroupStatus {
    world.server(address(number)).status(world.clock_of(address(number))).groups[0].clone()
}

fn given(world: &World, number: u16) -> Vec<Sid> {
    world.member(member_address(number)).status(world.now).sender_ids
}

fn command(world: &mut World, server: u8, kind: RekeyKind) {
    let group = status(world, server).group.id;
    world.command_server(address(server), KeyServerCommand::Rekey(group.into(), kind));
}

/// What was ever sent with, and by which life of which member.
#[derive(Default)]
struct Watch {
    sent: Vec<(TekKeys, Spi, (u16, u32))>,
    lives: Vec<u32>,
}

impl Watch {
    /// Runs with both eyes on it: everybody can send, everybody hears everybody, and nobody sends as somebody else.
    fn run(&mut self, world: &mut World, members: u16, span: Duration) {
        let end = world.now + span;
        self.look(world, members);
        while world.step(end) {
            if !std::mem::take(&mut world.changed).is_empty() {
                self.look(world, members);
            }
        }
    }

    fn look(&mut self, world: &World, members: u16) {
        self.lives.resize(usize::from(members) + 1, 0);
        let views: Vec<_> = (1..=members).map(|number| world.view(member_address(number))).collect();
        for (number, view) in (1..).zip(&views).filter(|(_, view)| view.registered) {
            let Some(sa) = &view.outbound else { panic!("{:?}: {number} cannot send", world.now) };
            let hears =
                |view: &View| !view.registered || view.inbound.iter().any(|other| other.keys == sa.keys);
            assert!(views.iter().all(hears), "{:?}: somebody does not hear {number}", world.now);
            for spi in view.sids.iter().map(|sid| sa.sender(*sid).unwrap().spi) {
                self.used(&sa.keys, spi, (number, self.lives[usize::from(number)]));
            }
        }
    }

    fn used(&mut self, keys: &TekKeys, spi: Spi, by: (u16, u32)) {
        let before = self.sent.iter().find(|(known, sent, _)| known == keys && *sent == spi);
        match before {
            Some((.., other)) => assert_eq!(*other, by, "{spi} was another's"),
            None => self.sent.push((keys.clone(), spi, by)),
        }
    }

    /// The member has lost its memory.
    fn restarted(&mut self, number: u16) {
        self.lives.resize(self.lives.len().max(usize::from(number) + 1), 0);
        self.lives[usize::from(number)] += 1;
    }
}

#[test]
fn every_sender_has_its_own_sender_ids() {
    let world = world(alone(), 5);
    let views = world.views();
    let all: BTreeSet<_> = views.iter().flat_map(|view| view.sids.clone()).collect();
    assert_eq!((all.len(), all.last()), (20, Some(&Sid(19))), "counted from zero");
    let sa = views[0].outbound.clone().unwrap();
    assert!(sa.spi.is_block_base() && views.iter().all(|view| view.outbound.as_ref() == Some(&sa)));
    assert_eq!((sa.replay_window, sa.transform.to_string().as_str()), (1024, "aes-256-gcm"));
    let group = status(&world, 1);
    assert_eq!((group.sids.bits, group.sids.generation, group.sids.given, group.sids.of), (20, 0, 20, RANGE));
}

#[test]
fn a_member_without_its_states_is_somebody_else() {
    let (mut world, mut watch) = (world(alone(), 2), Watch::default());
    let before = given(&world, 1);
    world.command(member_address(1), MemberCommand::RenewSenderIds);
    watch.run(&mut world, 2, Duration::from_secs(5));
    assert_eq!(world.view(member_address(1)).sids, given(&world, 1));
    assert!(given(&world, 1).iter().all(|sid| !before.contains(sid)));
    world.add_member(member_address(1), member(sender(1), 99));
    watch.restarted(1);
    watch.run(&mut world, 2, Duration::from_secs(5));
    assert_eq!(given(&world, 1), [12, 13, 14, 15].map(Sid));
}

#[test]
fn a_restarted_key_server_repeats_no_sender_id_and_no_seed() {
    let mut world = world(alone(), 2);
    let keys = world.view(member_address(1)).outbound.unwrap().keys;
    let stored = world.crash_server(address(1)).unwrap();
    let server = KeyServer::new(alone(), Some(&stored), Box::new(Seeded::new(5)), world.now).unwrap();
    world.add_server(address(1), server);
    world.command(member_address(1), MemberCommand::RenewSenderIds);
    world.run_for(Duration::from_secs(10));
    assert_eq!(given(&world, 1), [8, 9, 10, 11].map(Sid));
    assert_eq!(world.view(member_address(1)).outbound.unwrap().keys, keys, "the seed was stored");
}

#[test]
fn a_rekey_brings_a_new_seed_and_keeps_the_sender_ids() {
    for kind in [RekeyKind::Forced, RekeyKind::ReplaceNow, RekeyKind::Reminder] {
        let mut world = world(alone(), 3);
        let before = world.views();
        command(&mut world, 1, kind);
        world.run_for(Duration::from_secs(60));
        for (before, after) in before.iter().zip(world.views()) {
            let (old, new) = (before.outbound.as_ref().unwrap(), after.outbound.unwrap());
            assert_eq!(before.sids, after.sids, "{kind:?}");
            let renewed = kind != RekeyKind::Reminder;
            assert_eq!((old.keys != new.keys, old.spi != new.spi), (renewed, renewed), "{kind:?}");
        }
    }
}

#[test]
fn nothing_is_lost_over_many_lives_of_a_key() {
    let (mut world, mut watch) = (world(alone(), 4), Watch::default());
    watch.run(&mut world, 4, LIFE * 3);
    command(&mut world, 1, RekeyKind::Forced);
    watch.run(&mut world, 4, LIFE * 2);
    assert!(watch.sent.len() >= 4 * 4 * 5, "five keys or more: {}", watch.sent.len());
}

#[test]
fn several_servers_give_different_sender_ids() {
    let mut world = allied(4, 8);
    let all: BTreeSet<_> = (1..=8).flat_map(|number| given(&world, number)).collect();
    assert_eq!(all.len(), 16, "two each");
    let places: BTreeSet<_> = all.iter().map(|sid| sid.0 / RANGE).collect();
    assert_eq!(places, BTreeSet::from([0, 1, 2, 3]));
    let sids = status(&world, 1).sids;
    assert_eq!((sids.given, sids.of), (16, 4 * RANGE));
    let spi = world.view(member_address(1)).outbound.unwrap().spi;
    assert_eq!(spi.0 >> 29, 3, "made by the fourth server");
    world.crash_server(address(4));
    world.run_for(Duration::from_secs(20));
    assert_eq!(primaries(&world, 4), [3]);
    command(&mut world, 3, RekeyKind::Forced);
    let mut watch = Watch::default();
    watch.run(&mut world, 8, LIFE / 2);
    assert_eq!(world.view(member_address(1)).outbound.unwrap().spi.0 >> 29, 2, "made by the third");
}

/// A server that has given out nearly all that it has, as it comes back from a restart.
fn nearly_used_up(world: &mut World, config: KeyServerConfig, left: u32) {
    let stored = world.crash_server(address(1)).unwrap();
    let stored = with_sids_given(&stored, 0, RANGE - left);
    start_server(world, config, Some(&stored), &mut Seeded::new(3));
}

/// So long after its beginning that a new generation may begin.
fn aged(mut world: World) -> World {
    world.run_for(LIFE);
    world
}

fn renewals(world: &World, number: u8) -> usize {
    let renewed = |event: &KeyServerEvent| matches!(event, KeyServerEvent::SenderIdsRenewed { .. });
    world.server_events(address(number)).iter().filter(|(_, event)| renewed(event)).count()
}

fn generation(world: &World, number: u16) -> SidGeneration {
    world.member(member_address(number)).status(world.now).sid_generation.unwrap()
}

/// The key comes at once, with what goes with it everybody comes for it, and nobody misses a packet.
#[test]
fn used_up_sender_ids_begin_anew_under_a_new_key_without_loss() {
    let (mut world, mut watch) = (aged(world(alone(), 6)), Watch::default());
    watch.run(&mut world, 6, Duration::from_secs(1));
    let old = world.view(member_address(1)).outbound.unwrap();
    nearly_used_up(&mut world, alone(), RANGE / 8 - 1);
    watch.run(&mut world, 6, LIFE);
    assert_eq!((renewals(&world, 1), status(&world, 1).sids.generation), (1, 1));
    for number in 1..=6 {
        let view = world.view(member_address(number));
        assert_eq!(generation(&world, number).number, 1, "member {number}");
        assert!(view.sids.iter().all(|sid| sid.0 < 100), "counted from zero: {:?}", view.sids);
        assert_ne!(view.outbound.unwrap().keys, old.keys);
        let expired = |(_, event): &(_, MemberEvent)| matches!(event, MemberEvent::KeysExpired { .. });
        assert!(!world.member_events(member_address(number)).iter().any(expired));
    }
}

/// Who comes while the range ends waits for the new one, and never sends with the old key under a new sender ID.
#[test]
fn a_member_that_comes_during_the_change_sends_with_the_new_key_only() {
    let (mut world, mut watch) = (aged(world(alone(), 3)), Watch::default());
    let old = world.view(member_address(1)).outbound.unwrap();
    nearly_used_up(&mut world, alone(), RANGE / 8 - 1);
    world.run_for(Duration::from_secs(2));
    world.add_member(member_address(4), member(sender(4), 44));
    world.run_for(Duration::from_secs(2));
    let view = world.view(member_address(4));
    assert!(view.registered && view.inbound.iter().any(|sa| sa.keys == old.keys));
    assert_ne!(view.outbound.unwrap().keys, old.keys);
    assert_eq!(world.view(member_address(1)).outbound.unwrap().keys, old.keys, "the others still use it");
    assert!(world.view(member_address(1)).inbound.len() == 2, "and hear the new one");
    watch.run(&mut world, 4, LIFE);
}

#[test]
fn members_are_told_to_wait_when_there_are_none_left() {
    let mut world = aged(world(alone(), 1));
    nearly_used_up(&mut world, alone(), 3);
    world.run_for(Duration::from_secs(60));
    assert_eq!((renewals(&world, 1), generation(&world, 1).number), (1, 1));
}

/// Nobody can be told but at its next registration.
#[test]
fn a_group_without_rekey_messages_begins_anew_with_its_next_key() {
    let config = || {
        let mut config = alone();
        config.groups[0].rekey = None;
        config
    };
    let (mut world, mut watch) = (aged(world(config(), 4)), Watch::default());
    watch.run(&mut world, 4, Duration::from_secs(1));
    nearly_used_up(&mut world, config(), RANGE / 8 - 1);
    watch.run(&mut world, 4, Duration::from_secs(60));
    assert_eq!(renewals(&world, 1), 0);
    watch.run(&mut world, 4, LIFE * 3);
    assert_eq!((renewals(&world, 1), generation(&world, 1).number), (1, 1));
}

#[test]
fn allied_servers_begin_anew_together() {
    let (mut world, mut watch) = (aged(allied(2, 4)), Watch::default());
    watch.run(&mut world, 4, Duration::from_secs(1));
    nearly_used_up(&mut world, per_sender(allied_config(1, 2, LIFE)), RANGE / 8 - 1);
    watch.run(&mut world, 4, LIFE * 2);
    assert_eq!((renewals(&world, 2), status(&world, 1).sids.generation), (1, 1));
    assert!((1..=4).all(|number| generation(&world, number).number == 1));
}

#[test]
fn a_member_may_ask_for_many_and_not_for_more() {
    let mut world = world(alone(), 1);
    for (number, wanted) in [(2, MAX_SIDS), (3, MAX_SIDS + 1)] {
        let config = MemberConfig { sender_ids: wanted, ..member_config(number) };
        world.add_member(member_address(number), member(config, number.into()));
    }
    world.run_for(Duration::from_secs(10));
    assert_eq!(world.view(member_address(2)).sids.len(), 64);
    assert!(!world.view(member_address(3)).registered);
}

#[test]
fn a_member_that_asks_for_none_receives_only() {
    let mut world = world(alone(), 1);
    world.add_member(member_address(2), member(member_config(2), 2));
    world.run_for(LIFE * 2);
    let view = world.view(member_address(2));
    assert!(view.registered && view.outbound.is_none() && !view.inbound.is_empty());
    let registrations = world.member(member_address(2)).registrations();
    assert_eq!(registrations, 1, "rekeys suffice");
}

/// From one key for all to one for each and back: sender IDs are there before they are needed.
#[test]
fn a_group_changes_its_kind_with_the_next_rekey() {
    let shared = || {
        let mut config = alone();
        config.groups[0].transform = "aes-256-cbc/hmac-sha-256".parse().unwrap();
        config.groups[0].replay_window = 0;
        config
    };
    let (mut world, mut watch) = (world(shared(), 3), Watch::default());
    assert!(world.views().iter().all(|view| view.sids.is_empty()));
    let changes = world.reconfigure(server_address(1), alone());
    let told: Vec<_> = changes.iter().map(|change| (change.what, change.effect)).collect();
    let with_keys = Effect::NextRekey;
    assert_eq!(told, [("transform", with_keys), ("sa-ipsec replay-window", with_keys)]);
    for (config, per_sender) in [(None, true), (Some(shared()), false)] {
        if let Some(config) = config {
            world.reconfigure(server_address(1), config);
        }
        command(&mut world, 1, RekeyKind::Forced);
        watch.run(&mut world, 3, Duration::from_secs(90));
        assert!(world.views().iter().all(|view| view.sids.is_empty() != per_sender));
        assert!(world.view(member_address(1)).outbound.unwrap().transform.is_per_sender() == per_sender);
    }
    assert!((1..=3).all(|number| world.member(member_address(number)).registrations() == 1));
}

/// What a receiver must have the same as the sender goes with the key, not with the configuration.
#[test]
fn another_replay_window_comes_with_another_key() {
    let mut world = world(alone(), 2);
    let mut config = alone();
    config.groups[0].replay_window = 0;
    world.reconfigure(server_address(1), config);
    world.add_member(member_address(3), member(sender(3), 3));
    world.run_for(Duration::from_secs(5));
    let windows = |world: &World| -> Vec<_> {
        world.views().iter().map(|view| view.outbound.as_ref().unwrap().replay_window).collect()
    };
    assert_eq!(windows(&world), [1024; 3]);
    command(&mut world, 1, RekeyKind::Forced);
    world.run_for(Duration::from_secs(60));
    assert_eq!(windows(&world), [0; 3]);
}

/// A member may be in both groups, and on one interface.
#[test]
fn groups_of_one_server_have_different_blocks() {
    let mut config = alone();
    for number in 1..=40 {
        let mut other = alone().groups.remove(0);
        other.group = GroupName { name: format!("group{number}"), id: GroupId(number) };
        if number % 2 == 0 {
            other.transform = "aes-256-cbc/hmac-sha-256".parse().unwrap();
            other.replay_window = 0;
        }
        config.groups.push(other);
    }
    let mut world = World::new(1, Link::CALM);
    world.add_server(address(1), server(config, 1, world.now));
    world.run_for(LIFE * 3);
    let groups = world.server(address(1)).status(world.now).groups;
    let teks: Vec<_> = groups.iter().flat_map(|group| group.teks.iter().map(|tek| tek.spi)).collect();
    let blocks: BTreeSet<_> = teks.iter().map(|spi| spi.block()).collect();
    let bases = teks.iter().filter(|spi| spi.is_block_base()).count();
    assert!(teks.len() >= 41 && bases >= 21, "{} {bases}", teks.len());
    let shared: BTreeSet<_> = teks.iter().filter(|spi| !spi.is_block_base()).map(|spi| spi.block()).collect();
    assert_eq!(blocks.len() - shared.len(), bases, "no shared key is in the block of another");
}

/// Its first server is away for a while, and gives what it gave before to whom asks by the same nonce.
#[test]
fn a_member_that_was_with_another_server_is_given_others_by_its_first() {
    let mut world = allied(2, 1);
    let given = |world: &World| {
        let status = world.member(member_address(1)).status(world.now);
        (status.registrations, status.sender_ids)
    };
    let stored = world.crash_server(address(1));
    world.run_for(Duration::from_secs(10));
    world.command(member_address(1), MemberCommand::Register);
    world.run_for(Duration::from_secs(60));
    let mut known: BTreeSet<_> = given(&world).1.into_iter().collect();
    assert_eq!(given(&world).0, 2, "with the second server");
    start_server(&mut world, per_sender(allied_config(1, 2, LIFE)), stored.as_ref(), &mut Seeded::new(3));
    world.run_for(Duration::from_secs(30));
    for registrations in [3, 4] {
        let before = world.member_events(member_address(1)).len();
        world.command(member_address(1), MemberCommand::Register);
        world.run_for(Duration::from_secs(20));
        let events = world.member_events(member_address(1))[before..].iter();
        let failed: Vec<_> = events.filter(|(_, event)| event.name() == "GM_REGS_FAILED").collect();
        assert!(failed.is_empty(), "{failed:?}");
        assert_eq!(given(&world).0, registrations);
        let fresh = given(&world).1.into_iter().filter(|sid| known.insert(*sid)).count();
        assert_eq!(fresh, if registrations == 3 { 2 } else { 0 }, "others once, and then the same");
    }
}
