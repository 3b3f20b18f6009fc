//! Cooperating key servers that are strangers, are broken or lie: what is refused is named, counted and changes nothing.

use crate::bench::alliance::{address, allied_config, coop, primaries, start_server};
use crate::bench::coop_message::{
    at, members, number, patched, record, versions_of, State, Tek, ANNOUNCEMENT,
};
use crate::bench::fleet::{acl, member_address, member_config, server_address};
use crate::bench::random::Seeded;
use crate::bench::rogue::Rogue;
use crate::bench::traitor::{Traitor, VENDOR_IDS};
use crate::bench::{Link, World};
use gdoi::coop::{CoopRefusals, Role};
use gdoi::crypto::Secret;
use gdoi::phase1::VENDOR_ID;
use gdoi::policy::GroupId;
use gdoi::wire::{ExchangeType, Identification, PayloadType};
use gdoi::{
    CoopEvent, Error, KeyServerEvent, Malformed, Misbehaved, RegistrationState, Unacceptable, Unauthenticated,
};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

const LIFE: Duration = Duration::from_secs(3600);
const SECONDARY: u8 = 1;
const PRIMARY: u8 = 2;
/// Configured as their peer.
const TRAITOR: u8 = 3;
/// A memory that only the traitor speaks of.
const AUTHOR: u64 = 0x7777;

fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

/// Two servers that stand by each other, a member of each, and a third that is not there yet.
fn allies() -> World {
    let mut world = World::new(1, Link::CALM);
    (1..=2).for_each(|number| {
        let config = allied_config(number, TRAITOR, LIFE);
        start_server(&mut world, config, None, &mut Seeded::new(number.into()));
    });
    for number in 1..=2 {
        let servers = vec![crate::bench::fleet::server_entry(number as u8)];
        let config = gdoi::MemberConfig { servers, ..member_config(number) };
        world.add_member(member_address(number), crate::bench::fleet::member(config, u64::from(number)));
    }
    world.run_for(seconds(30));
    assert_eq!(primaries(&world, 2), [PRIMARY]);
    assert!((1..=2).all(|number| world.view(member_address(number)).registered));
    world
}

/// A traitor among the allies, and the server that it talks to.
struct Siege {
    world: World,
    traitor: Traitor,
    target: u8,
}

/// What a datagram led to.
#[derive(Debug)]
struct Outcome {
    events: Vec<KeyServerEvent>,
    /// What was counted as its.
    refused: CoopRefusals,
    /// What the server counted in all.
    rejected: u64,
}

/// All that a server shows, has stored, and has said, but for the counters of what it refused.
#[derive(PartialEq)]
struct Sight {
    groups: String,
    stored: Vec<u8>,
}

impl Siege {
    fn of(target: u8) -> Siege {
        Siege::against(allies(), target)
    }

    fn against(mut world: World, target: u8) -> Siege {
        let traitor = betray(&mut world, target, &VENDOR_IDS);
        world.run_for(seconds(1));
        let mut siege = Siege { world, traitor, target };
        let honest = siege.honest();
        siege.taken(&honest);
        siege
    }

    fn both() -> impl Iterator<Item = Siege> {
        [SECONDARY, PRIMARY].into_iter().map(Siege::of)
    }

    fn status(&self) -> gdoi::KeyServerStatus {
        self.world.server(address(self.target)).status(self.world.now)
    }

    /// What the traitor was told, the last message of this kind.
    fn told(&self, kind: u8) -> Vec<u8> {
        let to = SocketAddr::from(self.traitor.address);
        let mut flights = self.world.sent.iter().filter(|flight| flight.to == to).rev();
        let told = flights
            .find_map(|flight| self.traitor.open(&flight.payload).filter(|body| body[at::KIND] == kind));
        told.unwrap()
    }

    /// What an honest secondary would say now that has all that the target has.
    fn honest(&self) -> Vec<u8> {
        let told = patched(&self.told(ANNOUNCEMENT), at::ROLE, &[2, 1, 0]);
        let told = patched(&told, at::SUCCESSOR, &[0; 4]);
        patched(&told, at::PSEUDOTIME, &self.pseudotime().to_be_bytes())
    }

    fn pseudotime(&self) -> u64 {
        coop(&self.world, self.target).pseudotime
    }

