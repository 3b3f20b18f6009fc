//! Announcements and heads that cannot be, and configurations that differ.

use super::siege::{seconds, Siege, AUTHOR};
use crate::bench::alliance::{address, allied_config, coop, primaries, start_server, LIFE, THIRD as TRAITOR};
use crate::bench::coop_message::{at, number, patched, record, State};
use crate::bench::fleet::{acl, member, member_address, member_config, server_address, server_entry};
use crate::bench::random::Seeded;
use crate::bench::{Link, World};
use gdoi::{Error, Malformed, MemberConfig, Misbehaved, RegistrationState, Unacceptable};

/// Nobody knows which group they are about, so they are counted with what the server refused in all.
#[test]
fn unknown_kinds_and_versions_are_refused() {
    for mut siege in Siege::both() {
        let honest = siege.honest();
        let cases = [
            (patched(&honest, at::KIND, &[0]), Malformed::Value("COOP payload").into()),
            (patched(&honest, at::KIND, &[4]), Malformed::Value("COOP payload").into()),
            (patched(&honest, at::FORMAT, &[1]), Malformed::Value("COOP payload").into()),
            (patched(&honest, at::FORMAT + 1, &[1]), Malformed::Reserved("COOP payload").into()),
            (patched(&honest, at::GROUP, &[0; 4]), Unacceptable::UnknownGroup("0".into()).into()),
            (honest[..7].to_vec(), Malformed::Truncated("COOP payload").into()),
            (Vec::new(), Malformed::Truncated("COOP payload").into()),
        ];
        for (body, reason) in cases {
            let reason: Error = reason;
            let outcome = siege.withstand_body(&body);
            let name = outcome.named(&siege.traitor.address.ip(), &reason);
            assert_eq!((name, outcome.rejected), ("COOP_PACKET_DROPPED", 1));
            siege.world.run_for(seconds(2));
        }
        siege.over();
    }
}

#[test]
fn messages_cut_short_anywhere_are_refused() {
    for mut siege in Siege::both() {
        let member = record([198, 51, 7, 7].into(), server_address(TRAITOR).ip(), AUTHOR, 3);
        let whole = [siege.honest(), siege.state(|_| {}), siege.members((0, 3), &[member])];
        for body in &whole {
            for length in 0..body.len() {
                let outcome = siege.withstand_body(&body[..length]);
                assert_eq!(outcome.rejected, 1, "{length} of {}", body.len());
                assert_eq!(outcome.refused.other, u64::from(length >= 8), "{length} of {}", body.len());
            }
        }
        siege.taken(&whole[2]);
        siege.over();
    }
}

#[test]
fn what_is_no_message_is_refused() {
    for mut siege in Siege::both() {
        let honest = siege.honest();
        let malformed = |siege: &mut Siege, at: usize, octets: &[u8], reason: Malformed| {
            siege.refused(&patched(&honest, at, octets), reason);
        };
        malformed(&mut siege, at::ROLE, &[9], Malformed::Value("COOP payload"));
        malformed(&mut siege, at::ROLE + 2, &[4], Malformed::Reserved("COOP payload"));
        malformed(&mut siege, at::VERSIONS, &[33], Malformed::TooMany("authors"));
        let longer = [&honest[..], &[0]].concat();
        siege.refused(&longer, Malformed::TrailingBytes("COOP payload"));
        siege.over();
    }
}

#[test]
fn announcements_out_of_time_are_refused_and_named() {
    for mut siege in Siege::both() {
        let later = |epoch: u64, siege: &Siege| {
            let epoch = number(&siege.honest(), at::EPOCH) + epoch;
            patched(&siege.honest(), at::EPOCH, &epoch.to_be_bytes())
        };
        for epoch in [0, 1] {
            let ahead = siege.pseudotime() + 12_000;
            let body = patched(&later(epoch, &siege), at::PSEUDOTIME, &ahead.to_be_bytes());
            siege.refused(&body, Misbehaved::TooNew(12));
            let behind = siege.pseudotime() - 12_000;
            let body = patched(&later(epoch, &siege), at::PSEUDOTIME, &behind.to_be_bytes());
            siege.refused(&body, Misbehaved::TooOld(12));
            let honest = siege.honest();
            siege.taken(&honest);
        }
        let last = patched(&siege.honest(), at::PSEUDOTIME, &[0xff; 8]);
        let ahead = (u64::MAX - siege.pseudotime()) / 1000;
        siege.refused(&last, Misbehaved::TooNew(ahead));
        let tolerable = siege.pseudotime() + 9_000;
        let tolerable = patched(&siege.honest(), at::PSEUDOTIME, &tolerable.to_be_bytes());
        siege.taken(&tolerable);
        siege.over();
    }
}

#[test]
fn states_out_of_time_are_refused_and_named() {
    for mut siege in Siege::both() {
        let state = State::sound(siege.later());
        let body = state.emit(&siege.honest(), siege.pseudotime() + 11_500);
        siege.refused(&body, Misbehaved::TooNew(11));
        let body = state.emit(&siege.honest(), siege.pseudotime() - 11_500);
        siege.refused(&body, Misbehaved::TooOld(11));
        siege.over();
    }
}

#[test]
fn epochs_that_cannot_have_come_are_refused() {
    for mut siege in Siege::both() {
        let epoch = coop(&siege.world, siege.target).epoch;
        for far in [epoch + (1 << 32) + 1, u64::MAX] {
            for field in [at::EPOCH, at::REIGN_EPOCH] {
                let body = patched(&siege.honest(), field, &far.to_be_bytes());
                siege.refused(&body, Misbehaved::EpochLeap(far));
            }
        }
        siege.over();
    }
}

/// Members of the secondary get the primary's policy; both say what is wrong.
#[test]
fn another_configuration_is_named_and_the_primary_s_holds() {
    let mut world = World::new(1, Link::CALM);
    let mut other = allied_config(1, 2, LIFE);
    other.groups[0].acl = gdoi::policy::Acl::new(vec!["permit ip any any".parse().unwrap()]).unwrap();
    other.groups[0].activation_delay = seconds(1);
    start_server(&mut world, other, None, &mut Seeded::new(1));
    start_server(&mut world, allied_config(2, 2, LIFE), None, &mut Seeded::new(2));
    let config = MemberConfig { servers: vec![server_entry(1)], ..member_config(1) };
    world.add_member(member_address(1), member(config, 1));
    world.run_until(seconds(60), |world| world.view(member_address(1)).registered);
    world.run_for(seconds(30));
    assert_eq!(primaries(&world, 2), [2]);
    for (own, other) in [(1, 2), (2, 1)] {
        let peer = server_address(other).ip();
        let events = world.server_events(address(own)).iter();
        let named = events.filter(|(_, event)| event.name() == "COOP_CONFIG_MISMATCH");
        assert_eq!(named.count(), 1, "once, not every second");
        let status = coop(&world, own);
        let said = status.peers[0].said.unwrap();
        assert!(said.in_step && !said.configured_alike && status.peers[0].address == peer);
    }
    let status = world.member(member_address(1)).status(world.now);
    assert_eq!(status.registration, RegistrationState::Registered);
    assert_eq!((status.server, status.acl), (address(1), acl()));
    assert_eq!(status.activation_delay, Some(LIFE / 12));
}
