//! The link with one server: when a phase 1 is begun, and what is known of the link.

use super::channel::Channel;
use super::{Context, CoopPeer, LinkOutput, LinkState, LinkStatus};
use crate::crypto::Random;
use crate::endpoint::{Instant, Transmit};
use crate::error::{Error, Unacceptable};
use crate::phase1::{Initiator, Negotiation, Settings};
use crate::policy::Doi;
use crate::retransmit::{draw, Pace};
use std::net::IpAddr;
use std::time::Duration;

/// Two servers that notice together that they have no SA seldom begin together.
const FIRST_DELAY: Duration = Duration::from_millis(500);
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(8);
/// How much of an SA's life is over when the server with the higher address renews it, in percent.
const HIGHER_RENEWS: u32 = 80;
/// The same for the other, which finds it renewed as a rule.
const LOWER_RENEWS: u32 = 90;

/// The link with one server.
pub(super) struct Link {
    pub(super) entry: CoopPeer,
    pub(super) own: IpAddr,
    /// The first is sent under and watched; all others leave.
    pub(super) channels: Vec<Channel>,
    pub(super) initiation: Initiation,
    /// How often phase 1 failed in a row.
    pub(super) failures: u32,
    pub(super) sent: u64,
    pub(super) received: u64,
    pub(super) rejected: u64,
    pub(super) probes_sent: u64,
    pub(super) probes_answered: u64,
}

/// The phase 1 that this side begins.
pub(super) enum Initiation {
    /// None until the SA must be renewed.
    Idle,
    /// From then on at a random moment, which is not drawn yet.
    Soon(Instant),
    /// Then.
    At(Instant),
    /// It is under way.
    Underway(Box<Negotiation>),
}

impl Link {
    /// A link between `own` address and a peer that begins at the first [`Link::handle_timeout`].
    pub(super) const fn new(own: IpAddr, entry: CoopPeer, now: Instant) -> Self {
        Link {
            entry,
            own,
            channels: Vec::new(),
            initiation: Initiation::Soon(now),
            failures: 0,
            sent: 0,
            received: 0,
            rejected: 0,
            probes_sent: 0,
            probes_answered: 0,
        }
    }

    /// Another port holds at once, another key from the next phase 1 on.
    pub(super) fn reconfigure(&mut self, entry: CoopPeer, now: Instant) {
        let changed = self.entry != entry;
        self.entry = entry;
        if changed && !self.is_up() {
            (self.failures, self.initiation) = (0, Initiation::Soon(now));
        }
    }

    pub(super) fn is_up(&self) -> bool {
        !self.channels.is_empty()
    }

    pub(super) const fn address(&self) -> IpAddr {
        self.entry.address.ip()
    }

    pub(super) fn status(&self) -> LinkStatus {
        let state = match &self.initiation {
            _ if self.is_up() => LinkState::Up,
            Initiation::Underway(_) => LinkState::Initiating,
            _ => LinkState::None,
        };
        LinkStatus {
            peer: self.address(),
            state,
            established: self.channels.first().map(|channel| channel.established),
            sent: self.sent,
            received: self.received,
            rejected: self.rejected,
            probes_sent: self.probes_sent,
            probes_unanswered: self.probes_sent - self.probes_answered,
        }
    }

    /// A message with a COOP body, if there is an SA and the body is not too long.
    pub(super) fn seal(&mut self, body: &[u8], random: &mut dyn Random) -> Option<Transmit> {
        let payload = self.channels.first_mut()?.seal(body, random).ok()?;
        self.sent += 1;
        Some(self.to_peer(payload))
    }

    pub(super) fn to_peer(&self, payload: Vec<u8>) -> Transmit {
        Transmit { to: self.entry.address, payload }
    }

    pub(super) fn handle_timeout(&mut self, context: &mut Context<'_>) {
        self.expire(context);
        self.watch(context);
        self.initiate(context);
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let initiation = match &self.initiation {
            Initiation::Idle => self.renewal(),
            Initiation::Soon(due) | Initiation::At(due) => Some(*due),
            Initiation::Underway(negotiation) => Some(negotiation.due()),
        };
        let watching = self.channels.first().map(|channel| channel.liveness.due());
        let ends = self.channels.iter().flat_map(|channel| [Some(channel.ends), channel.leaves]);
        ends.chain([initiation, watching]).flatten().min()
    }

    /// When the newest SA must be renewed by this side.
    fn renewal(&self) -> Option<Instant> {
        let percent = match self.own > self.address() {
            true => HIGHER_RENEWS,
            false => LOWER_RENEWS,
        };
        self.channels.iter().map(|channel| channel.aged(percent)).max()
    }

    fn is_due(&self, now: Instant) -> bool {
        self.renewal().is_none_or(|renewal| renewal <= now)
    }

    fn initiate(&mut self, context: &mut Context<'_>) {
        let now = context.now;
        let is_due = self.is_due(now);
        match &mut self.initiation {
            Initiation::Idle if is_due => self.begin(context),
            Initiation::At(due) if *due <= now => self.begin(context),
            Initiation::Soon(due) if *due <= now => {
                self.initiation = Initiation::At(now + draw(context.random, FIRST_DELAY));
            }
            Initiation::Underway(negotiation) => match negotiation.handle_timeout(now) {
                Ok(again) => context.output.extend(again.map(LinkOutput::Transmit)),
                Err(_) if !is_due => self.initiation = Initiation::Idle,
                Err(reason) => self.fail(reason, context),
            },
            Initiation::Idle | Initiation::Soon(_) | Initiation::At(_) => {}
        }
    }

    fn begin(&mut self, context: &mut Context<'_>) {
        let settings = Settings {
            credential: self.entry.credential.clone(),
            identity: context.settings.identity.clone(),
            proposals: context.settings.proposals.clone(),
            doi: Doi::Gdoi,
        };
        match Initiator::start_with_dpd(settings, context.random) {
            Ok(begun) => {
                let negotiation = Negotiation::new(self.entry.address, begun, Pace::Steady, context.now);
                context.output.push_back(LinkOutput::Transmit(negotiation.first()));
                self.initiation = Initiation::Underway(Box::new(negotiation));
            }
            Err(reason) => self.fail(reason, context),
        }
    }

    /// A phase 1 that this side began came to nothing: the next one waits a while, unless the peer's has made up
    /// for it.
    pub(super) fn fail(&mut self, reason: Error, context: &mut Context<'_>) {
        // Who is silent may be back at any moment; who refuses will go on doing so.
        let silent = reason == Unacceptable::NoAnswer.into();
        context.output.push_back(LinkOutput::Failed { peer: self.address(), reason });
        let delay = (FIRST_RETRY * 2u32.pow(self.failures.min(8))).min(LAST_RETRY);
        self.failures = if silent { 0 } else { self.failures.saturating_add(1) };
        self.initiation = match self.is_due(context.now) {
            true => Initiation::At(context.now + delay + draw(context.random, delay / 4)),
            false => Initiation::Idle,
        };
    }

    /// There is an SA: what has not got anywhere yet is not needed any more.
    pub(super) fn stop_initiating(&mut self) {
        self.failures = 0;
        match &self.initiation {
            Initiation::Underway(negotiation) if !negotiation.is_unanswered() => {}
            _ => self.initiation = Initiation::Idle,
        }
    }

    /// There is no SA any more.
    pub(super) fn initiate_soon(&mut self, now: Instant) {
        if !matches!(self.initiation, Initiation::Underway(_)) {
            self.initiation = Initiation::Soon(now);
        }
    }
}
