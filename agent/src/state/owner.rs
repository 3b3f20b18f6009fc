//! Whose a directory is: of the daemon that locks the file `state.lock` in it, as long as that one lives. The kernel gives
//! the lock up with the process, however it ends.

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::kill;
use nix::unistd::Pid;
use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a lock is waited for whose owner is dead: a program that it was starting has it for a moment.
const ORPHANED: Duration = Duration::from_secs(3);

/// A directory that no other daemon stores anything in while this is there.
#[derive(Debug)]
pub struct Ownership {
    directory: PathBuf,
    lock: Flock<File>,
    trade: &'static str,
}

/// Why a directory is not owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotOwned {
    /// Another daemon has it: what is in it is that one's.
    Taken(String),
    /// It cannot be made or written.
    Failed(String),
}

impl fmt::Display for NotOwned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotOwned::Taken(reason) | NotOwned::Failed(reason) => f.write_str(reason),
        }
    }
}

impl Ownership {
    /// That of the directory, which is made if it is missing. `trade` is what its owner is to people. Waits a moment for
    /// what a dead owner left behind.
    ///
    /// # Errors
    /// The reason names the directory.
    pub fn take(directory: &Path, trade: &'static str) -> Result<Self, NotOwned> {
        let deadline = Instant::now() + ORPHANED;
        loop {
            match Ownership::try_take(directory, trade).map_err(|error| failed(directory, &error))? {
                Ok(own) => return Ok(own),
                Err(owner) if lives(owner) || deadline <= Instant::now() => {
                    return Err(taken(directory, trade, owner))
                }
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// The same without waiting.
    ///
    /// # Errors
    /// As there.
    pub fn take_at_once(directory: &Path, trade: &'static str) -> Result<Self, NotOwned> {
        let tried = Ownership::try_take(directory, trade).map_err(|error| failed(directory, &error))?;
        tried.map_err(|owner| taken(directory, trade, owner))
    }

    /// Makes sure that the directory of this name is still the same one, or takes the one that took its place.
    ///
    /// # Errors
    /// Another daemon has that one, or there is none; the reason names it.
    pub fn confirm(&mut self) -> Result<(), NotOwned> {
        let directory = self.directory.clone();
        let about = |error: io::Error| failed(&directory, &error);
        if is_at(&self.lock, &lock_file(&directory)).map_err(about)? {
            return Ok(());
        }
        // What is gone is not made anew: it may be a disk that is not there now.
        fs::metadata(&directory).map_err(about)?;
        *self = Ownership::take_at_once(&directory, self.trade)?;
        Ok(())
    }

    /// The ownership, or the process that has it as far as it is known.
    fn try_take(directory: &Path, trade: &'static str) -> io::Result<Result<Self, Option<Pid>>> {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let path = lock_file(directory);
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path)?;
        let mut lock = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => lock,
            Err((file, Errno::EWOULDBLOCK)) => return Ok(Err(owner(&file))),
            Err((_, errno)) => return Err(errno.into()),
        };
        if !is_at(&lock, &path)? {
            return Ok(Err(None));
        }
        // Only said to people: a full disk takes nothing from the lock.
        let _ = sign(&mut lock);
        Ok(Ok(Ownership { directory: directory.to_owned(), lock, trade }))
    }
}

fn lock_file(directory: &Path) -> PathBuf {
    directory.join("state.lock")
}

/// Whether the open file is the one that has this name.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let open = file.metadata()?;
    match fs::metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (open.dev(), open.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn sign(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

fn owner(file: &File) -> Option<Pid> {
    let mut text = String::new();
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim_end().parse().ok().filter(|id| *id > 0).map(Pid::from_raw)
}

/// Whether the process lives, as far as that can be told: it may be one of another container.
fn lives(owner: Option<Pid>) -> bool {
    owner.is_some_and(|owner| kill(owner, None) != Err(Errno::ESRCH))
}

fn taken(directory: &Path, trade: &str, owner: Option<Pid>) -> NotOwned {
    let process = owner.map(|owner| format!(" (process {owner})")).unwrap_or_default();
    NotOwned::Taken(format!(
        "{}: another {trade} uses it{process}; each needs a state directory of its own",
        directory.display()
    ))
}

fn failed(directory: &Path, error: &io::Error) -> NotOwned {
    NotOwned::Failed(format!("{}: {error}", directory.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("gdoi-owner-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            Scratch(path)
        }

        fn take(&self) -> Result<Ownership, NotOwned> {
            Ownership::take(&self.0, "key server")
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn there_is_one_owner_and_then_another() {
        let scratch = Scratch::new("one");
        let own = scratch.take().unwrap();
        let refused = scratch.take().unwrap_err().to_string();
        let process = format!("another key server uses it (process {});", std::process::id());
        assert!(refused.contains(&process), "{refused}");
        drop(own);
        scratch.take().unwrap();
    }

    /// The lock of a dead owner that another process still has for a moment.
    #[test]
    fn what_a_dead_owner_left_behind_is_waited_for() {
        let scratch = Scratch::new("dead");
        let own = scratch.take().unwrap();
        // No process has the highest number that there can be.
        fs::write(scratch.0.join("state.lock"), "2147483647\n").unwrap();
        let begun = Instant::now();
        let freed = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(100));
            drop(own);
        });
        scratch.take().unwrap();
        freed.join().unwrap();
        assert!(begun.elapsed() < ORPHANED);
    }

    #[test]
    fn a_directory_that_was_replaced_is_taken_again_unless_somebody_has_it() {
        let scratch = Scratch::new("replaced");
        let mut own = scratch.take().unwrap();
        own.confirm().unwrap();
        fs::remove_dir_all(&scratch.0).unwrap();
        assert!(own.confirm().unwrap_err().to_string().contains("No such file"));
        assert!(!scratch.0.exists());
        let other = scratch.take().unwrap();
        assert!(matches!(own.confirm(), Err(NotOwned::Taken(_))));
        drop(other);
        own.confirm().unwrap();
        assert!(scratch.take().is_err());
    }
}
