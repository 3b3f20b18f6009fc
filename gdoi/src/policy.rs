//! What a group's policy can be. Everything here is valid by construction: past these types
//! nothing is checked twice.

mod acl;
mod phase1;
mod ports;
mod prefix;
mod selector;
mod sender;
mod transform;

pub use acl::{Ace, Acl, Action, MAX_ACES};
pub use phase1::{Doi, Identity, Proposal};
pub use ports::Ports;
pub use prefix::{Family, Prefix};
pub use selector::{Selector, Side};
pub use sender::{Seed, SenderTerms, Sid, SidGeneration, MAX_REPLAY_WINDOW, MAX_SIDS, SID_BITS};
pub use transform::{Aead, Cipher, Integrity, TekKeys, Transform};

use std::fmt;

/// The group number: 4 octets, sent in network order as ID_KEY_ID (RFC 6407 section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u32);

/// What members do with the group's traffic when they send; all of them receive it encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SendMode {
    /// They encrypt it.
    #[default]
    Both,
    /// They send it in clear, and receive it in clear as well: a group that is being brought in.
    ReceiveOnly,
}

impl fmt::Display for SendMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SendMode::Both => "send and receive",
            SendMode::ReceiveOnly => "receive only",
        })
    }
}

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
