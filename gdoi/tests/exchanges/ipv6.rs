//! Members and key servers that speak over IPv6.

use crate::bench::alliance::{allied_config, start_server, LIFE};
use crate::bench::fleet::{
    group, member, member_config, pre_shared_key, rekey_config, server, server_config, PSK,
};
use crate::bench::random::Seeded;
use crate::bench::{Link, World};
use gdoi::coop::Role;
use gdoi::policy::Identity;
use gdoi::{
    Authorization, CredentialEntry, KeyServerCommand, KeyServerConfig, MemberConfig, MemberEvent,
    RegistrationState, RekeyKind, ServerEntry, Transport, Unacceptable,
};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

const GROUP: &str = "[ff15::848]:848";

fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

fn server_address(number: u8) -> SocketAddr {
    SocketAddr::new(IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, number.into()]), 848)
}

fn member_address(number: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::from([0x2001, 0xdb8, 1, number, 0, 0, 0, 1]), 848)
}

/// The same with addresses of IPv6.
fn moved(number: u8, config: KeyServerConfig) -> KeyServerConfig {
    let mut config = config;
    config.identity = Identity::Address(server_address(number).ip());
    config.address = server_address(number);
    let peers = "2001:db8:1::/48".parse().unwrap();
    config.credentials = vec![CredentialEntry { peers, identity: None, credential: pre_shared_key(PSK) }];
    config
}

fn rekeyed_config(transport: Transport) -> KeyServerConfig {
    let mut config = moved(1, server_config(1));
    config.groups[0].rekey = Some(gdoi::RekeyConfig { transport, ..rekey_config() });
    config
}

fn member_of(number: u16, servers: &[u8]) -> MemberConfig {
    let entry =
        |server: &u8| ServerEntry { address: server_address(*server), credential: pre_shared_key(PSK) };
    MemberConfig {
        servers: servers.iter().map(entry).collect(),
        identity: Identity::Address(member_address(number).ip()),
        ..member_config(number)
    }
}

fn start(config: KeyServerConfig) -> World {
    let mut world = World::new(1, Link::CALM);
    world.add_server(config.address, server(config, 1, world.now));
    (1..=3).for_each(|number| {
        world.add_member(member_address(number), member(member_of(number, &[1]), number.into()))
    });
    world
}

fn all_registered(world: &World) -> bool {
    world.views().iter().all(|view| view.registered)
}

fn registrations(world: &World) -> Vec<u64> {
    (1..=3).map(|number| world.member(member_address(number)).status(world.now).registrations).collect()
}

fn rekey(world: &mut World, server: u8) {
    world.command_server(
        server_address(server),
        KeyServerCommand::Rekey(group().id.into(), RekeyKind::Forced),
    );
}

fn hold_one_key(world: &World, keys: usize) -> bool {
    let views = world.views();
    let spis = |view: &gdoi::View| view.inbound.iter().map(|sa| sa.spi).collect::<Vec<_>>();
    views.iter().all(|view| view.inbound.len() == keys && spis(view) == spis(&views[0]))
}

#[test]
fn members_register_and_acknowledge_what_they_are_sent() {
    let mut world = start(rekeyed_config(Transport::Unicast));
    world.run_until(seconds(60), all_registered);
    let status = world.server(server_address(1)).status(world.now);
    let members: Vec<_> = status.groups[0].members.iter().map(|member| member.address).collect();
    assert_eq!(members, [1, 2, 3].map(|number| member_address(number).ip()));
    assert!(world.views().iter().all(|view| view.rekey_group.is_none()));
    rekey(&mut world, 1);
    world.run_for(seconds(5));
    assert!(hold_one_key(&world, 2));
    let status = world.server(server_address(1)).status(world.now);
    assert!(status.groups[0].members.iter().all(|member| member.rekeys_acknowledged == 1));
    assert_eq!(registrations(&world), [1; 3]);
}

