//! Diffie-Hellman: groups 14, 15, 16 (RFC 3526) and 19, 20, 21 (RFC 5903).

use std::fmt;

use aws_lc_rs::agreement::{self, agree, Algorithm, ParsedPublicKey, PrivateKey, UnparsedPublicKey};
use zeroize::Zeroizing;

use super::ffi::Prime;
use super::{Error, Random, Secret};

/// A Diffie-Hellman group; the discriminant is its number in the IANA registry "Group Description".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum DhGroup {
    /// 2048-bit MODP group, RFC 3526 section 3.
    Modp2048 = 14,
    /// 3072-bit MODP group, RFC 3526 section 4.
    Modp3072 = 15,
    /// 4096-bit MODP group, RFC 3526 section 5.
    Modp4096 = 16,
    /// 256-bit random ECP group, RFC 5903 section 3.1.
    P256 = 19,
    /// 384-bit random ECP group, RFC 5903 section 3.2.
    P384 = 20,
    /// 521-bit random ECP group, RFC 5903 section 3.3.
    P521 = 21,
}

/// The two families of groups, with what computes in them.
enum Family {
    Modp(Prime),
    Ecp(&'static Algorithm),
}

impl DhGroup {
    /// Every supported group, in the order of the registry.
    pub const ALL: [DhGroup; 6] = [
        DhGroup::Modp2048,
        DhGroup::Modp3072,
        DhGroup::Modp4096,
        DhGroup::P256,
        DhGroup::P384,
        DhGroup::P521,
    ];

    /// The group of this number, if it is supported.
    pub fn from_number(number: u16) -> Option<Self> {
        DhGroup::ALL.into_iter().find(|group| group.number() == number)
    }

    /// The number in the IANA registry.
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// Length in octets of a public value: that of the prime, or of both coordinates (RFC 5903 section 7).
    pub const fn public_len(self) -> usize {
        match self {
            DhGroup::P256 | DhGroup::P384 | DhGroup::P521 => 2 * self.shared_len(),
            _ => self.shared_len(),
        }
    }

    /// Length in octets of the shared secret: that of the prime, or of the x coordinate.
    pub const fn shared_len(self) -> usize {
        match self {
            DhGroup::Modp2048 => Prime::Bits2048.len(),
            DhGroup::Modp3072 => Prime::Bits3072.len(),
            DhGroup::Modp4096 => Prime::Bits4096.len(),
            DhGroup::P256 => 32,
            DhGroup::P384 => 48,
            DhGroup::P521 => 66,
        }
    }

    /// Whether a peer's public value is one of this group. Costs next to nothing beside [`KeyPair::generate`], so that it
    /// comes first.
    ///
    /// # Errors
    /// [`Error::BadPublicValue`] if the value has the wrong length, is not between 2 and p-2, or is no point of the curve.
    pub fn check(self, public: &[u8]) -> Result<(), Error> {
        if public.len() != self.public_len() {
            return Err(Error::BadPublicValue);
        }
        match self.family() {
            Family::Modp(prime) => check_modp(prime, public),
            Family::Ecp(curve) => {
                let point = UnparsedPublicKey::new(curve, uncompressed(public));
                ParsedPublicKey::try_from(&point).map(drop).map_err(|_| Error::BadPublicValue)
            }
        }
    }

    /// What [`KeyPair::generate`] and [`KeyPair::agree`] together cost on a slow core, microseconds.
    pub const fn cost(self) -> u64 {
        match self {
            DhGroup::P256 => 100,
            DhGroup::P384 => 500,
            DhGroup::P521 => 900,
            DhGroup::Modp2048 => 1_500,
            DhGroup::Modp3072 => 4_500,
            DhGroup::Modp4096 => 10_000,
        }
    }

    /// Length in octets of a private value. For MODP not less than the larger exponent size of RFC 3526
    /// section 8, and fixed, since the length is what the time of an exponentiation shows.
    const fn private_len(self) -> usize {
        match self {
            DhGroup::Modp2048 => 40,
            DhGroup::Modp3072 => 56,
            DhGroup::Modp4096 => 64,
            _ => self.shared_len(),
        }
    }

    fn family(self) -> Family {
        match self {
            DhGroup::Modp2048 => Family::Modp(Prime::Bits2048),
            DhGroup::Modp3072 => Family::Modp(Prime::Bits3072),
            DhGroup::Modp4096 => Family::Modp(Prime::Bits4096),
            DhGroup::P256 => Family::Ecp(&agreement::ECDH_P256),
            DhGroup::P384 => Family::Ecp(&agreement::ECDH_P384),
            DhGroup::P521 => Family::Ecp(&agreement::ECDH_P521),
        }
    }
}

/// The number, by which configuration and documentation know a group.
impl fmt::Display for DhGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number().fmt(f)
    }
}

