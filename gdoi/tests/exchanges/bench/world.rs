//! Members and key servers on one network, in one time.

use super::link::Link;
use super::node::{Node, Witness};
use super::pace::Pace;
use super::random::Seeded;
use gdoi::crypto::Secret;
use gdoi::policy::Identity;
use gdoi::wire::ExchangeType;
use gdoi::{
    Change, Done, Error, Instant, KeyServer, KeyServerCommand, KeyServerConfig, KeyServerEvent, Member,
    MemberCommand, MemberEvent, Outcome, Transmit, View,
};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// A datagram that somebody sent.
#[derive(Clone, Debug)]
pub struct Flight {
    pub at: Instant,
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub payload: Vec<u8>,
}

/// What a datagram provokes somebody to send.
type Meddler = Box<dyn Fn(&[u8]) -> Vec<Vec<u8>>>;

/// What the clock of a host does that is suspended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    GoesOn,
    /// As in a virtual machine that nobody told.
    Stands,
}

/// Whether what was sent is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Archive {
    Everything,
    /// For long runs in which somebody repeats what was said.
    Lately,
    /// For long runs.
    Nothing,
}

/// So much is remembered of [`Archive::Lately`].
const LATELY: usize = 400;

pub struct World {
    pub now: Instant,
    pub link: Link,
    pub archive: Archive,
    /// All that was sent so far, arrived or not.
    pub sent: Vec<Flight>,
    /// Members whose view has changed since somebody took this.
    pub changed: Vec<SocketAddr>,
    /// What arrives just before each datagram, with the same sender.
    pub meddle: Meddler,
    random: Seeded,
    launched: u64,
    flying: BTreeMap<(Instant, u64), Flight>,
    cut: HashSet<IpAddr>,
    /// On which side of a split network hosts are; 0 if not said.
    sides: HashMap<IpAddr, u8>,
    /// How far the clocks of key servers are ahead.
    skews: HashMap<SocketAddr, Duration>,
    deaf: Option<(SocketAddr, ExchangeType)>,
    members: BTreeMap<SocketAddr, Node<Member>>,
    /// Members that do not run, and since when.
    suspended: HashMap<SocketAddr, Instant>,
    /// How far the clocks of members are behind.
    lags: HashMap<SocketAddr, Duration>,
    /// How often each of them registered.
    paces: HashMap<SocketAddr, Pace>,
    /// What each member's data plane was told last.
    told: HashMap<SocketAddr, View>,
    servers: BTreeMap<SocketAddr, Node<KeyServer>>,
    /// When each of them wakes, members before servers.
    wakes: BTreeSet<(Instant, Role, SocketAddr)>,
    waking: BTreeMap<SocketAddr, (Instant, Role, SocketAddr)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    Member,
    Server,
}

impl World {
    /// An empty one. Time does not begin at zero, so that nobody takes zero for "now".
    pub fn new(seed: u64, link: Link) -> Self {
        World {
            now: Instant::from_millis(1_000_000),
            link,
            archive: Archive::Everything,
            sent: Vec::new(),
            changed: Vec::new(),
            meddle: Box::new(|_| Vec::new()),
            random: Seeded::new(seed),
            launched: 0,
            flying: BTreeMap::new(),
            cut: HashSet::new(),
            sides: HashMap::new(),
            skews: HashMap::new(),
            deaf: None,
            members: BTreeMap::new(),
            suspended: HashMap::new(),
            lags: HashMap::new(),
            paces: HashMap::new(),
            told: HashMap::new(),
            servers: BTreeMap::new(),
            wakes: BTreeSet::new(),
            waking: BTreeMap::new(),
        }
    }

    /// Also replaces one: a restart, without its keys.
    pub fn add_member(&mut self, address: SocketAddr, member: Member) {
        self.suspended.remove(&address);
        self.lags.remove(&address);
        self.paces.insert(address, Pace::default());
        self.members.insert(address, Node::new(member, self.now));
        self.told.insert(address, View::default());
        self.changed.push(address);
        self.schedule(address);
    }

    /// Takes a member away, whatever it is at.
    pub fn remove_member(&mut self, address: SocketAddr) {
        if let Some(wake) = self.waking.remove(&address) {
            self.wakes.remove(&wake);
        }
        self.members.remove(&address);
    }

