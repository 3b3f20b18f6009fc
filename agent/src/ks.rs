//! `gdoi-ks`: the key server daemon. It needs no privilege but its UDP port.

mod status;

use crate::addresses;
use crate::clock;
use crate::config::{KeyServerFile, KeyServerSettings};
use crate::control::{Answer, Request};
use crate::daemon::{self, Doors, Reloader};
use crate::drive::Service;
use crate::events::{Event, Journal, Severity};
use clap::Parser;
use gdoi::crypto::SystemRandom;
use gdoi::endpoint::Instant;
use gdoi::{KeyServer, KeyServerEvent};
use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::process::ExitCode;

/// Serves policy and keys to the members of GDOI groups (RFC 6407).
///
/// SIGHUP checks the configuration again; SIGTERM stops. Keys are kept in memory only: after a restart
/// members get new ones when they register again.
#[derive(Debug, Parser)]
#[command(name = "gdoi-ks", version)]
struct Cli {
    /// The configuration file
    #[arg(long, default_value = "/etc/gdoi/ks.yaml")]
    config: PathBuf,
    /// Check the configuration and exit
    #[arg(long)]
    check: bool,
}

/// Runs `gdoi-ks` with the process's arguments.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.check {
        true => daemon::check::<KeyServerFile>(&cli.config),
        false => daemon::run::<KeyServerFile, _>(&cli.config, KeyServerDaemon::start),
    }
}

/// The daemon around its key server.
struct KeyServerDaemon {
    server: KeyServer,
    address: SocketAddrV4,
    journal: Journal,
    reloader: Reloader,
}

impl KeyServerDaemon {
    fn start(settings: KeyServerSettings, reloader: Reloader) -> Result<(Self, Doors), String> {
        let server = KeyServer::new(settings.server, Box::new(SystemRandom), clock::now());
        let server = server.map_err(|error| error.to_string())?;
        let doors = Doors { udp: settings.address, control: settings.control_socket };
        let mut journal = Journal::default();
        if !addresses::of_this_host().is_ok_and(|own| own.has(*settings.address.ip())) {
            let message = format!("{} is not an address of this host yet", settings.address.ip());
            journal.record(Event::new(Severity::Warning, "KS_ADDRESS_MISSING", message), clock::now());
        }
        Ok((KeyServerDaemon { server, address: settings.address, journal, reloader }, doors))
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

    fn settle(&mut self, _: Instant) -> Option<Instant> {
        None
    }

    fn answer(&mut self, request: Request, now: Instant) -> Answer {
        match request {
            Request::ShowKs => Answer::of(&status::overview(&self.server.status(now), self.address, now)),
            Request::ShowKsMembers => Answer::of(&status::members(&self.server.status(now), now)),
            Request::ShowKsPolicy => Answer::of(&status::policies(&self.server.status(now), now)),
            Request::ShowEvents => Answer::of(&self.journal.report()),
            Request::ShowGm | Request::ShowGmAcl | Request::ShowGmDataplane | Request::GmRegister { .. } => {
                Answer::Error("this is the key server daemon, not the group member's".into())
            }
        }
    }

    fn reload(&mut self, now: Instant) {
        let event = self.reloader.reload();
        self.journal.record(event, now);
    }

    fn stop(&mut self, _: Instant) {}
}

fn log_entry(event: &KeyServerEvent) -> Event {
    let entry = Event::new(event.severity().into(), event.name(), event.to_string());
    match event {
        KeyServerEvent::Registered { group, member, .. }
        | KeyServerEvent::Refused { group: Some(group), member, .. } => {
            entry.of_group(&group.name).with_peer(member)
        }
        KeyServerEvent::Refused { group: None, member, .. } => entry.with_peer(member),
        KeyServerEvent::Phase1Failed { peer, .. } => entry.with_peer(peer),
        KeyServerEvent::NewTek { group, .. } | KeyServerEvent::NewKek { group } => {
            entry.of_group(&group.name)
        }
        KeyServerEvent::Rejected { from, .. } => entry.with_peer(from),
    }
}