#[test]
fn a_multicast_rekey_reaches_all() {
    let mut world = start(rekeyed_config(Transport::Multicast(GROUP.parse().unwrap())));
    world.run_until(seconds(60), all_registered);
    assert!(world.views().iter().all(|view| view.rekey_group == GROUP.parse().ok()));
    rekey(&mut world, 1);
    world.run_for(seconds(5));
    assert!(hold_one_key(&world, 2));
    assert_eq!(registrations(&world), [1; 3]);
}

#[test]
fn the_state_of_a_server_survives() {
    let mut world = start(rekeyed_config(Transport::Multicast(GROUP.parse().unwrap())));
    world.run_until(seconds(60), all_registered);
    world.run_for(seconds(5));
    let stored = world.crash_server(server_address(1));
    let config = rekeyed_config(Transport::Multicast(GROUP.parse().unwrap()));
    start_server(&mut world, config, stored.as_ref(), &mut Seeded::new(7));
    world.run_for(seconds(5));
    let status = world.server(server_address(1)).status(world.now);
    assert_eq!(status.groups[0].members.len(), 3);
    rekey(&mut world, 1);
    world.run_for(seconds(5));
    assert!(hold_one_key(&world, 2));
    assert_eq!(registrations(&world), [1; 3]);
}

#[test]
fn only_members_of_listed_prefixes_and_of_their_own_address_register() {
    let mut config = rekeyed_config(Transport::Unicast);
    let addresses = ["2001:db8:1:2::/64", "198.51.0.0/16"].map(|prefix| prefix.parse().unwrap()).to_vec();
    config.groups[0].authorization = Authorization { addresses, identities: Vec::new() };
    let mut world = start(config);
    let posing = Identity::Address(member_address(2).ip());
    world.add_member(member_address(4), member(MemberConfig { identity: posing, ..member_of(4, &[1]) }, 4));
    world.run_for(seconds(30));
    let registered: Vec<_> = world.views().iter().map(|view| view.registered).collect();
    assert_eq!(registered, [false, true, false, false]);
    let reason = Unacceptable::Address.to_string();
    let refused = world
        .server_events(server_address(1))
        .iter()
        .filter(|(_, event)| event.to_string().contains(&reason));
    assert!(refused.count() >= 2);
    let told = |event: &MemberEvent| matches!(event, MemberEvent::RegistrationFailed { .. });
    assert!(world.member_events(member_address(1)).iter().any(|(_, event)| told(event)));
}

/// Server `number` of two; the second has the higher priority.
fn allied(number: u8) -> KeyServerConfig {
    let mut config = moved(number, allied_config(number, 2, LIFE));
    let other = server_address(3 - number);
    config.peers[0].address = other;
    config.groups[0].redundancy.as_mut().unwrap().peers = vec![other.ip()];
    config
}

#[test]
fn two_servers_share_a_group_and_one_goes_on_alone() {
    let mut world = World::new(1, Link::CALM);
    (1..=2)
        .for_each(|number| start_server(&mut world, allied(number), None, &mut Seeded::new(number.into())));
    for number in 1..=3 {
        let servers = if number == 2 { [2, 1] } else { [1, 2] };
        world.add_member(member_address(number), member(member_of(number, &servers), number.into()));
    }
    world.run_until(seconds(60), all_registered);
    world.run_for(seconds(3));
    let coop = |world: &World, number: u8| {
        let address = server_address(number);
        world.server(address).status(world.clock_of(address)).groups[0].coop.clone().unwrap()
    };
    let (first, second) = (coop(&world, 1), coop(&world, 2));
    assert_eq!((first.role, second.role), (Role::Secondary, Role::Primary));
    assert_eq!(first.primary, Some(server_address(2).ip()));
    assert!(first.peers[0].linked && first.peers[0].said.unwrap().members == 3);
    world.crash_server(server_address(2));
    world.run_for(seconds(10));
    assert_eq!(coop(&world, 1).role, Role::Primary);
    rekey(&mut world, 1);
    world.run_for(seconds(10));
    let registered = |number| world.member(member_address(number)).status(world.now).registration;
    assert!((1..=3).all(|number| registered(number) == RegistrationState::Registered));
    assert!(hold_one_key(&world, 2));
    assert_eq!(registrations(&world), [1; 3]);
}
