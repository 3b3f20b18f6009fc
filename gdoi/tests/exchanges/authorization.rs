//! Who gets keys: what a member only says of itself is worth nothing, and a key that is taken away is worth nothing at once.

use crate::bench::fleet::{
    group_config, member, member_address, member_config, pre_shared_key, server, server_address,
    server_config, PSK,
};
use crate::bench::{Link, World};
use gdoi::policy::Identity;
use gdoi::{Authorization, CredentialEntry, KeyServerConfig, KeyServerEvent, MemberCommand, MemberConfig};
use std::net::SocketAddr;
use std::time::Duration;

const OWN_KEY: &[u8] = b"a key that only this one member has";

fn key_server() -> SocketAddr {
    server_address(1)
}

fn name() -> Identity {
    Identity::Fqdn("gm1.example".into())
}

/// This authorization, and one key for all members.
fn sharing(addresses: &[&str], identities: &[Identity]) -> KeyServerConfig {
    let addresses = addresses.iter().map(|prefix| prefix.parse().unwrap()).collect();
    let mut groups = vec![group_config()];
    groups[0].authorization = Authorization { addresses, identities: identities.to_vec() };
    KeyServerConfig { groups, ..server_config(1) }
}

/// The same, and a key of its own for member 1, bound to its name.
fn binding(addresses: &[&str], identities: &[Identity]) -> KeyServerConfig {
    let mut config = sharing(addresses, identities);
    let entry = CredentialEntry {
        peers: "198.51.0.1/32".parse().unwrap(),
        identity: Some(name()),
        credential: pre_shared_key(OWN_KEY),
    };
    config.credentials.push(entry);
    config
}

/// A member that says it is this one, with this key.
fn claiming(number: u16, identity: Identity, key: &[u8]) -> MemberConfig {
    let mut config = MemberConfig { identity, ..member_config(number) };
    config.servers[0].credential = pre_shared_key(key);
    config
}

/// Whether it gets keys, and what the server says last.
fn tries(config: KeyServerConfig, number: u16, claimant: MemberConfig) -> (bool, String) {
    let mut world = World::new(3, Link::CALM);
    world.add_server(key_server(), server(config, 1, world.now));
    world.add_member(member_address(number), member(claimant, 2));
    world.run_for(Duration::from_secs(60));
    let said = world.server_events(key_server()).iter().map(|(_, event)| event);
    let mut said = said.filter(|event| !matches!(event, KeyServerEvent::NewTek { .. }));
    (
        world.view(member_address(number)).registered,
        said.next_back().map(ToString::to_string).unwrap_or_default(),
    )
}

#[test]
fn a_name_that_is_listed_is_not_proved_by_a_key_that_others_have() {
    let (registered, said) = tries(sharing(&[], &[name()]), 2, claiming(2, name(), PSK));
    assert!(!registered && said.contains("gm1.example"), "{said}");
    let (registered, said) = tries(binding(&[], &[name()]), 2, claiming(2, name(), PSK));
    assert!(!registered && said.contains("not bound to it"), "{said}");
}

#[test]
fn a_name_that_is_listed_is_proved_by_the_key_that_is_bound_to_it() {
    assert!(tries(binding(&[], &[name()]), 1, claiming(1, name(), OWN_KEY)).0);
    let other = Identity::Fqdn("gm2.example".into());
    let (registered, said) =
        tries(binding(&[], std::slice::from_ref(&other)), 1, claiming(1, name(), OWN_KEY));
    assert!(!registered && said.contains("identity gm1.example is not authorized"), "{said}");
}

/// The holder of a key with a name is nobody else, whatever the list is.
#[test]
fn a_key_that_is_bound_to_a_name_proves_no_other() {
    let other = Identity::Fqdn("gm2.example".into());
    for claimed in [other.clone(), member_config(1).identity, Identity::UserFqdn("gm1.example".into())] {
        let config = binding(&[], &[other.clone(), claimed.clone()]);
        let (registered, said) = tries(config, 1, claiming(1, claimed.clone(), OWN_KEY));
        assert!(!registered && said.contains("identified itself as"), "{claimed}: {said}");
        assert!(!tries(binding(&[], &[]), 1, claiming(1, claimed, OWN_KEY)).0);
    }
}

