//! Keeps the key server's state: on disk before the members learn of it.

use crate::clock::{self, Takeover};
use crate::config::StateSettings;
use crate::events::{Event, Journal, Severity};
use crate::state::{StateFile, Stored};
use gdoi::crypto::Secret;
use gdoi::endpoint::Instant;
use std::time::Duration;

/// The clock may be corrected by so much without a word.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(2);

/// How long after a failure the disk is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// What becomes of the state of the daemon before this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heritage {
    /// It goes on.
    Kept,
    /// New keys for all groups.
    Discarded,
}

/// Whether what an endpoint wanted to be stored survives a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It does, or nobody wants it to.
    Durable,
    /// It does not: what follows from it must not be sent.
    Lost,
}

/// Where the state goes.
#[derive(Debug)]
pub struct Keeper {
    /// None without a key to seal it.
    file: Option<StateFile>,
    unsaved: Option<Unsaved>,
}

#[derive(Debug)]
struct Unsaved {
    state: Secret,
    reason: String,
    next_try: Instant,
}

impl Keeper {
    /// The keeper, and what was stored before.
    ///
    /// # Errors
    /// There is a state that cannot be read: the reason says how to begin without it.
    pub fn open(
        settings: Option<StateSettings>,
        heritage: Heritage,
    ) -> Result<(Self, Option<Stored>), String> {
        let file = settings.map(StateFile::open).transpose()?;
        let stored = match (&file, heritage) {
            (Some(file), Heritage::Kept) => file.read().map_err(|reason| with_advice(&reason))?,
            _ => None,
        };
        Ok((Keeper { file, unsaved: None }, stored))
    }

    /// Why a state that could be read cannot be gone on from.
    pub fn refuse(&self, reason: &impl std::fmt::Display) -> String {
        match &self.file {
            Some(file) => with_advice(&format!("{}: {reason}", file.path().display())),
            None => reason.to_string(),
        }
    }

    /// Says once what the operator must know about the state.
    pub fn introduce(&self, stored: Option<&Stored>, now: Instant, journal: &mut Journal) {
        let event = match (&self.file, stored) {
            (None, _) => Event::new(
                Severity::Warning,
                "KS_STATE_NOT_STORED",
                "There is no state-key-file, so nothing is stored: after a restart all groups have new keys and all \
                 members must register again",
            ),
            (Some(file), None) => {
                let message = format!("{}: begins with new keys", file.path().display());
                Event::new(Severity::Notice, "KS_STATE_NEW", message)
            }
            (Some(file), Some(stored)) => {
                let age = now.saturating_since(stored.written.instant).as_secs();
                let message = format!("{}: goes on from the state of {age} s ago", file.path().display());
                Event::new(Severity::Notice, "KS_STATE_LOADED", message)
            }
        };
        journal.record(event, now);
        // Within one boot the wall clock has nothing to say.
        let other_boot = |stored: &&Stored| clock::takeover(&stored.written) == Takeover::OtherBoot;
        let behind = stored
            .filter(other_boot)
            .map_or(Duration::ZERO, |stored| stored.written.instant.saturating_since(clock::wall()));
        if behind > CLOCK_TOLERANCE {
            let message = format!(
                "The clock shows a time {} s before the state was stored; keys and sequence go on from that time, but \
                 set the clock",
                behind.as_secs()
            );
            journal.record(Event::new(Severity::Warning, "KS_CLOCK_BEHIND", message), now);
        }
    }

    /// Stores a state.
    pub fn keep(&mut self, state: Secret, now: Instant, journal: &mut Journal) {
        let Some(file) = &mut self.file else { return };
        let failed_before = self.unsaved.take().is_some();
        match file.write(&state, now) {
            Ok(()) if failed_before => {
                let event = Event::new(Severity::Notice, "KS_STATE_STORED", "The state is stored again");
                journal.record(event, now);
            }
            Ok(()) => {}
            Err(reason) => {
                if !failed_before {
                    let message = format!("{reason}; nothing is sent until the state can be stored");
                    journal.record(Event::new(Severity::Error, "KS_STATE_FAILED", message), now);
                }
                self.unsaved = Some(Unsaved { state, reason, next_try: now + RETRY });
            }
        }
    }

