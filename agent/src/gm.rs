//! `gdoi-gm`: the group member daemon, which keeps the kernel in step with its memberships.

mod dataplane;
mod desired;
mod membership;
mod reload;
mod status;

use crate::addresses;
use crate::config::{self, GroupSettings, MemberFile, MemberSettings, MulticastRoute};
use crate::control::{self, Answer, Request};
use crate::daemon::reload::{ReloadMode, Reloader};
use crate::daemon::{self, Doors};
use crate::drive::{Durability, Service};
use crate::events::{Event, Journal, Severity};
use crate::report::{ChangeEntry, ReloadEffect, ReloadReport};
use crate::socket::Listening;
use clap::Parser;
use dataplane::DataPlane;
use gdoi::crypto::Secret;
use gdoi::endpoint::{Endpoint, Instant};
use gdoi::{MemberCommand, MemberEvent, View};
use membership::{GroupIndex, Memberships};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use xfrm::{Kernel, Problem};

/// Joins GDOI groups (RFC 6407) and encrypts their traffic under its own IP header.
///
/// SIGHUP applies a changed local list and fail mode, and says what needs a restart. SIGTERM stops and leaves protected traffic blocked (fail-close) or
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
    settings: MemberSettings,
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
        let (udp, control) = (SocketAddrV4::new(local, settings.port), settings.control_socket.clone());
        let memberships = Memberships::new(settings.groups.clone(), local);
        Ok((GroupMember { settings, memberships, dataplane, journal, reloader }, Doors { udp, control }))
    }

    /// Takes over what needs no restart.
    fn adopt(&mut self, new: MemberSettings, changes: &[ChangeEntry], now: Instant) {
        for (group, _) in &new.groups {
            self.dataplane.reconfigure(group);
        }
        for (group, _) in &mut self.settings.groups {
            if let Some((changed, _)) = new.groups.iter().find(|(new, _)| new.group.name == group.group.name)
            {
                group.adopt(changed);
            }
        }
        for change in changes.iter().filter(|change| change.effect == ReloadEffect::AtOnce) {
            let message = format!("{}: {}", change.what, change.meaning);
            let event = Event::new(Severity::Notice, "POLICY_CHANGE", message);
            self.journal.record(event.of_group(change.group.as_deref().unwrap_or_default()), now);
        }
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

    /// A member's state is in the kernel.
    fn store(&mut self, _: Secret, _: Instant) {}

    fn durability(&self) -> Durability {
        Durability::Durable
    }

    fn route(&self, _: SocketAddr) -> Option<&MulticastRoute> {
        None
    }

    fn listening(&self, now: Instant) -> Vec<Listening> {
        let groups = self.settings.groups.iter().zip(self.memberships.views(now));
        let listening = |(group, view): (&(GroupSettings, Secret), View)| {
            let interface = group.0.interfaces.first()?.clone();
            Some(Listening { group: view.rekey_group?, interface })
        };
        groups.filter_map(listening).collect()
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
            Request::ShowGmRekey => Answer::of(&status::rekeys(&self.memberships, now)),
            Request::GmRegister { group } => self.register(group.as_deref(), now),
            Request::ShowEvents => Answer::of(&self.journal.report()),
            _ => Answer::Error("this is the group member daemon, not the key server's".into()),
        }
    }

    fn reload(&mut self, mode: ReloadMode, now: Instant) -> Result<ReloadReport, String> {
        let Some(loaded) = self.reloader.read::<MemberFile>()? else {
            return Ok(self.reloader.report(mode, Vec::new(), Vec::new()));
        };
        let changes = reload::compare(&self.settings, &loaded.settings);
        if mode == ReloadMode::Apply {
            self.adopt(loaded.settings, &changes, now);
            self.reloader.applied(loaded.fingerprint, &changes);
        }
        Ok(self.reloader.report(mode, changes, loaded.warnings))
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
        MemberEvent::Rejected { group, from, .. }
        | MemberEvent::Rekeyed { group, from, .. }
        | MemberEvent::Dismissed { group, from, .. }
        | MemberEvent::RekeyRefused { group, from, .. } => entry.of_group(&group.name).with_peer(from),
        MemberEvent::Reregistering { group, .. }
        | MemberEvent::AclOutdated { group, .. }
        | MemberEvent::KeysExpired { group } => entry.of_group(&group.name),
        MemberEvent::ViewChanged => entry,
    }
}
