//! The keys that a member holds, and what they mean at a point in time.

mod group_clock;
mod held_acl;
mod identifiers;
mod sa;
mod traffic;

pub(crate) use group_clock::Made;
pub use sa::{Sa, View};
pub use traffic::Traffic;

use crate::crypto::Random;
use crate::endpoint::Instant;
use crate::error::{Error, Malformed, Misbehaved, Unacceptable};
use crate::group::{AclNotice, Deletion, GroupPolicy, Kek, Rekey, SenderIds, Tek};
use crate::lifetime::switch_margin;
use crate::policy::{Acl, GroupId, SendMode, Sid, SidGeneration, SidNonce, Spi};
use group_clock::GroupClock;
use held_acl::{HeldAcl, Way};
use identifiers::Identifiers;
use std::net::SocketAddr;
use std::time::Duration;
use traffic::{Apart, Carried};

/// More TEKs are never held at once: the one that ends first goes. Servers with long lives and short periods have many.
const MAX_TEKS: usize = 256;

/// How much longer a TEK is received with, and a KEK listened with, than its lifetime says: that was rounded down to a second, and another one is
/// for packets that were sent at the very end and for clocks that do not run alike.
const GRACE: Duration = Duration::from_secs(2);

#[derive(Debug)]
struct HeldTek {
    /// Its end is the latest that the server can have meant: received with until then.
    sa: Sa,
    activates: Instant,
    /// The earliest that the server can have meant: sent with until then.
    ends: Instant,
    life: Duration,
    /// Whose sender IDs go with it; None where all senders share its key.
    generation: Option<SidGeneration>,
    /// Which entries of the list it is for.
    carried: Carried,
}

impl HeldTek {
    /// It lives no longer than this. Where the end was brought forward and not only rounded, all that is timed by its
    /// life goes by what is left of it: members that must register again need most of that.
    fn shorten(&mut self, left: Duration, made: Made) {
        let (ends, expires) = (made.earliest + left, made.latest + left + GRACE);
        if ends + GRACE < self.ends {
            self.life = self.life.min(left);
        }
        self.ends = self.ends.min(ends);
        self.sa.expires = self.sa.expires.min(expires);
    }
}

/// All that was downloaded and still lives.
#[derive(Debug)]
pub(crate) struct Keyring {
    group: GroupId,
    registered: bool,
    acl: HeldAcl,
    apart: Apart,
    mode: SendMode,
    teks: Vec<HeldTek>,
    kek: Option<(Kek, Instant)>,
    /// The one before: the message that replaced it may come again under it, with a new number.
    previous_kek: Option<(Kek, Instant)>,
    delays: (Option<Duration>, Option<Duration>),
    clock: GroupClock,
    identifiers: Identifiers,
}

impl Keyring {
    /// An empty one.
    pub(crate) fn new(group: GroupId) -> Keyring {
        Keyring {
            group,
            registered: false,
            acl: HeldAcl::default(),
            apart: Apart::default(),
            mode: SendMode::default(),
            teks: Vec::new(),
            kek: None,
            previous_kek: None,
            delays: (None, None),
            clock: GroupClock::default(),
            identifiers: Identifiers::default(),
        }
    }

    /// Takes in what a PULL downloaded. TEKs that are held already stay as they are; those that the server
    /// no longer lists live to their end, because other members may still send with them.
    /// Lifetimes were true at some time within `made`.
    ///
    /// # Errors
    /// [`Misbehaved::SenderIdAgain`], and nothing has changed.
    pub(crate) fn pull(
        &mut self,
        policy: GroupPolicy,
        sids: &SenderIds,
        made: Made,
        now: Instant,
    ) -> Result<(), Misbehaved> {
        self.identifiers.check(sids)?;
        self.identifiers.take(sids);
        self.registered = true;
        self.keep_kek_only_if(policy.kek.as_ref());
        let made = self.clock.pulled(policy.pseudotime, made);
        self.take(policy, Way::Pull, made, now);
        Ok(())
    }

