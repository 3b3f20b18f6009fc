//! What the servers of a group share about its keys. Only the primary changes it; the others have what it had.

use super::distribution::Transport;
use super::keys::Keys;
use crate::coop::{Lineage, Versions};
use crate::crypto::sign::{PublicKey, SignatureAlgorithm};
use crate::endpoint::Instant;
use crate::group::AclDigest;
use crate::policy::{Acl, SendMode};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

/// Keys and what goes with them; all times are the group's.
#[derive(Clone, Default)]
pub(super) struct GroupState {
    /// None before there were any keys.
    pub(super) lineage: Option<Lineage>,
    /// Whose changes are in it.
    pub(super) versions: Versions,
    pub(super) keys: Keys,
    /// Who was removed and must not come back.
    pub(super) revoked: BTreeSet<IpAddr>,
    pub(super) rekeys: u64,
    pub(super) last_rekey: Option<Instant>,
    /// Whether the last rekey message may not have reached all members yet.
    pub(super) under_way: bool,
    /// Which generation of sender IDs goes with the keys.
    pub(super) sid_generation: u32,
    /// What members are told besides the keys.
    pub(super) terms: Option<Terms>,
    /// Which ACL members have, but for those that missed a rekey message; None if that is not known.
    pub(super) told: Option<AclDigest>,
}

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
