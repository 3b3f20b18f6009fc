//! Tells other programs what happens to the traffic of each group: by a file for each, which is replaced by rename, and by a
//! program that is run when it changes.
//!
//! ```text
//! encrypting                       the word of `show gm`
//! until 2026-01-31T13:00:00Z       when the kernel blocks if no daemon gives it other keys; not there where nothing ends
//! ```
//! So a reader sees from the file alone that a daemon has died: what it says holds until then, and no longer.

mod hook;

use crate::clock::Timestamp;
use crate::events::{Event, Journal, Severity};
use crate::report::Protection;
use gdoi::endpoint::Instant;
use hook::Runner;
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long the program may take in all when the daemon ends.
const PARTING: Duration = Duration::from_secs(15);

/// The longest of our files, in octets.
const LONGEST: u64 = 200;

/// What is true of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// What happens to its traffic.
    pub protection: Protection,
    /// When the kernel blocks it by itself.
    pub until: Option<Instant>,
}

/// What others were told last.
#[derive(Debug)]
pub struct Publication {
    directory: PathBuf,
    runner: Runner,
    /// By the group's name; None where the file is not there yet.
    told: BTreeMap<String, State>,
    /// Why files cannot be written.
    failed: Option<String>,
}

impl Publication {
    /// Files in this directory, which is made, and this program. What is there of groups that are no more is removed.
    pub fn new(directory: &Path, program: Option<PathBuf>, groups: &[String]) -> Self {
        forget(directory, groups);
        let (told, failed) = (BTreeMap::new(), None);
        Publication { directory: directory.to_owned(), runner: Runner::of(program), told, failed }
    }

    /// Runs this program from now on, which is told of all groups if it is another one.
    pub fn run(&mut self, program: Option<PathBuf>) {
        if self.runner.replace(program) {
            self.told.iter().for_each(|(group, state)| self.runner.tell(group, state.protection.word()));
        }
    }

    /// The group is in this state.
    pub fn tell(&mut self, group: &str, state: State, now: Instant, journal: &mut Journal) {
        let before = self.told.get(group).copied();
        if before == Some(state) {
            return;
        }
        let written = self.write(group, state, now);
        if before.map(|before| before.protection) != Some(state.protection) {
            self.runner.tell(group, state.protection.word());
        }
        if written.is_ok() {
            self.told.insert(group.to_owned(), state);
        }
        self.judge(written, now, journal);
    }

    /// Another program can run. May be dropped at any time without loss.
    pub async fn done(&self) {
        self.runner.ready().await;
    }

    /// Takes in what became of the program.
    pub fn settle(&mut self, now: Instant, journal: &mut Journal) {
        if let Some(failure) = self.runner.settle() {
            journal.record(Event::new(Severity::Warning, "GM_HOOK_FAILED", failure), now);
        }
    }

    /// No daemon gives the kernel other keys from now on, which it uses so long at most.
    pub fn leave(&mut self, limit: Duration, now: Instant, journal: &mut Journal) {
        let uses_keys =
            |state: &State| state.protection.is_encrypted() || state.protection == Protection::Adopted;
        for (group, state) in self.told.clone().into_iter().filter(|(_, state)| uses_keys(state)) {
            let until = state.until.into_iter().chain([now + limit]).min();
            let written = self.write(&group, State { until, ..state }, now);
            self.judge(written, now, journal);
        }
    }

    /// Waits until the program knows all that there is to know.
    pub fn conclude(&mut self, now: Instant, journal: &mut Journal) {
        for failure in self.runner.conclude(PARTING) {
            journal.record(Event::new(Severity::Warning, "GM_HOOK_FAILED", failure), now);
        }
    }

    fn write(&self, group: &str, state: State, now: Instant) -> io::Result<()> {
        let until = state.until.map(|until| format!("until {}\n", Timestamp::at(until, now)));
        let text = format!("{}\n{}", state.protection.word(), until.unwrap_or_default());
        // Everybody may read it, whatever the process's mask is.
        if !self.directory.is_dir() {
            DirBuilder::new().recursive(true).mode(0o755).create(&self.directory)?;
            fs::set_permissions(&self.directory, Permissions::from_mode(0o755))?;
        }
        // No group has such a name.
        let new = self.directory.join(format!("{group}~"));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(&new)?;
        file.set_permissions(Permissions::from_mode(0o644))?;
        file.write_all(text.as_bytes())?;
        fs::rename(new, self.directory.join(group))
    }

