//! The keys of a state as attributes and back.

use netlink_packet_xfrm::{Alg, AlgAead, AlgAuth, XfrmAttrs};
use zeroize::Zeroize;

use crate::model::{Aead, Cipher, EspKeys, Integrity, Secret, SenderKey, SharedKeys};

const AEAD_ICV_BITS: u32 = Aead::ICV_LEN as u32 * 8;

pub fn write(keys: &EspKeys) -> Vec<XfrmAttrs> {
    match keys {
        EspKeys::Shared(keys) => vec![write_encryption(keys), write_integrity(keys)],
        EspKeys::Sender(key) => vec![XfrmAttrs::EncryptionAlgAead(AlgAead {
            alg_name: padded(aead_name(key.aead())),
            alg_key_len: bits(key.secret()),
            alg_icv_len: AEAD_ICV_BITS,
            alg_key: key.secret().expose().to_vec(),
        })],
    }
}

fn write_encryption(keys: &SharedKeys) -> XfrmAttrs {
    XfrmAttrs::EncryptionAlg(Alg {
        alg_name: padded(cipher_name(keys.cipher())),
        alg_key_len: bits(keys.encryption()),
        alg_key: keys.encryption().expose().to_vec(),
    })
}

fn write_integrity(keys: &SharedKeys) -> XfrmAttrs {
    XfrmAttrs::AuthenticationAlgTrunc(AlgAuth {
        alg_name: padded(integrity_name(keys.integrity())),
        alg_key_len: bits(keys.authentication()),
        alg_trunc_len: icv_bits(keys.integrity()),
        alg_key: keys.authentication().expose().to_vec(),
    })
}

const fn cipher_name(cipher: Cipher) -> &'static str {
    match cipher {
        Cipher::AesCbc128 | Cipher::AesCbc256 => "cbc(aes)",
    }
}

const fn integrity_name(integrity: Integrity) -> &'static str {
    match integrity {
        Integrity::HmacSha256 => "hmac(sha256)",
        Integrity::HmacSha384 => "hmac(sha384)",
        Integrity::HmacSha512 => "hmac(sha512)",
    }
}

const fn aead_name(aead: Aead) -> &'static str {
    match aead {
        Aead::AesGcm128 | Aead::AesGcm256 => "rfc4106(gcm(aes))",
        Aead::ChaCha20Poly1305 => "rfc7539esp(chacha20,poly1305)",
    }
}

const fn icv_bits(integrity: Integrity) -> u32 {
    integrity.icv_len() as u32 * 8
}

fn bits(key: &Secret) -> u32 {
    key.len() as u32 * 8
}

fn padded(name: &str) -> [u8; 64] {
    let mut field = [0; 64];
    field[..name.len()].copy_from_slice(name.as_bytes());
    field
}

pub fn wipe(attributes: &mut [XfrmAttrs]) {
    for attribute in attributes {
        match attribute {
            XfrmAttrs::EncryptionAlg(algorithm) | XfrmAttrs::AuthenticationAlg(algorithm) => {
                algorithm.alg_key.zeroize();
            }
            XfrmAttrs::AuthenticationAlgTrunc(algorithm) => algorithm.alg_key.zeroize(),
            XfrmAttrs::EncryptionAlgAead(algorithm) => algorithm.alg_key.zeroize(),
            _ => {}
        }
    }
}

pub fn read(attributes: &[XfrmAttrs]) -> Option<EspKeys> {
    if let Some(key) = attributes.iter().find_map(read_aead) {
        return Some(EspKeys::Sender(key));
    }
    let encryption = attributes.iter().find_map(read_encryption)?;
    let integrity = attributes.iter().find_map(read_integrity)?;
    SharedKeys::new(encryption, integrity).ok().map(EspKeys::Shared)
}

/// What has this name and takes this key.
fn read_encryption(attribute: &XfrmAttrs) -> Option<(Cipher, Secret)> {
    let XfrmAttrs::EncryptionAlg(read) = attribute else { return None };
    let usual =
        |one: &Cipher| read.alg_name == padded(cipher_name(*one)) && read.alg_key.len() == one.key_len();
    Some((Cipher::ALL.into_iter().find(usual)?, Secret::from(&read.alg_key[..])))
}

fn read_integrity(attribute: &XfrmAttrs) -> Option<(Integrity, Secret)> {
    let XfrmAttrs::AuthenticationAlgTrunc(read) = attribute else { return None };
    let usual = |one: &Integrity| {
        let named = read.alg_name == padded(integrity_name(*one)) && read.alg_trunc_len == icv_bits(*one);
        named && read.alg_key.len() == one.key_len()
    };
    Some((Integrity::ALL.into_iter().find(usual)?, Secret::from(&read.alg_key[..])))
}

fn read_aead(attribute: &XfrmAttrs) -> Option<SenderKey> {
    let XfrmAttrs::EncryptionAlgAead(read) = attribute else { return None };
    let named = Aead::ALL.into_iter().filter(|one| read.alg_name == padded(aead_name(*one)));
    let key = |aead| SenderKey::new(aead, Secret::from(&read.alg_key[..])).ok();
    named.filter(|_| read.alg_icv_len == AEAD_ICV_BITS).find_map(key)
}
