//! The kernel's side of the memberships: kept in step, looked after, left in a safe state.

use super::desired::{assign_slots, desired, Guarded, Phase};
use crate::clock;
use crate::config::{FailMode, GroupSettings};
use crate::events::{Event, Journal, Severity};
use gdoi::endpoint::Instant;
use gdoi::View;
use std::net::Ipv4Addr;
use std::time::Duration;
use xfrm::{Counters, Desired, Installed, Kernel, Report};

/// How often the kernel is compared with what it should hold.
const CHECK_INTERVAL: Duration = Duration::from_secs(10);

/// How long groups that have registered wait for those whose protection was adopted: applying ends an
/// adoption, and right after a start all register within moments.
const ADOPTION: Duration = Duration::from_secs(60);

/// The kernel and what it should hold.
pub struct DataPlane {
    kernel: Kernel,
    groups: Vec<Guarded>,
    local: Ipv4Addr,
    started: Instant,
    due: Due,
    error: Option<String>,
    problems: Vec<String>,
}

/// Why the kernel is looked at next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    /// Something has changed here.
    Now(Cause),
    /// To see whether somebody else changed something there.
    At(Instant),
}

/// Why the kernel was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// The daemon starts.
    Start,
    /// A view has changed.
    View,
    /// The kernel does not hold what it held.
    Repair,
    /// The daemon stops.
    Stop,
}

impl DataPlane {
    /// Opens the kernel; GDOI is spoken from `local`.
    ///
    /// # Errors
    /// The kernel cannot be spoken to.
    pub fn open(groups: Vec<GroupSettings>, local: Ipv4Addr) -> Result<Self, xfrm::Error> {
        let mut kernel = Kernel::open()?;
        let installed = kernel.installed()?;
        let mut groups = assign_slots(groups);
        groups.iter_mut().for_each(|group| group.adopted = is_protected(group, &installed));
        let (started, due) = (clock::now(), Due::Now(Cause::Start));
        Ok(DataPlane { kernel, groups, local, started, due, error: None, problems: Vec::new() })
    }

    /// Closes the interfaces of fail-close groups, or leaves them to the keys of the daemon before this one.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn guard(&mut self, journal: &mut Journal) -> Result<(), String> {
        for group in self.groups.iter().filter(|group| group.adopted) {
            let message = "What an earlier run left in the kernel protects until registration is complete";
            let event = Event::new(Severity::Notice, "GM_ADOPTED", message);
            journal.record(event.of_group(&group.settings.group.name), self.started);
        }
        let views = vec![View::default(); self.groups.len()];
        self.refresh(&views, self.started, journal);
        self.error.clone().map_or(Ok(()), Err)
    }

    /// A view has changed.
    pub fn mark_changed(&mut self) {
        self.due = Due::Now(Cause::View);
    }

    /// A group gets other settings, as far as they need no restart.
    pub fn reconfigure(&mut self, new: &GroupSettings) {
        let named = |group: &&mut Guarded| group.settings.group.name == new.group.name;
        self.groups.iter_mut().filter(named).for_each(|group| group.settings.adopt(new));
        self.mark_changed();
    }

    /// Whether [`Self::refresh`] has something to do.
    pub fn is_due(&self, now: Instant) -> bool {
        self.next_check() <= now
    }

    /// When the kernel is looked at next.
    pub const fn next_check(&self) -> Instant {
        match self.due {
            Due::Now(_) => Instant::from_millis(0),
            Due::At(time) => time,
        }
    }

    /// Makes the kernel hold what the views say.
    pub fn refresh(&mut self, views: &[View], now: Instant, journal: &mut Journal) {
        let cause = match self.due {
            Due::Now(cause) => cause,
            Due::At(_) => Cause::Repair,
        };
        self.due = Due::At(now + CHECK_INTERVAL);
        if waits_for_adopted(&self.groups, views, now.saturating_since(self.started)) {
            return;
        }
        for (group, view) in self.groups.iter_mut().zip(views) {
            group.adopted &= !view.registered;
        }
        let wanted = desired(&self.groups, views, self.local, Phase::Running, now);
        self.apply(wanted, cause, now, journal);
    }

    /// Leaves the kernel as it should be while no daemon runs.
    pub fn release(&mut self, views: &[View], now: Instant, journal: &mut Journal) {
        let keeps = |group: &Guarded| group.adopted && group.settings.fail == FailMode::Close;
        if self.groups.iter().zip(views).any(|(group, view)| keeps(group) && !view.registered) {
            return;
        }
        let wanted = desired(&self.groups, views, self.local, Phase::Stopping, now);
        self.apply(wanted, Cause::Stop, now, journal);
    }

    /// The groups and their places.
    pub fn groups(&self) -> &[Guarded] {
        &self.groups
    }

    /// Why the kernel does not hold what it should.
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// What could not be done on some interface.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// What the kernel has counted.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn counters(&mut self) -> Result<Counters, xfrm::Error> {
        self.kernel.counters()
    }

    fn apply(&mut self, wanted: Result<Desired, String>, cause: Cause, now: Instant, journal: &mut Journal) {
        let result = wanted.and_then(|wanted| self.kernel.apply(&wanted).map_err(|error| error.to_string()));
        match result {
            Ok(report) => self.succeeded(report, cause, now, journal),
            Err(reason) => self.failed(reason, now, journal),
        }
    }

    fn succeeded(&mut self, report: Report, cause: Cause, now: Instant, journal: &mut Journal) {
        let news = report.problems.iter().filter(|problem| !self.problems.contains(problem));
        news.for_each(|problem| {
            journal.record(Event::new(Severity::Warning, "GM_DATAPLANE_PROBLEM", problem), now)
        });
        self.problems = report.problems;
        self.error = None;
        if !report.changes.is_empty() {
            journal.record(change_event(&report.changes, cause), now);
        }
    }

    fn failed(&mut self, reason: String, now: Instant, journal: &mut Journal) {
        if self.error.as_ref() != Some(&reason) {
            let message = format!("The kernel does not hold what it should: {reason}");
            journal.record(Event::new(Severity::Error, "GM_INSTALL_POLICIES_FAILED", message), now);
        }
        self.error = Some(reason);
    }
}

