//! Octets that must not be seen.

use std::fmt;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Secret octets: overwritten with zeros when dropped, never printed, compared in constant time.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes over the octets; no copy stays behind.
    pub fn new(octets: Vec<u8>) -> Self {
        Secret(Zeroizing::new(octets))
    }

    /// `len` octets that `fill` writes. Where it fails, what it has written is overwritten.
    ///
    /// # Errors
    /// Those of `fill`.
    pub fn filled<E>(len: usize, fill: impl FnOnce(&mut [u8]) -> Result<(), E>) -> Result<Self, E> {
        let mut octets = Zeroizing::new(vec![0; len]);
        fill(&mut octets)?;
        Ok(Secret(octets))
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
        self.0.ct_eq(received).into()
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
    fn a_secret_is_filled_whole_or_not_at_all() {
        let filled = Secret::filled(3, |octets| {
            octets.fill(7);
            Ok::<_, ()>(())
        });
        assert_eq!(filled, Ok(Secret::new(vec![7; 3])));
        assert_eq!(Secret::filled(3, |_| Err("broken")), Err("broken"));
    }
}
