//! What goes with which peer in phase 1, and what a peer has proved with it.

use super::registrant::{Binding, Registrant};
use super::{CredentialEntry, KeyServer};
use crate::error::{Error, Unacceptable};
use crate::phase1::IsakmpSa;
use crate::policy::{Identity, Prefix};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

impl KeyServer {
    /// What goes with the peer at this address: that of a cooperating server before all, else the entry of the longest
    /// prefix.
    pub(super) fn credential_entry(&self, address: IpAddr) -> Option<CredentialEntry> {
        let of_server = self.links.credential(address).map(|credential| CredentialEntry {
            peers: Prefix::host(address),
            identity: None,
            credential: credential.clone(),
        });
        of_server.or_else(|| self.configured_credential(address).cloned())
    }

    /// A peer that identifies itself by address must do so by its own, and one whose credential is bound to an identity by
    /// that: phase 1 proves no more than the credential does.
    pub(super) fn check_identity(&self, from: SocketAddr, identity: &Identity) -> Result<(), Error> {
        let bound = self.credential_entry(from.ip()).and_then(|entry| entry.identity);
        let expected = match (&bound, identity) {
            (Some(bound), identity) => bound == identity,
            (None, Identity::Address(address)) => from.ip() == *address,
            (None, _) => true,
        };
        match expected {
            true => Ok(()),
            false => Err(Unacceptable::UnexpectedIdentity(identity.to_string()).into()),
        }
    }

    /// The peer of an ISAKMP SA. No SA outlives the credential that it was made with, so that of now is that one.
    pub(super) fn registrant(&self, from: SocketAddr, sa: &IsakmpSa) -> Registrant {
        let entry = self.credential_entry(from.ip());
        let beside_others = self.config.credentials.len() > 1;
        let is_shared = |peers: &Prefix| beside_others && *peers != Prefix::host(peers.address());
        let shared = entry.as_ref().map(|entry| entry.peers).filter(is_shared);
        let bound = entry.and_then(|entry| entry.identity);
        let place = bound.as_ref().and_then(|_| self.door.credentials.place(from.ip()));
        let binding = place.map(|place| Binding { credentials: self.door.credentials.clone(), place });
        let (identity, ours, fragments) = (sa.peer.clone(), sa.ours, sa.fragments);
        Registrant { address: from, identity, bound, binding, shared, ours, fragments }
    }

    /// What goes with all who are talking to this server.
    pub(super) fn credentials_in_use(&self) -> BTreeMap<IpAddr, Option<CredentialEntry>> {
        self.sessions.peers().map(|peer| (peer, self.credential_entry(peer))).collect()
    }

    /// Ends what peers have begun or established with a credential that was changed or taken away since.
    pub(super) fn end_outdated_sessions(&mut self, before: &BTreeMap<IpAddr, Option<CredentialEntry>>) {
        let outdated = before.iter().filter(|(peer, entry)| self.credential_entry(**peer) != **entry);
        let outdated: Vec<_> = outdated.map(|(peer, _)| *peer).collect();
        self.sessions.end_all_with(|peer| outdated.contains(&peer));
    }
}
