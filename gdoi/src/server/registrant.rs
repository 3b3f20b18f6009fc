//! Who asks for a group.

use crate::phase1::IsakmpSa;
use crate::policy::Identity;
use std::net::SocketAddr;

/// A member that asks for a group, as the exchange that it came with has proved: whatever protocol that is.
#[derive(Clone, Debug)]
pub(super) struct Registrant {
    /// From where it speaks.
    pub(super) address: SocketAddr,
    /// Who it says it is.
    pub(super) identity: Identity,
    /// The identity that its credential is bound to; None for one that proves no name.
    pub(super) bound: Option<Identity>,
    /// Whether it runs this implementation, so that private attributes may go to it.
    pub(super) ours: bool,
    /// Whether it takes messages in fragments.
    pub(super) fragments: bool,
}

impl Registrant {
    /// The peer of an ISAKMP SA, which proved itself with a credential that is bound to `bound`.
    pub(super) fn of(address: SocketAddr, sa: &IsakmpSa, bound: Option<Identity>) -> Self {
        Registrant { address, identity: sa.peer.clone(), bound, ours: sa.ours, fragments: sa.fragments }
    }

    /// Whether it is who it says it is. An address is its own: the key was chosen by it, and answers went there.
    pub(super) fn proves_identity(&self) -> bool {
        match &self.identity {
            Identity::Address(address) => self.address.ip() == *address,
            name => self.bound.as_ref() == Some(name),
        }
    }
}
