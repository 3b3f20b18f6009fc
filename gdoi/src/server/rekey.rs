//! What each kind of rekey makes, ends and tells.

use super::group::Group;
use super::keys::{GroupKek, GroupTek, NewTek, Succession};
use crate::crypto::Random;
use crate::endpoint::Instant;
use crate::error::Error;
use crate::event::KeyServerEvent;
use crate::group::{Deletion, Tek};
use crate::lifetime::switch_margin;
use crate::policy::SenderTerms;
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

/// What a message carries besides its number.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) deletions: Vec<Deletion>,
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
            plan.deletions.push(Deletion::AllTeks);
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
                plan.deletions.extend(old.iter().map(|tek| Deletion::Tek(tek.spi)));
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
}
