//! `gdoi-gm`: the group member daemon, which keeps the kernel in step with its memberships.

mod advice;
mod dataplane;
mod desired;
mod due;
mod ears;
mod membership;
mod orders;
mod path_mtu;
mod reload;
mod repairs;
mod senders;
mod speaker;
mod start;
mod status;
mod strangers;
mod watch;

use crate::addresses;
use crate::config::{GroupSettings, MemberFile, MemberSettings, MulticastRoute};
use crate::control::{Answer, Asker, Request};
use crate::daemon;
use crate::daemon::reload::{ReloadMode, Reloader};
use crate::drive::{Durability, Service};
use crate::events::{Event, Journal};
use crate::report::ReloadReport;
use crate::socket::Listening;
use clap::Parser;
use dataplane::DataPlane;
use ears::{Ears, Heard};
use gdoi::crypto::Secret;
use gdoi::endpoint::{Endpoint, Instant};
use gdoi::{MemberCommand, MemberEvent, View};
use membership::{GroupIndex, Memberships};
use speaker::{Change, Speaker};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use xfrm::Unknown;

/// Joins GDOI groups (RFC 6407) and encrypts their traffic under its own IP header.
///
/// SIGHUP applies a changed local list and fail mode, and says what needs a restart. SIGTERM stops and leaves protected
/// traffic blocked (fail-close) or in clear (fail-open, and groups that were detached). A start protects all groups.
#[derive(Debug, Parser)]
#[command(name = "gdoi-gm", version)]
struct Cli {
    /// The configuration file
    #[arg(long, default_value = "/etc/gdoi/gm.yaml")]
    config: PathBuf,
    /// Check the configuration and exit
    #[arg(long)]
    check: bool,
    /// Remove everything that a stopped daemon left in the kernel and exit: ALL TRAFFIC PASSES IN CLEAR then
    #[arg(long, conflicts_with = "check")]
    remove: bool,
    /// With --remove: do it, and not only tell what would happen
    #[arg(long, requires = "remove")]
    yes_send_in_clear: bool,
}

/// Runs `gdoi-gm` with the process's arguments.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    if cli.check {
        daemon::check::<MemberFile>(&cli.config)
    } else if cli.remove {
        let order = if cli.yes_send_in_clear { orders::remove } else { orders::explain_removal };
        daemon::conclude(order(&cli.config))
    } else {
        daemon::run::<MemberFile, _>(&cli.config, GroupMember::start)
    }
}

/// The daemon around its memberships.
struct GroupMember {
    settings: MemberSettings,
    speaker: Speaker,
    memberships: Memberships,
    dataplane: DataPlane,
    ears: Ears,
    journal: Journal,
    reloader: Reloader,
}

impl GroupMember {
    /// Looks from where GDOI is spoken now; answers whether somebody has something to send from there.
    fn follow_address(&mut self, now: Instant) -> bool {
        let change = addresses::of_this_host().ok().and_then(|own| self.speaker.look(&own));
        if let Some(change) = &change {
            self.journal.record(change.event(), now);
        }
        match change {
            Some(Change::Moved(_, new)) => {
                self.dataplane.speak_from(new);
                self.memberships.move_to(new, now);
            }
            Some(Change::Back(_)) => self.memberships.retry(now),
            Some(Change::Lost(_)) | None => return false,
        }
        true
    }

    fn meet(&mut self, packet: Unknown, now: Instant) {
        let views = self.memberships.views(now);
        let (dataplane, journal) = (&mut self.dataplane, &mut self.journal);
        self.ears.judge(packet, |packets| dataplane.meet(packets, &views, now, journal));
    }

    /// These groups register for new sender IDs.
    fn renew(&mut self, names: &[String], now: Instant) {
        for index in names.iter().filter_map(|name| self.memberships.find(name)).collect::<Vec<_>>() {
            self.memberships.handle_command((index, MemberCommand::Register), now);
        }
    }

    /// A flood is read bit by bit, so that it does not hold up anything else.
    fn hear_of_path_mtu(&mut self, now: Instant) {
        if let Some(said) = self.ears.too_big() {
            self.dataplane.learn(said, now, &mut self.journal);
        }
    }
}

impl Service for GroupMember {
    type Endpoint = Memberships;

    fn endpoint(&mut self) -> &mut Memberships {
        &mut self.memberships
    }

    fn notice(&mut self, (_, event): (GroupIndex, MemberEvent), now: Instant) {
        match event {
            MemberEvent::ViewChanged(_) => self.dataplane.mark_changed(),
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

    fn door(&self) -> SocketAddr {
        self.speaker.door()
    }

    async fn disturbed(&mut self) {
        let heard = self.ears.next().await;
        let now = crate::clock::now();
        match heard {
            Heard::Change(subject) => self.dataplane.disturbed(subject, now),
            Heard::TooBig => self.hear_of_path_mtu(now),
            Heard::Stranger(packet) => self.meet(packet, now),
        }
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
        if !self.dataplane.is_due(now) {
            return Some(self.dataplane.next_check());
        }
        // The kernel lets GDOI pass from a new address before it is spoken from there.
        let speaks = self.follow_address(now);
        self.dataplane.refresh(&self.memberships.views(now), now, &mut self.journal);
        let losers = self.dataplane.take_losers();
        let speaks = speaks || !losers.is_empty();
        self.renew(&losers, now);
        Some(if speaks { now } else { self.dataplane.next_check() })
    }

    fn answer(&mut self, request: Request, asker: &Asker, now: Instant) -> Answer {
        let (memberships, dataplane) = (&self.memberships, &mut self.dataplane);
        match request {
            Request::ShowGm => Answer::of(&status::overview(memberships, dataplane, &self.speaker, now)),
            Request::ShowGmAcl => Answer::of(&status::access_lists(memberships, dataplane, now)),
            Request::ShowGmDataplane { .. } => {
                Answer::from_result(status::dataplane(memberships, dataplane, now))
            }
            Request::ShowGmRekey => Answer::of(&status::rekeys(memberships, now)),
            Request::GmRegister { group } => self.register(group.as_deref(), asker, now),
            Request::GmDetach { group } => Answer::from_result(self.detach(group.as_deref(), asker, now)),
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
        MemberEvent::ViewChanged(_) => entry,
    }
}
