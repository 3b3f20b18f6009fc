//! `gdoi-ks`: the key server daemon. It needs no privilege but its UDP port.

mod action;
mod coop;
mod keeper;
mod reload;
mod status;

use crate::addresses;
use crate::clock;
use crate::config::{KeyServerFile, KeyServerSettings, MulticastRoute};
use crate::control::{Answer, Asker, Request};
use crate::daemon::reload::{ReloadMode, Reloader};
use crate::daemon::{self, Doors};
use crate::drive::{Durability, Service};
use crate::events::{Event, Journal, Severity};
use crate::report::ReloadReport;
use crate::socket::Listening;
use clap::Parser;
use gdoi::crypto::{Secret, SystemRandom};
use gdoi::endpoint::Instant;
use gdoi::{KeyServer, KeyServerEvent};
use keeper::{Heritage, Keeper};
use reload::OwnSettings;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

/// Serves policy and keys to the members of GDOI groups (RFC 6407), and changes the keys.
///
/// SIGHUP applies a changed configuration; SIGTERM stops. With a state key (`state-key-file`, or the service manager's
/// credential `state-key`) keys and members survive a restart; without one, all members must register again after it.
#[derive(Debug, Parser)]
#[command(name = "gdoi-ks", version)]
struct Cli {
    /// The configuration file
    #[arg(long, default_value = "/etc/gdoi/ks.yaml")]
    config: PathBuf,
    /// Check the configuration and exit
    #[arg(long)]
    check: bool,
    /// Begin with new keys, whatever is stored: all members must register again
    #[arg(long, conflicts_with = "check")]
    discard_state: bool,
}

/// Runs `gdoi-ks` with the process's arguments.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.check {
        true => daemon::check::<KeyServerFile>(&cli.config),
        false => daemon::run::<KeyServerFile, _>(&cli.config, |settings, reloader| {
            let heritage = if cli.discard_state { Heritage::Discarded } else { Heritage::Kept };
            KeyServerDaemon::start(settings, heritage, reloader)
        }),
    }
}

/// The daemon around its key server.
struct KeyServerDaemon {
    server: KeyServer,
    own: OwnSettings,
    keeper: Keeper,
    journal: Journal,
    reloader: Reloader,
}

impl KeyServerDaemon {
    fn start(
        settings: KeyServerSettings,
        heritage: Heritage,
        reloader: Reloader,
    ) -> Result<(Self, Doors), String> {
        let own = OwnSettings::of(&settings);
        let doors = Doors { udp: settings.address, control: settings.control_socket };
        let (keeper, stored) = Keeper::open(settings.state, heritage)?;
        clock::begin(stored.as_ref().map_or(Instant::default(), |stored| stored.written));
        let (now, mut journal) = (clock::now(), Journal::default());
        let state = stored.as_ref().map(|stored| &stored.state);
        let server = KeyServer::new(settings.server, state, Box::new(SystemRandom), now);
        let server = server.map_err(|error| keeper.refuse(&error))?;
        keeper.introduce(stored.as_ref(), now, &mut journal);
        if !addresses::of_this_host().is_ok_and(|own| own.has(doors.udp.ip())) {
            let message = format!("{} is not an address of this host yet", doors.udp.ip());
            journal.record(Event::new(Severity::Warning, "KS_ADDRESS_MISSING", message), now);
        }
        Ok((KeyServerDaemon { server, own, keeper, journal, reloader }, doors))
    }
}

impl Service for KeyServerDaemon {
    type Endpoint = KeyServer;

    fn endpoint(&mut self) -> &mut KeyServer {
        &mut self.server
    }

    fn notice(&mut self, event: KeyServerEvent, now: Instant) {
        self.journal.record(log_entry(&event), now);
    }

    fn record(&mut self, event: Event, now: Instant) {
        self.journal.record(event, now);
    }

