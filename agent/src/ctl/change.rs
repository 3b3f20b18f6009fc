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

/// What is said to one who did not say that it shall be.
pub fn detachment(group: Option<&str>) -> String {
    let (whose, argument) = match group {
        Some(group) => (format!("the group {group}"), format!(" {group}")),
        None => ("all groups".to_owned(), String::new()),
    };
    format!(
        "Nothing is done. This would take the protection of {whose} out of the kernel: traffic that is encrypted now would \
         pass IN CLEAR, in both directions, and nothing would be blocked, until `gdoictl gm register{argument}` or a \
         restart of gdoi-gm. Other members would go on encrypting and refuse what comes in clear.\n\
         If this is what you want: gdoictl gm detach{argument} --yes-send-in-clear"
    )
}

/// The text of what an operator made a daemon do.
pub fn action(report: &ActionReport) -> String {
    let line = |entry: &crate::report::ActionEntry| {
        format!("Group {} ({}): {}\n", entry.group.name, entry.group.identity_number, entry.done)
    };
    report.groups.iter().map(line).collect()
}
