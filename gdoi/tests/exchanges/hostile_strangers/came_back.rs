//! Peers that have shown that they hear the server, and no more.

use super::{come_back, identity, inside, ms, usual, work, NOW};
use crate::bench::fleet::{
    group, member, member_address, member_config, pre_shared_key, server, server_address, server_config, PSK,
};
use crate::bench::rogue::{first_message, Rogue};
use crate::bench::{Link, World};
use gdoi::wire::{ExchangeType, Identification, PayloadType};
use gdoi::{CredentialEntry, Instant};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// 1,100 come up to the fourth message while an honest member makes its fifth.
#[test]
fn they_do_not_end_each_others_exchanges() {
    let mut server = usual();
    let mut talk = |datagram: &[u8]| server.datagram(member_address(1), datagram, NOW).remove(0).payload;
    let mut honest = Rogue::meet(&mut talk);
    let mut now = NOW;
    for number in 0..1_100 {
        now = NOW + ms(u64::from(number));
        come_back(&mut server, member_address(1_000 + number), 1 << 20 | u64::from(number), now);
        work(&mut server, now);
    }
    assert!(server.endpoint.status(now).half_open <= 2 * 1_024);
    let sixth = server.datagram(member_address(1), &honest.introduce(&identity(1)), now);
    assert_eq!(sixth.len(), 1, "{:?}", server.events.last());
    assert_eq!(server.endpoint.status(now).established, 1);
}

#[test]
fn those_of_one_network_have_only_its_share() {
    let mut config = server_config(1);
    let peers = "2001:db8::/32".parse().unwrap();
    config.credentials = vec![CredentialEntry { peers, identity: None, credential: pre_shared_key(PSK) }];
    let mut server = super::key_server(config);
    let of = |network: u16, host: u16| {
        SocketAddr::new(IpAddr::from([0x2001, 0xdb8, 0, network, 0, 0, 0, host]), 848)
    };
    let mut now = NOW;
    for host in 0..1_000 {
        now = now + ms(5);
        come_back(&mut server, of(1, host), host.into(), now);
        work(&mut server, now);
    }
    let most = server.endpoint.status(now).half_open;
    assert!(most <= 64, "{most}");
    come_back(&mut server, of(2, 1), 1 << 30, now);
    assert_eq!(server.endpoint.status(now).half_open, most + 1, "another network has its own");
}

#[test]
fn an_exchange_that_nobody_goes_on_with_is_forgotten() {
    let mut server = usual();
    come_back(&mut server, member_address(1), 1, NOW);
    assert_eq!(server.endpoint.status(NOW).half_open, 1);
    let later = NOW + Duration::from_secs(40);
    work(&mut server, later);
    assert_eq!(server.endpoint.status(later).half_open, 0);
}

/// The registration of a member that takes no leave, at this moment.
fn pull(server: &mut crate::bench::node::Node<gdoi::KeyServer>, number: u16, now: Instant) {
    let rogue = inside(server, number, number.into(), now);
    let id = Identification::group(group().id).emit().unwrap();
    let payloads = [(PayloadType::NONCE, &[1; 16][..]), (PayloadType::ID, &id)];
    let hash = |rest: &[u8]| rogue.keys().pull_hash_1(5, rest);
    let first = rogue.say((ExchangeType::GROUPKEY_PULL, 5), &rogue.first_iv(5), &payloads, hash);
    assert_eq!(server.datagram(member_address(number), &first, now).len(), 1);
}

/// A member of other software sends no Delete.
#[test]
fn an_association_ends_soon_after_its_pull() {
    let mut server = usual();
    pull(&mut server, 1, NOW);
    let later = NOW + Duration::from_secs(5);
    work(&mut server, later);
    assert_eq!(server.endpoint.status(later).established, 1, "a lost message is sent again");
    let later = NOW + Duration::from_secs(60);
    let sent = work(&mut server, later);
    assert_eq!(server.endpoint.status(later).established, 0);
    let told = sent.iter().filter(|transmit| transmit.payload[18] == ExchangeType::INFORMATIONAL.0);
    assert_eq!(told.count(), 1, "the peer is told (RFC 2408 section 3.15)");
}

/// Members that once proved themselves have room of their own.
#[test]
fn they_do_not_keep_out_who_was_inside_before() {
    let mut server = usual();
    inside(&mut server, 1, 1, NOW);
    let mut now = NOW + ms(1);
    for number in 0..2_000 {
        now = now + ms(1);
        come_back(&mut server, member_address(1_000 + number), 1 << 20 | u64::from(number), now);
        work(&mut server, now);
    }
    inside(&mut server, 1, 2, now);
    assert_eq!(server.endpoint.status(now).established, 2);
}

#[test]
fn they_do_not_keep_out_cooperating_servers() {
    let mut server =
        super::key_server(crate::bench::alliance::allied_config(1, 2, Duration::from_secs(3_600)));
    let mut now = NOW;
    for number in 0..2_000 {
        now = now + ms(1);
        come_back(&mut server, member_address(1_000 + number), 1 << 20 | u64::from(number), now);
    }
    let fourth = come_back(&mut server, server_address(2), 1, now);
    assert!(fourth.iter().any(|transmit| transmit.payload[16] == PayloadType::KE.0), "at once");
}

/// Cookies are good for their own exchange, from their own address, for a while.
#[test]
fn a_cookie_of_another_or_an_old_one_is_worth_nothing() {
    let mut server = usual();
    let second = server.datagram(member_address(1), &first_message(1), NOW).remove(0).payload;
    let third = super::third_message(&second, gdoi::crypto::DhGroup::P256);
    let port = SocketAddr::new(member_address(1).ip(), 4848);
    assert!(server.datagram(member_address(2), &third, NOW).is_empty());
    assert!(server.datagram(port, &third, NOW).is_empty());
    for octet in (0..16).chain([18]) {
        let mut changed = third.clone();
        changed[octet] ^= 0x10;
        assert!(server.datagram(member_address(1), &changed, NOW).is_empty(), "octet {octet}");
    }
    assert!(server.datagram(member_address(1), &third, NOW + Duration::from_secs(70)).is_empty());
    assert_eq!(server.endpoint.status(NOW).half_open, 0);
    assert_eq!(server.datagram(member_address(1), &third, NOW + Duration::from_secs(15)).len(), 1);
}

/// A registration that begins just before the secret of the cookies changes.
#[test]
fn a_change_of_the_secret_is_not_noticed() {
    let mut world = World::new(5, Link::CALM);
    world.add_server(server_address(1), server(server_config(1), 1, world.now));
    for number in 1..=200 {
        world.add_member(member_address(number), member(member_config(number), number.into()));
        world.run_for(ms(331));
    }
    for number in 1..=200 {
        let status = world.member(member_address(number)).status(world.now);
        assert_eq!((status.registrations, status.failures), (1, 0), "{number}: {:?}", status.last_failure);
    }
}
