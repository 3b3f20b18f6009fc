//! Random schedules of what can happen to cooperating key servers: crashes, restarts, split networks, loss, clocks that
//! differ, priorities that change, configurations that name other servers, registrations, forced rekeys, removals,
//! resignations. Whatever happened, afterwards
//! there is one primary, all servers know the same, and all members hear each other; at no time is a sequence number
//! used twice or a key used that was not stored.
//!
//! A failing seed is printed; `GDOI_SEED=N cargo test -p gdoi --test exchanges schedules` replays it. 60 schedules in
//! every run, `GDOI_SCHEDULES=10000 cargo test --release -p gdoi --test exchanges schedules` for more.

mod checks;
mod deafness;
mod sender_ids;

use crate::bench::alliance::{address, allied_config, allied_member, primaries, start_server, start_with};
use crate::bench::fleet::{member, member_address};
use crate::bench::random::Seeded;
use crate::bench::stored::{with_sids_given, Stored, StoredKek};
use crate::bench::{Archive, Link, World};
use deafness::Deafness;
use gdoi::coop::Redundancy;
use gdoi::crypto::Secret;
use gdoi::wire::ExchangeType;
use gdoi::{
    KeyServerCommand, KeyServerConfig, MemberCommand, MemberEvent, RekeyKind, Removal, Transmit, Which,
};
use sender_ids::SenderIds;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

const LIFE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);

/// After so long without a change the servers have sorted themselves out: silence, election, links, hold-down.
const SETTLED: Duration = Duration::from_secs(45);

/// What was ever sent under each number of each KEK.
type Sent = Rc<RefCell<BTreeMap<([u8; 16], u32), Vec<u8>>>>;

struct Schedule {
    seed: u64,
    random: Seeded,
    world: World,
    servers: u8,
    members: u16,
    /// Where it differs from the first one.
    configs: BTreeMap<u8, Option<Redundancy>>,
    stored: BTreeMap<u8, Secret>,
    sent: Sent,
    sids: SenderIds,
    deafness: Deafness,
    /// Who was removed and may not come back yet.
    removed: BTreeSet<u16>,
    log: Vec<String>,
}

impl Schedule {
    fn new(seed: u64) -> Self {
        let mut random = Seeded::new(seed);
        let (servers, members) = (2 + random.below(7) as u8, 2 + random.below(3) as u16);
        let mut world = World::new(seed, if random.percent(50) { Link::CALM } else { Link::RAIN });
        world.archive = Archive::Nothing;
        for number in 1..=servers {
            world.set_skew(address(number), SECOND * random.below(7200) as u32);
        }
        start_with(&mut world, servers, members, |number| config(seed, number, servers));
        let stored = BTreeMap::new();
        let sent = Sent::default();
        let configs = BTreeMap::new();
        let log = vec![format!("{servers} servers, {members} members")];
        let mut schedule = Schedule {
            seed,
            random,
            world,
            servers,
            members,
            configs,
            stored,
            sent,
            sids: SenderIds::default(),
            deafness: Deafness::default(),
            removed: BTreeSet::new(),
            log,
        };
        (1..=servers).for_each(|number| schedule.watch(number));
        schedule
    }

    fn note(&mut self, text: String) {
        self.log.push(format!("{:>7.1} {text}", (self.world.now.as_millis() - 1_000_000) as f64 / 1000.0));
    }

    fn config(&self, number: u8) -> KeyServerConfig {
        let mut config = config(self.seed, number, self.servers);
        if let Some(changed) = self.configs.get(&number) {
            config.groups[0].redundancy.clone_from(changed);
        }
        config
    }

    /// Whether all servers name all others.
    fn is_whole(&self) -> bool {
        let names =
            |number| self.config(number).groups[0].redundancy.as_ref().map_or(0, |rules| rules.peers.len());
        (1..=self.servers).all(|number| names(number) + 1 == usize::from(self.servers))
    }

