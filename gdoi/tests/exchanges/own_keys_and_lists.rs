//! Groups in which every sender has its own key, with the longest access list.

use crate::access::{
    acls, config, join_foreign, key_server, last_push, list, pushed_sa, registrations, rekey, thousand,
    MULTICAST,
};
use crate::bench::fleet::{member, member_address, member_config, server};
use crate::bench::stored::Stored;
use crate::bench::{Link, World};
use gdoi::policy::Acl;
use gdoi::wire::{Kd, KeyPacket, PayloadType};
use gdoi::{Effect, KeyServerConfig, KeyServerEvent, MemberConfig, RekeyKind, Transport};
use std::time::Duration;

fn per_sender(acl: Acl, transport: Transport) -> KeyServerConfig {
    let mut config = config(acl, transport);
    config.groups[0].transform = "aes-256-gcm".parse().unwrap();
    config.groups[0].replay_window = 1024;
    config
}

fn start(members: u16, config: KeyServerConfig) -> World {
    let mut world = World::new(1, Link::CALM);
    world.add_server(key_server(), server(config, 1, world.now));
    for number in 1..=members {
        let config = MemberConfig { sender_ids: 4, ..member_config(number) };
        world.add_member(member_address(number), member(config, 1000 + u64::from(number)));
    }
    world.run_for(Duration::from_secs(5));
    world
}

/// What the last rekey message has instead of keys for all.
fn seeds(world: &World, before: &Stored) -> usize {
    let payloads = last_push(world, before).0.payloads;
    let kd = payloads.iter().find(|(kind, _)| *kind == PayloadType::KD).unwrap();
    let packets = Kd::parse(&kd.1).unwrap().0;
    packets.iter().filter(|packet| matches!(packet, KeyPacket::Seed { .. })).count()
}

/// All send under the newest key, as who they were from the beginning.
fn check_senders(world: &World) {
    let newest = world.server(key_server()).status(world.now).groups[0].teks.last().unwrap().spi;
    for (first, view) in (0u32..).step_by(4).zip(world.views()) {
        let (outbound, sids) = (view.outbound.unwrap(), view.sids.iter().map(|sid| sid.0));
        assert!(sids.eq(first..first + 4));
        assert_eq!((outbound.spi, outbound.replay_window), (newest, 1024));
    }
}

#[test]
fn a_thousand_entries_come_once_and_again_when_they_changed() {
    for transport in [Transport::Unicast, MULTICAST] {
        let mut world = start(3, per_sender(thousand(1), transport));
        assert_eq!(acls(&world), [thousand(1), thousand(1), thousand(1)]);
        check_senders(&world);
        let before = rekey(&mut world, RekeyKind::Forced);
        world.run_for(Duration::from_secs(60));
        let length = last_push(&world, &before).1;
        assert!(length < 1_200, "{length}");
        assert_eq!((pushed_sa(&world, &before).acl, seeds(&world, &before)), (None, 1));
        assert_eq!(acls(&world), [thousand(1), thousand(1), thousand(1)]);
        check_senders(&world);
        let changes = world.reconfigure(key_server(), per_sender(thousand(2), transport));
        assert_eq!(changes.iter().map(|change| change.effect).collect::<Vec<_>>(), [Effect::NextRekey]);
        let before = rekey(&mut world, RekeyKind::Forced);
        world.run_for(Duration::from_secs(60));
        assert_eq!((pushed_sa(&world, &before).acl, seeds(&world, &before)), (Some(thousand(2)), 1));
        assert_eq!(acls(&world), [thousand(2), thousand(2), thousand(2)]);
        check_senders(&world);
        assert!((1..=3).all(|number| registrations(&world, number) == 1), "nobody had to ask");
    }
}

/// They can neither derive a key nor be told the list, and both are new with this message.
#[test]
fn other_software_parts_where_every_sender_gets_its_own_key() {
    let old = list(&["permit ip 10.0.0.0/8 any"]);
    let mut world = start(1, config(old.clone(), Transport::Unicast));
    join_foreign(&mut world, 2);
    assert_eq!(acls(&world), [old.clone(), old.clone()]);
    world.reconfigure(key_server(), per_sender(thousand(1), Transport::Unicast));
    let before = rekey(&mut world, RekeyKind::Forced);
    world.run_for(Duration::from_secs(20));
    assert_eq!((pushed_sa(&world, &before).acl, seeds(&world, &before)), (Some(thousand(1)), 1));
    assert_eq!(acls(&world), [thousand(1), old]);
    assert!(world.view(member_address(2)).inbound.iter().all(|sa| !sa.transform.is_per_sender()));
    assert_eq!(world.server(key_server()).status(world.now).groups[0].members.len(), 1);
    let parted = |(_, event): &(_, KeyServerEvent)| matches!(event, KeyServerEvent::Refused { member, reason, .. } if *member == member_address(2) && reason.to_string().contains("cannot derive a key of its own"));
    assert!(world.server_events(key_server()).iter().any(parted));
}
