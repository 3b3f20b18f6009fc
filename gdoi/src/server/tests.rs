//! What goes out and what does not.

use super::config::{Authorization, GroupConfig};
use super::*;
use crate::crypto::SystemRandom;
use crate::event::GroupName;
use crate::policy::{Acl, Identity, SendMode};
use std::net::Ipv4Addr;

const OWN: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const NOW: Instant = Instant::from_millis(1_000);

fn server() -> KeyServer {
    let group = GroupConfig {
        group: GroupName { name: "corp".into(), id: GroupId(7) },
        transform: "aes-256-cbc/hmac-sha-256".parse().unwrap(),
        replay_window: 0,
        tek_lifetime: Duration::from_secs(3600),
        acl: Acl::new(vec!["permit ip any any".parse().unwrap()]).unwrap(),
        mode: SendMode::Both,
        authorization: Authorization::default(),
        activation_delay: Duration::from_secs(15),
        deactivation_delay: Duration::from_secs(30),
        rekey: None,
        redundancy: None,
    };
    let config = KeyServerConfig {
        identity: Identity::Address(OWN),
        address: SocketAddr::new(OWN, 848),
        credentials: Vec::new(),
        proposals: Vec::new(),
        groups: vec![group],
        peers: Vec::new(),
    };
    KeyServer::new(config, None, Box::new(SystemRandom), NOW).unwrap()
}

fn outputs(server: &mut KeyServer) -> Vec<Output<KeyServerEvent>> {
    std::iter::from_fn(|| server.next_output()).collect()
}

/// More spent KEKs than a list has room for: such a state cannot be written.
fn spoil(group: &mut Group) {
    group.ledger_mut().amend_state().keys.spent =
        vec![keys::SpentKek { spi: [1; 16], sequence: 1, expires: clock::GroupTime::from_millis(1) }; 256];
}

/// No event, no answer: what follows from it must not be forgotten, and it would be.
#[test]
fn what_cannot_be_stored_is_neither_told_nor_answered() {
    let mut server = server();
    assert!(outputs(&mut server).iter().any(|output| matches!(output, Output::Store(_))));
    let answer = server.act(GroupId(7), NOW, |group, _| {
        spoil(group);
        Ok(group.readmit(OWN))
    });
    assert_eq!(answer, Err(Malformed::Length("state record").into()));
    let done = server.act(GroupId(7), NOW, |group, random| {
        spoil(group);
        group.remove(Some(OWN), Removal::Now, random, NOW)
    });
    assert!(done.is_err());
    assert!(outputs(&mut server).is_empty(), "it was told to nobody that a member was removed");
    server.handle_timeout(NOW);
    let told = outputs(&mut server);
    assert!(told.iter().all(|output| matches!(output, Output::Event(KeyServerEvent::Rejected { .. }))));
    assert!(!told.is_empty(), "operators hear why");
}
