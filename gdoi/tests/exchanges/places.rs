//! What the servers of a group share without overlap (sender IDs, blocks of SPIs, numbers of rekey messages) does not
//! depend on what their files say.

use crate::bench::alliance::{address, allied_config, allied_member, start_server};
use crate::bench::fleet::{member, member_address, rekey_config, server_address, server_config};
use crate::bench::random::Seeded;
use crate::bench::stored::Stored;
use crate::bench::{Archive, Link, World};
use gdoi::coop::Redundancy;
use gdoi::crypto::Secret;
use gdoi::policy::{GroupId, SenderKey, Sid, SidGeneration, Spi};
use gdoi::wire::ExchangeType;
use gdoi::{KeyServerCommand, KeyServerConfig, MemberCommand, MemberEvent, RekeyKind, SenderSa, Transmit};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

const LIFE: Duration = Duration::from_secs(3600);
const SECOND: Duration = Duration::from_secs(1);
const SERVERS: u8 = 3;

/// Server `number`, whose file names these others.
fn config(number: u8, others: &[u8]) -> KeyServerConfig {
    let mut config = allied_config(number, SERVERS, LIFE);
    config.groups[0].transform = "aes-256-gcm".parse().unwrap();
    config.groups[0].replay_window = 1024;
    let peers: Vec<_> = others.iter().map(|other| server_address(*other).ip()).collect();
    let rules = config.groups[0].redundancy.take().unwrap();
    config.groups[0].redundancy = (!peers.is_empty()).then_some(Redundancy { peers, ..rules });
    config
}

/// A member that knows only this server.
fn add_member(world: &mut World, number: u16, server: u8) {
    let config = allied_member(number, server, SERVERS);
    let servers = config.servers[..1].to_vec();
    let config = gdoi::MemberConfig { servers, ..config };
    world.add_member(member_address(number), member(config, u64::from(number) + 100));
}

type Names = BTreeMap<(SidGeneration, Sid), u16>;

/// Nobody has what another had.
fn look(world: &World, members: u16, names: &mut Names) {
    for number in 1..=members {
        let status = world.member(member_address(number)).status(world.now);
        for sid in status.sender_ids {
            let other = *names.entry((status.sid_generation.unwrap(), sid)).or_insert(number);
            assert_eq!(other, number, "{sid} of member {number} is member {other}'s");
        }
    }
}

#[test]
fn a_rolling_reload_of_peers_gives_no_sender_id_twice() {
    for order in [[1, 2, 3], [3, 2, 1], [2, 3, 1], [1, 3, 2], [2, 1, 3], [3, 1, 2]] {
        let mut world = World::new(1, Link::CALM);
        let (mut random, mut names, mut members) = (Seeded::new(7), Names::new(), 0);
        for (number, other) in [(2, 3), (3, 2)] {
            start_server(&mut world, config(number, &[other]), None, &mut random);
        }
        let mut registers = |world: &mut World| {
            let running: Vec<_> = (1..=SERVERS).filter(|number| world.has_server(address(*number))).collect();
            for server in running {
                members += 1;
                add_member(world, members, server);
            }
            world.run_for(SECOND * 3);
            look(world, members, &mut names);
        };
        world.run_for(SECOND * 20);
        registers(&mut world);
        for number in order {
            let others: Vec<_> = (1..=SERVERS).filter(|other| *other != number).collect();
            match number {
                1 => start_server(&mut world, config(1, &others), None, &mut random),
                _ => drop(world.reconfigure(address(number), config(number, &others))),
            }
            registers(&mut world);
            world.run_for(SECOND * 20);
            registers(&mut world);
        }
        registers(&mut world);
        // Who was put off asks again after a minute.
        world.run_for(SECOND * 120);
        for number in 1..=members {
            let view = world.view(member_address(number));
            if view.sids.len() != 2 {
                for (at, event) in world.member_events(member_address(number)) {
                    println!("{at:?} {event}");
                }
                for server in 1..=3 {
                    for (at, event) in world.server_events(address(server)) {
                        println!("server {server} {at:?} {event}");
                    }
                    println!("{:?}", world.server(address(server)).status(world.now).groups[0].sids);
                }
            }
            assert_eq!(view.sids.len(), 2, "{order:?}: member {number} can send");
        }
    }
}

