//! Building a rekey message: what each kind of rekey makes, ends and tells.

use super::config::RekeyConfig;
use super::distribution::{Distribution, Message};
use super::group::Group;
use super::keys::{GroupKek, GroupTek, NewTek, Succession};
use crate::crypto::Random;
use crate::endpoint::Instant;
use crate::error::Error;
use crate::event::KeyServerEvent;
use crate::lifetime::switch_margin;
use crate::policy::SenderTerms;
use crate::pull::{AclNotice, GroupPolicy, Tek};
use crate::push::{emit, PushContent};
use crate::wire::{AclDigest, Delete};
use std::time::Duration;

/// Why the group is rekeyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RekeyKind {
    /// Keys come to their end.
    Scheduled,
    /// An operator wants new keys, without loss.
    Forced,
    /// An operator wants the old keys gone now; what is under way is lost.
    ReplaceNow,
    /// The keys of now once more, for members that missed them.
    Reminder,
}

/// How members are sent away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// The keys live on for the DTD, so that those who may come back lose nothing.
    Graceful,
    /// The keys end at once.
    Now,
}

/// What a message carries besides its number.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) deletes: Vec<Delete>,
    /// Whether it ends the KEK that it is under.
    pub(super) ends_kek: bool,
    pub(super) teks: Vec<Tek>,
    pub(super) activation_delay: Option<Duration>,
    pub(super) deactivation_delay: Option<Duration>,
    /// The new KEK that goes with it.
    pub(super) kek: Option<GroupKek>,
}

impl Group {
    /// Makes the keys that `kind` needs and begins to distribute them. Without a rekey SA the members find
    /// them at their next registration.
    pub(super) fn rekey(
        &mut self,
        kind: RekeyKind,
        random: &mut dyn Random,
        now: Instant,
    ) -> Result<(), Error> {
        // A message that was cut off by a restart goes out again under the KEKs that members have.
        let reminder = kind == RekeyKind::Reminder;
        let unfinished = self.state.keys.previous_keks.iter();
        let unfinished: Vec<_> =
            unfinished.filter(|kek| reminder && kek.succession != Succession::Ended).cloned().collect();
        let current: Vec<_> = self.state.keys.kek.iter().cloned().collect();
        let mut plan = self.plan(kind, random, now)?;
        if unfinished.is_empty() {
            return self.distribute(&current, plan, now);
        }
        plan.kek = self.state.keys.kek.clone();
        if unfinished.iter().any(|kek| kek.succession == Succession::Abrupt) {
            plan.deletes.push(Delete::teks(&[0]));
        }
        self.distribute(&unfinished, plan, now)
    }

    fn plan(&mut self, kind: RekeyKind, random: &mut dyn Random, now: Instant) -> Result<Plan, Error> {
        let old: Vec<_> = self.state.keys.teks.clone();
        let mut plan = Plan::default();
        match kind {
            RekeyKind::Scheduled => {
                if self.state.keys.tek_due(self.tek_life()) <= now {
                    plan.teks.extend(self.fresh_tek(random, now)?);
                }
                plan.activation_delay = self.scheduled_switch(&old, now);
            }
            RekeyKind::Forced => {
                plan.teks.extend(self.fresh_tek(random, now)?);
                let retirement = self.retirement();
                (plan.activation_delay, plan.deactivation_delay) =
                    (Some(self.config.activation_delay), Some(retirement));
                self.state.keys.shorten_but_last(now + retirement);
            }
            RekeyKind::ReplaceNow => {
                plan.deletes.extend(deletes(&old));
                self.state.keys.end_teks();
                plan.teks.extend(self.fresh_tek(random, now)?);
            }
            RekeyKind::Reminder => {
                let listed = self.reminded(&old, now);
                plan.teks = listed.iter().filter_map(|tek| tek.as_of(now)).collect();
                plan.activation_delay = Some(self.reminded_switch(&listed, now));
            }
        }
        plan.kek = self.next_kek(kind, random, now)?;
        Ok(plan)
    }

    /// Members switch as those do that learn the new TEK in a PULL, so that one that hears no rekey loses nothing.
    fn scheduled_switch(&self, old: &[GroupTek], now: Instant) -> Option<Duration> {
        let left = old.last()?.expires.saturating_since(now);
        Some(left.saturating_sub(switch_margin(self.config.tek_lifetime)))
    }

    /// How long a replaced TEK lives on: who hears of it last still sends with it until the ATD is over.
    pub(super) fn retirement(&self) -> Duration {
        self.config.deactivation_delay.max(self.config.activation_delay + self.distribution_time())
    }

