//! The rekey messages under way, if there are any: to all, and to those that are behind; and what became of the
//! acknowledgements.
//!
//! A member is behind when a message that it should have had came to nothing: it did not acknowledge in all rounds, or it
//! was given keys that were replaced while it asked. It is told again by a message of its own, under all KEKs that it may
//! have: the one that it is known to have, and those that went to it in messages that it did not acknowledge.

use super::clock::GroupTime;
use super::distribution::{Distribution, Receiver};
use super::held::{Conveyed, KekTag};
use super::terms::Retransmit;
use crate::endpoint::Transmit;
use crate::error::{Error, Misbehaved, Unauthenticated};
use crate::group::AclDigest;
use crate::group::Kek;
use crate::push::Acknowledgement;
use crate::wire::Header;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Those that are behind are told again after a pause that is doubled each time, up to this or the interval of the
/// retransmissions.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// More KEKs of one member are not remembered: as many as are kept.
const MAX_POSSIBLE: usize = super::keys::MAX_KEKS;

/// What became of the acknowledgements that a key server got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AckCounters {
    /// Good ones.
    pub received: u64,
    /// Repeated, or of no rekey under way.
    pub unexpected: u64,
    /// The hash does not match.
    pub forged: u64,
    /// No acknowledgement.
    pub malformed: u64,
}

/// The rekey messages under way and their acknowledgements.
#[derive(Default)]
pub(super) struct Rekeying {
    /// To all members.
    distribution: Option<Distribution>,
    /// To those that were behind when it began.
    catching_up: Option<Distribution>,
    behind: Behind,
    /// The KEKs that went to members in messages that they did not acknowledge.
    possible: BTreeMap<IpAddr, BTreeSet<KekTag>>,
    /// Of whom this server knows what they have: they registered or answered since it leads. Others may have heard of
    /// keys from another server.
    known: BTreeSet<IpAddr>,
    /// Whether another server, or this one before it led, began to tell all members, and this one has yet to do so.
    inherited: bool,
    acks: AckCounters,
}

/// Who is to be told again, and when.
#[derive(Default)]
struct Behind {
    members: BTreeMap<IpAddr, Receiver>,
    /// Nobody answers, so it may be anybody.
    anybody: bool,
    due: GroupTime,
    pause: Duration,
    repetitions: u32,
}

/// To whom a message goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Audience {
    /// All members.
    All,
    /// Those that are behind.
    Behind(Vec<Receiver>),
}

/// How the last wait for acknowledgements ended.
pub(super) struct Concluded {
    /// Which ACL members have after it.
    pub(super) told: AclDigest,
    /// Who never acknowledged.
    pub(super) members: Vec<Receiver>,
    /// Whether it went to all at once, and nobody answers.
    pub(super) blind: bool,
}

impl Rekeying {
    /// A message is to go out, once it is released; what was under way to the same members is given up for it.
    pub(super) fn begin(&mut self, distribution: Distribution, audience: &Audience) {
        match audience {
            Audience::All => {
                let before = [self.distribution.replace(distribution), self.catching_up.take()];
                before.iter().flatten().for_each(|before| self.remember(before));
                self.behind = Behind::default();
                self.inherited = false;
            }
            Audience::Behind(_) => {
                let before = self.catching_up.replace(distribution);
                before.iter().for_each(|before| self.remember(before));
                self.behind.members.clear();
                self.behind.anybody = false;
                self.behind.repetitions = self.behind.repetitions.saturating_add(1);
            }
        }
    }

    /// Who did not answer may have read it all the same.
    fn remember(&mut self, before: &Distribution) {
        for unanswered in before.unanswered() {
            let keks = self.possible.entry(unanswered.member).or_default();
            keks.extend(unanswered.kek.filter(|_| keks.len() < MAX_POSSIBLE));
        }
    }

    /// They may go out.
    pub(super) fn release(&mut self, now: GroupTime) {
        self.under_way().for_each(|distribution| distribution.release(now));
    }

    /// All is given up.
    pub(super) fn abandon(&mut self) {
        *self = Rekeying { acks: self.acks, ..Rekeying::default() };
    }

