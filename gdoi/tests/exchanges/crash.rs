//! The key server is killed after any single output, and once more while it comes up again; what it stored is what it
//! said to store before. Members are killed, too: they register again.

use crate::bench::fleet::{
    group, member, member_address, member_config, rekey_config, server_address, server_config,
};
use crate::bench::random::Seeded;
use crate::bench::stored::Stored;
use crate::bench::{Link, World};
use gdoi::crypto::Secret;
use gdoi::wire::ExchangeType;
use gdoi::{
    KeyServer, KeyServerCommand, KeyServerConfig, MemberEvent, RekeyKind, Removal, Retransmit, Transmit,
    Transport, View,
};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

const MEMBERS: u16 = 4;
const LIFE: u64 = 300;
/// Longer than two outages and the distributions between them: who heard of a forced rekey begins to send then.
const ATD: Duration = Duration::from_secs(40);
const MULTICAST: Transport =
    Transport::Multicast(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(239, 1, 1, 1)), 848));

/// What the server is at when it is killed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    /// New TEK.
    Scheduled,
    /// New TEK and new KEK.
    ScheduledKek,
    Command(RekeyKind),
    /// Of the last member.
    Removal(Removal),
    RemovalOfAll,
}

const STEPS: [Step; 8] = [
    Step::Scheduled,
    Step::ScheduledKek,
    Step::Command(RekeyKind::Forced),
    Step::Command(RekeyKind::ReplaceNow),
    Step::Command(RekeyKind::Reminder),
    Step::Removal(Removal::Graceful),
    Step::Removal(Removal::Now),
    Step::RemovalOfAll,
];

impl Step {
    fn command(self) -> Option<KeyServerCommand> {
        let last = Some(member_address(MEMBERS).ip());
        match self {
            Step::Scheduled | Step::ScheduledKek => None,
            Step::Command(kind) => Some(KeyServerCommand::Rekey(group().id.into(), kind)),
            Step::Removal(removal) => Some(KeyServerCommand::Remove(group().id.into(), last, removal)),
            Step::RemovalOfAll => Some(KeyServerCommand::Remove(group().id.into(), None, Removal::Graceful)),
        }
    }

    /// Whether traffic between the members that stay goes on without loss.
    fn is_smooth(self) -> bool {
        !matches!(self, Step::Command(RekeyKind::ReplaceNow) | Step::Removal(_) | Step::RemovalOfAll)
    }

    /// Whether members that stay always have a key; a removal that is cut off may make them wait for the server.
    fn keeps_sending(self) -> bool {
        !matches!(self, Step::Removal(_) | Step::RemovalOfAll)
    }

    fn removes(self) -> bool {
        matches!(self, Step::Removal(_))
    }
}

/// All that was ever seen on the wire and in the store.
#[derive(Default)]
struct Ledger {
    pushes: BTreeMap<([u8; 16], u32), Vec<u8>>,
    teks: BTreeSet<u32>,
    keks: BTreeSet<[u8; 16]>,
}

impl Ledger {
    fn witness(&mut self, transmit: &Transmit, stored: Option<&Secret>) {
        let stored = stored.map(Stored::read).unwrap_or_default();
        self.teks.extend(&stored.teks);
        self.keks.extend(stored.keks.iter().map(|kek| kek.spi));
        if transmit.payload[18] == ExchangeType::GROUPKEY_PUSH.0 {
            self.push(&transmit.payload, &stored);
        }
    }

    fn push(&mut self, datagram: &[u8], stored: &Stored) {
        let kek = stored.kek_of(datagram).unwrap_or_else(|| panic!("a KEK that was not stored"));
        let push = kek.open(datagram);
        assert!(push.sequence <= kek.sequence, "a number that was not stored as used");
        assert!(push.teks.iter().all(|tek| self.teks.contains(tek)), "a TEK that was not stored");
        assert!(push.kek.iter().all(|spi| self.keks.contains(spi)), "a KEK that was not stored");
        let before = self.pushes.entry((kek.spi, push.sequence)).or_insert_with(|| datagram.to_vec());
        assert_eq!(before, datagram, "number {} was used twice", push.sequence);
    }
}