#[test]
fn addresses_and_identities_must_both_match() {
    let here = member_config(1).identity;
    for (addresses, identities, expected) in [
        (&["198.51.0.1/32"][..], vec![here.clone()], true),
        (&["198.51.0.0/16"], vec![here.clone(), name()], true),
        (&["198.51.9.0/24"], vec![here.clone()], false),
        (&["198.51.0.1/32"], vec![member_config(2).identity], false),
        (&["198.51.0.1/32"], vec![], true),
        (&[], vec![here.clone()], true),
        (&[], vec![], true),
    ] {
        let (registered, said) = tries(sharing(addresses, &identities), 1, claiming(1, here.clone(), PSK));
        assert_eq!(registered, expected, "{addresses:?} and {identities:?}: {said}");
    }
    for (addresses, expected) in [(&["198.51.0.0/16"][..], true), (&["198.51.9.0/24"], false)] {
        assert_eq!(tries(binding(addresses, &[name()]), 1, claiming(1, name(), OWN_KEY)).0, expected);
    }
}

/// A member of a server that has read this configuration after so many datagrams of its registration.
fn reloaded_after(datagrams: usize, config: KeyServerConfig) -> World {
    let mut world = World::new(3, Link::CALM);
    world.add_server(key_server(), server(server_config(1), 1, world.now));
    world.add_member(member_address(1), member(member_config(1), 2));
    while world.sent.len() < datagrams {
        assert!(world.step(world.now + Duration::from_secs(1)));
    }
    world.reconfigure(key_server(), config);
    world
}

fn with_key(key: &[u8]) -> KeyServerConfig {
    let mut config = server_config(1);
    config.credentials[0].credential = pre_shared_key(key);
    config
}

/// Between any two messages of phase 1 and of the PULL, but for the last, which has the keys in it.
#[test]
fn a_key_that_a_reload_takes_away_is_dead_at_once() {
    let without = || KeyServerConfig { credentials: Vec::new(), ..server_config(1) };
    for datagrams in 1..=9 {
        for config in [with_key(b"another key"), without()] {
            let mut world = reloaded_after(datagrams, config);
            world.run_for(Duration::from_secs(60));
            assert!(!world.view(member_address(1)).registered, "after {datagrams} datagrams");
            let status = world.server(key_server()).status(world.now);
            assert_eq!((status.established, status.groups[0].members.len()), (0, 0), "after {datagrams}");
        }
    }
}

/// Who is not concerned goes on: another key for others, other proposals, other groups.
#[test]
fn a_reload_that_leaves_the_key_leaves_the_exchange() {
    for datagrams in 1..=9 {
        let mut config = server_config(1);
        config.credentials.push(CredentialEntry {
            peers: "198.51.7.0/24".parse().unwrap(),
            identity: None,
            credential: pre_shared_key(b"of others"),
        });
        config.groups[0].activation_delay += Duration::from_secs(1);
        let mut world = reloaded_after(datagrams, config);
        world.run_for(Duration::from_secs(2));
        assert!(world.view(member_address(1)).registered, "after {datagrams} datagrams");
        assert_eq!(world.member(member_address(1)).status(world.now).failures, 0);
    }
}

/// An entry for the one address takes it out of what many share, and a name is as good as a key.
#[test]
fn a_key_that_becomes_somebodys_own_ends_what_it_was_before() {
    for identity in [None, Some(name())] {
        let mut config = server_config(1);
        let key = if identity.is_some() { PSK } else { OWN_KEY };
        config.credentials.push(CredentialEntry {
            peers: "198.51.0.1/32".parse().unwrap(),
            identity,
            credential: pre_shared_key(key),
        });
        let mut world = reloaded_after(7, config);
        world.run_for(Duration::from_secs(60));
        assert!(!world.view(member_address(1)).registered);
    }
}

/// Members that have keys keep them, and get no others by asking.
#[test]
fn a_member_whose_key_is_gone_registers_no_more() {
    let mut world = World::new(3, Link::CALM);
    world.add_server(key_server(), server(server_config(1), 1, world.now));
    world.add_member(member_address(1), member(member_config(1), 2));
    world.run_for(Duration::from_secs(20));
    world.reconfigure(key_server(), with_key(b"another key"));
    world.command(member_address(1), MemberCommand::Register);
    world.run_for(Duration::from_secs(60));
    assert!(world.view(member_address(1)).outbound.is_some());
    assert_eq!(world.member(member_address(1)).status(world.now).registrations, 1);
}

/// The answer to a first message that was refused is not remembered longer than the reason for it.
#[test]
fn a_key_that_a_reload_adds_is_there_at_once() {
    let mut world = World::new(3, Link::CALM);
    let without = KeyServerConfig { credentials: Vec::new(), ..server_config(1) };
    world.add_server(key_server(), server(without, 1, world.now));
    world.add_member(member_address(1), member(member_config(1), 2));
    world.run_for(Duration::from_millis(500));
    world.reconfigure(key_server(), server_config(1));
    world.run_for(Duration::from_secs(5));
    assert!(world.view(member_address(1)).registered);
    assert_eq!(world.member(member_address(1)).status(world.now).failures, 0);
}