/// What was sent under each number of each KEK.
type Sent = Rc<RefCell<BTreeMap<([u8; 16], u32), Vec<u8>>>>;

fn watch(world: &mut World, number: u8, sent: &Sent) {
    let sent = sent.clone();
    let witness = move |transmit: &Transmit, stored: Option<&Secret>| {
        let push = transmit.payload.get(18) == Some(&ExchangeType::GROUPKEY_PUSH.0);
        let Some(stored) = stored.filter(|_| push).map(Stored::read) else { return };
        let Some(kek) = stored.kek_of(&transmit.payload) else { return };
        let number = kek.open(&transmit.payload).sequence;
        let old = sent.borrow_mut().insert((kek.spi, number), transmit.payload.clone());
        assert!(old.is_none_or(|old| old == transmit.payload), "number {number} twice under one KEK");
    };
    world.watch_server(address(number), Box::new(witness));
}

/// A server that is told that it is alone may be wrong.
#[test]
fn taking_redundancy_off_gives_no_number_twice_under_one_kek() {
    let mut world = World::new(1, Link::CALM);
    world.archive = Archive::Nothing;
    let (mut random, sent) = (Seeded::new(7), Sent::default());
    for (number, other) in [(1, 2), (2, 1)] {
        start_server(&mut world, config(number, &[other]), None, &mut random);
        watch(&mut world, number, &sent);
        add_member(&mut world, number.into(), number);
    }
    world.run_for(SECOND * 20);
    // A KEK that both have from its first message on.
    let group = world.server(address(2)).status(world.now).groups[0].group.id;
    world.command_server(address(2), KeyServerCommand::Rekey(group.into(), RekeyKind::Forced));
    world.run_for(SECOND * 20);
    for number in [1, 2] {
        world.reconfigure(address(number), config(number, &[]));
    }
    for _ in 0..5 {
        for number in [1, 2] {
            let group = world.server(address(number)).status(world.now).groups[0].group.id;
            let reminder = KeyServerCommand::Rekey(group.into(), RekeyKind::Reminder);
            world.command_server(address(number), reminder);
            world.run_for(SECOND * 10);
        }
    }
    assert!(sent.borrow().len() >= 8, "{}", sent.borrow().len());
}

#[test]
fn a_server_that_lost_its_state_repeats_no_sender_id() {
    let mut world = World::new(1, Link::CALM);
    let (mut random, mut names) = (Seeded::new(7), Names::new());
    for (number, other) in [(1, 2), (2, 1)] {
        start_server(&mut world, config(number, &[other]), None, &mut random);
        add_member(&mut world, number.into(), number);
    }
    world.run_for(SECOND * 20);
    look(&world, 2, &mut names);
    for life in 0..12 {
        // What it gives out now nobody else hears of before it is gone.
        world.split([(address(1).ip(), 1), (member_address(1).ip(), 1)]);
        (0..3).for_each(|number| add_member(&mut world, 10 + life * 3 + number, 1));
        world.split([(address(2).ip(), 2), (member_address(2).ip(), 2)]);
        world.run_for(SECOND);
        look(&world, 2, &mut names);
        world.crash_server(address(1));
        world.heal();
        start_server(&mut world, config(1, &[2]), None, &mut random);
        world.run_for(SECOND * 60);
        for number in [1, 2].into_iter().chain(10..13 + life * 3) {
            let status = world.member(member_address(number)).status(world.now);
            for sid in status.sender_ids {
                let other = *names.entry((status.sid_generation.unwrap(), sid)).or_insert(number);
                assert_eq!(other, number, "life {life}: {sid} of member {number} is member {other}'s");
            }
        }
    }
}

