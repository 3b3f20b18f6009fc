//! The seams of a change of keys: who asks just before it, who registers elsewhere while it is being committed, who loses
//! one message of two, who is away when it is told. All of them are part of it: nobody is deaf for longer than a lost
//! message takes to come again.

mod faults;
mod fleet;
mod limits;
mod outages;
mod pulls;
mod shared;
pub mod watch;

use crate::bench::fleet::{group, member, member_address, member_config, rekey_config, server_config};
use crate::bench::fleet::{server, server_address};
use crate::bench::{Link, World};
use gdoi::{KeyServerCommand, KeyServerConfig, RekeyKind, Removal, Transport};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

const MULTICAST: Transport =
    Transport::Multicast(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(239, 1, 1, 1)), 848));

/// What a message that was lost takes to come again, and what the issue allows besides.
const SOON: Duration = Duration::from_secs(11);

const fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

fn lone(transport: Transport) -> KeyServerConfig {
    let mut config = server_config(1);
    config.groups[0].rekey = Some(gdoi::RekeyConfig { transport, ..rekey_config() });
    config
}

/// One server, and members that are registered.
fn lone_world(config: KeyServerConfig, members: u16) -> World {
    let mut world = World::new(1, Link::CALM);
    world.add_server(server_address(1), server(config, 1, world.now));
    (1..=members).for_each(|number| join(&mut world, number));
    world.run_for(seconds(20));
    assert!(world.views().iter().all(|view| view.registered));
    world
}

fn join(world: &mut World, number: u16) {
    world.add_member(member_address(number), member(member_config(number), number.into()));
}

fn rekey(kind: RekeyKind) -> KeyServerCommand {
    KeyServerCommand::Rekey(group().id.into(), kind)
}

fn remove(member: Option<u16>, removal: Removal) -> KeyServerCommand {
    KeyServerCommand::Remove(group().id.into(), member.map(|number| member_address(number).ip()), removal)
}

/// How many messages of PULLs were sent.
fn pulls(world: &World) -> usize {
    world.sent.iter().filter(|flight| flight.payload[18] == 32).count()
}