    /// Also replaces one: a restart.
    pub fn add_server(&mut self, address: SocketAddr, server: KeyServer) {
        self.servers.insert(address, Node::new(server, self.clock_of(address)));
        self.schedule(address);
    }

    /// From now on every datagram of a key server is looked at.
    pub fn watch_server(&mut self, address: SocketAddr, witness: Witness) {
        self.servers.get_mut(&address).unwrap().witness = Some(witness);
    }

    /// Kills a key server after so many more outputs.
    pub fn kill_server_after(&mut self, address: SocketAddr, outputs: u64) {
        self.servers.get_mut(&address).unwrap().kill_after(outputs);
    }

    pub fn is_server_dead(&self, address: SocketAddr) -> bool {
        self.servers[&address].is_dead()
    }

    /// From now on a member does not run.
    pub fn suspend(&mut self, address: SocketAddr) {
        self.suspended.insert(address, self.now);
        self.schedule(address);
    }

    /// Ends [`World::suspend`].
    pub fn resume(&mut self, address: SocketAddr, clock: Clock) {
        let since = self.suspended.remove(&address).unwrap();
        if clock == Clock::Stands {
            *self.lags.entry(address).or_default() += self.now.saturating_since(since);
        }
        self.schedule(address);
    }

    /// What the clock of a member shows.
    pub fn member_clock(&self, address: SocketAddr) -> Instant {
        self.now.before(self.lags.get(&address).copied().unwrap_or_default())
    }

    pub fn command(&mut self, address: SocketAddr, command: MemberCommand) {
        let now = self.member_clock(address);
        if command == MemberCommand::Register {
            self.paces.entry(address).or_default().order();
        }
        self.with_member(address, |node| {
            let (done, sent) = node.command(command, now);
            done.unwrap();
            sent
        });
    }

    /// A member speaks from elsewhere, or says that it is somebody else.
    pub fn move_member(&mut self, address: SocketAddr, identity: Identity) {
        let now = self.member_clock(address);
        self.with_member(address, |node| {
            node.endpoint.move_to(identity, now);
            node.timeout(now)
        });
    }

    /// The key server must carry it out.
    pub fn command_server(&mut self, address: SocketAddr, command: KeyServerCommand) -> Vec<Outcome> {
        let done = self.ask_server(address, command).unwrap();
        done.into_iter().map(|done| done.outcome.unwrap()).collect()
    }

    /// The key server may refuse it.
    pub fn ask_server(&mut self, address: SocketAddr, command: KeyServerCommand) -> Result<Vec<Done>, Error> {
        let now = self.clock_of(address);
        let mut answer = None;
        self.with_server(address, |node| {
            let (done, sent) = node.command(command, now);
            answer = Some(done);
            sent
        });
        answer.unwrap()
    }

    /// A key server reads its configuration again.
    pub fn reconfigure(&mut self, address: SocketAddr, config: KeyServerConfig) -> Vec<Change> {
        let now = self.clock_of(address);
        self.servers.get_mut(&address).unwrap().endpoint.reconfigure(config, now).unwrap()
    }

    /// The same, and what follows from it is carried out, as its owner does.
    pub fn reload(&mut self, address: SocketAddr, config: KeyServerConfig) {
        self.reconfigure(address, config);
        let now = self.clock_of(address);
        self.with_server(address, |node| node.timeout(now));
    }

    /// From now on a member gets no datagrams of this exchange.
    pub fn deafen(&mut self, member: SocketAddr, exchange: ExchangeType) {
        self.deaf = Some((member, exchange));
    }

    /// What a key server last stored.
    pub fn stored(&self, address: SocketAddr) -> Option<Secret> {
        self.servers[&address].stored.clone()
    }

    /// From now on nothing passes to or from this host.
    pub fn cut(&mut self, host: IpAddr) {
        self.cut.insert(host);
    }

    /// Splits the network: hosts of different sides do not reach each other.
    pub fn split(&mut self, sides: impl IntoIterator<Item = (IpAddr, u8)>) {
        self.sides = sides.into_iter().collect();
    }

    /// Ends [`World::split`].
    pub fn heal(&mut self) {
        self.sides.clear();
    }

    /// On which side a host is.
    pub fn side(&self, host: IpAddr) -> u8 {
        self.sides.get(&host).copied().unwrap_or_default()
    }

