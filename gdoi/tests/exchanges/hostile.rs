//! The regression checklist of other implementations' holes, one test each. Here: datagrams that anybody can send. They
//! come with the right addresses just before every honest one, and change nothing.

use crate::bench::fleet::{member, member_address, member_config, server, server_address, server_config};
use crate::bench::{Link, World};
use gdoi::crypto::{DhGroup, Hash};
use gdoi::policy::Proposal;
use gdoi::wire::{emit_chain, Chain, ExchangeType, Flags, Header, Padding, PayloadType, HEADER_LEN};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

/// One registration with `garbage` before each datagram; it goes through at the first attempt.
fn withstand(proposal: Proposal, garbage: fn(&[u8]) -> Vec<Vec<u8>>) {
    let mut world = World::new(5, Link::CALM);
    let (mut ks, mut gm) = (server_config(1), member_config(1));
    (ks.proposals, gm.proposal) = (vec![proposal], proposal);
    world.meddle = Box::new(garbage);
    world.add_server(server_address(1), server(ks, 1, world.now));
    world.add_member(member_address(1), member(gm, 2));
    world.run_for(MINUTE);
    let status = world.member(member_address(1)).status(world.now);
    assert_eq!((status.registrations, status.failures), (1, 0), "{:?}", status.last_failure);
    assert_eq!(world.view(member_address(1)).inbound.len(), 1);
    let sent = world.sent.iter().filter(|flight| flight.from == member_address(1)).count();
    assert_eq!(sent, 3 + 2 + 1, "the member is not made to send more");
    let status = world.server(server_address(1)).status(world.now);
    assert_eq!((status.half_open, status.established), (0, 0));
    assert_eq!(status.groups[0].members.len(), 1);
}

/// The message with another body, and the length that belongs to it.
fn with_body(datagram: &[u8], body: &[u8]) -> Vec<u8> {
    Header::parse(datagram).unwrap().0.emit(body).unwrap()
}

fn edited(datagram: &[u8], offset: usize, octets: &[u8]) -> Vec<u8> {
    let mut copy = datagram.to_vec();
    copy[offset..offset + octets.len()].copy_from_slice(octets);
    copy
}

/// Where the payloads of a message in clear begin, counted from the beginning of the datagram.
fn offsets(datagram: &[u8]) -> Vec<usize> {
    let (header, body) = Header::parse(datagram).unwrap();
    let Ok(chain) = Chain::parse(header.next, body, Padding::None) else { return Vec::new() };
    let lengths = chain.payloads.iter().map(|payload| payload.whole.len());
    lengths.scan(HEADER_LEN, |next, length| Some(std::mem::replace(next, *next + length))).collect()
}

fn is_clear(datagram: &[u8]) -> bool {
    !Header::parse(datagram).unwrap().0.flags.is_encrypted()
}

#[test]
fn item_2_datagrams_cut_short_or_drawn_out() {
    withstand(Proposal::default(), |datagram| {
        let body = &datagram[HEADER_LEN..];
        let cut = (0..datagram.len()).map(|length| datagram[..length].to_vec());
        let cut_and_corrected = (0..body.len()).map(|length| with_body(datagram, &body[..length]));
        let longer = (1..40).map(|more| [datagram, &vec![0; more]].concat());
        let longer_and_corrected = (1..40).filter(|more| is_clear(datagram) || more % 16 != 0);
        let longer_and_corrected =
            longer_and_corrected.map(|more| with_body(datagram, &[body, &vec![0; more]].concat()));
        cut.chain(cut_and_corrected).chain(longer).chain(longer_and_corrected).collect()
    });
}

#[test]
fn item_2_lengths_that_lie() {
    withstand(Proposal::default(), |datagram| {
        let honest = datagram.len() as u32;
        let header = [0, 1, 27, 28, honest - 1, honest + 1, u32::MAX];
        let header = header.iter().map(|length| edited(datagram, 24, &length.to_be_bytes()));
        let payloads = offsets(datagram).into_iter().flat_map(|offset| {
            let honest = u16::from_be_bytes([datagram[offset + 2], datagram[offset + 3]]);
            let lies = [0, 1, 3, honest - 1, honest + 1, u16::MAX];
            lies.map(|length| edited(datagram, offset + 2, &length.to_be_bytes()))
        });
        header.chain(payloads).collect()
    });
}

#[test]
fn item_3_reserved_octets_and_unknown_payloads() {
    withstand(Proposal::default(), |datagram| {
        let reserved = offsets(datagram).into_iter().map(|offset| edited(datagram, offset + 1, &[1]));
        let (header, body) = Header::parse(datagram).unwrap();
        let unknown = [6, 7, 9, 14, 19, 33, 34, 35, 46, 128, 132, 255].into_iter().map(|kind| {
            let body = [&[header.next.0, 0, 0, 8, 1, 2, 3, 4], body].concat();
            Header { next: PayloadType(kind), ..header }.emit(&body).unwrap()
        });
        let endless = (1..=255).map(|kind| {
            Header { next: PayloadType(kind), ..header }.emit(&[kind, 0, 0, 4].repeat(5000)).unwrap()
        });
        reserved.chain(unknown).chain(endless).collect()
    });
}