    /// All TEKs but those that end before all members have heard: who never heard that their end was brought
    /// forward goes on with them while it must.
    fn reminded(&self, teks: &[GroupTek], now: Instant) -> Vec<GroupTek> {
        let Some((last, old)) = teks.split_last() else { return Vec::new() };
        let all_reached = now + self.distribution_time();
        old.iter().filter(|tek| tek.expires > all_reached).chain([last]).cloned().collect()
    }

    /// As late as the old TEK allows; where none is listed a member may still hold one.
    fn reminded_switch(&self, teks: &[GroupTek], now: Instant) -> Duration {
        let Some((_, [.., old])) = teks.split_last() else { return self.distribution_time() };
        let left = old.expires.saturating_since(now);
        left.saturating_sub(switch_margin(left))
    }

    pub(super) fn fresh_tek(&mut self, random: &mut dyn Random, now: Instant) -> Result<Option<Tek>, Error> {
        let generation = self.state.generation();
        let taken: Vec<_> = self.spis().chain(self.others.iter().copied()).collect();
        let new = NewTek {
            transform: self.config.transform,
            life: self.config.tek_lifetime,
            senders: SenderTerms { generation, replay_window: self.config.replay_window },
            place: self.place(),
            taken: &taken,
        };
        let tek = self.state.keys.add_tek(new, random, now)?;
        self.events.push(KeyServerEvent::NewTek { group: self.name(), spi: tek.spi });
        Ok(tek.as_of(now))
    }

    /// The KEK that goes with the message: a new one if the old one is due or is to be replaced.
    pub(super) fn next_kek(
        &mut self,
        kind: RekeyKind,
        random: &mut dyn Random,
        now: Instant,
    ) -> Result<Option<GroupKek>, Error> {
        let Some((rekey, life)) = self.config.rekey.as_ref().zip(self.kek_life()) else { return Ok(None) };
        let wanted = matches!(kind, RekeyKind::Forced | RekeyKind::ReplaceNow);
        if !wanted && self.state.keys.kek_due(life) > now {
            return Ok(None);
        }
        let kind_of_kek = (rekey.key_len, rekey.lifetime, self.state.lineage);
        self.state.keys.replace_kek(kind_of_kek, random, now)?;
        if kind == RekeyKind::ReplaceNow {
            self.state.keys.succeeded(Succession::Abrupt);
        }
        self.events.push(KeyServerEvent::NewKek { group: self.name() });
        Ok(self.state.keys.kek.clone())
    }

    /// Ends the rekey SA for all members: they must register again, and who is revoked cannot.
    pub(super) fn dismiss(
        &mut self,
        removal: Removal,
        random: &mut dyn Random,
        now: Instant,
    ) -> Result<(), Error> {
        let protecting: Vec<_> = self.state.keys.kek.iter().cloned().collect();
        self.dismiss_under(&protecting, removal, random, now)
    }

    /// The same for the holders of several KEKs.
    pub(super) fn dismiss_under(
        &mut self,
        protecting: &[GroupKek],
        removal: Removal,
        random: &mut dyn Random,
        now: Instant,
    ) -> Result<(), Error> {
        if protecting.is_empty() {
            return Ok(());
        }
        let mut plan = Plan { ends_kek: true, ..Plan::default() };
        match removal {
            Removal::Graceful => {
                self.state.keys.shorten(now + self.config.deactivation_delay);
                plan.teks = self.state.keys.teks.iter().filter_map(|tek| tek.as_of(now)).collect();
            }
            Removal::Now => {
                plan.deletes.push(Delete::teks(&[0]));
                self.state.keys.end_teks();
            }
        }
        self.fresh_tek(random, now)?;
        self.end_kek(protecting, plan, random, now)
    }

    /// Tells the holders of these KEKs something for the last time.
    pub(super) fn end_kek(
        &mut self,
        protecting: &[GroupKek],
        plan: Plan,
        random: &mut dyn Random,
        now: Instant,
    ) -> Result<(), Error> {
        self.distribute(protecting, plan, now)?;
        let ended = self.state.keys.named(protecting);
        self.next_kek(RekeyKind::Forced, random, now)?;
        self.state.keys.set_previous(ended);
        self.state.keys.succeeded(Succession::Ended);
        Ok(())
    }

    /// Says once more that the rekey SA is over, after a restart that cut it off. The TEKs before the last one are
    /// those that were to live on.
    pub(super) fn dismiss_again(&mut self, now: Instant) -> Result<(), Error> {
        let ended = self.state.keys.previous_keks.iter();
        let ended: Vec<_> = ended.filter(|kek| kek.succession == Succession::Ended).cloned().collect();
        let old = &self.state.keys.teks[..self.state.keys.teks.len().saturating_sub(1)];
        let teks: Vec<_> = old.iter().filter_map(|tek| tek.as_of(now)).collect();
        let deletes = teks.is_empty().then(|| Delete::teks(&[0])).into_iter().collect();
        self.distribute(&ended, Plan { deletes, ends_kek: true, teks, ..Plan::default() }, now)
    }

