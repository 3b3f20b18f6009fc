//! Secret octets.

use zeroize::Zeroize;

/// `N` secret octets: zeroed on drop, compared in constant time, never formatted.
#[derive(Clone)]
pub struct Key<const N: usize>([u8; N]);

impl<const N: usize> Key<N> {
    /// Takes the octets in; the caller zeroes its own copy.
    pub fn new(octets: [u8; N]) -> Self {
        Self(octets)
    }

    /// The secret octets.
    pub fn octets(&self) -> &[u8] {
        &self.0
    }
}

impl<const N: usize> Drop for Key<N> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<const N: usize> PartialEq for Key<N> {
    fn eq(&self, other: &Self) -> bool {
        let difference = self.0.iter().zip(&other.0).fold(0, |sum, (a, b)| sum | (a ^ b));
        std::hint::black_box(difference) == 0
    }
}

impl<const N: usize> Eq for Key<N> {}
