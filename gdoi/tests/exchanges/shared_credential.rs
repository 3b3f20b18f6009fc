//! Whoever has a credential that is good for a prefix speaks from as many addresses as that has, and leaves enough to others.

use crate::bench::alliance::address;
use crate::bench::fleet::{
    member, member_address, member_config, pre_shared_key, rekey_config, server, server_config,
};
use crate::bench::{Link, World};
use gdoi::{CredentialEntry, MemberConfig, ServerEntry};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const SITE: &[u8] = b"the key of a whole site";
const LONE: &[u8] = b"the key of one member";

fn with_key(number: u16, key: &[u8], sender_ids: u16) -> MemberConfig {
    let mut config = MemberConfig { sender_ids, ..member_config(number) };
    config.servers.iter_mut().for_each(|ServerEntry { credential, .. }| *credential = pre_shared_key(key));
    config
}

/// How long a member that starts now waits for what it can send with.
fn wait(world: &mut World, number: u16, config: MemberConfig) -> Duration {
    world.add_member(member_address(number), member(config, u64::from(number) + 5));
    let start = world.now;
    while world.view(member_address(number)).outbound.is_none() && world.now < start + SECOND * 7_200 {
        world.run_for(SECOND);
    }
    world.now.saturating_since(start)
}

#[test]
fn the_addresses_of_one_insider_leave_sender_ids_to_others() {
    let mut world = World::new(5, Link::CALM);
    let mut config = server_config(1);
    config.groups[0].transform = "aes-256-gcm".parse().unwrap();
    config.groups[0].replay_window = 1024;
    config.groups[0].rekey = Some(rekey_config());
    for (peers, key) in [("198.51.9.0/24", SITE), ("198.51.0.3/32", LONE)] {
        let credential = pre_shared_key(key);
        config.credentials.push(CredentialEntry {
            peers: peers.parse().unwrap(),
            identity: None,
            credential,
        });
    }
    world.add_server(address(1), server(config, 1, world.now));
    world.add_member(member_address(1), member(MemberConfig { sender_ids: 2, ..member_config(1) }, 1));
    world.run_for(SECOND * 10);
    for round in 0..18u64 {
        for number in 0x0900..0x0900 + 130u16 {
            // It starts anew each time.
            let insider = member(with_key(number, SITE, 64), round * 1_000 + u64::from(number));
            world.add_member(member_address(number), insider);
        }
        world.run_for(SECOND * 3);
    }
    let status = world.server(address(1)).status(world.now).groups[0].sids;
    assert!(status.given > status.of / 2 - 128, "it got its share: {} of {}", status.given, status.of);
    let others = MemberConfig { sender_ids: 2, ..member_config(2) };
    let waits = [wait(&mut world, 2, others), wait(&mut world, 3, with_key(3, LONE, 2))];
    assert!(waits.iter().all(|wait| *wait < SECOND * 60), "{waits:?}");
    assert!(wait(&mut world, 0x09f0, with_key(0x09f0, SITE, 2)) <= SECOND * 3_700, "then all are renewed");
}

/// Where there is one credential for all, nobody is to be spared.
#[test]
fn the_only_credential_may_use_all_sender_ids() {
    let mut world = World::new(5, Link::CALM);
    let mut config = server_config(1);
    config.groups[0].transform = "aes-256-gcm".parse().unwrap();
    config.groups[0].replay_window = 1024;
    config.groups[0].rekey = Some(rekey_config());
    world.add_server(address(1), server(config, 1, world.now));
    for round in 0..14u64 {
        for number in 0x0900..0x0900 + 90u16 {
            let config = MemberConfig { sender_ids: 64, ..member_config(number) };
            world.add_member(member_address(number), member(config, round * 1_000 + u64::from(number)));
        }
        world.run_for(SECOND * 3);
    }
    let status = world.server(address(1)).status(world.now).groups[0].sids;
    assert!(status.given > status.of / 4 * 2, "{} of {}", status.given, status.of);
}
