//! Reading the configuration again while the daemon runs.

use crate::clock::Timestamp;
use crate::config::{self, Loaded, Settings};
use crate::events::{Event, Severity};
use crate::report::{ChangeEntry, ReloadEffect, ReloadReport};
use std::path::{Path, PathBuf};

/// What a reload is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReloadMode {
    /// The changes shall hold.
    Apply,
    /// Only to tell what they would be.
    Preview,
}

/// Reads the configuration again when asked.
#[derive(Debug)]
pub struct Reloader {
    path: PathBuf,
    fingerprint: u64,
}

impl Reloader {
    /// For the file `path`, of which `loaded` is in use.
    pub fn new<T>(path: &Path, loaded: &Loaded<T>) -> Self {
        Reloader { path: path.to_owned(), fingerprint: loaded.fingerprint }
    }

    /// The configuration as it is now; None if it is as it was.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read<F: Settings>(&self) -> Result<Option<Loaded<F::Ready>>, String> {
        let loaded = config::load::<F>(&self.path).map_err(|error| error.to_string())?;
        Ok(Some(loaded).filter(|loaded| loaded.fingerprint != self.fingerprint))
    }

    /// What to say about `changes`, which were made or would be.
    pub fn report(&self, mode: ReloadMode, changes: Vec<ChangeEntry>, warnings: Vec<String>) -> ReloadReport {
        ReloadReport {
            generated_at: Timestamp::now(),
            file: self.path.display().to_string(),
            applied: mode == ReloadMode::Apply,
            changes,
            warnings,
            not_in_force: None,
        }
    }

    /// What was read is in use. While something waits for a restart, the next reload tells of it again.
    pub fn applied(&mut self, fingerprint: u64, changes: &[ChangeEntry]) {
        if changes.iter().all(|change| change.effect != ReloadEffect::Restart) {
            self.fingerprint = fingerprint;
        }
    }
}

/// What the log says of a reload.
pub fn told_of(result: &Result<ReloadReport, String>) -> Vec<Event> {
    let report = match result {
        Ok(report) => report,
        Err(reason) => {
            let message = format!("{reason}; nothing has changed");
            return vec![Event::new(Severity::Error, "CONFIG_REFUSED", message)];
        }
    };
    let warning = |warning: &String| Event::new(Severity::Warning, "CONFIG_WARNING", warning);
    let mut events: Vec<_> = report.warnings.iter().map(warning).collect();
    // Changes of groups are policy: the daemon itself has told of those that it made.
    let told = |change: &&ChangeEntry| change.group.is_none() || change.effect == ReloadEffect::Restart;
    events.extend(report.changes.iter().filter(told).map(change_event));
    if report.changes.is_empty() {
        let message = format!("{} is as it was", report.file);
        events.push(Event::new(Severity::Info, "CONFIG_UNCHANGED", message));
    }
    events
}

fn change_event(change: &ChangeEntry) -> Event {
    let message = format!("{}: {}", change.what, change.meaning);
    let event = match change.effect {
        ReloadEffect::Restart => Event::new(Severity::Warning, "CONFIG_RESTART_NEEDED", message),
        _ => Event::new(Severity::Notice, "CONFIG_APPLIED", message),
    };
    match &change.group {
        Some(group) => event.of_group(group),
        None => event,
    }
}