/// One life of a group with kills.
struct Case {
    step: Step,
    transport: Transport,
    world: World,
    ledger: Rc<RefCell<Ledger>>,
    random: Seeded,
    stored: Option<Secret>,
}

fn key_server() -> SocketAddr {
    server_address(1)
}

impl Case {
    fn start(step: Step, transport: Transport, seed: u64) -> Case {
        let (world, random) = (World::new(seed, Link::CALM), Seeded::new(seed));
        let mut case = Case { step, transport, world, ledger: Rc::default(), random, stored: None };
        case.start_server();
        for number in 1..=MEMBERS {
            case.start_member(number);
        }
        case.world
            .run_until(Duration::from_secs(60), |world| world.views().iter().all(|view| view.registered));
        case.run(Duration::from_secs(2));
        case.world.link = Link::RAIN;
        case
    }

    fn config(&self) -> KeyServerConfig {
        let (mut config, mut rekey) = (server_config(1), rekey_config());
        rekey.transport = self.transport;
        rekey.retransmit = Retransmit { interval: Duration::from_secs(2), number: 3 };
        if self.step == Step::ScheduledKek {
            rekey.lifetime = Duration::from_secs(LIFE);
        }
        config.groups[0].tek_lifetime = Duration::from_secs(LIFE);
        (config.groups[0].activation_delay, config.groups[0].deactivation_delay) = (ATD, 2 * ATD);
        config.groups[0].rekey = Some(rekey);
        config
    }

    fn start_server(&mut self) {
        let random = Box::new(Seeded::new(self.random.draw()));
        let server = KeyServer::new(self.config(), self.stored.as_ref(), random, self.world.now).unwrap();
        let ledger = self.ledger.clone();
        let before = self.stored.clone();
        self.world.add_server(key_server(), server);
        self.world.watch_server(
            key_server(),
            Box::new(move |transmit, stored| {
                ledger.borrow_mut().witness(transmit, stored.or(before.as_ref()))
            }),
        );
    }

    fn start_member(&mut self, number: u16) {
        let seed = self.random.draw();
        self.world.add_member(member_address(number), member(member_config(number), seed));
    }

    /// Goes on for so long, or until the server dies.
    fn run(&mut self, span: Duration) {
        let end = self.world.now + span;
        while self.world.step(end) && !self.world.is_server_dead(key_server()) {
            if !std::mem::take(&mut self.world.changed).is_empty() {
                self.check();
            }
        }
    }

    fn staying(&self) -> impl Iterator<Item = u16> {
        1..=MEMBERS - u16::from(self.step.removes())
    }

    fn check(&self) {
        let views = self.staying().map(|number| self.world.view(member_address(number)));
        let views: Vec<_> = views.filter(|view| view.registered).collect();
        let reads = |view: &View, spi| view.inbound.iter().any(|sa| sa.spi == spi);
        for (number, sender) in views.iter().enumerate().filter(|_| self.step.keeps_sending()) {
            let Some(sent) = &sender.outbound else { panic!("{:?}: {number} cannot send", self.world.now) };
            let deaf = views.iter().position(|view| self.step.is_smooth() && !reads(view, sent.spi));
            assert_eq!(deaf, None, "{:?}: {number} sends with {}", self.world.now, sent.spi);
        }
    }

    /// The server comes up again after a while, from what it stored.
    fn revive(&mut self) {
        self.stored = self.world.stored(key_server()).or(self.stored.take());
        let pause = self.random.below(8_000);
        self.idle(Duration::from_millis(pause));
        self.start_server();
    }

    fn idle(&mut self, span: Duration) {
        let end = self.world.now + span;
        while self.world.step(end) {
            if !std::mem::take(&mut self.world.changed).is_empty() {
                self.check();
            }
        }
    }

    /// Kills the server after so many outputs of the step; whether it came to that.
    fn kill_at(&mut self, outputs: u64) -> bool {
        if self.step.command().is_none() {
            self.run(Duration::from_secs(LIFE - 105));
        }
        self.world.kill_server_after(key_server(), outputs);
        if let Some(command) = self.step.command() {
            self.world.command_server(key_server(), command);
        }
        self.run(Duration::from_secs(20));
        let killed = self.world.is_server_dead(key_server());
        self.world.kill_server_after(key_server(), if killed { 0 } else { u64::MAX });
        if killed {
            self.revive();
            self.kill_again();
        }
        killed
    }

