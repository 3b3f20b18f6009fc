//! What can go wrong between us and the kernel.

use std::{fmt, io};

/// A failed conversation with the kernel or with nft.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// What is desired contradicts itself.
    Unusable(String),
    /// A netlink socket could not be opened or used.
    Socket(io::Error),
    /// The kernel refused a request; the text says which.
    Refused(String, io::Error),
    /// Somebody else's policy has exactly the selector of ours; the text names it.
    Occupied(String),
    /// The kernel's answer could not be understood.
    Answer(String),
    /// The nft program could not be run.
    NftMissing(io::Error),
    /// The program nft did not answer and was ended.
    NftHangs,
    /// It did not even end when it was killed; its process ID.
    NftStuck(u32),
    /// nft refused or failed; its own words.
    Nft(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unusable(reason) => f.write_str(reason),
            Self::Socket(error) => write!(f, "netlink socket: {error}"),
            Self::Refused(object, error) => write!(f, "{object}: the kernel answers: {error}"),
            Self::Occupied(policy) => {
                write!(f, "{policy}: a policy of somebody else has exactly this selector")
            }
            Self::Answer(reason) => write!(f, "the kernel's answer is not understood: {reason}"),
            Self::NftMissing(error) => write!(f, "the program nft cannot be run: {error}"),
            Self::NftHangs => f.write_str(
                "the program nft did not answer and was ended: somebody holds nftables in the kernel, find the program that does",
            ),
            Self::NftStuck(id) => {
                write!(f, "the program nft (process {id}) did not answer and cannot be ended: the kernel does not let it go")
            }
            Self::Nft(words) => write!(f, "nft: {words}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<::policy::PolicyError> for Error {
    fn from(error: ::policy::PolicyError) -> Self {
        Self::Unusable(error.0)
    }
}