    /// All members are to be told what another server began to tell them.
    pub(super) fn inherit(&mut self) {
        self.inherited = true;
    }

    /// That was done.
    pub(super) fn take_over(&mut self) {
        self.inherited = false;
    }

    /// Whether all members are about to be told, so that nobody need be told before.
    pub(super) const fn is_inherited(&self) -> bool {
        self.inherited
    }

    /// Another server has led as well: what members have is not known any more.
    pub(super) fn trust_nothing(&mut self) {
        self.known.clear();
    }

    fn under_way(&mut self) -> impl Iterator<Item = &mut Distribution> {
        [&mut self.distribution, &mut self.catching_up].into_iter().flatten()
    }

    /// Whether a message is under way.
    pub(super) const fn is_under_way(&self) -> bool {
        self.distribution.is_some() || self.catching_up.is_some()
    }

    /// Whether all is said that is to be said.
    pub(super) fn is_settled(&self) -> bool {
        !self.is_under_way() && !self.behind.anybody && self.behind.members.is_empty()
    }

    /// What to send now.
    pub(super) fn handle_timeout(&mut self, now: GroupTime) -> Vec<Transmit> {
        self.under_way().flat_map(|distribution| distribution.handle_timeout(now)).collect()
    }

    /// When [`Rekeying::handle_timeout`] or [`Rekeying::conclude`] has something to say.
    pub(super) fn due(&self) -> Option<GroupTime> {
        let under_way = [&self.distribution, &self.catching_up].into_iter().flatten();
        under_way.filter_map(Distribution::due).min()
    }

    /// Ends the message to all if all have acknowledged or the last wait is over.
    pub(super) fn conclude(&mut self, now: GroupTime) -> Option<Concluded> {
        let over = self.distribution.take_if(|distribution| distribution.is_over(now))?;
        self.remember(&over);
        Some(Concluded { told: over.acl(), members: over.silent(), blind: over.is_blind() })
    }

    /// The same of the message to those that were behind.
    pub(super) fn conclude_catching_up(&mut self, now: GroupTime) -> Option<Concluded> {
        let over = self.catching_up.take_if(|distribution| distribution.is_over(now))?;
        self.remember(&over);
        Some(Concluded { told: over.acl(), members: over.silent(), blind: over.is_blind() })
    }

    /// These are behind. They are told again after a pause, which is a new one after a new message to all.
    pub(super) fn fall_behind(&mut self, over: &Concluded, retransmit: Retransmit, now: GroupTime) {
        let interval = retransmit.interval;
        // Blind repetitions go on for as long as the KEK serves, and become rare.
        let most = if over.blind { Duration::MAX } else { LONGEST_PAUSE.max(interval) };
        let pause = if self.behind.pause.is_zero() { interval } else { self.behind.pause * 2 };
        self.behind.pause = pause.min(most);
        let due = now + self.behind.pause;
        self.behind.due = self.catch_up_due().map_or(due, |earlier| earlier.min(due));
        self.behind.anybody = over.blind;
        self.behind.members.extend(over.members.iter().map(|receiver| (receiver.to.ip(), receiver.clone())));
    }

    /// A member has just been given keys that are replaced already: it joins what is under way, or is told as soon as can be.
    pub(super) fn join(&mut self, receiver: Receiver, now: GroupTime) {
        let member = receiver.to.ip();
        self.has_caught_up(member);
        let joined = self.under_way().any(|distribution| distribution.join(receiver.clone(), now));
        if !joined {
            self.behind.members.insert(member, receiver);
            self.behind.due = now;
        }
    }

    /// The same of one of which another server knows what it has.
    pub(super) fn join_unknown(&mut self, receiver: Receiver, now: GroupTime) {
        let member = receiver.to.ip();
        self.join(receiver, now);
        self.known.remove(&member);
    }

    /// A member has the keys of now.
    pub(super) fn has_caught_up(&mut self, member: IpAddr) {
        self.known.insert(member);
        self.possible.remove(&member);
        self.behind.members.remove(&member);
        for distribution in self.under_way() {
            distribution.acknowledge(member);
        }
    }

