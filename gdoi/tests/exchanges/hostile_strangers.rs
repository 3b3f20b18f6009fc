//! Whoever can only send: from forged addresses, from addresses of its own, from a whole network. Members, rekeys and
//! cooperating servers do not notice.

mod came_back;
mod forged;
mod fragments;
mod public_keys;
mod told;

use crate::bench::fleet::{member_address, member_config, server, server_config};
use crate::bench::node::Node;
use crate::bench::rogue::{first_message, main_mode, Rogue};
use gdoi::crypto::{DhGroup, KeyPair};
use gdoi::phase1::Cookies;
use gdoi::wire::{Header, Identification, PayloadType};
use gdoi::{Instant, KeyServer, KeyServerConfig};
use std::net::SocketAddr;
use std::time::Duration;

const NOW: Instant = Instant::from_millis(1_000_000);

fn ms(number: u64) -> Duration {
    Duration::from_millis(number)
}

fn key_server(config: KeyServerConfig) -> Node<KeyServer> {
    Node::new(server(config, 1, NOW), NOW)
}

fn usual() -> Node<KeyServer> {
    key_server(server_config(1))
}

/// Lets the server do until `until` what it wants to do.
fn work(node: &mut Node<KeyServer>, until: Instant) -> Vec<gdoi::Transmit> {
    let mut sent = Vec::new();
    while let Some(wake) = node.wake().filter(|wake| *wake <= until) {
        sent.extend(node.timeout(wake));
    }
    sent
}

/// A third message for the exchange that this answer began, with a sound public value.
fn third_message(second: &[u8], group: DhGroup) -> Vec<u8> {
    let cookies = Cookies::of(&Header::parse(second).unwrap().0);
    let pair = KeyPair::generate(group, &mut crate::bench::random::Seeded::new(9)).unwrap();
    main_mode(cookies, &[(PayloadType::KE, pair.public()), (PayloadType::NONCE, &[7; 32])])
}

/// Comes back from `peer` with a third message; what was sent at once.
fn come_back(node: &mut Node<KeyServer>, peer: SocketAddr, number: u64, now: Instant) -> Vec<gdoi::Transmit> {
    let second = node.datagram(peer, &first_message(number), now).remove(0).payload;
    node.datagram(peer, &third_message(&second, DhGroup::P256), now)
}

fn identity(number: u16) -> Vec<u8> {
    Identification::phase1(&member_config(number).identity).emit().unwrap()
}

/// A member that has passed phase 1.
fn inside(node: &mut Node<KeyServer>, number: u16, cookie: u64, now: Instant) -> Rogue {
    let mut talk =
        |datagram: &[u8]| node.datagram(member_address(number), datagram, now).remove(0).payload.clone();
    let mut rogue = Rogue::meet_with(&first_message(cookie), &mut talk);
    let sixth = talk(&rogue.introduce(&identity(number)));
    rogue.conclude(&sixth);
    rogue
}
