//! A game: operators rekey, remove and reload, servers restart, members lose their link, and somebody who reads the network brings
//! old rekey messages again. Whatever they do, nobody has nothing to send with or cannot read what others send for long,
//! and no packet is counted twice.
//!
//! A failing seed is printed with what happened; `GDOI_SEED=N cargo test -p gdoi --test exchanges bad_moments` replays it, and
//! `GDOI_SCHEDULES=1000` plays more than the usual number.

use crate::bench::alliance::{address, allied_config, start_server, start_with};
use crate::bench::counting::Counting;
use crate::bench::fleet::{group, member_address};
use crate::bench::random::Seeded;
use crate::bench::{Link, World};
use gdoi::policy::Spi;
use gdoi::wire::ExchangeType;
use gdoi::{Instant, KeyServerCommand, KeyServerConfig, MemberCommand, RekeyKind, Removal, View};
use std::collections::BTreeMap;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const LIFE: Duration = Duration::from_secs(600);
const MEMBERS: u16 = 4;

/// So many games in every run.
const USUAL: u64 = 20;

/// A server that restarts answers nothing that was begun with it: whoever registers finds that out when all repetitions of a
/// message were in vain.
const REPETITIONS: Duration = Duration::from_secs(13);

#[derive(Clone, Copy, PartialEq)]
enum Forger {
    Absent,
    Present,
}

/// How long something lasted at most: for whom, and until when.
#[derive(Clone, Default)]
struct Worst(Duration, Vec<u16>, Instant);

/// Since when something lasts, by whom it concerns, and the worst of it.
#[derive(Default)]
struct Lasting {
    since: BTreeMap<Vec<u16>, Instant>,
    worst: Worst,
}

impl Lasting {
    fn note(&mut self, whom: &[u16], lasts: bool, disturbed: Instant, now: Instant) {
        if !lasts {
            self.since.remove(whom);
            return;
        }
        let since = (*self.since.entry(whom.to_vec()).or_insert(now)).max(disturbed);
        let lasted = now.saturating_since(since);
        if lasted > self.worst.0 {
            self.worst = Worst(lasted, whom.to_vec(), now);
        }
    }
}

struct Game {
    world: World,
    random: Seeded,
    servers: u8,
    transform: Option<&'static str>,
    forger: Forger,
    /// The servers whose files do not have the group.
    out: Vec<u8>,
    /// When something happened last that excuses silence.
    disturbed: Instant,
    counting: Counting,
    silent: Lasting,
    deaf: Lasting,
    log: Vec<String>,
}

impl Game {
    fn new(seed: u64, forger: Forger) -> Game {
        let mut random = Seeded::new(seed);
        let servers = 2 + random.below(2) as u8;
        let transform = (seed % 2 == 0).then_some("aes-256-gcm");
        let mut world = World::new(seed, if random.percent(50) { Link::CALM } else { Link::RAIN });
        start_with(&mut world, servers, MEMBERS, |number| config(number, servers, transform));
        world.run_for(SECOND * 40);
        let (disturbed, log) = (world.now, vec![format!("{servers} servers")]);
        let (out, counting, silent, deaf) = Default::default();
        Game { world, random, servers, transform, forger, out, disturbed, counting, silent, deaf, log }
    }

    fn config(&self, number: u8) -> KeyServerConfig {
        let mut config = config(number, self.servers, self.transform);
        if self.out.contains(&number) {
            config.groups.clear();
        }
        config
    }

    fn note(&mut self, text: String) {
        self.log.push(format!("{:>7.1} {text}", seconds(self.world.now)));
    }

    fn server(&mut self) -> u8 {
        1 + self.random.below(u64::from(self.servers)) as u8
    }

    fn member(&mut self) -> u16 {
        1 + self.random.below(u64::from(MEMBERS)) as u16
    }

    /// Whichever server takes it.
    fn command(&mut self, command: KeyServerCommand) {
        for number in 1..=self.servers {
            if !self.out.contains(&number) && self.world.ask_server(address(number), command).is_ok() {
                self.note(format!("server {number}: {command:?}"));
            }
        }
    }

    fn happen(&mut self) {
        let id = group().id.into();
        match self.random.below(12) {
            0..=2 => self.command(KeyServerCommand::Rekey(id, RekeyKind::Forced)),
            3 => self.command(KeyServerCommand::Rekey(id, RekeyKind::ReplaceNow)),
            4 => self.command(KeyServerCommand::Remove(id, None, Removal::Graceful)),
            5 => self.command(KeyServerCommand::Remove(id, None, Removal::Now)),
            6 => self.command(KeyServerCommand::Resign(id)),
            7 => self.reload(),
            8 => self.restart(),
            9 => self.cut(),
            _ => {
                let number = self.member();
                self.note(format!("member {number} registers"));
                self.world.command(member_address(number), MemberCommand::Register);
            }
        }
    }

    /// At most one server at a time does not have the group.
    fn reload(&mut self) {
        let number = self.server();
        self.disturbed = self.disturbed.max(self.world.now);
        match self.out.pop() {
            Some(out) if out == number => self.note(format!("server {number} takes the group in again")),
            Some(out) => return self.out.push(out),
            None => {
                self.note(format!("server {number} leaves the group out"));
                self.out.push(number);
            }
        }
        let config = self.config(number);
        self.world.reload(address(number), config);
    }

