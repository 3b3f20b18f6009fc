//! A group member: registers with the first key server of its list that answers, and again before its keys end.

mod attempt;
mod behind;
mod config;
mod datagrams;
mod floor;
mod progress;
mod pulling;
mod recall;
mod rekeys;
mod schedule;
mod status;

pub use config::{MemberConfig, ServerEntry};

use crate::crypto::Random;
use crate::endpoint::{Endpoint, Instant, Output, Transmit};
use crate::error::Error;
use crate::event::{Cause, GroupName, MemberEvent};
use crate::fragment::Reassembly;
use crate::keyring::{Gain, Keyring, View};
use crate::policy::{Identity, Spi};
use crate::rejections::{Rejections, Report};
use crate::wire::Version;
use attempt::Attempt;
use behind::Strays;
use floor::{Floor, Reason};
use progress::{Download, Progress};
use rekeys::Rekeys;
use schedule::Renewal;
use std::collections::VecDeque;
use std::net::SocketAddr;

/// What operators can ask of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberCommand {
    /// Register again now, from the top of the server list. Keys stay until they are replaced.
    Register,
    /// Register for new sender IDs, as soon as registrations may follow each other: a state that sent with one is lost.
    RenewSenderIds,
    /// ESP of the group's traffic came with this SPI, and there is no state for it.
    UnknownEsp(Spi),
}

/// A group member; one for each group.
pub struct Member {
    config: MemberConfig,
    random: Box<dyn Random + Send>,
    keyring: Keyring,
    activity: Activity,
    /// Which of the servers is asked, or gave the keys.
    server: usize,
    /// How often all servers failed in a row.
    rounds: u32,
    next_view: Option<Instant>,
    output: VecDeque<Output<MemberEvent>>,
    registrations: u64,
    last_registered: Option<Instant>,
    failures: u64,
    last_failure: Option<String>,
    rejections: Rejections,
    rekeys: Rekeys,
    reassembly: Reassembly,
    /// Whether the server of the last registration may send rekey messages in fragments.
    rekeys_in_fragments: bool,
    /// An acknowledgement that waits, and until when (RFC 8263 section 6).
    late_ack: Option<(Instant, Transmit)>,
    /// Why the next registration will be.
    cause: Cause,
    /// Which of the reasons to try that is, where it suspects something.
    doubt: Reason,
    /// ESP that told it something.
    strays: Strays,
    /// How soon it may be.
    floor: Floor,
    renewal: Renewal,
}

enum Activity {
    /// Nothing until then.
    Idle(Instant),
    /// A registration has failed, the next one begins then.
    Retrying(Instant),
    /// A registration is under way.
    Registering(Box<Attempt>),
}

impl Member {
    /// A member that begins to register at its first [`Endpoint::handle_timeout`].
    pub fn new(config: MemberConfig, random: Box<dyn Random + Send>) -> Member {
        Member {
            keyring: Keyring::new(config.group.id),
            config,
            random,
            activity: Activity::Idle(Instant::default()),
            server: 0,
            rounds: 0,
            next_view: None,
            output: VecDeque::new(),
            registrations: 0,
            last_registered: None,
            failures: 0,
            last_failure: None,
            rejections: Rejections::default(),
            rekeys: Rekeys::default(),
            reassembly: Reassembly::default(),
            rekeys_in_fragments: false,
            late_ack: None,
            cause: Cause::KeysEnd,
            doubt: Reason::End,
            strays: Strays::default(),
            floor: Floor::default(),
            renewal: Renewal::Needless,
        }
    }

    /// How often it has registered.
    pub const fn registrations(&self) -> u64 {
        self.registrations
    }

    /// Is `identity` from now on, which is its new address where that names it, and registers again at once: key servers
    /// send rekey messages to where a registration came from. Keys stay until they are replaced.
    pub fn move_to(&mut self, identity: Identity, now: Instant) {
        self.config.identity = identity;
        self.ask_again(Cause::Moved, now);
    }

    /// What the data plane must hold at `now`: what the last [`MemberEvent::ViewChanged`] said, once what was due until
    /// then is done.
    pub fn view(&self, now: Instant) -> View {
        self.keyring.view(now)
    }

    /// Whether it has ever registered.
    pub const fn is_registered(&self) -> bool {
        self.keyring.is_registered()
    }

    /// Whether a datagram is for this member: an answer to it, or a rekey message under its KEK.
    pub fn owns(&self, datagram: &[u8], now: Instant) -> bool {
        match Version::of(datagram) {
            Ok(Version::IkeV1) => self.owns_isakmp(datagram, now),
            Err(_) => false,
        }
    }

    fn server(&self) -> &ServerEntry {
        &self.config.servers[self.server]
    }

    fn group(&self) -> GroupName {
        self.config.group.clone()
    }

    fn report(&mut self, event: MemberEvent) {
        self.output.push_back(Output::Event(event));
    }

    fn transmit(&mut self, transmit: Transmit) {
        self.output.push_back(Output::Transmit(transmit));
    }

    fn register(&mut self, now: Instant) {
        let server = self.server().clone();
        self.report(MemberEvent::RegistrationStarted { group: self.group(), server: server.address });
        let holdings = self.holdings(now);
        if self.renewal == Renewal::Wanted {
            self.renewal = Renewal::Asked;
        }
        let nonces = self.keyring.sender_id_nonces(server.address, self.random.as_mut(), now);
        let attempt = nonces.and_then(|nonces| {
            Attempt::start(&self.config, &server, (nonces, holdings), self.random.as_mut(), now)
        });
        match attempt {
            Ok(attempt) => {
                self.transmit(attempt.first());
                self.activity = Activity::Registering(Box::new(attempt));
            }
            Err(reason) => self.fail(reason, now),
        }
    }

