//! What both sides may agree on in phase 1, and who they say they are.

use crate::crypto::{DhGroup, Hash};
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

/// One phase 1 proposal: AES-CBC, a SHA-2 hash (also the PRF), a DH group and a lifetime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// The AES key's length in octets: 16, 24 or 32.
    pub key_len: usize,
    /// The hash and PRF.
    pub hash: Hash,
    /// The Diffie-Hellman group.
    pub group: DhGroup,
    /// How long the ISAKMP SA may live; whole seconds.
    pub lifetime: Duration,
}

impl Default for Proposal {
    /// AES-256, SHA-256, group 19, one day.
    fn default() -> Self {
        Proposal {
            key_len: 32,
            hash: Hash::Sha256,
            group: DhGroup::P256,
            lifetime: Duration::from_secs(86_400),
        }
    }
}

impl Proposal {
    /// Whether both name the same algorithms; lifetimes may differ.
    pub fn same_algorithms(&self, other: &Proposal) -> bool {
        (self.key_len, self.hash, self.group) == (other.key_len, other.hash, other.group)
    }
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hash = self.hash.output_len() * 8;
        write!(f, "aes-{}-cbc, sha-{hash}, group {}", self.key_len * 8, self.group.number())
    }
}

/// The domain of interpretation in the phase 1 SA payload. Both are accepted, one is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Doi {
    /// 1, RFC 2407, with situation 1 (identity only).
    Ipsec,
    /// 2, RFC 6407 section 2.1, with situation 0.
    #[default]
    Gdoi,
}

/// A phase 1 identity (RFC 2407 section 4.6.2).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Identity {
    /// ID_IPV4_ADDR.
    Address(IpAddr),
    /// ID_FQDN.
    Fqdn(String),
    /// ID_USER_FQDN.
    UserFqdn(String),
    /// ID_KEY_ID.
    KeyId(Vec<u8>),
}

impl fmt::Display for Identity {
    /// Octets that are not printable ASCII are escaped: identities come from the network and go to logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Identity::Address(address) => write!(f, "{address}"),
            Identity::Fqdn(name) | Identity::UserFqdn(name) => write!(f, "{}", name.escape_default()),
            Identity::KeyId(octets) => write!(f, "key-id:{}", octets.escape_ascii()),
        }
    }
}
