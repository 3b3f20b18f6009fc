//! States and member lists that cannot be.

use super::siege::{Siege, AUTHOR};
use crate::bench::alliance::{
    address, allied_config, coop, primaries, start_server, LIFE, PRIMARY, SECONDARY, THIRD as TRAITOR,
};
use crate::bench::coop_message::{at, mapped, patched, record, State, Tek};
use crate::bench::fleet::{group, member, member_address, member_config, server_address, server_entry};
use crate::bench::random::Seeded;
use crate::bench::World;
use gdoi::{Error, KeyServerCommand, Malformed, MemberConfig, RekeyKind, Unacceptable};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

#[test]
fn states_that_cannot_be_are_refused() {
    for mut siege in Siege::both() {
        let value = Error::from(Malformed::Value("state record"));
        let many = Error::from(Malformed::TooMany("state records"));
        let entries = Error::from(Malformed::TooMany("ACL entries"));
        let (entry, rest) = (
            Error::from(Malformed::Value("ACL payload")),
            Error::from(Malformed::TrailingBytes("ACL payload")),
        );
        let cut = Error::from(Malformed::Truncated("ACL payload"));
        let teks = |count: u32| (1..=count).map(|number| Tek::sound(0x7000 + number)).collect();
        type Change = Box<dyn FnOnce(&mut State)>;
        let cases: Vec<(Change, &Error)> = vec![
            (Box::new(move |state| state.teks = teks(8)), &many),
            (Box::new(|state| state.ended = 33), &many),
            (Box::new(|state| state.keks = 17), &many),
            (Box::new(|state| state.acl = vec![1, 0, 3, 0xe9]), &entries),
            (Box::new(|state| state.teks[0].key_len = 16), &value),
            (Box::new(|state| state.teks[0].key_len = 0), &value),
            (Box::new(|state| state.teks[0].transform = "aes-256-gcm"), &value),
            (Box::new(|state| state.teks[0].spi = 0), &value),
            (Box::new(|state| state.teks[0].spi = 255), &value),
            (Box::new(|state| state.kek_len = 47), &value),
            (Box::new(|state| state.succession = 3), &value),
            (Box::new(|state| state.acl = vec![1, 0, 0, 1, 0, 0, 8, 33, 10, 10]), &entry),
            (Box::new(|state| state.acl[3] = 2), &cut),
            (Box::new(|state| state.acl[3] = 0), &rest),
            (Box::new(|state| state.acl.clear()), &cut),
        ];
        for (change, reason) in cases {
            let body = siege.state(change);
            siege.refused(&body, reason.clone());
        }
        let trailing = [&siege.state(|_| {})[..], &[0]].concat();
        siege.refused(&trailing, Malformed::TrailingBytes("COOP payload"));
        let nameless = patched(&siege.state(|_| {}), at::LINEAGE, &[0; 8]);
        siege.refused(&nameless, Malformed::Value("COOP payload"));
        let of_another = patched(&siege.state(|_| {}), at::LINEAGE, &[9; 8]);
        siege.refused(&of_another, Malformed::Value("COOP payload"));
        siege.over();
    }
}

/// The same state with nothing wrong is believed: what is refused above is refused for what is wrong with it.
#[test]
fn a_sound_state_of_a_peer_is_taken() {
    let mut siege = Siege::of(SECONDARY);
    let body = siege.state(|_| {});
    siege.taken(&body);
    assert_eq!(siege.status().groups[0].teks[0].spi.0, 0x7777);
}

#[test]
fn member_lists_that_cannot_be_are_refused() {
    for mut siege in Siege::both() {
        let entry = |number: u8, author, version| {
            record([198, 51, 7, number].into(), server_address(TRAITOR).ip(), author, version)
        };
        let too_many: Vec<_> = (1..=9).map(|number| entry(number, AUTHOR, number.into())).collect();
        let body = siege.members((0, 9), &too_many);
        siege.refused(&body, Malformed::TooMany("state records"));
        let version = Unacceptable::Unsupported("version of a member record", 0);
        for (span, records) in [
            ((0, 5), vec![entry(1, AUTHOR, 4), entry(2, AUTHOR + 1, 5)]),
            ((0, 5), vec![entry(1, AUTHOR, 4), entry(2, AUTHOR, 6)]),
            ((0, (1 << 62) + 1), vec![entry(1, AUTHOR, 5)]),
            ((0, u64::MAX), vec![]),
        ] {
            let body = siege.members(span, &records);
            siege.refused(&body, version.clone());
        }
        let body = siege.members((6, 5), &[]);
        siege.refused(&body, Malformed::Value("COOP payload"));
        let trailing = [&siege.members((0, 5), &[])[..], &[0]].concat();
        siege.refused(&trailing, Malformed::TrailingBytes("COOP payload"));
        siege.over();
    }
}