    fn progress(&mut self, from: SocketAddr, progress: Progress, now: Instant) {
        match progress {
            Progress::Send(transmit) => self.transmit(transmit),
            Progress::Nothing => {}
            Progress::Ignored(reason) => self.reject(from, reason, now),
            Progress::Registered(download, goodbye) => {
                self.output.extend(goodbye.map(Output::Transmit));
                self.registered(*download, now);
            }
            Progress::Postponed(delay, goodbye) => {
                self.output.extend(goodbye.map(Output::Transmit));
                self.postponed(delay, now);
            }
            Progress::Failed(reason, goodbye) => {
                self.output.extend(goodbye.map(Output::Transmit));
                self.fail(reason, now);
            }
        }
    }

    fn registered(&mut self, download: Download, now: Instant) {
        let Download { policy, sender_ids, made, fragments } = download;
        let teks = policy.teks.iter().map(|tek| tek.spi).collect();
        let gain = match self.keyring.pull(policy, &sender_ids, made, self.others(), now) {
            Ok(gain) => gain,
            Err(reason) => return self.fail(reason.into(), now),
        };
        self.floor.registered(gain, self.reason(), self.random.as_mut(), now);
        if gain == Gain::Older && sender_ids.values.is_empty() && self.config.sender_ids > 0 {
            self.renewal = Renewal::Wanted;
        }
        let aces = self.keyring.acl().entries().len();
        self.registrations += 1;
        self.last_registered = Some(now);
        self.rekeys_in_fragments = fragments;
        self.rounds = 0;
        self.report(MemberEvent::Registered {
            group: self.group(),
            server: self.server().address,
            teks,
            aces,
        });
        self.change_view(now);
        self.expect_the_end(now);
        match std::mem::replace(&mut self.renewal, Renewal::Needless) {
            Renewal::Wanted => self.renew_sender_ids(now),
            Renewal::Needless | Renewal::Asked => self.replace_sender_ids(now),
        }
    }

    fn reject(&mut self, from: SocketAddr, reason: Error, now: Instant) {
        self.complain(MemberEvent::Rejected { group: self.group(), from, reason }, now);
    }

    /// Reports what a message led to that changed nothing, within bounds.
    fn complain(&mut self, event: MemberEvent, now: Instant) {
        self.rejections.count();
        if self.rejections.admit(event.name(), now) == Report::Yes {
            self.report(event);
        }
    }

    /// Says how many events were left out.
    fn tell_omitted(&mut self, now: Instant) {
        for (kind, count) in self.rejections.omitted(now) {
            self.report(MemberEvent::Omitted { group: self.group(), kind, count });
        }
    }

    /// Says what the data plane must hold from now on, and notes until when that is true.
    fn change_view(&mut self, now: Instant) {
        self.next_view = self.keyring.next_change(now);
        self.report(MemberEvent::ViewChanged(Box::new(self.view(now))));
    }

    /// What time does to keys: they begin to send, and they end.
    fn roll_over(&mut self, now: Instant) {
        let last_expired = self.keyring.expire(now);
        self.change_view(now);
        if last_expired {
            self.report(MemberEvent::KeysExpired { group: self.group() });
        }
    }

    fn next_timeout(&self) -> Instant {
        let activity = match &self.activity {
            Activity::Idle(until) | Activity::Retrying(until) => *until,
            Activity::Registering(attempt) => attempt.due(),
        };
        let ack = self.late_ack.as_ref().map(|(due, _)| *due);
        [self.next_view, ack, self.reassembly.next_timeout(), self.rejections.next_timeout()]
            .into_iter()
            .flatten()
            .fold(activity, Instant::min)
    }
}

impl Endpoint for Member {
    type Command = MemberCommand;
    type Done = ();
    type Event = MemberEvent;

    fn handle_datagram(&mut self, from: SocketAddr, bytes: &[u8], now: Instant) {
        match Version::of(bytes) {
            Ok(Version::IkeV1) => self.handle_isakmp(from, bytes, now),
            Err(reason) => self.refuse_version(from, bytes, reason.into(), now),
        }
    }

    fn handle_command(&mut self, command: MemberCommand, now: Instant) -> Result<(), Error> {
        match command {
            MemberCommand::Register => self.obey(now),
            MemberCommand::RenewSenderIds => self.renew_sender_ids(now),
            MemberCommand::UnknownEsp(spi) => self.heard_unknown_esp(spi, now),
        }
        Ok(())
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.reassembly.expire(now);
        self.tell_omitted(now);
        if let Some((_, ack)) = self.late_ack.take_if(|(due, _)| *due <= now) {
            self.transmit(ack);
        }
        if self.next_view.is_some_and(|time| time <= now) {
            self.roll_over(now);
        }
        match &mut self.activity {
            Activity::Idle(until) if *until <= now => self.start_again(now),
            Activity::Retrying(until) if *until <= now => self.register(now),
            Activity::Idle(_) | Activity::Retrying(_) => {}
            Activity::Registering(attempt) => {
                let (server, progress) = (attempt.server(), attempt.handle_timeout(now));
                self.progress(server, progress, now);
            }
        }
    }

    fn poll(&mut self) -> Output<MemberEvent> {
        self.output.pop_front().unwrap_or_else(|| Output::Wait(Some(self.next_timeout())))
    }
}
