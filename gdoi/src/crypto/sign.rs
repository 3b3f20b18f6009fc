//! The key pair that signs rekey messages (RFC 6407 sections 5.3.5 to 5.3.7 and 5.6.2.2).

use std::fmt;
use std::ops::RangeInclusive;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    self, EcdsaKeyPair, EcdsaSigningAlgorithm, KeyPair, ParsedPublicKey, RsaEncoding, RsaKeyPair,
    RsaParameters, VerificationAlgorithm,
};

use super::{pem, Error, Hash, Secret};

/// How rekey messages are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureAlgorithm {
    /// RSA with PKCS #1 v1.5 encoding over this hash; 2048 to 4096 bits.
    Rsa(Hash),
    /// ECDSA on P-256 with SHA-256; the signature is r | s (RFC 4754).
    EcdsaP256,
    /// ECDSA on P-384 with SHA-384; the signature is r | s (RFC 4754).
    EcdsaP384,
}

impl SignatureAlgorithm {
    /// The algorithm of these values of SIG_ALGORITHM and SIG_HASH_ALGORITHM, if it is supported. ECDSA
    /// implies its hash, which may be absent but must not contradict (RFC 6407 section 5.3.5).
    pub fn from_numbers(algorithm: u16, hash: Option<u16>) -> Option<Self> {
        match (algorithm, hash) {
            (1, Some(3)) => Some(SignatureAlgorithm::Rsa(Hash::Sha256)),
            (1, Some(4)) => Some(SignatureAlgorithm::Rsa(Hash::Sha384)),
            (1, Some(5)) => Some(SignatureAlgorithm::Rsa(Hash::Sha512)),
            (4, None | Some(3)) => Some(SignatureAlgorithm::EcdsaP256),
            (5, None | Some(4)) => Some(SignatureAlgorithm::EcdsaP384),
            _ => None,
        }
    }

    /// SIG_ALGORITHM (RFC 6407 section 5.3.6).
    pub const fn number(self) -> u16 {
        match self {
            SignatureAlgorithm::Rsa(_) => 1,
            SignatureAlgorithm::EcdsaP256 => 4,
            SignatureAlgorithm::EcdsaP384 => 5,
        }
    }

    /// SIG_HASH_ALGORITHM (RFC 6407 section 5.3.5).
    pub const fn hash_number(self) -> u16 {
        match self.hash() {
            Hash::Sha256 => 3,
            Hash::Sha384 => 4,
            Hash::Sha512 => 5,
        }
    }

    /// The hash that is signed.
    pub const fn hash(self) -> Hash {
        match self {
            SignatureAlgorithm::Rsa(hash) => hash,
            SignatureAlgorithm::EcdsaP256 => Hash::Sha256,
            SignatureAlgorithm::EcdsaP384 => Hash::Sha384,
        }
    }

    /// Supported key sizes in bits.
    const fn key_sizes(self) -> RangeInclusive<u32> {
        match self {
            SignatureAlgorithm::Rsa(_) => 2048..=4096,
            SignatureAlgorithm::EcdsaP256 => 256..=256,
            SignatureAlgorithm::EcdsaP384 => 384..=384,
        }
    }

    fn verification(self) -> &'static dyn VerificationAlgorithm {
        match self {
            SignatureAlgorithm::Rsa(Hash::Sha256) => &signature::RSA_PKCS1_2048_8192_SHA256,
            SignatureAlgorithm::Rsa(Hash::Sha384) => &signature::RSA_PKCS1_2048_8192_SHA384,
            SignatureAlgorithm::Rsa(Hash::Sha512) => &signature::RSA_PKCS1_2048_8192_SHA512,
            SignatureAlgorithm::EcdsaP256 => &signature::ECDSA_P256_SHA256_FIXED,
            SignatureAlgorithm::EcdsaP384 => &signature::ECDSA_P384_SHA384_FIXED,
        }
    }
}

/// A kind of key pair to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewKey {
    /// RSA of 2048 bits.
    Rsa2048,
    /// RSA of 3072 bits.
    Rsa3072,
    /// RSA of 4096 bits.
    Rsa4096,
    /// ECDSA on P-256.
    EcdsaP256,
    /// ECDSA on P-384.
    EcdsaP384,
}