    /// Takes in what a PUSH said. The delays of its GAP are about its own TEKs: what they replace goes after
    /// the DTD.
    pub(crate) fn push(&mut self, push: Rekey, now: Instant) {
        push.deletions.iter().for_each(|deletion| self.delete(deletion));
        let keks = [&mut self.kek, &mut self.previous_kek].into_iter().flatten();
        keks.filter(|(kek, _)| kek.spi == push.kek_spi).for_each(|(kek, _)| kek.sequence = push.sequence);
        if let Some(policy) = push.policy {
            let made = self.clock.pushed(policy.pseudotime, now);
            if let Some(delay) = policy.deactivation_delay {
                self.retire(&policy, delay, made);
            }
            self.take(policy, Way::Push, made, now);
        }
    }

    fn delete(&mut self, deletion: &Deletion) {
        match deletion {
            Deletion::Tek(spi) => self.teks.retain(|tek| tek.sa.spi != *spi),
            Deletion::AllTeks => self.teks.clear(),
            Deletion::AllKeks => (self.kek, self.previous_kek) = (None, None),
            Deletion::Kek(spi) => {
                [&mut self.kek, &mut self.previous_kek].into_iter().for_each(|held| end(held, *spi));
            }
        }
    }

    /// All TEKs for the same traffic but these end after the DTD. The server leaves time for those that hear of it last, so
    /// sending needs no earlier end.
    fn retire(&mut self, policy: &GroupPolicy, delay: Duration, made: Made) {
        let how = (Way::Push, self.apart.after(policy, Way::Push));
        let new: Vec<_> =
            policy.teks.iter().map(|tek| (tek.spi, Carried::of(tek, &policy.acl, how))).collect();
        let replaced = self.teks.iter_mut().filter(|held| {
            let same = |(_, carried): &(Spi, Carried)| carried.overlaps(&held.carried);
            new.iter().all(|(spi, _)| *spi != held.sa.spi) && new.iter().any(same)
        });
        replaced.for_each(|held| held.shorten(delay, Made { earliest: made.latest, ..made }));
    }

    fn take(&mut self, policy: GroupPolicy, way: Way, made: Made, now: Instant) {
        self.teks.retain(|tek| tek.sa.expires > now);
        let says_nothing = policy.teks.is_empty() && matches!(policy.acl, AclNotice::Selectors(_));
        if !says_nothing {
            self.mode = policy.mode;
            self.apart = self.apart.after(&policy, way);
            let notice = self.notice(&policy, way).unwrap_or_else(|_| policy.acl.clone());
            self.acl.take(notice, way);
        }
        let carried: Vec<_> =
            policy.teks.iter().map(|tek| Carried::of(tek, &policy.acl, (way, self.apart))).collect();
        if let Way::Pull = way {
            self.delays = (policy.activation_delay, policy.deactivation_delay);
        }
        if let Some(kek) = policy.kek {
            self.replace_kek(kek, way, made);
        }
        let delay = policy.activation_delay.unwrap_or_default();
        for (tek, carried) in policy.teks.into_iter().zip(carried) {
            self.add((tek, carried), way, delay, made, now);
        }
    }

    /// A KEK that comes by PUSH cannot name each member's address: that of the PULL holds on. Nor does one of our servers ask
    /// for acknowledgements there when other software hears it (RFC 6407 section 5.3.2); what the PULL asked for holds on.
    fn replace_kek(&mut self, mut kek: Kek, way: Way, made: Made) {
        if let Some((held, _)) = self.kek.as_mut().filter(|(held, _)| held.spi == kek.spi) {
            // "The sequence number value in the SEQ payload MUST be considered stale" (RFC 6407 section 3.3).
            held.sequence = held.sequence.max(kek.sequence);
            return;
        }
        if let (Some((held, _)), true) = (&self.kek, kek.destination.ip().is_unspecified()) {
            kek.destination = held.destination;
        }
        if let (Some((held, _)), Way::Push, true) = (&self.kek, way, self.acl.is_whole()) {
            kek.ack = kek.ack.or(held.ack);
        }
        let expires = made.latest + kek.lifetime + GRACE;
        self.previous_kek = self.kek.replace((kek, expires));
    }

    /// After a PULL only the KEK in it counts.
    fn keep_kek_only_if(&mut self, listed: Option<&Kek>) {
        self.previous_kek = None;
        self.kek.take_if(|(held, _)| listed.is_none_or(|listed| listed.spi != held.spi));
    }

