//! The key server's state on disk: sealed, and durable before anybody else learns of it.
//!
//! The file `state` holds a seal (see [`gdoi::crypto::seal`]) over when it was written and what [`gdoi::Output::Store`] said. It
//! is never changed in place: a new one takes its name. One key server at a time has the directory: two that went on from one
//! state would give two members the same keys.
//!
//! ```text
//! "GDWT" instant(8) boot(16) milliseconds since boot(8) state
//! instant(8) state                                              as earlier versions wrote it
//! ```

mod owner;

pub use owner::{NotOwned, Ownership};

use crate::clock::{moment, Moment};
use crate::config::StateSettings;
use gdoi::crypto::seal::SealKey;
use gdoi::crypto::{Secret, SystemRandom};
use gdoi::endpoint::Instant;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use zeroize::Zeroizing;

/// Where the state is stored and with what it is sealed.
#[derive(Debug)]
pub struct StateFile {
    directory: PathBuf,
    key: SealKey,
    ownership: Ownership,
}

/// What was stored.
#[derive(Debug, PartialEq, Eq)]
pub struct Stored {
    /// What the key server said.
    pub state: Secret,
    /// When.
    pub written: Moment,
}

impl StateFile {
    /// The state in the directory, which is made if it is missing.
    ///
    /// # Errors
    /// The directory cannot be made, or another key server has it; the reason names it.
    pub fn open(settings: StateSettings) -> Result<Self, String> {
        let StateSettings { directory, key } = settings;
        let ownership = Ownership::take(&directory, "key server").map_err(|reason| reason.to_string())?;
        Ok(StateFile { directory, key, ownership })
    }

    /// What was stored last; None if nothing ever was.
    ///
    /// # Errors
    /// The file cannot be read, was sealed with another key, or is damaged; the reason names it.
    pub fn read(&self) -> Result<Option<Stored>, String> {
        let path = self.path();
        let refuse = |reason: &dyn std::fmt::Display| format!("{}: {reason}", path.display());
        let sealed = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(|error| refuse(&error))?,
        };
        let opened = self.key.open(&sealed).map_err(|error| refuse(&error))?;
        let (written, state) = split(opened.expose()).ok_or_else(|| refuse(&"is damaged"))?;
        Ok(Some(Stored { state: Secret::from(state), written }))
    }

    /// Stores the state; when this returns, it outlives the machine's power.
    ///
    /// # Errors
    /// The disk is full or broken, or the directory has become another key server's; the reason names the file. What was
    /// stored before is still there.
    pub fn write(&mut self, state: &Secret, now: Instant) -> Result<(), String> {
        let plain = Zeroizing::new([&written(&moment(now))[..], state.expose()].concat());
        let sealed = self.key.seal(&Secret::from(plain.as_slice()), &mut SystemRandom);
        let path = self.path();
        self.ownership.confirm().map_err(|reason| reason.to_string())?;
        let replaced = match sealed {
            Ok(sealed) => replace(&path, &sealed).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        replaced.map_err(|reason| format!("{}: {reason}", path.display()))?;
        tracing::debug!("{}: stored {} octets", path.display(), state.expose().len());
        Ok(())
    }

    /// The file.
    pub fn path(&self) -> PathBuf {
        self.directory.join("state")
    }
}

const MARK: &[u8; 4] = b"GDWT";

fn written(moment: &Moment) -> Vec<u8> {
    let since_boot = u64::try_from(moment.since_boot.as_millis()).unwrap_or(u64::MAX).to_be_bytes();
    [MARK, &moment.instant.as_millis().to_be_bytes()[..], &moment.boot, &since_boot].concat()
}

/// When it was written, and the state. The instants of earlier versions, milliseconds since 1970, do not begin like a mark.
fn split(octets: &[u8]) -> Option<(Moment, &[u8])> {
    let Some(octets) = octets.strip_prefix(MARK) else {
        let (instant, state) = octets.split_first_chunk()?;
        let instant = Instant::from_millis(u64::from_be_bytes(*instant));
        return Some((Moment { instant, boot: [0; 16], since_boot: Duration::ZERO }, state));
    };
    let (instant, octets) = octets.split_first_chunk()?;
    let (boot, octets) = octets.split_first_chunk()?;
    let (since_boot, state) = octets.split_first_chunk()?;
    let since_boot = Duration::from_millis(u64::from_be_bytes(*since_boot));
    Some((
        Moment { instant: Instant::from_millis(u64::from_be_bytes(*instant)), boot: *boot, since_boot },
        state,
    ))
}

