//! The seeds of the fuzz targets are what the encoders write today. After a wire change,
//! `WRITE_SEEDS=1 cargo test -p gdoi --test exchanges seeds` writes them anew.

#[path = "../../fuzz/src/coop.rs"]
mod coop;
mod fragments;
#[path = "../../fuzz/src/rekey.rs"]
mod rekey;
#[path = "../../fuzz/src/responder.rs"]
mod responder;
#[path = "../../fuzz/src/sequence.rs"]
mod sequence;

use crate::bench::alliance::SECONDARY;
use crate::bench::coop_message::{at, mapped, patched, record};
use crate::bench::fixture;
use crate::bench::fleet::{
    member, member_address, member_config, rekey_config, server, server_address, server_config,
};
use crate::bench::node::Node;
use crate::bench::random::Seeded;
use crate::bench::stored::Stored;
use crate::bench::{Flight, Link, World};
use crate::hostile_coop::siege::Siege;
use gdoi::crypto::{DhGroup, Hash, Secret};
use gdoi::group::AclDigest;
use gdoi::phase1::{Initiator, InitiatorStep, Responder, ResponderStep};
use gdoi::policy::{Acl, Doi, Family, GroupId, Identity, Prefix, Proposal, Seed, SendMode, SidGeneration};
use gdoi::wire::{
    emit_acl, emit_chain, Cookie, Delete, ExchangeType, Flags, Gap, GroupSa, Header, IdField, Identification,
    Kd, KeyPacket, Notify, NotifyType, PayloadType, Phase1Sa, SaKek, SaTek, SenderFields,
};
use gdoi::{Instant, KeyServerCommand, RekeyKind, Removal};
use responder::{responder_settings, RESPONDER_SEED};
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

fn check(target: &str, name: &str, input: &[u8]) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target).join(name);
    if std::env::var_os("WRITE_SEEDS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, input).unwrap();
    }
    assert!(
        std::fs::read(&path).is_ok_and(|seed| seed == input),
        "{target}/{name} is not what is sent today"
    );
}

fn sak() -> SaKek {
    let source = IdField::address(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10)), 848);
    let destination = IdField::address(IpAddr::V4(Ipv4Addr::new(239, 192, 0, 1)), 848);
    SaKek { source, destination, spi: [0x5a; 16], ..fixture::sak() }
}

fn sat(source: &str, port: Option<u16>) -> SaTek {
    let source = IdField::prefix(&source.parse().unwrap(), None);
    let destination = IdField { port: port.unwrap_or(0), ..fixture::sat().destination };
    SaTek { protocol: port.map_or(0, |_| 6), source, destination, ..fixture::sat() }
}

/// One under which every sender has its own key.
fn per_sender() -> SaTek {
    let senders = Some(SenderFields { bits: 20, generation: GENERATION, replay_window: 1024 });
    SaTek { transform: 20, spi: 0x8480_0000, authentication: 0, senders, ..sat("10.1.0.0/16", None) }
}

const GENERATION: SidGeneration = SidGeneration { lineage: *b"lineage.", number: 3 };

fn seed_packets() -> [KeyPacket; 2] {
    let seed = Seed::new(Secret::new(vec![6; 32])).unwrap();
    let sids = KeyPacket::Sid { bits: 20, values: vec![7, 8], generation: Some(GENERATION) };
    [KeyPacket::Seed { spi: 0x8480_0000, seed }, sids]
}

fn gap() -> Gap {
    Gap { activation_delay: Some(15), deactivation_delay: Some(30), ..Gap::default() }
}

fn full_policy() -> GroupSa {
    GroupSa {
        kek: Some(sak()),
        gap: Some(gap()),
        acl: None,
        teks: vec![sat("10.1.0.0/16", None), sat("0.0.0.0/0", Some(53))],
    }
}

/// A policy of this implementation: every kind of entry, for all traffic in the SAT.
fn compact_policy() -> GroupSa {
    let entries =
        ["deny tcp any any range 1000 2000", "deny icmpv6 any any", "permit ipv6 2001:db8::/32 any"];
    let acl = Acl::new(entries.iter().map(|entry| entry.parse().unwrap()).collect()).unwrap();
    let (digest, any) = (AclDigest::of(&acl), IdField::prefix(&Prefix::any(Family::V4), None));
    let gap = Gap { acl: Some(digest), mode: Some(SendMode::ReceiveOnly), ..gap() };
    let tek = SaTek { source: any.clone(), destination: any, ..sat("10.1.0.0/16", None) };
    GroupSa { kek: None, gap: Some(gap), acl: Some(acl), teks: vec![tek] }
}

