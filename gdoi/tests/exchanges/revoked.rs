//! Who was removed, and comes back.

use crate::bench::alliance::address;
use crate::bench::fleet::{
    group, member, member_address, member_config, pre_shared_key, rekey_config, server, server_address,
    server_config,
};
use crate::bench::{Link, World};
use gdoi::policy::Identity;
use gdoi::{
    CredentialEntry, KeyServer, KeyServerCommand, KeyServerConfig, MemberConfig, Removal, ServerEntry,
};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const OWN: &[u8] = b"the key of gm1 alone";

/// Two addresses of the network that the key of gm1 is good for.
const HOME: u16 = 0x0701;
const ELSEWHERE: u16 = 0x0702;

fn name() -> Identity {
    Identity::Fqdn("gm1.example".into())
}

fn config() -> KeyServerConfig {
    let mut config = server_config(1);
    config.credentials.push(CredentialEntry {
        peers: "198.51.7.0/24".parse().unwrap(),
        identity: Some(name()),
        credential: pre_shared_key(OWN),
    });
    config.groups[0].rekey = Some(rekey_config());
    config.groups[0].authorization.identities = vec![name(), member_config(1).identity];
    config
}

fn gm1(number: u16) -> MemberConfig {
    let servers = vec![ServerEntry { address: server_address(1), credential: pre_shared_key(OWN) }];
    MemberConfig { identity: name(), servers, ..member_config(number) }
}

/// Under the same name and with the same key. A restart of the server forgets nothing of it, and `readmit` all.
#[test]
fn a_member_is_removed_from_wherever_it_speaks() {
    let mut world = World::new(5, Link::CALM);
    world.add_server(address(1), server(config(), 1, world.now));
    world.add_member(member_address(1), member(member_config(1), 1));
    world.add_member(member_address(HOME), member(gm1(HOME), 2));
    world.run_for(SECOND * 10);
    assert!(world.view(member_address(HOME)).registered);
    let gone = member_address(HOME).ip();
    let removal = KeyServerCommand::Remove(group().id.into(), Some(gone), Removal::Now);
    world.command_server(address(1), removal);
    world.run_for(SECOND * 20);
    assert!(world.view(member_address(HOME)).outbound.is_none(), "it is out");
    world.add_member(member_address(ELSEWHERE), member(gm1(ELSEWHERE), 3));
    world.run_for(SECOND * 20);
    assert!(!world.view(member_address(ELSEWHERE)).registered, "it is back");
    let stored = world.crash_server(address(1)).unwrap();
    let random = Box::new(crate::bench::random::Seeded::new(7));
    world.add_server(address(1), KeyServer::new(config(), Some(&stored), random, world.now).unwrap());
    world.run_for(SECOND * 90);
    assert!(!world.view(member_address(ELSEWHERE)).registered, "it is back after a restart");
    assert!(world.view(member_address(1)).outbound.is_some(), "others are not concerned");
    world.command_server(address(1), KeyServerCommand::Readmit(group().id.into(), gone));
    world.run_for(SECOND * 90);
    assert!(world.view(member_address(ELSEWHERE)).registered, "it may come back");
}

/// Where nothing binds the key, a name is only said, and nobody is removed for it.
#[test]
fn who_only_says_a_name_takes_nobody_along() {
    let mut config = config();
    config.groups[0].authorization = Default::default();
    config.groups[0].authorization.addresses = vec!["198.51.0.0/16".parse().unwrap()];
    let mut world = World::new(5, Link::CALM);
    world.add_server(address(1), server(config, 1, world.now));
    world.add_member(member_address(1), member(MemberConfig { identity: name(), ..member_config(1) }, 1));
    world.run_for(SECOND * 10);
    assert!(world.view(member_address(1)).registered);
    let gone = member_address(1).ip();
    let removal = KeyServerCommand::Remove(group().id.into(), Some(gone), Removal::Now);
    world.command_server(address(1), removal);
    world.add_member(member_address(HOME), member(gm1(HOME), 2));
    world.run_for(SECOND * 20);
    assert!(world.view(member_address(HOME)).registered);
}