    fn restart(&mut self) {
        let number = self.server();
        self.note(format!("server {number} restarts"));
        self.disturbed = self.disturbed.max(self.world.now + REPETITIONS);
        let (stored, config) = (self.world.crash_server(address(number)), self.config(number));
        start_server(&mut self.world, config, stored.as_ref(), &mut self.random);
    }

    fn cut(&mut self) {
        let (number, span) = (self.member(), 5 + self.random.below(60));
        self.note(format!("member {number} cut for {span} s"));
        self.world.cut(member_address(number).ip());
        let end = self.world.now + SECOND * span as u32;
        while self.world.now < end {
            self.disturbed = self.disturbed.max(self.world.now + SECOND);
            self.pass(SECOND);
        }
        self.world.join(member_address(number).ip());
    }

    fn forge(&mut self) {
        for _ in 0..4 {
            let index = self.random.below(self.world.sent.len() as u64) as usize;
            let flight = self.world.sent[index].clone();
            if flight.payload.get(18) == Some(&ExchangeType::GROUPKEY_PUSH.0) {
                let to = member_address(self.member());
                self.world.inject(flight.from, to, &flight.payload);
            }
        }
    }

    fn pass(&mut self, span: Duration) {
        let end = self.world.now + span;
        while self.world.now < end {
            self.counting.run(&mut self.world, Duration::from_millis(500), MEMBERS);
            if self.forger == Forger::Present {
                self.forge();
            }
            self.look();
        }
    }

    /// The SPIs of the keys that some server gives out.
    fn served(&self) -> Vec<Spi> {
        let status =
            (1..=self.servers).map(|number| self.world.server(address(number)).status(self.world.now));
        let groups = status.flat_map(|status| status.groups);
        groups.flat_map(|group| group.teks).map(|tek| tek.spi).collect()
    }

    fn look(&mut self) {
        let (now, disturbed, served) = (self.world.now, self.disturbed, self.served());
        let views: Vec<_> =
            (1..=MEMBERS).map(|number| (number, self.world.view(member_address(number)))).collect();
        for (reader, view) in &views {
            self.silent.note(&[*reader], view.outbound.is_none(), disturbed, now);
            for (sender, other) in &views {
                let lacked = lacked(view, other);
                let lasts = lacked.is_some_and(|(key, _)| served.contains(&key));
                self.deaf.note(&[*reader, *sender], lasts, disturbed, now);
                let heard = lacked.map(|(_, spi)| MemberCommand::UnknownEsp(spi));
                heard.into_iter().for_each(|heard| self.world.command(member_address(*reader), heard));
            }
        }
    }

    fn fails(&self) -> bool {
        let (silent, deaf) = (self.silent.worst.0, self.deaf.worst.0);
        !self.counting.again.is_empty() || silent > SECOND * 13 || deaf > SECOND * 14
    }
}

fn config(number: u8, servers: u8, transform: Option<&str>) -> KeyServerConfig {
    let mut config = allied_config(number, servers, LIFE);
    if let Some(transform) = transform {
        config.groups[0].transform = transform.parse().unwrap();
        config.groups[0].replay_window = 1024;
    }
    config
}

/// What one sends with that the other cannot read: the key, and the SPI on the wire.
fn lacked(reader: &View, sender: &View) -> Option<(Spi, Spi)> {
    let sa = sender.outbound.as_ref()?;
    let lacks = reader.inbound.iter().all(|held| held.keys != sa.keys);
    let spi = sender.sids.first().and_then(|sid| sa.spi.of_sender(*sid)).unwrap_or(sa.spi);
    lacks.then_some((sa.spi, spi))
}

fn seconds(at: Instant) -> f64 {
    (at.as_millis() - 1_000_000) as f64 / 1000.0
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn play(forger: Forger) {
    let seeds = match number("GDOI_SEED") {
        Some(seed) => seed..=seed,
        None => 1..=number("GDOI_SCHEDULES").unwrap_or(USUAL),
    };
    let mut bad = Vec::new();
    for seed in seeds {
        let mut game = Game::new(seed, forger);
        for _ in 0..14 {
            game.happen();
            let pause = 1 + game.random.below(40);
            game.pass(SECOND * pause as u32);
        }
        game.pass(SECOND * 120);
        if game.fails() {
            let said = |Worst(lasted, whom, until): &Worst| {
                format!("{lasted:?} {whom:?} until {:.1}", seconds(*until))
            };
            let (silent, deaf) = (said(&game.silent.worst), said(&game.deaf.worst));
            println!("seed {seed}: silent {silent}, deaf {deaf}, counted anew {:?}", game.counting.again);
            println!("   {}", game.log.join("\n   "));
            bad.push(seed);
        }
    }
    assert!(bad.is_empty(), "seeds {bad:?}");
}

#[test]
fn what_operators_and_accidents_do_silences_nobody() {
    play(Forger::Absent);
}

#[test]
fn what_somebody_does_who_brings_old_messages_again_silences_nobody() {
    play(Forger::Present);
}