fn change_event(changes: &[String], cause: Cause) -> Event {
    tracing::debug!("changes in the kernel: {}", changes.join("; "));
    let count = changes.len();
    let (severity, name, message) = match cause {
        Cause::Start => {
            (Severity::Info, "GM_GUARD", "The interfaces are guarded until registration is complete".into())
        }
        Cause::View => {
            let message = format!("Policies and keys are in the kernel ({count} changes)");
            (Severity::Info, "GM_INSTALL_POLICIES_SUCCESS", message)
        }
        Cause::Repair => {
            let message = format!(
                "The kernel did not hold what it should, {count} things are put right: {}",
                first(changes)
            );
            (Severity::Warning, "GM_POLICIES_REPAIRED", message)
        }
        Cause::Stop => (
            Severity::Notice,
            "GM_STOP",
            "Keys are removed; traffic of fail-close groups stays blocked".into(),
        ),
    };
    Event::new(severity, name, message)
}

fn first(changes: &[String]) -> String {
    let more = if changes.len() > 3 { "; ..." } else { "" };
    changes.iter().take(3).cloned().collect::<Vec<_>>().join("; ") + more
}

/// Whether every interface of the group is protected already, in the group's own place.
fn is_protected(group: &Guarded, installed: &Installed) -> bool {
    let protecting = installed.protecting();
    let mut places = group.settings.interfaces.iter().zip(&group.slots);
    places.all(|(name, slot)| {
        protecting.iter().any(|plane| plane.slot == *slot && plane.interface == name.as_str())
    })
}

/// Whether the kernel must not be touched yet: what it holds protects a group that has not registered.
fn waits_for_adopted(groups: &[Guarded], views: &[View], uptime: Duration) -> bool {
    let waiting = groups.iter().zip(views).any(|(group, view)| group.adopted && !view.registered);
    let registered = views.iter().any(|view| view.registered);
    waiting && (!registered || uptime < ADOPTION)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{MemberFile, Settings, Source};
    use std::path::Path;

    fn groups() -> Vec<Guarded> {
        let text = r#"groups:
  - {name: a, identity-number: 1, servers: [192.0.2.10], interfaces: [wan0], pre-shared-key: "only for tests"}
  - {name: b, identity-number: 2, servers: [192.0.2.10], interfaces: [wan0], pre-shared-key: "only for tests"}
"#;
        let mut source = Source::from_text(Path::new("gm.yaml"), text);
        let file: MemberFile = source.parse().unwrap();
        assign_slots(file.settle(&mut source).unwrap().groups.into_iter().map(|(group, _)| group).collect())
    }

    #[test]
    fn adopted_protection_stays_until_all_have_registered_or_waited_long() {
        let mut groups = groups();
        let view = |registered| View { registered, ..View::default() };
        let soon = Duration::from_secs(1);
        assert!(!waits_for_adopted(&groups, &[view(false), view(false)], soon));
        groups[0].adopted = true;
        assert!(waits_for_adopted(&groups, &[view(false), view(false)], ADOPTION * 100));
        assert!(waits_for_adopted(&groups, &[view(false), view(true)], soon));
        assert!(!waits_for_adopted(&groups, &[view(false), view(true)], ADOPTION));
        assert!(!waits_for_adopted(&groups, &[view(true), view(false)], soon));
    }

    #[test]
    fn changes_are_told_by_their_cause() {
        let changes: Vec<String> = (1..=5).map(|number| format!("change {number}")).collect();
        let wanted = change_event(&changes, Cause::View);
        assert_eq!((wanted.severity, wanted.name.as_str()), (Severity::Info, "GM_INSTALL_POLICIES_SUCCESS"));
        let repaired = change_event(&changes, Cause::Repair);
        assert_eq!((repaired.severity, repaired.name.as_str()), (Severity::Warning, "GM_POLICIES_REPAIRED"));
        assert!(
            repaired.message.ends_with("5 things are put right: change 1; change 2; change 3; ..."),
            "{repaired:?}"
        );
    }
}
