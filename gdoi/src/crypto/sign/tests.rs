//! Sources: RFC 4754 section 8 for ECDSA; NIST CAVP "SigVer15_186-3" (FIPS 186-3, PKCS #1 v1.5) for RSA.

#[path = "published.rs"]
mod published;

use super::super::vectors::hex;
use super::*;
use published::{RSA, RSA_PKCS8};

const P256_PEM: &str = "\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg3FHThmoVus3jPZb5
kvypnafm7wk05wl1WcJ/FhTIin+hRANCAAQkQqXMDs0BX6PKMdyOK7xwv0LWDLyi
AIXggiywQjXpcG/Ji9flAhGkonEC+jVJ33nry0vyRrgJRc3f59UJu/19
-----END PRIVATE KEY-----
";

const P256_SPKI: &str =
    "3059301306072a8648ce3d020106082a8648ce3d030107034200042442a5cc0ecd015fa3ca31dc8e2bbc70bf42d60cbc
         a20085e0822cb04235e9706fc98bd7e50211a4a27102fa3549df79ebcb4bf246b80945cddfe7d509bbfd7d";

const P256_SIGNATURE: &str =
    "cb28e0999b9c7715fd0a80d8e47a77079716cbbf917dd72e97566ea1c066957c86fa3bb4e26cad5bf90b7f81899256ce
         7594bb1ea0c89212748bff3b3d5b0315";

const P384_PEM: &str = "\
-----BEGIN PRIVATE KEY-----
MIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDAL62RmNLqHc113rkgJ
oOvqhlU13kweHctpLoRwjoGlr2LlKMOLKoGzUwlmjXNSTZ+hZANiAASWKBv43V4F
JcoEnASNNF0wgpaNEP7fXFrKDGTmRlqX6lzhDJ3+wheXQVcQch9DeSJEdoi6lHCO
tuLk1Z9qttft/5MB0kn+ScMwlmVfXVAvrT04O5HF5+2qK3FMyZ1XQ8o=
-----END PRIVATE KEY-----
";

const P384_SPKI: &str =
    "3076301006072a8648ce3d020106052b810400220362000496281bf8dd5e0525ca049c048d345d3082968d10fedf5c5a
         ca0c64e6465a97ea5ce10c9dfec21797415710721f437922447688ba94708eb6e2e4d59f6ab6d7edff9301d249fe49c3
         3096655f5d502fad3d383b91c5e7edaa2b714cc99d5743ca";

const P384_SIGNATURE: &str =
    "fb017b914e29149432d8bac29a514640b46f53ddab2c69948084e2930f1c8f7e08e07c9c63f2d21a07dcb56a6af56eb3
         b263a1305e057f984d38726a1b46874109f417bca112674c528262a40a629af1cbb9f516ce0fa7d2ff630863a00e8b9f";

fn check_ecdsa(algorithm: SignatureAlgorithm, pem: &str, spki: &str, signature: &str) {
    let key = SigningKey::from_pem(pem, Hash::Sha512).unwrap();
    assert_eq!(key.algorithm(), algorithm);
    assert_eq!(key.public().spki(), hex(spki));
    key.public().verify(b"abc", &hex(signature)).unwrap();
    let own = key.sign(b"abc").unwrap();
    assert_eq!(own.len(), hex(signature).len());
    key.public().verify(b"abc", &own).unwrap();
    assert_eq!(key.public().verify(b"abd", &own), Err(Error::BadSignature));
}

#[test]
fn rfc_4754_section_8_1() {
    check_ecdsa(SignatureAlgorithm::EcdsaP256, P256_PEM, P256_SPKI, P256_SIGNATURE);
}

#[test]
fn rfc_4754_section_8_2() {
    check_ecdsa(SignatureAlgorithm::EcdsaP384, P384_PEM, P384_SPKI, P384_SIGNATURE);
}

#[test]
fn an_ecdsa_signature_has_exactly_one_form() {
    let key = PublicKey::from_spki(SignatureAlgorithm::EcdsaP256, &hex(P256_SPKI)).unwrap();
    let signature = hex(P256_SIGNATURE);
    let longer = [signature.as_slice(), &[0]].concat();
    let mut changed = signature.clone();
    changed[63] ^= 1;
    let zero_r = [&[0; 32], &signature[32..]].concat();
    for wrong in [&[], &signature[..63], &longer, &changed, &zero_r, &[0; 64]] {
        assert_eq!(key.verify(b"abc", wrong), Err(Error::BadSignature));
    }
}

#[test]
fn nist_rsa_verification() {
    for (hash, spki, message, signature, valid) in RSA {
        let key = PublicKey::from_spki(SignatureAlgorithm::Rsa(hash), &hex(spki)).unwrap();
        assert_eq!(key.bits() as usize, 8 * hex(signature).len());
        assert_eq!(key.verify(&hex(message), &hex(signature)).is_ok(), valid);
    }
}

#[test]
fn nist_rsa_signature_is_made_again() {
    let (hash, spki, message, signature, _) = RSA[0];
    let key = SigningKey::from_pkcs8(&Secret::new(hex(RSA_PKCS8)), hash).unwrap();
    assert_eq!(key.algorithm(), SignatureAlgorithm::Rsa(hash));
    assert_eq!(key.public().spki(), hex(spki));
    assert_eq!(key.sign(&hex(message)).unwrap(), hex(signature));
}