    /// The versions of a state that is later than the target's.
    fn later(&self) -> Vec<(u64, u64)> {
        [versions_of(&self.honest()), vec![(AUTHOR, 1)]].concat()
    }

    fn state(&self, change: impl FnOnce(&mut State)) -> Vec<u8> {
        let mut state = State::sound(self.later());
        change(&mut state);
        state.emit(&self.honest(), self.pseudotime())
    }

    fn members(&self, span: (u64, u64), records: &[Vec<u8>]) -> Vec<u8> {
        members(&self.honest(), AUTHOR, span, records)
    }

    fn sight(&self) -> Sight {
        let mut groups = self.status().groups;
        for peer in groups.iter_mut().flat_map(|group| &mut group.coop).flat_map(|coop| &mut coop.peers) {
            (peer.received, peer.refused) = (0, CoopRefusals::default());
        }
        let stored = self.world.stored(address(self.target)).unwrap();
        Sight { groups: format!("{groups:?}"), stored: stored.expose().to_vec() }
    }

    fn counted(&self) -> (CoopRefusals, u64) {
        let status = self.status();
        let coop = status.groups[0].coop.as_ref().unwrap();
        let ours = coop.peers.iter().find(|peer| peer.address == *self.traitor.address.ip());
        (ours.map_or(CoopRefusals::default(), |peer| peer.refused), status.rejected)
    }

