//! Several key servers that share the usual group.

use super::fleet::{
    member, member_address, member_config, pre_shared_key, rekey_config, server_address, server_config,
    server_entry,
};
use super::random::Seeded;
use super::{Link, World};
use gdoi::coop::{CoopStatus, Preemption, Redundancy, Role};
use gdoi::crypto::Secret;
use gdoi::{CoopPeer, KeyServer, KeyServerConfig, MemberConfig, RekeyConfig, Retransmit};
use std::net::SocketAddr;
use std::time::Duration;

/// How long the TEKs of [`allies`] live, and which server is what.
pub const LIFE: Duration = Duration::from_secs(3600);
pub const SECONDARY: u8 = 1;
pub const PRIMARY: u8 = 2;
pub const THIRD: u8 = 3;

pub const KEY_BETWEEN_SERVERS: &[u8] = b"what key servers tell each other";

/// Server `number` of 1 to `count`; the higher the number, the higher the priority.
pub fn allied_config(number: u8, count: u8, life: Duration) -> KeyServerConfig {
    let others = (1..=count).filter(|other| *other != number);
    let mut config = server_config(number);
    config.peers = others
        .clone()
        .map(|other| CoopPeer {
            address: server_address(other),
            credential: pre_shared_key(KEY_BETWEEN_SERVERS),
        })
        .collect();
    config.groups[0].tek_lifetime = life;
    config.groups[0].activation_delay = life / 12;
    config.groups[0].deactivation_delay = life / 6;
    config.groups[0].rekey = Some(RekeyConfig {
        retransmit: Retransmit { interval: Duration::from_secs(1), number: 2 },
        ..rekey_config()
    });
    config.groups[0].redundancy = Some(Redundancy {
        priority: number * 10,
        peers: others.map(|other| server_address(other).ip()).collect(),
        preemption: Preemption::After(Duration::from_secs(10)),
        interval: Duration::from_secs(1),
        dead_after: 3,
    });
    config
}

/// Member `number` prefers server `first`, knows all, and wants two sender IDs.
pub fn allied_member(number: u16, first: u8, count: u8) -> MemberConfig {
    let order = (0..count).map(|step| (first - 1 + step) % count + 1);
    MemberConfig { servers: order.map(server_entry).collect(), sender_ids: 2, ..member_config(number) }
}

pub fn address(number: u8) -> SocketAddr {
    server_address(number)
}

/// Starts a server, with what it stored in an earlier life.
pub fn start_server(
    world: &mut World,
    config: KeyServerConfig,
    stored: Option<&Secret>,
    random: &mut Seeded,
) {
    let address = config.address;
    let now = world.clock_of(address);
    let server = KeyServer::new(config, stored, Box::new(Seeded::new(random.draw())), now).unwrap();
    world.add_server(address, server);
}

/// Servers and members, the members spread over the servers.
pub fn start(world: &mut World, servers: u8, members: u16, life: Duration) {
    start_with(world, servers, members, |number| allied_config(number, servers, life));
}

/// The same with other configurations.
pub fn start_with(world: &mut World, servers: u8, members: u16, config: impl Fn(u8) -> KeyServerConfig) {
    let mut random = Seeded::new(7);
    (1..=servers).for_each(|number| start_server(world, config(number), None, &mut random));
    for number in 1..=members {
        let first = (number as u8 - 1) % servers + 1;
        world
            .add_member(member_address(number), member(allied_member(number, first, servers), random.draw()));
    }
}

pub fn coop(world: &World, number: u8) -> CoopStatus {
    let status = world.server(address(number)).status(world.clock_of(address(number)));
    status.groups[0].coop.clone().unwrap()
}

/// The servers that lead, of those that run.
pub fn primaries(world: &World, servers: u8) -> Vec<u8> {
    let running = (1..=servers).filter(|number| world.has_server(address(*number)));
    running.filter(|number| leads(world, *number)).collect()
}

/// One that is told of no others leads as well.
fn leads(world: &World, number: u8) -> bool {
    let status = world.server(address(number)).status(world.clock_of(address(number)));
    status.groups[0].coop.as_ref().is_none_or(|coop| coop.role == Role::Primary)
}

/// Two servers that stand by each other, a member of each, and a third that is not there.
pub fn allies() -> World {
    let mut world = World::new(1, Link::CALM);
    for number in [SECONDARY, PRIMARY] {
        let config = allied_config(number, THIRD, LIFE);
        start_server(&mut world, config, None, &mut Seeded::new(number.into()));
        let config = MemberConfig { servers: vec![server_entry(number)], ..member_config(number.into()) };
        world.add_member(member_address(number.into()), member(config, number.into()));
    }
    world.run_for(Duration::from_secs(30));
    assert_eq!(primaries(&world, 2), [PRIMARY]);
    assert!(world.views().iter().all(|view| view.registered));
    world
}