#[test]
fn item_5_the_other_version_and_other_exchanges() {
    withstand(Proposal::default(), |datagram| {
        let versions = [0x00, 0x11, 0x20, 0xff].map(|version| edited(datagram, 17, &[version]));
        let own = datagram[18];
        let exchanges = (0..=255).filter(|kind| *kind != own).map(|kind| edited(datagram, 18, &[kind]));
        let encryption = edited(datagram, 19, &[datagram[19] ^ 1]);
        versions.into_iter().chain(exchanges).chain([encryption]).collect()
    });
}

/// Vendor IDs come and go as they like.
#[test]
fn item_5_payloads_that_are_missing_or_come_twice() {
    withstand(Proposal::default(), |datagram| {
        let (header, body) = Header::parse(datagram).unwrap();
        let Ok(chain) = Chain::parse(header.next, body, Padding::None) else { return Vec::new() };
        let all: Vec<_> = chain.payloads.iter().map(|payload| (payload.kind, payload.body)).collect();
        let matters = |index: &usize| all[*index].0 != PayloadType::VENDOR;
        let emit = |payloads: Vec<(PayloadType, &[u8])>| {
            let next = payloads.first().map_or(PayloadType::NONE, |(kind, _)| *kind);
            Header { next, ..header }.emit(&emit_chain(&payloads).unwrap()).unwrap()
        };
        let missing = (0..all.len()).filter(matters).map(|index| {
            let mut some = all.clone();
            some.remove(index);
            emit(some)
        });
        let twice =
            (0..all.len()).filter(matters).map(|index| emit([&all[..], &all[index..=index]].concat()));
        let none = Header { next: PayloadType::NONE, ..header }.emit(&[]).unwrap();
        missing.chain(twice).chain([none]).collect()
    });
}

/// KE payloads that are no member of the group: of a wrong length, zero, one, the prime less one, all ones.
fn bad_public_values(datagram: &[u8]) -> Vec<Vec<u8>> {
    let (header, body) = Header::parse(datagram).unwrap();
    let Ok(chain) = Chain::parse(header.next, body, Padding::None) else { return Vec::new() };
    let Some(index) = chain.payloads.iter().position(|payload| payload.kind == PayloadType::KE) else {
        return Vec::new();
    };
    let public = chain.payloads[index].body;
    let one = [&vec![0; public.len() - 1][..], &[1]].concat();
    // All six primes begin and end with ones: these lie between p-1 and the greatest number of the length.
    let values = [
        vec![],
        vec![1],
        public[1..].to_vec(),
        [&[0], public].concat(),
        vec![0; public.len()],
        one,
        vec![0xff; public.len()],
    ];
    let emit = |value: &Vec<u8>| {
        let mut all: Vec<_> = chain.payloads.iter().map(|payload| (payload.kind, payload.body)).collect();
        all[index].1 = value;
        header.emit(&emit_chain(&all).unwrap()).unwrap()
    };
    values.iter().map(emit).collect()
}

#[test]
fn item_6_public_values_outside_the_group() {
    for group in DhGroup::ALL {
        withstand(Proposal { group, hash: Hash::Sha256, ..Proposal::default() }, bad_public_values);
    }
}

/// What is encrypted cannot be changed anywhere.
#[test]
fn every_octet_of_a_protected_message_matters() {
    withstand(Proposal::default(), |datagram| match is_clear(datagram) {
        true => Vec::new(),
        false => (0..datagram.len())
            .flat_map(|at| [1, 0x80].map(|bit| edited(datagram, at, &[datagram[at] ^ bit])))
            .collect(),
    });
}

#[test]
fn item_10_unprotected_deletes_and_notifies_change_nothing() {
    withstand(Proposal::default(), |datagram| {
        let (header, _) = Header::parse(datagram).unwrap();
        let cookies = [header.initiator.0, header.responder.0].concat();
        let delete = [&[0, 0, 0, 1, 1, 16, 0, 1], &cookies[..]].concat();
        let notify = |kind: u16| [&[0, 0, 0, 1, 1, 16], &kind.to_be_bytes()[..], &cookies[..]].concat();
        let payloads = [
            (PayloadType::DELETE, delete),
            (PayloadType::NOTIFY, notify(24578)),
            (PayloadType::NOTIFY, notify(14)),
        ];
        let message = |flags, id, (kind, body): &(PayloadType, Vec<u8>)| {
            let header = Header {
                exchange: ExchangeType::INFORMATIONAL,
                message_id: id,
                next: *kind,
                flags,
                ..header
            };
            header.emit(&emit_chain(&[(*kind, body)]).unwrap()).unwrap()
        };
        let clear = payloads.iter().map(|payload| message(Flags::NONE, 0, payload));
        let bare = payloads.iter().map(|payload| message(Flags::ENCRYPTED, 77, payload));
        clear.chain(bare).collect()
    });
}

#[test]
fn item_16_and_17_aggressive_mode_and_pushes_get_no_answer() {
    let mut world = World::new(5, Link::CALM);
    let key_server = server_address(1);
    world.add_server(key_server, server(server_config(1), 1, world.now));
    let first = crate::bench::rogue::first_message(0);
    for exchange in [1, 3, 4, 6, 32, 33, 34, 35, 36, 37, 240] {
        world.inject(member_address(1), key_server, &edited(&first, 18, &[exchange]));
    }
    world.run_for(MINUTE);
    assert!(world.sent.iter().all(|flight| flight.from != key_server));
    assert_eq!(world.server(key_server).status(world.now).half_open, 0);
}
