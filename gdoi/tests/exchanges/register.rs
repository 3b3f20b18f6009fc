//! Registration of members that may: over every network, with every proposal, with servers that fail.

use crate::bench::fleet::{
    acl, member, member_address, member_config, rekey_config, server, server_address, server_config,
    server_entry,
};
use crate::bench::{Link, World};
use gdoi::crypto::{DhGroup, Hash};
use gdoi::policy::{Doi, Identity, Proposal};
use gdoi::{KeyServerConfig, MemberCommand, MemberConfig, MemberEvent, RegistrationState};
use std::net::SocketAddr;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

fn key_server(number: u8) -> SocketAddr {
    server_address(number)
}

/// Key server 1 and members 1 to `members`, all as usual.
fn world(members: u16, link: Link) -> World {
    world_of(server_config(1), (1..=members).map(member_config), link)
}

fn world_of(ks: KeyServerConfig, members: impl IntoIterator<Item = MemberConfig>, link: Link) -> World {
    let mut world = World::new(7, link);
    world.add_server(key_server(1), server(ks, 1, world.now));
    for (number, config) in (1..).zip(members) {
        world.add_member(member_address(number), member(config, 1000 + u64::from(number)));
    }
    world
}

fn all_registered(world: &World) -> bool {
    world.views().iter().all(|view| view.outbound.is_some())
}

#[test]
fn one_member_gets_policy_and_keys_in_eleven_datagrams() {
    let mut world = world(1, Link::CALM);
    world.run_for(MINUTE);
    let view = world.view(member_address(1));
    assert_eq!((view.acl, view.inbound.len()), (acl(), 1));
    assert_eq!(view.outbound.as_ref(), view.inbound.first());
    assert_eq!(world.sent.len(), 6 + 4 + 1, "phase 1, PULL and a delete");
    let status = world.server(key_server(1)).status(world.now);
    let record = &status.groups[0].members[0];
    assert_eq!((record.address, record.registrations, record.ours), (member_address(1).ip(), 1, true));
    assert_eq!((status.half_open, status.established, status.rejected), (0, 0, 0));
    let status = world.member(member_address(1)).status(world.now);
    assert_eq!((status.registration, status.failures), (RegistrationState::Registered, 0));
}

#[test]
fn a_hundred_members_share_one_key() {
    let mut world = world(100, Link::CALM);
    world.run_for(MINUTE);
    let keys = world.view(member_address(1)).outbound.unwrap().keys;
    assert!(world.views().iter().all(|view| view.outbound.as_ref().is_some_and(|sa| sa.keys == keys)));
    assert_eq!(world.server(key_server(1)).status(world.now).groups[0].members.len(), 100);
}

#[test]
fn a_hundred_members_get_through_a_storm() {
    let mut world = world(100, Link::STORM);
    world.run_until(15 * MINUTE, all_registered);
}

#[test]
fn every_proposal_is_spoken() {
    let mut proposals = Vec::new();
    for (key_len, hash) in [(16, Hash::Sha256), (24, Hash::Sha384), (32, Hash::Sha512)] {
        proposals.extend(DhGroup::ALL.map(|group| Proposal { key_len, hash, group, ..Proposal::default() }));
    }
    let config =
        |(number, proposal): (u16, &Proposal)| MemberConfig { proposal: *proposal, ..member_config(number) };
    let members: Vec<_> = (1..).zip(&proposals).map(config).collect();
    let mut world = world_of(KeyServerConfig { proposals, ..server_config(1) }, members, Link::CALM);
    world.run_for(MINUTE);
    assert!(all_registered(&world));
}

#[test]
fn the_server_answers_in_the_doi_that_it_was_asked_in() {
    let members = [Doi::Gdoi, Doi::Ipsec].map(|doi| MemberConfig { doi, ..member_config(1) });
    for config in members {
        let mut world = world_of(server_config(1), [config], Link::CALM);
        world.run_for(MINUTE);
        assert!(all_registered(&world));
    }
}

