//! The keys that a member holds, and what they mean at a point in time.

mod choice;
mod ended;
mod gain;
mod group_clock;
mod held_acl;
mod held_tek;
mod identifiers;
mod past;
mod renumbered;
mod sa;
mod traffic;

pub(crate) use gain::{Gain, Others};
pub(crate) use group_clock::Made;
pub(crate) use identifiers::SidNonces;
pub use sa::{Sa, View};
pub use traffic::Traffic;

use crate::crypto::Random;
use crate::endpoint::Instant;
use crate::error::{Error, Malformed, Misbehaved, Unacceptable};
use crate::group::{AclNotice, Deletion, GroupPolicy, Kek, Rekey, SenderIds, Tek};
use crate::policy::{Acl, GroupId, SendMode, Sid, SidGeneration, Spi};
use ended::CountedKey;
use group_clock::GroupClock;
use held_acl::{HeldAcl, Way};
use held_tek::{End, HeldTek, Standing, GRACE};
use identifiers::Identifiers;
use past::{Past, PastKek};
use renumbered::Renumbered;
use std::net::SocketAddr;
use std::time::Duration;
use traffic::{Apart, Carried};

/// More TEKs are never held at once: the one that ends first goes. Servers with long lives and short periods have many.
const MAX_TEKS: usize = 256;

