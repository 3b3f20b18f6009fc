//! Texts about what a command changed.

use crate::report::{ActionReport, ChangeEntry, ReloadReport};

/// The text of `reload`.
pub fn reload(report: &ReloadReport) -> String {
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

/// The text of what an operator made a key server do.
pub fn action(report: &ActionReport) -> String {
    let line = |entry: &crate::report::ActionEntry| {
        format!("Group {} ({}): {}\n", entry.group.name, entry.group.identity_number, entry.done)
    };
    report.groups.iter().map(line).collect()
}
