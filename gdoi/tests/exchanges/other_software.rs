//! Members and key servers of other software, that decide by their own reading of the RFCs: what they are told and what is
//! taken from them.

use crate::access::{config, join_foreign, list, pushed_sa, rekey};
use crate::bench::duel::{Duel, NOW, NR};
use crate::bench::fixture;
use crate::bench::fleet::{
    acl, member, member_address, member_config, rekey_config, server, server_address, server_config,
};
use crate::bench::node::Node;
use crate::bench::rogue::{main_mode, Rogue};
use crate::bench::stored::Stored;
use crate::bench::{Link, World};
use crate::transcripts::{foreign_registration, insider, registration};
use gdoi::crypto::Secret;
use gdoi::phase1::Cookies;
use gdoi::policy::{Doi, Spi};
use gdoi::wire::{
    Chain, Cookie, ExchangeType, Flags, GroupSa, Header, IdField, IdType, Identification, Kd, KeyPacket,
    Notify, NotifyType, Padding, PayloadType, SaTek,
};
use gdoi::{Cause, KeyServer, MemberConfig, MemberEvent, RekeyKind, Transport};
use std::time::Duration;

fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

/// What the second message of the PULL says of the KEK in this registration.
fn announced_kek(flights: &[crate::bench::Flight]) -> gdoi::wire::SaKek {
    let insider = insider(flights);
    let second = &flights[7].payload;
    let iv = *flights[6].payload.last_chunk().unwrap();
    let payloads = insider.open(second, &iv);
    let sa = payloads.iter().find(|(kind, _)| *kind == PayloadType::SA).unwrap();
    GroupSa::parse(&sa.1).unwrap().kek.unwrap()
}

/// A member that does not know the attribute must abort (RFC 6407 section 5.3.2).
#[test]
fn acknowledgements_are_asked_of_those_who_can_give_them() {
    assert_eq!(announced_kek(&registration(Doi::Gdoi)).ack_requested, 1);
    assert_eq!(announced_kek(&foreign_registration(Doi::Gdoi)).ack_requested, 0);
}

/// Rekey messages say it to nobody where one hears them that cannot; our own go on as they were asked in their PULL.
#[test]
fn in_a_group_with_other_software_our_own_go_on_to_acknowledge() {
    let mut world = World::new(1, Link::CALM);
    world.add_server(server_address(1), server(config(acl(), Transport::Unicast), 1, world.now));
    world.add_member(member_address(1), member(member_config(1), 1001));
    world.run_for(seconds(5));
    join_foreign(&mut world, 2);
    for round in 1..=3 {
        let before = rekey(&mut world, RekeyKind::Forced);
        world.run_for(seconds(100));
        let sa = pushed_sa(&world, &before);
        assert_eq!(sa.kek.unwrap().ack_requested, 0, "round {round}");
        let status = world.server(server_address(1)).status(world.now).groups.remove(0);
        let acknowledged = |number: u16| {
            let of = |record: &&gdoi::MemberRecord| record.address == member_address(number).ip();
            status.members.iter().find(of).map(|record| record.rekeys_acknowledged)
        };
        assert_eq!((acknowledged(1), acknowledged(2)), (Some(round), Some(0)), "round {round}");
    }
    assert!(world.views().iter().all(|view| view.outbound.is_some()));
    assert_eq!(world.member(member_address(2)).status(world.now).rekeys.received, 3);
}

