//! What cooperation costs in simulated time: a second of a quiet group, and how a restarted server catches up with a
//! large one. Members register by real exchanges and are heard no more.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

/// The usual fleet of the tests.
#[path = "../tests/exchanges/bench/mod.rs"]
#[allow(dead_code, unused_imports)]
mod bench;

use bench::alliance::{address, allied_config, allied_member};
use bench::fleet::{member, member_address};
use bench::node::Node;
use bench::random::Seeded;
use gdoi::coop::Role;
use gdoi::crypto::Secret;
use gdoi::wire::ExchangeType;
use gdoi::{Instant, KeyServer, MemberConfig, Transmit};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

/// No key is replaced meanwhile.
const LIFE: Duration = Duration::from_secs(86_400);
/// From one server to another.
const DELAY: Duration = Duration::from_millis(10);
/// How often is looked whether a server has caught up.
const GLANCE: Duration = Duration::from_millis(50);
/// So many seconds: processor time is counted in steps of milliseconds.
const QUIET: u32 = 1000;
const MEANWHILE: u16 = 100;
/// The one that is restarted: the last to become primary.
const RESTARTED: u8 = 1;

/// Servers, what is on its way between them, and what was seen.
struct Network {
    count: u8,
    now: Instant,
    servers: BTreeMap<SocketAddr, Node<KeyServer>>,
    flying: BTreeMap<(Instant, u64), (SocketAddr, Transmit)>,
    launched: u64,
    members: u16,
    seen: Seen,
}

#[derive(Default)]
struct Seen {
    messages: u32,
    octets: usize,
    /// How long COOP messages were.
    lengths: BTreeSet<usize>,
    /// What this thread has had of a processor.
    spent: Duration,
}

impl Network {
    /// A group without members, and one that leads it.
    fn new(count: u8) -> Network {
        let (servers, flying) = (BTreeMap::new(), BTreeMap::new());
        let now = Instant::from_millis(1_000_000);
        let mut network =
            Network { count, now, servers, flying, launched: 0, members: 0, seen: Seen::default() };
        (1..=count).for_each(|number| network.start(number, None));
        network.run_for(Duration::from_secs(20));
        assert!(network.servers.keys().all(|address| network.is_settled(*address)));
        network
    }

    fn start(&mut self, number: u8, stored: Option<&Secret>) {
        let (config, random) = (allied_config(number, self.count, LIFE), Seeded::new(number.into()));
        let server = KeyServer::new(config, stored, Box::new(random), self.now).unwrap();
        self.servers.insert(address(number), Node::new(server, self.now));
    }

    fn grow(&mut self, members: u16) {
        self.welcome(members);
        self.run_until_settled();
        self.run_for(Duration::from_secs(5));
    }

    /// 400 members come in a second, each to the next server.
    fn welcome(&mut self, members: u16) {
        while self.members < members {
            self.members += 1;
            self.register(self.members);
            if self.members % 40 == 0 {
                self.run_for(Duration::from_millis(100));
            }
        }
    }

    fn register(&mut self, number: u16) {
        let running: Vec<_> = self.servers.keys().copied().collect();
        let server = running[usize::from(number) % running.len()];
        let config = MemberConfig { sender_ids: 0, ..allied_member(number, ip_number(server), self.count) };
        let (own, mut node) = (member_address(number), Node::new(member(config, number.into()), self.now));
        let mut said = node.timeout(self.now);
        while !said.is_empty() {
            let heard = said.into_iter().flat_map(|said| {
                self.servers.get_mut(&server).unwrap().datagram(own, &said.payload, self.now)
            });
            let (answers, others): (Vec<_>, Vec<_>) = heard.partition(|answer| answer.to == own);
            self.launch(server, others);
            let answers = answers.into_iter();
            said = answers.flat_map(|answer| node.datagram(server, &answer.payload, self.now)).collect();
        }
        assert!(node.endpoint.view(self.now).registered);
    }

    fn run_for(&mut self, span: Duration) {
        let (end, before) = (self.now + span, processor_time());
        loop {
            let wake = self.servers.values().filter_map(Node::wake).min();
            let arrival = self.flying.keys().next().map(|(arrival, _)| *arrival);
            let Some(next) = wake.into_iter().chain(arrival).min().filter(|next| *next <= end) else { break };
            self.now = next.max(self.now);
            match self.flying.first_entry().filter(|first| first.key().0 <= self.now) {
                Some(first) => {
                    let (from, transmit) = first.remove();
                    self.deliver(from, &transmit);
                }
                None => self.wake(),
            }
        }
        self.now = end;
        self.seen.spent += processor_time() - before;
    }