    fn add(&mut self, (tek, carried): (Tek, Carried), way: Way, delay: Duration, made: Made, now: Instant) {
        if let Some(held) =
            self.teks.iter_mut().find(|held| held.sa.spi == tek.spi && held.sa.keys == tek.keys)
        {
            held.shorten(tek.lifetime, made);
            held.carried = carried;
            return;
        }
        // A server that gives an SPI new keys has lost the old ones.
        self.teks.retain(|held| held.sa.spi != tek.spi);
        let activates = self.activation(&carried, way, delay, now);
        let (ends, expires) = (made.earliest + tek.lifetime, made.latest + tek.lifetime + GRACE);
        let (spi, transform, keys, life) = (tek.spi, tek.transform, tek.keys, tek.lifetime);
        let replay_window = tek.senders.map_or(0, |terms| terms.replay_window);
        let generation = tek.senders.map(|terms| terms.generation);
        let sa = Sa { spi, transform, keys, expires, replay_window, group: self.group };
        self.teks.push(HeldTek { sa, activates, ends, life, generation, carried });
        if self.teks.len() > MAX_TEKS {
            let first = self.teks.iter().enumerate().min_by_key(|(_, held)| held.sa.expires);
            first.map(|(index, _)| index).into_iter().for_each(|index| drop(self.teks.remove(index)));
        }
    }

    /// When a new TEK begins to send: at once if it is the only one for its traffic. Else after the ATD; if it came by PULL not
    /// before shortly before the end of the one before it, and never after that end.
    fn activation(&self, carried: &Carried, way: Way, delay: Duration, now: Instant) -> Instant {
        let before = self.teks.iter().rev().find(|held| held.carried.overlaps(carried));
        let Some(previous) = before else { return now };
        let left = previous.ends.saturating_since(now);
        let margin = switch_margin(previous.life);
        let latest = left.saturating_sub(switch_margin(previous.life.min(left)) / 2);
        let wait = match way {
            Way::Pull => delay.max(left.saturating_sub(margin)),
            Way::Push => delay,
        };
        now + wait.min(latest)
    }

    /// What holds at `now`.
    pub(crate) fn view(&self, now: Instant) -> View {
        let live = self.teks.iter().filter(|tek| tek.sa.expires > now);
        let apart = self.traffic_apart(now);
        let outbound = self.sending(now, |_| true);
        View {
            registered: self.registered,
            acl: self.acl().clone(),
            inbound: live.map(|tek| tek.sa.clone()).collect(),
            outbound: outbound.map(|tek| tek.sa.clone()),
            rekey_group: self.rekey_group(now),
            sids: outbound.map_or(&[][..], |tek| self.sids_for(tek)).to_vec(),
            mode: self.mode,
            apart,
        }
    }

    /// What sends, of these.
    fn sending(&self, now: Instant, of: impl Fn(&HeldTek) -> bool) -> Option<&HeldTek> {
        let sendable = || self.sendable(now).filter(|tek| tek.ends > now && of(tek));
        let active = sendable().filter(|tek| tek.activates <= now).max_by_key(|tek| tek.activates);
        active.or_else(|| sendable().min_by_key(|tek| tek.activates))
    }

    /// Whether a rekey message can be taken in: SAs that only receive are understood from servers of this
    /// implementation.
    ///
    /// # Errors
    /// [`Unacceptable::Unsupported`].
    pub(crate) fn check(&self, push: &Rekey) -> Result<(), Error> {
        let receives = |policy: &GroupPolicy| {
            policy.mode == SendMode::ReceiveOnly && matches!(policy.acl, AclNotice::Selectors(_))
        };
        if push.policy.as_ref().is_some_and(receives) && !self.acl.is_whole() {
            return Err(Unacceptable::Unsupported("SA direction", 2).into());
        }
        match push.policy.as_ref().map(|policy| self.notice(policy, Way::Push)) {
            Some(Err(_)) => Err(Malformed::TooMany("SAT payloads").into()),
            Some(Ok(_)) | None => Ok(()),
        }
    }

    /// Whether the group has another ACL than the one held.
    pub(crate) const fn lacks_acl(&self) -> bool {
        self.acl.is_outdated()
    }

