//! What people compare to know that two hosts have the same key.

use gdoi::crypto::prf::digest;
use gdoi::crypto::sign::PublicKey;
use gdoi::crypto::Hash;

/// SHA-256 of the public key as DER SubjectPublicKeyInfo, in hexadecimal digits: what
/// `openssl pkey -in FILE -pubout -outform DER | sha256sum` prints.
pub fn of(key: &PublicKey) -> String {
    hex(&digest(Hash::Sha256, &[key.spki()]))
}

/// The octets as hexadecimal digits.
pub fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use gdoi::crypto::sign::{NewKey, SigningKey};

    #[test]
    fn a_fingerprint_is_of_the_key_and_only_of_it() {
        let key = |kind: NewKey| SigningKey::from_pkcs8(&kind.generate().unwrap(), Hash::Sha256).unwrap();
        let (first, second) = (key(NewKey::EcdsaP256), key(NewKey::EcdsaP256));
        assert_eq!(of(first.public()), of(first.public()));
        assert_ne!(of(first.public()), of(second.public()));
        assert_eq!(of(first.public()).len(), 64);
    }

    #[test]
    fn every_octet_has_two_digits() {
        assert_eq!(hex(&[0, 0x0a, 0xff]), "000aff");
    }
}