impl NewKey {
    /// A fresh private key as unencrypted PKCS#8 in DER. The randomness is always the system's.
    ///
    /// # Errors
    /// [`Error::Library`] if the library cannot make one.
    pub fn generate(self) -> Result<Secret, Error> {
        match self {
            NewKey::Rsa2048 => generate_rsa(rsa::KeySize::Rsa2048),
            NewKey::Rsa3072 => generate_rsa(rsa::KeySize::Rsa3072),
            NewKey::Rsa4096 => generate_rsa(rsa::KeySize::Rsa4096),
            NewKey::EcdsaP256 => generate_ecdsa(&signature::ECDSA_P256_SHA256_FIXED_SIGNING),
            NewKey::EcdsaP384 => generate_ecdsa(&signature::ECDSA_P384_SHA384_FIXED_SIGNING),
        }
    }

    /// The same as the text that [`SigningKey::from_pem`] reads.
    ///
    /// # Errors
    /// As [`NewKey::generate`].
    pub fn generate_pem(self) -> Result<Secret, Error> {
        self.generate().map(|der| pem::private_key_block(&der))
    }
}

fn generate_rsa(size: rsa::KeySize) -> Result<Secret, Error> {
    let document = RsaKeyPair::generate(size).and_then(|pair| pair.as_der()).map_err(|_| Error::Library)?;
    Ok(Secret::from(document.as_ref()))
}

fn generate_ecdsa(algorithm: &'static EcdsaSigningAlgorithm) -> Result<Secret, Error> {
    let document =
        EcdsaKeyPair::generate(algorithm).and_then(|pair| pair.to_pkcs8v1()).map_err(|_| Error::Library)?;
    Ok(Secret::from(document.as_ref()))
}

/// A private key that signs.
pub struct SigningKey {
    algorithm: SignatureAlgorithm,
    pair: Pair,
    public: PublicKey,
}

enum Pair {
    Rsa(RsaKeyPair),
    Ecdsa(EcdsaKeyPair),
}

impl SigningKey {
    /// Reads the first `BEGIN PRIVATE KEY` block of a PEM file. `rsa_hash` is used if the key is RSA.
    ///
    /// # Errors
    /// [`Error::BadKey`] if there is none, or it is encrypted, damaged or of an unsupported kind.
    pub fn from_pem(text: &str, rsa_hash: Hash) -> Result<Self, Error> {
        SigningKey::from_pkcs8(&pem::private_key(text)?, rsa_hash)
    }

    /// Reads an unencrypted PKCS#8 private key in DER. `rsa_hash` is used if the key is RSA.
    ///
    /// # Errors
    /// [`Error::BadKey`] if it is damaged or of an unsupported kind.
    pub fn from_pkcs8(der: &Secret, rsa_hash: Hash) -> Result<Self, Error> {
        if let Ok(pair) = RsaKeyPair::from_pkcs8(der.expose()) {
            return SigningKey::new(SignatureAlgorithm::Rsa(rsa_hash), Pair::Rsa(pair));
        }
        let ecdsa = |curve| EcdsaKeyPair::from_pkcs8(curve, der.expose()).map(Pair::Ecdsa);
        if let Ok(pair) = ecdsa(&signature::ECDSA_P256_SHA256_FIXED_SIGNING) {
            return SigningKey::new(SignatureAlgorithm::EcdsaP256, pair);
        }
        let pair = ecdsa(&signature::ECDSA_P384_SHA384_FIXED_SIGNING).map_err(|_| Error::BadKey)?;
        SigningKey::new(SignatureAlgorithm::EcdsaP384, pair)
    }

    fn new(algorithm: SignatureAlgorithm, pair: Pair) -> Result<Self, Error> {
        let public = PublicKey::from_spki(algorithm, pair.spki()?.as_ref())?;
        Ok(SigningKey { algorithm, pair, public })
    }

