//! `gdoictl show gm --wait`: for programs that need a group to work, or not to.

use super::command::Wait;
use super::{exchange, Failure};
use crate::control::Request;
use crate::report::{member, MemberReport};
use serde_json::Value;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// How often the daemon is asked.
const PAUSE: Duration = Duration::from_millis(200);

/// The exit status of one who has waited in vain.
const NOT_IN_TIME: u8 = 3;

/// Waits until the chosen groups are in the state, and shows them. A daemon that does not run may come.
pub fn wait(socket: &Path, wait: &Wait, as_json: bool) -> Result<String, Failure> {
    let begun = Instant::now();
    loop {
        if let Ok(report) = exchange(socket, &Request::ShowGm) {
            let read: MemberReport = super::read(report.clone())?;
            if is_so(&read, wait)? {
                return shown(&read, report, as_json);
            }
        }
        match wait.timeout {
            Some(limit) if begun.elapsed() >= Duration::from_secs(limit) => return Err(in_vain(wait, limit)),
            _ => thread::sleep(PAUSE),
        }
    }
}

fn is_so(report: &MemberReport, wait: &Wait) -> Result<bool, String> {
    let chosen = |name: &str| wait.group.as_ref().is_none_or(|group| group == name);
    let groups: Vec<_> = report.groups.iter().filter(|group| chosen(&group.group.name)).collect();
    match (groups.is_empty(), &wait.group) {
        (true, Some(name)) => Err(format!("gdoictl: there is no group `{name}`")),
        _ => Ok(groups.iter().all(|group| Some(group.protection) == wait.wait)),
    }
}

fn shown(read: &MemberReport, report: Value, as_json: bool) -> Result<String, Failure> {
    match as_json {
        true => Ok(serde_json::to_string_pretty(&report).map_err(|error| error.to_string())? + "\n"),
        false => Ok(member::overview(read)),
    }
}

fn in_vain(wait: &Wait, limit: u64) -> Failure {
    let word = wait.wait.map_or("", |state| state.word());
    Failure { reason: format!("gdoictl: not {word} within {limit} s"), status: NOT_IN_TIME }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Protection;

    #[test]
    fn a_daemon_that_does_not_come_is_waited_for_and_no_longer() {
        let wanted = Wait { wait: Some(Protection::Encrypting), timeout: Some(0), group: None };
        let failure = wait(Path::new("/nonexistent/gm.sock"), &wanted, false).unwrap_err();
        assert_eq!((failure.status, failure.reason.as_str()), (3, "gdoictl: not encrypting within 0 s"));
    }

    #[test]
    fn all_groups_or_the_one_that_is_meant() {
        let mut group = crate::ctl::tests::member_group();
        let mut other = group.clone();
        (other["name"], other["protection"]) = ("b".into(), "blocked".into());
        group["name"] = "a".into();
        let report = serde_json::json!({"generated_at": "2026-01-31T12:00:00Z", "groups": [group, other],
            "dataplane_error": null, "dataplane_problems": []});
        let report: MemberReport = serde_json::from_value(report).unwrap();
        let so = |group: Option<&str>, state| {
            is_so(&report, &Wait { wait: Some(state), timeout: None, group: group.map(str::to_owned) })
        };
        assert_eq!(so(None, Protection::Encrypting), Ok(false));
        assert_eq!(so(Some("a"), Protection::Encrypting), Ok(true));
        assert_eq!(so(Some("b"), Protection::Blocked), Ok(true));
        assert!(so(Some("c"), Protection::Blocked).is_err());
    }
}