#[test]
fn an_rsa_signature_has_the_length_of_the_modulus() {
    let (hash, spki, message, signature, _) = RSA[0];
    let key = PublicKey::from_spki(SignatureAlgorithm::Rsa(hash), &hex(spki)).unwrap();
    let padded = [&[0], hex(signature).as_slice()].concat();
    for wrong in [&[], &hex(signature)[1..], &padded] {
        assert_eq!(key.verify(&hex(message), wrong), Err(Error::BadSignature));
    }
}

#[test]
fn generated_keys_load_and_sign() {
    let kinds = [
        (NewKey::Rsa2048, SignatureAlgorithm::Rsa(Hash::Sha256), 2048),
        (NewKey::EcdsaP256, SignatureAlgorithm::EcdsaP256, 256),
        (NewKey::EcdsaP384, SignatureAlgorithm::EcdsaP384, 384),
    ];
    for (kind, algorithm, bits) in kinds {
        let key = SigningKey::from_pkcs8(&kind.generate().unwrap(), Hash::Sha256).unwrap();
        assert_eq!((key.algorithm(), key.public().bits()), (algorithm, bits));
        let received = PublicKey::from_spki(algorithm, key.public().spki()).unwrap();
        received.verify(b"rekey", &key.sign(b"rekey").unwrap()).unwrap();
    }
}

#[test]
fn a_public_key_must_be_canonical_and_of_its_algorithm() {
    let p256 = hex(P256_SPKI);
    let behind = [p256.as_slice(), &[0]].concat();
    let bare_point = &p256[26..];
    let mut off_curve = p256.clone();
    *off_curve.last_mut().unwrap() ^= 1;
    let compressed =
        [&hex("3039301306072a8648ce3d020106082a8648ce3d030107032200"), &[3][..], &p256[27..59]].concat();
    for wrong in
        [&[], &p256[..90], &behind, bare_point, &off_curve, &compressed, &hex(P384_SPKI), &hex(RSA[0].1)]
    {
        assert_eq!(PublicKey::from_spki(SignatureAlgorithm::EcdsaP256, wrong).unwrap_err(), Error::BadKey);
    }
    for hash in [Hash::Sha256, Hash::Sha384, Hash::Sha512] {
        let algorithm = SignatureAlgorithm::Rsa(hash);
        let bare = &hex(RSA[0].1)[24..];
        assert!(rsa::PublicKey::from_der(bare).is_ok());
        for wrong in [&p256, bare] {
            assert_eq!(PublicKey::from_spki(algorithm, wrong).unwrap_err(), Error::BadKey);
        }
    }
}

/// A SubjectPublicKeyInfo with the modulus 2^(8*octets-1) + 1 and the exponent 65537.
fn rsa_of(octets: usize) -> Vec<u8> {
    let wrap = |tag: u8, content: Vec<u8>| {
        let [high, low] = (content.len() as u16).to_be_bytes();
        [vec![tag, 0x82, high, low], content].concat()
    };
    let modulus = [vec![0, 0x80], vec![0; octets - 2], vec![1]].concat();
    let key = wrap(0x30, [wrap(0x02, modulus), hex("0203010001")].concat());
    let bits = wrap(0x03, [vec![0], key].concat());
    wrap(0x30, [hex("300d06092a864886f70d0101010500"), bits].concat())
}

#[test]
fn rsa_keys_have_2048_to_4096_bits() {
    let bits = |octets| {
        PublicKey::from_spki(SignatureAlgorithm::Rsa(Hash::Sha256), &rsa_of(octets)).map(|key| key.bits())
    };
    assert_eq!(bits(256), Ok(2048));
    assert_eq!(bits(512), Ok(4096));
    for octets in [128, 255, 513, 1024] {
        assert_eq!(bits(octets), Err(Error::BadKey));
    }
}

#[test]
fn other_private_keys_are_refused() {
    let rsa = hex(RSA_PKCS8);
    for wrong in [Vec::new(), b"garbage".to_vec(), rsa[..rsa.len() - 1].to_vec(), rsa[26..].to_vec()] {
        assert_eq!(SigningKey::from_pkcs8(&Secret::new(wrong), Hash::Sha256).unwrap_err(), Error::BadKey);
    }
    let encrypted = P256_PEM.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    assert_eq!(SigningKey::from_pem(&encrypted, Hash::Sha256).unwrap_err(), Error::BadKey);
}

#[test]
fn numbers_of_rfc_6407() {
    for algorithm in [
        SignatureAlgorithm::Rsa(Hash::Sha256),
        SignatureAlgorithm::Rsa(Hash::Sha384),
        SignatureAlgorithm::Rsa(Hash::Sha512),
        SignatureAlgorithm::EcdsaP256,
        SignatureAlgorithm::EcdsaP384,
    ] {
        let (number, hash) = (algorithm.number(), algorithm.hash_number());
        assert_eq!(SignatureAlgorithm::from_numbers(number, Some(hash)), Some(algorithm));
    }
    assert_eq!(SignatureAlgorithm::from_numbers(4, None), Some(SignatureAlgorithm::EcdsaP256));
    for (number, hash) in
        [(0, None), (1, None), (1, Some(1)), (1, Some(2)), (2, Some(3)), (3, None), (4, Some(4)), (6, None)]
    {
        assert_eq!(SignatureAlgorithm::from_numbers(number, hash), None);
    }
}

#[test]
fn debug_shows_no_key() {
    let key = SigningKey::from_pem(P256_PEM, Hash::Sha256).unwrap();
    assert_eq!(format!("{key:?}"), "SigningKey { algorithm: EcdsaP256, .. }");
    assert_eq!(format!("{:?}", key.public()), "PublicKey(256 bits)");
}