/// Puts a file in the place of what is there; when this returns, it outlives the machine's power.
///
/// # Errors
/// The disk does not take it; what was there still is.
pub fn replace(path: &Path, octets: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(octets)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("gdoi-state-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            Scratch(path)
        }

        fn state(&self, key: u8) -> StateFile {
            let directory = self.0.join("deep/er");
            StateFile::open(StateSettings { directory, key: SealKey::parse(&[key; 32]).unwrap() }).unwrap()
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_last_state_is_read_again_and_nobody_else_can() {
        let scratch = Scratch::new("read");
        let mut file = scratch.state(1);
        assert_eq!(file.read(), Ok(None));
        for (text, moment) in [(&b"first"[..], 7), (b"the second", 8)] {
            file.write(&Secret::from(text), Instant::from_millis(moment)).unwrap();
            let stored = file.read().unwrap().unwrap();
            assert_eq!((stored.state.expose(), stored.written.instant.as_millis()), (text, moment));
        }
        assert_eq!(fs::metadata(file.path()).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&file.directory).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::read_dir(&file.directory).unwrap().count(), 2, "nothing is left over but the lock");
        let sealed = fs::read(file.path()).unwrap();
        assert!(!sealed.windows(6).any(|window| window == b"second"));
    }

    /// What a version before this one stored, and one that ends within what stands before the state.
    #[test]
    fn states_without_a_boot_are_read_as_well() {
        let scratch = Scratch::new("before");
        let file = scratch.state(1);
        let put = |plain: &[u8]| {
            let sealed = file.key.seal(&Secret::from(plain), &mut SystemRandom).unwrap();
            replace(&file.path(), &sealed).unwrap();
            file.read()
        };
        let stored =
            put(&[&1_700_000_000_000u64.to_be_bytes()[..], b"GDKS and more"].concat()).unwrap().unwrap();
        assert_eq!(stored.state.expose(), b"GDKS and more");
        assert_eq!((stored.written.instant.as_millis(), stored.written.boot), (1_700_000_000_000, [0; 16]));
        for length in [0, 7] {
            assert!(put(&vec![1; length]).unwrap_err().ends_with("state: is damaged"), "{length}");
        }
        let now =
            Moment { instant: Instant::from_millis(5), boot: [7; 16], since_boot: Duration::from_millis(9) };
        let whole = written(&now);
        assert_eq!(put(&whole).unwrap().unwrap().written, now);
        for length in 4..whole.len() {
            assert!(put(&whole[..length]).unwrap_err().ends_with("state: is damaged"), "{length}");
        }
    }

    #[test]
    fn a_damaged_state_or_another_key_is_refused_by_name() {
        let scratch = Scratch::new("damaged");
        let mut file = scratch.state(1);
        file.write(&Secret::from(&b"state"[..]), Instant::default()).unwrap();
        drop(file);
        let refused = scratch.state(2).read().unwrap_err();
        assert!(refused.ends_with("deep/er/state: sealed with another key, or damaged"), "{refused}");
        let file = scratch.state(1);
        fs::write(file.path(), "").unwrap();
        let refused = file.read().unwrap_err();
        assert!(refused.ends_with("deep/er/state: not a sealed state of this version"), "{refused}");
    }

    #[test]
    fn what_a_crash_left_half_written_does_no_harm() {
        let scratch = Scratch::new("half");
        let mut file = scratch.state(1);
        file.write(&Secret::from(&b"whole"[..]), Instant::default()).unwrap();
        fs::write(file.path().with_extension("new"), "hal").unwrap();
        assert_eq!(file.read().unwrap().unwrap().state.expose(), b"whole");
        file.write(&Secret::from(&b"next"[..]), Instant::default()).unwrap();
        assert_eq!(file.read().unwrap().unwrap().state.expose(), b"next");
    }

    #[test]
    fn a_directory_that_is_gone_is_an_error_value() {
        let scratch = Scratch::new("gone");
        let mut file = scratch.state(1);
        fs::remove_dir_all(&file.directory).unwrap();
        let reason = file.write(&Secret::from(&b"x"[..]), Instant::default()).unwrap_err();
        assert!(reason.contains("deep/er: No such file"), "{reason}");
    }
}