    /// In half of the cases the server dies once more while it comes up.
    fn kill_again(&mut self) {
        let outputs = self.random.below(16);
        if outputs < 8 {
            self.world.kill_server_after(key_server(), outputs + 1);
            self.run(Duration::from_secs(20));
        }
        match self.world.is_server_dead(key_server()) {
            true => self.revive(),
            false => self.world.kill_server_after(key_server(), u64::MAX),
        }
    }

    /// Through more than one regular roll-over to the same keys for all that may have them.
    fn converge(&mut self) {
        self.run(Duration::from_secs(2 * LIFE));
        self.world.link = Link::CALM;
        self.run(Duration::from_secs(40));
        let views: Vec<_> = self.staying().map(|number| self.world.view(member_address(number))).collect();
        let shape = |view: &View| {
            let inbound: BTreeSet<_> = view.inbound.iter().map(|sa| sa.spi.0).collect();
            (view.outbound.as_ref().unwrap().spi, inbound)
        };
        for view in &views {
            let last = shape(&views[0]).1.into_iter().collect::<Vec<_>>();
            assert!(view.outbound.is_some() && shape(view).1.iter().any(|spi| last.contains(spi)));
            assert!(views.iter().all(|other| shape(other).1.contains(&shape(view).0 .0)));
        }
        self.check_stored();
        self.check_removed();
    }

    /// What members hold came out of a store.
    fn check_stored(&self) {
        let ledger = self.ledger.borrow();
        for number in 1..=MEMBERS {
            let events = self.world.member_events(member_address(number)).iter();
            let teks = events.filter_map(|(_, event)| match event {
                MemberEvent::Registered { teks, .. } | MemberEvent::Rekeyed { teks, .. } => Some(teks),
                _ => None,
            });
            assert!(teks.flatten().all(|tek| ledger.teks.contains(&tek.0)), "a TEK that was never stored");
            let kek = self.world.member(member_address(number)).status(self.world.now).kek;
            assert!(kek.is_none_or(|kek| ledger.keks.contains(&kek.spi)));
        }
    }

    /// The removed member learned no key after its removal, if that was stored.
    fn check_removed(&self) {
        let removed = member_address(MEMBERS);
        let status = self.world.server(key_server()).status(self.world.now);
        if self.step.removes() && !status.groups[0].revoked.is_empty() {
            assert!(self.world.view(removed).inbound.is_empty(), "the removed member still learns keys");
        }
    }
}

/// Kills at every output of a step until there are no more; how many there were.
fn every_output(step: Step, transport: Transport, kill_member: impl Fn(&mut Case)) -> u64 {
    for outputs in 1.. {
        println!("{step:?}, {transport:?}, killed after {outputs} outputs");
        let mut case = Case::start(step, transport, outputs);
        let killed = case.kill_at(outputs);
        kill_member(&mut case);
        case.converge();
        if !killed {
            return outputs - 1;
        }
    }
    unreachable!()
}

#[test]
fn a_server_killed_after_any_output_of_a_unicast_rekey() {
    all_steps(Transport::Unicast);
}

#[test]
fn a_server_killed_after_any_output_of_a_multicast_rekey() {
    all_steps(MULTICAST);
}

fn all_steps(transport: Transport) {
    let points = STEPS.map(|step| (step, every_output(step, transport, |_| ())));
    let total: u64 = points.iter().map(|(_, points)| points).sum();
    println!("{transport:?}: {total} kills: {points:?}");
    assert!(total >= 50);
}

#[test]
fn members_and_server_killed() {
    for step in [Step::Scheduled, Step::ScheduledKek, Step::Command(RekeyKind::Forced)] {
        every_output(step, Transport::Unicast, |case| {
            let pause = case.random.below(30_000);
            case.run(Duration::from_millis(pause));
            let number = 1 + case.random.below(u64::from(MEMBERS)) as u16;
            case.start_member(number);
        });
    }
}