    /// How it signs.
    pub fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    /// The public key that belongs to it.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The length of its signatures in octets.
    pub fn signature_len(&self) -> usize {
        let octets = self.public.bits().div_ceil(8) as usize;
        match self.algorithm {
            SignatureAlgorithm::Rsa(_) => octets,
            SignatureAlgorithm::EcdsaP256 | SignatureAlgorithm::EcdsaP384 => 2 * octets,
        }
    }

    /// The signature of `message`, as the SIG payload carries it.
    ///
    /// # Errors
    /// [`Error::Library`] if the library fails.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        match &self.pair {
            Pair::Rsa(pair) => sign_rsa(pair, self.algorithm.hash(), message),
            Pair::Ecdsa(pair) => match pair.sign(&SystemRandom::new(), message) {
                Ok(signature) => Ok(signature.as_ref().to_vec()),
                Err(_) => Err(Error::Library),
            },
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

impl Pair {
    fn spki(&self) -> Result<PublicKeyX509Der<'static>, Error> {
        let der = match self {
            Pair::Rsa(pair) => pair.public_key().as_der(),
            Pair::Ecdsa(pair) => pair.public_key().as_der(),
        };
        der.map_err(|_| Error::BadKey)
    }
}

fn sign_rsa(pair: &RsaKeyPair, hash: Hash, message: &[u8]) -> Result<Vec<u8>, Error> {
    let encoding: &'static dyn RsaEncoding = match hash {
        Hash::Sha256 => &signature::RSA_PKCS1_SHA256,
        Hash::Sha384 => &signature::RSA_PKCS1_SHA384,
        Hash::Sha512 => &signature::RSA_PKCS1_SHA512,
    };
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(encoding, &SystemRandom::new(), message, &mut signature).map_err(|_| Error::Library)?;
    Ok(signature)
}

/// A public key that verifies.
#[derive(Clone)]
pub struct PublicKey {
    parsed: ParsedPublicKey,
    spki: Vec<u8>,
    bits: u32,
}

impl PublicKey {
    /// Reads a DER SubjectPublicKeyInfo, the form that a SIG_ALGORITHM_KEY carries (RFC 6407 section 5.6.2.2).
    ///
    /// # Errors
    /// [`Error::BadKey`] if it is not for this algorithm, not of a supported size, or not encoded in the one
    /// canonical way (no compressed points, nothing behind it).
    pub fn from_spki(algorithm: SignatureAlgorithm, spki: &[u8]) -> Result<Self, Error> {
        let parsed = ParsedPublicKey::new(algorithm.verification(), spki).map_err(|_| Error::BadKey)?;
        let canonical = parsed.as_der().map_err(|_| Error::BadKey)?;
        let bits = key_bits(algorithm, spki)?;
        if canonical.as_ref() != spki || !algorithm.key_sizes().contains(&bits) {
            return Err(Error::BadKey);
        }
        Ok(PublicKey { parsed, spki: spki.to_vec(), bits })
    }

    /// The key as DER SubjectPublicKeyInfo.
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// SIG_KEY_LENGTH, in bits (RFC 6407 section 5.3.7).
    pub fn bits(&self) -> u32 {
        self.bits
    }

    /// Checks the signature of `message`.
    ///
    /// # Errors
    /// [`Error::BadSignature`] if it is not exactly one that the private key makes.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), Error> {
        self.parsed.verify_sig(message, signature).map_err(|_| Error::BadSignature)
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.spki == other.spki
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({} bits)", self.bits)
    }
}

fn key_bits(algorithm: SignatureAlgorithm, spki: &[u8]) -> Result<u32, Error> {
    match algorithm {
        SignatureAlgorithm::Rsa(_) => {
            let key = rsa::PublicKey::from_der(spki).map_err(|_| Error::BadKey)?;
            RsaParameters::public_modulus_len(key.as_ref()).map_err(|_| Error::BadKey)
        }
        SignatureAlgorithm::EcdsaP256 => Ok(256),
        SignatureAlgorithm::EcdsaP384 => Ok(384),
    }
}

#[cfg(test)]
#[path = "sign/tests.rs"]
mod tests;