    /// When those that are behind are to be told again.
    pub(super) fn catch_up_due(&self) -> Option<GroupTime> {
        let waiting = self.catching_up.is_none() && (self.behind.anybody || !self.behind.members.is_empty());
        waiting.then_some(self.behind.due)
    }

    /// Whether those that are behind were not told again before.
    pub(super) fn is_first_repetition(&self) -> bool {
        self.behind.repetitions == 0
    }

    /// Who is behind; None where it may be anybody.
    pub(super) fn behind(&self) -> Option<impl Iterator<Item = &Receiver>> {
        (!self.behind.anybody).then(|| self.behind.members.values())
    }

    /// Nobody is behind any more that could be told.
    pub(super) fn give_up_on_those_behind(&mut self) {
        self.behind = Behind::default();
    }

    /// Nothing is remembered of who is no member any more.
    pub(super) fn forget_all_but(&mut self, is_member: impl Fn(IpAddr) -> bool) {
        self.possible.retain(|member, _| is_member(*member));
        self.known.retain(|member| is_member(*member));
    }

    /// Whether a member that is recorded to have the KEK `recorded` may have this one.
    pub(super) fn may_have(&self, member: IpAddr, recorded: KekTag, kek: KekTag) -> bool {
        let sent = || self.possible.get(&member).is_some_and(|keks| keks.contains(&kek));
        recorded == kek || !self.known.contains(&member) || sent()
    }

    /// How many have not acknowledged, or are to be told again.
    pub(super) fn waiting_for(&self) -> usize {
        let under_way = [&self.distribution, &self.catching_up].into_iter().flatten();
        let silent = under_way.flat_map(Distribution::silent).map(|receiver| receiver.to.ip());
        silent.chain(self.behind.members.keys().copied()).collect::<BTreeSet<_>>().len()
    }

    /// Messages sent so far for what is under way.
    pub(super) fn transmissions(&self) -> u64 {
        let under_way = [&self.distribution, &self.catching_up].into_iter().flatten();
        under_way.map(Distribution::transmissions).sum()
    }

    pub(super) const fn acks(&self) -> AckCounters {
        self.acks
    }

    /// An acknowledgement could not even be read.
    pub(super) fn count_malformed(&mut self) {
        self.acks.malformed += 1;
    }

    /// Takes in an acknowledgement (RFC 8263) of a message under `kek`, which is None where members are told nothing; what
    /// the member has now. Who is not waited for is answered before any cryptography (section 5).
    ///
    /// # Errors
    /// It changed nothing but a counter.
    pub(super) fn acknowledge(
        &mut self,
        from: SocketAddr,
        kek: Option<&Kek>,
        message: (&Header, &[u8]),
    ) -> Result<Conveyed, Error> {
        let checked = self.check(from, kek, message);
        *match &checked {
            Ok(_) => &mut self.acks.received,
            Err(Error::Misbehaved(Misbehaved::UnknownAcknowledgement)) => &mut self.acks.unexpected,
            Err(Error::Unauthenticated(Unauthenticated::Hash)) => &mut self.acks.forged,
            Err(_) => &mut self.acks.malformed,
        } += 1;
        checked
    }

    fn check(
        &mut self,
        from: SocketAddr,
        kek: Option<&Kek>,
        (header, body): (&Header, &[u8]),
    ) -> Result<Conveyed, Error> {
        let (unexpected, member) = (Misbehaved::UnknownAcknowledgement, from.ip());
        let kek = kek.ok_or(unexpected)?;
        let expected = self.under_way().filter(|distribution| distribution.expects(member));
        let expected: Vec<_> = expected.filter_map(|distribution| distribution.under(kek.spi)).collect();
        if expected.is_empty() {
            return Err(unexpected.into());
        }
        let ack = Acknowledgement::parse(kek, header, body)?;
        let answered = expected.into_iter().find(|(sequence, _)| *sequence == ack.sequence);
        match answered.filter(|_| ack.member == member) {
            Some((_, conveyed)) => {
                self.has_caught_up(member);
                Ok(conveyed)
            }
            None => Err(unexpected.into()),
        }
    }
}
