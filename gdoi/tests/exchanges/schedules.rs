//! Random schedules of what can happen to cooperating key servers: crashes, restarts, split networks, loss, clocks that
//! differ, priorities that change, configurations that name other servers, registrations, forced rekeys, removals,
//! resignations, groups that go and come back beside one that stays, hostile members. Whatever happened, afterwards there
//! is one primary, all servers know the same, and all members hear each other; at no time is a sequence number or a sender
//! ID used twice or a key used that was not stored, no member registers more often than it may, and none that can reach a
//! server of its group lacks for long what another one sends with.
//!
//! A failing seed is printed; `GDOI_SEED=N cargo test -p gdoi --test exchanges schedules` replays it. 60 schedules in
//! every run, `GDOI_SCHEDULES=10000 cargo test --release -p gdoi --test exchanges schedules` for more.

mod checks;
mod deafness;
mod events;
mod groups;
mod hostile;
mod sender_ids;
mod telling;
mod witness;

use crate::bench::alliance::{address, start_with};
use crate::bench::random::Seeded;
use crate::bench::{Archive, Link, World};
use deafness::Deafness;
use gdoi::coop::Redundancy;
use gdoi::crypto::Secret;
use sender_ids::SenderIds;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use witness::Sent;

const LIFE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);

/// After so long without a change the servers have sorted themselves out: silence, election, links, hold-down.
const SETTLED: Duration = Duration::from_secs(45);

struct Schedule {
    seed: u64,
    random: Seeded,
    world: World,
    servers: u8,
    members: u16,
    /// Where it differs from the first one.
    configs: BTreeMap<u8, Option<Redundancy>>,
    /// Servers whose files do not have the group.
    left_out: BTreeSet<u8>,
    stored: BTreeMap<u8, Secret>,
    sent: Sent,
    sids: SenderIds,
    deafness: Deafness,
    /// Who was removed and may not come back yet.
    removed: BTreeSet<u16>,
    /// Whether servers may believe that members have what they do not have.
    acknowledged_for_others: bool,
    log: Vec<String>,
}

impl Schedule {
    fn new(seed: u64) -> Self {
        let mut random = Seeded::new(seed);
        let (servers, members) = (2 + random.below(7) as u8, 2 + random.below(3) as u16);
        let mut world = World::new(seed, if random.percent(50) { Link::CALM } else { Link::RAIN });
        world.archive = Archive::Lately;
        for number in 1..=servers {
            world.set_skew(address(number), SECOND * random.below(7200) as u32);
        }
        start_with(&mut world, servers, members, |number| groups::file(seed, number, servers));
        let log = vec![format!("{servers} servers, {members} members")];
        let mut schedule = Schedule {
            seed,
            random,
            world,
            servers,
            members,
            configs: BTreeMap::new(),
            left_out: BTreeSet::new(),
            stored: BTreeMap::new(),
            sent: Sent::default(),
            sids: SenderIds::default(),
            deafness: Deafness::default(),
            removed: BTreeSet::new(),
            acknowledged_for_others: false,
            log,
        };
        (1..=servers).for_each(|number| schedule.watch(number));
        schedule.start_members_beside();
        schedule
    }

    fn note(&mut self, text: String) {
        self.log.push(format!("{:>7.1} {text}", (self.world.now.as_millis() - 1_000_000) as f64 / 1000.0));
    }

    /// Whether all servers name all others.
    fn is_whole(&self) -> bool {
        let names = |number| self.rules(number).map_or(0, |rules| rules.peers.len());
        (1..=self.servers).all(|number| names(number) + 1 == usize::from(self.servers))
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
            let second = end.min(self.world.now + SECOND);
            while self.world.step(second) {
                if !self.world.changed.is_empty() {
                    self.follow_deafness();
                }
                self.follow_sender_ids();
                let most = 60 * u64::from(self.servers) * u64::from(self.servers) + 500;
                assert!(self.world.launched() - before < most, "a storm of messages");
            }
            self.follow_deafness();
            self.look_at_traffic();
        }
    }

    /// All servers run, nothing is lost, and there is time enough.
    fn calm_down(&mut self) {
        self.heal();
        self.world.link = Link::CALM;
        self.take_in_again();
        for number in 1..=self.servers {
            if !self.world.has_server(address(number)) {
                self.restart(number);
            }
            if self.rules(number).is_none_or(|rules| rules.peers.len() + 1 < usize::from(self.servers)) {
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
