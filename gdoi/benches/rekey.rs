//! One unicast rekey of a large group in simulated time: what it costs the key server, and how long it takes to the last
//! acknowledgement. The members are simulated by what they answer, which is made before the clock starts.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

/// The usual fleet of the tests.
#[path = "../tests/exchanges/bench/mod.rs"]
#[allow(dead_code, unused_imports)]
mod bench;

use bench::fleet::{group, member_address, rekey_config, server, server_config};
use bench::random::Seeded;
use bench::stored::{Stored, StoredKek};
use gdoi::crypto::Secret;
use gdoi::policy::Identity;
use gdoi::wire::Identification;
use gdoi::{Endpoint, Instant, KeyServer, KeyServerCommand, KeyServerConfig, Output, RekeyKind};
use std::collections::{BTreeSet, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

const MEMBERS: u16 = 10_000;
/// From a message to its acknowledgement.
const ROUND_TRIP: Duration = Duration::from_millis(50);
/// Nothing happens for so long only after a rekey.
const OVER: Duration = Duration::from_secs(60);
const START: Instant = Instant::from_millis(1_000_000);

fn config() -> KeyServerConfig {
    let mut config = server_config(1);
    config.groups[0].rekey = Some(rekey_config());
    config
}

fn address(member: u16) -> IpAddr {
    member_address(member).ip()
}

/// What a key server without members stored, with members: the list is the last thing in it.
fn state() -> Secret {
    let mut empty = server(config(), 1, START);
    let Output::Store(stored) = empty.poll() else { panic!("nothing stored") };
    let front = &stored.expose()[..stored.len() - 4];
    let mut state = [front, &u32::from(MEMBERS).to_be_bytes()].concat();
    (1..=MEMBERS).for_each(|number| state.extend_from_slice(&record(number)));
    Secret::new(state)
}

fn mapped(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

/// A member that registered once, runs this implementation, and never acknowledged anything.
fn record(number: u16) -> Vec<u8> {
    let identity = Identification::phase1(&Identity::Address(address(number))).emit().expect("it fits");
    let time = START.as_millis().to_be_bytes();
    let no_owner = [0; 16];
    let version = [&[7; 8][..], &u64::from(number).to_be_bytes(), &[0]].concat();
    let head = [&mapped(address(number))[..], &848u16.to_be_bytes(), &no_owner, &version].concat();
    let counted = [&(identity.len() as u16).to_be_bytes()[..], &identity].concat();
    [&head[..], &counted, &time, &time, &1u64.to_be_bytes(), &[1], &[0; 8], &[0; 8], &[0; 4], &[0]].concat()
}

/// A key server, its members' answers on their way, and what was seen.
struct Network {
    server: KeyServer,
    now: Instant,
    loss_percent: u64,
    random: Seeded,
    answers: Vec<Vec<u8>>,
    flying: BTreeSet<(Instant, SocketAddr)>,
    seen: Seen,
}

#[derive(Default)]
struct Seen {
    messages: u64,
    octets: u64,
    /// Each signature makes another message.
    different: HashSet<Vec<u8>>,
    acknowledged: HashSet<SocketAddr>,
    last: Instant,
    stores: u64,
}

impl Network {
    fn new(loss_percent: u64) -> (Network, StoredKek) {
        let state = state();
        let kek = Stored::read(&state).keks[0].clone();
        let server = KeyServer::new(config(), Some(&state), Box::new(Seeded::new(2)), START).unwrap();
        let (random, answers) = (Seeded::new(3), answers(&kek, 1));
        let flying = BTreeSet::new();
        let mut network =
            Network { server, now: START, loss_percent: 0, random, answers, flying, seen: Seen::default() };
        // After its start it says everything once more.
        network.run();
        network.loss_percent = loss_percent;
        (network, kek)
    }

    /// Until all members have acknowledged, or the server waits no more for the last ones.
    fn run(&mut self) {
        self.seen = Seen::default();
        loop {
            let wait = self.drain();
            let arrival = self.flying.first().map(|(arrival, _)| *arrival);
            let next = [wait, arrival].into_iter().flatten().min().expect("something to wait for");
            if next.saturating_since(self.now) > OVER {
                return;
            }
            self.now = next.max(self.now);
            match self.flying.first().copied().filter(|(arrival, _)| *arrival <= self.now) {
                Some(first) => self.acknowledge(first),
                None => self.server.handle_timeout(self.now),
            }
        }
    }

    fn acknowledge(&mut self, first: (Instant, SocketAddr)) {
        self.flying.remove(&first);
        let (_, member) = first;
        self.server.handle_datagram(member, &self.answers[number(member)], self.now);
        if self.seen.acknowledged.insert(member) {
            self.seen.last = self.now;
        }
    }

    fn drain(&mut self) -> Option<Instant> {
        loop {
            match self.server.poll() {
                Output::Transmit(transmit) => {
                    self.seen.messages += 1;
                    self.seen.octets += transmit.payload.len() as u64;
                    self.seen.different.insert(transmit.payload);
                    let lost =
                        self.random.percent(self.loss_percent) | self.random.percent(self.loss_percent);
                    if !lost {
                        self.flying.insert((self.now + ROUND_TRIP, transmit.to));
                    }
                }
                Output::Store(_) => self.seen.stores += 1,
                Output::Event(_) => {}
                Output::Wait(wait) => return wait,
            }
        }
    }
}

fn number(member: SocketAddr) -> usize {
    match member.ip() {
        IpAddr::V4(address) => {
            usize::from(u16::from_be_bytes([address.octets()[2], address.octets()[3]])) - 1
        }
        IpAddr::V6(_) => unreachable!(),
    }
}

fn answers(kek: &StoredKek, sequence: u32) -> Vec<Vec<u8>> {
    (1..=MEMBERS).map(|number| kek.acknowledgement(sequence, address(number))).collect()
}

/// What this thread has had of a processor.
fn processor_time() -> Duration {
    let spent = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    Duration::from_nanos(spent.split(' ').next().and_then(|number| number.parse().ok()).expect("nanoseconds"))
}

fn measure(loss_percent: u64) {
    let (mut network, kek) = Network::new(loss_percent);
    network.answers = answers(&kek, 2);
    let (begin, before) = (network.now, processor_time());
    let command = KeyServerCommand::Rekey(group().id.into(), RekeyKind::Forced);
    network.server.handle_command(command, begin).expect("a primary");
    network.run();
    let spent = processor_time() - before;
    let seen = &network.seen;
    println!(
        "unicast rekey of {MEMBERS} members, {loss_percent} % loss: {:.3} s CPU, {} signature(s), {} messages ({:.1} MB), \
         state stored {} times, last ACK after {:.1} s, {} never heard of",
        spent.as_secs_f64(),
        seen.different.len(),
        seen.messages,
        seen.octets as f64 / 1e6,
        seen.stores,
        seen.last.saturating_since(begin).as_secs_f64(),
        usize::from(MEMBERS) - seen.acknowledged.len(),
    );
    assert_eq!(seen.different.len(), 1);
}

fn main() {
    [0, 5].into_iter().for_each(measure);
}
