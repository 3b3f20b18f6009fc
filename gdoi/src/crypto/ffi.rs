//! Arithmetic modulo the primes of RFC 3526, by foreign calls: the only `unsafe` code of the workspace.
//!
//! aws-lc-rs has no finite-field Diffie-Hellman, so this wraps four things of the library beneath it: its
//! copies of the primes, conversion from and to octets, and constant-time exponentiation. The library clears
//! every number and every scratch area when it frees them.
#![allow(unsafe_code)]

use std::ptr::{self, NonNull};

use aws_lc_sys as lc;
use zeroize::Zeroizing;

use super::{Error, Secret};

/// A safe prime of RFC 3526; its generator is 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prime {
    /// Section 3, 2048 bits.
    Bits2048,
    /// Section 4, 3072 bits.
    Bits3072,
    /// Section 5, 4096 bits.
    Bits4096,
}

impl Prime {
    /// Length in octets.
    pub(super) const fn len(self) -> usize {
        match self {
            Prime::Bits2048 => 256,
            Prime::Bits3072 => 384,
            Prime::Bits4096 => 512,
        }
    }

    /// The prime, most significant octet first.
    pub(super) fn octets(self) -> Result<Vec<u8>, Error> {
        let mut octets = vec![0; self.len()];
        Number::prime(self)?.write(&mut octets)?;
        Ok(octets)
    }

    /// `base ^ exponent` modulo the prime, padded with zeros in front to the length of the prime. The time
    /// depends on the lengths of the arguments only.
    ///
    /// # Errors
    /// [`Error::Library`] if `base` is not less than the prime or memory runs out.
    pub(super) fn power(self, base: &[u8], exponent: &Secret) -> Result<Secret, Error> {
        let (base, exponent) = (Number::read(base)?, Number::read(exponent.expose())?);
        let result = base.power(&exponent, &Number::prime(self)?)?;
        let mut octets = Zeroizing::new(vec![0; self.len()]);
        result.write(&mut octets)?;
        Ok(Secret::from(octets.as_slice()))
    }
}

/// A non-negative number owned by the library.
struct Number(NonNull<lc::BIGNUM>);

impl Number {
    fn new() -> Result<Self, Error> {
        // SAFETY: takes no arguments; the result is null or a number that nothing else owns.
        owned(unsafe { lc::BN_new() }).map(Number)
    }

    fn prime(prime: Prime) -> Result<Self, Error> {
        // SAFETY: with null for the result, each call allocates a number that nothing else owns, or returns
        // null.
        owned(unsafe {
            match prime {
                Prime::Bits2048 => lc::BN_get_rfc3526_prime_2048(ptr::null_mut()),
                Prime::Bits3072 => lc::BN_get_rfc3526_prime_3072(ptr::null_mut()),
                Prime::Bits4096 => lc::BN_get_rfc3526_prime_4096(ptr::null_mut()),
            }
        })
        .map(Number)
    }

    fn read(octets: &[u8]) -> Result<Self, Error> {
        // SAFETY: the pointer is readable for the given length, and the call only reads it. With null for
        // the result it allocates a number that nothing else owns, or returns null.
        owned(unsafe { lc::BN_bin2bn(octets.as_ptr(), octets.len(), ptr::null_mut()) }).map(Number)
    }

    fn write(&self, out: &mut [u8]) -> Result<(), Error> {
        // SAFETY: `out` is writable for the given length, which the call fills or leaves; `self` is live.
        done(unsafe { lc::BN_bn2bin_padded(out.as_mut_ptr(), out.len(), self.0.as_ptr()) })
    }

    fn power(&self, exponent: &Number, modulus: &Number) -> Result<Number, Error> {
        let (result, scratch) = (Number::new()?, Scratch::new()?);
        // SAFETY: all numbers and the scratch area are live for the call and distinct; only `result` and the
        // scratch area are written, and nothing else refers to them. Null for the Montgomery context lets
        // the call make and free its own.
        done(unsafe {
            lc::BN_mod_exp_mont_consttime(
                result.0.as_ptr(),
                self.0.as_ptr(),
                exponent.0.as_ptr(),
                modulus.0.as_ptr(),
                scratch.0.as_ptr(),
                ptr::null(),
            )
        })?;
        Ok(result)
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        // SAFETY: the number is live, owned by `self` alone and not used again.
        unsafe { lc::BN_clear_free(self.0.as_ptr()) }
    }
}

/// Room for intermediate results.
struct Scratch(NonNull<lc::BN_CTX>);

impl Scratch {
    fn new() -> Result<Self, Error> {
        // SAFETY: takes no arguments; the result is null or a scratch area that nothing else owns.
        owned(unsafe { lc::BN_CTX_new() }).map(Scratch)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // SAFETY: the scratch area is live, owned by `self` alone and not used again.
        unsafe { lc::BN_CTX_free(self.0.as_ptr()) }
    }
}

fn owned<T>(pointer: *mut T) -> Result<NonNull<T>, Error> {
    NonNull::new(pointer).ok_or(Error::Library)
}

fn done(status: std::ffi::c_int) -> Result<(), Error> {
    if status == 1 {
        Ok(())
    } else {
        Err(Error::Library)
    }
}

#[cfg(test)]
mod tests {
    use super::super::prf::{digest, Hash};
    use super::super::vectors::hex;
    use super::*;

    // SHA-256 of the primes as printed in RFC 3526.
    const DIGESTS: [(Prime, &str); 3] = [
        (Prime::Bits2048, "d66436f79bbd6b2e38c0ffbd079be904d2641415e2e67140e09448be9a60890e"),
        (Prime::Bits3072, "48cf8b092fbce4359d9871abf74f98e25b6163379eaa15cd9087e800c6d1c55c"),
        (Prime::Bits4096, "4ee95187682bcb230ad26a95205f6920e84708f6251b3894329b09ec23919e33"),
    ];

    #[test]
    fn the_primes_are_those_of_rfc_3526() {
        for (prime, expected) in DIGESTS {
            let octets = prime.octets().unwrap();
            assert_eq!(octets.len(), prime.len());
            assert_eq!(digest(Hash::Sha256, &[&octets]), hex(expected));
        }
    }

    #[test]
    fn small_powers_are_padded_to_the_length_of_the_prime() {
        for (prime, _) in DIGESTS {
            let power = prime.power(&[3], &Secret::new(vec![0, 0, 5])).unwrap();
            assert_eq!(power.len(), prime.len());
            assert_eq!(power.expose()[prime.len() - 2..], [0, 243]);
            assert!(power.expose()[..prime.len() - 1].iter().all(|octet| *octet == 0));
        }
    }

    #[test]
    fn fermat() {
        let prime = Prime::Bits2048;
        let mut exponent = prime.octets().unwrap();
        exponent[255] -= 1;
        let power = prime.power(&[7], &Secret::new(exponent)).unwrap();
        assert_eq!((power.expose()[255], power.expose()[..255].iter().max()), (1, Some(&0)));
    }

    #[test]
    fn a_base_that_is_not_reduced_is_refused() {
        let prime = Prime::Bits2048;
        let base = prime.octets().unwrap();
        assert_eq!(prime.power(&base, &Secret::new(vec![1])), Err(Error::Library));
    }
}