    /// The clock of the key server that will be added there is ahead by so much.
    pub fn set_skew(&mut self, address: SocketAddr, skew: Duration) {
        self.skews.insert(address, skew);
    }

    /// What the clock of a key server shows.
    pub fn clock_of(&self, address: SocketAddr) -> Instant {
        self.now + self.skews.get(&address).copied().unwrap_or_default()
    }

    /// Takes a key server away, with what it stored last.
    pub fn crash_server(&mut self, address: SocketAddr) -> Option<Secret> {
        if let Some(wake) = self.waking.remove(&address) {
            self.wakes.remove(&wake);
        }
        self.servers.remove(&address).and_then(|node| node.stored)
    }

    pub fn has_member(&self, address: SocketAddr) -> bool {
        self.members.contains_key(&address)
    }

    pub fn has_server(&self, address: SocketAddr) -> bool {
        self.servers.contains_key(&address)
    }

    /// Ends [`World::cut`].
    pub fn join(&mut self, host: IpAddr) {
        self.cut.remove(&host);
    }

    /// How many datagrams were put on the wire.
    pub fn launched(&self) -> u64 {
        self.launched
    }

    pub fn member(&self, address: SocketAddr) -> &Member {
        &self.members[&address].endpoint
    }

    /// What a member's data plane holds: what it was told last, which must be what the member says now.
    pub fn view(&self, address: SocketAddr) -> View {
        let view = self.member(address).view(self.member_clock(address));
        assert_eq!(self.told[&address], view, "{address} has not told its data plane by {:?}", self.now);
        view
    }

    /// What a member's data plane was told last, whether it is still true or not.
    pub fn told(&self, address: SocketAddr) -> &View {
        &self.told[&address]
    }

    pub fn views(&self) -> Vec<View> {
        self.members.keys().map(|address| self.view(*address)).collect()
    }

    pub fn server(&self, address: SocketAddr) -> &KeyServer {
        &self.servers[&address].endpoint
    }

    pub fn member_events(&self, address: SocketAddr) -> &[(Instant, MemberEvent)] {
        &self.members[&address].events
    }

    pub fn server_events(&self, address: SocketAddr) -> &[(Instant, KeyServerEvent)] {
        &self.servers[&address].events
    }

    /// Puts a datagram on the wire as if `from` had sent it.
    pub fn inject(&mut self, from: SocketAddr, to: SocketAddr, payload: &[u8]) {
        self.launch(from, vec![Transmit { to, payload: payload.to_vec() }]);
    }

