//! Who asks for a group.

use crate::phase1::IsakmpSa;
use crate::policy::Identity;
use std::net::SocketAddr;

/// A member that asks for a group, as the exchange that it came with has proved: whatever protocol that is.
#[derive(Clone, Debug)]
pub(super) struct Registrant {
    /// From where it speaks.
    pub(super) address: SocketAddr,
    /// Who it is.
    pub(super) identity: Identity,
    /// Whether it runs this implementation, so that private attributes may go to it.
    pub(super) ours: bool,
    /// Whether it takes messages in fragments.
    pub(super) fragments: bool,
}

impl Registrant {
    /// The peer of an ISAKMP SA.
    pub(super) fn of(address: SocketAddr, sa: &IsakmpSa) -> Self {
        Registrant { address, identity: sa.peer.clone(), ours: sa.ours, fragments: sa.fragments }
    }
}
