//! Members and key servers on one network, in one time.

use super::link::Link;
use super::node::Node;
use super::random::Seeded;
use gdoi::crypto::Secret;
use gdoi::wire::ExchangeType;
use gdoi::{
    Change, Instant, KeyServer, KeyServerCommand, KeyServerConfig, KeyServerEvent, Member, MemberCommand,
    MemberEvent, Transmit, View,
};
use std::collections::{BTreeMap, HashSet};
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

pub struct World {
    pub now: Instant,
    pub link: Link,
    /// All that was sent so far, arrived or not.
    pub sent: Vec<Flight>,
    /// What arrives just before each datagram, with the same sender.
    pub meddle: Meddler,
    random: Seeded,
    launched: u64,
    flying: BTreeMap<(Instant, u64), Flight>,
    cut: HashSet<IpAddr>,
    deaf: Option<(SocketAddr, ExchangeType)>,
    members: BTreeMap<SocketAddr, Node<Member>>,
    servers: BTreeMap<SocketAddr, Node<KeyServer>>,
}

impl World {
    /// An empty one. Time does not begin at zero, so that nobody takes zero for "now".
    pub fn new(seed: u64, link: Link) -> Self {
        World {
            now: Instant::from_millis(1_000_000),
            link,
            sent: Vec::new(),
            meddle: Box::new(|_| Vec::new()),
            random: Seeded::new(seed),
            launched: 0,
            flying: BTreeMap::new(),
            cut: HashSet::new(),
            deaf: None,
            members: BTreeMap::new(),
            servers: BTreeMap::new(),
        }
    }

    pub fn add_member(&mut self, address: SocketAddr, member: Member) {
        self.members.insert(address, Node::new(member, self.now));
    }

    /// Also replaces one: a restart.
    pub fn add_server(&mut self, address: SocketAddr, server: KeyServer) {
        self.servers.insert(address, Node::new(server, self.now));
    }

    pub fn command(&mut self, address: SocketAddr, command: MemberCommand) {
        let now = self.now;
        let sent = self.members.get_mut(&address).unwrap().command(command, now);
        self.launch(address, sent);
    }

    pub fn command_server(&mut self, address: SocketAddr, command: KeyServerCommand) {
        let now = self.now;
        let sent = self.servers.get_mut(&address).unwrap().command(command, now);
        self.launch(address, sent);
    }

    /// A key server reads its configuration again.
    pub fn reconfigure(&mut self, address: SocketAddr, config: KeyServerConfig) -> Vec<Change> {
        self.servers.get_mut(&address).unwrap().endpoint.reconfigure(config, self.now).unwrap()
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

    /// Ends [`World::cut`].
    pub fn join(&mut self, host: IpAddr) {
        self.cut.remove(&host);
    }

    pub fn member(&self, address: SocketAddr) -> &Member {
        &self.members[&address].endpoint
    }

    pub fn view(&self, address: SocketAddr) -> View {
        self.member(address).view(self.now)
    }

    pub fn views(&self) -> Vec<View> {
        self.members.values().map(|node| node.endpoint.view(self.now)).collect()
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
        let members = self.members.values().filter_map(Node::wake);
        members.chain(self.servers.values().filter_map(Node::wake)).min()
    }

    fn deliver(&mut self, flight: &Flight) {
        let (from, to, now) = (flight.from, flight.to, self.now);
        let sent = match (self.members.get_mut(&to), self.servers.get_mut(&to)) {
            (Some(member), _) => member.datagram(from, &flight.payload, now),
            (_, Some(server)) => server.datagram(from, &flight.payload, now),
            _ => return,
        };
        self.launch(to, sent);
    }

    fn wake(&mut self) {
        let now = self.now;
        let due = |wake: Option<Instant>| wake.is_some_and(|wake| wake <= now);
        let members = self.members.iter_mut().filter(|(_, node)| due(node.wake()));
        let mut sent: Vec<_> = members.map(|(address, node)| (*address, node.timeout(now))).collect();
        let servers = self.servers.iter_mut().filter(|(_, node)| due(node.wake()));
        sent.extend(servers.map(|(address, node)| (*address, node.timeout(now))));
        sent.into_iter().for_each(|(address, sent)| self.launch(address, sent));
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
            self.sent.push(flight.clone());
            if self.cut.contains(&from.ip()) || self.cut.contains(&to.ip()) {
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