    /// Brings a key server a datagram now, without the network; what it sent then.
    pub fn hand(&mut self, from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Vec<Flight> {
        let (before, payload) = (self.sent.len(), payload.to_vec());
        self.deliver(&Flight { at: self.now, from, to, payload });
        self.sent[before..].to_vec()
    }

    pub fn run_for(&mut self, span: Duration) {
        let end = self.now + span;
        while self.step(end) {}
    }

    /// Runs until `done` says so, at most for `most`.
    pub fn run_until(&mut self, most: Duration, done: impl Fn(&World) -> bool) {
        let (start, end) = (self.now, self.now + most);
        while !done(self) {
            assert!(self.step(end), "not done {most:?} after {start:?}");
        }
    }

    /// Goes on to the next thing that happens. False when nothing does before `end`; then it is `end`.
    pub fn step(&mut self, end: Instant) -> bool {
        let next = self.next_arrival().into_iter().chain(self.next_wake()).min();
        let Some(next) = next.filter(|next| *next <= end) else {
            self.now = end;
            return false;
        };
        self.now = self.now.max(next);
        if self.archive == Archive::Lately && self.sent.len() > 2 * LATELY {
            self.sent.drain(..LATELY);
        }
        match self.flying.first_entry().filter(|entry| entry.key().0 <= self.now) {
            Some(entry) => {
                let flight = entry.remove();
                for payload in (self.meddle)(&flight.payload) {
                    self.deliver(&Flight { payload, ..flight });
                }
                self.deliver(&flight);
            }
            None => self.wake(),
        }
        true
    }

    fn next_arrival(&self) -> Option<Instant> {
        self.flying.keys().next().map(|(arrival, _)| *arrival)
    }

    fn next_wake(&self) -> Option<Instant> {
        self.wakes.first().map(|(wake, ..)| *wake)
    }

    fn deliver(&mut self, flight: &Flight) {
        let (from, to, now) = (flight.from, flight.to, self.member_clock(flight.to));
        if self.suspended.contains_key(&to) {
            return;
        }
        if self.members.contains_key(&to) {
            self.with_member(to, |node| node.datagram(from, &flight.payload, now));
        } else if self.servers.get(&to).is_some_and(|node| !node.is_dead()) {
            let now = self.clock_of(to);
            self.with_server(to, |node| node.datagram(from, &flight.payload, now));
        }
    }

    fn wake(&mut self) {
        let now = self.now;
        let due = self.wakes.iter().take_while(|(wake, ..)| *wake <= now);
        let mut due: Vec<_> = due.map(|(_, role, address)| (*role, *address)).collect();
        due.sort();
        for (role, address) in due {
            match role {
                Role::Member => {
                    let now = self.member_clock(address);
                    self.with_member(address, |node| node.timeout(now));
                }
                Role::Server => {
                    let now = self.clock_of(address);
                    self.with_server(address, |node| node.timeout(now));
                }
            }
        }
    }

    fn with_member(&mut self, address: SocketAddr, act: impl FnOnce(&mut Node<Member>) -> Vec<Transmit>) {
        let node = self.members.get_mut(&address).unwrap();
        let before = node.events.len();
        let sent = act(node);
        let told = |(_, event): &(Instant, MemberEvent)| match event {
            MemberEvent::ViewChanged(view) => Some(View::clone(view)),
            _ => None,
        };
        let registered =
            |(_, event): &&(Instant, MemberEvent)| matches!(event, MemberEvent::Registered { .. });
        for _ in node.events[before..].iter().filter(registered) {
            if let Err(reason) = self.paces.entry(address).or_default().registered(self.now) {
                panic!("{address} registers too often at {:?}: {reason}", self.now);
            }
        }
        if let Some(view) = node.events[before..].iter().rev().find_map(told) {
            self.told.insert(address, view);
            self.changed.push(address);
        }
        self.schedule(address);
        self.launch(address, sent);
    }

    fn with_server(&mut self, address: SocketAddr, act: impl FnOnce(&mut Node<KeyServer>) -> Vec<Transmit>) {
        let sent = act(self.servers.get_mut(&address).unwrap());
        self.schedule(address);
        self.launch(address, sent);
    }

    fn schedule(&mut self, address: SocketAddr) {
        if let Some(before) = self.waking.remove(&address) {
            self.wakes.remove(&before);
        }
        let (role, wake) = match self.members.get(&address) {
            Some(_) if self.suspended.contains_key(&address) => return,
            Some(member) => {
                let lag = self.lags.get(&address).copied().unwrap_or_default();
                (Role::Member, member.wake().map(|wake| wake + lag))
            }
            None => (Role::Server, self.servers[&address].wake().map(|wake| self.world_time(address, wake))),
        };
        if let Some(wake) = wake {
            self.waking.insert(address, (wake, role, address));
            self.wakes.insert((wake, role, address));
        }
    }

    fn world_time(&self, address: SocketAddr, local: Instant) -> Instant {
        local.before(self.skews.get(&address).copied().unwrap_or_default())
    }

    fn launch(&mut self, from: SocketAddr, sent: Vec<Transmit>) {
        for Transmit { to, payload } in sent {
            if to.ip().is_multicast() {
                let all: Vec<_> = self.members.keys().copied().collect();
                let copies = all.into_iter().map(|to| Transmit { to, payload: payload.clone() }).collect();
                self.launch(from, copies);
                continue;
            }
            let flight = Flight { at: self.now, from, to, payload };
            if self.archive != Archive::Nothing {
                self.sent.push(flight.clone());
            }
            if self.cut.contains(&from.ip())
                || self.cut.contains(&to.ip())
                || self.side(from.ip()) != self.side(to.ip())
            {
                continue;
            }
            if self
                .deaf
                .is_some_and(|(member, exchange)| member == to && flight.payload.get(18) == Some(&exchange.0))
            {
                continue;
            }
            for delay in self.link.arrivals(&mut self.random) {
                self.launched += 1;
                self.flying.insert((self.now + delay, self.launched), flight.clone());
            }
        }
    }
}