    /// It is tried again with the next change, and told once.
    fn judge(&mut self, written: io::Result<()>, now: Instant, journal: &mut Journal) {
        let failed = written.err().map(|error| format!("{}: {error}", self.directory.display()));
        if let Some(reason) = failed.as_ref().filter(|_| failed != self.failed) {
            let message =
                format!("Other programs are not told by files what happens to the groups' traffic: {reason}");
            journal.record(Event::new(Severity::Warning, "GM_STATE_FAILED", message), now);
        }
        self.failed = failed;
    }
}

/// Only what looks like one of ours is removed: somebody may have named a directory with other things in it.
fn forget(directory: &Path, groups: &[String]) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !groups.iter().any(|group| group == name) && is_ours(&path) {
            let _ = fs::remove_file(&path);
        }
    }
}

fn is_ours(path: &Path) -> bool {
    let is_small = fs::symlink_metadata(path).is_ok_and(|found| found.is_file() && found.len() <= LONGEST);
    let text = if is_small { fs::read_to_string(path).unwrap_or_default() } else { String::new() };
    let mut lines = text.lines();
    let word = lines.next().unwrap_or_default();
    Protection::ALL.iter().any(|one| one.word() == word) && lines.all(|line| line.starts_with("until "))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("gdoi-groups-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            Scratch(path)
        }

        fn text(&self, group: &str) -> String {
            fs::read_to_string(self.0.join(group)).unwrap_or_default()
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    const HOUR: Duration = Duration::from_secs(3_600);

    #[test]
    fn a_file_says_what_holds_and_how_long_without_a_daemon() {
        let scratch = Scratch::new("file");
        let (mut journal, now) = (Journal::default(), crate::clock::now());
        let mut publication = Publication::new(&scratch.0, None, &["corp".into()]);
        let closed = State { protection: Protection::Closed, until: None };
        publication.tell("corp", closed, now, &mut journal);
        assert_eq!(scratch.text("corp"), "closed\n");
        let encrypting = State { protection: Protection::Encrypting, until: Some(now + HOUR) };
        publication.tell("corp", encrypting, now, &mut journal);
        let line = |text: &str| {
            text.strip_prefix("encrypting\nuntil ").unwrap().trim().parse::<Timestamp>().unwrap()
        };
        let end = line(&scratch.text("corp"));
        assert!((3_595..=3_601).contains(&end.seconds_after(Timestamp::now())));
        publication.leave(HOUR / 60, now, &mut journal);
        assert!(line(&scratch.text("corp")).seconds_after(Timestamp::now()) <= 61);
        publication.tell("corp", closed, now, &mut journal);
        publication.leave(HOUR, now, &mut journal);
        assert_eq!(scratch.text("corp"), "closed\n", "it is so without end");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&scratch.0), mode(&scratch.0.join("corp"))), (0o755, 0o644));
    }

    #[test]
    fn another_program_is_told_of_all_groups() {
        let scratch = Scratch::new("told");
        let (mut journal, now) = (Journal::default(), Instant::default());
        let groups = ["a".to_owned(), "b".to_owned()];
        let mut publication = Publication::new(&scratch.0, None, &groups);
        let closed = State { protection: Protection::Closed, until: None };
        groups.iter().for_each(|group| publication.tell(group, closed, now, &mut journal));
        publication.run(Some("/bin/false".into()));
        publication.conclude(now, &mut journal);
        let told = |journal: &Journal| {
            journal.report().events.iter().map(|event| event.message.clone()).collect::<Vec<_>>()
        };
        let all = ["/bin/false for a closed: exit status: 1", "/bin/false for b closed: exit status: 1"];
        assert_eq!(told(&journal), all);
        publication.run(Some("/bin/false".into()));
        publication.tell("a", closed, now, &mut journal);
        publication.conclude(now, &mut journal);
        assert_eq!(told(&journal), all, "once");
    }

    #[test]
    fn groups_that_are_no_more_have_no_file_and_others_files_stay() {
        let scratch = Scratch::new("gone");
        fs::create_dir_all(&scratch.0).unwrap();
        for (name, text) in
            [("corp", "closed\n"), ("old", "blocked\n"), ("passwd", "root:x:0\n"), ("old~", "open\n")]
        {
            fs::write(scratch.0.join(name), text).unwrap();
        }
        Publication::new(&scratch.0, None, &["corp".into()]);
        let mut left: Vec<_> =
            fs::read_dir(&scratch.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["corp", "passwd"]);
    }

    #[test]
    fn what_cannot_be_written_is_told_once() {
        let (mut journal, now) = (Journal::default(), Instant::default());
        let mut publication = Publication::new(Path::new("/proc/nowhere"), None, &[]);
        for protection in [Protection::Closed, Protection::Blocked] {
            publication.tell("corp", State { protection, until: None }, now, &mut journal);
        }
        assert_eq!(journal.report().events.len(), 1);
    }
}
