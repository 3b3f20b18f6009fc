//! What a group's policy can be. Everything here is valid by construction: past these types
//! nothing is checked twice. What the kernel must be told as well is of the crate `policy`.

mod keys;
mod phase1;
mod sender;

pub use ::policy::{
    Ace, Acl, Action, Aead, Cipher, EspKeys, Family, Integrity, PolicyError, Ports, Prefix, Selector,
    SenderKey, SharedKeys, Sid, Side, Spi, SpiBlock, Transform, MAX_ACES, SID_BITS,
};
pub use keys::TekKeys;
pub use phase1::{Doi, Identity, Proposal};
pub use sender::{Seed, SenderTerms, SidGeneration, SidNonce, SidRequest, MAX_REPLAY_WINDOW, MAX_SIDS};

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
