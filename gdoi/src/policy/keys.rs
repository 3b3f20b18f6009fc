//! The keys of a TEK.

use super::{Seed, Transform};
use crate::crypto::Secret;

/// The keys of a TEK; kind and lengths are those of its [`Transform`].
#[derive(Clone, Debug, PartialEq)]
pub enum TekKeys {
    /// What all senders use.
    Shared {
        /// For the cipher.
        encryption: Secret,
        /// For the integrity algorithm.
        integrity: Secret,
    },
    /// What the key of each sender is derived from; nobody sends with it as it is.
    PerSender(Seed),
}

impl TekKeys {
    /// Whether they have the kind and the lengths that the transform asks for.
    pub fn fit(&self, transform: Transform) -> bool {
        match (self, transform) {
            (TekKeys::Shared { encryption, integrity }, Transform::Shared { cipher, integrity: mac }) => {
                encryption.len() == cipher.key_len() && integrity.len() == mac.key_len()
            }
            (TekKeys::PerSender(_), Transform::PerSender(_)) => true,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_the_other_kind_do_not_fit() {
        let shared = |cipher, mac| TekKeys::Shared {
            encryption: Secret::new(vec![1; cipher]),
            integrity: Secret::new(vec![2; mac]),
        };
        let seed = TekKeys::PerSender(Seed::new(Secret::new(vec![1; 32])).unwrap());
        let (cbc, gcm) = ("aes-256-cbc/hmac-sha-384".parse().unwrap(), "aes-256-gcm".parse().unwrap());
        assert!(shared(32, 48).fit(cbc) && seed.fit(gcm));
        assert!(!shared(16, 48).fit(cbc) && !shared(32, 32).fit(cbc));
        assert!(!shared(32, 48).fit(gcm) && !seed.fit(cbc));
    }
}