    fn deliver(&mut self, from: SocketAddr, transmit: &Transmit) {
        let Some(server) = self.servers.get_mut(&transmit.to) else { return };
        let sent = server.datagram(from, &transmit.payload, self.now);
        self.launch(transmit.to, sent);
    }

    fn wake(&mut self) {
        let now = self.now;
        let due = self.servers.iter().filter(|(_, node)| node.wake().is_some_and(|wake| wake <= now));
        for address in due.map(|(address, _)| *address).collect::<Vec<_>>() {
            let sent = self.servers.get_mut(&address).unwrap().timeout(now);
            self.launch(address, sent);
        }
    }

    fn launch(&mut self, from: SocketAddr, sent: Vec<Transmit>) {
        for transmit in sent {
            self.seen.messages += 1;
            self.seen.octets += transmit.payload.len();
            if transmit.payload[18] == ExchangeType::COOP.0 {
                self.seen.lengths.insert(transmit.payload.len());
            }
            self.launched += 1;
            self.flying.insert((self.now + DELAY, self.launched), (from, transmit));
        }
    }

    /// Whether a server knows all members and has the keys of all others, and they have its.
    fn is_settled(&self, address: SocketAddr) -> bool {
        let group = self.servers[&address].endpoint.status(self.now).groups.remove(0);
        let coop = group.coop.unwrap();
        let with = |said: gdoi::coop::CoopPeerWord| said.in_step && said.members == u32::from(self.members);
        matches!(coop.role, Role::Primary | Role::Secondary)
            && group.members.len() == usize::from(self.members)
            && coop.peers.iter().all(|peer| peer.alive && peer.said.is_some_and(with))
    }

    fn run_until_settled(&mut self) -> Duration {
        let begin = self.now;
        while !self.servers.keys().all(|address| self.is_settled(*address)) {
            self.run_for(GLANCE);
            assert!(self.now.saturating_since(begin) < Duration::from_secs(600), "it never catches up");
        }
        self.now.saturating_since(begin)
    }
}

fn ip_number(server: SocketAddr) -> u8 {
    match server {
        SocketAddr::V4(server) => server.ip().octets()[3],
        SocketAddr::V6(_) => unreachable!(),
    }
}

/// What this thread has had of a processor.
fn processor_time() -> Duration {
    let spent = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    Duration::from_nanos(spent.split(' ').next().and_then(|number| number.parse().ok()).expect("nanoseconds"))
}

/// The announcement's length.
fn quiet(network: &mut Network) -> usize {
    network.seen = Seen::default();
    network.run_for(Duration::from_secs(QUIET.into()));
    let Seen { messages, octets, lengths, spent } = &network.seen;
    let announcement = *lengths.last().unwrap();
    println!(
        "{} servers, {} members, quiet: announcement {announcement} octets; a second of all servers: {} messages, {} \
         octets, {:.3} ms CPU",
        network.count,
        network.members,
        messages / QUIET,
        octets / QUIET as usize,
        spent.as_secs_f64() * 1e3 / f64::from(QUIET),
    );
    assert_eq!(lengths.len(), 1, "nothing but announcements: {lengths:?}");
    announcement
}

fn restart(network: &mut Network, memory: &str) {
    let node = network.servers.remove(&address(RESTARTED)).unwrap();
    let stored = node.stored.filter(|_| memory == "its state");
    network.run_for(Duration::from_secs(10));
    network.welcome(network.members + MEANWHILE);
    network.run_for(Duration::from_secs(5));
    network.seen = Seen::default();
    network.start(RESTARTED, stored.as_ref());
    let took = network.run_until_settled();
    println!(
        "{} servers, {} members, {MEANWHILE} of them new, restarted with {memory}: caught up after {:.2} s, {:.3} s CPU \
         of all servers, {} messages ({:.2} MB)",
        network.count,
        network.members,
        took.as_secs_f64(),
        network.seen.spent.as_secs_f64(),
        network.seen.messages,
        network.seen.octets as f64 / 1e6,
    );
}

fn main() {
    for servers in [2, 8] {
        let mut network = Network::new(servers);
        let lengths = [100, 1000, 10_000].map(|members| {
            network.grow(members);
            quiet(&mut network)
        });
        assert!(lengths.iter().all(|length| *length == lengths[0]), "it does not grow with the members");
        ["its state", "nothing"].into_iter().for_each(|memory| restart(&mut network, memory));
    }
}
