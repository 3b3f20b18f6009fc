//! Rekey messages and acknowledgements that are replayed, reordered, forged, truncated, out of time or of others change
//! nothing and are counted by kind.

use crate::bench::fleet::{
    group, member, member_address, member_config, rekey_config, server, server_address, server_config,
};
use crate::bench::stored::{OpenedPush, Stored, StoredKek};
use crate::bench::{Flight, Link, World};
use gdoi::crypto::sign::{NewKey, SigningKey};
use gdoi::crypto::Hash;
use gdoi::wire::{ExchangeType, Gap, GroupSa, PayloadType};
use gdoi::{AckCounters, KeyServerCommand, MemberStatus, RekeyCounters, RekeyKind, RekeyStatus, Removal};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

fn key_server() -> SocketAddr {
    server_address(1)
}

fn signer() -> SigningKey {
    rekey_config().signing_key
}

/// Two members; the key server has sent two reminders.
fn start() -> World {
    let mut world = World::new(1, Link::CALM);
    let mut config = server_config(1);
    config.groups[0].rekey = Some(rekey_config());
    world.add_server(key_server(), server(config, 1, world.now));
    for number in 1..=2 {
        world.add_member(member_address(number), member(member_config(number), u64::from(number)));
    }
    world.run_for(seconds(5));
    (0..2).for_each(|_| rekey(&mut world, RekeyKind::Reminder));
    world
}

fn rekey(world: &mut World, kind: RekeyKind) {
    world.command_server(key_server(), KeyServerCommand::Rekey(group().id.into(), kind));
    world.run_for(seconds(2));
}

fn remove_all(world: &mut World) {
    world.command_server(key_server(), KeyServerCommand::Remove(group().id.into(), None, Removal::Graceful));
}

/// The KEK of now.
fn kek(world: &World) -> StoredKek {
    Stored::read(&world.stored(key_server()).unwrap()).keks[0].clone()
}

/// The rekey messages that the first member was sent, or its acknowledgements.
fn flights(world: &World, exchange: ExchangeType) -> Vec<Flight> {
    let own = |flight: &&Flight| [flight.from, flight.to].contains(&member_address(1));
    let of_kind = world.sent.iter().filter(own).filter(|flight| flight.payload[18] == exchange.0);
    of_kind.cloned().collect()
}

fn pushes(world: &World) -> Vec<Vec<u8>> {
    flights(world, ExchangeType::GROUPKEY_PUSH).into_iter().map(|flight| flight.payload).collect()
}

fn status(world: &World) -> MemberStatus {
    world.member(member_address(1)).status(world.now)
}

/// Brings datagrams to the first member, which does not change, but may ask its server sooner whether it lacks something; what
/// it counted and the names of its other events.
fn withstand(world: &mut World, datagrams: &[Vec<u8>]) -> (RekeyCounters, Vec<&'static str>) {
    let (before, view) = (status(world), world.view(member_address(1)));
    let events = world.member_events(member_address(1)).len();
    datagrams.iter().for_each(|datagram| world.inject(key_server(), member_address(1), datagram));
    // Before it asks its server, as it may after a sign that it lacks something.
    world.run_for(Duration::from_millis(200));
    let after = status(world);
    assert_eq!(world.view(member_address(1)), view);
    assert_eq!((&after.kek, after.last_rekey), (&before.kek, before.last_rekey));
    let names = world.member_events(member_address(1))[events..].iter().map(|(_, event)| event.name());
    let (behind, names): (Vec<_>, Vec<_>) = names.partition(|name| *name == "GM_BEHIND");
    assert_eq!(after.registration, before.registration);
    assert_eq!(after.reregisters_at < before.reregisters_at, behind.len() == 1, "{behind:?}");
    (difference(after.rekeys, before.rekeys), names)
}

fn difference(after: RekeyCounters, before: RekeyCounters) -> RekeyCounters {
    RekeyCounters {
        received: after.received - before.received,
        repeated: after.repeated - before.repeated,
        replayed: after.replayed - before.replayed,
        forged: after.forged - before.forged,
        untimely: after.untimely - before.untimely,
        unknown_spi: after.unknown_spi - before.unknown_spi,
        malformed: after.malformed - before.malformed,
        acknowledged: after.acknowledged - before.acknowledged,
    }
}

