//! What a member is told.

use crate::event::GroupName;
use crate::phase1::Credential;
use crate::policy::{Doi, Identity, Proposal};
use std::net::SocketAddr;

/// What a member is told.
#[derive(Clone, Debug)]
pub struct MemberConfig {
    /// The group to join.
    pub group: GroupName,
    /// Its key servers in order of preference, at least one.
    pub servers: Vec<ServerEntry>,
    /// Who this member says it is.
    pub identity: Identity,
    /// The phase 1 proposal to make.
    pub proposal: Proposal,
    /// The DOI of the phase 1 SA payload.
    pub doi: Doi,
    /// How many sender IDs to ask for, 0 to [`crate::policy::MAX_SIDS`]: one for each state that sends where every
    /// sender has its own key (RFC 6407 section 3.5). A member without any receives only.
    pub sender_ids: u16,
}

/// A key server of a member's list.
#[derive(Clone, Debug)]
pub struct ServerEntry {
    /// Where it is; it must prove this address as its identity.
    pub address: SocketAddr,
    /// What goes with it.
    pub credential: Credential,
}
