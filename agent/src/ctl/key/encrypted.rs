//! Private keys under a passphrase: PKCS#8 `ENCRYPTED PRIVATE KEY` in PEM (RFC 5958 section 3, RFC 7468 section 11) with
//! PBES2 (RFC 8018 section 6.2), which OpenSSL reads and writes as well.
//!
//! Written with PBKDF2-HMAC-SHA-256 and AES-256-CBC; read with scrypt and the other AES and SHA-2 sizes, too.

use gdoi::crypto::{Random, Secret};
use pkcs8::pkcs5::pbes2::{Kdf, Parameters, Pbkdf2Params, ScryptParams};
use pkcs8::pkcs5::EncryptionScheme;
use pkcs8::{EncryptedPrivateKeyInfo, LineEnding, PrivateKeyInfo, SecretDocument};
use zeroize::Zeroizing;

/// What OWASP asks for with PBKDF2-HMAC-SHA-256.
const ROUNDS: u32 = 600_000;

/// More rounds of PBKDF2 are not worth their time: the file is refused.
const MOST_ROUNDS: u32 = 10_000_000;

/// More memory is not spent for scrypt, in octets.
const MOST_MEMORY: u64 = 256 << 20;

/// More often scrypt is not repeated.
const MOST_PARALLEL: u16 = 16;

const PLAIN: &str = "PRIVATE KEY";
const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";

/// The first `PRIVATE KEY` block of `text`, encrypted.
///
/// # Errors
/// There is none, it is no PKCS#8, or randomness fails.
pub fn encrypt(
    text: &str,
    passphrase: &Secret,
    random: &mut dyn Random,
) -> Result<Zeroizing<String>, String> {
    let document = block(text, PLAIN)?;
    let key = PrivateKeyInfo::try_from(document.as_bytes()).map_err(no_key)?;
    let (mut salt, mut iv) = ([0; 16], [0; 16]);
    random.fill(&mut salt).and_then(|()| random.fill(&mut iv)).map_err(|error| error.to_string())?;
    let parameters = Parameters::pbkdf2_sha256_aes256cbc(ROUNDS, &salt, &iv);
    let parameters = parameters.map_err(|error| error.to_string())?;
    let encrypted = key.encrypt_with_params(parameters, passphrase.expose()).map_err(no_key)?;
    encrypted.to_pem(ENCRYPTED, LineEnding::LF).map_err(|error| error.to_string())
}

/// The first `ENCRYPTED PRIVATE KEY` block of `text` as a `PRIVATE KEY` block.
///
/// # Errors
/// There is none, the passphrase is another, or it is encrypted in a way that is not supported.
pub fn decrypt(text: &str, passphrase: &Secret) -> Result<Zeroizing<String>, String> {
    let document = block(text, ENCRYPTED)?;
    let encrypted = EncryptedPrivateKeyInfo::try_from(document.as_bytes());
    let encrypted = encrypted.map_err(unknown)?;
    affordable(&encrypted.encryption_algorithm)?;
    let decrypted = encrypted.decrypt(passphrase.expose()).map_err(why_not)?;
    decrypted.to_pem(PLAIN, LineEnding::LF).map_err(|error| error.to_string())
}

/// There is no other check of the passphrase than whether a key comes out.
fn why_not(error: pkcs8::Error) -> String {
    use pkcs8::pkcs5::Error;
    match error {
        pkcs8::Error::EncryptedPrivateKey(Error::EncryptFailed | Error::DecryptFailed)
        | pkcs8::Error::Asn1(_) => "the passphrase is another, or the file is damaged".into(),
        other => unknown(other),
    }
}

/// Whoever wrote the file chose how much work it is to read it.
fn affordable(scheme: &EncryptionScheme<'_>) -> Result<(), String> {
    let kdf = scheme.pbes2().map(|parameters| &parameters.kdf);
    let possible = match kdf {
        Some(Kdf::Pbkdf2(Pbkdf2Params { iteration_count, .. })) => {
            (1..=MOST_ROUNDS).contains(iteration_count)
        }
        Some(Kdf::Scrypt(ScryptParams { cost_parameter, block_size, parallelization, .. })) => {
            let memory = cost_parameter.saturating_mul(u64::from(*block_size)).saturating_mul(128);
            *cost_parameter > 1 && memory <= MOST_MEMORY && *parallelization <= MOST_PARALLEL
        }
        _ => return Err("is not encrypted with PBES2".into()),
    };
    match possible {
        true => Ok(()),
        false => Err("takes too much time or memory to decrypt".into()),
    }
}

fn unknown(error: pkcs8::Error) -> String {
    format!("is encrypted in a way that is not supported, or damaged: {error}")
}

fn no_key(error: pkcs8::Error) -> String {
    format!("is no PKCS#8 private key: {error}")
}

