//! What operators make a member do.

use super::closing::Store;
use super::desired::Guarded;
use super::publication::State;
use super::start::refuse_company;
use super::{reload, GroupMember};
use crate::clock::Timestamp;
use crate::config::{self, FailMode, MemberFile, MemberSettings};
use crate::control::{Answer, Asker};
use crate::events::{Event, Severity};
use crate::report::{
    ActionEntry, ActionReport, ChangeEntry, Detachment, GroupLabel, Protection, ReloadEffect,
};
use gdoi::endpoint::Instant;
use gdoi::MemberCommand;
use std::collections::BTreeSet;
use std::path::Path;
use xfrm::Kernel;

/// Takes everything out of the kernel that a stopped daemon left there.
///
/// # Errors
/// Why it cannot be done.
pub fn remove(config: &Path, store: &Store) -> Result<(), String> {
    let interfaces = of_stopped(config, store)?;
    let removed =
        Kernel::open().and_then(|mut kernel| kernel.remove_all()).map_err(|error| error.to_string())?;
    removed.changes.iter().for_each(|change| println!("{change}"));
    eprintln!("WARNING: {}", in_clear(&interfaces));
    Ok(())
}

/// What [`remove`] would do, for one who did not say that it shall be done.
///
/// # Errors
/// Always: nothing is done.
pub fn explain_removal(config: &Path, store: &Store) -> Result<(), String> {
    let interfaces = of_stopped(config, store)?;
    Err(format!(
        "Nothing is removed. With --yes-send-in-clear, {}\nThe next start of gdoi-gm protects again.",
        in_clear(&interfaces)
    ))
}

/// The interfaces of a daemon that does not run: of its configuration, or where that has an error, which may be why it does
/// not run, of what it protected last.
fn of_stopped(config: &Path, store: &Store) -> Result<BTreeSet<String>, String> {
    let (socket, interfaces) = match (config::load::<MemberFile>(config), store.read()) {
        (Ok(loaded), _) => {
            let MemberSettings { groups, control_socket, .. } = loaded.settings;
            let all = groups.iter().flat_map(|(group, _)| &group.interfaces);
            (control_socket, all.map(ToString::to_string).collect())
        }
        (Err(_), Ok(Some(stored))) => {
            let planes = stored.planes_of_this_boot();
            (stored.control_socket, planes.iter().map(|plane| plane.interface.to_string()).collect())
        }
        (Err(error), _) => return Err(error.to_string()),
    };
    refuse_company(&socket)?;
    Ok(interfaces)
}

fn in_clear(interfaces: &BTreeSet<String>) -> String {
    let names: Vec<_> = interfaces.iter().map(String::as_str).collect();
    format!("ALL TRAFFIC PASSES IN CLEAR on {}.", names.join(", "))
}

/// What happens to a group's traffic without keys and without a daemon.
fn after_end(group: &Guarded) -> Protection {
    match (&group.detached, group.settings.fail) {
        (Some(_), _) => Protection::Detached,
        (None, FailMode::Open) => Protection::Open,
        (None, FailMode::Close) => Protection::Blocked,
    }
}

impl GroupMember {
    /// Registers again, and protects what was detached.
    pub(super) fn register(&mut self, name: Option<&str>, asker: &Asker, now: Instant) -> Answer {
        let chosen = match self.chosen(name) {
            Ok(chosen) => chosen,
            Err(reason) => return Answer::Error(reason),
        };
        for label in &chosen {
            if self.dataplane.attach(&label.name) {
                // What it sent with was taken out of the kernel, and must not count anew.
                self.renew(std::slice::from_ref(&label.name), now);
                let event =
                    Event::new(Severity::Notice, "GM_ATTACHED", format!("Protected again, by {asker}"));
                self.journal.record(event.of_group(&label.name), now);
            }
        }
        let chosen: Vec<_> = chosen.iter().filter_map(|label| self.doors.find(&label.name)).collect();
        if let Some(problem) = chosen.iter().find_map(|index| self.doors.problem_of(*index)) {
            return Answer::Error(problem);
        }
        for index in chosen {
            if let Err(reason) = self.doors.handle_command(index, MemberCommand::Register, now) {
                return Answer::Error(reason.to_string());
            }
        }
        Answer::of(&serde_json::Value::Null)
    }

