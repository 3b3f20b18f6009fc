//! What a group's policy speaks of: which packets, what happens to them, under which SPI, with which transform and
//! keys.
//!
//! The protocol and what the kernel must hold know nothing of each other and both speak of this. Everything here is
//! valid by construction: past these types nothing is checked twice.

mod acl;
mod keys;
mod overhead;
mod ports;
mod prefix;
mod secret;
mod selector;
mod spi;
mod transform;

pub use acl::{Ace, Acl, Action, MAX_ACES};
pub use keys::{EspKeys, SenderKey, SharedKeys};
pub use ports::Ports;
pub use prefix::{Family, Prefix};
pub use secret::Secret;
pub use selector::{Selector, Side};
pub use spi::{Sid, Spi, SpiBlock, SID_BITS};
pub use transform::{Aead, Cipher, Integrity, Transform};

use std::fmt;

/// A text or a value that names no valid policy, with the reason for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyError(pub String);

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for PolicyError {}

fn refuse<T>(reason: impl Into<String>) -> Result<T, PolicyError> {
    Err(PolicyError(reason.into()))
}
