//! Hash functions and the pseudo-random function made of them (HMAC, RFC 2104 and RFC 4868).

use std::fmt;

use aws_lc_rs::{digest as sha, hmac};

use super::Secret;

/// A hash function, and with it the pseudo-random function that phase 1 negotiates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hash {
    /// SHA-256, 32 octets.
    Sha256,
    /// SHA-384, 48 octets.
    Sha384,
    /// SHA-512, 64 octets.
    Sha512,
}

impl Hash {
    /// Length in octets of a digest and of the output of [`prf`].
    pub const fn output_len(self) -> usize {
        match self {
            Hash::Sha256 => 32,
            Hash::Sha384 => 48,
            Hash::Sha512 => 64,
        }
    }

    fn sha(self) -> &'static sha::Algorithm {
        match self {
            Hash::Sha256 => &sha::SHA256,
            Hash::Sha384 => &sha::SHA384,
            Hash::Sha512 => &sha::SHA512,
        }
    }

    fn hmac(self) -> hmac::Algorithm {
        match self {
            Hash::Sha256 => hmac::HMAC_SHA256,
            Hash::Sha384 => hmac::HMAC_SHA384,
            Hash::Sha512 => hmac::HMAC_SHA512,
        }
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha-{}", 8 * self.output_len())
    }
}

/// The digest of the concatenated parts.
pub fn digest(hash: Hash, parts: &[&[u8]]) -> Vec<u8> {
    let mut context = sha::Context::new(hash.sha());
    parts.iter().for_each(|part| context.update(part));
    context.finish().as_ref().to_vec()
}

/// `prf(key, parts)` of RFC 2409: HMAC over the concatenated parts, not truncated.
pub fn prf(hash: Hash, key: &Secret, parts: &[&[u8]]) -> Secret {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hash.hmac(), key.expose()));
    parts.iter().for_each(|part| context.update(part));
    Secret::from(context.sign().as_ref())
}

/// Whether `received` is the [`prf`] of the parts; takes the same time wherever it differs.
#[must_use]
pub fn verify(hash: Hash, key: &Secret, parts: &[&[u8]], received: &[u8]) -> bool {
    prf(hash, key, parts).matches(received)
}

#[cfg(test)]
mod tests {
    use super::super::vectors::hex;
    use super::*;

    const ALL: [Hash; 3] = [Hash::Sha256, Hash::Sha384, Hash::Sha512];

    #[test]
    fn fips_180_abc() {
        let expected = [
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd
             454d4423643ce80e2a9ac94fa54ca49f",
        ];
        for (hash, expected) in ALL.into_iter().zip(expected) {
            assert_eq!(digest(hash, &[b"a", b"", b"bc"]), hex(expected));
            assert_eq!(hash.output_len(), hex(expected).len());
        }
    }

    #[test]
    fn names_are_those_of_the_configuration() {
        assert_eq!(ALL.map(|hash| hash.to_string()), ["sha-256", "sha-384", "sha-512"]);
    }

    fn check(key: Vec<u8>, message: &[u8], expected: [&str; 3]) {
        let key = Secret::new(key);
        let (head, tail) = message.split_at(message.len() / 2);
        for (hash, expected) in ALL.into_iter().zip(expected.map(hex)) {
            assert_eq!(prf(hash, &key, &[head, tail]).expose(), expected);
            assert!(verify(hash, &key, &[message], &expected));
            assert!(!verify(hash, &key, &[message], &expected[1..]));
            assert!(!verify(hash, &key, &[message, b"\0"], &expected));
        }
    }

    #[test]
    fn rfc_4231_case_1() {
        check(
            vec![0x0b; 20],
            b"Hi There",
            [
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
                "afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59cfaea9ea9076ede7f4af152e8b2fa9cb6",
                "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cdedaa833b7d6b8a702038b274eaea3f4e4
                 be9d914eeb61f1702e696c203a126854",
            ],
        );
    }

    #[test]
    fn rfc_4231_case_2() {
        check(
            b"Jefe".to_vec(),
            b"what do ya want for nothing?",
            [
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
                "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649",
                "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fd
                 caeab1a34d4a6b4b636e070a38bce737",
            ],
        );
    }

    #[test]
    fn rfc_4231_case_3() {
        check(
            vec![0xaa; 20],
            &[0xdd; 50],
            [
                "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
                "88062608d3e6ad8a0aa2ace014c8a86f0aa635d947ac9febe83ef4e55966144b2a5ab39dc13814b94e3ab6e101a34f27",
                "fa73b0089d56a284efb0f0756c890be9b1b5dbdd8ee81a3655f83e33b2279d39bf3e848279a722c806b485a47e67c807
                 b946a337bee8942674278859e13292fb",
            ],
        );
    }

    #[test]
    fn rfc_4231_case_4() {
        check(
            (1..=25).collect(),
            &[0xcd; 50],
            [
                "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
                "3e8a69b7783c25851933ab6290af6ca77a9981480850009cc5577c6e1f573b4e6801dd23c4a7d679ccf8a386c674cffb",
                "b0ba465637458c6990e5a8c5f61d4af7e576d97ff94b872de76f8050361ee3dba91ca5c11aa25eb4d679275cc5788063
                 a5f19741120c4f2de2adebeb10a298dd",
            ],
        );
    }

    #[test]
    fn rfc_4231_case_6() {
        check(
            vec![0xaa; 131],
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            [
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
                "4ece084485813e9088d2c63a041bc5b44f9ef1012a2b588f3cd11f05033ac4c60c2ef6ab4030fe8296248df163f44952",
                "80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f3526b56d037e05f2598bd0fd2215d6a1e52
                 95e64f73f63f0aec8b915a985d786598",
            ],
        );
    }
}