/// Where rekey messages go to: in a PULL to where the member speaks from, in a message to all to any address, never to none.
#[test]
fn the_rekey_sa_names_a_destination_that_can_be_used() {
    let pulled = announced_kek(&foreign_registration(Doi::Gdoi)).destination;
    assert_eq!((pulled.as_prefix().unwrap().to_string(), pulled.port), ("198.51.0.1/32".into(), 848));
    let mut world = World::new(1, Link::CALM);
    world.add_server(server_address(1), server(config(acl(), Transport::Unicast), 1, world.now));
    let elsewhere = std::net::SocketAddr::new(member_address(1).ip(), 5848);
    world.add_member(elsewhere, member(member_config(1), 1001));
    world.run_for(seconds(5));
    let before = rekey(&mut world, RekeyKind::Forced);
    world.run_for(seconds(5));
    let pushed = pushed_sa(&world, &before).kek.unwrap().destination;
    assert_eq!(pushed.as_prefix().unwrap().to_string(), "0.0.0.0/0");
    let status = world.member(elsewhere).status(world.now);
    assert_eq!((status.rekeys.received, status.rekeys.acknowledged), (1, 1));
    rekey(&mut world, RekeyKind::Forced);
    world.run_for(seconds(5));
    assert_eq!(world.member(elsewhere).status(world.now).rekeys.acknowledged, 2, "as under the first KEK");
}

fn key_server() -> Node<KeyServer> {
    Node::new(server(server_config(1), 1, NOW), NOW)
}

fn talk(server: &mut Node<KeyServer>, datagram: &[u8]) -> Vec<u8> {
    let sent = server.datagram(member_address(1), datagram, NOW);
    sent.into_iter().next().unwrap_or_else(|| panic!("no answer: {:?}", server.events)).payload
}

/// An SA payload of one proposal with this one transform.
fn phase1_sa(attributes: &[u8]) -> Vec<u8> {
    let transform = [&[0, 0, 0, attributes.len() as u8 + 8, 1, 1, 0, 0], attributes].concat();
    let proposal = [&[0, 0, 0, transform.len() as u8 + 8, 1, 1, 0, 1], &transform[..]].concat();
    [&[0, 0, 0, 2, 0, 0, 0, 0], &proposal[..]].concat()
}

const NO_LIFE: [u8; 20] = [0x80, 1, 0, 7, 0x80, 14, 1, 0, 0x80, 2, 0, 4, 0x80, 3, 0, 1, 0x80, 4, 0, 19];

fn first_message(sa: &[u8]) -> Vec<u8> {
    let cookies = Cookies { initiator: Cookie([9; 8]), responder: Cookie::ZERO };
    main_mode(cookies, &[(PayloadType::SA, sa)])
}

/// "The responder MUST NOT alter" the transform (RFC 2409 section 5): also where it names no life.
#[test]
fn the_chosen_transform_is_repeated_as_it_was_offered() {
    let mut server = key_server();
    let offered = phase1_sa(&NO_LIFE);
    let answer = talk(&mut server, &first_message(&offered));
    let (header, body) = Header::parse(&answer).unwrap();
    let chain = Chain::parse(header.next, body, Padding::None).unwrap();
    assert_eq!(chain.payloads[0].body, offered);
}

/// Notifies in clear are no messages of phase 1 (RFC 2408 sections 3.1 and 4.8).
#[test]
fn a_notify_in_clear_has_a_message_id_and_both_cookies() {
    let weak = phase1_sa(&[0x80, 1, 0, 5, 0x80, 2, 0, 2, 0x80, 3, 0, 1, 0x80, 4, 0, 2]);
    let mut server = key_server();
    let refused = talk(&mut server, &first_message(&weak));
    let mut rogue = Rogue::meet_by(b"another key", &first_message(&phase1_sa(&NO_LIFE)), |datagram| {
        talk(&mut server, datagram)
    });
    let id = Identification::phase1(&member_config(1).identity).emit().unwrap();
    let unproved = talk(&mut server, &rogue.introduce(&id));
    for (notify, kind) in
        [(refused, NotifyType::NO_PROPOSAL_CHOSEN), (unproved, NotifyType::AUTHENTICATION_FAILED)]
    {
        let (header, body) = Header::parse(&notify).unwrap();
        assert_eq!((header.exchange, header.flags), (ExchangeType::INFORMATIONAL, Flags::NONE));
        assert_eq!(header.initiator, Cookie([9; 8]));
        assert!(header.responder != Cookie::ZERO && header.message_id != 0, "{header:?}");
        let chain = Chain::parse(header.next, body, Padding::None).unwrap();
        assert_eq!(Notify::parse(chain.payloads[0].body).unwrap().kind, kind);
    }
}