/// The role goes back and forth, and with it who may grant: all are granted places without a new generation.
#[test]
fn whoever_leads_grants_places() {
    let mut world = World::new(1, Link::CALM);
    let mut random = Seeded::new(7);
    for (number, other) in [(2, 3), (3, 2)] {
        start_server(&mut world, config(number, &[other]), None, &mut random);
    }
    world.run_for(SECOND * 20);
    let group = world.server(address(3)).status(world.now).groups[0].group.id;
    world.command_server(address(3), KeyServerCommand::Resign(group.into()));
    world.run_for(SECOND * 20);
    for number in [2, 3] {
        let others: Vec<_> = (1..=SERVERS).filter(|other| *other != number).collect();
        world.reconfigure(address(number), config(number, &others));
    }
    start_server(&mut world, config(1, &[2, 3]), None, &mut random);
    world.run_for(SECOND * 20);
    add_member(&mut world, 1, 1);
    world.run_for(SECOND * 5);
    let status = world.member(member_address(1)).status(world.now);
    assert_eq!(
        (status.sender_ids, status.sid_generation.map(|name| name.number)),
        (vec![Sid(2 << 17), Sid((2 << 17) + 1)], Some(0))
    );
}

fn alone() -> KeyServerConfig {
    let mut config = server_config(1);
    config.groups[0].transform = "aes-256-gcm".parse().unwrap();
    config.groups[0].replay_window = 1024;
    config.groups[0].rekey = Some(rekey_config());
    config.groups[0].tek_lifetime = LIFE;
    config
}

fn sids(world: &World, number: u16) -> Vec<Sid> {
    world.member(member_address(number)).status(world.now).sender_ids
}

#[test]
fn a_member_that_still_has_its_states_gets_the_same_sender_ids_again() {
    let mut world = World::new(1, Link::CALM);
    start_server(&mut world, alone(), None, &mut Seeded::new(7));
    add_member(&mut world, 1, 1);
    world.run_for(SECOND * 5);
    let (before, view) = (sids(&world, 1), world.view(member_address(1)));
    for _ in 0..5 {
        world.command(member_address(1), MemberCommand::Register);
        world.run_for(SECOND * 10);
    }
    assert_eq!((sids(&world, 1), world.view(member_address(1))), (before.clone(), view));
    assert_eq!(world.server(address(1)).status(world.now).groups[0].sids.given, 2);
    world.command(member_address(1), MemberCommand::RenewSenderIds);
    world.run_for(SECOND * 10);
    assert!(sids(&world, 1).iter().all(|sid| !before.contains(sid)), "its states are lost");
    let stored = world.crash_server(address(1));
    let before = sids(&world, 1);
    start_server(&mut world, alone(), stored.as_ref(), &mut Seeded::new(8));
    world.command(member_address(1), MemberCommand::Register);
    world.run_for(SECOND * 10);
    assert_eq!(sids(&world, 1), before, "the server remembers it over a restart");
}

/// A member that asks and asks gets what a member may need, and the others notice nothing of it.
#[test]
fn an_insider_cannot_use_up_the_sender_ids() {
    let mut world = World::new(1, Link::CALM);
    world.archive = Archive::Nothing;
    start_server(&mut world, alone(), None, &mut Seeded::new(7));
    (1..=3).for_each(|number| add_member(&mut world, number, 1));
    world.run_for(SECOND * 5);
    let (views, mut all) = (world.views(), BTreeSet::new());
    for life in 0..600 {
        let config = gdoi::MemberConfig { sender_ids: 64, ..allied_member(9, 1, 1) };
        world.add_member(member_address(9), member(config, 1_000 + life));
        world.run_for(SECOND / 2);
        all.extend(sids(&world, 9));
    }
    assert!(all.len() <= 1024, "{} of one member", all.len());
    assert_eq!(world.server(address(1)).status(world.now).groups[0].sids.generation, 0);
    for (number, view) in (1..=3).zip(views) {
        assert_eq!(world.view(member_address(number)), view, "member {number} notices nothing");
        let registered = |(_, event): &&(_, MemberEvent)| matches!(event, MemberEvent::Registered { .. });
        assert_eq!(world.member_events(member_address(number)).iter().filter(registered).count(), 1);
    }
}

/// A member in one of its lives.
type Life = (u16, u64);

/// Two servers, three groups, and six members: two in each group.
struct Neighbours {
    world: World,
    random: Seeded,
    stored: BTreeMap<u8, Secret>,
    lives: BTreeMap<u16, u64>,
    /// Who sent under which SPI with which key.
    senders: BTreeMap<Spi, Vec<(SenderKey, Life)>>,
}

