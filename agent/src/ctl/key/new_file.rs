//! Files with keys: for their owner only, whole or not at all, and never in the place of another.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A name that is taken, for what is to be written. Dropped before, it is free again.
#[derive(Debug)]
pub struct NewFile<'a> {
    path: &'a Path,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Empty,
    Written,
}

impl<'a> NewFile<'a> {
    /// Takes the name with an empty file, so that nobody else's is ever overwritten.
    ///
    /// # Errors
    /// The file exists, or the directory does not take it.
    pub fn create(path: &'a Path) -> Result<Self, String> {
        match open_private(path) {
            Ok(_) => Ok(NewFile { path, state: State::Empty }),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err("exists already and is not overwritten".into())
            }
            Err(error) => Err(with_directory(path, &error)),
        }
    }

    /// Writes it: who reads the file finds nothing in it, or all.
    ///
    /// # Errors
    /// The disk is full or broken; nothing is left of the file then.
    pub fn write(mut self, octets: &[u8]) -> Result<(), String> {
        let beside = self.beside();
        let written = fill(&beside, octets).and_then(|()| fs::rename(&beside, self.path));
        match written {
            Ok(()) => self.state = State::Written,
            Err(_) => drop(fs::remove_file(&beside)),
        }
        written.and_then(|()| sync_directory(self.path)).map_err(|error| error.to_string())
    }

    fn beside(&self) -> PathBuf {
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.new", std::process::id()));
        self.path.with_file_name(name)
    }
}

impl Drop for NewFile<'_> {
    fn drop(&mut self) {
        if self.state == State::Empty {
            let _ = fs::remove_file(self.path);
        }
    }
}

/// A directory that is missing is made by who knows whose it shall be.
fn with_directory(path: &Path, error: &io::Error) -> String {
    let directory = path.parent().filter(|directory| *directory != Path::new(""));
    match directory.filter(|directory| error.kind() == io::ErrorKind::NotFound && !directory.exists()) {
        Some(directory) => format!("{error}; `install -d {}` makes its directory", directory.display()),
        None => error.to_string(),
    }
}

fn open_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn fill(path: &Path, octets: &[u8]) -> io::Result<()> {
    let mut file = open_private(path)?;
    file.write_all(octets)?;
    file.sync_all()
}

fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// An empty directory.
    fn directory(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("gdoi-new-file-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        path
    }

    #[test]
    fn a_file_is_private_and_alone() {
        let directory = directory("private");
        let path = directory.join("key");
        NewFile::create(&path).unwrap().write(b"contents").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"contents");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1, "nothing is left over");
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn what_exists_stays() {
        let directory = directory("exists");
        let path = directory.join("key");
        fs::write(&path, "precious").unwrap();
        assert_eq!(NewFile::create(&path).unwrap_err(), "exists already and is not overwritten");
        std::os::unix::fs::symlink("elsewhere", directory.join("link")).unwrap();
        assert!(NewFile::create(&directory.join("link")).unwrap_err().contains("not overwritten"));
        assert_eq!(fs::read(&path).unwrap(), b"precious");
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_name_that_is_not_used_is_free_again() {
        let directory = directory("free");
        let path = directory.join("key");
        let first = NewFile::create(&path).unwrap();
        assert!(NewFile::create(&path).is_err());
        drop(first);
        assert!(!path.exists());
        fs::create_dir(NewFile { path: &path, state: State::Written }.beside()).unwrap();
        assert!(NewFile::create(&path).unwrap().write(b"x").is_err());
        assert!(!path.exists(), "what could not be written is not there");
        let missing = NewFile::create(&directory.join("no/such")).unwrap_err();
        let advice = format!("`install -d {}` makes its directory", directory.join("no").display());
        assert!(missing.contains("No such file") && missing.ends_with(&advice), "{missing}");
        fs::remove_dir_all(directory).unwrap();
    }
}
