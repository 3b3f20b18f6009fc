//! The algorithms of a state as attributes and back.

use netlink_packet_xfrm::{Alg, AlgAead, AlgAuth, XfrmAttrs};
use zeroize::Zeroize;

use crate::model::{AeadKey, Algorithm, EncryptionKey, IntegrityKey, Key};

const CBC: &str = "cbc(aes)";
const GCM: &str = "rfc4106(gcm(aes))";
const CHACHA: &str = "rfc7539esp(chacha20,poly1305)";
const AEAD_ICV_BITS: u32 = 128;

pub fn write(algorithm: &Algorithm) -> Vec<XfrmAttrs> {
    match algorithm {
        Algorithm::Cbc { encryption, integrity } => {
            vec![write_encryption(encryption), write_integrity(integrity)]
        }
        Algorithm::Aead(key) => vec![XfrmAttrs::EncryptionAlgAead(AlgAead {
            alg_name: padded(key.kernel_name()),
            alg_key_len: bits(key.octets()),
            alg_icv_len: AEAD_ICV_BITS,
            alg_key: key.octets().to_vec(),
        })],
    }
}

fn write_encryption(key: &EncryptionKey) -> XfrmAttrs {
    XfrmAttrs::EncryptionAlg(Alg {
        alg_name: padded(CBC),
        alg_key_len: bits(key.octets()),
        alg_key: key.octets().to_vec(),
    })
}

fn write_integrity(key: &IntegrityKey) -> XfrmAttrs {
    XfrmAttrs::AuthenticationAlgTrunc(AlgAuth {
        alg_name: padded(key.kernel_name()),
        alg_key_len: bits(key.octets()),
        alg_trunc_len: key.tag_length() * 8,
        alg_key: key.octets().to_vec(),
    })
}

fn bits(octets: &[u8]) -> u32 {
    octets.len() as u32 * 8
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

pub fn read(attributes: &[XfrmAttrs]) -> Option<Algorithm> {
    if let Some(key) = attributes.iter().find_map(read_aead) {
        return Some(Algorithm::Aead(key));
    }
    Some(Algorithm::Cbc {
        encryption: attributes.iter().find_map(read_encryption)?,
        integrity: attributes.iter().find_map(read_integrity)?,
    })
}

fn read_encryption(attribute: &XfrmAttrs) -> Option<EncryptionKey> {
    let XfrmAttrs::EncryptionAlg(algorithm) = attribute else { return None };
    let key = match algorithm.alg_key.len() {
        16 => EncryptionKey::AesCbc128(key(&algorithm.alg_key)?),
        32 => EncryptionKey::AesCbc256(key(&algorithm.alg_key)?),
        _ => return None,
    };
    (algorithm.alg_name == padded(CBC)).then_some(key)
}

fn read_integrity(attribute: &XfrmAttrs) -> Option<IntegrityKey> {
    let XfrmAttrs::AuthenticationAlgTrunc(algorithm) = attribute else { return None };
    let key = match algorithm.alg_key.len() {
        32 => IntegrityKey::HmacSha256(key(&algorithm.alg_key)?),
        48 => IntegrityKey::HmacSha384(key(&algorithm.alg_key)?),
        64 => IntegrityKey::HmacSha512(key(&algorithm.alg_key)?),
        _ => return None,
    };
    let usual =
        algorithm.alg_name == padded(key.kernel_name()) && algorithm.alg_trunc_len == key.tag_length() * 8;
    usual.then_some(key)
}

fn read_aead(attribute: &XfrmAttrs) -> Option<AeadKey> {
    let XfrmAttrs::EncryptionAlgAead(algorithm) = attribute else { return None };
    let key = match algorithm.alg_key.len() {
        20 => AeadKey::AesGcm128(key(&algorithm.alg_key)?),
        36 if algorithm.alg_name == padded(GCM) => AeadKey::AesGcm256(key(&algorithm.alg_key)?),
        36 => AeadKey::ChaCha20Poly1305(key(&algorithm.alg_key)?),
        _ => return None,
    };
    let usual = algorithm.alg_name == padded(key.kernel_name()) && algorithm.alg_icv_len == AEAD_ICV_BITS;
    usual.then_some(key)
}

fn key<const N: usize>(octets: &[u8]) -> Option<Key<N>> {
    octets.first_chunk().copied().map(Key::new)
}

impl IntegrityKey {
    fn kernel_name(&self) -> &'static str {
        match self {
            Self::HmacSha256(_) => "hmac(sha256)",
            Self::HmacSha384(_) => "hmac(sha384)",
            Self::HmacSha512(_) => "hmac(sha512)",
        }
    }
}

impl AeadKey {
    fn kernel_name(&self) -> &'static str {
        match self {
            Self::AesGcm128(_) | Self::AesGcm256(_) => GCM,
            Self::ChaCha20Poly1305(_) => CHACHA,
        }
    }
}
