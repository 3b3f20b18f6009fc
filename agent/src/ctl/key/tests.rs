use super::*;
use clap::ValueEnum;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// A directory of its own with a passphrase, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("gdoi-key-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        let scratch = Scratch(path);
        scratch.write("words", "correct horse\n");
        scratch
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn export(&self, file: &str, out: &str, words: &str) -> Result<String, String> {
        export(&self.path(file), &self.path(out), Some(&self.path(words)))
    }

    fn import(&self, file: &str, out: &str, words: &str) -> Result<String, String> {
        import(&self.path(file), &self.path(out), Some(&self.path(words)))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Type and fingerprint.
fn described(said: &str) -> &str {
    said.split_once('\n').unwrap().1
}

#[test]
fn a_key_is_usable_private_and_never_overwritten() {
    let scratch = Scratch::new("generate");
    for (kind, name) in [
        (KeyType::EcdsaP256, "ecdsa-p256"),
        (KeyType::EcdsaP384, "ecdsa-p384"),
        (KeyType::Rsa2048, "rsa-2048"),
    ] {
        let file = scratch.path(name);
        let said = generate(kind, &file).unwrap();
        let text = fs::read_to_string(&file).unwrap();
        let key = SigningKey::from_pem(&text, Hash::Sha256).unwrap();
        let expected = format!("  Type         {name}\n  Fingerprint  {}\n", fingerprint::of(key.public()));
        assert_eq!(described(&said), expected);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(generate(kind, &file).unwrap_err().ends_with("is not overwritten"));
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
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

#[test]
fn an_exported_key_is_imported_as_it_was() {
    let scratch = Scratch::new("round");
    for (kind, name) in [(KeyType::EcdsaP384, "a"), (KeyType::Rsa3072, "b")] {
        let [plain, sealed, again] = ["plain", "sealed", "again"].map(|part| format!("{name}.{part}"));
        let made = generate(kind, &scratch.path(&plain)).unwrap();
        let exported = scratch.export(&plain, &sealed, "words").unwrap();
        let imported = scratch.import(&sealed, &again, "words").unwrap();
        assert_eq!(scratch.read(&again), scratch.read(&plain));
        assert_eq!([described(&exported), described(&imported)], [described(&made); 2]);
        for file in [&sealed, &again] {
            assert_eq!(fs::metadata(scratch.path(file)).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
    assert_eq!(fs::read_dir(&scratch.0).unwrap().count(), 7, "nothing is left over");
}

#[test]
fn another_passphrase_imports_nothing() {
    let scratch = Scratch::new("wrong");
    generate(KeyType::EcdsaP256, &scratch.path("plain")).unwrap();
    scratch.export("plain", "sealed", "words").unwrap();
    scratch.write("others", "correct house\n");
    let refused = scratch.import("sealed", "again", "others").unwrap_err();
    assert!(refused.ends_with("sealed: the passphrase is another, or the file is damaged"), "{refused}");
    assert!(!scratch.path("again").exists());
    scratch.write("short", "horse\n");
    let refused = scratch.export("plain", "again", "short").unwrap_err();
    assert_eq!(refused, "gdoictl: the passphrase needs at least 12 characters");
    let refused = scratch.export("plain", "again", "nowhere").unwrap_err();
    assert!(refused.contains("nowhere: No such file") && !scratch.path("again").exists(), "{refused}");
}

#[test]
fn nothing_is_overwritten() {
    let scratch = Scratch::new("overwrite");
    generate(KeyType::EcdsaP256, &scratch.path("plain")).unwrap();
    scratch.export("plain", "sealed", "words").unwrap();
    scratch.write("precious", "mine");
    for result in [
        scratch.export("plain", "precious", "words"),
        scratch.import("sealed", "precious", "words"),
        scratch.export("plain", "plain", "words"),
        scratch.import("sealed", "sealed", "words"),
    ] {
        assert!(result.unwrap_err().ends_with("exists already and is not overwritten"));
    }
    assert_eq!(scratch.read("precious"), "mine");
}

#[test]
fn only_keys_for_a_key_server_are_taken() {
    let scratch = Scratch::new("others");
    scratch.write("text", "no key\n");
    scratch.write("large", &"x".repeat(MAX_FILE as usize + 1));
    assert!(scratch.export("text", "out", "words").unwrap_err().contains("text: not a usable RSA"));
    assert!(scratch.export("large", "out", "words").unwrap_err().contains("is larger than 65536 octets"));
    assert!(scratch.import("text", "out", "words").unwrap_err().contains("no `ENCRYPTED PRIVATE KEY` in it"));
    // Ed25519 (RFC 8410 section 10.3), which no rekey message can be signed with.
    scratch.write(
        "ed25519",
        "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n",
    );
    assert!(scratch.export("ed25519", "out", "words").unwrap_err().contains("not a usable RSA"));
    let passphrase = passphrase::known(Some(&scratch.path("words"))).unwrap();
    let sealed = encrypted::encrypt(&scratch.read("ed25519"), &passphrase, &mut SystemRandom).unwrap();
    scratch.write("sealed", &sealed);
    assert!(scratch.import("sealed", "out", "words").unwrap_err().contains("sealed: not a usable RSA"));
    assert!(!scratch.path("out").exists());
}
