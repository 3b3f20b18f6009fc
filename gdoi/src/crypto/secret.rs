//! Octets that must not be seen, and where fresh ones come from.

use super::Error;

pub use ::policy::Secret;

/// A source of unpredictable octets. It is an argument of every exchange, so that a test can replay one.
pub trait Random {
    /// Fills `out`. On [`Error::Randomness`] its contents must not be used.
    fn fill(&mut self, out: &mut [u8]) -> Result<(), Error>;

    /// A fresh secret of `len` octets.
    fn secret(&mut self, len: usize) -> Result<Secret, Error> {
        Secret::filled(len, |octets| self.fill(octets))
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
