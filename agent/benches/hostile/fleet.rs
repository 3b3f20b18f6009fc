//! The members: the protocol as the daemon runs it, each with a socket and an address of its own.

use super::place::Place;
use gdoi::crypto::{Secret, SystemRandom};
use gdoi::endpoint::{Endpoint, Instant as Moment, Output};
use gdoi::phase1::Credential;
use gdoi::policy::{Doi, GroupId, Identity, Proposal};
use gdoi::{GroupName, Member, MemberConfig, MemberEvent, ServerEntry};
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use socket2::{Domain, Protocol, Socket, Type};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// What members prove themselves with.
pub const KEY: &str = "only for measuring";

/// All members.
pub struct Fleet {
    routers: Vec<Router>,
    begun: Instant,
    rekey: Option<Instant>,
}

struct Router {
    member: Member,
    socket: UdpSocket,
    begins: Instant,
    wake: Option<Moment>,
    registered: Option<Duration>,
    failures: u64,
    /// When the last rekey message that it took came.
    rekeyed: Option<Instant>,
}

impl Fleet {
    pub fn of(place: &Place, members: u16) -> Self {
        let begun = Instant::now();
        let routers = (1..=members).map(|number| Router::new(place, number, begun)).collect();
        Fleet { routers, begun, rekey: None }
    }

    fn now(&self) -> Moment {
        Moment::from_millis(1_000 + self.begun.elapsed().as_millis() as u64)
    }

    /// One after the other within `span`; goes on until all have registered, at most for `most`.
    pub fn register_within(&mut self, span: Duration, most: Duration) {
        let (begun, count) = (Instant::now(), self.routers.len() as u32);
        for (number, router) in (0..).zip(&mut self.routers) {
            router.begins = begun + span * number / count;
        }
        while begun.elapsed() < most && (begun.elapsed() < span || self.registered() < self.routers.len()) {
            self.turn();
        }
    }

    pub fn live_until(&mut self, end: Instant) {
        while Instant::now() < end {
            self.turn();
        }
    }

    /// Until all have taken a rekey message, at most until `end`; how many have.
    pub fn await_rekey(&mut self, end: Instant) -> usize {
        let ordered = Instant::now();
        self.rekey = Some(ordered);
        let count = |fleet: &Fleet| {
            fleet.routers.iter().filter(|router| router.rekeyed.is_some_and(|at| at >= ordered)).count()
        };
        while Instant::now() < end && count(self) < self.routers.len() {
            self.turn();
        }
        count(self)
    }

    pub fn registered(&self) -> usize {
        self.routers.iter().filter(|router| router.registered.is_some()).count()
    }

    pub fn failures(&self) -> u64 {
        self.routers.iter().map(|router| router.failures).sum()
    }

    pub fn registration_times(&self) -> String {
        spread(self.routers.iter().filter_map(|router| router.registered).collect())
    }

    pub fn rekey_times(&self) -> String {
        let Some(ordered) = self.rekey else { return "never ordered".into() };
        let rekeyed = self.routers.iter().filter_map(|router| router.rekeyed);
        spread(rekeyed.filter(|at| *at >= ordered).map(|at| at - ordered).collect())
    }

    fn turn(&mut self) {
        let now = self.now();
        for router in self.routers.iter_mut().filter(|router| router.begins <= Instant::now()) {
            if router.wake.is_some_and(|wake| wake <= now) {
                router.member.handle_timeout(now);
                router.speak();
            }
        }
        let mut fds: Vec<_> =
            self.routers.iter().map(|router| PollFd::new(router.socket.as_fd(), PollFlags::POLLIN)).collect();
        let _ = poll(&mut fds, PollTimeout::from(5u8));
        let ready: Vec<_> = fds.iter().map(|fd| fd.any().unwrap_or(false)).collect();
        for (router, _) in self.routers.iter_mut().zip(ready).filter(|(_, ready)| *ready) {
            router.hear(now);
        }
    }
}

impl Router {
    fn new(place: &Place, number: u16, begun: Instant) -> Self {
        let own = place.member(number);
        let server = |number: u8| ServerEntry {
            address: place.server(number),
            credential: Credential::PreSharedKey(Secret::from(KEY.as_bytes())),
        };
        let config = MemberConfig {
            sender_ids: 1,
            group: GroupName { name: "corp".into(), id: GroupId(100) },
            servers: (1..=3).map(server).collect(),
            identity: Identity::Address(own.ip()),
            proposal: Proposal::default(),
            doi: Doi::default(),
        };
        Router {
            member: Member::new(config, Box::new(SystemRandom)),
            socket: bind(own),
            begins: begun + Duration::from_secs(86_400),
            wake: Some(Moment::default()),
            registered: None,
            failures: 0,
            rekeyed: None,
        }
    }

    fn hear(&mut self, now: Moment) {
        let mut buffer = [0; 65_535];
        while let Ok((length, from)) = self.socket.recv_from(&mut buffer) {
            self.member.handle_datagram(from, &buffer[..length], now);
            self.speak();
        }
    }

    fn speak(&mut self) {
        loop {
            match self.member.poll() {
                Output::Transmit(transmit) => drop(self.socket.send_to(&transmit.payload, transmit.to)),
                Output::Event(MemberEvent::Registered { .. }) => {
                    self.registered.get_or_insert(self.begins.elapsed());
                }
                Output::Event(MemberEvent::RegistrationFailed { .. }) => self.failures += 1,
                Output::Event(MemberEvent::Rekeyed { .. }) => self.rekeyed = Some(Instant::now()),
                Output::Event(_) | Output::Store(_) => {}
                Output::Wait(wake) => {
                    self.wake = wake;
                    return;
                }
            }
        }
    }
}

fn bind(address: SocketAddr) -> UdpSocket {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP)).unwrap();
    match address {
        SocketAddr::V4(_) => socket.set_freebind_v4(true).unwrap(),
        SocketAddr::V6(_) => socket.set_freebind_v6(true).unwrap(),
    }
    socket.set_nonblocking(true).unwrap();
    socket.bind(&address.into()).unwrap();
    socket.into()
}

/// Median, and the longest.
fn spread(mut times: Vec<Duration>) -> String {
    times.sort();
    match (times.get(times.len() / 2), times.last()) {
        (Some(median), Some(longest)) => {
            format!("median {} ms, longest {} ms", median.as_millis(), longest.as_millis())
        }
        _ => "nobody".into(),
    }
}