/// The last message once more with another number and, if given, another pseudotime.
fn remade(world: &World, ahead: u32, pseudotime: Option<u64>) -> Vec<(PayloadType, Vec<u8>)> {
    let OpenedPush { sequence, mut payloads, .. } = kek(world).open(&pushes(world).pop().unwrap());
    for (kind, body) in &mut payloads {
        match *kind {
            PayloadType::SEQ => *body = (sequence + ahead).to_be_bytes().to_vec(),
            PayloadType::SA => *body = retimed(body, pseudotime),
            _ => {}
        }
    }
    payloads
}

fn retimed(body: &[u8], pseudotime: Option<u64>) -> Vec<u8> {
    let mut sa = GroupSa::parse(body).unwrap();
    let told = sa.gap.as_ref().and_then(|gap| gap.pseudotime);
    let gap = sa.gap.take().unwrap();
    GroupSa { gap: Some(Gap { pseudotime: pseudotime.or(told), ..gap }), ..sa }.emit().unwrap()
}

#[test]
fn the_same_message_again_is_acknowledged_again() {
    let mut world = start();
    let last = pushes(&world).pop().unwrap();
    let acks = flights(&world, ExchangeType::GROUPKEY_PUSH_ACK).len();
    let (counted, events) = withstand(&mut world, &[last.clone(), last]);
    assert_eq!(counted, RekeyCounters { repeated: 2, acknowledged: 2, ..RekeyCounters::default() });
    assert!(events.is_empty(), "{events:?}");
    assert_eq!(flights(&world, ExchangeType::GROUPKEY_PUSH_ACK).len(), acks + 2);
}

#[test]
fn older_messages_are_replays() {
    let mut world = start();
    let older = pushes(&world).swap_remove(0);
    let same_number = kek(&world).seal(&remade(&world, 0, Some(1)), &signer());
    let (counted, events) = withstand(&mut world, &[older, same_number]);
    assert_eq!(counted, RekeyCounters { replayed: 2, ..RekeyCounters::default() });
    assert_eq!(events, ["GDOI_REKEY_SEQ_FAILURE"; 2]);
}

/// A member, which has the KEK, cannot speak for the key server.
#[test]
fn messages_signed_by_others_are_forgeries() {
    let mut world = start();
    let other = SigningKey::from_pkcs8(&NewKey::EcdsaP256.generate().unwrap(), Hash::Sha256).unwrap();
    let payloads = remade(&world, 1, None);
    let forged = kek(&world).seal(&payloads, &other);
    let (counted, events) = withstand(&mut world, &[forged]);
    assert_eq!(counted, RekeyCounters { forged: 1, ..RekeyCounters::default() });
    assert_eq!(events, ["GDOI_REKEY_FAILURE"]);
    let honest = kek(&world).seal(&payloads, &signer());
    world.inject(key_server(), member_address(1), &honest);
    world.run_for(seconds(1));
    assert_eq!(status(&world).rekeys.received, 3, "only the signature was wrong");
}

#[test]
fn messages_cut_short_or_changed_anywhere_are_refused() {
    let mut world = start();
    let sound = kek(&world).seal(&remade(&world, 1, None), &signer());
    let cut: Vec<_> = (19..sound.len()).map(|length| sound[..length].to_vec()).collect();
    let (counted, _) = withstand(&mut world, &cut);
    assert_eq!(counted, RekeyCounters { malformed: cut.len() as u64, ..RekeyCounters::default() });
    let flip = |at: usize| {
        let mut changed = sound.clone();
        changed[at] ^= 1;
        changed
    };
    let changed: Vec<_> = (0..sound.len()).filter(|at| *at != 18).map(flip).collect();
    let (counted, _) = withstand(&mut world, &changed);
    assert_eq!(counted.unknown_spi, 16 + 4, "cookies and message ID: {counted:?}");
    let all = counted.replayed + counted.forged + counted.unknown_spi + counted.malformed + counted.untimely;
    assert_eq!((all, counted.received), (changed.len() as u64, 0), "{counted:?}");
    assert!(counted.forged > 50 && counted.malformed > 50, "{counted:?}");
}

