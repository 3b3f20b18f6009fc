//! How fast the largest policy that fits is read and written: 100 entries, a KEK and a GAP.

use criterion::{criterion_group, criterion_main, Criterion, Throughput};
use gdoi::policy::{Ipv4Prefix, MAX_ACES};
use gdoi::wire::{
    emit_chain, Chain, Cookie, ExchangeType, Flags, Gap, GroupSa, Header, IdField, Padding, PayloadType,
    SaKek, SaTek,
};
use std::hint::black_box;
use std::net::Ipv4Addr;

fn sak() -> SaKek {
    let address = |last| IdField::address(Ipv4Addr::new(192, 0, 2, last), 848);
    SaKek {
        protocol: 17,
        source: address(10),
        destination: address(1),
        spi: [7; 16],
        algorithm: 3,
        key_bits: 256,
        lifetime: 86_400,
        signature_hash: 3,
        signature_algorithm: 1,
        signature_bits: 2048,
        ack_requested: 0,
    }
}

fn sat(number: u8) -> SaTek {
    let source = Ipv4Prefix::host(Ipv4Addr::new(10, 0, 0, number));
    SaTek {
        protocol: 0,
        source: IdField::prefix(&source, None),
        destination: IdField::prefix(&Ipv4Prefix::ANY, None),
        transform: 12,
        spi: 0x8480_0001,
        lifetime: 3600,
        mode: 1,
        authentication: 5,
        key_bits: 256,
        preservation: 4,
        direction: 3,
        senders: None,
    }
}

fn policy() -> GroupSa {
    let gap = Gap {
        activation_delay: Some(15),
        deactivation_delay: Some(30),
        sender_ids: None,
        pseudotime: Some(1_000_000),
    };
    GroupSa { kek: Some(sak()), gap: Some(gap), teks: (0..MAX_ACES as u8).map(sat).collect() }
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
    header.emit(&emit_chain(&[hash, nonce, (PayloadType::SA, &policy.emit())]))
}

fn parse(message: &[u8]) -> Option<GroupSa> {
    let (header, body) = Header::parse(message).ok()?;
    let chain = Chain::parse(header.next, body, Padding::None).ok()?;
    GroupSa::parse(chain.payloads.last()?.body).ok()
}

fn codec(criterion: &mut Criterion) {
    let policy = policy();
    let message = emit(&policy);
    assert_eq!(parse(&message).as_ref(), Some(&policy));
    let mut group = criterion.benchmark_group("codec");
    group.throughput(Throughput::Bytes(message.len() as u64));
    let size = message.len();
    group.bench_function(format!("parse {size} octets"), |bencher| {
        bencher.iter(|| parse(black_box(&message)))
    });
    group.bench_function(format!("emit {size} octets"), |bencher| bencher.iter(|| emit(black_box(&policy))));
    group.finish();
}

criterion_group!(benches, codec);
criterion_main!(benches);