    /// The TEKs that this member may send with: where every sender has its own key only those for which it has sender
    /// IDs. Those of another generation may be another member's under this TEK.
    fn sendable(&self, now: Instant) -> impl Iterator<Item = &HeldTek> {
        let live = self.teks.iter().filter(move |tek| tek.sa.expires > now);
        live.filter(|tek| tek.generation.is_none() || !self.sids_for(tek).is_empty())
    }

    fn sids_for(&self, tek: &HeldTek) -> &[Sid] {
        tek.generation.map_or(&[], |generation| self.identifiers.of(generation))
    }

    /// The multicast group of the KEK.
    pub(crate) fn rekey_group(&self, now: Instant) -> Option<SocketAddr> {
        let (kek, _) = self.kek(now)?;
        kek.destination.ip().is_multicast().then_some(kek.destination)
    }

    /// Until when the view stays what it is at `now`; None is until something is taken in.
    pub(crate) fn next_change(&self, now: Instant) -> Option<Instant> {
        let keys = self.teks.iter().flat_map(|tek| [tek.activates, tek.ends, tek.sa.expires]);
        let rekey_group = self.rekey_group(now).and(self.kek(now)).map(|(_, expires)| expires);
        keys.chain(rekey_group).filter(|time| *time > now).min()
    }

    /// Forgets the TEKs whose life is over; answers whether the last one was among them.
    pub(crate) fn expire(&mut self, now: Instant) -> bool {
        let held = self.teks.len();
        self.teks.retain(|tek| tek.sa.expires > now);
        held > 0 && self.teks.is_empty()
    }

    /// The list as it is held, with or without keys.
    pub(crate) const fn acl(&self) -> &Acl {
        self.acl.list()
    }

    /// Whether a policy was ever downloaded.
    pub(crate) const fn is_registered(&self) -> bool {
        self.registered
    }

    /// The end of the last TEK that this member may send with, and the life it had when it came; if it may send with
    /// none, of the last that lives.
    pub(crate) fn last_tek(&self, now: Instant) -> Option<(Instant, Duration)> {
        if self.apart == Apart::Yes {
            return self.first_last_tek(now);
        }
        let live = self.teks.iter().filter(|tek| tek.sa.expires > now);
        let last = self.sendable(now).max_by_key(|tek| tek.ends);
        last.or(live.max_by_key(|tek| tek.ends)).map(|tek| (tek.ends, tek.life))
    }

    /// The KEK and its end, while it lives.
    pub(crate) fn kek(&self, now: Instant) -> Option<(&Kek, Instant)> {
        self.kek.as_ref().filter(|(_, expires)| *expires > now).map(|(kek, expires)| (kek, *expires))
    }

    /// The group's time at `now`, milliseconds, if the server tells it.
    pub(crate) fn pseudotime(&self, now: Instant) -> Option<u64> {
        self.clock.at(now)
    }

    /// The KEK that a rekey message with this cookie pair is under, while it lives.
    pub(crate) fn kek_named(&self, spi: [u8; 16], now: Instant) -> Option<&Kek> {
        let keks = [&self.kek, &self.previous_kek].into_iter().flatten();
        keks.filter(|(_, expires)| *expires > now).map(|(kek, _)| kek).find(|kek| kek.spi == spi)
    }

    /// By which a key server knows that the states of this member still count under the sender IDs that it has.
    ///
    /// # Errors
    /// Those of the source.
    pub(crate) fn sender_id_nonce(&mut self, random: &mut dyn Random) -> Result<SidNonce, Error> {
        self.identifiers.nonce(random)
    }

    /// States that counted under sender IDs are lost: the same ones must not come again.
    pub(crate) fn lose_states(&mut self) {
        self.identifiers.lose();
    }

    /// The sender IDs that came last, and of which generation they are.
    pub(crate) fn sender_ids(&self) -> Option<(SidGeneration, &[Sid])> {
        self.identifiers.newest()
    }

    /// ATD and DTD as downloaded.
    pub(crate) const fn delays(&self) -> (Option<Duration>, Option<Duration>) {
        self.delays
    }
}

/// It is over, if it is this one.
fn end(held: &mut Option<(Kek, Instant)>, spi: [u8; 16]) {
    held.take_if(|(kek, _)| kek.spi == spi);
}

#[cfg(test)]
mod tests;