    /// One content, encrypted and signed once for each KEK that members may have: nearly always one.
    pub(super) fn distribute(
        &mut self,
        protecting: &[GroupKek],
        plan: Plan,
        now: Instant,
    ) -> Result<(), Error> {
        self.part_with_foreigners(&plan.teks);
        let digest = AclDigest::of(&self.config.acl);
        if self.members.is_empty() {
            self.state.told = Some(digest);
            // Nobody has the KEKs before: who comes now gets the one of now.
            self.state.keys.set_previous(Vec::new());
        }
        let nobody = protecting.is_empty() || self.members.is_empty();
        let Some(rekey) = self.config.rekey.as_ref().filter(|_| !nobody) else { return Ok(()) };
        let messages = protecting.iter().map(|kek| self.message(rekey, kek, &plan, now));
        let messages = messages.collect::<Result<Vec<_>, _>>()?;
        let (transport, retransmit) = (rekey.transport, rekey.retransmit);
        let members = self.members.addresses();
        for Message { kek_spi, sequence, .. } in &messages {
            self.state.keys.used(*kek_spi, *sequence);
            self.events.push(KeyServerEvent::RekeySent {
                group: self.name(),
                transport,
                sequence: *sequence,
                members: members.len(),
                teks: plan.teks.iter().map(|tek| tek.spi).collect(),
            });
        }
        let to = members.into_iter();
        self.distribution = Some(Distribution::new(messages, digest, transport, retransmit, to));
        self.state.rekeys = self.state.rekeys.saturating_add(1);
        self.state.last_rekey = Some(now);
        self.state.under_way = true;
        self.mark_changed();
        Ok(())
    }

    fn message(
        &self,
        rekey: &RekeyConfig,
        protecting: &GroupKek,
        plan: &Plan,
        now: Instant,
    ) -> Result<Message, Error> {
        let sequence = self.next_sequence(self.state.keys.used_under(protecting.spi));
        let ends_kek = plan.ends_kek.then(|| Delete::kek(protecting.spi));
        let deletes: Vec<_> = plan.deletes.iter().cloned().chain(ends_kek).collect();
        let policy = self.policy_of(rekey, protecting, plan, now);
        let content = PushContent { sequence, deletes: &deletes, policy: policy.as_ref() };
        let payload = emit(&self.kek_of(&rekey.terms(), protecting, now), &rekey.signing_key, &content)?;
        Ok(Message { kek_spi: protecting.spi, sequence, payload })
    }

    /// Each server has numbers of its own, so that none is used twice even by servers that do not hear each other.
    fn next_sequence(&self, last: u32) -> u32 {
        let next = last.saturating_add(1);
        let Some(coop) = &self.coop else { return next };
        let (slot, slots) = coop.slot();
        next.saturating_add((slot + slots - next % slots) % slots)
    }

    fn policy_of(
        &self,
        rekey: &RekeyConfig,
        protecting: &GroupKek,
        plan: &Plan,
        now: Instant,
    ) -> Option<GroupPolicy> {
        if plan.teks.is_empty() && plan.kek.is_none() {
            return None;
        }
        // Members that got their KEK from servers that began apart have another time.
        let timed = self.members.are_all_ours() && protecting.lineage == self.state.lineage;
        Some(GroupPolicy {
            acl: self.notice(),
            mode: self.config.mode,
            teks: plan.teks.clone(),
            kek: plan.kek.as_ref().map(|kek| self.kek_of(&rekey.terms(), kek, now)),
            activation_delay: plan.activation_delay,
            deactivation_delay: plan.deactivation_delay,
            pseudotime: timed.then(|| now.as_millis()),
        })
    }

    /// The whole list goes out only where members may have another.
    fn notice(&self) -> AclNotice {
        let (acl, digest) = (&self.config.acl, AclDigest::of(&self.config.acl));
        match (self.members.are_all_ours(), self.state.told == Some(digest)) {
            (false, _) => AclNotice::Selectors(acl.clone()),
            (true, true) => AclNotice::Digest(digest),
            (true, false) => AclNotice::List(acl.clone()),
        }
    }
}

fn deletes(teks: &[GroupTek]) -> Option<Delete> {
    let spis: Vec<_> = teks.iter().map(|tek| tek.spi.0).collect();
    (!spis.is_empty()).then(|| Delete::teks(&spis))
}
