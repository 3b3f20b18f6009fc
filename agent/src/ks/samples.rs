//! Hand-made status values for the tests of what is made of them.

use super::reload::OwnSettings;
use crate::config::KeyServerSettings;
use gdoi::coop::{CoopPeerStatus, CoopPeerWord, CoopRefusals, CoopStatus, Preemption, Redundancy, Role};
use gdoi::endpoint::Instant;
use gdoi::policy::{Acl, GroupId, Identity, SendMode};
use gdoi::{Authorization, GroupName, GroupStatus, KeyServerConfig, KeyServerStatus, SidStatus};
use std::net::IpAddr;
use std::time::Duration;

/// 192.0.2.`host`.
pub fn address(host: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, host])
}

/// A key server with these groups.
pub fn status(groups: Vec<GroupStatus>) -> KeyServerStatus {
    let identity = Identity::Address(address(10));
    KeyServerStatus { identity, half_open: 0, established: 0, links: 0, rejected: 0, groups }
}

/// A group without members.
pub fn group(name: &str, coop: Option<CoopStatus>) -> GroupStatus {
    GroupStatus {
        sids: SidStatus { bits: 20, generation: 0, given: 0, of: 1 << 17 },
        group: GroupName { name: name.into(), id: GroupId(100) },
        transform: "aes-256-cbc/hmac-sha-256".parse().unwrap(),
        replay_window: 0,
        tek_lifetime: Duration::from_secs(3_600),
        mode: SendMode::Both,
        acl: Acl::new(vec!["permit ip any any".parse().unwrap()]).unwrap(),
        authorization: Authorization::default(),
        teks: Vec::new(),
        kek: None,
        members: Vec::new(),
        revoked: Vec::new(),
        forgotten: 0,
        refused: 0,
        rekey: None,
        coop,
    }
}

/// Of this role, with one peer that is well; the primary is 192.0.2.`primary`.
pub fn coop(role: Role, primary: Option<u8>) -> CoopStatus {
    CoopStatus {
        role,
        lineage: Some([7; 8]),
        primary: primary.map(address),
        epoch: 5,
        redundancy: Redundancy {
            priority: 100,
            peers: vec![address(11)],
            preemption: Preemption::After(Duration::from_secs(10)),
            interval: Duration::from_secs(1),
            dead_after: 3,
        },
        resigned: false,
        pseudotime: 7_200_999,
        configuration: [15; 16],
        committing: false,
        blocked: 4,
        elections: 2,
        peers: vec![peer(11)],
    }
}

/// 192.0.2.`host`, which is well and was heard at 998 s.
pub fn peer(host: u8) -> CoopPeerStatus {
    CoopPeerStatus {
        address: address(host),
        linked: true,
        alive: true,
        last_heard: Some(Instant::from_millis(998_000)),
        said: Some(CoopPeerWord {
            role: Role::Secondary,
            priority: 50,
            epoch: 5,
            configured_alike: true,
            in_step: true,
            members: 12,
            claims: false,
        }),
        sent: 30,
        received: 29,
        refused: CoopRefusals { too_new: 1, too_old: 2, other: 3 },
    }
}

/// Of a key server without groups.
pub fn own_settings() -> OwnSettings {
    let own = "192.0.2.10:848".parse().unwrap();
    OwnSettings::of(&KeyServerSettings {
        address: own,
        control_socket: "/nonexistent".into(),
        server: KeyServerConfig {
            identity: Identity::Address(own.ip()),
            address: own,
            credentials: Vec::new(),
            proposals: Vec::new(),
            groups: Vec::new(),
            peers: Vec::new(),
        },
        routes: Vec::new(),
        state: None,
    })
}
