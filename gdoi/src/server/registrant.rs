//! Who asks for a group.

use super::credentials::Credentials;
use crate::policy::{Identity, Prefix};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// A credential that is bound to an identity: which one, among all.
#[derive(Clone, Debug)]
pub(super) struct Binding {
    pub(super) credentials: Arc<Credentials>,
    pub(super) place: usize,
}

/// A member that asks for a group, as the exchange that it came with has proved: whatever protocol that is.
#[derive(Clone, Debug)]
pub(super) struct Registrant {
    /// From where it speaks.
    pub(super) address: SocketAddr,
    /// Who it says it is.
    pub(super) identity: Identity,
    /// The identity that its credential is bound to; None for one that proves no name.
    pub(super) bound: Option<Identity>,
    /// Where the credential is that is bound to it.
    pub(super) binding: Option<Binding>,
    /// The prefix that its credential is good for, where there are other credentials beside it: whoever has it can speak from
    /// any address in there.
    pub(super) shared: Option<Prefix>,
    /// Whether it runs this implementation, so that private attributes may go to it.
    pub(super) ours: bool,
    /// Whether it takes messages in fragments.
    pub(super) fragments: bool,
}

impl Registrant {
    /// Whether who speaks from an address does so with the same credential, and it is bound to an identity: then it is the same
    /// member.
    pub(super) fn is_bound_like(&self, address: IpAddr) -> bool {
        let binding = self.binding.as_ref();
        binding.is_some_and(|Binding { credentials, place }| credentials.place(address) == Some(*place))
    }

    /// Whether it is who it says it is. An address is its own: the key was chosen by it, and answers went there.
    pub(super) fn proves_identity(&self) -> bool {
        match &self.identity {
            Identity::Address(address) => self.address.ip() == *address,
            name => self.bound.as_ref() == Some(name),
        }
    }
}
