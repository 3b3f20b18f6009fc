//! The algorithms of the protocol: one place that knows the cryptographic library.
//!
//! Everything comes from aws-lc-rs; only finite-field Diffie-Hellman, for which it has no safe call, goes
//! through the one file of foreign calls, `ffi`. Keys live in [`Secret`], randomness comes in as
//! an argument ([`Random`]), so that whole exchanges can be replayed octet for octet.

pub mod cbc;
pub mod derive;
pub mod dh;
mod ffi;
mod pem;
pub mod prf;
pub mod seal;
pub mod secret;
pub mod sign;
#[cfg(test)]
pub(crate) mod vectors;

use std::fmt;

pub use dh::{DhGroup, KeyPair};
pub use prf::Hash;
pub use secret::{Random, Secret, SystemRandom};

/// Why a cryptographic operation was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// A symmetric key is not of a length its cipher takes.
    KeyLength,
    /// The data is empty or not a whole number of cipher blocks.
    PartialBlock,
    /// The peer's Diffie-Hellman value has the wrong length, is trivial, or is not in the group.
    BadPublicValue,
    /// The source of randomness failed or yielded unusable values.
    Randomness,
    /// A signature key is damaged or of a kind that is not supported.
    BadKey,
    /// A signature does not belong to the message and the key.
    BadSignature,
    /// What should be sealed state does not begin as such.
    NotSealed,
    /// Sealed state was sealed with another key, or it is damaged.
    BadSeal,
    /// The cryptographic library failed, for lack of memory.
    Library,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Error::KeyLength => "the key does not have the length that its cipher needs",
            Error::PartialBlock => "the encrypted part is not a whole number of 16-octet blocks",
            Error::BadPublicValue => "the peer's Diffie-Hellman public value is not valid in its group",
            Error::Randomness => "the system's source of random numbers failed",
            Error::BadKey => {
                "not a usable RSA (2048 to 4096 bits) or ECDSA (P-256, P-384) key in unencrypted PKCS#8"
            }
            Error::BadSignature => "the signature is not valid",
            Error::NotSealed => "not a sealed state of this version",
            Error::BadSeal => "sealed with another key, or damaged",
            Error::Library => "the cryptographic library failed, probably for lack of memory",
        })
    }
}

impl std::error::Error for Error {}