    /// Tries again what could not be stored. Answers when to come again.
    pub fn retry(&mut self, now: Instant, journal: &mut Journal) -> Option<Instant> {
        if let Some(Unsaved { state, .. }) = self.unsaved.as_ref().filter(|unsaved| unsaved.next_try <= now) {
            let state = state.clone();
            self.keep(state, now, journal);
        }
        self.unsaved.as_ref().map(|unsaved| unsaved.next_try)
    }

    /// Why what was done just now is not in force, if it is not: nobody was told, and a restart would not know of it.
    pub fn shortcoming(&self) -> Option<String> {
        let Unsaved { reason, .. } = self.unsaved.as_ref()?;
        Some(format!(
            "NOT IN FORCE: {reason}. Nothing is sent until the state can be stored, which is tried every second; a restart \
             before that forgets it. `gdoictl show ks` tells when it is stored"
        ))
    }

    /// Whether the last state is stored.
    pub const fn durability(&self) -> Durability {
        match self.unsaved {
            None => Durability::Durable,
            Some(_) => Durability::Lost,
        }
    }

    /// The file's place, for people.
    pub fn place(&self) -> Option<String> {
        self.file.as_ref().map(|file| file.path().display().to_string())
    }
}

fn with_advice(reason: &str) -> String {
    format!(
        "{reason}; restore the file or its key, or start once with --discard-state: all groups get new keys then and \
         all members must register again"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use gdoi::crypto::seal::SealKey;
    use std::fs;
    use std::path::PathBuf;

    fn settings(name: &str) -> (PathBuf, Option<StateSettings>) {
        let directory = std::env::temp_dir().join(format!("gdoi-keeper-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        let key = SealKey::parse(&[1; 32]).unwrap();
        (directory.clone(), Some(StateSettings { directory, key }))
    }

    fn names(journal: &Journal) -> Vec<String> {
        journal.report().events.into_iter().map(|event| event.name).collect()
    }

    #[test]
    fn without_a_key_nothing_is_stored_and_that_is_said() {
        let (mut keeper, stored) = Keeper::open(None, Heritage::Kept).unwrap();
        let (now, mut journal) = (Instant::default(), Journal::default());
        keeper.introduce(stored.as_ref(), now, &mut journal);
        keeper.keep(Secret::from(&b"x"[..]), now, &mut journal);
        assert_eq!(
            (names(&journal), keeper.durability()),
            (vec!["KS_STATE_NOT_STORED".to_owned()], Durability::Durable)
        );
    }

    #[test]
    fn what_cannot_be_stored_is_tried_again() {
        let (directory, settings) = settings("retry");
        let (mut keeper, _) = Keeper::open(settings, Heritage::Kept).unwrap();
        fs::remove_dir_all(&directory).unwrap();
        let (now, mut journal) = (Instant::from_millis(5_000), Journal::default());
        keeper.keep(Secret::from(&b"x"[..]), now, &mut journal);
        keeper.keep(Secret::from(&b"y"[..]), now, &mut journal);
        assert_eq!(keeper.durability(), Durability::Lost);
        assert_eq!(keeper.retry(now, &mut journal), Some(now + RETRY));
        fs::create_dir(&directory).unwrap();
        assert_eq!(keeper.retry(now + RETRY, &mut journal), None);
        assert_eq!(
            (names(&journal), keeper.durability()),
            (vec!["KS_STATE_FAILED".into(), "KS_STATE_STORED".into()], Durability::Durable)
        );
        let stored = keeper.file.as_ref().unwrap().read().unwrap().unwrap();
        assert_eq!(stored.state.expose(), b"y");
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_damaged_state_is_refused_unless_it_is_discarded() {
        let (directory, settings) = settings("damaged");
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("state"), "rubbish").unwrap();
        let refused = Keeper::open(settings.clone(), Heritage::Kept).map(drop).unwrap_err();
        assert!(refused.contains("state: not a sealed state of this version; restore"), "{refused}");
        let (_, stored) = Keeper::open(settings, Heritage::Discarded).unwrap();
        assert_eq!(stored, None);
        fs::remove_dir_all(directory).unwrap();
    }
}
