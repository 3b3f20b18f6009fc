//! How a side of phase 1 proves who it is: all that differs between the authentication methods of RFC 2409 section 5.

use crate::crypto::derive::skeyid_psk;
use crate::crypto::{Hash, Secret};
use crate::error::{Error, Unauthenticated};
use crate::wire::{PayloadType, Payloads};

/// What a side proves itself with to a peer, and how it checks that peer's proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// A key that only these two know (RFC 2409 section 5.4).
    PreSharedKey(Secret),
}

impl Credential {
    /// SKEYID, from which all keys of the SA come.
    pub(super) fn skeyid(&self, hash: Hash, ni_b: &[u8], nr_b: &[u8]) -> Secret {
        match self {
            Credential::PreSharedKey(key) => skeyid_psk(hash, key, ni_b, nr_b),
        }
    }

    /// The payload that proves this side's identity, `hash` being its HASH_I or HASH_R.
    pub(super) fn prove(&self, hash: Secret) -> (PayloadType, Secret) {
        match self {
            Credential::PreSharedKey(_) => (PayloadType::HASH, hash),
        }
    }

    /// Takes the proof of the peer, whose HASH_I or HASH_R is `hash`.
    ///
    /// # Errors
    /// [`Credential::failure`].
    pub(super) fn check(&self, payloads: &mut Payloads<'_>, hash: &Secret) -> Result<(), Error> {
        let proved = match self {
            Credential::PreSharedKey(_) => {
                payloads.take(PayloadType::HASH).map(|sent| hash.matches(sent.body))
            }
        };
        match proved {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(self.failure().into()),
        }
    }

    /// What is wrong where the peer proves nothing, or takes no proof.
    pub(super) const fn failure(&self) -> Unauthenticated {
        match self {
            Credential::PreSharedKey(_) => Unauthenticated::PreSharedKey,
        }
    }
}