    /// Brings a datagram to the target, which does not change and says nothing.
    fn withstand(&mut self, from: SocketAddr, datagram: &[u8]) -> Outcome {
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

    fn withstand_body(&mut self, body: &[u8]) -> Outcome {
        let datagram = self.traitor.seal(body);
        self.withstand(self.traitor.address.into(), &datagram)
    }

    /// A message of the traitor's is refused for this reason, under this name.
    fn refused(&mut self, body: &[u8], reason: impl Into<Error>) {
        let outcome = self.withstand_body(body);
        self.world.run_for(seconds(2));
        let reason = reason.into();
        let name = outcome.named(self.traitor.address.ip(), &reason);
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
    fn taken(&mut self, body: &[u8]) {
        let before = self.counted();
        let datagram = self.traitor.seal(body);
        self.world.hand(self.traitor.address.into(), address(self.target), &datagram);
        assert_eq!(self.counted(), before);
    }

    /// The traitor does what honest servers do for so many seconds.
    fn stay(&mut self, seconds: u64) {
        for _ in 0..seconds {
            let honest = self.honest();
            self.taken(&honest);
            self.world.run_for(Duration::from_secs(1));
        }
    }

    /// A datagram that does not even get to the group.
    fn dropped(&mut self, from: SocketAddr, datagram: &[u8], reason: impl Into<Error>) {
        let outcome = self.withstand(from, datagram);
        self.world.run_for(seconds(1) / 2);
        let expected = KeyServerEvent::Rejected { from, reason: reason.into() };
        assert_eq!(expected.name(), "KS_PACKET_DROPPED");
        assert_eq!((outcome.events, outcome.rejected), (vec![expected], 1));
        assert_eq!(outcome.refused, CoopRefusals::default());
    }

    /// In the end the group is as it was.
    fn over(mut self) {
        self.world.run_for(seconds(20));
        assert_eq!(primaries(&self.world, 2), [PRIMARY]);
        let status = coop(&self.world, SECONDARY);
        let said = status.peers.iter().find(|peer| peer.address == *server_address(PRIMARY).ip());
        assert!(said.unwrap().said.unwrap().in_step && status.role == Role::Secondary);
    }
}

impl Outcome {
    fn named(&self, by: &Ipv4Addr, reason: &Error) -> &'static str {
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
fn betray(world: &mut World, target: u8, vendor_ids: &[&[u8]]) -> Traitor {
    let own = server_address(TRAITOR);
    Traitor::meet_as(own, vendor_ids, |datagram| {
        let sent = world.hand(own.into(), address(target), datagram);
        sent.into_iter().find(|flight| flight.to == own.into()).unwrap().payload
    })
}

fn stranger() -> SocketAddr {
    server_address(99).into()
}

#[test]
fn strangers_and_members_are_no_cooperating_servers() {
    for mut siege in Siege::both() {
        let honest = siege.honest();
        let stolen = siege.traitor.seal(&honest);
        let unsupported = Misbehaved::UnsupportedExchange(ExchangeType::COOP);
        siege.dropped(stranger(), &stolen, unsupported);
        // The same port on another host, another port on the same host.
        siege.dropped(address(SECONDARY.max(PRIMARY) + 5), &stolen, unsupported);
        let first = crate::bench::rogue::first_message(7);
        let outcome = siege.withstand(stranger(), &first);
        assert_eq!(
            outcome.events,
            [KeyServerEvent::Phase1Failed { peer: stranger(), reason: Unacceptable::NoKey.into() }]
        );
        assert_eq!((outcome.events[0].name(), outcome.rejected), ("KS_PHASE1_FAILED", 1));
        let datagram = member_that_speaks_coop(&mut siege, &honest);
        siege.dropped(member_address(9), &datagram, unsupported);
        siege.over();
    }
}

/// A member's own ISAKMP SA carries no COOP messages.
fn member_that_speaks_coop(siege: &mut Siege, body: &[u8]) -> Vec<u8> {
    let (target, from) = (address(siege.target), member_address(9));
    let mut talk = |datagram: &[u8]| siege.world.hand(from, target, datagram).remove(0).payload;
    let mut rogue = Rogue::meet(&mut talk);
    let sixth = talk(&rogue.introduce(&Identification::phase1(&member_config(9).identity).emit()));
    rogue.conclude(&sixth);
    let payload = [&1u64.to_be_bytes(), body].concat();
    let hash = |rest: &[u8]| rogue.keys().informational_hash(5, rest);
    rogue.say((ExchangeType::COOP, 5), &rogue.first_iv(5), &[(PayloadType::COOP, &payload)], hash)
}

#[test]
fn servers_with_different_keys_have_no_link() {
    let mut world = World::new(1, Link::CALM);
    for number in 1..=2 {
        let mut config = allied_config(number, 2, LIFE);
        config.peers[0].psk = Secret::from(&[number; 20][..]);
        start_server(&mut world, config, None, &mut Seeded::new(number.into()));
    }
    world.run_for(seconds(60));
    for number in 1..=2 {
        let status = world.server(address(number)).status(world.now);
        let peer = &status.groups[0].coop.as_ref().unwrap().peers[0];
        assert!(!peer.linked && !peer.alive && peer.received == 0);
        assert!(status.rejected > 0);
        let events = world.server_events(address(number)).iter().map(|(_, event)| event);
        let names: Vec<_> = events.clone().map(KeyServerEvent::name).collect();
        assert!(names.contains(&"COOP_LINK_FAILED") && names.contains(&"KS_PHASE1_FAILED"), "{names:?}");
        assert!(!names.contains(&"COOP_KS_REACH"), "{names:?}");
        let failed = events.filter_map(|event| match event {
            KeyServerEvent::Coop { event: CoopEvent::LinkFailed { reason, .. }, .. } => Some(reason),
            _ => None,
        });
        let explained = Unauthenticated::PreSharedKey.into();
        assert!(failed.clone().count() > 0 && failed.into_iter().all(|reason| *reason == explained));
    }
    assert_eq!(primaries(&world, 2), [1, 2], "each is alone");
}

/// A peer that knows the key but is not of this implementation.
#[test]
fn a_peer_that_does_not_cooperate_gets_no_link() {
    let mut world = allies();
    let before = world.server_events(address(PRIMARY)).len();
    betray(&mut world, PRIMARY, &[&VENDOR_ID]);
    world.run_for(seconds(1));
    let reason = Unacceptable::NotCooperating.into();
    let failed = CoopEvent::LinkFailed { peer: *server_address(TRAITOR).ip(), reason };
    let failed = KeyServerEvent::Coop { group: None, event: failed };
    assert_eq!(failed.name(), "COOP_LINK_FAILED");
    let events: Vec<_> =
        world.server_events(address(PRIMARY))[before..].iter().map(|(_, event)| event.clone()).collect();
    assert_eq!(events, [failed]);
    assert!(!coop(&world, PRIMARY)
        .peers
        .iter()
        .any(|peer| peer.linked && peer.address.octets()[3] == TRAITOR));
}

#[test]
fn a_peer_of_another_group_has_no_say_in_this_one() {
    let mut world = World::new(1, Link::CALM);
    for own in 1..=2 {
        let (mut config, other) = (allied_config(own, TRAITOR, LIFE), allied_config(own, TRAITOR, LIFE));
        config.groups.extend(other.groups);
        let [first, second] = &mut config.groups[..] else { unreachable!() };
        first.redundancy.as_mut().unwrap().peers.retain(|peer| peer.octets()[3] != TRAITOR);
        (second.group.name, second.group.id) = ("other".into(), GroupId(9));
        start_server(&mut world, config, None, &mut Seeded::new(own.into()));
    }
    world.run_for(seconds(30));
    let traitor = betray(&mut world, PRIMARY, &VENDOR_IDS);
    world.run_for(seconds(1));
    let mut siege = Siege { world, traitor, target: PRIMARY };
    let own = patched(&siege.honest(), at::GROUP, &9u32.to_be_bytes());
    siege.taken(&own);
    let group = crate::bench::fleet::group().id;
    for body in [siege.honest(), siege.state(|_| {}), siege.members((0, 5), &[])] {
        let body = patched(&body, at::GROUP, &group.0.to_be_bytes());
        let outcome = siege.withstand_body(&body);
        let reason = Unacceptable::UnknownGroup(group.to_string()).into();
        let name = outcome.named(siege.traitor.address.ip(), &reason);
        assert_eq!((name, outcome.rejected), ("COOP_PACKET_DROPPED", 1));
        siege.world.run_for(seconds(1));
    }
    siege.over();
}

#[test]
fn replayed_reflected_and_changed_datagrams_are_dropped() {
    for mut siege in Siege::both() {
        let from = SocketAddr::from(siege.traitor.address);
        let honest = siege.honest();
        let older = siege.traitor.seal(&honest);
        siege.taken(&honest);
        let newer = siege.traitor.seal(&honest);
        siege.world.hand(from, address(siege.target), &newer);
        siege.dropped(from, &newer, Misbehaved::Replayed { got: 4, last: 4 });
        siege.dropped(from, &older, Misbehaved::Replayed { got: 2, last: 4 });
        let numbered = siege.traitor.seal_as(0, &honest);
        siege.dropped(from, &numbered, Misbehaved::Replayed { got: 0, last: 4 });
        let flights = siege.world.sent.iter().filter(|flight| flight.to == from);
        let own = flights.last().unwrap().payload.clone();
        assert!(siege.traitor.open(&own).is_some());
        siege.dropped(from, &own, Misbehaved::Reflected);
        // Whose number is not its own: only the other side sets this bit.
        let numbered = siege.traitor.seal_as(1 << 63 | 9, &honest);
        siege.dropped(from, &numbered, Misbehaved::Reflected);
        siege.over();
    }
}

#[test]
fn datagrams_cut_short_or_changed_anywhere_are_dropped() {
    let mut siege = Siege::of(SECONDARY);
    let from = SocketAddr::from(siege.traitor.address);
    let honest = siege.honest();
    let sound = siege.traitor.seal(&honest);
    let changed = (0..sound.len()).map(|at| patched(&sound, at, &[sound[at] ^ 1]));
    let cut = (0..sound.len()).map(|length| sound[..length].to_vec());
    for (index, datagram) in cut.chain(changed).enumerate() {
        let outcome = siege.withstand(from, &datagram);
        assert_eq!((outcome.rejected, outcome.refused), (1, CoopRefusals::default()), "{index}");
    }
    siege.world.hand(from, address(siege.target), &sound);
    // More than ten in ten seconds are not named.
    siege.stay(10);
    siege.dropped(from, &sound, Misbehaved::Replayed { got: 2, last: 12 });
    siege.over();
}

#[test]
fn messages_without_or_with_more_than_a_body_are_dropped() {
    let mut siege = Siege::of(PRIMARY);
    let from = SocketAddr::from(siege.traitor.address);
    let payload = [&50u64.to_be_bytes()[..], &siege.honest()].concat();
    let coop = (PayloadType::COOP, &payload[..]);
    let cases: [(Vec<(PayloadType, &[u8])>, Error); 4] = [
        (vec![(PayloadType::NONCE, &[0; 8])], Misbehaved::MissingPayload(PayloadType::COOP).into()),
        (vec![coop, coop], Misbehaved::DuplicatePayload(PayloadType::COOP).into()),
        (vec![coop, (PayloadType::NONCE, &[0; 8])], Misbehaved::UnexpectedPayload(PayloadType::NONCE).into()),
        (vec![(PayloadType::COOP, &payload[..7])], Malformed::Truncated("COOP payload").into()),
    ];
    for (payloads, reason) in cases {
        let datagram = siege.traitor.seal_payloads(50, &payloads);
        siege.dropped(from, &datagram, reason);
    }
    let longest = siege.traitor.seal(&vec![0; 50_001]);
    siege.dropped(from, &longest, Malformed::Length("COOP payload"));
    siege.over();
}

#[test]
fn announcements_out_of_time_are_refused_and_named() {
    for mut siege in Siege::both() {
        let later = |epoch: u64, siege: &Siege| {
            let epoch = number(&siege.honest(), at::EPOCH) + epoch;
            patched(&siege.honest(), at::EPOCH, &epoch.to_be_bytes())
        };
        for epoch in [0, 1] {
            let ahead = siege.pseudotime() + 12_000;
            let body = patched(&later(epoch, &siege), at::PSEUDOTIME, &ahead.to_be_bytes());
            siege.refused(&body, Misbehaved::TooNew(12));
            let behind = siege.pseudotime() - 12_000;
            let body = patched(&later(epoch, &siege), at::PSEUDOTIME, &behind.to_be_bytes());
            siege.refused(&body, Misbehaved::TooOld(12));
            let honest = siege.honest();
            siege.taken(&honest);
        }
        let last = patched(&siege.honest(), at::PSEUDOTIME, &[0xff; 8]);
        let far = u64::MAX / 1000 - siege.pseudotime() / 1000;
        let outcome = siege.withstand_body(&last);
        assert_eq!(
            (outcome.events[0].name(), outcome.refused.too_new),
            ("GDOI_ANN_TIMESTAMP_LARGE", 1),
            "{far}"
        );
        let tolerable = siege.pseudotime() + 9_000;
        let tolerable = patched(&siege.honest(), at::PSEUDOTIME, &tolerable.to_be_bytes());
        siege.taken(&tolerable);
        siege.over();
    }
}

#[test]
fn states_out_of_time_are_refused_and_named() {
    for mut siege in Siege::both() {
        let state = State::sound(siege.later());
        let body = state.emit(&siege.honest(), siege.pseudotime() + 11_500);
        siege.refused(&body, Misbehaved::TooNew(11));
        let body = state.emit(&siege.honest(), siege.pseudotime() - 11_500);
        siege.refused(&body, Misbehaved::TooOld(11));
        siege.over();
    }
}

#[test]
fn epochs_that_cannot_have_come_are_refused() {
    for mut siege in Siege::both() {
        let epoch = coop(&siege.world, siege.target).epoch;
        for far in [epoch + (1 << 32) + 1, u64::MAX] {
            for field in [at::EPOCH, at::REIGN_EPOCH] {
                let body = patched(&siege.honest(), field, &far.to_be_bytes());
                siege.refused(&body, Misbehaved::EpochLeap(far));
            }
        }
        siege.over();
    }
}

#[test]
fn what_is_no_message_is_refused() {
    for mut siege in Siege::both() {
        let honest = siege.honest();
        let malformed = |siege: &mut Siege, at: usize, octets: &[u8], reason: Malformed| {
            siege.refused(&patched(&honest, at, octets), reason);
        };
        malformed(&mut siege, at::ROLE, &[9], Malformed::Value("COOP payload"));
        malformed(&mut siege, at::ROLE + 2, &[4], Malformed::Reserved("COOP payload"));
        malformed(&mut siege, at::VERSIONS, &[33], Malformed::TooMany("authors"));
        let longer = [&honest[..], &[0]].concat();
        siege.refused(&longer, Malformed::TrailingBytes("COOP payload"));
        siege.over();
    }
}

/// Nobody knows which group they are about, so they are counted with what the server refused in all.
#[test]
fn unknown_kinds_and_versions_are_refused() {
    for mut siege in Siege::both() {
        let honest = siege.honest();
        let cases = [
            (patched(&honest, at::KIND, &[0]), Malformed::Value("COOP payload").into()),
            (patched(&honest, at::KIND, &[4]), Malformed::Value("COOP payload").into()),
            (patched(&honest, at::FORMAT, &[2]), Malformed::Value("COOP payload").into()),
            (patched(&honest, at::FORMAT + 1, &[1]), Malformed::Reserved("COOP payload").into()),
            (patched(&honest, at::GROUP, &[0; 4]), Unacceptable::UnknownGroup("0".into()).into()),
            (honest[..7].to_vec(), Malformed::Truncated("COOP payload").into()),
            (Vec::new(), Malformed::Truncated("COOP payload").into()),
        ];
        for (body, reason) in cases {
            let reason: Error = reason;
            let outcome = siege.withstand_body(&body);
            let name = outcome.named(siege.traitor.address.ip(), &reason);
            assert_eq!((name, outcome.rejected), ("COOP_PACKET_DROPPED", 1));
            siege.world.run_for(seconds(2));
        }
        siege.over();
    }
}

#[test]
fn messages_cut_short_anywhere_are_refused() {
    for mut siege in Siege::both() {
        let member = record([198, 51, 7, 7].into(), *server_address(TRAITOR).ip(), AUTHOR, 3);
        let whole = [siege.honest(), siege.state(|_| {}), siege.members((0, 3), &[member])];
        for body in &whole {
            for length in 0..body.len() {
                let outcome = siege.withstand_body(&body[..length]);
                assert_eq!(outcome.rejected, 1, "{length} of {}", body.len());
                assert_eq!(outcome.refused.other, u64::from(length >= 8), "{length} of {}", body.len());
            }
        }
        siege.taken(&whole[2]);
        siege.over();
    }
}

#[test]
fn states_that_cannot_be_are_refused() {
    for mut siege in Siege::both() {
        let value = Error::from(Malformed::Value("state record"));
        let many = Error::from(Malformed::TooMany("state records"));
        let teks = |count: u32| (1..=count).map(|number| Tek::sound(0x7000 + number)).collect();
        type Change = Box<dyn FnOnce(&mut State)>;
        let cases: Vec<(Change, &Error)> = vec![
            (Box::new(move |state| state.teks = teks(33)), &many),
            (Box::new(|state| state.ended = 33), &many),
            (Box::new(|state| state.keks = 17), &many),
            (Box::new(|state| state.acl = vec!["permit ip any any".into(); 101]), &many),
            (Box::new(|state| state.teks[0].key_len = 16), &value),
            (Box::new(|state| state.teks[0].key_len = 0), &value),
            (Box::new(|state| state.teks[0].transform = "aes-256-gcm"), &value),
            (Box::new(|state| state.teks[0].spi = 0), &value),
            (Box::new(|state| state.teks[0].spi = 255), &value),
            (Box::new(|state| state.kek_len = 47), &value),
            (Box::new(|state| state.succession = 3), &value),
            (Box::new(|state| state.sequence = u32::MAX), &value),
            (Box::new(|state| state.acl = vec!["permit everything".into()]), &value),
            (Box::new(|state| state.acl = vec!["".into()]), &value),
        ];
        for (change, reason) in cases {
            let body = siege.state(change);
            siege.refused(&body, reason.clone());
        }
        let trailing = [&siege.state(|_| {})[..], &[0]].concat();
        siege.refused(&trailing, Malformed::TrailingBytes("COOP payload"));
        let nameless = patched(&siege.state(|_| {}), at::LINEAGE, &[0; 8]);
        siege.refused(&nameless, Malformed::Value("COOP payload"));
        siege.over();
    }
}

/// The same state with nothing wrong is believed: what is refused above is refused for what is wrong with it.
#[test]
fn a_sound_state_of_a_peer_is_taken() {
    let mut siege = Siege::of(SECONDARY);
    let body = siege.state(|_| {});
    siege.taken(&body);
    assert_eq!(siege.status().groups[0].teks[0].spi.0, 0x7777);
}

#[test]
fn member_lists_that_cannot_be_are_refused() {
    for mut siege in Siege::both() {
        let entry = |number: u8, author, version| {
            record([198, 51, 7, number].into(), *server_address(TRAITOR).ip(), author, version)
        };
        let too_many: Vec<_> = (1..=17).map(|number| entry(number, AUTHOR, number.into())).collect();
        let body = siege.members((0, 17), &too_many);
        siege.refused(&body, Malformed::TooMany("state records"));
        let version = Unacceptable::Unsupported("version of a member record", 0);
        for (span, records) in [
            ((0, 5), vec![entry(1, AUTHOR, 4), entry(2, AUTHOR + 1, 5)]),
            ((0, 5), vec![entry(1, AUTHOR, 4), entry(2, AUTHOR, 6)]),
            ((0, (1 << 62) + 1), vec![entry(1, AUTHOR, 5)]),
            ((0, u64::MAX), vec![]),
        ] {
            let body = siege.members(span, &records);
            siege.refused(&body, version.clone());
        }
        let body = siege.members((6, 5), &[]);
        siege.refused(&body, Malformed::Value("COOP payload"));
        let trailing = [&siege.members((0, 5), &[])[..], &[0]].concat();
        siege.refused(&trailing, Malformed::TrailingBytes("COOP payload"));
        siege.over();
    }
}

#[test]
fn more_members_than_a_group_can_have_are_refused() {
    let mut siege = Siege::of(SECONDARY);
    let owner = *server_address(TRAITOR).ip();
    let member = |number: u64| Ipv4Addr::from(0x0a00_0000 + number as u32);
    let slice = |siege: &Siege, from: u64, to: u64| {
        let records: Vec<_> =
            (from + 1..=to).map(|number| record(member(number), owner, AUTHOR, number)).collect();
        siege.members((from, to), &records)
    };
    // Two have registered.
    for from in (0..16_368).step_by(16) {
        let body = slice(&siege, from, from + 16);
        siege.taken(&body);
    }
    let body = slice(&siege, 16_368, 16_384);
    siege.refused(&body, Unacceptable::TooManyMembers);
    assert_eq!(siege.status().groups[0].members.len(), 16_370);
    let body = slice(&siege, 16_368, 16_382);
    siege.taken(&body);
    assert_eq!(siege.status().groups[0].members.len(), 16_384);
    let body = slice(&siege, 16_382, 16_383);
    siege.refused(&body, Unacceptable::TooManyMembers);
    // What is known may change.
    let body = siege.members((16_382, 16_383), &[record(member(1), owner, AUTHOR, 16_383)]);
    siege.taken(&body);
}

/// Members of the secondary get the primary's policy; both say what is wrong.
#[test]
fn another_configuration_is_named_and_the_primary_s_holds() {
    let mut world = World::new(1, Link::CALM);
    let mut other = allied_config(1, 2, LIFE);
    other.groups[0].acl = gdoi::policy::Acl::new(vec!["permit ip any any".parse().unwrap()]).unwrap();
    other.groups[0].activation_delay = seconds(1);
    start_server(&mut world, other, None, &mut Seeded::new(1));
    start_server(&mut world, allied_config(2, 2, LIFE), None, &mut Seeded::new(2));
    let config =
        gdoi::MemberConfig { servers: vec![crate::bench::fleet::server_entry(1)], ..member_config(1) };
    world.add_member(member_address(1), crate::bench::fleet::member(config, 1));
    world.run_until(seconds(60), |world| world.view(member_address(1)).registered);
    world.run_for(seconds(30));
    assert_eq!(primaries(&world, 2), [2]);
    for (own, other) in [(1, 2), (2, 1)] {
        let peer = *server_address(other).ip();
        let events = world.server_events(address(own)).iter();
        let named = events.filter(|(_, event)| event.name() == "COOP_CONFIG_MISMATCH");
        assert_eq!(named.count(), 1, "once, not every second");
        let status = coop(&world, own);
        let said = status.peers[0].said.unwrap();
        assert!(said.in_step && !said.configured_alike && status.peers[0].address == peer);
    }
    let status = world.member(member_address(1)).status(world.now);
    assert_eq!(status.registration, RegistrationState::Registered);
    assert_eq!((status.server, status.acl), (address(1), acl()));
    assert_eq!(status.activation_delay, Some(LIFE / 12));
}
