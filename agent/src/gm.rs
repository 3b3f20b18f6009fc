//! `gdoi-gm`: the group member daemon, which keeps the kernel in step with its memberships.

mod advice;
mod closing;
mod dataplane;
mod desired;
mod doors;
mod due;
mod ears;
mod links;
mod membership;
mod orders;
mod path_mtu;
mod publication;
mod reload;
mod repairs;
mod senders;
mod speaker;
mod start;
mod status;
mod strangers;
mod turn;
mod watch;

use crate::clock;
use crate::config::{MemberFile, MemberSettings};
use crate::control::{Answer, Asker, Request};
use crate::daemon;
use crate::daemon::reload::{ReloadMode, Reloader};
use crate::drive::{End, Service};
use crate::events::{Event, Journal};
use crate::log;
use crate::report::ReloadReport;
use clap::Parser;
use closing::Store;
use dataplane::{DataPlane, WITHOUT_DAEMON};
use doors::Doors;
use ears::{Ears, Heard, Strange};
use gdoi::endpoint::Instant;
use publication::Publication;
use std::path::PathBuf;
use std::process::ExitCode;
use xfrm::Unknown;

/// Joins GDOI groups (RFC 6407) and encrypts their traffic under its own IP header.
///
/// SIGHUP applies a changed local list and fail mode, and says what needs a restart. SIGTERM ends the daemon; the kernel goes
/// on encrypting for a minute, for another one to take over, and blocks protected traffic then. `gdoictl gm stop` ends it
/// with the use of its keys: protected traffic is blocked (fail-close) or in clear (fail-open, and groups that were
/// detached). A start protects all groups.
#[derive(Debug, Parser)]
#[command(name = "gdoi-gm", version)]
struct Cli {
    /// The configuration file
    #[arg(long, default_value = "/etc/gdoi/gm.yaml")]
    config: PathBuf,
    /// Where what is protected is stored, for a start that fails
    #[arg(long, default_value = "/var/lib/gdoi-gm")]
    state_directory: PathBuf,
    /// Check the configuration and exit
    #[arg(long)]
    check: bool,
    /// Close the interfaces as a start does before all else, and exit
    #[arg(long, conflicts_with_all = ["check", "remove"])]
    close: bool,
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
        daemon::conclude(order(&cli.config, &Store::in_directory(&cli.state_directory)))
    } else {
        log::start();
        let store = Store::in_directory(&cli.state_directory);
        let closed = closing::close(&cli.config, &store);
        if cli.close {
            return daemon::conclude(closed);
        }
        // What could not be closed has been told; the start may still do it.
        let start = |settings, reloader| GroupMember::start(settings, reloader, store);
        daemon::run::<MemberFile, _>(&cli.config, start, GroupMember::stop)
    }
}

/// The daemon around its memberships.
struct GroupMember {
    settings: MemberSettings,
    doors: Doors,
    dataplane: DataPlane,
    ears: Ears,
    journal: Journal,
    reloader: Reloader,
    store: Store,
    publication: Publication,
    /// Why what is protected is not stored.
    not_stored: Option<String>,
    /// Whether an operator has ended it, and with it the use of keys.
    over: bool,
}

impl GroupMember {
    /// Leaves the kernel as it should be while no daemon runs.
    fn stop(mut self, end: End) {
        match end {
            End::Signal => {
                let (now, journal) = (clock::now(), &mut self.journal);
                self.dataplane.leave(now, journal);
                self.publication.leave(WITHOUT_DAEMON, now, journal);
            }
            // Who said so has waited for it.
            End::Order => self.publication.conclude(clock::now(), &mut self.journal),
        }
    }

    fn heed(&mut self, heard: Heard, now: Instant) {
        match heard {
            Heard::Change(subject) => self.dataplane.disturbed(subject, now),
            Heard::TooBig => self.hear_of_path_mtu(now),
            Heard::Stranger(packet) => self.meet(packet, now),
        }
    }

    /// A flood is read bit by bit, so that it does not hold up anything else.
    fn hear_of_path_mtu(&mut self, now: Instant) {
        if let Some(said) = self.ears.too_big() {
            self.dataplane.learn(said, now, &mut self.journal);
        }
    }

    /// Keys that have ended since the last turn introduce nobody.
    fn meet(&mut self, packet: Unknown, now: Instant) {
        self.keep_up(now);
        let (dataplane, journal) = (&mut self.dataplane, &mut self.journal);
        self.ears.judge(packet, |packets| dataplane.meet(packets, now, journal));
    }
}

impl Service for GroupMember {
    async fn hear(&mut self) {
        let strangers = if self.dataplane.is_reading() { Strange::Later } else { Strange::Welcome };
        tokio::select! {
            // Settled is this by those who ask what is due.
            () = self.dataplane.done() => {}
            () = self.publication.done() => {}
            () = self.doors.hear() => {}
            heard = self.ears.next(strangers) => self.heed(heard, clock::now()),
        }
    }

    fn settle(&mut self, now: Instant) -> Option<Instant> {
        // Not before: a start that fails takes nothing over.
        self.dataplane.take_over();
        self.look_out(now);
        let memberships = self.keep_up(now);
        let kernel = self.keep_in_step(now);
        self.listen(now);
        let expiring = self.publish(now);
        memberships.into_iter().chain(expiring).chain([kernel, self.dataplane.next_look()]).min()
    }

    fn answer(&mut self, request: Request, asker: &Asker, now: Instant) -> Answer {
        // What is shown and done goes by the keys of now.
        self.keep_up(now);
        let (doors, dataplane) = (&self.doors, &mut self.dataplane);
        match request {
            Request::ShowGm => Answer::of(&status::overview(doors, dataplane, now)),
            Request::ShowGmAcl => Answer::of(&status::access_lists(doors, dataplane, now)),
            Request::ShowGmDataplane { .. } => Answer::from_result(status::dataplane(dataplane, now)),
            Request::ShowGmRekey => Answer::of(&status::rekeys(doors, now)),
            Request::GmRegister { group } => self.register(group.as_deref(), asker, now),
            Request::GmDetach { group } => Answer::from_result(self.detach(group.as_deref(), asker, now)),
            Request::GmStop => Answer::from_result(self.end(asker, now)),
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

    fn record(&mut self, event: Event, now: Instant) {
        self.journal.record(event, now);
    }

    fn is_over(&self) -> bool {
        self.over
    }
}
