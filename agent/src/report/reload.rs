//! The answers to commands that change something.

use super::GroupLabel;
use crate::clock::Timestamp;
use serde::{Deserialize, Serialize};

/// The answer to `reload`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadReport {
    /// When this was true.
    pub generated_at: Timestamp,
    /// The configuration file.
    pub file: String,
    /// Whether the changes were made; otherwise they only would be.
    pub applied: bool,
    /// What differs from what is in use.
    pub changes: Vec<ChangeEntry>,
    /// What deserves attention in the file, one line each.
    pub warnings: Vec<String>,
    /// Why the changes do not hold yet although they were made, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_in_force: Option<String>,
}

/// One thing that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeEntry {
    /// The group's name, if it is about one.
    pub group: Option<String>,
    /// What differs, as the configuration names it.
    pub what: String,
    /// When it holds.
    pub effect: ReloadEffect,
    /// The same in words.
    pub meaning: String,
}

/// When a change holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReloadEffect {
    /// Now.
    AtOnce,
    /// For registered members with the next rekey.
    NextRekey,
    /// For registered members when they register again by themselves.
    NextRegistration,
    /// Now: all members are told to register again.
    Reregistration,
    /// When the key server that leads the group tells its members.
    ByPrimary,
    /// After a restart of the daemon.
    Restart,
}

impl ChangeEntry {
    /// A change of the daemon's own settings that holds at once.
    pub fn at_once(group: Option<&str>, what: &str) -> Self {
        Self::new(group, what, ReloadEffect::AtOnce, "applied at once")
    }

    /// One that the daemon cannot make while it runs.
    pub fn restart(group: Option<&str>, what: &str) -> Self {
        Self::new(group, what, ReloadEffect::Restart, "needs a restart of the daemon")
    }

    /// Any change.
    pub fn new(group: Option<&str>, what: &str, effect: ReloadEffect, meaning: impl ToString) -> Self {
        ChangeEntry {
            group: group.map(str::to_owned),
            what: what.to_owned(),
            effect,
            meaning: meaning.to_string(),
        }
    }
}

/// The answer to `ks rekey`, `ks remove`, `ks readmit` and `gm detach`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionReport {
    /// When this was true.
    pub generated_at: Timestamp,
    /// What was done, group by group.
    pub groups: Vec<ActionEntry>,
    /// Why it does not hold yet, if so: nobody was told, and a restart forgets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_in_force: Option<String>,
}

/// What was done in one group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionEntry {
    /// Its name and number.
    #[serde(flatten)]
    pub group: GroupLabel,
    /// What was done, in words.
    pub done: String,
}

/// The text of `reload`.
pub fn text(report: &ReloadReport) -> String {
    let warnings = report.warnings.iter().map(|warning| format!("warning: {warning}\n"));
    let file = &report.file;
    let head = match (report.changes.is_empty(), report.applied) {
        (true, _) => format!("{file}: nothing has changed\n"),
        (false, true) => format!("{file}: applied\n"),
        (false, false) => format!("{file}: would change, nothing is applied\n"),
    };
    warnings.collect::<String>() + &head + &report.changes.iter().map(change).collect::<String>()
}

fn change(change: &ChangeEntry) -> String {
    let group = change.group.as_ref().map_or(String::new(), |group| format!("group {group}: "));
    format!("  {group}{}: {}\n", change.what, change.meaning)
}

/// The text of what an operator made a daemon do.
pub fn action(report: &ActionReport) -> String {
    let line = |entry: &ActionEntry| {
        format!("Group {} ({}): {}\n", entry.group.name, entry.group.identity_number, entry.done)
    };
    report.groups.iter().map(line).collect()
}