    /// Every rekey message of a server is looked at.
    fn watch(&mut self, number: u8) {
        let (sent, seed) = (self.sent.clone(), self.seed);
        let mut keks = BTreeMap::<[u8; 16], StoredKek>::new();
        let witness = move |transmit: &Transmit, stored: Option<&Secret>| {
            let exchange = transmit.payload.get(18).copied().map(ExchangeType);
            if !matches!(exchange, Some(ExchangeType::GROUPKEY_PUSH | ExchangeType::COOP)) {
                return;
            }
            let Some(stored) = stored.map(Stored::read) else { return };
            keks.extend(stored.keks.iter().map(|kek| (kek.spi, kek.clone())));
            if exchange != Some(ExchangeType::GROUPKEY_PUSH) {
                return;
            }
            let kek = keks.iter().find(|(spi, _)| transmit.payload.starts_with(&spi[..]));
            let (_, kek) = kek.unwrap_or_else(|| panic!("seed {seed}: server {number}: the KEK was stored"));
            let push = kek.open(&transmit.payload);
            assert!(
                push.sequence <= kek.sequence,
                "seed {seed}: server {number}: number {} is stored, not {}",
                push.sequence,
                kek.sequence
            );
            let old = sent.borrow_mut().insert((kek.spi, push.sequence), transmit.payload.clone());
            assert!(
                old.is_none_or(|old| old == transmit.payload),
                "seed {seed}: number {} twice under one KEK",
                push.sequence
            );
        };
        self.world.watch_server(address(number), Box::new(witness));
    }

    fn run(&mut self) {
        for _ in 0..4 + self.random.below(12) {
            self.something_happens();
            let pause = if self.random.percent(15) { 60 } else { 1 + self.random.below(20) };
            self.pass(SECOND * pause as u32);
            if pause == 60 && self.is_whole() {
                self.check_parts();
            }
        }
        self.calm_down();
        self.check_parts();
        self.check_all();
        self.check_deafness();
    }

    /// Nobody talks more than there is to say.
    fn pass(&mut self, span: Duration) {
        let end = self.world.now + span;
        while self.world.now < end {
            let before = self.world.launched();
            let second = self.world.now + SECOND;
            while self.world.step(second) {
                if !self.world.changed.is_empty() {
                    self.follow_deafness();
                }
                self.follow_sender_ids();
                let most = 60 * u64::from(self.servers) * u64::from(self.servers) + 500;
                assert!(self.world.launched() - before < most, "a storm of messages");
            }
            self.follow_deafness();
        }
    }

    fn some_server(&mut self) -> u8 {
        1 + self.random.below(u64::from(self.servers)) as u8
    }

    fn something_happens(&mut self) {
        let number = self.some_server();
        let runs = self.world.has_server(address(number));
        match self.random.below(10) {
            0 | 1 if runs => self.crash(number),
            0..=3 if !runs => self.restart(number),
            2 | 3 => self.split(),
            4 => self.heal(),
            5 if runs => self.change_priority(number),
            6 => self.register(),
            7 => self.command(RekeyKind::Forced),
            8 if runs => self.resign(number),
            9 if runs => self.rarely(number),
            _ => {}
        }
    }

    fn crash(&mut self, number: u8) {
        self.note(format!("server {number} crashes"));
        self.disturb();
        if let Some(stored) = self.world.crash_server(address(number)) {
            self.stored.insert(number, stored);
        }
    }

    fn restart(&mut self, number: u8) {
        self.disturb();
        let forgets = self.random.percent(10);
        self.note(format!("server {number} starts{}", if forgets { " without its state" } else { "" }));
        let stored = self.stored.remove(&number).filter(|_| !forgets);
        let generous = self.random.percent(20);
        let stored = stored.map(|stored| if generous { self.use_up(number, &stored) } else { stored });
        if stored.is_none() {
            let skew = SECOND * self.random.below(7200) as u32;
            self.world.set_skew(address(number), skew);
        }
        let config = self.config(number);
        start_server(&mut self.world, config, stored.as_ref(), &mut self.random);
        self.watch(number);
    }

    /// As if it had given out nearly all sender IDs that it has.
    fn use_up(&mut self, number: u8, stored: &Secret) -> Secret {
        self.note(format!("server {number} has hardly any sender IDs left"));
        with_sids_given(stored, usize::from(number) - 1, (1 << 17) - 20)
    }

