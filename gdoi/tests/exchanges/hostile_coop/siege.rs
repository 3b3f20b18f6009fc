//! A traitor among cooperating key servers, and what its messages do to the one that it talks to.

use crate::bench::alliance::{address, allies, coop, primaries, PRIMARY, SECONDARY, THIRD as TRAITOR};
use crate::bench::coop_message::{at, members, patched, versions_of, State, ANNOUNCEMENT};
use crate::bench::fleet::server_address;
use crate::bench::traitor::{sight, Traitor, VENDOR_IDS};
use crate::bench::World;
use gdoi::coop::{CoopRefusals, Role};
use gdoi::{CoopEvent, Error, KeyServerEvent, KeyServerStatus, Misbehaved};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// A memory that only the traitor speaks of.
pub const AUTHOR: u64 = 0x7777;

pub fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

/// A traitor among the allies, and the server that it talks to.
pub struct Siege {
    pub world: World,
    pub traitor: Traitor,
    pub target: u8,
}

/// What a datagram led to.
#[derive(Debug)]
pub struct Outcome {
    pub events: Vec<KeyServerEvent>,
    /// What was counted as its.
    pub refused: CoopRefusals,
    /// What the server counted in all.
    pub rejected: u64,
}

impl Siege {
    pub fn of(target: u8) -> Siege {
        let mut world = allies();
        let traitor = betray(&mut world, target, &VENDOR_IDS);
        world.run_for(seconds(1));
        let mut siege = Siege { world, traitor, target };
        let honest = siege.honest();
        siege.taken(&honest);
        siege
    }

    pub fn both() -> impl Iterator<Item = Siege> {
        [SECONDARY, PRIMARY].into_iter().map(Siege::of)
    }

    pub fn status(&self) -> KeyServerStatus {
        self.world.server(address(self.target)).status(self.world.now)
    }

    /// What the traitor was told, the last message of this kind.
    fn told(&self, kind: u8) -> Vec<u8> {
        let to = self.traitor.address;
        let mut flights = self.world.sent.iter().filter(|flight| flight.to == to).rev();
        let told = flights
            .find_map(|flight| self.traitor.open(&flight.payload).filter(|body| body[at::KIND] == kind));
        told.unwrap()
    }

    /// What an honest secondary would say now that has all that the target has.
    pub fn honest(&self) -> Vec<u8> {
        let told = patched(&self.told(ANNOUNCEMENT), at::ROLE, &[2, 1, 0]);
        let told = patched(&told, at::SUCCESSOR, &[0; 4]);
        patched(&told, at::PSEUDOTIME, &self.pseudotime().to_be_bytes())
    }

    pub fn pseudotime(&self) -> u64 {
        coop(&self.world, self.target).pseudotime
    }

    /// The versions of a state that is later than the target's.
    pub fn later(&self) -> Vec<(u64, u64)> {
        [versions_of(&self.honest()), vec![(AUTHOR, 1)]].concat()
    }

    pub fn state(&self, change: impl FnOnce(&mut State)) -> Vec<u8> {
        let mut state = State::sound(self.later());
        change(&mut state);
        state.emit(&self.honest(), self.pseudotime())
    }

    pub fn members(&self, span: (u64, u64), records: &[Vec<u8>]) -> Vec<u8> {
        members(&self.honest(), AUTHOR, span, records)
    }

    fn sight(&self) -> (String, Vec<u8>) {
        let stored = self.world.stored(address(self.target)).unwrap();
        (sight(&self.status()), stored.expose().to_vec())
    }

    fn counted(&self) -> (CoopRefusals, u64) {
        let status = self.status();
        let coop = status.groups[0].coop.as_ref().unwrap();
        let ours = coop.peers.iter().find(|peer| peer.address == self.traitor.address.ip());
        (ours.map_or(CoopRefusals::default(), |peer| peer.refused), status.rejected)
    }

