//! Building a rekey message: what each kind of rekey makes, ends and tells.

use super::distribution::Distribution;
use super::group::{Group, RekeyConfig};
use super::keys::{GroupKek, GroupTek};
use crate::crypto::Random;
use crate::endpoint::Instant;
use crate::error::Error;
use crate::event::KeyServerEvent;
use crate::lifetime::switch_margin;
use crate::policy::Acl;
use crate::pull::{GroupPolicy, Tek};
use crate::push::{emit, PushContent};
use crate::wire::Delete;
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
struct Plan {
    deletes: Vec<Delete>,
    teks: Vec<Tek>,
    activation_delay: Option<Duration>,
    deactivation_delay: Option<Duration>,
    /// Whether a new KEK goes with it.
    kek: Option<GroupKek>,
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
        // A message that was cut off by a restart goes out again under the KEK that all members have.
        let unfinished = self.keys.previous_kek.clone().filter(|_| kind == RekeyKind::Reminder);
        let protecting = unfinished.clone().or(self.keys.kek.clone());
        let mut plan = self.plan(kind, random, now)?;
        if unfinished.is_some() {
            plan.kek = self.keys.kek.clone();
        }
        match protecting {
            Some(kek) => self.distribute(&kek, plan, now),
            None => Ok(()),
        }
    }

    fn plan(&mut self, kind: RekeyKind, random: &mut dyn Random, now: Instant) -> Result<Plan, Error> {
        let old: Vec<_> = self.keys.teks.clone();
        let mut plan = Plan::default();
        match kind {
            RekeyKind::Scheduled => {
                if self.keys.tek_due(self.tek_life()) <= now {
                    plan.teks.extend(self.fresh_tek(random, now)?);
                }
                plan.activation_delay = self.scheduled_switch(&old, now);
            }
            RekeyKind::Forced => {
                plan.teks.extend(self.fresh_tek(random, now)?);
                (plan.activation_delay, plan.deactivation_delay) =
                    (Some(self.config.activation_delay), Some(self.config.deactivation_delay));
                // Not later than the first member forgets them: who registers now must not send with them after that.
                self.keys.shorten_but_last(now + self.config.deactivation_delay);
            }
            RekeyKind::ReplaceNow => {
                plan.deletes.extend(deletes(&old));
                self.keys.teks.clear();
                plan.teks.extend(self.fresh_tek(random, now)?);
            }
            RekeyKind::Reminder => {
                plan.teks = self.keys.teks.iter().filter_map(|tek| tek.as_of(now)).collect();
                plan.activation_delay = self.scheduled_switch(&old[..old.len().saturating_sub(1)], now);
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

    fn fresh_tek(&mut self, random: &mut dyn Random, now: Instant) -> Result<Option<Tek>, Error> {
        let tek = self.keys.add_tek(self.config.transform, self.config.tek_lifetime, random, now)?;
        self.events.push(KeyServerEvent::NewTek { group: self.name(), spi: tek.spi });
        Ok(tek.as_of(now))
    }

    /// The KEK that goes with the message: a new one if the old one is due or is to be replaced.
    fn next_kek(
        &mut self,
        kind: RekeyKind,
        random: &mut dyn Random,
        now: Instant,
    ) -> Result<Option<GroupKek>, Error> {
        let Some((rekey, life)) = self.config.rekey.as_ref().zip(self.kek_life()) else { return Ok(None) };
        let wanted = matches!(kind, RekeyKind::Forced | RekeyKind::ReplaceNow);
        if !wanted && self.keys.kek_due(life) > now {
            return Ok(None);
        }
        self.keys.replace_kek(rekey.key_len, rekey.lifetime, random, now)?;
        self.events.push(KeyServerEvent::NewKek { group: self.name() });
        Ok(self.keys.kek.clone())
    }

    /// Ends the rekey SA for all members: they must register again, and who is revoked cannot.
    pub(super) fn dismiss(
        &mut self,
        removal: Removal,
        random: &mut dyn Random,
        now: Instant,
    ) -> Result<(), Error> {
        let Some(protecting) = self.keys.kek.clone() else { return Ok(()) };
        let mut plan = Plan { deletes: vec![Delete::kek(protecting.spi)], ..Plan::default() };
        match removal {
            Removal::Graceful => {
                self.keys.shorten(now + self.config.deactivation_delay);
                plan.teks = self.keys.teks.iter().filter_map(|tek| tek.as_of(now)).collect();
            }
            Removal::Now => {
                plan.deletes.insert(0, Delete::teks(&[0]));
                self.keys.teks.clear();
            }
        }
        self.distribute(&protecting, plan, now)?;
        self.fresh_tek(random, now)?;
        self.next_kek(RekeyKind::Forced, random, now).map(|_| ())
    }

    /// One message, encrypted and signed once, for all members.
    fn distribute(&mut self, protecting: &GroupKek, plan: Plan, now: Instant) -> Result<(), Error> {
        let Some(rekey) = self.config.rekey.as_ref().filter(|_| !self.members.is_empty()) else {
            return Ok(());
        };
        let sequence = protecting.sequence + 1;
        let policy = self.policy_of(rekey, &plan, now);
        let content = PushContent { sequence, deletes: &plan.deletes, policy: policy.as_ref() };
        let message = emit(&self.kek_of(rekey, protecting, now), &rekey.signing_key, &content)?;
        let (transport, retransmit) = (rekey.transport, rekey.retransmit);
        self.keys.used(protecting.spi, sequence);
        let members = self.members.addresses().into_iter();
        self.events.push(KeyServerEvent::RekeySent {
            group: self.name(),
            transport,
            sequence,
            members: members.len(),
            teks: plan.teks.iter().map(|tek| tek.spi).collect(),
        });
        let kek = (protecting.spi, sequence);
        self.distribution = Some(Distribution::new(message, kek, transport, retransmit, members, now));
        self.rekeys += 1;
        self.last_rekey = Some(now);
        self.changed = true;
        Ok(())
    }

    fn policy_of(&self, rekey: &RekeyConfig, plan: &Plan, now: Instant) -> Option<GroupPolicy> {
        if plan.teks.is_empty() && plan.kek.is_none() {
            return None;
        }
        let acl = if plan.teks.is_empty() { Acl::default() } else { self.config.acl.clone() };
        Some(GroupPolicy {
            acl,
            teks: plan.teks.clone(),
            kek: plan.kek.as_ref().map(|kek| self.kek_of(rekey, kek, now)),
            activation_delay: plan.activation_delay,
            deactivation_delay: plan.deactivation_delay,
            pseudotime: self.members.are_all_ours().then(|| self.pseudotime(now)),
        })
    }
}

fn deletes(teks: &[GroupTek]) -> Option<Delete> {
    let spis: Vec<_> = teks.iter().map(|tek| tek.spi.0).collect();
    (!spis.is_empty()).then(|| Delete::teks(&spis))
}