#[test]
fn messages_out_of_time_are_refused_and_named() {
    let mut world = start();
    world.run_for(seconds(200));
    let now = |world: &World| world.now.as_millis() - 1_000_000;
    for (shift, name) in [(-105_000, "PSEUDO_TIME_TOO_OLD"), (105_000, "PSEUDO_TIME_LARGE")] {
        let pseudotime = now(&world).saturating_add_signed(shift);
        let message = kek(&world).seal(&remade(&world, 1, Some(pseudotime)), &signer());
        let (counted, events) = withstand(&mut world, &[message]);
        assert_eq!(counted, RekeyCounters { untimely: 1, ..RekeyCounters::default() });
        assert_eq!(events, [name]);
        // It asks its server whether it lacks something.
        world.run_for(seconds(10));
    }
    let message = kek(&world).seal(&remade(&world, 1, Some(now(&world))), &signer());
    world.inject(key_server(), member_address(1), &message);
    world.run_for(seconds(1));
    assert_eq!(status(&world).rekeys.received, 3, "a message in time is taken");
}

/// What the key server itself said, held back on the way.
#[test]
fn a_message_that_was_held_back_is_too_old() {
    let mut world = start();
    world.cut(member_address(1).ip());
    rekey(&mut world, RekeyKind::Reminder);
    let held_back = pushes(&world).pop().unwrap();
    world.run_for(seconds(150));
    world.join(member_address(1).ip());
    let (counted, events) = withstand(&mut world, &[held_back]);
    assert_eq!(counted, RekeyCounters { untimely: 1, ..RekeyCounters::default() });
    assert_eq!(events, ["PSEUDO_TIME_TOO_OLD"]);
}

#[test]
fn another_spi_is_nobodys() {
    let mut world = start();
    let stranger = StoredKek { spi: [7; 16], ..kek(&world) };
    let message = stranger.seal(&remade(&world, 1, None), &signer());
    let (counted, events) = withstand(&mut world, &[message]);
    assert_eq!(counted, RekeyCounters { unknown_spi: 1, ..RekeyCounters::default() });
    assert_eq!(events, ["GDOI_REKEY_FAILURE"]);
}

#[test]
fn nothing_goes_under_a_kek_after_the_dismissal() {
    let mut world = start();
    let (old, payloads) = (kek(&world), remade(&world, 9, None));
    remove_all(&mut world);
    world.run_until(seconds(10), |world| status(world).kek.is_none());
    let message = old.seal(&payloads, &signer());
    let (counted, events) = withstand(&mut world, std::slice::from_ref(&message));
    assert_eq!(counted, RekeyCounters { unknown_spi: 1, ..RekeyCounters::default() });
    assert_eq!(events, ["GDOI_REKEY_FAILURE"]);
    world.run_for(seconds(60));
    assert!(status(&world).kek.is_some_and(|kek| kek.spi != old.spi), "it has registered again");
    assert_eq!(withstand(&mut world, &[message]).0.unknown_spi, 1);
}

/// The numbers begin anew with the new KEK; those of the old one stay used.
#[test]
fn numbers_after_a_new_kek() {
    let mut world = start();
    rekey(&mut world, RekeyKind::Forced);
    let before = pushes(&world);
    rekey(&mut world, RekeyKind::Reminder);
    assert_eq!(status(&world).kek.unwrap().sequence, 1);
    let (counted, _) = withstand(&mut world, &before);
    assert_eq!(counted, RekeyCounters { replayed: 3, ..RekeyCounters::default() });
    rekey(&mut world, RekeyKind::Reminder);
    assert_eq!((status(&world).kek.unwrap().sequence, status(&world).rekeys.received), (2, 5));
}

/// A group that waits for the acknowledgement of its second member.
struct Waiting {
    world: World,
    kek: StoredKek,
}

impl Waiting {
    fn start() -> Waiting {
        let mut world = start();
        world.deafen(member_address(2), ExchangeType::GROUPKEY_PUSH);
        rekey(&mut world, RekeyKind::Reminder);
        let kek = kek(&world);
        let waiting = Waiting { world, kek };
        assert_eq!(waiting.rekey().waiting_for, 1);
        waiting
    }

    fn rekey(&self) -> RekeyStatus {
        let status = self.world.server(key_server()).status(self.world.now);
        status.groups[0].rekey.clone().unwrap()
    }

    /// Brings acknowledgements to the key server, which does not change; what it counted.
    fn withstand(&mut self, from: SocketAddr, datagrams: &[Vec<u8>]) -> (AckCounters, Vec<&'static str>) {
        let (before, members) = (self.rekey(), self.members());
        let events = self.world.server_events(key_server()).len();
        datagrams.iter().for_each(|datagram| self.world.inject(from, key_server(), datagram));
        self.world.run_for(Duration::from_millis(20));
        let after = self.rekey();
        assert_eq!((after.waiting_for, self.members()), (before.waiting_for, members));
        let counted = AckCounters {
            received: after.acks.received - before.acks.received,
            unexpected: after.acks.unexpected - before.acks.unexpected,
            forged: after.acks.forged - before.acks.forged,
            malformed: after.acks.malformed - before.acks.malformed,
        };
        let names = self.world.server_events(key_server())[events..].iter().map(|(_, event)| event.name());
        (counted, names.collect())
    }

