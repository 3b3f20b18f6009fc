//! First messages from forged addresses.

use super::{inside, ms, usual, NOW};
use crate::bench::alliance::{allied_config, coop, start_server, LIFE};
use crate::bench::fleet::{
    member, member_address, member_config, pre_shared_key, server, server_address, server_config, PSK,
};
use crate::bench::random::Seeded;
use crate::bench::rogue::{first_message, main_mode};
use crate::bench::{Link, World};
use gdoi::phase1::Cookies;
use gdoi::policy::{Doi, Identity, Proposal};
use gdoi::wire::{Cookie, PayloadType, Phase1Sa};
use gdoi::{CredentialEntry, MemberConfig, ServerEntry};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// In each half of a round trip of 20 ms.
const FORGED: u64 = 8;

/// Runs for so long, with first messages from these addresses all the time.
fn flood(world: &mut World, span: Duration, there: SocketAddr, from: impl Fn(u64) -> SocketAddr) {
    let end = world.now + span;
    let mut number = 1 << 32;
    while world.now < end {
        for _ in 0..FORGED {
            number += 1;
            world.inject(from(number), there, &first_message(number));
        }
        world.run_for(ms(10));
    }
}

#[test]
fn those_with_a_members_address_do_not_end_its_exchange() {
    let mut world = World::new(5, Link::CALM);
    let there = server_address(1);
    world.add_server(there, server(server_config(1), 1, world.now));
    world.add_member(member_address(1), member(member_config(1), 2));
    flood(&mut world, Duration::from_secs(2), there, |_| member_address(1));
    let status = world.member(member_address(1)).status(world.now);
    assert_eq!((status.registrations, status.failures), (1, 0), "{:?}", status.last_failure);
    let sent = world.sent.iter().filter(|flight| flight.to == there && flight.from == member_address(1));
    assert_eq!(sent.count() as u64, 200 * FORGED + 3 + 2 + 1, "the member repeats nothing");
}

#[test]
fn those_with_a_members_address_do_not_end_its_associations() {
    let mut server = usual();
    (0..4).for_each(|cookie| drop(inside(&mut server, 1, cookie, NOW)));
    assert_eq!(server.endpoint.status(NOW).established, 4);
    (0..50)
        .for_each(|number| drop(server.datagram(member_address(1), &first_message(1 << 20 | number), NOW)));
    assert_eq!(server.endpoint.status(NOW).established, 4);
}

#[test]
fn they_leave_nothing_behind() {
    let mut server = usual();
    for number in 0..5_000 {
        let sent = server.datagram(member_address(number), &first_message(number.into()), NOW);
        assert_eq!(sent.len(), 1, "each is answered");
    }
    assert_eq!(server.endpoint.status(NOW).half_open, 0);
}

#[test]
fn those_of_a_whole_network_do_not_end_a_members_exchange() {
    let mut world = World::new(5, Link::CALM);
    let v6 = |low: u64| {
        SocketAddr::new(IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, (low >> 16) as u16, low as u16]), 848)
    };
    let (there, here) = (SocketAddr::new(IpAddr::from([0x2001, 0xdb8, 9, 0, 0, 0, 0, 1]), 848), v6(1));
    let mut config = server_config(1);
    (config.address, config.identity) = (there, Identity::Address(there.ip()));
    let peers = "2001:db8::/32".parse().unwrap();
    config.credentials = vec![CredentialEntry { peers, identity: None, credential: pre_shared_key(PSK) }];
    world.add_server(there, server(config, 1, world.now));
    let servers = vec![ServerEntry { address: there, credential: pre_shared_key(PSK) }];
    let config = MemberConfig { servers, identity: Identity::Address(here.ip()), ..member_config(1) };
    world.add_member(here, member(config, 2));
    let half = ms(10);
    for number in 0..20u64 {
        for each in 0..1_100 {
            let number = number * 2_000 + each + 2;
            world.inject(v6(number), there, &first_message(number));
        }
        world.run_for(half);
    }
    let status = world.member(here).status(world.now);
    assert_eq!((status.registrations, status.failures), (1, 0), "{:?}", status.last_failure);
    assert_eq!(world.server(there).status(world.now).half_open, 0);
}

/// A first message whose offer no cookie can name: each has another life.
fn odd_message(number: u64) -> Vec<u8> {
    let lifetime = Duration::from_secs(100_000 + number * 60 + 1);
    let sa = Phase1Sa::new(Doi::Gdoi, &[Proposal { lifetime, ..Proposal::default() }]).emit().unwrap();
    let cookies = Cookies { initiator: Cookie((1 << 40 | number).to_be_bytes()), responder: Cookie::ZERO };
    main_mode(cookies, &[(PayloadType::SA, &sa)])
}

/// As other software does it. An offer that has led to a registration is not forgotten for what strangers say.
#[test]
fn offers_that_no_cookie_names_are_remembered() {
    let mut world = World::new(5, Link::CALM);
    let there = server_address(1);
    world.add_server(there, server(server_config(1), 1, world.now));
    let odd = Proposal { lifetime: Duration::from_secs(12_345), ..Proposal::default() };
    let config = |number| MemberConfig { proposal: odd, ..member_config(number) };
    world.add_member(member_address(1), member(config(1), 2));
    world.run_for(Duration::from_secs(1));
    assert!(world.view(member_address(1)).registered);
    world.add_member(member_address(2), member(config(2), 3));
    for round in 0..20 {
        for each in 0..600 {
            let number = round * 600 + each;
            world.inject(member_address(1_000 + number as u16), there, &odd_message(number));
        }
        world.run_for(ms(10));
    }
    let status = world.member(member_address(2)).status(world.now);
    assert_eq!((status.registrations, status.failures), (1, 0), "{:?}", status.last_failure);
    let sent = world.sent.iter().filter(|flight| flight.from == member_address(2)).count();
    assert_eq!(sent, 3 + 2 + 1, "at the first attempt");
}

/// Cooperating servers answer on the same port, and their addresses are known to everybody.
#[test]
fn those_with_the_address_of_a_cooperating_server_keep_no_link_down() {
    let mut world = World::new(1, Link::CALM);
    for number in 1..=2 {
        let config = allied_config(number, 2, LIFE);
        start_server(&mut world, config, None, &mut Seeded::new(number.into()));
    }
    let end = world.now + Duration::from_secs(3);
    let mut number = 1 << 32;
    while world.now < end {
        for (from, to) in [(1, 2), (2, 1)] {
            for _ in 0..FORGED {
                number += 1;
                world.inject(server_address(from), server_address(to), &first_message(number));
            }
        }
        world.run_for(ms(10));
    }
    for number in 1..=2 {
        assert!(coop(&world, number).peers[0].linked, "server {number}");
    }
}
