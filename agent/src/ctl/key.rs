//! `gdoictl ks key generate`.

use clap::ValueEnum;
use gdoi::crypto::sign::NewKey;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Kinds of keys that sign rekey messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum KeyType {
    /// ECDSA on P-256 with SHA-256
    #[default]
    EcdsaP256,
    /// ECDSA on P-384 with SHA-384
    EcdsaP384,
    /// RSA of 2048 bits with SHA-256
    #[value(name = "rsa-2048")]
    Rsa2048,
    /// RSA of 3072 bits with SHA-256
    #[value(name = "rsa-3072")]
    Rsa3072,
    /// RSA of 4096 bits with SHA-256
    #[value(name = "rsa-4096")]
    Rsa4096,
}

impl From<KeyType> for NewKey {
    fn from(kind: KeyType) -> Self {
        match kind {
            KeyType::EcdsaP256 => NewKey::EcdsaP256,
            KeyType::EcdsaP384 => NewKey::EcdsaP384,
            KeyType::Rsa2048 => NewKey::Rsa2048,
            KeyType::Rsa3072 => NewKey::Rsa3072,
            KeyType::Rsa4096 => NewKey::Rsa4096,
        }
    }
}

/// Makes a key and writes it to a new file that only its owner can read.
///
/// # Errors
/// The file exists or cannot be written.
pub fn generate(kind: KeyType, file: &Path) -> Result<String, String> {
    let refuse = |reason: &dyn std::fmt::Display| format!("gdoictl: {}: {reason}", file.display());
    let options = OpenOptions::new().write(true).create_new(true).mode(0o600).clone();
    let mut writer = options.open(file).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => refuse(&"exists already and is not overwritten"),
        _ => refuse(&error),
    })?;
    let pem = NewKey::from(kind).generate_pem().map_err(|error| refuse(&error))?;
    writer.write_all(pem.expose()).and_then(|()| writer.sync_all()).map_err(|error| refuse(&error))?;
    Ok(format!("{}: a new key; on the key server its owner must be the daemon's user\n", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use gdoi::crypto::sign::SigningKey;
    use gdoi::crypto::Hash;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_is_usable_private_and_never_overwritten() {
        for kind in [KeyType::EcdsaP256, KeyType::EcdsaP384, KeyType::Rsa2048] {
            let name = format!("gdoi-key-{kind:?}-{}", std::process::id());
            let file = std::env::temp_dir().join(name);
            generate(kind, &file).unwrap();
            let text = fs::read_to_string(&file).unwrap();
            SigningKey::from_pem(&text, Hash::Sha256).unwrap();
            assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
            assert!(generate(kind, &file).unwrap_err().ends_with("is not overwritten"));
            assert_eq!(fs::read_to_string(&file).unwrap(), text);
            fs::remove_file(file).unwrap();
        }
    }

    #[test]
    fn types_are_called_as_the_help_says() {
        let names: Vec<_> = KeyType::value_variants()
            .iter()
            .filter_map(|kind| Some(kind.to_possible_value()?.get_name().to_owned()))
            .collect();
        assert_eq!(names, ["ecdsa-p256", "ecdsa-p384", "rsa-2048", "rsa-3072", "rsa-4096"]);
    }
}