    fn store(&mut self, state: Secret, now: Instant) {
        self.keeper.keep(state, now, &mut self.journal);
    }

    fn durability(&self) -> Durability {
        self.keeper.durability()
    }

    fn door(&self) -> SocketAddr {
        self.own.address
    }

    async fn disturbed(&mut self) {
        std::future::pending().await
    }

    fn route(&self, to: SocketAddr) -> Option<&MulticastRoute> {
        self.own.routes.iter().find(|route| route.group == to)
    }

    fn listening(&self, _: Instant) -> Vec<Listening> {
        Vec::new()
    }

    fn settle(&mut self, now: Instant) -> Option<Instant> {
        self.keeper.retry(now, &mut self.journal)
    }

    fn answer(&mut self, request: Request, _: &Asker, now: Instant) -> Answer {
        let status = || self.server.status(now);
        match request {
            Request::ShowKs => Answer::of(&status::overview(&status(), self.own.address, &self.keeper, now)),
            Request::ShowKsMembers => Answer::of(&status::members(&status(), now)),
            Request::ShowKsAcl => Answer::of(&status::acls(&status())),
            Request::ShowKsPolicy => Answer::of(&status::policies(&status(), &self.own, now)),
            Request::ShowKsCoop { .. } => Answer::of(&coop::report(&status(), &self.own, now)),
            Request::ShowKsRekey => Answer::of(&status::rekeys(&status(), now)),
            Request::ShowEvents => Answer::of(&self.journal.report()),
            request => Answer::from_result(action::act(&mut self.server, &request, now)),
        }
    }

    fn reload(&mut self, mode: ReloadMode, now: Instant) -> Result<ReloadReport, String> {
        let Some(loaded) = self.reloader.read::<KeyServerFile>()? else {
            return Ok(self.reloader.report(mode, Vec::new(), Vec::new()));
        };
        let mut changes = self.own.compare(&loaded.settings);
        changes.extend(self.server.preview(&loaded.settings.server).iter().map(reload::entry));
        if mode == ReloadMode::Apply {
            self.own.adopt(&loaded.settings);
            self.server.reconfigure(loaded.settings.server, now).map_err(|error| error.to_string())?;
            self.reloader.applied(loaded.fingerprint, &changes);
        }
        Ok(self.reloader.report(mode, changes, loaded.warnings))
    }

    fn stop(&mut self, _: Instant) {}
}

fn log_entry(event: &KeyServerEvent) -> Event {
    let entry = Event::new(event.severity().into(), event.name(), event.to_string());
    match event {
        KeyServerEvent::Registered { group, member, .. }
        | KeyServerEvent::DeniesLeftOut { group, member, .. }
        | KeyServerEvent::Refused { group: Some(group), member, .. } => {
            entry.of_group(&group.name).with_peer(member)
        }
        KeyServerEvent::Refused { group: None, member, .. } => entry.with_peer(member),
        KeyServerEvent::Phase1Failed { peer, .. } => entry.with_peer(peer),
        KeyServerEvent::NewTek { group, .. }
        | KeyServerEvent::NewKek { group }
        | KeyServerEvent::SenderIdsRenewed { group }
        | KeyServerEvent::RekeySent { group, .. } => entry.of_group(&group.name),
        KeyServerEvent::MemberDropped { group, member } | KeyServerEvent::Revoked { group, member } => {
            entry.of_group(&group.name).with_peer(member)
        }
        KeyServerEvent::AckRefused { group, from, .. } => entry.of_group(&group.name).with_peer(from),
        KeyServerEvent::PolicyChange { change } => entry.of_group(&change.group.name),
        KeyServerEvent::Coop { group, event } => {
            let entry = group.iter().fold(entry, |entry, group| entry.of_group(&group.name));
            event.peer().iter().fold(entry, Event::with_peer)
        }
        KeyServerEvent::Rejected { from, .. } => entry.with_peer(from),
    }
}

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;