    /// Brings a datagram to the target, which does not change and says nothing.
    pub fn withstand(&mut self, from: SocketAddr, datagram: &[u8]) -> Outcome {
        let (before, counted) = (self.sight(), self.counted());
        let events = self.world.server_events(address(self.target)).len();
        let sent = self.world.hand(from, address(self.target), datagram);
        assert!(sent.is_empty(), "it has answered");
        assert!(self.sight() == before, "it has changed");
        let events = self.world.server_events(address(self.target))[events..].iter();
        let (refused, rejected) = self.counted();
        Outcome {
            events: events.map(|(_, event)| event.clone()).collect(),
            refused: CoopRefusals {
                too_new: refused.too_new - counted.0.too_new,
                too_old: refused.too_old - counted.0.too_old,
                other: refused.other - counted.0.other,
            },
            rejected: rejected - counted.1,
        }
    }

    pub fn withstand_body(&mut self, body: &[u8]) -> Outcome {
        let datagram = self.traitor.seal(body);
        self.withstand(self.traitor.address, &datagram)
    }

    /// A message of the traitor's is refused for this reason, under this name.
    pub fn refused(&mut self, body: &[u8], reason: impl Into<Error>) {
        let outcome = self.withstand_body(body);
        self.world.run_for(seconds(2));
        let reason = reason.into();
        let name = outcome.named(&self.traitor.address.ip(), &reason);
        let expected = match reason {
            Error::Misbehaved(Misbehaved::TooNew(_)) => {
                ("GDOI_ANN_TIMESTAMP_LARGE", CoopRefusals { too_new: 1, ..CoopRefusals::default() })
            }
            Error::Misbehaved(Misbehaved::TooOld(_)) => {
                ("GDOI_ANN_TIMESTAMP_TOO_OLD", CoopRefusals { too_old: 1, ..CoopRefusals::default() })
            }
            _ => ("COOP_PACKET_DROPPED", CoopRefusals { other: 1, ..CoopRefusals::default() }),
        };
        assert_eq!((name, outcome.refused, outcome.rejected), (expected.0, expected.1, 1));
    }

    /// A message of the traitor's that nothing is wrong with.
    pub fn taken(&mut self, body: &[u8]) {
        let before = self.counted();
        let datagram = self.traitor.seal(body);
        self.world.hand(self.traitor.address, address(self.target), &datagram);
        assert_eq!(self.counted(), before, "{:?}", self.world.server_events(address(self.target)).last());
    }

    /// The traitor does what honest servers do for so many seconds.
    pub fn stay(&mut self, seconds: u64) {
        for _ in 0..seconds {
            let honest = self.honest();
            self.taken(&honest);
            self.world.run_for(Duration::from_secs(1));
        }
    }

    /// A datagram that does not even get to the group.
    pub fn dropped(&mut self, from: SocketAddr, datagram: &[u8], reason: impl Into<Error>) {
        let outcome = self.withstand(from, datagram);
        self.world.run_for(seconds(1) / 2);
        let expected = KeyServerEvent::Rejected { from, reason: reason.into() };
        assert_eq!(expected.name(), "KS_PACKET_DROPPED");
        assert_eq!((outcome.events, outcome.rejected), (vec![expected], 1));
        assert_eq!(outcome.refused, CoopRefusals::default());
    }

    /// In the end the group is as it was.
    pub fn over(mut self) {
        self.world.run_for(seconds(20));
        assert_eq!(primaries(&self.world, 2), [PRIMARY]);
        let status = coop(&self.world, SECONDARY);
        let said = status.peers.iter().find(|peer| peer.address == server_address(PRIMARY).ip());
        assert!(said.unwrap().said.unwrap().in_step && status.role == Role::Secondary);
    }
}

impl Outcome {
    pub fn named(&self, by: &IpAddr, reason: &Error) -> &'static str {
        let [KeyServerEvent::Coop { event: CoopEvent::Refused { peer, reason: said }, .. }] =
            &self.events[..]
        else {
            panic!("{:?}", self.events)
        };
        assert_eq!((peer, said), (by, reason));
        self.events[0].name()
    }
}

/// The phase 1 of server 3 with a real one.
pub fn betray(world: &mut World, target: u8, vendor_ids: &[&[u8]]) -> Traitor {
    let own = server_address(TRAITOR);
    Traitor::meet_as(own, vendor_ids, |datagram| {
        let sent = world.hand(own, address(target), datagram);
        sent.into_iter().find(|flight| flight.to == own).unwrap().payload
    })
}
