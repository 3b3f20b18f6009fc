//! The usual key server and its usual members.

use super::random::Seeded;
use gdoi::crypto::sign::SigningKey;
use gdoi::crypto::{Hash, Secret};
use gdoi::phase1::Credential;
use gdoi::policy::{Acl, Doi, GroupId, Identity, Proposal, SendMode};
use gdoi::{
    Authorization, CredentialEntry, GroupConfig, GroupName, Instant, KeyServer, KeyServerConfig, Member,
    MemberConfig, RekeyConfig, Retransmit, ServerEntry, SignedLength, Transport,
};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

pub const PSK: &[u8] = b"one key for all of 198.51.0.0/16";

/// What the group protects.
pub const ACL: [&str; 3] = [
    "permit ip 10.0.0.0/8 10.0.0.0/8",
    "permit tcp host 10.1.1.1 eq 8080 172.16.0.0/12",
    "permit udp any host 10.2.2.2 eq 53",
];

pub fn group() -> GroupName {
    GroupName { name: "corp".into(), id: GroupId(0x0a0b_0c0d) }
}

/// The address of one of 200 key servers.
pub fn server_address(number: u8) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, number)), 848)
}

/// The address of one of 60,000 members.
pub fn member_address(number: u16) -> SocketAddr {
    let [high, low] = number.to_be_bytes();
    SocketAddr::from(([198, 51, high, low], 848))
}

pub fn acl() -> Acl {
    Acl::new(ACL.map(|entry| entry.parse().unwrap()).to_vec()).unwrap()
}

pub fn group_config() -> GroupConfig {
    GroupConfig {
        group: group(),
        transform: "aes-256-cbc/hmac-sha-256".parse().unwrap(),
        replay_window: 0,
        tek_lifetime: Duration::from_secs(3600),
        acl: acl(),
        mode: SendMode::Both,
        authorization: Authorization::default(),
        activation_delay: Duration::from_secs(15),
        deactivation_delay: Duration::from_secs(30),
        rekey: None,
        redundancy: None,
    }
}

pub fn rekey_config() -> RekeyConfig {
    let signing_key = SigningKey::from_pem(include_str!("../rekey-key.pem"), Hash::Sha256).unwrap();
    RekeyConfig {
        key_len: 32,
        lifetime: Duration::from_secs(86_400),
        signing_key,
        transport: Transport::Unicast,
        retransmit: Retransmit { interval: Duration::from_secs(10), number: 2 },
        signed_length: SignedLength::default(),
        reminder: Duration::from_secs(7200),
    }
}

pub fn server_config(number: u8) -> KeyServerConfig {
    KeyServerConfig {
        identity: Identity::Address(server_address(number).ip()),
        address: server_address(number),
        credentials: vec![CredentialEntry {
            peers: "198.51.0.0/16".parse().unwrap(),
            identity: None,
            credential: pre_shared_key(PSK),
        }],
        proposals: vec![Proposal::default()],
        groups: vec![group_config()],
        peers: Vec::new(),
    }
}

/// A member that knows key server 1.
pub fn member_config(number: u16) -> MemberConfig {
    MemberConfig {
        group: group(),
        servers: vec![server_entry(1)],
        identity: Identity::Address(member_address(number).ip()),
        proposal: Proposal::default(),
        doi: Doi::Gdoi,
        sender_ids: 0,
    }
}

pub fn pre_shared_key(key: &[u8]) -> Credential {
    Credential::PreSharedKey(Secret::from(key))
}

pub fn server_entry(number: u8) -> ServerEntry {
    ServerEntry { address: server_address(number), credential: pre_shared_key(PSK) }
}

/// Everything that an endpoint draws follows from its configuration and this seed.
pub fn server(config: KeyServerConfig, seed: u64, now: Instant) -> KeyServer {
    KeyServer::new(config, None, Box::new(Seeded::new(seed)), now).unwrap()
}

pub fn member(config: MemberConfig, seed: u64) -> Member {
    Member::new(config, Box::new(Seeded::new(seed)))
}