fn tek_packet() -> KeyPacket {
    let (encryption, integrity) = (Secret::new(vec![3; 32]), Secret::new(vec![4; 32]));
    KeyPacket::Tek { spi: 0x8480_0001, encryption, integrity }
}

fn kek_packet() -> KeyPacket {
    KeyPacket::Kek { spi: [0x5a; 16], key: Secret::new(vec![1; 48]), verification_key: vec![2; 64] }
}

#[test]
fn group_sa() {
    check("group_sa", "full", &full_policy().emit().unwrap());
    check("group_sa", "acl", &compact_policy().emit().unwrap());
    check("group_sa", "tek", &GroupSa { kek: None, gap: None, ..full_policy() }.emit().unwrap());
    check("group_sa", "senders", &GroupSa { teks: vec![per_sender()], ..GroupSa::default() }.emit().unwrap());
    check("group_sa", "kek", &GroupSa { gap: None, teks: Vec::new(), ..full_policy() }.emit().unwrap());
}

#[test]
fn access_list() {
    check("acl", "mixed", &emit_acl(&compact_policy().acl.unwrap()).unwrap());
}

#[test]
fn kd() {
    check("kd", "tek", &Kd(vec![tek_packet()]).emit().unwrap());
    check("kd", "seed-sid", &Kd(seed_packets().to_vec()).emit().unwrap());
    check("kd", "kek-tek", &Kd(vec![kek_packet(), tek_packet()]).emit().unwrap());
    check(
        "kd",
        "sid",
        &Kd(vec![KeyPacket::Sid { bits: 16, values: vec![7, 8], generation: None }, tek_packet()])
            .emit()
            .unwrap(),
    );
}

#[test]
fn phase1_sa() {
    let lifetime = Duration::from_secs(600);
    let weak = Proposal { key_len: 16, hash: Hash::Sha512, group: DhGroup::Modp2048, lifetime };
    check("phase1_sa", "one", &Phase1Sa::new(Doi::Gdoi, &[Proposal::default()]).emit().unwrap());
    check("phase1_sa", "two", &Phase1Sa::new(Doi::Ipsec, &[Proposal::default(), weak]).emit().unwrap());
}

fn clear(exchange: ExchangeType, payloads: &[(PayloadType, &[u8])]) -> Vec<u8> {
    let header = Header {
        initiator: Cookie([1; 8]),
        responder: Cookie([2; 8]),
        next: payloads[0].0,
        exchange,
        flags: Flags::NONE,
        message_id: 7,
    };
    header.emit(&emit_chain(payloads).unwrap()).unwrap()
}

#[test]
fn message() {
    let pull = |payloads: &[(PayloadType, &[u8])]| clear(ExchangeType::GROUPKEY_PULL, payloads);
    let (hash, nonce) = ((PayloadType::HASH, &[8; 32][..]), (PayloadType::NONCE, &[9; 32][..]));
    let id = Identification::group(GroupId(100)).emit().unwrap();
    let name = Identification::phase1(&Identity::Fqdn("gm1.example".into())).emit().unwrap();
    let (policy, keys) =
        (full_policy().emit().unwrap(), Kd(vec![kek_packet(), tek_packet()]).emit().unwrap());
    check("message", "pull-1", &pull(&[hash, nonce, (PayloadType::ID, &id)]));
    check("message", "pull-2", &pull(&[hash, nonce, (PayloadType::SA, &policy)]));
    check("message", "pull-3", &pull(&[hash, (PayloadType::GAP, &gap().emit().unwrap())]));
    check("message", "pull-4", &pull(&[hash, (PayloadType::SEQ, &[0, 0, 0, 1]), (PayloadType::KD, &keys)]));
    check("message", "identity", &pull(&[(PayloadType::ID, &name), hash]));
    let inform = |payload| clear(ExchangeType::INFORMATIONAL, &[hash, payload]);
    let notify = Notify { kind: NotifyType::NO_PROPOSAL_CHOSEN }.emit().unwrap();
    check("message", "notify", &inform((PayloadType::NOTIFY, &notify)));
    check("message", "delete", &inform((PayloadType::DELETE, &Delete::phase1([3; 16]).emit().unwrap())));
    main_mode().iter().take(2).enumerate().for_each(|(index, datagram)| {
        check("message", &format!("main-mode-{}", 2 * index + 1), datagram);
    });
}

/// What the initiator sends to the responder of the fuzz target.
fn main_mode() -> [Vec<u8>; 3] {
    let (mut ours, mut theirs) = (Seeded::new(1), Seeded::new(RESPONDER_SEED));
    let (state, first) = Initiator::start(responder_settings(), &mut ours).unwrap();
    let (header, body) = Header::parse(&first).unwrap();
    let (peer, second) = Responder::start(responder_settings(), &header, body, &mut theirs).unwrap();
    let (state, third) = sent(state, &second, &mut ours);
    let (header, body) = Header::parse(&third).unwrap();
    let Ok(ResponderStep::Next(_, fourth)) = peer.step(&header, body, &mut theirs) else { panic!("refused") };
    let (_, fifth) = sent(state, &fourth, &mut ours);
    [first, third, fifth]
}