/// The octets of the first block with this label; what surrounds it is ignored.
fn block(text: &str, label: &str) -> Result<SecretDocument, String> {
    let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
    let missing = || format!("there is no `{label}` in it");
    let (_, rest) = text.split_once(&begin).ok_or_else(missing)?;
    let (body, _) = rest.split_once(&end).ok_or_else(missing)?;
    let alone = Zeroizing::new([&begin, body, &end].concat());
    let parsed = SecretDocument::from_pem(&alone);
    parsed.map(|(_, document)| document).map_err(|error| format!("is no PEM that can be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use gdoi::crypto::sign::NewKey;
    use gdoi::crypto::SystemRandom;

    fn pem(kind: NewKey) -> String {
        String::from_utf8(kind.generate_pem().unwrap().expose().to_vec()).unwrap()
    }

    fn secret(text: &str) -> Secret {
        Secret::from(text.as_bytes())
    }

    fn refused(text: &str) -> String {
        decrypt(text, &secret("correct horse")).map(drop).unwrap_err()
    }

    #[test]
    fn what_is_encrypted_is_decrypted_to_the_same_octets() {
        for kind in [NewKey::EcdsaP256, NewKey::EcdsaP384, NewKey::Rsa2048] {
            let plain = pem(kind);
            let surrounded = format!("a comment\n{plain}more\n");
            let sealed = encrypt(&surrounded, &secret("correct horse"), &mut SystemRandom).unwrap();
            assert!(sealed.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"), "{}", *sealed);
            assert_eq!(*decrypt(&format!("bag\n{}\n", *sealed), &secret("correct horse")).unwrap(), plain);
        }
    }

    #[test]
    fn another_passphrase_yields_no_key() {
        let plain = pem(NewKey::EcdsaP256);
        let sealed = encrypt(&plain, &secret("correct horse"), &mut SystemRandom).unwrap();
        for other in ["correct horsf", "Correct horse", "correct horse ", "x"] {
            // One in 256 is taken for padded; what comes out is no key then.
            let refused = decrypt(&sealed, &secret(other)).map(drop).unwrap_err();
            assert_eq!(refused, "the passphrase is another, or the file is damaged");
        }
    }

    #[test]
    fn the_same_key_never_looks_the_same() {
        let plain = pem(NewKey::EcdsaP256);
        let sealed = || encrypt(&plain, &secret("correct horse"), &mut SystemRandom).unwrap();
        assert_ne!(*sealed(), *sealed());
    }

    #[test]
    fn other_files_are_refused_by_what_is_wrong() {
        let plain = pem(NewKey::EcdsaP256);
        assert_eq!(refused(&plain), "there is no `ENCRYPTED PRIVATE KEY` in it");
        let block = |body: &str| {
            format!("-----BEGIN ENCRYPTED PRIVATE KEY-----\n{body}\n-----END ENCRYPTED PRIVATE KEY-----\n")
        };
        assert!(refused(&block("????")).starts_with("is no PEM that can be read: "));
        assert!(refused(&block("MAA=")).starts_with("is encrypted in a way that is not"));
        assert!(refused(&plain.replace("PRIVATE", "ENCRYPTED PRIVATE"))
            .starts_with("is encrypted in a way that is not"));
        let random = &mut SystemRandom;
        let refused = encrypt("nothing", &secret("x"), random).map(drop).unwrap_err();
        assert_eq!(refused, "there is no `PRIVATE KEY` in it");
        let sequence = "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n";
        let refused = encrypt(sequence, &secret("x"), random).map(drop).unwrap_err();
        assert!(refused.starts_with("is no PKCS#8 private key: "), "{refused}");
    }

    #[test]
    fn a_file_that_takes_too_much_is_refused() {
        let iv = [0; 16];
        let judged = |kdf: Kdf<'_>| {
            let encryption = pkcs8::pkcs5::pbes2::EncryptionScheme::Aes256Cbc { iv: &iv };
            affordable(&Parameters { kdf, encryption }.into())
        };
        let rounds = |count: u32| {
            let mut kdf = Pbkdf2Params::hmac_with_sha256(1, b"salt").unwrap();
            kdf.iteration_count = count;
            judged(Kdf::Pbkdf2(kdf))
        };
        for (count, possible) in [(0, false), (1, true), (MOST_ROUNDS, true), (MOST_ROUNDS + 1, false)] {
            assert_eq!(rounds(count).is_ok(), possible, "{count}");
        }
        let (salt, iteration_count) = ([0; 8], 1_000);
        let old = pkcs8::pkcs5::pbes1::Algorithm {
            encryption: pkcs8::pkcs5::pbes1::EncryptionScheme::PbeWithMd5AndDesCbc,
            parameters: pkcs8::pkcs5::pbes1::Parameters { salt, iteration_count },
        };
        assert_eq!(affordable(&EncryptionScheme::Pbes1(old)), Err("is not encrypted with PBES2".into()));
        let scrypt = |cost_parameter: u64, block_size: u16, parallelization: u16| {
            let (salt, key_length) = (&b"salt"[..], None);
            judged(Kdf::Scrypt(ScryptParams {
                salt,
                cost_parameter,
                block_size,
                parallelization,
                key_length,
            }))
        };
        assert_eq!(scrypt(1 << 14, 8, 1), Ok(()));
        for (cost, size, parallel) in
            [(0, 8, 1), (1, 8, 1), (1 << 19, 8, 1), (1 << 14, 8, 17), (u64::MAX, 1, 1)]
        {
            assert_eq!(scrypt(cost, size, parallel), Err("takes too much time or memory to decrypt".into()));
        }
    }
}
