//! Registrations that come to nothing: both sides say why, no key is given, and the member asks again later.

use crate::bench::fleet::{
    group_config, member, member_address, member_config, pre_shared_key, server, server_address,
    server_config,
};
use crate::bench::{Link, World};
use gdoi::crypto::DhGroup;
use gdoi::policy::{GroupId, Identity, Proposal};
use gdoi::{Authorization, GroupName, KeyServerConfig, KeyServerEvent, MemberConfig, MemberEvent};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

/// What one attempt came to: the reason that the member reports, and the name and text of the server's event.
struct Outcome {
    member: String,
    server: &'static str,
    server_text: String,
    attempts: u64,
}

fn refused(ks: KeyServerConfig, gm: MemberConfig) -> Outcome {
    let (here, there) = (member_address(1), server_address(1));
    let mut world = World::new(3, Link::CALM);
    world.add_server(there, server(ks, 1, world.now));
    world.add_member(here, member(gm, 2));
    world.run_for(5 * MINUTE);
    assert_eq!(world.view(here), gdoi::View::default(), "nothing was given");
    let status = world.server(there).status(world.now);
    assert!(status.groups.iter().all(|group| group.members.is_empty()));
    let reason = world.member_events(here).iter().find_map(|(_, event)| match event {
        MemberEvent::RegistrationFailed { reason, .. } => Some(reason.to_string()),
        _ => None,
    });
    let bad = |event: &&KeyServerEvent| !matches!(event, KeyServerEvent::NewTek { .. });
    let event = world.server_events(there).iter().map(|(_, event)| event).find(bad).unwrap();
    let (server, server_text) = (event.name(), event.to_string());
    Outcome {
        member: reason.unwrap(),
        server,
        server_text,
        attempts: world.member(here).status(world.now).failures,
    }
}

fn authorizing(authorization: Authorization) -> KeyServerConfig {
    let mut groups = vec![group_config()];
    groups[0].authorization = authorization;
    KeyServerConfig { groups, ..server_config(1) }
}

#[test]
fn another_pre_shared_key() {
    let mut config = member_config(1);
    config.servers[0].credential = pre_shared_key(b"another");
    let outcome = refused(server_config(1), config);
    assert!(outcome.member.contains("pre-shared keys differ"), "{}", outcome.member);
    assert_eq!(outcome.server, "KS_PHASE1_FAILED");
    assert!(
        outcome.server_text.contains("198.51.0.1") && outcome.server_text.contains("pre-shared keys differ")
    );
}

#[test]
fn no_pre_shared_key_for_this_peer() {
    let mut config = server_config(1);
    config.credentials[0].peers = "203.0.113.0/24".parse().unwrap();
    let outcome = refused(config, member_config(1));
    assert_eq!((&outcome.member[..], outcome.server), ("no answer", "KS_PHASE1_FAILED"));
    assert!(outcome.server_text.contains("no pre-shared key"), "{}", outcome.server_text);
}

#[test]
fn an_unknown_group() {
    let group = GroupName { name: "else".into(), id: GroupId(4711) };
    let outcome = refused(server_config(1), MemberConfig { group, ..member_config(1) });
    assert!(outcome.member.contains("INVALID-ID-INFORMATION"), "{}", outcome.member);
    assert_eq!(outcome.server, "KS_GM_REFUSED");
    assert!(outcome.server_text.contains("group 4711 is not configured"), "{}", outcome.server_text);
}

#[test]
fn an_address_that_is_not_authorized() {
    let addresses = vec!["198.51.1.0/24".parse().unwrap()];
    let outcome = refused(authorizing(Authorization { addresses, identities: Vec::new() }), member_config(1));
    assert!(outcome.member.contains("AUTHENTICATION-FAILED"), "{}", outcome.member);
    assert_eq!(outcome.server, "UNAUTHORIZED_IPADDR");
    assert!(outcome.server_text.contains("198.51.0.1") && outcome.server_text.contains("corp"));
}

#[test]
fn an_identity_that_is_not_authorized() {
    let identities = vec![Identity::Fqdn("gm1.example".into())];
    let identity = Identity::Fqdn("gm2.example".into());
    let config = MemberConfig { identity, ..member_config(1) };
    let outcome = refused(authorizing(Authorization { addresses: Vec::new(), identities }), config);
    assert_eq!(outcome.server, "UNAUTHORIZED_IDENTITY");
    assert!(outcome.server_text.contains("gm2.example"), "{}", outcome.server_text);
}

#[test]
fn no_common_proposal() {
    let proposal = Proposal { group: DhGroup::Modp2048, ..Proposal::default() };
    let outcome = refused(server_config(1), MemberConfig { proposal, ..member_config(1) });
    assert!(outcome.member.contains("no common phase 1 proposal"), "{}", outcome.member);
    assert!(outcome.server_text.contains("no common phase 1 proposal"), "{}", outcome.server_text);
}

/// Another member of the same pre-shared key must not speak for this address.
#[test]
fn a_member_with_the_address_of_another() {
    let outcome =
        refused(server_config(1), MemberConfig { identity: member_config(2).identity, ..member_config(1) });
    assert!(outcome.server_text.contains("identified itself as 198.51.0.2"), "{}", outcome.server_text);
}

#[test]
fn a_server_that_is_another() {
    let identity = Identity::Address([192, 0, 2, 9].into());
    let mut world = World::new(3, Link::CALM);
    world.add_server(
        server_address(1),
        server(KeyServerConfig { identity, ..server_config(1) }, 1, world.now),
    );
    world.add_member(member_address(1), member(member_config(1), 2));
    world.run_for(MINUTE);
    let failure = world.member(member_address(1)).status(world.now).last_failure.unwrap();
    assert!(failure.contains("identified itself as 192.0.2.9"), "{failure}");
}

#[test]
fn refusals_are_not_asked_for_too_often() {
    let group = GroupName { name: "else".into(), id: GroupId(4711) };
    let outcome = refused(server_config(1), MemberConfig { group, ..member_config(1) });
    assert!((5..=9).contains(&outcome.attempts), "{} in five minutes", outcome.attempts);
}
