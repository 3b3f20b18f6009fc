//! Which SAs a link has. Several may stand for a while: both servers may have begun one, one server may have lost its
//! own in a restart, one is renewed. All of them receive; under which to send is each end's own decision.

use super::channel::{Channel, Side};
use super::peer::Link;
use super::{Context, LinkOutput};
use crate::error::{Error, Unacceptable};
use crate::phase1::IsakmpSa;
use crate::policy::Identity;
use std::time::Duration;

/// SAs that both ends began within this time are one too many.
const COLLISION: Duration = Duration::from_secs(10);
/// So long an SA receives that is not sent under any more.
const HANDOVER: Duration = Duration::from_secs(10);
/// So long the peer may take to finish a phase 1 that is done here: longer than it repeats its last message.
const UNCONFIRMED: Duration = Duration::from_secs(20);
/// Two, and one more in a handover.
const MAX_CHANNELS: usize = 3;

impl Link {
    /// Phase 1 is done; what becomes of the SA.
    pub(super) fn establish(&mut self, sa: IsakmpSa, side: Side, context: &mut Context<'_>) {
        match self.admit(sa, side, context) {
            Ok(channel) => self.add(channel, context),
            Err(reason) if side == Side::Initiator => self.fail(reason, context),
            Err(reason) => {
                context.output.push_back(LinkOutput::Failed { peer: self.address(), reason });
            }
        }
    }

    fn admit(&self, sa: IsakmpSa, side: Side, context: &mut Context<'_>) -> Result<Channel, Error> {
        if let Err(reason) = self.check(&sa) {
            self.say_goodbye(&sa, context);
            return Err(reason);
        }
        let begun_by = match side {
            Side::Initiator => self.own,
            Side::Responder => self.address(),
        };
        Channel::new(sa, side, begun_by, context.random, context.now)
    }

    fn check(&self, sa: &IsakmpSa) -> Result<(), Error> {
        if !sa.ours || !sa.dpd {
            return Err(Unacceptable::NotCooperating.into());
        }
        match sa.peer == Identity::Address(self.address()) {
            true => Ok(()),
            false => Err(Unacceptable::UnexpectedIdentity(sa.peer.to_string()).into()),
        }
    }

    fn add(&mut self, mut channel: Channel, context: &mut Context<'_>) {
        self.make_room();
        match self.is_up() {
            true if channel.heard.is_none() => channel.leaves = Some(context.now + UNCONFIRMED),
            true => {}
            false => context.output.push_back(LinkOutput::Up { peer: self.address() }),
        }
        self.channels.push(channel);
        self.stop_initiating();
        self.settle(context);
        self.ask_all(context);
    }

    fn make_room(&mut self) {
        let others = self.channels.iter().enumerate().skip(1);
        let oldest = others.min_by_key(|(_, channel)| channel.established).map(|(index, _)| index);
        if let Some(oldest) = oldest.filter(|_| self.channels.len() == MAX_CHANNELS) {
            self.channels.remove(oldest);
        }
    }

    /// Each end shows the other which SAs it has, and learns which the other has.
    fn ask_all(&mut self, context: &mut Context<'_>) {
        for index in 0..self.channels.len() {
            if self.channels[index].heard.is_some() {
                self.ask(index, context);
            }
        }
    }

    /// The peer said something new under an SA.
    pub(super) fn hear(&mut self, index: usize, context: &mut Context<'_>) {
        self.channels[index].hear(context.now);
        self.settle(context);
    }

    /// Chooses the SA to send under: the newest that the peer certainly has. Of two that collided one is deleted, all
    /// others leave.
    fn settle(&mut self, context: &mut Context<'_>) {
        while let Some(loser) = self.loser() {
            self.say_goodbye(&self.channels[loser].sa, context);
            self.channels.remove(loser);
        }
        let rank = |channel: &Channel| (channel.heard.is_some(), channel.established);
        let best = self.channels.iter().enumerate().max_by_key(|(_, channel)| rank(channel));
        let Some((best, _)) = best else { return };
        self.channels.swap(0, best);
        for other in &mut self.channels[1..] {
            other.leaves.get_or_insert(context.now + HANDOVER);
        }
        self.channels[0].leaves = None;
    }

    fn loser(&self) -> Option<usize> {
        let loses = |channel: &Channel| self.channels.iter().any(|other| supersedes(other, channel));
        self.channels.iter().position(loses)
    }

    pub(super) fn expire(&mut self, context: &mut Context<'_>) {
        let now = context.now;
        while let Some(ended) = self.channels.iter().position(|channel| channel.ends <= now) {
            self.remove(ended, Unacceptable::Expired, context);
        }
        self.channels.retain(|channel| channel.leaves.is_none_or(|leaves| leaves > now));
    }

    pub(super) fn remove(&mut self, index: usize, reason: Unacceptable, context: &mut Context<'_>) {
        self.channels.remove(index);
        self.removed(reason, context);
    }

    /// The peer does not answer under the SA that is sent under: all go under which it was not heard later.
    pub(super) fn bury(&mut self, context: &mut Context<'_>) {
        let last = self.channels.first().map(Channel::last_sign);
        let mute = self.channels.iter().all(|channel| channel.last_sign() == channel.established);
        self.channels.retain(|channel| Some(channel.last_sign()) > last);
        let reason = if mute { Unacceptable::NoWord } else { Unacceptable::NoAnswer };
        self.removed(reason, context);
    }

    fn removed(&mut self, reason: Unacceptable, context: &mut Context<'_>) {
        if self.is_up() {
            return self.settle(context);
        }
        context.output.push_back(LinkOutput::Down { peer: self.address(), reason: reason.into() });
        self.initiate_soon(context.now);
    }

    /// Takes leave of the peer.
    pub(super) fn close(&mut self, context: &mut Context<'_>) {
        for channel in std::mem::take(&mut self.channels) {
            self.say_goodbye(&channel.sa, context);
        }
    }

    fn say_goodbye(&self, sa: &IsakmpSa, context: &mut Context<'_>) {
        let message = sa.delete(context.random).ok();
        context.output.extend(message.map(|payload| LinkOutput::Transmit(self.to_peer(payload))));
    }
}

/// Of two SAs that both ends began at about the same time, the one of the higher address survives, once the peer was
/// heard under it while both stood: it might have lost the older one in a restart.
fn supersedes(channel: &Channel, other: &Channel) -> bool {
    let earlier = channel.established.min(other.established);
    let later = channel.established.max(other.established);
    later.saturating_since(earlier) <= COLLISION
        && channel.begun_by > other.begun_by
        && channel.heard >= Some(later)
}
