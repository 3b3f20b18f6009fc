//! What strangers make a key server compute.

use super::{key_server, ms, third_message, usual, work, NOW};
use crate::bench::fleet::{group, member_address, rekey_config, server_config};
use crate::bench::node::Node;
use crate::bench::random::Seeded;
use crate::bench::rogue::{first_message, main_mode};
use gdoi::crypto::{DhGroup, Error, Random};
use gdoi::phase1::Cookies;
use gdoi::policy::{Doi, Proposal};
use gdoi::wire::{Cookie, ExchangeType, Header, PayloadType, Phase1Sa};
use gdoi::{KeyServer, KeyServerCommand, RekeyKind, Transmit};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

/// Counts what is drawn from it.
struct Counted(Seeded, Arc<AtomicUsize>);

impl Random for Counted {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), Error> {
        self.1.fetch_add(out.len(), Ordering::Relaxed);
        self.0.fill(out)
    }
}

fn offering(group: DhGroup) -> Proposal {
    Proposal { group, ..Proposal::default() }
}

fn first(number: u64, group: DhGroup) -> Vec<u8> {
    let cookies = Cookies { initiator: Cookie((number + 1).to_be_bytes()), responder: Cookie::ZERO };
    let sa = Phase1Sa::new(Doi::Gdoi, &[offering(group)]).emit().unwrap();
    main_mode(cookies, &[(PayloadType::SA, &sa)])
}

/// A value that is none costs no key pair, as often as it comes.
#[test]
fn a_public_value_is_looked_at_before_ours_is_made() {
    for dh in DhGroup::ALL {
        let drawn = Arc::new(AtomicUsize::new(0));
        let random = Box::new(Counted(Seeded::new(1), drawn.clone()));
        let config = gdoi::KeyServerConfig { proposals: vec![offering(dh)], ..server_config(1) };
        let mut server = Node::new(KeyServer::new(config, None, random, NOW).unwrap(), NOW);
        let second = server.datagram(member_address(1), &first(1, dh), NOW).remove(0).payload;
        let cookies = Cookies::of(&Header::parse(&second).unwrap().0);
        let before = drawn.load(Ordering::Relaxed);
        let length = dh.public_len();
        let one = [&vec![0; length - 1][..], &[1]].concat();
        for value in [vec![0; length], vec![0xff; length], one, vec![4; length - 1], vec![4; length + 1]] {
            let third = main_mode(cookies, &[(PayloadType::KE, &value), (PayloadType::NONCE, &[7; 32])]);
            server.datagram(member_address(1), &third, NOW);
        }
        assert_eq!(drawn.load(Ordering::Relaxed), before, "group {dh}");
        assert_eq!(server.endpoint.status(NOW).half_open, 0, "group {dh}: the exchange is over");
    }
}

fn fourths(sent: &[Transmit]) -> Vec<SocketAddr> {
    let is_fourth = |transmit: &&Transmit| transmit.payload[16] == PayloadType::KE.0;
    sent.iter().filter(is_fourth).map(|transmit| transmit.to).collect()
}

/// Forty exchanges of the dearest group come back in one moment, and a rekey is ordered.
#[test]
fn exponentiations_are_spread_and_a_rekey_goes_first() {
    let mut config = server_config(1);
    config.groups[0].rekey = Some(rekey_config());
    config.proposals = vec![offering(DhGroup::Modp4096)];
    let mut node = key_server(config);
    work(&mut node, NOW);
    let seconds = (0..40).map(|number| {
        let peer = member_address(number);
        (peer, node.datagram(peer, &first(number.into(), DhGroup::Modp4096), NOW).remove(0).payload)
    });
    let seconds: Vec<_> = seconds.collect();
    let mut sent = Vec::new();
    let third = third_message(&seconds[0].1, DhGroup::Modp4096);
    for (peer, second) in &seconds {
        let mut third = third.clone();
        third[..16].copy_from_slice(&second[..16]);
        sent.extend(node.datagram(*peer, &third, NOW));
    }
    assert!(fourths(&sent).len() <= 2, "{} at once", fourths(&sent).len());
    let command = KeyServerCommand::Rekey(group().id.into(), RekeyKind::Forced);
    node.command(command, NOW).0.unwrap();
    let keys = node.events.iter().filter(|(at, event)| *at == NOW && event.name() == "KS_NEW_TEK");
    assert_eq!(keys.count(), 2, "the second at once");
    let (early, late) = (NOW + ms(200), NOW + ms(2_000));
    sent.extend(work(&mut node, early));
    let part = fourths(&sent).len();
    assert!((5..=20).contains(&part), "{part}: half of the time");
    sent.extend(work(&mut node, late));
    assert_eq!(fourths(&sent).len(), 40, "all come to their turn");
}

/// One address has its turn, not all turns.
#[test]
fn who_asks_often_waits_for_the_others() {
    let mut config = server_config(1);
    config.proposals = vec![offering(DhGroup::Modp4096)];
    let mut node = key_server(config);
    let mut sent = Vec::new();
    let come_back = |node: &mut Node<KeyServer>, peer: SocketAddr, number: u64| {
        let second = node.datagram(peer, &first(number, DhGroup::Modp4096), NOW).remove(0).payload;
        let sent = node.datagram(peer, &third_message(&second, DhGroup::Modp4096), NOW);
        sent.into_iter().filter(|transmit| transmit.payload[18] == ExchangeType::IDENTITY_PROTECTION.0)
    };
    for number in 0..30 {
        sent.extend(come_back(&mut node, member_address(1), number));
    }
    for number in 2..=5 {
        sent.extend(come_back(&mut node, member_address(number), 100 + u64::from(number)));
    }
    sent.extend(work(&mut node, NOW + ms(250)));
    let served = fourths(&sent);
    (2..=5).for_each(|number| assert!(served.contains(&member_address(number)), "{number}: {served:?}"));
    sent.extend(work(&mut node, NOW + ms(3_000)));
    let of_one = fourths(&sent).iter().filter(|peer| **peer == member_address(1)).count();
    assert!(of_one <= 8, "{of_one}");
}

/// Whatever strangers do, a duplicate of a message that waits is no more work.
#[test]
fn a_duplicate_of_what_waits_does_not_wait_twice() {
    let mut config = server_config(1);
    config.proposals = vec![offering(DhGroup::Modp4096)];
    let mut node = key_server(config);
    let mut sent = Vec::new();
    for number in 0..6 {
        let peer = member_address(number);
        let second = node.datagram(peer, &first(number.into(), DhGroup::Modp4096), NOW).remove(0).payload;
        let third = third_message(&second, DhGroup::Modp4096);
        for _ in 0..5 {
            sent.extend(node.datagram(peer, &third, NOW));
        }
    }
    sent.extend(work(&mut node, NOW + ms(2_000)));
    let mut peers = fourths(&sent);
    peers.sort();
    peers.dedup();
    assert_eq!(peers.len(), 6);
}

/// An honest registration beside a thousand each second that come back.
#[test]
fn time_for_public_keys_is_bounded() {
    let mut node = usual();
    let mut answered = 0;
    let mut now = NOW;
    for number in 0..4_000u16 {
        let peer = member_address(number);
        let second = node.datagram(peer, &first_message(number.into()), now).remove(0).payload;
        answered += fourths(&node.datagram(peer, &third_message(&second, DhGroup::P256), now)).len();
        if number % 40 == 0 {
            now = now + ms(1);
            answered += fourths(&work(&mut node, now)).len();
        }
    }
    let most = 100 + 6 * (now.saturating_since(NOW).as_millis() as usize);
    assert!((200..=most).contains(&answered), "{answered} of at most {most}");
}
