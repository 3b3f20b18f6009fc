//! The keys of an ESP SA, each with what it is for and of the length that this asks for.

use super::{refuse, Aead, Cipher, Integrity, PolicyError, Secret, Transform};

/// What an SA encrypts and authenticates with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EspKeys {
    /// With what all senders have.
    Shared(SharedKeys),
    /// With what one sender alone sends with.
    Sender(SenderKey),
}

/// The keys that all senders share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedKeys {
    cipher: Cipher,
    encryption: Secret,
    integrity: Integrity,
    authentication: Secret,
}

/// The key of one sender: the cipher key and [`Aead::SALT_LEN`] octets of salt (RFC 4106 section 8.1, RFC 7634
/// section 2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SenderKey {
    aead: Aead,
    secret: Secret,
}

impl EspKeys {
    /// What they are for.
    pub const fn transform(&self) -> Transform {
        match self {
            EspKeys::Shared(keys) => Transform::Shared { cipher: keys.cipher, integrity: keys.integrity },
            EspKeys::Sender(key) => Transform::PerSender(key.aead),
        }
    }
}

impl SharedKeys {
    /// A cipher and an integrity algorithm, each with its key.
    ///
    /// # Errors
    /// A key of another length.
    pub fn new(
        (cipher, encryption): (Cipher, Secret),
        (integrity, authentication): (Integrity, Secret),
    ) -> Result<Self, PolicyError> {
        check(&encryption, cipher.key_len())?;
        check(&authentication, integrity.key_len())?;
        Ok(SharedKeys { cipher, encryption, integrity, authentication })
    }

    /// How packets are encrypted.
    pub const fn cipher(&self) -> Cipher {
        self.cipher
    }

    /// With which key.
    pub const fn encryption(&self) -> &Secret {
        &self.encryption
    }

    /// How packets are authenticated.
    pub const fn integrity(&self) -> Integrity {
        self.integrity
    }

    /// With which key.
    pub const fn authentication(&self) -> &Secret {
        &self.authentication
    }
}

impl SenderKey {
    /// A cipher with its key and the salt behind it.
    ///
    /// # Errors
    /// Another length.
    pub fn new(aead: Aead, secret: Secret) -> Result<Self, PolicyError> {
        check(&secret, aead.key_len() + Aead::SALT_LEN)?;
        Ok(SenderKey { aead, secret })
    }

    /// How packets are encrypted and authenticated.
    pub const fn aead(&self) -> Aead {
        self.aead
    }

    /// The key, and the salt behind it.
    pub const fn secret(&self) -> &Secret {
        &self.secret
    }
}

fn check(key: &Secret, len: usize) -> Result<(), PolicyError> {
    match key.len() {
        own if own == len => Ok(()),
        own => refuse(format!("a key has {own} octets, not {len}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(len: usize) -> Secret {
        Secret::new(vec![0x5a; len])
    }

    #[test]
    fn keys_have_the_lengths_of_what_they_are_for() {
        for (cipher, len) in [(Cipher::AesCbc128, 16), (Cipher::AesCbc256, 32)] {
            for (integrity, mac) in
                [(Integrity::HmacSha256, 32), (Integrity::HmacSha384, 48), (Integrity::HmacSha512, 64)]
            {
                let keys = SharedKeys::new((cipher, secret(len)), (integrity, secret(mac))).unwrap();
                assert_eq!(EspKeys::Shared(keys).transform(), Transform::Shared { cipher, integrity });
                assert!(SharedKeys::new((cipher, secret(len - 1)), (integrity, secret(mac))).is_err());
                assert!(SharedKeys::new((cipher, secret(len)), (integrity, secret(mac + 1))).is_err());
            }
        }
        for (aead, len) in [(Aead::AesGcm128, 20), (Aead::AesGcm256, 36), (Aead::ChaCha20Poly1305, 36)] {
            let key = SenderKey::new(aead, secret(len)).unwrap();
            assert_eq!(EspKeys::Sender(key).transform(), Transform::PerSender(aead));
            assert!(SenderKey::new(aead, secret(len - 4)).is_err());
        }
    }

    #[test]
    fn another_length_is_named() {
        let short = SharedKeys::new((Cipher::AesCbc256, secret(16)), (Integrity::HmacSha256, secret(32)));
        assert_eq!(short.unwrap_err().to_string(), "a key has 16 octets, not 32");
    }

    #[test]
    fn debug_shows_no_key() {
        let key = SenderKey::new(Aead::AesGcm256, secret(36)).unwrap();
        let shown = format!("{:?}", EspKeys::Sender(key));
        assert!(shown.contains("AesGcm256") && shown.contains("Secret(36 octets)"), "{shown}");
        assert!(!shown.contains("90") && !shown.contains("5a"), "{shown}");
    }
}
