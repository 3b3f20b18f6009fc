//! `gdoictl ks key`: the keys that sign rekey messages. None of these commands asks a daemon.

mod encrypted;
mod new_file;
mod passphrase;

use super::command::{Key, KeyType};
use crate::fingerprint;
use gdoi::crypto::sign::{NewKey, SignatureAlgorithm, SigningKey};
use gdoi::crypto::{Hash, SystemRandom};
use new_file::NewFile;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use zeroize::Zeroizing;

/// The largest file with a key that is read, in octets.
const MAX_FILE: u64 = 64 * 1024;

/// Does what the command says, and answers what was done.
///
/// # Errors
/// A file exists, cannot be read or written, or holds no key that a key server could use.
pub fn carry_out(command: &Key) -> Result<String, String> {
    match command {
        Key::Generate { kind, file } => generate(*kind, file),
        Key::Export { file, out, passphrase_file } => export(file, out, passphrase_file.as_deref()),
        Key::Import { file, out, passphrase_file } => import(file, out, passphrase_file.as_deref()),
    }
}

fn generate(kind: KeyType, file: &Path) -> Result<String, String> {
    let new = NewFile::create(file).map_err(about(file))?;
    let pem = NewKey::from(kind).generate_pem().map_err(|error| about(file)(error.to_string()))?;
    let text = std::str::from_utf8(pem.expose()).map_err(|error| about(file)(error.to_string()))?;
    let key = usable(text).map_err(about(file))?;
    new.write(pem.expose()).map_err(about(file))?;
    Ok(format!("{}: a new key; {}\n{}", file.display(), reader(file), description(&key)))
}

fn export(file: &Path, out: &Path, passphrase_file: Option<&Path>) -> Result<String, String> {
    let text = read(file).map_err(about(file))?;
    let key = usable(&text).map_err(about(file))?;
    let new = NewFile::create(out).map_err(about(out))?;
    let passphrase = passphrase::new(passphrase_file).map_err(|reason| format!("gdoictl: {reason}"))?;
    let sealed = encrypted::encrypt(&text, &passphrase, &mut SystemRandom).map_err(about(file))?;
    new.write(sealed.as_bytes()).map_err(about(out))?;
    let done = "the key encrypted under the passphrase, for `gdoictl ks key import` on the other key servers";
    Ok(format!("{}: {done}\n{}", out.display(), description(&key)))
}

fn import(file: &Path, out: &Path, passphrase_file: Option<&Path>) -> Result<String, String> {
    let sealed = read(file).map_err(about(file))?;
    let new = NewFile::create(out).map_err(about(out))?;
    let passphrase = passphrase::known(passphrase_file).map_err(|reason| format!("gdoictl: {reason}"))?;
    let text = encrypted::decrypt(&sealed, &passphrase).map_err(about(file))?;
    let key = usable(&text).map_err(about(file))?;
    new.write(text.as_bytes()).map_err(about(out))?;
    Ok(format!("{}: the key of {}; {}\n{}", out.display(), file.display(), reader(out), description(&key)))
}

/// Who must read it.
fn reader(file: &Path) -> String {
    let file = file.display();
    format!("for the key server's daemon: chown root:gdoi-ks {file} && chmod 640 {file}")
}

fn about(file: &Path) -> impl Fn(String) -> String + '_ {
    |reason| format!("gdoictl: {}: {reason}", file.display())
}

/// A key that the key server would take.
fn usable(text: &str) -> Result<SigningKey, String> {
    SigningKey::from_pem(text, Hash::Sha256).map_err(|error| error.to_string())
}

/// What is the same on all servers that have the key.
fn description(key: &SigningKey) -> String {
    let kind = match key.algorithm() {
        SignatureAlgorithm::Rsa(_) => format!("rsa-{}", key.public().bits()),
        SignatureAlgorithm::EcdsaP256 => "ecdsa-p256".into(),
        SignatureAlgorithm::EcdsaP384 => "ecdsa-p384".into(),
    };
    format!("  Type         {kind}\n  Fingerprint  {}\n", fingerprint::of(key.public()))
}

fn read(path: &Path) -> Result<Zeroizing<String>, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut text = Zeroizing::new(String::with_capacity(MAX_FILE as usize + 1));
    let length = file.take(MAX_FILE + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    match length as u64 > MAX_FILE {
        true => Err(format!("is larger than {MAX_FILE} octets")),
        false => Ok(text),
    }
}

#[cfg(test)]
mod tests;
