//! What a group's policy can be. Everything here is valid by construction: past these types
//! nothing is checked twice.

mod acl;
mod phase1;
mod sender;
mod transform;

pub use acl::{Ace, Acl, Action, Ipv4Prefix, Selector, MAX_ACES};
pub use phase1::{Doi, Identity, Proposal};
pub use sender::{Seed, SenderTerms, Sid, SidGeneration, MAX_REPLAY_WINDOW, MAX_SIDS, SID_BITS};
pub use transform::{Aead, Cipher, Integrity, TekKeys, Transform};

use std::fmt;

/// The group number: 4 octets, sent in network order as ID_KEY_ID (RFC 6407 section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u32);

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The ESP security parameter index of a TEK, 4 octets; 0 to 255 are reserved (RFC 4303 section 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Spi(pub u32);

impl Spi {
    /// Whether the value is outside the reserved range 0 to 255.
    pub const fn is_usable(self) -> bool {
        self.0 > 255
    }
}

impl fmt::Display for Spi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

/// A text that names no valid policy, with the reason for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyError(pub String);

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for PolicyError {}

pub(crate) fn refuse<T>(reason: impl Into<String>) -> Result<T, PolicyError> {
    Err(PolicyError(reason.into()))
}
