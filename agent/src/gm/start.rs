//! How a member daemon begins.

use super::dataplane::DataPlane;
use super::ears::Ears;
use super::membership::Memberships;
use super::speaker::Speaker;
use super::GroupMember;
use crate::addresses::{self, Addresses};
use crate::clock;
use crate::config::MemberSettings;
use crate::control;
use crate::daemon::reload::Reloader;
use crate::daemon::{open_door, Started};
use crate::events::{Event, Journal, Severity};
use xfrm::Problem;

impl GroupMember {
    /// Guards the interfaces before anything else happens, so that a start that fails later on is closed, too.
    pub(super) fn start(settings: MemberSettings, reloader: Reloader) -> Result<Started<Self>, String> {
        let mut journal = Journal::default();
        refuse_company(&settings)?;
        refuse_shortcomings(&mut journal)?;
        let own = addresses::of_this_host().unwrap_or_default();
        let speaker = Speaker::new(&settings, &own).ok_or("there is no group")?;
        let groups: Vec<_> = settings.groups.iter().map(|(group, _)| group.clone()).collect();
        let ears = Ears::open(&mut journal);
        let mut dataplane =
            DataPlane::open(groups, speaker.local()).map_err(|error| format!("the kernel: {error}"))?;
        dataplane.guard(&mut journal)?;
        refuse_own_servers(&settings, &own)?;
        tell_of_waiting(&speaker, &mut journal);
        let socket = open_door(speaker.door())?;
        let memberships = Memberships::new(settings.groups.clone(), speaker.address());
        let control = settings.control_socket.clone();
        let daemon = GroupMember {
            settings,
            speaker,
            socket,
            memberships,
            dataplane,
            ears,
            journal,
            reloader,
            moving: None,
        };
        Ok((daemon, control))
    }
}

/// A second daemon would take the kernel away from the first.
pub fn refuse_company(settings: &MemberSettings) -> Result<(), String> {
    match control::is_served(&settings.control_socket) {
        true => Err(format!("{}: a daemon is running already", settings.control_socket.display())),
        false => Ok(()),
    }
}

fn tell_of_waiting(speaker: &Speaker, journal: &mut Journal) {
    if let Some(problem) = speaker.problem() {
        journal.record(Event::new(Severity::Warning, "GM_ADDRESS_MISSING", problem), clock::now());
    }
}

fn refuse_shortcomings(journal: &mut Journal) -> Result<(), String> {
    let mut fatal = Vec::new();
    for problem in xfrm::preflight() {
        match problem {
            Problem::Fatal(line) => fatal.push(line),
            Problem::Warning(line) => {
                journal.record(Event::new(Severity::Warning, "GM_PREFLIGHT", line), clock::now());
            }
        }
    }
    match fatal.is_empty() {
        true => Ok(()),
        false => Err(fatal.join("\n")),
    }
}

fn refuse_own_servers(settings: &MemberSettings, own: &Addresses) -> Result<(), String> {
    let mut servers = settings.groups.iter().flat_map(|(group, _)| &group.servers);
    match servers.find(|server| own.has(server.ip())) {
        None => Ok(()),
        Some(server) => Err(format!(
            "{} is an address of this host: a host is a member or a key server of a group, never both",
            server.ip()
        )),
    }
}