    fn members(&self) -> Vec<gdoi::MemberRecord> {
        self.world.server(key_server()).status(self.world.now).groups[0].members.clone()
    }

    fn unexpected(&mut self, from: SocketAddr, datagram: Vec<u8>) {
        let (counted, events) = self.withstand(from, &[datagram]);
        assert_eq!(counted, AckCounters { unexpected: 1, ..AckCounters::default() });
        assert_eq!(events, ["KS_ACK_REFUSED"]);
    }

    fn acknowledgement(&self, sequence: u32, member: u16) -> Vec<u8> {
        self.kek.acknowledgement(sequence, ip(member))
    }
}

fn ip(member: u16) -> IpAddr {
    member_address(member).ip()
}

#[test]
fn only_the_members_own_acknowledgement_counts() {
    let mut waiting = Waiting::start();
    let last = waiting.kek.sequence;
    let repeated = flights(&waiting.world, ExchangeType::GROUPKEY_PUSH_ACK).pop().unwrap().payload;
    assert_eq!(repeated, waiting.acknowledgement(last, 1), "this is what members send");
    waiting.unexpected(member_address(1), repeated);
    waiting.unexpected(member_address(77), waiting.acknowledgement(last, 77));
    waiting.unexpected(member_address(77), waiting.acknowledgement(last, 2));
    waiting.unexpected(member_address(1), waiting.acknowledgement(last, 2));
    waiting.unexpected(member_address(2), waiting.acknowledgement(last, 1));
    waiting.unexpected(member_address(2), waiting.acknowledgement(last - 1, 2));
    waiting.unexpected(member_address(2), waiting.acknowledgement(last + 1, 2));
    let own = waiting.acknowledgement(last, 2);
    waiting.world.inject(member_address(2), key_server(), &own);
    waiting.world.run_for(seconds(1));
    assert_eq!(waiting.rekey().waiting_for, 0);
    waiting.world.run_for(seconds(40));
    waiting.unexpected(member_address(2), own);
}

#[test]
fn acknowledgements_cut_short_or_changed_anywhere_are_refused() {
    let mut waiting = Waiting::start();
    let sound = waiting.acknowledgement(waiting.kek.sequence, 2);
    let cut: Vec<_> = (19..sound.len()).map(|length| sound[..length].to_vec()).collect();
    let (counted, _) = waiting.withstand(member_address(2), &cut);
    assert_eq!(counted, AckCounters { malformed: cut.len() as u64, ..AckCounters::default() });
    let body = 28 + 4..sound.len();
    let changed: Vec<_> = body
        .map(|at| {
            let mut changed = sound.clone();
            changed[at] ^= 1;
            changed
        })
        .collect();
    let (counted, _) = waiting.withstand(member_address(2), &changed);
    assert_eq!(counted.forged + counted.malformed, changed.len() as u64, "{counted:?}");
    assert!(counted.forged >= 32 + 4 + 4, "hash, number and address: {counted:?}");
}

#[test]
fn acknowledgements_of_other_keks_are_nobodys() {
    let mut waiting = Waiting::start();
    let rejected = |waiting: &Waiting| waiting.world.server(key_server()).status(waiting.world.now).rejected;
    let before = rejected(&waiting);
    let stranger = StoredKek { spi: [7; 16], ..waiting.kek.clone() };
    let ack = stranger.acknowledgement(waiting.kek.sequence, ip(2));
    let (counted, events) = waiting.withstand(member_address(2), &[ack]);
    assert_eq!((counted, events), (AckCounters::default(), vec!["KS_PACKET_DROPPED"]));
    assert_eq!(rejected(&waiting), before + 1);
}

/// Under the new KEK nothing was sent yet.
#[test]
fn an_acknowledgement_under_the_next_kek_comes_too_early() {
    let mut waiting = Waiting::start();
    rekey(&mut waiting.world, RekeyKind::Forced);
    waiting.kek = kek(&waiting.world);
    for sequence in 0..3 {
        waiting.unexpected(member_address(2), waiting.acknowledgement(sequence, 2));
    }
}