    fn split(&mut self) {
        let parts = 2 + self.random.below(2);
        let servers = (1..=self.servers).map(|number| address(number).ip());
        let members = (1..=self.members).map(|number| member_address(number).ip());
        let hosts: Vec<_> = servers.chain(members).collect();
        let sides: Vec<_> = hosts.into_iter().map(|host| (host, self.random.below(parts) as u8)).collect();
        self.note(format!(
            "the network splits {:?}",
            sides.iter().map(|(_, side)| *side).collect::<Vec<_>>()
        ));
        self.world.split(sides);
        self.disturb();
        // The servers of another part may know nothing of the keys that a member brings.
        (1..=self.members).for_each(|number| self.puts_outside(number));
    }

    fn heal(&mut self) {
        self.note("the network is one".into());
        self.world.heal();
        self.disturb();
    }

    fn change_priority(&mut self, number: u8) {
        let mut config = self.config(number);
        let priority = 1 + self.random.below(200) as u8;
        self.note(format!("server {number} gets priority {priority}"));
        config.groups[0].redundancy.iter_mut().for_each(|rules| rules.priority = priority);
        self.reload(number, config.groups[0].redundancy.take());
    }

    fn reload(&mut self, number: u8, redundancy: Option<Redundancy>) {
        self.configs.insert(number, redundancy);
        self.disturb();
        let config = self.config(number);
        self.world.reconfigure(address(number), config);
    }

    /// One server's file names fewer servers than the others', or all again.
    fn name_others(&mut self, number: u8) {
        let mut rules = self.whole_rules(number);
        match self.random.below(10) {
            0 => rules.peers.clear(),
            1..=6 => {
                let other = self.random.below(rules.peers.len() as u64) as usize;
                rules.peers.remove(other);
            }
            _ => {}
        }
        self.note(format!("server {number} names {:?}", rules.peers));
        let rules = Some(rules).filter(|rules| !rules.peers.is_empty());
        self.reload(number, rules);
    }

    fn whole_rules(&self, number: u8) -> Redundancy {
        config(self.seed, number, self.servers).groups[0].redundancy.clone().unwrap()
    }

    fn register(&mut self) {
        if self.random.percent(25) {
            return self.restart_member();
        }
        match self.random.percent(50) && self.members < 6 {
            true => {
                self.members += 1;
                let (number, first) = (self.members, self.some_server());
                self.note(format!("member {number} comes"));
                let config = allied_member(number, first, self.servers);
                self.world.add_member(member_address(number), member(config, self.random.draw()));
            }
            false => {
                let number = 1 + self.random.below(u64::from(self.members)) as u16;
                self.note(format!("member {number} registers again"));
                self.world.command(member_address(number), MemberCommand::Register);
            }
        }
    }

    /// Without memory: who it was before is nobody any more.
    fn restart_member(&mut self) {
        let number = 1 + self.random.below(u64::from(self.members)) as u16;
        self.puts_outside(number);
        self.note(format!("member {number} starts anew"));
        self.sids.member_began_anew(number);
        let config = allied_member(number, self.some_server(), self.servers);
        self.world.add_member(member_address(number), member(config, self.random.draw()));
    }

    fn command(&mut self, kind: RekeyKind) {
        for number in primaries(&self.world, self.servers) {
            self.note(format!("server {number} rekeys: {kind:?}"));
            let group = self.world.server(address(number)).status(self.world.now).groups[0].group.id;
            let _ = self.world.ask_server(address(number), KeyServerCommand::Rekey(group.into(), kind));
        }
    }

    fn resign(&mut self, number: u8) {
        self.note(format!("server {number} resigns"));
        let group = self.world.server(address(number)).status(self.world.now).groups[0].group.id;
        let _ = self.world.ask_server(address(number), KeyServerCommand::Resign(group.into()));
    }

    fn rarely(&mut self, number: u8) {
        match self.random.below(7) {
            0 => self.command(RekeyKind::ReplaceNow),
            1 => self.send_away(),
            2 => self.remove(),
            3 => self.readmit_all(),
            4 => self.rekey_often(),
            _ => self.name_others(number),
        }
    }

    /// At random moments, close together.
    fn rekey_often(&mut self) {
        for _ in 0..2 + self.random.below(3) {
            self.command(RekeyKind::Forced);
            let pause = Duration::from_millis(self.random.below(3_000));
            self.pass(pause);
        }
    }