/// One side's ephemeral key pair. Made for one exchange and dropped with it.
pub struct KeyPair {
    group: DhGroup,
    public: Vec<u8>,
    private: Private,
}

enum Private {
    Modp(Prime, Secret),
    Ecp(PrivateKey),
}

impl KeyPair {
    /// A fresh key pair; its private value is what `random` says.
    ///
    /// # Errors
    /// [`Error::Randomness`] if the source fails or never yields a usable private value.
    pub fn generate(group: DhGroup, random: &mut dyn Random) -> Result<Self, Error> {
        let private = match group.family() {
            Family::Modp(prime) => Private::Modp(prime, random.secret(group.private_len())?),
            Family::Ecp(curve) => Private::Ecp(scalar(group, curve, random)?),
        };
        let public = private.public()?;
        Ok(KeyPair { group, public, private })
    }

    /// The group it belongs to.
    pub fn group(&self) -> DhGroup {
        self.group
    }

    /// The public value as a KE payload carries it: g^x padded to the length of the prime, or the
    /// coordinates x and y (RFC 5903 section 7).
    pub fn public(&self) -> &[u8] {
        &self.public
    }

    /// The shared secret g^xy with the peer's public value: padded to the length of the prime, or the x
    /// coordinate alone (RFC 5903 sections 7 and 9).
    ///
    /// # Errors
    /// [`Error::BadPublicValue`] if the value has the wrong length, is not between 2 and p-2, or is no
    /// point of the curve.
    pub fn agree(&self, peer: &[u8]) -> Result<Secret, Error> {
        if peer.len() != self.group.public_len() {
            return Err(Error::BadPublicValue);
        }
        match &self.private {
            Private::Modp(prime, exponent) => agree_modp(*prime, exponent, peer),
            Private::Ecp(scalar) => agree_ecp(scalar, peer),
        }
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair").field("group", &self.group).finish_non_exhaustive()
    }
}

impl Private {
    fn public(&self) -> Result<Vec<u8>, Error> {
        match self {
            Private::Modp(prime, exponent) => {
                let public = prime.power(&[2], exponent)?;
                check_modp(*prime, public.expose()).map_err(|_| Error::Randomness)?;
                Ok(public.expose().to_vec())
            }
            Private::Ecp(scalar) => {
                let point = scalar.compute_public_key().map_err(|_| Error::Library)?;
                Ok(point.as_ref()[1..].to_vec())
            }
        }
    }
}

/// How often a scalar may be out of range; for these curves even once is next to impossible.
const ATTEMPTS: usize = 64;

/// A uniformly random scalar between 1 and n-1, by rejection.
fn scalar(group: DhGroup, curve: &'static Algorithm, random: &mut dyn Random) -> Result<PrivateKey, Error> {
    let mut octets = Zeroizing::new(vec![0; group.private_len()]);
    for _ in 0..ATTEMPTS {
        random.fill(&mut octets)?;
        if group == DhGroup::P521 {
            octets[0] &= 1;
        }
        if let Ok(scalar) = PrivateKey::from_private_key(curve, &octets) {
            return Ok(scalar);
        }
    }
    Err(Error::Randomness)
}

fn agree_modp(prime: Prime, exponent: &Secret, peer: &[u8]) -> Result<Secret, Error> {
    check_modp(prime, peer)?;
    prime.power(peer, exponent)
}

/// Only 0, 1 and p-1 lie in small subgroups, since the primes are safe.
fn check_modp(prime: Prime, value: &[u8]) -> Result<(), Error> {
    let mut largest = prime.octets()?;
    if let Some(last) = largest.last_mut() {
        *last -= 2;
    }
    let mut smallest = vec![0; prime.len()];
    if let Some(last) = smallest.last_mut() {
        *last = 2;
    }
    // Same lengths, most significant octet first: the order of the slices is that of the numbers.
    if value < smallest.as_slice() || value > largest.as_slice() {
        return Err(Error::BadPublicValue);
    }
    Ok(())
}

fn agree_ecp(scalar: &PrivateKey, peer: &[u8]) -> Result<Secret, Error> {
    let peer = UnparsedPublicKey::new(scalar.algorithm(), uncompressed(peer));
    agree(scalar, peer, Error::BadPublicValue, |x| Ok(Secret::from(x)))
}

/// Behind the octet of SEC 1 that announces both coordinates in full, which RFC 5903 leaves out.
fn uncompressed(coordinates: &[u8]) -> Vec<u8> {
    [&[0x04], coordinates].concat()
}

#[cfg(test)]
#[path = "dh/tests.rs"]
mod tests;
