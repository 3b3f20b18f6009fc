//! Building a rekey message: what each kind of rekey makes, ends and tells.

use super::distribution::Distribution;
use super::group::{Group, RekeyConfig};
use super::keys::{GroupKek, GroupTek, Succession};
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
        let reminder = kind == RekeyKind::Reminder;
        let unfinished =
            self.keys.previous_kek.clone().filter(|kek| reminder && kek.succession != Succession::Ended);
        let protecting = unfinished.clone().or(self.keys.kek.clone());
        let mut plan = self.plan(kind, random, now)?;
        if let Some(unfinished) = &unfinished {
            plan.kek = self.keys.kek.clone();
            if unfinished.succession == Succession::Abrupt {
                plan.deletes.push(Delete::teks(&[0]));
            }
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
                let retirement = self.retirement();
                (plan.activation_delay, plan.deactivation_delay) =
                    (Some(self.config.activation_delay), Some(retirement));
                self.keys.shorten_but_last(now + retirement);
            }
            RekeyKind::ReplaceNow => {
                plan.deletes.extend(deletes(&old));
                self.keys.teks.clear();
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
    fn retirement(&self) -> Duration {
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
        if kind == RekeyKind::ReplaceNow {
            self.keys.succeeded(Succession::Abrupt);
        }
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
        self.next_kek(RekeyKind::Forced, random, now)?;
        self.keys.succeeded(Succession::Ended);
        Ok(())
    }

    /// Says once more that the rekey SA is over, after a restart that cut it off. The TEKs before the last one are
    /// those that were to live on.
    pub(super) fn dismiss_again(&mut self, ended: &GroupKek, now: Instant) -> Result<(), Error> {
        let old = &self.keys.teks[..self.keys.teks.len().saturating_sub(1)];
        let teks: Vec<_> = old.iter().filter_map(|tek| tek.as_of(now)).collect();
        let all = teks.is_empty().then(|| Delete::teks(&[0]));
        let deletes = all.into_iter().chain([Delete::kek(ended.spi)]).collect();
        self.distribute(ended, Plan { deletes, teks, ..Plan::default() }, now)
    }

    /// One message, encrypted and signed once, for all members.
    fn distribute(&mut self, protecting: &GroupKek, plan: Plan, now: Instant) -> Result<(), Error> {
        if self.members.is_empty() {
            // Nobody has the KEK before: who comes now gets the one of now.
            self.keys.previous_kek = None;
        }
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
