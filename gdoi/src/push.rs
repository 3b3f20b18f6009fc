//! GROUPKEY-PUSH: the key server changes the group's keys (RFC 6407 section 4), and its acknowledgement (RFC 8263).
//!
//! ```text
//!     member                         key server
//!                             <--    HDR*, SEQ, [D,] [SA, KD,] SIG
//!     HDR, HASH, SEQ, ID      -->
//! ```
//!
//! The same message goes to all members, encrypted under the KEK and signed once.

mod ack;
mod receiver;
mod sender;

pub(crate) use ack::Acknowledgement;
pub(crate) use receiver::{claimed_time, receive};
pub(crate) use sender::{emit, PushContent};

use crate::crypto::cbc::{Block, BLOCK};
use crate::crypto::Secret;
use crate::error::Error;
use crate::group::Kek;

/// Which length stands in the header that a signature covers: it is made "before it has been encrypted" (RFC 6407 section 4),
/// and encryption may make the message longer (RFC 2408 section 3.1). Members of this implementation take both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SignedLength {
    /// That of the message as it is sent, with what fills the last cipher block.
    Padded,
    /// That of the message without it, as others read the RFC.
    #[default]
    Unpadded,
}

/// What the signature covers before the header, so that it cannot serve any other purpose.
const REKEY: &[u8] = b"rekey";

/// The IV and the key of a KEK (RFC 6407 section 5.6.2.1).
fn split_key(kek: &Kek) -> Result<(Block, Secret), Error> {
    let octets = kek.key.expose();
    let (iv, key) = octets.split_at_checked(BLOCK).ok_or(crate::crypto::Error::KeyLength)?;
    Ok((Block::try_from(iv).map_err(|_| crate::crypto::Error::KeyLength)?, Secret::from(key)))
}

/// The SPI of a KEK as the two cookies of a message under it.
fn cookies(kek: &Kek) -> ([u8; 8], [u8; 8]) {
    let (mut initiator, mut responder) = ([0; 8], [0; 8]);
    initiator.copy_from_slice(&kek.spi[..8]);
    responder.copy_from_slice(&kek.spi[8..]);
    (initiator, responder)
}

#[cfg(test)]
mod tests;