/// All that was downloaded and still lives.
#[derive(Debug)]
pub(crate) struct Keyring {
    group: GroupId,
    registered: bool,
    acl: HeldAcl,
    apart: Apart,
    mode: SendMode,
    /// In the order in which they take over from each other.
    teks: Vec<HeldTek>,
    kek: Option<(Kek, Instant)>,
    /// The one before: the message that replaced it may come again under it, with a new number.
    previous_kek: Option<(Kek, Instant)>,
    delays: (Option<Duration>, Option<Duration>),
    clock: GroupClock,
    identifiers: Identifiers,
    /// The SPIs of TEKs and of KEKs that were given up.
    past_teks: Past<Spi>,
    past_keks: Past<PastKek>,
    renumbered: Option<Renumbered>,
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
            past_teks: Past::default(),
            past_keks: Past::default(),
            renumbered: None,
        }
    }

    /// Takes in what a PULL downloaded. TEKs that are held already stay as they are; those that the server
    /// no longer lists live to their end, because other members may still send with them, but this member sends with what
    /// is listed as soon as it may. Lifetimes were true at some time within `made`.
    ///
    /// # Errors
    /// [`Misbehaved::SenderIdAgain`], and nothing has changed.
    pub(crate) fn pull(
        &mut self,
        policy: GroupPolicy,
        sids: &SenderIds,
        made: Made,
        others: Others,
        now: Instant,
    ) -> Result<Gain, Misbehaved> {
        if let Err(again) = self.identifiers.check(sids) {
            self.identifiers.ask_for_others();
            return Err(again);
        }
        let (gain, delay) = (self.gain(&policy, sids), policy.activation_delay.unwrap_or_default());
        let before = self.counted();
        self.identifiers.take(sids);
        self.registered = true;
        self.keep_kek_only_if(policy.kek.as_ref(), now);
        let gain = self.renumber(gain, policy.kek.as_ref(), policy.pseudotime);
        let made = self.clock.pulled(policy.pseudotime, made);
        self.judge(&policy.teks, made, now);
        self.take(policy, Way::Pull(others), made, now);
        self.hasten(others, delay, now);
        self.note_ended(before);
        Ok(gain)
    }

    /// Takes in what a PUSH said. A KEK that it ends has its number. The delays of its GAP are about its own TEKs: what they replace goes after
    /// the DTD.
    pub(crate) fn push(&mut self, push: Rekey, now: Instant) {
        let before = self.counted();
        let keks = [&mut self.kek, &mut self.previous_kek].into_iter().flatten();
        keks.filter(|(kek, _)| kek.spi == push.kek_spi).for_each(|(kek, _)| kek.sequence = push.sequence);
        push.deletions.iter().for_each(|deletion| self.delete(deletion, now));
        if let Some(policy) = push.policy {
            let made = self.clock.pushed(policy.pseudotime, now);
            if let Some(delay) = policy.deactivation_delay {
                self.retire(&policy, delay, made);
            }
            self.take(policy, Way::Push, made, now);
        }
        self.note_ended(before);
    }

    /// The keys that are held of which every sender has its own.
    fn counted(&self) -> Vec<CountedKey> {
        self.teks.iter().filter_map(CountedKey::of).collect()
    }

    /// Of these some have gone, and what counted under them with them.
    fn note_ended(&mut self, before: Vec<CountedKey>) {
        for key in before {
            if !self.teks.iter().any(|held| key.is(held)) {
                self.identifiers.end(key);
            }
        }
    }

    fn delete(&mut self, deletion: &Deletion, now: Instant) {
        match deletion {
            Deletion::Tek(spi) => self.give_up(now, |tek| tek.sa.spi == *spi),
            Deletion::AllTeks => self.give_up(now, |_| true),
            Deletion::AllKeks => self.keep_kek_only_if(None, now),
            Deletion::Kek(spi) => {
                let keks = [&mut self.kek, &mut self.previous_kek].into_iter();
                let gone: Vec<_> = keks.filter_map(|held| held.take_if(|(kek, _)| kek.spi == *spi)).collect();
                self.past_keks.extend(gone.iter().map(PastKek::of), now);
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
        replaced.for_each(|held| held.retire(delay, Made { earliest: made.latest, ..made }));
    }

    fn take(&mut self, policy: GroupPolicy, way: Way, made: Made, now: Instant) {
        self.give_up(now, |tek| tek.sa.expires <= now);
        let says_nothing = policy.teks.is_empty() && matches!(policy.acl, AclNotice::Selectors(_));
        if !says_nothing {
            self.mode = policy.mode;
            self.apart = self.apart.after(&policy, way);
            let notice = self.notice(&policy, way).unwrap_or_else(|_| policy.acl.clone());
            self.acl.take(notice, way);
        }
        let carried: Vec<_> =
            policy.teks.iter().map(|tek| Carried::of(tek, &policy.acl, (way, self.apart))).collect();
        if let Way::Pull(_) = way {
            self.delays = (policy.activation_delay, policy.deactivation_delay);
        }
        if let Some(kek) = policy.kek {
            self.replace_kek(kek, way, made, now);
        }
        let delay = policy.activation_delay.unwrap_or_default();
        let order: Vec<_> = policy.teks.iter().map(|tek| tek.spi).collect();
        for (number, new) in policy.teks.into_iter().zip(carried).enumerate() {
            self.add(new, &order[number + 1..], (way, delay), made, now);
        }
    }

    /// A KEK that comes by PUSH cannot name each member's address: that of the PULL holds on. Nor does one of our servers ask
    /// for acknowledgements there when other software hears it (RFC 6407 section 5.3.2); what the PULL asked for holds on.
    fn replace_kek(&mut self, mut kek: Kek, way: Way, made: Made, now: Instant) {
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
        self.renumbered = self.number_again(&mut kek, way);
        let gone = std::mem::replace(&mut self.previous_kek, self.kek.replace((kek, expires)));
        self.past_keks.extend(gone.iter().map(PastKek::of), now);
    }

    /// A KEK may come back that was given up: the numbers of what was said under it are used. A rekey message is from a server
    /// that knows them; a PULL says what the server counts from, which may have an older state or never have heard of the end.
    fn number_again(&self, kek: &mut Kek, way: Way) -> Option<Renumbered> {
        let before = self.previous_kek.iter().map(PastKek::of).chain(self.past_keks.names());
        let used = before.filter(|past| past.spi == kek.spi).map(|past| past.number).max()?;
        match way {
            Way::Push => {
                kek.sequence = kek.sequence.max(used);
                None
            }
            Way::Pull(_) => self.told_time().map(|since| Renumbered::given_back(used, since)),
        }
    }

    /// After a PULL only the KEK in it counts.
    fn keep_kek_only_if(&mut self, listed: Option<&Kek>, now: Instant) {
        let gone = self.kek.take_if(|(held, _)| listed.is_none_or(|listed| listed.spi != held.spi));
        let gone: Vec<_> = gone.into_iter().chain(self.previous_kek.take()).collect();
        self.past_keks.extend(gone.iter().map(PastKek::of), now);
    }

    /// Forgets TEKs; what comes under them for a while yet is no sign of anything.
    fn give_up(&mut self, now: Instant, gone: impl Fn(&HeldTek) -> bool) {
        self.past_teks.extend(self.teks.iter().filter(|tek| gone(tek)).map(|tek| tek.sa.spi), now);
        self.teks.retain(|tek| !gone(tek));
    }

    /// A server lists the TEK that ends first before the others. A new one takes its place before those that are listed
    /// behind it: who missed it may have its successor already.
    fn add(
        &mut self,
        (tek, carried): (Tek, Carried),
        successors: &[Spi],
        (way, delay): (Way, Duration),
        made: Made,
        now: Instant,
    ) {
        if let Some(held) = self.teks.iter_mut().find(|held| held.is(&tek)) {
            held.name(tek.lifetime, made);
            held.standing = Standing::Current;
            held.carried = carried;
            return;
        }
        self.teks.retain(|held| held.sa.spi != tek.spi);
        let activates = self.activation(&carried, way, delay, now);
        let (ends, expires) = (made.earliest + tek.lifetime, made.latest + tek.lifetime + GRACE);
        let (spi, transform, keys, life) = (tek.spi, tek.transform, tek.keys, tek.lifetime);
        let replay_window = tek.senders.map_or(0, |terms| terms.replay_window);
        let generation = tek.senders.map(|terms| terms.generation);
        let sa = Sa { spi, transform, keys, expires, replay_window, group: self.group };
        let (standing, end) = (Standing::Current, End::Said);
        let is_later = |held: &HeldTek| successors.contains(&held.sa.spi);
        let place = self.teks.iter().position(is_later).unwrap_or(self.teks.len());
        self.teks.insert(place, HeldTek { sa, activates, ends, life, end, standing, generation, carried });
        if self.teks.len() > MAX_TEKS {
            let first = self.teks.iter().min_by_key(|held| held.sa.expires).map(|held| held.sa.spi);
            self.give_up(now, |tek| Some(tek.sa.spi) == first);
        }
    }

    /// Whether a rekey message can be taken in: SAs that only receive are understood from servers of this
    /// implementation; a number that was used before a server lost its newest state must be on a newer message.
    ///
    /// # Errors
    /// [`Unacceptable::Unsupported`], [`Misbehaved::Sequence`].
    pub(crate) fn check(&self, push: &Rekey) -> Result<(), Error> {
        let time = push.policy.as_ref().and_then(|policy| policy.pseudotime);
        if let Some(renumbered) = self.renumbered.filter(|renumbered| renumbered.is_old(push.sequence, time))
        {
            return Err(Misbehaved::Sequence { got: push.sequence, last: renumbered.highest() }.into());
        }
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
        let (held, before) = (self.teks.len(), self.counted());
        self.give_up(now, |tek| tek.sa.expires <= now);
        self.note_ended(before);
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

    /// By which this key server knows that the states of this member still count under the sender IDs that it gave, and by
    /// which it knows that they do not.
    ///
    /// # Errors
    /// Those of the source.
    pub(crate) fn sender_id_nonces(
        &mut self,
        server: SocketAddr,
        random: &mut dyn Random,
        now: Instant,
    ) -> Result<SidNonces, Error> {
        self.identifiers.nonces(server, random, now)
    }

    /// Whether this member may send with none of the keys that the server lists, since one had gone that is among them.
    pub(crate) fn lacks_sender_ids(&self, now: Instant) -> bool {
        let is_current = |tek: &&HeldTek| tek.standing == Standing::Current;
        let mut live = self.teks.iter().filter(|tek| tek.sa.expires > now).filter(is_current);
        !self.sendable(now).any(|tek| is_current(&tek)) && live.any(|tek| self.identifiers.has_ended(tek))
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

#[cfg(test)]
mod tests;
