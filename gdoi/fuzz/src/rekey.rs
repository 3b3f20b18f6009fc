use crate::bench::fleet::{
    member, member_address, member_config, rekey_config, server, server_address, server_config,
};
use crate::bench::{Link, World};
use gdoi::wire::{Chain, Padding, PayloadType};
use gdoi::{KeyServerConfig, Retransmit, Transport};
use std::time::Duration;

/// The usual key server with a rekey SA.
pub fn rekeying_config() -> KeyServerConfig {
    let (mut config, mut rekey) = (server_config(1), rekey_config());
    rekey.transport = Transport::Unicast;
    rekey.retransmit = Retransmit { interval: Duration::from_secs(10), number: 2 };
    config.groups[0].rekey = Some(rekey);
    config
}

/// A group of one, the same in every run.
pub fn registered() -> World {
    let mut world = World::new(1, Link::CALM);
    world.add_server(server_address(1), server(rekeying_config(), 1, world.now));
    world.add_member(member_address(1), member(member_config(1), 1001));
    world.run_for(Duration::from_secs(2));
    world
}

/// Input that is the type of the first payload and the chain.
pub fn payloads(input: &[u8]) -> Option<Vec<(PayloadType, Vec<u8>)>> {
    let (next, octets) = input.split_first()?;
    let chain = Chain::parse(PayloadType(*next), octets, Padding::None).ok()?;
    Some(chain.payloads.iter().map(|payload| (payload.kind, payload.body.to_vec())).collect())
}