/// A group asked for by a name of another type: refused under the SA that stands, as a group that is not there.
#[test]
fn a_group_identity_of_another_type_is_refused_under_protection() {
    let mut server = key_server();
    let mut rogue = Rogue::meet(|datagram| talk(&mut server, datagram));
    let id = Identification::phase1(&member_config(1).identity).emit().unwrap();
    let sixth = talk(&mut server, &rogue.introduce(&id));
    rogue.conclude(&sixth);
    let nonce = (PayloadType::NONCE, &[1; 16][..]);
    let hash = |rest: &[u8]| rogue.keys().pull_hash_1(5, rest);
    let wrong = [1, 0, 0, 0, 0xef, 10, 1, 1];
    let exchange = (ExchangeType::GROUPKEY_PULL, 5);
    let ask = rogue.say(exchange, &rogue.first_iv(5), &[nonce, (PayloadType::ID, &wrong)], hash);
    let answer = talk(&mut server, &ask);
    let (header, _) = Header::parse(&answer).unwrap();
    assert_eq!((header.exchange, header.flags), (ExchangeType::INFORMATIONAL, Flags::ENCRYPTED));
    let payloads = rogue.open(&answer, &rogue.first_iv(header.message_id));
    let notify = payloads.iter().find(|(kind, _)| *kind == PayloadType::NOTIFY).unwrap();
    assert_eq!(Notify::parse(&notify.1).unwrap().kind, NotifyType::INVALID_ID_INFORMATION);
    let event = &server.events.last().unwrap().1;
    assert_eq!(event.name(), "KS_GM_REFUSED");
    assert!(event.to_string().contains("group identity type 1 is not supported"), "{event}");
    assert_eq!(talk(&mut server, &ask), answer, "a repetition is answered alike");
}

fn sat(spi: u32) -> SaTek {
    SaTek { spi, ..fixture::sat() }
}

fn packet(spi: u32) -> KeyPacket {
    KeyPacket::Tek { spi, encryption: Secret::new(vec![spi as u8; 32]), integrity: Secret::new(vec![4; 32]) }
}

/// What a member makes of a server with these TEKs.
fn offered(teks: Vec<SaTek>) -> Duel {
    let mut spis: Vec<_> = teks.iter().map(|tek| tek.spi).collect();
    spis.dedup();
    let keys = Kd(spis.into_iter().map(packet).collect()).emit().unwrap().to_vec();
    let policy = GroupSa { teks, ..GroupSa::default() }.emit().unwrap();
    Duel::begin().offer(&policy, &[(PayloadType::KD, &keys)])
}

/// Servers with short periods and long lives get there in minutes (RFC 6407 section 5.6 knows no limit).
#[test]
fn more_than_eight_keys_are_taken() {
    let duel = offered((0..40).map(|number| sat(0x1000_0001 + number)).collect());
    let view = duel.member.endpoint.view(NOW);
    assert_eq!((view.registered, view.inbound.len()), (true, 40));
}

/// "If any describe the use of a counter mode cipher" (RFC 6407 section 3.3).
#[test]
fn sender_ids_are_asked_for_where_they_are_of_use() {
    let mut duel = Duel::with(MemberConfig { sender_ids: 4, ..member_config(1) });
    let policy = GroupSa { teks: vec![sat(0x1000_0001)], ..GroupSa::default() }.emit().unwrap();
    let second = duel.second(&[(PayloadType::NONCE, &NR), (PayloadType::SA, &policy)]);
    let third = duel.member.datagram(server_address(1), &second, NOW).remove(0).payload;
    let payloads = duel.rogue.open(&third, second.last_chunk().unwrap());
    assert_eq!(payloads.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), [PayloadType::HASH]);
}

