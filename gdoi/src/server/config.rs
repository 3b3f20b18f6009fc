//! What a key server is told about a group.

use super::keys::Life;
use super::registrant::Registrant;
use super::terms::{RekeyTerms, Retransmit, Terms, Transport};
use crate::coop::{CoopPeer, Redundancy};
use crate::crypto::prf::digest;
use crate::crypto::sign::SigningKey;
use crate::crypto::Hash;
use crate::error::Unacceptable;
use crate::event::GroupName;
use crate::phase1::Credential;
use crate::policy::{Acl, Identity, Prefix, Proposal, SendMode, Transform};
use crate::push::SignedLength;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// No state with more groups could be read again.
pub const MAX_GROUPS: usize = 960;

/// What a key server is told.
#[derive(Debug)]
pub struct KeyServerConfig {
    /// Who it says it is; members expect the address that they ask.
    pub identity: Identity,
    /// The address and port from which it answers.
    pub address: SocketAddr,
    /// What goes with whom; the longest prefix that contains a peer's address decides. A peer that proves itself with one
    /// that is bound to an identity must say that it is this one.
    pub credentials: Vec<CredentialEntry>,
    /// The phase 1 proposals that it accepts.
    pub proposals: Vec<Proposal>,
    /// Its groups.
    pub groups: Vec<GroupConfig>,
    /// The servers that share a group with it; each peer of a group's redundancy is one.
    pub peers: Vec<CoopPeer>,
}

/// The credential that goes with some peers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialEntry {
    /// Which.
    pub peers: Prefix,
    /// Who alone has it, no address; None where it proves no name, because several may share it.
    pub identity: Option<Identity>,
    /// What goes with them.
    pub credential: Credential,
}

/// What a key server is told about a group.
#[derive(Debug)]
pub struct GroupConfig {
    /// Name and number.
    pub group: GroupName,
    /// How its traffic is protected.
    pub transform: Transform,
    /// The anti-replay window, packets, 0 to [`crate::policy::MAX_REPLAY_WINDOW`]; 0 is none. Where all senders share one
    /// key there can be none.
    pub replay_window: u16,
    /// The life of a TEK, whole seconds.
    pub tek_lifetime: Duration,
    /// Which traffic is protected.
    pub acl: Acl,
    /// What members do when they send.
    pub mode: SendMode,
    /// Who may register.
    pub authorization: Authorization,
    /// ATD, whole seconds.
    pub activation_delay: Duration,
    /// DTD, whole seconds; longer where the ATD and the retransmissions of a rekey message take longer.
    pub deactivation_delay: Duration,
    /// The rekey SA, if the group has one.
    pub rekey: Option<RekeyConfig>,
    /// The servers that share the group, if there are others.
    pub redundancy: Option<Redundancy>,
}

/// The rekey SA that members get with their registration.
#[derive(Debug)]
pub struct RekeyConfig {
    /// The AES key's length in octets: 16 or 32.
    pub key_len: usize,
    /// The life of a KEK, whole seconds.
    pub lifetime: Duration,
    /// Signs rekey messages.
    pub signing_key: SigningKey,
    /// How they reach the members.
    pub transport: Transport,
    /// When they are sent again.
    pub retransmit: Retransmit,
    /// How they are signed where a member of other software hears them.
    pub signed_length: SignedLength,
    /// How long after the last rekey the keys are sent once more, for members that missed them.
    pub reminder: Duration,
}

/// Who may register: a member must be in each list that has entries. With both lists empty, every peer that passed phase 1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Authorization {
    /// Where members speak from, which the credential of that address has proved.
    pub addresses: Vec<Prefix>,
    /// Phase 1 identities (RFC 6407 section 3.1): addresses, and what a credential is bound to.
    pub identities: Vec<Identity>,
}

/// Why the group is rekeyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RekeyKind {
    /// Keys come to their end.
    Scheduled,
    /// An operator wants new keys, without loss.
    Forced,
    /// An operator wants the old keys gone now; what is under way is lost.
    ReplaceNow,
    /// The keys of now once more, for members that missed them.
    Reminder,
}

/// How members are sent away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// The keys live on for the DTD, so that those who may come back lose nothing.
    Graceful,
    /// The keys end at once.
    Now,
}

impl Authorization {
    /// Each list that has entries must have the member. What a member only says of itself is no match.
    pub(super) fn check(&self, member: &Registrant) -> Result<(), Unacceptable> {
        let address = member.address.ip();
        if !self.addresses.is_empty() && !self.addresses.iter().any(|prefix| prefix.contains(address)) {
            return Err(Unacceptable::Address);
        }
        let listed = self.identities.is_empty() || self.identities.contains(&member.identity);
        match (listed, self.identities.is_empty() || member.proves_identity()) {
            (true, true) => Ok(()),
            (false, _) => Err(Unacceptable::Identity(member.identity.to_string())),
            (true, false) => Err(Unacceptable::UnprovenIdentity(member.identity.to_string())),
        }
    }
}

impl GroupConfig {
    pub(super) fn tek_life(&self) -> Life {
        Life { total: self.tek_lifetime, distribution: self.distribution_time() }
    }

    pub(super) fn kek_life(&self) -> Option<Life> {
        let total = self.rekey.as_ref()?.lifetime;
        Some(Life { total, distribution: self.distribution_time() })
    }

    /// What the retransmissions of a rekey message take.
    pub(super) fn distribution_time(&self) -> Duration {
        self.rekey.as_ref().map_or(Duration::ZERO, |rekey| rekey.retransmit.total())
    }

    /// How long a replaced TEK lives on: who hears of it last still sends with it until the ATD is over.
    pub(super) fn retirement(&self) -> Duration {
        self.deactivation_delay.max(self.activation_delay + self.distribution_time())
    }

    /// What members are told besides the keys.
    pub(super) fn terms(&self) -> Terms {
        Terms {
            acl: self.acl.clone(),
            mode: self.mode,
            activation_delay: self.activation_delay,
            deactivation_delay: self.deactivation_delay,
            rekey: self.rekey.as_ref().map(RekeyConfig::terms),
        }
    }

    /// All that must be the same on servers that share the group; `own` is the address of this one.
    pub(super) fn fingerprint(&self, own: IpAddr) -> [u8; 16] {
        let servers =
            self.redundancy.iter().flat_map(|redundancy| redundancy.peers.iter().copied()).chain([own]);
        let rekey = self.rekey.as_ref().map(|rekey| {
            let kek = (rekey.key_len, rekey.lifetime, rekey.transport, rekey.retransmit, rekey.reminder);
            (kek, rekey.signed_length, rekey.signing_key.public().spki().to_vec())
        });
        let esp = (self.transform, self.replay_window);
        let delays = (self.activation_delay, self.deactivation_delay);
        let policy = (esp, self.tek_lifetime, delays, self.mode);
        let entries: Vec<_> = self.acl.entries().iter().map(ToString::to_string).collect();
        let all = (policy, entries, &self.authorization, rekey, servers.collect::<BTreeSet<_>>());
        let digest = digest(Hash::Sha256, &[format!("{all:?}").as_bytes()]);
        let mut fingerprint = [0; 16];
        fingerprint.copy_from_slice(&digest[..16]);
        fingerprint
    }
}

impl RekeyConfig {
    pub(super) fn terms(&self) -> RekeyTerms {
        RekeyTerms {
            transport: self.transport,
            signature: self.signing_key.algorithm(),
            verification: self.signing_key.public().clone(),
        }
    }
}
