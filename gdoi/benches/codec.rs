//! How fast the largest policies are read and written: 1,000 entries as members of this implementation get them, and as
//! many SATs as go into one message to others.
#![allow(clippy::expect_used)]

#[path = "../src/wire/fixture.rs"]
mod fixture;

use criterion::{criterion_group, criterion_main, Criterion, Throughput};
use fixture::sak;
use gdoi::group::AclDigest;
use gdoi::policy::{Acl, Family, Prefix, SendMode, MAX_ACES};
use gdoi::wire::{
    emit_chain, Chain, Cookie, ExchangeType, Flags, Gap, GroupSa, Header, IdField, IdType, Padding,
    PayloadType, SaKek, SaTek,
};
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

fn sat(source: &Prefix) -> SaTek {
    let destination = IdField::prefix(&Prefix::any(Family::V4), None);
    SaTek { source: IdField::prefix(source, None), destination, ..fixture::sat() }
}

fn gap() -> Gap {
    Gap {
        activation_delay: Some(15),
        deactivation_delay: Some(30),
        pseudotime: Some(1_000_000),
        ..Gap::default()
    }
}

fn entry(number: usize) -> String {
    let (high, low) = (number / 256, number % 256);
    match number % 3 {
        0 => format!("deny tcp 10.{high}.{low}.0/24 any range 1000 {}", 2000 + number),
        1 => format!("permit ip 10.{high}.{low}.0/24 10.0.0.0/8"),
        _ => format!("permit ipv6 2001:db8:{number}::/48 2001:db8::/32"),
    }
}

/// Between our own: the whole list, one TEK.
fn own() -> GroupSa {
    let entries = (0..MAX_ACES).map(|number| entry(number).parse().expect("an entry"));
    let acl = Acl::new(entries.collect()).expect("no more than can be");
    let gap = Gap { acl: Some(AclDigest::of(&acl)), mode: Some(SendMode::Both), ..gap() };
    GroupSa { kek: Some(sak()), gap: Some(gap), acl: Some(acl), teks: vec![sat(&Prefix::any(Family::V4))] }
}

/// To others: seven TEKs, 110 entries.
fn foreign() -> GroupSa {
    let source = |number: u32| Prefix::host(IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + number % 110)));
    let teks = (0..770).map(|number| sat(&source(number))).collect();
    GroupSa { kek: Some(sak()), gap: Some(gap()), acl: None, teks }
}

fn emit(policy: &GroupSa) -> Vec<u8> {
    let header = Header {
        initiator: Cookie([1; 8]),
        responder: Cookie([2; 8]),
        next: PayloadType::HASH,
        exchange: ExchangeType::GROUPKEY_PULL,
        flags: Flags::NONE,
        message_id: 7,
    };
    let (hash, nonce) = ((PayloadType::HASH, &[3; 32][..]), (PayloadType::NONCE, &[4; 32][..]));
    let sa = policy.emit().expect("it fits");
    let chain = emit_chain(&[hash, nonce, (PayloadType::SA, &sa)]).expect("it fits");
    header.emit(&chain).expect("it fits")
}

fn parse(message: &[u8]) -> Option<GroupSa> {
    let (header, body) = Header::parse(message).ok()?;
    let chain = Chain::parse(header.next, body, Padding::None).ok()?;
    GroupSa::parse(chain.payloads.last()?.body).ok()
}

fn codec(criterion: &mut Criterion) {
    for (name, policy) in [("own", own()), ("foreign", foreign())] {
        let message = emit(&policy);
        assert_eq!(parse(&message).as_ref(), Some(&policy));
        let mut group = criterion.benchmark_group("codec");
        group.throughput(Throughput::Bytes(message.len() as u64));
        let size = message.len();
        group.bench_function(format!("parse {name} {size} octets"), |bencher| {
            bencher.iter(|| parse(black_box(&message)))
        });
        group.bench_function(format!("emit {name} {size} octets"), |bencher| {
            bencher.iter(|| emit(black_box(&policy)))
        });
        group.finish();
    }
}

criterion_group!(benches, codec);
criterion_main!(benches);
