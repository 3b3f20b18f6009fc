//! `gdoi-gm`: the group member daemon, which keeps the kernel in step with its memberships.

mod dataplane;
mod desired;
mod membership;
mod status;

use crate::addresses;
use crate::config::{self, MemberFile, MemberSettings};
use crate::control::{self, Answer, Request};
use crate::daemon::{self, Doors, Reloader};
use crate::drive::Service;
use crate::events::{Event, Journal, Severity};
use clap::Parser;
use dataplane::DataPlane;
use gdoi::endpoint::{Endpoint, Instant};
use gdoi::{MemberCommand, MemberEvent};
use membership::{GroupIndex, Memberships};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use xfrm::{Kernel, Problem};

/// Joins GDOI groups (RFC 6407) and encrypts their traffic under its own IP header.
///
/// SIGHUP checks the configuration again. SIGTERM stops and leaves protected traffic blocked (fail-close) or
/// in clear (fail-open).
#[derive(Debug, Parser)]
#[command(name = "gdoi-gm", version)]
struct Cli {
    /// The configuration file
    #[arg(long, default_value = "/etc/gdoi/gm.yaml")]
    config: PathBuf,
    /// Check the configuration and exit
    #[arg(long)]
    check: bool,
    /// Remove everything that a stopped daemon left in the kernel and exit: all traffic passes in clear then
    #[arg(long, conflicts_with = "check")]
    remove: bool,
}

/// Runs `gdoi-gm` with the process's arguments.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    if cli.check {
        daemon::check::<MemberFile>(&cli.config)
    } else if cli.remove {
        daemon::conclude(remove(&cli.config))
    } else {
        daemon::run::<MemberFile, _>(&cli.config, GroupMember::start)
    }
}

fn remove(config: &Path) -> Result<(), String> {
    let loaded = config::load::<MemberFile>(config).map_err(|error| error.to_string())?;
    refuse_company(&loaded.settings)?;
    let removed =
        Kernel::open().and_then(|mut kernel| kernel.remove_all()).map_err(|error| error.to_string())?;
    removed.changes.iter().for_each(|change| println!("{change}"));
    Ok(())
}

/// A second daemon would take the kernel away from the first.
fn refuse_company(settings: &MemberSettings) -> Result<(), String> {
    match control::is_served(&settings.control_socket) {
        true => Err(format!("{}: a daemon is running already", settings.control_socket.display())),
        false => Ok(()),
    }
}

/// The daemon around its memberships.
struct GroupMember {
    memberships: Memberships,
    dataplane: DataPlane,
    journal: Journal,
    reloader: Reloader,
}

impl GroupMember {
    /// Guards the interfaces before anything else happens, so that a start that fails later on is closed, too.
    fn start(settings: MemberSettings, reloader: Reloader) -> Result<(Self, Doors), String> {
        let mut journal = Journal::default();
        refuse_company(&settings)?;
        refuse_shortcomings(&mut journal)?;
        let groups: Vec<_> = settings.groups.iter().map(|(group, _)| group.clone()).collect();
        let local = local_address(&settings);
        let speaker = local.clone().unwrap_or(Ipv4Addr::UNSPECIFIED);
        let mut dataplane =
            DataPlane::open(groups, speaker).map_err(|error| format!("the kernel: {error}"))?;
        dataplane.guard(&mut journal)?;
        let local = local?;
        let doors = Doors { udp: SocketAddrV4::new(local, settings.port), control: settings.control_socket };
        let memberships = Memberships::new(settings.groups, local);
        Ok((GroupMember { memberships, dataplane, journal, reloader }, doors))
    }

    fn register(&mut self, name: Option<&str>, now: Instant) -> Answer {
        let chosen: Vec<GroupIndex> = match name {
            None => self.memberships.indices().collect(),
            Some(name) => self.memberships.find(name).into_iter().collect(),
        };
        if chosen.is_empty() {
            return Answer::Error(format!("there is no group `{}`", name.unwrap_or_default()));
        }
        chosen
            .into_iter()
            .for_each(|index| self.memberships.handle_command((index, MemberCommand::Register), now));
        Answer::of(&serde_json::Value::Null)
    }
}