#[test]
fn more_members_than_a_group_can_have_are_refused() {
    let mut siege = Siege::of(SECONDARY);
    let owner = server_address(TRAITOR).ip();
    let member = |number: u64| IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + number as u32));
    let slice = |siege: &Siege, from: u64, to: u64| {
        let records: Vec<_> =
            (from + 1..=to).map(|number| record(member(number), owner, AUTHOR, number)).collect();
        siege.members((from, to), &records)
    };
    // Two have registered.
    for from in (0..16_376).step_by(8) {
        let body = slice(&siege, from, from + 8);
        siege.taken(&body);
    }
    let body = slice(&siege, 16_376, 16_384);
    siege.refused(&body, Unacceptable::TooManyMembers);
    assert_eq!(siege.status().groups[0].members.len(), 16_378);
    let body = slice(&siege, 16_376, 16_382);
    siege.taken(&body);
    assert_eq!(siege.status().groups[0].members.len(), 16_384);
    let body = slice(&siege, 16_382, 16_383);
    siege.refused(&body, Unacceptable::TooManyMembers);
    // What is known may change.
    let body = siege.members((16_382, 16_383), &[record(member(1), owner, AUTHOR, 16_383)]);
    siege.taken(&body);
}

/// Whatever is believed can be served, counted on from, stored and read again.
#[test]
fn the_most_that_a_peer_can_claim_harms_nobody() {
    let many = |first: u32| (first..first + 7).map(Tek::sound).collect();
    let full = |state: &mut State| (state.teks, state.ended, state.keks) = (many(0x1000), 32, 16);
    type Change<'a> = &'a dyn Fn(&mut State);
    let changes: [Change<'_>; 6] = [
        &|state| state.sequence = u32::MAX,
        &|state| state.versions.iter_mut().for_each(|(_, number)| *number = u64::MAX),
        &|state| state.rekeys = u64::MAX,
        &|state| (state.delay, state.revoked) = (u64::MAX, 512),
        &|state| state.teks.iter_mut().for_each(|tek| tek.expires = 0),
        &full,
    ];
    for change in changes {
        for lineage in [None, Some([9; 8])] {
            let mut siege = Siege::of(SECONDARY);
            let mut state = State::sound(siege.later());
            change(&mut state);
            let head = lineage.map_or(siege.honest(), |other| patched(&siege.honest(), at::LINEAGE, &other));
            let body = state.emit(&head, siege.pseudotime());
            siege.taken(&body);
            let own = server_address(SECONDARY).ip();
            let record = record([198, 51, 0, 1].into(), own, AUTHOR, 1 << 62);
            let known = siege.members((0, 1 << 62), &[record]);
            siege.taken(&known);
            siege.world.crash_server(address(PRIMARY));
            survive(siege.world);
        }
    }
}

/// The server becomes primary, registers members, makes keys, and goes on after a restart.
fn survive(mut world: World) {
    world.run_for(Duration::from_secs(30));
    let config = MemberConfig { servers: vec![server_entry(SECONDARY)], ..member_config(5) };
    world.add_member(member_address(5), member(config, 5));
    world.run_until(Duration::from_secs(60), |world| world.view(member_address(5)).registered);
    assert_eq!(primaries(&world, 1), [SECONDARY]);
    for kind in [RekeyKind::Forced, RekeyKind::Reminder, RekeyKind::ReplaceNow] {
        world.command_server(address(SECONDARY), KeyServerCommand::Rekey(group().id.into(), kind));
        world.run_for(Duration::from_secs(5));
    }
    let stored = world.crash_server(address(SECONDARY));
    let config = allied_config(SECONDARY, TRAITOR, LIFE);
    start_server(&mut world, config, stored.as_ref(), &mut Seeded::new(5));
    world.run_for(Duration::from_secs(60));
    assert_eq!(primaries(&world, 1), [SECONDARY]);
    assert!(world.view(member_address(5)).registered);
}

/// Pseudotimes, epochs and heartbeats of servers that began apart are not compared with those of this one.
#[test]
fn the_most_that_an_announcement_can_claim_harms_nobody() {
    for far in [1 << 31, 1 << 63, u64::MAX] {
        let mut siege = Siege::of(SECONDARY);
        for field in [at::PSEUDOTIME, at::EPOCH, at::REIGN_EPOCH, at::HEARTBEAT] {
            let body = patched(&siege.honest(), at::LINEAGE, &[9; 8]);
            let body = patched(&body, at::ROLE, &[4, 255, 1]);
            let body = patched(&body, at::REIGN, &mapped(siege.traitor.address.ip()));
            let datagram = siege.traitor.seal(&patched(&body, field, &far.to_be_bytes()));
            siege.world.hand(siege.traitor.address, address(SECONDARY), &datagram);
            siege.world.run_for(Duration::from_secs(1));
        }
        siege.world.run_for(Duration::from_secs(10));
        assert!(coop(&siege.world, SECONDARY).epoch < 1 << 33);
        siege.world.crash_server(address(PRIMARY));
        survive(siege.world);
    }
}