fn sent(state: Initiator, answer: &[u8], random: &mut Seeded) -> (Initiator, Vec<u8>) {
    let (header, body) = Header::parse(answer).unwrap();
    match state.step(&header, body, random) {
        Ok(InitiatorStep::Next(state, message)) => (state, message),
        _ => panic!("refused"),
    }
}

#[test]
fn main_mode_responder() {
    let datagrams = main_mode();
    let input = sequence::sequence(datagrams.iter().map(Vec::as_slice));
    assert!(sequence::datagrams(&input).eq(datagrams.iter()));
    check("main_mode_responder", "whole", &input);
    check("main_mode_responder", "first", &sequence::sequence([&datagrams[0][..]]));
}

/// The datagrams of one registration by their sender, as the fuzz targets' endpoints send and expect them.
fn registration(from: std::net::SocketAddr) -> Vec<Vec<u8>> {
    let mut world = World::new(1, Link::CALM);
    world.add_server(server_address(1), server(server_config(1), 1, world.now));
    world.add_member(member_address(1), member(member_config(1), 1001));
    world.run_for(Duration::from_secs(5));
    world.sent.into_iter().filter(|flight| flight.from == from).map(|flight| flight.payload).collect()
}

#[test]
fn endpoints() {
    for (target, from) in [("key_server_datagram", member_address(1)), ("member_datagram", server_address(1))]
    {
        let datagrams = registration(from);
        check(target, "whole", &sequence::sequence(datagrams.iter().map(Vec::as_slice)));
    }
    let now = Instant::from_millis(1_000_000);
    let mut replayed = Node::new(member(member_config(1), 1001), now);
    replayed.timeout(now);
    for datagram in registration(server_address(1)) {
        replayed.datagram(server_address(1), &datagram, now);
    }
    assert!(replayed.endpoint.view(now).registered, "the seed leads all the way");
}

#[test]
fn insiders() {
    let policy = |sa: &GroupSa, keys: Vec<(PayloadType, &[u8])>| {
        let chain = [&[keys[0].0 .0], &emit_chain(&keys).unwrap()[..]].concat();
        sequence::sequence([&sa.emit().unwrap()[..], &chain])
    };
    let verification_key = rekey_config().signing_key.public().spki().to_vec();
    let kek = KeyPacket::Kek { spi: sak().spi, key: Secret::new(vec![1; 48]), verification_key };
    let (teks, all) = (Kd(vec![tek_packet()]).emit().unwrap(), Kd(vec![kek, tek_packet()]).emit().unwrap());
    let sak = SaKek { signature_algorithm: 4, ..sak() };
    let bare = GroupSa { teks: vec![sat("10.1.0.0/16", None)], ..GroupSa::default() };
    check("member_policy", "tek", &policy(&bare, vec![(PayloadType::KD, &teks)]));
    check("member_policy", "acl", &policy(&compact_policy(), vec![(PayloadType::KD, &teks)]));
    let (own, seeds) = (
        GroupSa { teks: vec![per_sender()], ..GroupSa::default() },
        Kd(seed_packets().to_vec()).emit().unwrap(),
    );
    check("member_policy", "seed-sid", &policy(&own, vec![(PayloadType::KD, &seeds)]));
    let full = vec![(PayloadType::SEQ, &[0; 4][..]), (PayloadType::KD, &all)];
    check(
        "member_policy",
        "kek-gap-tek",
        &policy(&GroupSa { kek: Some(sak), gap: Some(gap()), ..bare }, full),
    );
    let said = |kind: u8, payloads: &[(PayloadType, &[u8])]| {
        [&[kind, payloads[0].0 .0], &emit_chain(payloads).unwrap()[..]].concat()
    };
    let id = Identification::group(GroupId(0x0a0b_0c0d)).emit().unwrap();
    let request = said(0, &[(PayloadType::NONCE, &[9; 16]), (PayloadType::ID, &id)]);
    let notify =
        said(1, &[(PayloadType::NOTIFY, &Notify { kind: NotifyType::INITIAL_CONTACT }.emit().unwrap())]);
    let delete = said(1, &[(PayloadType::DELETE, &Delete::phase1([3; 16]).emit().unwrap())]);
    check("key_server_pull", "all", &sequence::sequence([&request[..], &notify, &delete, &request]));
}