fn refuse_shortcomings(journal: &mut Journal) -> Result<(), String> {
    let mut fatal = Vec::new();
    for problem in xfrm::preflight() {
        match problem {
            Problem::Fatal(line) => fatal.push(line),
            Problem::Warning(line) => {
                journal.record(Event::new(Severity::Warning, "GM_PREFLIGHT", line), crate::clock::now());
            }
        }
    }
    match fatal.is_empty() {
        true => Ok(()),
        false => Err(fatal.join("\n")),
    }
}

/// The address that all groups register from.
fn local_address(settings: &MemberSettings) -> Result<Ipv4Addr, String> {
    let Some((group, _)) = settings.groups.first() else { return Err("there is no group".into()) };
    let own = addresses::of_this_host().map_err(|error| format!("interface addresses: {error}"))?;
    let servers = settings.groups.iter().flat_map(|(group, _)| &group.servers);
    if let Some(server) = servers.into_iter().find(|server| own.has(*server.ip())) {
        return Err(format!(
            "{} is an address of this host: a host is a member or a key server of a group, never both",
            server.ip()
        ));
    }
    let first = || group.interfaces.first().and_then(|name| own.first_of(name.as_str()));
    group.local_address.or_else(first).ok_or_else(|| {
        let names: Vec<_> = group.interfaces.iter().map(ToString::to_string).collect();
        format!("{} has no IPv4 address yet, and no local-address is configured", names.join(", "))
    })
}

impl Service for GroupMember {
    type Endpoint = Memberships;

    fn endpoint(&mut self) -> &mut Memberships {
        &mut self.memberships
    }

    fn notice(&mut self, (_, event): (GroupIndex, MemberEvent), now: Instant) {
        match event {
            MemberEvent::ViewChanged => self.dataplane.mark_changed(),
            event => self.journal.record(log_entry(&event), now),
        }
    }

    fn record(&mut self, event: Event, now: Instant) {
        self.journal.record(event, now);
    }

    fn settle(&mut self, now: Instant) -> Option<Instant> {
        if self.dataplane.is_due(now) {
            self.dataplane.refresh(&self.memberships.views(now), now, &mut self.journal);
        }
        Some(self.dataplane.next_check())
    }

    fn answer(&mut self, request: Request, now: Instant) -> Answer {
        match request {
            Request::ShowGm => Answer::of(&status::overview(&self.memberships, &self.dataplane, now)),
            Request::ShowGmAcl => Answer::of(&status::access_lists(&self.memberships, &self.dataplane, now)),
            Request::ShowGmDataplane => status::dataplane(&self.memberships, &mut self.dataplane, now),
            Request::GmRegister { group } => self.register(group.as_deref(), now),
            Request::ShowEvents => Answer::of(&self.journal.report()),
            Request::ShowKs | Request::ShowKsMembers | Request::ShowKsPolicy => {
                Answer::Error("this is the group member daemon, not the key server's".into())
            }
        }
    }

    fn reload(&mut self, now: Instant) {
        let event = self.reloader.reload();
        self.journal.record(event, now);
    }

    fn stop(&mut self, now: Instant) {
        self.dataplane.release(&self.memberships.views(now), now, &mut self.journal);
    }
}

fn log_entry(event: &MemberEvent) -> Event {
    let entry = Event::new(event.severity().into(), event.name(), event.to_string());
    match event {
        MemberEvent::RegistrationStarted { group, server }
        | MemberEvent::Registered { group, server, .. }
        | MemberEvent::RegistrationFailed { group, server, .. } => {
            entry.of_group(&group.name).with_peer(server)
        }
        MemberEvent::Rejected { group, from, .. } => entry.of_group(&group.name).with_peer(from),
        MemberEvent::Reregistering { group } | MemberEvent::KeysExpired { group } => {
            entry.of_group(&group.name)
        }
        MemberEvent::ViewChanged => entry,
    }
}