    /// One member, which must not come back.
    fn remove(&mut self) {
        let number = 1 + self.random.below(u64::from(self.members)) as u16;
        let removal = if self.random.percent(50) { Removal::Graceful } else { Removal::Now };
        for server in primaries(&self.world, self.servers) {
            self.note(format!("server {server} removes member {number}: {removal:?}"));
            let command = KeyServerCommand::Remove(Which::All, Some(member_address(number).ip()), removal);
            if self.world.ask_server(address(server), command).is_ok() {
                self.removed.insert(number);
                self.puts_outside(number);
            }
        }
    }

    fn readmit_all(&mut self) {
        for number in std::mem::take(&mut self.removed) {
            for server in primaries(&self.world, self.servers) {
                let command = KeyServerCommand::Readmit(Which::All, member_address(number).ip());
                let readmitted = self.world.ask_server(address(server), command).is_ok();
                self.note(format!("server {server} readmits member {number}: {readmitted}"));
            }
        }
    }

    fn send_away(&mut self) {
        for number in primaries(&self.world, self.servers) {
            self.note(format!("server {number} sends all members away"));
            let group = self.world.server(address(number)).status(self.world.now).groups[0].group.id;
            self.world.command_server(
                address(number),
                KeyServerCommand::Remove(group.into(), None, Removal::Graceful),
            );
        }
    }

    /// All servers run, nothing is lost, and there is time enough.
    fn calm_down(&mut self) {
        self.heal();
        self.world.link = Link::CALM;
        for number in 1..=self.servers {
            if !self.world.has_server(address(number)) {
                self.restart(number);
            }
            if self.config(number).groups[0]
                .redundancy
                .as_ref()
                .is_none_or(|rules| rules.peers.len() + 1 < usize::from(self.servers))
            {
                let rules = self.whole_rules(number);
                self.reload(number, Some(rules));
            }
        }
        self.pass(SETTLED);
        for number in 1..=self.members {
            self.removed.insert(number);
        }
        self.readmit_all();
        self.pass(LIFE * 2);
        self.note("calm".into());
    }
}

/// Half of the groups give every sender its own key.
fn config(seed: u64, number: u8, servers: u8) -> KeyServerConfig {
    let mut config = allied_config(number, servers, LIFE);
    if seed % 2 == 0 {
        config.groups[0].transform = "aes-256-gcm".parse().unwrap();
        config.groups[0].replay_window = 1024;
    }
    config
}

impl Schedule {
    /// What servers and members said, for whoever replays a seed.
    fn tell_events(&self) {
        for number in (1..=self.servers).filter(|number| self.world.has_server(address(*number))) {
            let skew = self.world.clock_of(address(number)).saturating_since(self.world.now);
            for (at, event) in self.world.server_events(address(number)) {
                let at = at.before(skew).as_millis() as f64 / 1000.0 - 1000.0;
                println!("server {number} {at:>8.2} {}: {event}", event.name());
            }
        }
        for number in 1..=self.members {
            for (at, event) in self.world.member_events(member_address(number)) {
                let at = at.as_millis() as f64 / 1000.0 - 1000.0;
                match event {
                    MemberEvent::ViewChanged(view) => {
                        let held: Vec<_> = view.inbound.iter().map(|sa| sa.spi).collect();
                        let sent = view.outbound.as_ref().map(|sa| sa.spi);
                        println!("member {number} {at:>8.2} holds {held:?}, sends with {sent:?}");
                    }
                    event => println!("member {number} {at:>8.2} {}: {event}", event.name()),
                }
            }
        }
    }
}

fn run(seed: u64) -> bool {
    let mut schedule = Schedule::new(seed);
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| schedule.run()));
    if result.is_err() {
        println!("seed {seed}:\n  {}", schedule.log.join("\n  "));
        if std::env::var_os("GDOI_SEED").is_some() {
            schedule.tell_events();
        }
    }
    result.is_ok()
}

fn number_of(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn whatever_happens_servers_and_members_find_together_again() {
    let first = number_of("GDOI_SEED");
    let count = first.map_or(number_of("GDOI_SCHEDULES").unwrap_or(60), |_| 1);
    let begin = first.or(number_of("GDOI_FIRST_SEED")).unwrap_or(1);
    let failed: Vec<_> = (begin..begin + count).filter(|seed| !run(*seed)).collect();
    println!("{count} schedules from seed {begin}: {} failed {failed:?}", failed.len());
    assert!(failed.is_empty(), "failing seeds: {failed:?}");
}
