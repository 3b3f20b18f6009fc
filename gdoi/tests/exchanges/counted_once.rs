//! Under one key and sender ID no packet is counted twice: a key that has gone and comes back is sent with under other
//! sender IDs, or not at all.

use crate::bench::alliance::{address, allied_config, start_with};
use crate::bench::counting::Counting;
use crate::bench::fleet::{
    group, member, member_address, member_config, rekey_config, server, server_config,
};
use crate::bench::{Link, World};
use gdoi::wire::ExchangeType;
use gdoi::{KeyServerCommand, KeyServerConfig, MemberConfig, RekeyKind, Removal};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

fn per_sender(mut config: KeyServerConfig) -> KeyServerConfig {
    config.groups[0].transform = "aes-256-gcm".parse().unwrap();
    config.groups[0].replay_window = 1024;
    config.groups[0].rekey.get_or_insert_with(rekey_config);
    config
}

/// Member 4 of one server is removed while member 1 hears nothing, and keys change or do not. What member 1 hears then is that all
/// keys are over; but those of now may be the ones that it had.
#[test]
fn who_misses_a_removal_counts_nothing_anew() {
    let mut bad = Vec::new();
    for (pause, outage) in [(1, 4), (3, 4), (3, 6), (12, 15), (35, 40), (50, 45)] {
        let mut world = World::new(5, Link::CALM);
        let mut config = per_sender(server_config(1));
        config.groups[0].deactivation_delay = SECOND * 120;
        world.add_server(address(1), server(config, 1, world.now));
        (1..=4).for_each(|number| {
            let config = MemberConfig { sender_ids: 2, ..member_config(number) };
            world.add_member(member_address(number), member(config, number.into()));
        });
        world.run_for(SECOND * 60);
        let mut counting = Counting::default();
        counting.look(&world, 3);
        world.cut(member_address(1).ip());
        let gone = Some(member_address(4).ip());
        let removal = KeyServerCommand::Remove(group().id.into(), gone, Removal::Graceful);
        world.command_server(address(1), removal);
        counting.run(&mut world, SECOND * pause.min(outage), 3);
        if pause <= outage {
            let rekey = KeyServerCommand::Rekey(group().id.into(), RekeyKind::Forced);
            world.command_server(address(1), rekey);
            counting.run(&mut world, SECOND * (outage - pause), 3);
        }
        world.join(member_address(1).ip());
        counting.run(&mut world, SECOND * 200, 3);
        assert!(world.view(member_address(1)).outbound.is_some(), "{pause} {outage}");
        if !counting.again.is_empty() {
            bad.push((pause, outage, counting.again));
        }
    }
    assert!(bad.is_empty(), "{bad:?}");
}

/// The others give back what the one had ended.
#[test]
fn a_key_that_only_one_server_ended_comes_back_with_other_sender_ids() {
    let mut world = World::new(5, Link::CALM);
    start_with(&mut world, 2, 4, |number| per_sender(allied_config(number, 2, HOUR)));
    world.run_for(SECOND * 40);
    let host = |number| member_address(number).ip();
    let (one, other) = ((address(1).ip(), 1), (address(2).ip(), 2));
    world.split([one, (host(1), 1), (host(2), 1), other, (host(3), 2), (host(4), 3)]);
    world.run_for(SECOND * 20);
    let before = world.sent.len();
    world.command_server(address(2), KeyServerCommand::Remove(group().id.into(), None, Removal::Now));
    world.run_for(SECOND * 60);
    let is_push = |payload: &[u8]| payload[18] == ExchangeType::GROUPKEY_PUSH.0;
    let said = world.sent[before..].iter().filter(|flight| flight.from == address(2));
    let mut over: Vec<_> = said.map(|flight| flight.payload.clone()).filter(|said| is_push(said)).collect();
    over.dedup();
    let had = world.view(member_address(1));
    let mut counting = Counting::default();
    counting.look(&world, 2);
    for _ in 0..120 {
        for payload in &over {
            world.inject(address(1), member_address(1), payload);
            counting.run(&mut world, Duration::from_millis(50), 2);
        }
        counting.run(&mut world, SECOND * 5, 2);
    }
    assert!(counting.again.is_empty(), "{:?}", counting.again);
    let has = world.view(member_address(1));
    let (had_key, has_key) = (had.outbound.unwrap().spi, has.outbound.unwrap().spi);
    assert_eq!(had_key, has_key, "it was given back");
    assert_ne!(had.sids, has.sids);
}
