//! AES in CBC mode on whole blocks, as ISAKMP uses it (RFC 2409 Appendix B, RFC 3602).
//!
//! Padding belongs to the message format and is the caller's. Both directions return the last block of
//! cipher text, which is the initialization vector of the next message of the exchange.

use aws_lc_rs::cipher::{
    Algorithm, DecryptingKey, DecryptionContext, EncryptingKey, EncryptionContext, UnboundCipherKey, AES_128,
    AES_192, AES_256,
};
use aws_lc_rs::iv::FixedLength;

use super::{Error, Secret};

/// Size of a cipher block in octets.
pub const BLOCK: usize = 16;

/// One cipher block or initialization vector.
pub type Block = [u8; BLOCK];

/// Encrypts `data` in place and returns its last block.
///
/// # Errors
/// [`Error::KeyLength`] unless the key has 16, 24 or 32 octets; [`Error::PartialBlock`] unless `data` is one
/// or more whole blocks.
pub fn encrypt(key: &Secret, iv: &Block, data: &mut [u8]) -> Result<Block, Error> {
    last_block(data)?;
    let context = EncryptionContext::Iv128(FixedLength::from(iv));
    EncryptingKey::cbc(cipher_key(key)?)
        .and_then(|key| key.less_safe_encrypt(data, context))
        .map_err(|_| Error::Library)?;
    last_block(data)
}

/// Decrypts `data` in place and returns the last block it had before.
///
/// # Errors
/// As [`encrypt`]. A wrong key or vector is no error here: only the hash of the message tells.
pub fn decrypt(key: &Secret, iv: &Block, data: &mut [u8]) -> Result<Block, Error> {
    let last = last_block(data)?;
    let context = DecryptionContext::Iv128(FixedLength::from(iv));
    let key = DecryptingKey::cbc(cipher_key(key)?).map_err(|_| Error::Library)?;
    key.decrypt(data, context).map_err(|_| Error::Library)?;
    Ok(last)
}

fn cipher_key(key: &Secret) -> Result<UnboundCipherKey, Error> {
    UnboundCipherKey::new(algorithm(key.len())?, key.expose()).map_err(|_| Error::KeyLength)
}

fn algorithm(key_len: usize) -> Result<&'static Algorithm, Error> {
    match key_len {
        16 => Ok(&AES_128),
        24 => Ok(&AES_192),
        32 => Ok(&AES_256),
        _ => Err(Error::KeyLength),
    }
}

fn last_block(data: &[u8]) -> Result<Block, Error> {
    match data.last_chunk() {
        Some(block) if data.len() % BLOCK == 0 => Ok(*block),
        _ => Err(Error::PartialBlock),
    }
}

#[cfg(test)]
mod tests {
    use super::super::vectors::hex;
    use super::*;

    // NIST SP 800-38A, appendix F.2: one IV and one plain text for all key sizes.
    const IV: &str = "000102030405060708090a0b0c0d0e0f";
    const PLAIN: &str = "6bc1bee22e409f96e93d7e117393172a ae2d8a571e03ac9c9eb76fac45af8e51
                         30c81c46a35ce411e5fbc1191a0a52ef f69f2445df4f9b17ad2b417be66c3710";

    fn check(key: &str, cipher: &str) {
        let key = Secret::new(hex(key));
        let iv: Block = hex(IV).try_into().unwrap();
        let mut data = hex(PLAIN);
        let last: Block = hex(cipher)[48..].try_into().unwrap();
        assert_eq!(encrypt(&key, &iv, &mut data), Ok(last));
        assert_eq!(data, hex(cipher));
        assert_eq!(decrypt(&key, &iv, &mut data), Ok(last));
        assert_eq!(data, hex(PLAIN));
    }

    #[test]
    fn nist_sp_800_38a_f_2_1_aes_128() {
        check(
            "2b7e151628aed2a6abf7158809cf4f3c",
            "7649abac8119b246cee98e9b12e9197d 5086cb9b507219ee95db113a917678b2
             73bed6b8e3c1743b7116e69e22229516 3ff1caa1681fac09120eca307586e1a7",
        );
    }

    #[test]
    fn nist_sp_800_38a_f_2_3_aes_192() {
        check(
            "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b",
            "4f021db243bc633d7178183a9fa071e8 b4d9ada9ad7dedf4e5e738763f69145a
             571b242012fb7ae07fa9baac3df102e0 08b0e27988598881d920a9e64f5615cd",
        );
    }

    #[test]
    fn nist_sp_800_38a_f_2_5_aes_256() {
        check(
            "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
            "f58c4c04d6e5f1ba779eabfb5f7bfbd6 9cfc4e967edb808d679f777bc6702c7d
             39f23369a9d9bacfa530e26304231461 b2eb05e2c39be9fcda6c19078c6a9d1b",
        );
    }

    #[test]
    fn the_returned_block_chains_two_messages() {
        let key = Secret::new(hex("2b7e151628aed2a6abf7158809cf4f3c"));
        let mut iv: Block = hex(IV).try_into().unwrap();
        let mut data = hex(PLAIN);
        let mut whole = data.clone();
        encrypt(&key, &iv, &mut whole).unwrap();
        for half in data.chunks_mut(32) {
            iv = encrypt(&key, &iv, half).unwrap();
        }
        assert_eq!(data, whole);
    }

    #[test]
    fn refuses_partial_blocks_and_odd_keys() {
        let key = Secret::new(vec![0; 16]);
        for len in [0, 1, 15, 17] {
            assert_eq!(encrypt(&key, &[0; 16], &mut vec![0; len]), Err(Error::PartialBlock));
            assert_eq!(decrypt(&key, &[0; 16], &mut vec![0; len]), Err(Error::PartialBlock));
        }
        for len in [0, 15, 17, 64] {
            let key = Secret::new(vec![0; len]);
            assert_eq!(encrypt(&key, &[0; 16], &mut [0; 16]), Err(Error::KeyLength));
            assert_eq!(decrypt(&key, &[0; 16], &mut [0; 16]), Err(Error::KeyLength));
        }
    }
}
