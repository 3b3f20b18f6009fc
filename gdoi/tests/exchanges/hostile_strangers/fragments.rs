//! Forged fragments of rekey messages: a KEK's SPI stands in clear in each of them.

use crate::access::{acls, config, key_server, registrations, rekey, thousand};
use crate::bench::fleet::{member, member_address, member_config, server};
use crate::bench::{Link, World};
use gdoi::fragment::is_fragment;
use gdoi::wire::{emit_chain, ExchangeType, Flags, Fragment, Header, PayloadType, Position};
use gdoi::{RekeyKind, Retransmit, Transport};
use std::cell::Cell;
use std::time::Duration;

/// How a forged fragment is numbered, given how many came before it: its ID and its number.
type Numbering = fn(u16) -> (u16, u8);

/// Twenty fragments of one octet come, with the key server's address, before each true one.
fn forged(datagram: &[u8], drawn: &Cell<u16>, numbering: Numbering) -> Vec<Vec<u8>> {
    let (header, body) = Header::parse(datagram).unwrap();
    if header.exchange != ExchangeType::GROUPKEY_PUSH || !is_fragment(datagram) {
        return Vec::new();
    }
    let true_id = u16::from_be_bytes([body[4], body[5]]);
    let one = |_| {
        drawn.set(drawn.get() + 1);
        let (id, number) = numbering(drawn.get());
        let id = if id == 0 { true_id } else { id };
        let fragment = Fragment { id, number, position: Position::Before, data: &[1] }.emit().unwrap();
        let header = Header { next: PayloadType::FRAGMENT, flags: Flags::NONE, ..header };
        header.emit(&emit_chain(&[(PayloadType::FRAGMENT, &fragment)]).unwrap()).unwrap()
    };
    (0..20).map(one).collect()
}

/// A rekey with a list of a thousand entries, sent once.
fn rekeyed_among(numbering: Numbering) {
    let config = |variant| {
        let mut config = config(thousand(variant), Transport::Unicast);
        let once = Retransmit { interval: Duration::from_secs(20), number: 1 };
        config.groups[0].rekey.as_mut().unwrap().retransmit = once;
        config
    };
    let mut world = World::new(1, Link::CALM);
    world.add_server(key_server(), server(config(1), 1, world.now));
    world.add_member(member_address(1), member(member_config(1), 1_001));
    world.run_for(Duration::from_secs(5));
    world.reconfigure(key_server(), config(2));
    let drawn = Cell::new(0);
    world.meddle = Box::new(move |datagram| forged(datagram, &drawn, numbering));
    rekey(&mut world, RekeyKind::Forced);
    world.run_for(Duration::from_secs(2));
    assert!(acls(&world) == [thousand(2)], "it did not come with the first transmission");
    assert_eq!(registrations(&world, 1), 1);
}

#[test]
fn many_messages_begun_lose_no_rekey() {
    rekeyed_among(|drawn| (u16::MAX - drawn, 1 + (drawn % 14) as u8));
}

/// Who is on the path reads the ID, and is faster than the key server with two fragments.
#[test]
fn false_parts_of_the_same_message_lose_no_rekey() {
    rekeyed_among(|drawn| (0, 3 + (drawn % 2) as u8 * 4));
}
