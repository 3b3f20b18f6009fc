//! How many members a key server can register in a second on one core: phase 1 and PULL, both sides computed here.
#![allow(clippy::expect_used)]

use criterion::{criterion_group, criterion_main, BatchSize, Criterion};
use gdoi::crypto::{DhGroup, Secret, SystemRandom};
use gdoi::phase1::Credential;
use gdoi::policy::{Acl, Doi, GroupId, Identity, Proposal, SendMode};
use gdoi::{
    Authorization, CredentialEntry, Endpoint, GroupConfig, GroupName, Instant, KeyServer, KeyServerConfig,
    Member, MemberConfig, Output, ServerEntry,
};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

const KEY_SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 848);
const MEMBER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1)), 848);

fn group() -> GroupName {
    GroupName { name: "bench".into(), id: GroupId(100) }
}

fn credential() -> Credential {
    Credential::PreSharedKey(Secret::from(&b"bench"[..]))
}

fn key_server(proposal: Proposal) -> KeyServer {
    let acl =
        Acl::new(vec!["permit ip 10.0.0.0/8 10.0.0.0/8".parse().expect("an entry")]).expect("one entry");
    let group = GroupConfig {
        group: group(),
        transform: "aes-256-cbc/hmac-sha-256".parse().expect("a transform"),
        replay_window: 0,
        tek_lifetime: Duration::from_secs(3600),
        acl,
        mode: SendMode::Both,
        authorization: Authorization::default(),
        activation_delay: Duration::ZERO,
        deactivation_delay: Duration::ZERO,
        rekey: None,
        redundancy: None,
    };
    let config = KeyServerConfig {
        identity: Identity::Address(KEY_SERVER.ip()),
        address: KEY_SERVER,
        credentials: vec![CredentialEntry {
            peers: "0.0.0.0/0".parse().expect("a prefix"),
            identity: None,
            credential: credential(),
        }],
        proposals: vec![proposal],
        groups: vec![group],
        peers: Vec::new(),
    };
    KeyServer::new(config, None, Box::new(SystemRandom), Instant::default()).expect("randomness")
}

fn member(proposal: Proposal) -> Member {
    let config = MemberConfig {
        sender_ids: 0,
        group: group(),
        servers: vec![ServerEntry { address: KEY_SERVER, credential: credential() }],
        identity: Identity::Address(MEMBER.ip()),
        proposal,
        doi: Doi::Gdoi,
    };
    Member::new(config, Box::new(SystemRandom))
}

/// All datagrams that `from` wants to send now go to `to`; whether there were any.
fn pass<F: Endpoint, T: Endpoint>(from: &mut F, address: SocketAddr, to: &mut T, now: Instant) -> bool {
    let mut any = false;
    loop {
        match from.poll() {
            Output::Transmit(transmit) => to.handle_datagram(address, &transmit.payload, now),
            Output::Event(_) | Output::Store(_) => continue,
            Output::Wait(_) => return any,
        }
        any = true;
    }
}

fn register(server: &mut KeyServer, mut member: Member, now: Instant) {
    member.handle_timeout(now);
    while pass(&mut member, MEMBER, server, now) | pass(server, KEY_SERVER, &mut member, now) {}
    assert!(member.view(now).registered);
}

fn registration(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("registration");
    for dh in DhGroup::ALL {
        let proposal = Proposal { group: dh, ..Proposal::default() };
        let (mut server, mut now) = (key_server(proposal), Instant::default());
        group.bench_function(format!("group {dh}"), |bencher| {
            bencher.iter_batched(
                || member(proposal),
                |member| {
                    // As often as one address may ask, by the server's clock.
                    now = now + Duration::from_millis(500);
                    register(&mut server, member, now);
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, registration);
criterion_main!(benches);
