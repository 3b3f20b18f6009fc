//! `gdoi-ks`: the key server daemon. It needs no privilege but its UDP port.

mod action;
mod coop;
mod keeper;
mod reception;
mod reload;
mod status;

use crate::addresses;
use crate::clock;
use crate::config::{KeyServerFile, KeyServerSettings};
use crate::control::{Answer, Asker, Request};
use crate::daemon::reload::{ReloadMode, Reloader};
use crate::daemon::{self, Started};
use crate::drive::{self, Service};
use crate::events::{Event, Journal, Severity};
use crate::report::{ActionReport, ReloadReport};
use crate::socket::Socket;
use clap::Parser;
use gdoi::crypto::SystemRandom;
use gdoi::endpoint::{Endpoint, Instant, Output, Transmit};
use gdoi::{KeyServer, KeyServerEvent};
use keeper::{Durability, Heritage, Keeper};
use reception::Reception;
use reload::OwnSettings;
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
        false => {
            crate::log::start();
            let heritage = if cli.discard_state { Heritage::Discarded } else { Heritage::Kept };
            let start = |settings, reloader| KeyServerDaemon::start(settings, heritage, reloader);
            // All that must outlive it is stored already.
            daemon::run::<KeyServerFile, _>(&cli.config, start, |key_server, _| drop(key_server))
        }
    }
}

/// The daemon around its key server.
struct KeyServerDaemon {
    server: KeyServer,
    /// When the key server wants to be called.
    due: Option<Instant>,
    socket: Socket,
    reception: Reception,
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
    ) -> Result<Started<Self>, String> {
        let own = OwnSettings::of(&settings);
        let (keeper, stored) = Keeper::open(settings.state, heritage)?;
        clock::begin(stored.as_ref().map(|stored| &stored.written));
        let (now, mut journal) = (clock::now(), Journal::default());
        let state = stored.as_ref().map(|stored| &stored.state);
        let server = KeyServer::new(settings.server, state, Box::new(SystemRandom), now);
        let server = server.map_err(|error| keeper.refuse(&error))?;
        keeper.introduce(stored.as_ref(), now, &mut journal);
        if !addresses::of_this_host().is_ok_and(|own| own.has(settings.address.ip())) {
            let message = format!("{} is not an address of this host yet", settings.address.ip());
            journal.record(Event::new(Severity::Warning, "KS_ADDRESS_MISSING", message), now);
        }
        let (due, socket) = (Some(now), daemon::open_door(settings.address)?);
        let reception = Reception::default();
        let daemon = KeyServerDaemon { server, due, socket, reception, own, keeper, journal, reloader };
        Ok((daemon, settings.control_socket))
    }

    /// Carries out what the key server wants, and answers when it wants to be called.
    ///
    /// What cannot be stored is not sent: to the peers it is a datagram that the network lost, and what matters is
    /// repeated.
    fn carry_out(&mut self, now: Instant) -> Option<Instant> {
        loop {
            match self.server.poll() {
                Output::Transmit(transmit) if self.keeper.durability() == Durability::Durable => {
                    self.send(&transmit, now);
                }
                Output::Transmit(_) => {}
                Output::Store(state) => self.keeper.keep(state, now, &mut self.journal),
                Output::Event(event) => {
                    let mut entry = log_entry(&event);
                    if self.keeper.durability() == Durability::Lost {
                        entry.message = format!("Not stored yet, and nothing is sent: {}", entry.message);
                    }
                    self.journal.record(entry, now);
                }
                Output::Wait(until) => return until,
            }
        }
    }

    /// Takes in what else has come, and then first messages.
    fn hear_the_rest(&mut self, begun: Instant) {
        self.due = self.carry_out(begun);
        for _ in 0..reception::MOST {
            let Some((from, bytes)) = self.socket.receive_waiting() else { break };
            let now = clock::now();
            if self.reception.admits(from, bytes) {
                self.server.handle_datagram(from, bytes, now);
                self.due = self.carry_out(now);
            }
            if now.saturating_since(begun) >= reception::LONGEST {
                break;
            }
        }
        for (from, bytes) in self.reception.next() {
            self.server.handle_datagram(from, &bytes, clock::now());
        }
    }

    fn tell_dropped(&mut self, now: Instant) {
        let dropped = self.reception.dropped();
        if dropped > 0 {
            let message =
                format!("{dropped} first messages of phase 1 came with too many others and were dropped");
            self.journal.record(Event::new(Severity::Warning, "KS_FLOODED", message), now);
        }
    }

    /// What an operator orders is done when it is stored, and no sooner is that said.
    fn act(&mut self, request: &Request, now: Instant) -> Result<ActionReport, String> {
        let report = action::act(&mut self.server, request, now);
        self.due = self.carry_out(now);
        Ok(ActionReport { not_in_force: self.keeper.shortcoming(), ..report? })
    }

    fn send(&mut self, transmit: &Transmit, now: Instant) {
        let route = self.own.routes.iter().find(|route| route.group == transmit.to);
        if let Some(problem) = drive::send(&mut self.socket, transmit, route) {
            self.journal.record(problem, now);
        }
    }
}

impl Service for KeyServerDaemon {
    async fn hear(&mut self) {
        if self.reception.is_empty() {
            let (from, bytes) = self.socket.receive().await;
            if self.reception.admits(from, bytes) {
                self.server.handle_datagram(from, bytes, clock::now());
            }
        } else {
            // The others that are waited for have their turn, too.
            tokio::task::yield_now().await;
        }
        self.hear_the_rest(clock::now());
    }

    fn settle(&mut self, now: Instant) -> Option<Instant> {
        if self.due.is_some_and(|due| due <= now) {
            self.server.handle_timeout(now);
        }
        self.due = self.carry_out(now);
        let keeper = self.keeper.retry(now, &mut self.journal);
        self.tell_dropped(now);
        let journal = self.journal.settle(now);
        self.due.into_iter().chain(keeper).chain(journal).min()
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
            request => Answer::from_result(self.act(&request, now)),
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
            self.due = self.carry_out(now);
        }
        let not_in_force = self.keeper.shortcoming().filter(|_| mode == ReloadMode::Apply);
        Ok(ReloadReport { not_in_force, ..self.reloader.report(mode, changes, loaded.warnings) })
    }

    fn record(&mut self, event: Event, now: Instant) {
        self.journal.record(event, now);
    }
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
        | KeyServerEvent::KeysEndedMeanwhile { group }
        | KeyServerEvent::SenderIdsRenewed { group, .. }
        | KeyServerEvent::MembersForgotten { group, .. }
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
        KeyServerEvent::Omitted { .. }
        | KeyServerEvent::GroupKept { .. }
        | KeyServerEvent::GroupForgotten { .. } => entry,
    }
}

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;
