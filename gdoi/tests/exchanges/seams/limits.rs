//! As many keys as may live at once are told in one message, whatever they are.

use super::{lone, rekey, seconds};
use crate::access::join_foreign;
use crate::bench::fleet::{member, member_address, member_config, server, server_address};
use crate::bench::{Link, World};
use gdoi::policy::MAX_SIDS;
use gdoi::{MemberConfig, RekeyKind, Transport};

const TRANSFORMS: [&str; 6] = [
    "aes-128-cbc/hmac-sha-256",
    "aes-256-cbc/hmac-sha-384",
    "aes-256-cbc/hmac-sha-512",
    "aes-128-gcm",
    "aes-256-gcm",
    "chacha20-poly1305",
];

fn world(transform: &str) -> World {
    let mut config = lone(Transport::Unicast);
    config.groups[0].transform = transform.parse().unwrap();
    let mut world = World::new(1, Link::CALM);
    world.add_server(server_address(1), server(config, 1, world.now));
    world.run_for(seconds(5));
    world
}

fn sender(world: &mut World, number: u16) {
    let sender_ids = MAX_SIDS;
    let config = MemberConfig { sender_ids, ..member_config(number) };
    world.add_member(member_address(number), member(config, number.into()));
    world.run_for(seconds(2));
}

fn live(world: &World) -> usize {
    world.server(server_address(1)).status(world.now).groups[0].teks.len()
}

#[test]
fn a_sender_registers_while_as_many_keys_live_as_can() {
    for transform in TRANSFORMS {
        let mut world = world(transform);
        sender(&mut world, 1);
        let mut most = live(&world);
        for number in 2..12 {
            world.command_server(server_address(1), rekey(RekeyKind::Forced));
            world.run_for(seconds(1));
            sender(&mut world, number);
            most = most.max(live(&world));
            let view = world.view(member_address(number));
            assert!(view.registered && view.outbound.is_some(), "{transform}, {} keys", live(&world));
            assert_eq!(view.inbound.len(), live(&world), "{transform}");
        }
        println!("{transform}: {most} keys at once");
        assert!(most >= 7, "{transform}: {most}");
        world.run_for(seconds(60));
        assert!(world.views().iter().all(|view| view.outbound.is_some()));
    }
}

#[test]
fn a_foreign_member_registers_while_as_many_keys_live_as_can() {
    for transform in TRANSFORMS.into_iter().filter(|transform| transform.contains("cbc")) {
        let mut world = world(transform);
        sender(&mut world, 1);
        for number in 2..12 {
            world.command_server(server_address(1), rekey(RekeyKind::Forced));
            world.run_for(seconds(1));
            join_foreign(&mut world, number);
            let view = world.view(member_address(number));
            assert!(view.registered, "{transform}, {} keys", live(&world));
            assert_eq!(view.inbound.len(), live(&world), "{transform}");
        }
    }
}