impl Neighbours {
    fn config(number: u8, groups: &[u32]) -> KeyServerConfig {
        let group = |id: &u32| {
            let mut config = config(number, &[3 - number]);
            let mut group = config.groups.remove(0);
            group.group = gdoi::GroupName { name: format!("group-{id}"), id: GroupId(*id) };
            group
        };
        KeyServerConfig { groups: groups.iter().map(group).collect(), ..config(number, &[3 - number]) }
    }

    fn new(seed: u64) -> Self {
        let (world, random) = (World::new(seed, Link::RAIN), Seeded::new(seed));
        let (stored, lives, senders) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut neighbours = Neighbours { world, random, stored, lives, senders };
        (1..=2).for_each(|number| neighbours.start(number));
        (1..=6).for_each(|number| neighbours.join(number));
        neighbours
    }

    fn start(&mut self, number: u8) {
        let stored = self.stored.remove(&number);
        let config = Self::config(number, &[1, 2, 3]);
        start_server(&mut self.world, config, stored.as_ref(), &mut self.random);
    }

    fn join(&mut self, number: u16) {
        *self.lives.entry(number).or_default() += 1;
        let mut config = allied_member(number, 1 + (number % 2) as u8, 2);
        let id = u32::from(number) % 3 + 1;
        config.group = gdoi::GroupName { name: format!("group-{id}"), id: GroupId(id) };
        self.world.add_member(member_address(number), member(config, self.random.draw()));
    }

    fn something_happens(&mut self) {
        let server = 1 + self.random.below(2) as u8;
        let number = 1 + self.random.below(6) as u16;
        match self.random.below(8) {
            0 | 1 => {
                let stored = self.world.crash_server(address(server));
                let forgets = self.random.percent(30);
                stored.filter(|_| !forgets).map(|stored| self.stored.insert(server, stored));
                self.start(server);
            }
            2 => {
                for groups in [&[1, 2][..], &[1, 2, 3]] {
                    self.world.reconfigure(address(server), Self::config(server, groups));
                    let pause = SECOND * self.random.below(20) as u32;
                    self.pass(pause);
                }
            }
            3 => self.join(number),
            4 => self.world.command(member_address(number), MemberCommand::RenewSenderIds),
            5 => self.world.split([(address(1).ip(), 1), (member_address(1).ip(), 1)]),
            6 => self.world.heal(),
            _ => {
                let rekey = KeyServerCommand::Rekey(GroupId(number.into()).into(), RekeyKind::Forced);
                let _ = self.world.ask_server(address(server), rekey);
            }
        }
    }

    fn pass(&mut self, span: Duration) {
        let end = self.world.now + span;
        while self.world.step(end) {
            for changed in std::mem::take(&mut self.world.changed) {
                let number = (1..=6).find(|number| member_address(*number) == changed).unwrap();
                let view = self.world.view(changed);
                let Some(sa) = view.outbound else { continue };
                for SenderSa { spi, key } in view.sids.iter().filter_map(|sid| sa.sender(*sid)) {
                    let (life, senders) =
                        ((number, self.lives[&number]), self.senders.entry(spi).or_default());
                    let known = senders.iter().find(|(known, _)| *known == key).map(|(_, life)| *life);
                    assert!(known.is_none_or(|known| known == life), "{spi} of {life:?} was {known:?}'s");
                    senders.push((key, life));
                }
            }
        }
    }
}

/// Groups, generations, servers, restarts with and without memory, groups that are removed and come back: a key with an
/// SPI is always one life's of one member.
#[test]
fn no_two_senders_ever_share_a_key() {
    let seeds: Vec<_> =
        std::env::var("GDOI_SEED").map_or((1..=12).collect(), |seed| vec![seed.parse().unwrap()]);
    for seed in seeds {
        let mut neighbours = Neighbours::new(seed);
        neighbours.pass(SECOND * 30);
        for _ in 0..40 {
            neighbours.something_happens();
            let pause = SECOND * neighbours.random.below(30) as u32;
            neighbours.pass(pause);
        }
        assert!(neighbours.senders.len() >= 12, "seed {seed}: {}", neighbours.senders.len());
    }
}
