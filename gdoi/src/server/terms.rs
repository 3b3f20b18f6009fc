//! What members are told besides the keys.

use crate::crypto::sign::{PublicKey, SignatureAlgorithm};
use crate::policy::{Acl, SendMode};
use std::net::SocketAddr;
use std::time::Duration;

/// The policy that members get with the keys.
#[derive(Clone, PartialEq)]
pub(super) struct Terms {
    pub(super) acl: Acl,
    pub(super) mode: SendMode,
    pub(super) activation_delay: Duration,
    pub(super) deactivation_delay: Duration,
    pub(super) rekey: Option<RekeyTerms>,
}

/// What members are told of rekey messages.
#[derive(Clone, PartialEq)]
pub(super) struct RekeyTerms {
    pub(super) transport: Transport,
    pub(super) signature: SignatureAlgorithm,
    pub(super) verification: PublicKey,
}

/// How rekey messages reach the members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// To each member, acknowledged (RFC 8263).
    Unicast,
    /// To all at once, repeated blindly.
    Multicast(SocketAddr),
}

/// When a message is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retransmit {
    /// How long to wait for acknowledgements, or between repetitions; whole seconds.
    pub interval: Duration,
    /// How often after the first time.
    pub number: u32,
}

impl Retransmit {
    /// How long after the first transmission the last one is over.
    pub fn total(&self) -> Duration {
        self.interval * (self.number + 1)
    }
}
