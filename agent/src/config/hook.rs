//! The program that is run when what happens to a group's traffic changes.

use super::file_name::FileName;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::str::FromStr;

/// A program that is there and can be executed. It is run without a shell, with the daemon's rights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook(pub PathBuf);

const EXECUTABLE: u32 = 0o111;
const OTHERS_WRITE: u32 = 0o022;

impl FromStr for Hook {
    type Err = String;

    /// What is refused is not quoted: it may be anything.
    fn from_str(text: &str) -> Result<Self, String> {
        let FileName(path) = text.parse()?;
        if !path.is_absolute() {
            return Err("the program's name must begin with `/`".into());
        }
        let found = fs::metadata(&path).map_err(|error| format!("the program cannot be run: {error}"))?;
        if !found.is_file() || found.mode() & EXECUTABLE == 0 {
            return Err("this is no program: a file that may be executed (chmod +x)".into());
        }
        match found.mode() & OTHERS_WRITE {
            0 => Ok(Hook(path)),
            _ => Err("others than its owner can write the program (chmod go-w)".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_program_is_there_and_nobody_else_writes_it() {
        let path = std::env::temp_dir().join(format!("gdoi-hook-{}", std::process::id()));
        fs::write(&path, "#!/bin/sh\n").unwrap();
        let text = path.to_str().unwrap();
        let parsed = |mode| {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            text.parse::<Hook>()
        };
        assert_eq!(parsed(0o755), Ok(Hook(path.clone())));
        assert!(parsed(0o644).unwrap_err().contains("chmod +x"));
        assert!(parsed(0o775).unwrap_err().contains("chmod go-w") && parsed(0o757).is_err());
        fs::remove_file(&path).unwrap();
        assert!(text.parse::<Hook>().unwrap_err().contains("No such file"));
        assert!("bin/true".parse::<Hook>().unwrap_err().contains("begin with `/`"));
        assert!("/etc".parse::<Hook>().unwrap_err().contains("no program"));
        let secret = "/bin/true secret".parse::<Hook>().unwrap_err();
        assert!(!secret.contains("secret"), "{secret}");
    }
}