/// Each direction, or pair of prefixes, may have an SPI of its own (RFC 6407 sections 5.2.1 and 5.5).
#[test]
fn each_direction_may_have_its_own_key() {
    let subnet = |second: u8| IdField {
        kind: IdType::IPV4_ADDR_SUBNET,
        port: 0,
        data: vec![10, second, 0, 0, 255, 255, 0, 0],
    };
    let of = |spi, from, to| SaTek { source: subnet(from), destination: subnet(to), ..sat(spi) };
    let duel = offered(vec![of(0x1000_0001, 1, 2), of(0x1000_0002, 2, 1)]);
    let view = duel.member.endpoint.view(NOW);
    assert_eq!(view.acl, list(&["permit ip 10.1.0.0/16 10.2.0.0/16", "permit ip 10.2.0.0/16 10.1.0.0/16"]));
    assert_eq!(view.inbound.len(), 2);
    let sent = view
        .apart
        .iter()
        .map(|traffic| (traffic.selector.to_string(), traffic.outbound.as_ref().map(|sa| sa.spi)));
    assert_eq!(
        sent.collect::<Vec<_>>(),
        [
            ("ip 10.1.0.0/16 10.2.0.0/16".into(), Some(Spi(0x1000_0001))),
            ("ip 10.2.0.0/16 10.1.0.0/16".into(), Some(Spi(0x1000_0002)))
        ]
    );
}

/// "Set to 3 octets or zero for multiple-source multicast groups" (RFC 6407 section 5.5.1).
#[test]
fn an_empty_source_is_any() {
    for data in [vec![], vec![0; 3]] {
        let any = IdField { kind: IdType::IPV4_ADDR_SUBNET, port: 0, data };
        let duel = offered(vec![SaTek { source: any, ..sat(0x1000_0001) }]);
        assert_eq!(duel.member.endpoint.view(NOW).acl, list(&["permit ip any 10.0.0.0/8"]));
    }
}

#[test]
fn what_cannot_be_carried_out_is_named() {
    let ported = IdField { port: 53, ..sat(1).source };
    let reason = offered(vec![SaTek { source: ported, ..sat(0x1000_0001) }]).failure();
    assert!(reason.contains("without a protocol and with port 53 is not supported"), "{reason}");
    let sak = gdoi::wire::SaKek { signature_hash: 2, ..fixture::sak() };
    let policy = GroupSa { kek: Some(sak), teks: vec![sat(0x1000_0001)], ..GroupSa::default() };
    let mut duel = Duel::begin();
    let second = duel.second(&[(PayloadType::NONCE, &NR), (PayloadType::SA, &policy.emit().unwrap())]);
    duel.member.datagram(server_address(1), &second, NOW);
    assert!(duel.failure().contains("signature hash algorithm 2"), "{}", duel.failure());
}

/// A member of a group of 20 keys and 18 of them deleted at once, by what a server says that keeps to RFC 2408 section 3.15.
#[test]
fn a_deletion_of_eighteen_keys_is_taken_and_told_as_such() {
    let mut world = World::new(1, Link::CALM);
    let mut config = server_config(1);
    config.groups[0].rekey = Some(rekey_config());
    world.add_server(server_address(1), server(config, 1, world.now));
    world.add_member(member_address(1), member(member_config(1), 1));
    world.run_for(seconds(5));
    let stored = Stored::read(&world.stored(server_address(1)).unwrap());
    let held = world.view(member_address(1)).inbound[0].spi;
    let spis: Vec<_> = (0..17).map(|number| 5_000 + number).chain([held.0]).collect();
    let delete = gdoi::wire::Delete::teks(&spis).emit().unwrap();
    let payloads = [(PayloadType::SEQ, 1u32.to_be_bytes().to_vec()), (PayloadType::DELETE, delete)];
    let message = stored.keks[0].seal(&payloads, &rekey_config().signing_key);
    world.inject(server_address(1), member_address(1), &message);
    world.run_for(seconds(1));
    assert!(world.view(member_address(1)).inbound.is_empty());
    world.run_for(seconds(120));
    let told = world.member_events(member_address(1)).iter().find_map(|(_, event)| match event {
        MemberEvent::Reregistering { cause, .. } => Some(*cause),
        _ => None,
    });
    assert_eq!(told, Some(Cause::KeysDeleted));
    assert_eq!(world.view(member_address(1)).inbound.iter().filter(|sa| sa.spi == Spi(held.0)).count(), 1);
}
