//! Exported keys and OpenSSL, which reads and writes the same files. Without it these tests say that they are skipped.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helping functions as well")]

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// A directory with a passphrase, and the programs that run in it; removed at the end.
struct Bench(PathBuf);

impl Bench {
    /// None without OpenSSL.
    fn with_openssl(name: &str) -> Option<Self> {
        match Command::new("openssl").arg("version").output() {
            Ok(_) => Some(Bench::new(name)),
            Err(_) => {
                skipped(name);
                None
            }
        }
    }

    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("gdoi-keys-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        fs::write(path.join("words"), "correct horse\n").unwrap();
        fs::set_permissions(path.join("words"), fs::Permissions::from_mode(0o600)).unwrap();
        Bench(path)
    }

    fn run(&self, program: &str, line: &str) -> Output {
        let mut command = Command::new(program);
        command.current_dir(&self.0).args(line.split(' ')).stdin(Stdio::null()).output().unwrap()
    }

    fn openssl(&self, line: &str) -> Vec<u8> {
        let finished = self.run("openssl", line);
        assert!(finished.status.success(), "openssl {line}: {}", String::from_utf8_lossy(&finished.stderr));
        finished.stdout
    }

    fn ctl(&self, line: &str) -> Result<String, String> {
        let finished = self.run(env!("CARGO_BIN_EXE_gdoictl"), line);
        match finished.status.success() {
            true => Ok(String::from_utf8(finished.stdout).unwrap()),
            false => Err(String::from_utf8(finished.stderr).unwrap()),
        }
    }

    /// The fingerprint as the README says that one gets it.
    fn fingerprint(&self, file: &str, more: &str) -> String {
        self.openssl(&format!("pkey -in {file}{more} -pubout -outform DER -out public"));
        let line = String::from_utf8(self.openssl("dgst -sha256 -r public")).unwrap();
        line.split(' ').next().unwrap().to_owned()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[allow(clippy::explicit_write, reason = "eprintln! is captured, and a check that is left out must be seen")]
fn skipped(name: &str) {
    writeln!(std::io::stderr(), "SKIPPED {name}: there is no program openssl").unwrap();
}

#[test]
fn openssl_reads_what_is_exported() {
    let Some(bench) = Bench::with_openssl("openssl_reads_what_is_exported") else { return };
    for kind in ["ecdsa-p256", "ecdsa-p384", "rsa-2048"] {
        let (plain, sealed) = (format!("{kind}.pem"), format!("{kind}.enc"));
        bench.ctl(&format!("ks key generate --type {kind} {plain}")).unwrap();
        let said =
            bench.ctl(&format!("ks key export {plain} --out {sealed} --passphrase-file words")).unwrap();
        let fingerprint = bench.fingerprint(&sealed, " -passin file:words");
        assert!(said.ends_with(&format!("  Type         {kind}\n  Fingerprint  {fingerprint}\n")), "{said}");
        assert_eq!(bench.fingerprint(&plain, ""), fingerprint);
        let structure = String::from_utf8(bench.openssl(&format!("asn1parse -i -in {sealed}"))).unwrap();
        for part in ["PBES2", "PBKDF2", ":0927C0", "hmacWithSHA256", "aes-256-cbc"] {
            assert!(structure.contains(part), "{part} is missing: {structure}");
        }
    }
}

#[test]
fn what_openssl_encrypts_is_imported() {
    let Some(bench) = Bench::with_openssl("what_openssl_encrypts_is_imported") else { return };
    bench.openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ec.pem");
    bench.openssl("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa.pem");
    for (number, (key, how)) in [
        ("ec", "-v2 aes-256-cbc -v2prf hmacWithSHA256 -iter 700000"),
        ("rsa", "-v2 aes-128-cbc -v2prf hmacWithSHA512"),
        ("rsa", ""),
        ("ec", "-scrypt"),
    ]
    .into_iter()
    .enumerate()
    {
        let how = if how.is_empty() { String::new() } else { format!(" {how}") };
        bench.openssl(&format!("pkcs8 -topk8 -in {key}.pem{how} -passout file:words -out {number}.enc"));
        let import = format!("ks key import {number}.enc --out {number}.pem --passphrase-file words");
        let said = bench.ctl(&import).unwrap_or_else(|reason| panic!("{how}: {reason}"));
        assert!(said.contains(&bench.fingerprint(&format!("{key}.pem"), "")), "{said}");
        assert_eq!(
            bench.fingerprint(&format!("{number}.pem"), ""),
            bench.fingerprint(&format!("{key}.pem"), "")
        );
        let again = bench.ctl(&import).unwrap_err();
        assert!(
            again.ends_with(&format!("{number}.pem: exists already and is not overwritten\n")),
            "{again}"
        );
    }
}

#[test]
fn what_is_encrypted_in_another_way_is_refused() {
    let Some(bench) = Bench::with_openssl("what_is_encrypted_in_another_way_is_refused") else { return };
    bench.openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ec.pem");
    for how in ["-v2 aes-256-cbc -v2prf hmacWithSHA1", "-v2 des3", "-v1 PBE-SHA1-3DES"] {
        bench.openssl(&format!("pkcs8 -topk8 -in ec.pem {how} -passout file:words -out old.enc"));
        let refused = bench.ctl("ks key import old.enc --out new.pem --passphrase-file words").unwrap_err();
        assert!(refused.starts_with("gdoictl: old.enc: is encrypted in a way that is not supp"), "{refused}");
    }
}

#[test]
fn without_a_terminal_a_passphrase_file_is_asked_for() {
    let bench = Bench::new("terminal");
    bench.ctl("ks key generate rekey.pem").unwrap();
    let program = env!("CARGO_BIN_EXE_gdoictl");
    let finished = bench.run("setsid", &format!("--wait {program} ks key export rekey.pem --out x.enc"));
    let reason = String::from_utf8(finished.stderr).unwrap();
    assert!(!finished.status.success() && reason.contains("use --passphrase-file"), "{reason}");
    assert!(!bench.0.join("x.enc").exists());
}