#[test]
fn members_may_have_names() {
    for identity in [
        Identity::Fqdn("gm1.example".into()),
        Identity::UserFqdn("gm1@example".into()),
        Identity::KeyId(vec![0, 1, 2, 255]),
    ] {
        let config = MemberConfig { identity: identity.clone(), ..member_config(1) };
        let mut world = world_of(server_config(1), [config], Link::CALM);
        world.run_for(MINUTE);
        assert_eq!(world.server(key_server(1)).status(world.now).groups[0].members[0].identity, identity);
    }
}

#[test]
fn the_rekey_sa_comes_with_the_registration() {
    let mut config = server_config(1);
    config.groups[0].rekey = Some(rekey_config());
    let mut world = world_of(config, [member_config(1)], Link::CALM);
    world.run_for(MINUTE);
    let kek = world.member(member_address(1)).status(world.now).kek.unwrap();
    let theirs = world.server(key_server(1)).status(world.now).groups[0].kek.clone().unwrap();
    assert_eq!((kek.spi, kek.sequence, &kek.algorithm), (theirs.spi, 0, &theirs.algorithm));
}

#[test]
fn the_next_server_is_asked_when_the_first_is_silent() {
    let servers = vec![server_entry(1), server_entry(2)];
    let mut world = world_of(server_config(1), [MemberConfig { servers, ..member_config(1) }], Link::CALM);
    world.add_server(key_server(2), server(server_config(2), 2, world.now));
    world.cut(key_server(1).ip());
    world.run_for(MINUTE);
    assert_eq!(world.member(member_address(1)).status(world.now).server, key_server(2));
    assert!(all_registered(&world));
    let failed = world.member_events(member_address(1)).iter().find_map(|(_, event)| match event {
        MemberEvent::RegistrationFailed { server, next_server, reason, .. } => {
            Some((*server, *next_server, reason.to_string()))
        }
        _ => None,
    });
    assert_eq!(failed, Some((key_server(1), key_server(2), "no answer".into())));
}

#[test]
fn a_member_without_any_server_asks_again_and_again_but_not_too_often() {
    let mut world = world(1, Link::CALM);
    world.cut(key_server(1).ip());
    world.run_for(60 * MINUTE);
    let attempts = world.member(member_address(1)).status(world.now).failures;
    assert!((45..=60).contains(&attempts), "{attempts}");
    assert_eq!(world.sent.len() as u64, 4 * attempts, "four transmissions for each");
    world.join(key_server(1).ip());
    world.run_for(2 * MINUTE);
    assert!(all_registered(&world));
}

/// The server forgets everything after each of its messages in turn, and has other keys afterwards.
#[test]
fn a_server_that_restarts_in_the_middle_is_asked_anew() {
    for message in 1..=11 {
        let mut world = world(1, Link::CALM);
        while world.sent.len() < message {
            world.step(world.now + MINUTE);
        }
        world.add_server(key_server(1), server(server_config(1), 99, world.now));
        world.run_until(2 * MINUTE, all_registered);
    }
}

#[test]
fn a_registration_on_command_replaces_nothing_that_is_still_good() {
    let mut world = world(1, Link::CALM);
    world.run_for(MINUTE);
    let before = world.view(member_address(1));
    world.command(member_address(1), MemberCommand::Register);
    world.run_for(MINUTE);
    assert_eq!(world.view(member_address(1)), before);
    assert_eq!(world.member(member_address(1)).status(world.now).registrations, 2);
}

#[test]
fn without_a_server_the_keys_end_and_the_policy_stays() {
    let mut world = world(1, Link::CALM);
    world.run_for(MINUTE);
    world.cut(key_server(1).ip());
    world.run_for(90 * MINUTE);
    let view = world.view(member_address(1));
    assert_eq!((view.registered, view.acl, view.inbound.len(), view.outbound), (true, acl(), 0, None));
    let events = world.member_events(member_address(1));
    assert_eq!(
        events.iter().filter(|(_, event)| matches!(event, MemberEvent::KeysExpired { .. })).count(),
        1
    );
}
