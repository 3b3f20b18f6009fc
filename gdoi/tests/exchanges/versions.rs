//! Datagrams of versions of IKE that are not spoken here, or too short to say: refused for the same reasons and counted in the
//! same places as what IKEv1 cannot read.

use crate::bench::fleet::{
    member, member_address, member_config, rekey_config, server, server_address, server_config,
};
use crate::bench::{Link, World};
use gdoi::wire::{Cookie, ExchangeType, Flags, Header, PayloadType, HEADER_LEN};
use gdoi::{Error, KeyServerEvent, Malformed, MemberEvent, Misbehaved};
use std::net::SocketAddr;
use std::time::Duration;

const IKEV2: u8 = 0x20;
const MINUTE: Duration = Duration::from_secs(60);

/// A header of another version, and of an SA with this SPI.
fn datagram(spi: [u8; 16], version: u8, next: PayloadType, exchange: ExchangeType) -> Vec<u8> {
    let (initiator, responder) = spi.split_at(8);
    let cookie = |octets: &[u8]| Cookie(octets.try_into().unwrap());
    let (initiator, responder) = (cookie(initiator), cookie(responder));
    let header = Header { initiator, responder, next, exchange, flags: Flags::NONE, message_id: 0 };
    let mut octets = header.emit(&[]).unwrap();
    octets[17] = version;
    octets
}

fn plain(version: u8) -> Vec<u8> {
    datagram([9; 16], version, PayloadType::SA, ExchangeType::IDENTITY_PROTECTION)
}

/// Versions, and what is said of each.
fn versions() -> impl Iterator<Item = (u8, Error)> {
    [0x00, 0x11, IKEV2, 0xff].into_iter().map(|version| (version, Malformed::Version(version).into()))
}

/// The last reason that a member gave, and whether it took the datagram for a rekey message.
fn refused(world: &mut World, from: SocketAddr, payload: &[u8]) -> (&'static str, Error) {
    let to = member_address(1);
    let before = world.member(to).status(world.now).rejected;
    world.hand(from, to, payload);
    assert_eq!(world.member(to).status(world.now).rejected, before + 1);
    match world.member_events(to).last() {
        Some((_, MemberEvent::Rejected { reason, .. })) => ("message", reason.clone()),
        Some((_, MemberEvent::RekeyRefused { reason, .. })) => ("rekey", reason.clone()),
        other => panic!("{other:?}"),
    }
}

/// A member with keys, that waits for nothing.
fn registered() -> World {
    let mut config = server_config(1);
    config.groups[0].rekey = Some(rekey_config());
    let mut world = World::new(7, Link::CALM);
    world.add_server(server_address(1), server(config, 1, world.now));
    world.add_member(member_address(1), member(member_config(1), 2));
    world.run_for(MINUTE);
    world
}

fn kek_spi(world: &World) -> [u8; 16] {
    world.member(member_address(1)).status(world.now).kek.unwrap().spi
}

#[test]
fn a_member_that_waits_for_nothing_says_only_that() {
    let mut world = registered();
    let unknown = ("message", Error::from(Misbehaved::UnknownExchange));
    for (version, _) in versions() {
        assert_eq!(refused(&mut world, server_address(1), &plain(version)), unknown, "{version:#x}");
    }
    assert_eq!(refused(&mut world, server_address(1), &plain(IKEV2)[..9]), unknown);
}

/// One that asks, in vain.
fn asking() -> World {
    let mut world = World::new(7, Link::CALM);
    world.add_member(member_address(1), member(member_config(1), 2));
    world.run_for(Duration::from_secs(1));
    world
}

#[test]
fn a_member_that_asks_says_what_is_wrong_with_its_servers_version() {
    for (version, reason) in versions() {
        let mut world = asking();
        let stranger = refused(&mut world, server_address(2), &plain(version));
        assert_eq!(stranger, ("message", Misbehaved::UnknownExchange.into()));
        let server = refused(&mut world, server_address(1), &plain(version));
        assert_eq!(server, ("message", reason), "{version:#x}");
    }
    let truncated = Error::from(Malformed::Truncated("ISAKMP header"));
    for length in [0, 17, 18, HEADER_LEN - 1] {
        let short = refused(&mut asking(), server_address(1), &plain(IKEV2)[..length]);
        assert_eq!(short, ("message", truncated.clone()), "{length} octets");
    }
}

#[test]
fn what_claims_to_be_a_rekey_or_a_fragment_is_counted_as_that() {
    let mut world = registered();
    let spi = kek_spi(&world);
    let (from, push) = (server_address(1), ExchangeType::GROUPKEY_PUSH);
    for (number, (version, reason)) in (1..).zip(versions()) {
        world.run_for(MINUTE);
        let rekey = datagram(spi, version, PayloadType::SEQ, push);
        assert!(!world.member(member_address(1)).owns(&rekey, world.now));
        assert_eq!(refused(&mut world, from, &rekey), ("rekey", reason.clone()));
        let fragment = datagram(spi, version, PayloadType::FRAGMENT, push);
        assert_eq!(refused(&mut world, from, &fragment), ("message", reason));
        assert_eq!(world.member(member_address(1)).status(world.now).rekeys.malformed, number);
    }
    let sound = datagram(spi, 0x10, PayloadType::SEQ, push);
    assert!(world.member(member_address(1)).owns(&sound, world.now));
}

#[test]
fn a_key_server_counts_what_claims_to_be_an_acknowledgement() {
    let mut world = registered();
    let (spi, ack) = (kek_spi(&world), ExchangeType::GROUPKEY_PUSH_ACK);
    let malformed = |world: &World| {
        let status = world.server(server_address(1)).status(world.now);
        (status.rejected, status.groups[0].rekey.as_ref().unwrap().acks.malformed)
    };
    let mut hand = |payload: &[u8]| {
        let before = malformed(&world);
        world.run_for(MINUTE);
        assert!(world.hand(member_address(1), server_address(1), payload).is_empty());
        let (rejected, acks) = malformed(&world);
        assert_eq!(rejected, before.0 + 1);
        match world.server_events(server_address(1)).last() {
            Some((_, KeyServerEvent::Rejected { reason, .. })) => (reason.clone(), acks - before.1),
            other => panic!("{other:?}"),
        }
    };
    for (version, reason) in versions() {
        assert_eq!(hand(&plain(version)), (reason.clone(), 0));
        assert_eq!(hand(&datagram([9; 16], version, PayloadType::HASH, ack)), (reason.clone(), 0));
        assert_eq!(hand(&datagram(spi, version, PayloadType::HASH, ack)), (reason.clone(), 1));
        assert_eq!(hand(&datagram(spi, version, PayloadType::FRAGMENT, ack)), (reason, 0));
    }
    let (short, truncated) =
        (datagram(spi, IKEV2, PayloadType::HASH, ack), Malformed::Truncated("ISAKMP header"));
    assert_eq!(hand(&short[..17]), (truncated.into(), 0));
    assert_eq!(hand(&short[..HEADER_LEN - 1]), (truncated.into(), 1));
}
