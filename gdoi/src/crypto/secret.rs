//! Octets that must not be seen, and where fresh ones come from.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use zeroize::Zeroizing;

use super::Error;

/// Secret octets: overwritten with zeros when dropped, never printed, compared in constant time.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes over the octets; no copy stays behind.
    pub fn new(octets: Vec<u8>) -> Self {
        Secret(Zeroizing::new(octets))
    }

    /// The octets themselves. Whoever asks answers for what becomes of them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Length in octets.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no octets at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether these are the received octets; takes the same time wherever they differ.
    #[must_use]
    pub fn matches(&self, received: &[u8]) -> bool {
        verify_slices_are_equal(&self.0, received).is_ok()
    }
}

impl From<&[u8]> for Secret {
    fn from(octets: &[u8]) -> Self {
        Secret::new(octets.to_vec())
    }
}

impl From<Vec<u8>> for Secret {
    fn from(octets: Vec<u8>) -> Self {
        Secret::new(octets)
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.matches(other.expose())
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} octets)", self.len())
    }
}

/// A source of unpredictable octets. It is an argument of every exchange, so that a test can replay one.
pub trait Random {
    /// Fills `out`. On [`Error::Randomness`] its contents must not be used.
    fn fill(&mut self, out: &mut [u8]) -> Result<(), Error>;

    /// A fresh secret of `len` octets.
    fn secret(&mut self, len: usize) -> Result<Secret, Error> {
        let mut octets = Zeroizing::new(vec![0; len]);
        self.fill(&mut octets)?;
        Ok(Secret(octets))
    }
}

/// The generator of the cryptographic library, seeded by the kernel.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), Error> {
        aws_lc_rs::rand::fill(out).map_err(|_| Error::Randomness)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_only_the_length() {
        assert_eq!(format!("{:?}", Secret::new(b"swordfish".to_vec())), "Secret(9 octets)");
        assert_eq!(format!("{:?}", Some(Secret::new(Vec::new()))), "Some(Secret(0 octets))");
    }

    #[test]
    fn equality_is_of_length_and_content() {
        let secret = Secret::from(&b"abc"[..]);
        assert_eq!(secret, secret.clone());
        assert_ne!(secret, Secret::from(&b"abd"[..]));
        assert!(!secret.matches(b"ab"));
        assert!(!secret.matches(b""));
        assert!(secret.matches(b"abc"));
    }

    #[test]
    fn the_system_does_not_repeat_itself() {
        let first = SystemRandom.secret(32).unwrap();
        assert_eq!(first.len(), 32);
        assert_ne!(first, SystemRandom.secret(32).unwrap());
    }

    struct Broken;

    impl Random for Broken {
        fn fill(&mut self, _: &mut [u8]) -> Result<(), Error> {
            Err(Error::Randomness)
        }
    }

    #[test]
    fn a_broken_source_yields_no_secret() {
        assert_eq!(Broken.secret(16), Err(Error::Randomness));
    }
}
