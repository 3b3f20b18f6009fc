//! State at rest: AES-256-GCM under a key that lies elsewhere.
//!
//! ```text
//! "GDOISEAL" version(2) nonce(12) | encrypted octets | tag(16)
//! ```
//!
//! Magic and version are authenticated, too. The nonce is random for every write: 2^32 writes under one key are
//! safe (NIST SP 800-38D section 8.3), which is more than a hundred years of one a second. A seal proves that the
//! key was used, not that nothing newer was sealed since.

use std::fmt;

use aws_lc_rs::aead::{Aad, LessSafeKey, Nonce, UnboundKey, AES_256_GCM, NONCE_LEN};
use zeroize::Zeroizing;

use super::{Error, Random, Secret};

const MAGIC: &[u8; 8] = b"GDOISEAL";
const VERSION: u16 = 1;
const HEADER_LEN: usize = MAGIC.len() + 2;
const KEY_LEN: usize = 32;

/// The key that seals.
#[derive(Clone, PartialEq, Eq)]
pub struct SealKey(Secret);

impl SealKey {
    /// Reads what a key file holds: 32 octets as they are, or 64 hexadecimal digits and at most one line end.
    ///
    /// # Errors
    /// [`Error::KeyLength`] for everything else.
    pub fn parse(file: &[u8]) -> Result<Self, Error> {
        if file.len() == KEY_LEN {
            return Ok(SealKey(Secret::from(file)));
        }
        let digits = file.strip_suffix(b"\n").unwrap_or(file);
        if digits.len() != 2 * KEY_LEN {
            return Err(Error::KeyLength);
        }
        let octets = digits.chunks(2).map(octet).collect::<Option<Vec<_>>>().map(Secret::new);
        octets.map(SealKey).ok_or(Error::KeyLength)
    }

    /// The octets in a form that only [`SealKey::open`] with the same key undoes.
    ///
    /// # Errors
    /// [`Error::Randomness`] or [`Error::Library`].
    pub fn seal(&self, plain: &Secret, random: &mut dyn Random) -> Result<Vec<u8>, Error> {
        let mut nonce = [0; NONCE_LEN];
        random.fill(&mut nonce)?;
        let header = header();
        let mut octets = Zeroizing::new(plain.expose().to_vec());
        let tag = self
            .cipher()?
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(header), &mut octets)
            .map_err(|_| Error::Library)?;
        Ok([&header[..], &nonce, &octets, tag.as_ref()].concat())
    }

    /// What was sealed.
    ///
    /// # Errors
    /// [`Error::NotSealed`] if the octets do not begin as a seal of this version does, [`Error::BadSeal`] if they
    /// were sealed with another key or are damaged.
    pub fn open(&self, sealed: &[u8]) -> Result<Secret, Error> {
        let rest = sealed.strip_prefix(&header()[..]).ok_or(Error::NotSealed)?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE_LEN>().ok_or(Error::BadSeal)?;
        let mut octets = Zeroizing::new(rest.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = self.cipher()?.open_in_place(nonce, Aad::from(header()), &mut octets);
        plain.map(|plain| Secret::from(&*plain)).map_err(|_| Error::BadSeal)
    }

    fn cipher(&self) -> Result<LessSafeKey, Error> {
        UnboundKey::new(&AES_256_GCM, self.0.expose()).map(LessSafeKey::new).map_err(|_| Error::KeyLength)
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey")
    }
}

fn header() -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    header[..MAGIC.len()].copy_from_slice(MAGIC);
    header[MAGIC.len()..].copy_from_slice(&VERSION.to_be_bytes());
    header
}

fn octet(digits: &[u8]) -> Option<u8> {
    let value = |digit: u8| char::from(digit).to_digit(16);
    match digits {
        [high, low] => u8::try_from(value(*high)? << 4 | value(*low)?).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::SystemRandom;

    fn key() -> SealKey {
        SealKey::parse(&[7; 32]).unwrap()
    }

    fn sealed(text: &[u8]) -> Vec<u8> {
        key().seal(&Secret::from(text), &mut SystemRandom).unwrap()
    }

    #[test]
    fn what_was_sealed_is_opened() {
        for text in [&b""[..], b"x", &[9; 100_000]] {
            let sealed = sealed(text);
            assert_eq!(sealed.len(), HEADER_LEN + NONCE_LEN + text.len() + 16);
            assert_eq!(key().open(&sealed).unwrap().expose(), text);
        }
    }

    #[test]
    fn no_two_seals_are_alike() {
        assert_ne!(sealed(b"the same"), sealed(b"the same"));
    }

    #[test]
    fn every_octet_counts() {
        let sound = sealed(b"keys and numbers");
        for position in 0..sound.len() {
            let mut damaged = sound.clone();
            damaged[position] ^= 1;
            let expected = if position < HEADER_LEN { Error::NotSealed } else { Error::BadSeal };
            assert_eq!(key().open(&damaged), Err(expected), "octet {position}");
        }
        (0..sound.len()).for_each(|length| assert!(key().open(&sound[..length]).is_err(), "{length}"));
        assert!(key().open(&[&sound[..], &[0]].concat()).is_err());
    }

    #[test]
    fn another_key_does_not_open() {
        let other = SealKey::parse(&[8; 32]).unwrap();
        assert_eq!(other.open(&sealed(b"secret")), Err(Error::BadSeal));
    }

    #[test]
    fn keys_are_octets_or_digits() {
        let digits = "0".repeat(63) + "f";
        for text in [digits.clone(), digits.to_uppercase(), format!("{digits}\n")] {
            let key = SealKey::parse(text.as_bytes()).unwrap();
            assert_eq!(key.0.expose(), [&[0; 31][..], &[15]].concat());
        }
        let wrong = [&b""[..], &[1; 31], &[1; 33], "g".repeat(64).as_bytes(), "00\n".as_bytes()]
            .map(|text| SealKey::parse(text).unwrap_err());
        assert_eq!(wrong, [Error::KeyLength; 5]);
        assert_eq!(format!("{:?}", key()), "SealKey");
    }
}