    /// Takes groups out of the kernel, at once, and nothing else ever does; the memberships go on.
    pub(super) fn detach(
        &mut self,
        name: Option<&str>,
        asker: &Asker,
        now: Instant,
    ) -> Result<ActionReport, String> {
        let mut groups = Vec::new();
        for group in self.chosen(name)? {
            let detachment = Detachment { since: Timestamp::now(), by: asker.to_string() };
            let done = match self.dataplane.detach(&group.name, detachment) {
                true => self.detached(&group, asker, now),
                false => "is detached already".to_owned(),
            };
            groups.push(ActionEntry { group, done });
        }
        let done = self.dataplane.refresh_at_once(now, &mut self.journal);
        match done.err().as_deref().or(self.dataplane.error()) {
            Some(reason) => {
                Err(format!("it is tried again, but the protection is not removed yet: {reason}"))
            }
            None => Ok(ActionReport { generated_at: Timestamp::now(), groups, not_in_force: None }),
        }
    }

    /// Ends the use of keys, and then the daemon.
    pub(super) fn end(&mut self, asker: &Asker, now: Instant) -> Result<ActionReport, String> {
        let event = Event::new(
            Severity::Notice,
            "GM_STOP",
            format!("The daemon ends and its keys with it, by {asker}"),
        );
        self.journal.record(event, now);
        self.dataplane.release(now, &mut self.journal).map_err(|reason| {
            format!("the daemon goes on, because the keys cannot be taken out of the kernel: {reason}")
        })?;
        self.over = true;
        let views =
            self.dataplane.groups().iter().map(|group| (group.settings.group.name.clone(), after_end(group)));
        for (group, protection) in views.collect::<Vec<_>>() {
            self.publication.tell(&group, State { protection, until: None }, now, &mut self.journal);
        }
        let entry = |group: &Guarded| ActionEntry {
            group: GroupLabel::from(&group.settings.group),
            done: match after_end(group) {
                Protection::Detached => "was detached: all traffic passes IN CLEAR",
                Protection::Open => "is open: all traffic passes IN CLEAR",
                _ => "is blocked until the daemon starts again",
            }
            .to_owned(),
        };
        let groups = self.dataplane.groups().iter().map(entry).collect();
        Ok(ActionReport { generated_at: Timestamp::now(), groups, not_in_force: None })
    }

    fn detached(&mut self, group: &GroupLabel, asker: &Asker, now: Instant) -> String {
        let own = reload::find(&self.settings, &group.name).map(|(group, _)| &group.interfaces);
        let interfaces: Vec<_> = own.into_iter().flatten().map(ToString::to_string).collect();
        let message = format!(
            "DETACHED by {asker}: the group's traffic passes IN CLEAR on {} until `gdoictl gm register` or a restart",
            interfaces.join(", ")
        );
        self.journal
            .record(Event::new(Severity::Critical, "GM_DETACHED", &message).of_group(&group.name), now);
        message
    }

    /// The group of this name, or all.
    fn chosen(&self, name: Option<&str>) -> Result<Vec<GroupLabel>, String> {
        let wanted = |label: &GroupLabel| name.is_none_or(|name| label.name == name);
        let labels = self.settings.groups.iter().map(|(group, _)| GroupLabel::from(&group.group));
        let chosen: Vec<_> = labels.filter(wanted).collect();
        match (chosen.is_empty(), name) {
            (true, Some(name)) => Err(format!("there is no group `{name}`")),
            _ => Ok(chosen),
        }
    }

    /// Takes over what needs no restart.
    pub(super) fn adopt(&mut self, new: MemberSettings, changes: &[ChangeEntry], now: Instant) {
        for (group, _) in &new.groups {
            self.dataplane.reconfigure(group);
        }
        for (group, _) in &mut self.settings.groups {
            if let Some((changed, _)) = reload::find(&new, &group.group.name) {
                group.adopt(changed);
            }
        }
        self.publication.run(new.on_change.clone());
        self.settings.on_change = new.on_change;
        let at_once = |change: &&ChangeEntry| change.effect == ReloadEffect::AtOnce && change.group.is_some();
        for change in changes.iter().filter(at_once) {
            let message = format!("{}: {}", change.what, change.meaning);
            let event = Event::new(Severity::Notice, "POLICY_CHANGE", message);
            self.journal.record(event.of_group(change.group.as_deref().unwrap_or_default()), now);
        }
    }
}