/// A message for the targets that finish it: what it is, the first payload's type, the chain.
fn inside(payloads: &[(PayloadType, Vec<u8>)]) -> Vec<u8> {
    let chain: Vec<_> = payloads.iter().map(|(kind, body)| (*kind, &body[..])).collect();
    [&[0, chain[0].0 .0], &emit_chain(&chain).unwrap()[..]].concat()
}

#[test]
fn rekeys() {
    let (mut world, key_server) = (rekey::registered(), server_address(1));
    let kek = Stored::read(&world.stored(key_server).unwrap()).keks[0].clone();
    let group = crate::bench::fleet::group().id;
    let commands = [
        KeyServerCommand::Rekey(group.into(), RekeyKind::Forced),
        KeyServerCommand::Rekey(group.into(), RekeyKind::ReplaceNow),
        KeyServerCommand::Remove(group.into(), None, Removal::Graceful),
    ];
    let mut pushes = Vec::new();
    for command in commands {
        let stored = Stored::read(&world.stored(key_server).unwrap());
        world.command_server(key_server, command);
        world.run_for(Duration::from_secs(1));
        let of_kind = |flight: &&Flight| flight.payload[18] == ExchangeType::GROUPKEY_PUSH.0;
        let push = world.sent.iter().rfind(of_kind).unwrap().payload.clone();
        let payloads = stored.kek_of(&push).unwrap().open(&push).payloads;
        pushes.push(inside(&payloads[1..]));
        assert_eq!(rekey::payloads(&pushes[pushes.len() - 1][1..]).as_deref(), Some(&payloads[1..]));
    }
    for (name, push) in ["forced", "replace-now", "dismissal"].into_iter().zip(&pushes) {
        check("push", name, &sequence::sequence([&push[..]]));
    }
    check("push", "all", &sequence::sequence(pushes.iter().map(Vec::as_slice)));
    let raw = [&[1][..], &kek.acknowledgement(1, IpAddr::V4(Ipv4Addr::new(198, 51, 0, 1)))].concat();
    let id =
        Identification::phase1(&Identity::Address(IpAddr::V4(Ipv4Addr::new(198, 51, 0, 1)))).emit().unwrap();
    let chain = inside(&[(PayloadType::SEQ, vec![0, 0, 0, 1]), (PayloadType::ID, id)]);
    check("ack", "raw", &sequence::sequence([&raw[..]]));
    check("ack", "hashed", &sequence::sequence([&chain[..], &raw]));
}

/// What an honest peer says, to a server that then becomes primary and makes keys.
#[test]
fn cooperation() {
    let siege = Siege::of(SECONDARY);
    let (owner, author) = (siege.traitor.address.ip(), 0x7777);
    let member = record([198, 51, 0, 9].into(), owner, author, 1);
    let bodies = [siege.honest(), siege.state(|_| {}), siege.members((0, 1), &[member])];
    let said = |kind: u8, body: &[u8]| [&[kind], body].concat();
    let completed = |kind: u8| {
        let body = patched(&bodies[usize::from(kind)], at::KIND, &[kind]);
        said(coop::COMPLETED, &body)
    };
    let wait = said(coop::TIME, &[7]);
    let primary = patched(&siege.honest(), at::ROLE, &[4, 200, 1]);
    let primary = patched(&primary, at::REIGN, &mapped(owner));
    let primary = said(coop::COMPLETED, &patched(&primary, at::KIND, &[0]));
    let messages = [completed(0), completed(1), completed(2)];
    for (name, message) in ["announcement", "state", "members"].into_iter().zip(&messages) {
        check("coop", name, &sequence::sequence([&message[..], &wait]));
    }
    check("coop", "raw", &sequence::sequence([&said(coop::RAW, &bodies[0])[..]]));
    check("coop", "secondary", &sequence::sequence([&primary[..], &messages[1], &wait, &messages[2]]));
    let commands: Vec<_> = (0..7).map(|number| said(coop::COMMAND, &[number])).collect();
    let all = [&wait, &messages[1], &messages[2], &wait].into_iter().chain(&commands).chain([&wait]);
    check("coop", "primary", &sequence::sequence(all.map(|message| &message[..])));
    let mut court = coop::Court::open();
    for (kind, message) in (0..).zip(&messages) {
        court.say(&court.completed(&message[1..]));
        assert_eq!(
            court.node.endpoint.status(court.now).rejected,
            1,
            "{kind}: but for the first sign of life"
        );
    }
    court.command(0);
    let group = court.node.endpoint.status(court.now).groups.remove(0);
    court.close();
    assert_eq!((group.teks[0].spi.0, group.members.len()), (0x7777, 3), "the seeds lead all the way");
}
