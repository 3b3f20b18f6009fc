//! What each kind of rekey makes, ends and tells.

use super::rekey_message::{Earlier, Plan};
use super::Group;
use crate::crypto::Random;
use crate::error::{Error, Unacceptable};
use crate::event::KeyServerEvent;
use crate::group::{Deletion, Tek};
use crate::lifetime::switch_margin;
use crate::policy::{SenderTerms, Spi};
use crate::server::clock::GroupTime;
use crate::server::config::RekeyKind;
use crate::server::keys::{GroupKek, GroupTek, NewTek, Succession};
use crate::server::rekeying::Audience;
use crate::server::terms::Transport;
use std::time::Duration;

impl Group {
    /// Makes the keys that `kind` needs and begins to distribute them. Without a rekey SA the members find
    /// them at their next registration.
    pub(super) fn rekey(
        &mut self,
        kind: RekeyKind,
        random: &mut dyn Random,
        now: GroupTime,
    ) -> Result<(), Error> {
        let under = self.keys().kek.as_ref().map(|kek| kek.spi);
        let plan = Plan { under, ..self.plan(kind, random, now)? };
        self.distribute(plan, Audience::All, now)
    }

    fn plan(&mut self, kind: RekeyKind, random: &mut dyn Random, now: GroupTime) -> Result<Plan, Error> {
        let (old, told_until) = (self.keys().teks.clone(), self.keys().told_until());
        let mut plan = Plan::default();
        match kind {
            RekeyKind::Scheduled => {
                if self.tek_due() <= now {
                    plan.teks.extend(self.fresh_tek(random, now)?);
                }
                if old.last().is_some_and(|tek| self.may_be_lacking(tek.spi)) {
                    plan.teks = self.keys().as_of(now);
                }
                plan.activation_delay = self.scheduled_switch(&old, now);
            }
            RekeyKind::Forced => {
                plan.teks.extend(self.fresh_tek(random, now)?);
                let retirement = self.config.retirement();
                (plan.activation_delay, plan.deactivation_delay) =
                    (Some(self.config.activation_delay), Some(retirement));
                self.ledger.amend_state().keys.shorten_but_last(now + retirement);
                if old.last().is_some_and(|tek| self.may_be_lacking(tek.spi)) {
                    // Until the activation delay has passed all others send with what it lacks.
                    plan.teks = self.keys().as_of(now);
                }
            }
            RekeyKind::ReplaceNow => {
                // Not by their names: members may have one that this server has never heard of.
                plan.deletions.push(Deletion::AllTeks);
                self.ledger.amend_state().keys.end_teks();
                plan.teks.extend(self.fresh_tek(random, now)?);
            }
            RekeyKind::Reminder => {
                let listed = self.reminded(&old, now);
                plan.teks = listed.iter().filter_map(|tek| tek.as_of(now)).collect();
                plan.activation_delay = Some(self.reminded_switch(&listed, now));
                plan.earlier = Earlier::Alike;
            }
        }
        plan.kek = self.next_kek(kind, told_until, random, now)?;
        Ok(plan)
    }

    /// Whether a member may lack the TEK that the others send with: it has not answered, or did so to another server. Where
    /// nobody answers nothing is known, and who missed a message asks.
    fn may_be_lacking(&self, tek: Spi) -> bool {
        let members = self.ledger.members();
        let unicast = self.config.rekey.as_ref().is_some_and(|rekey| rekey.transport == Transport::Unicast);
        unicast && members.are_all_ours() && !members.all_hold(tek)
    }

    /// Members switch as those do that learn the new TEK in a PULL, so that one that hears no rekey loses nothing.
    fn scheduled_switch(&self, old: &[GroupTek], now: GroupTime) -> Option<Duration> {
        let left = old.last()?.expires.saturating_since(now);
        Some(left.saturating_sub(switch_margin(self.config.tek_lifetime)))
    }

    /// All TEKs but those that end before all members have heard: who never heard that their end was brought
    /// forward goes on with them while it must.
    fn reminded(&self, teks: &[GroupTek], now: GroupTime) -> Vec<GroupTek> {
        let Some((last, old)) = teks.split_last() else { return Vec::new() };
        let all_reached = now + self.config.distribution_time();
        old.iter().filter(|tek| tek.expires > all_reached).chain([last]).cloned().collect()
    }

    /// As late as the old TEK allows; where none is listed a member may still hold one.
    pub(super) fn reminded_switch(&self, teks: &[GroupTek], now: GroupTime) -> Duration {
        let Some((_, [.., old])) = teks.split_last() else { return self.config.distribution_time() };
        let left = old.expires.saturating_since(now);
        left.saturating_sub(switch_margin(left))
    }

    pub(super) fn fresh_tek(
        &mut self,
        random: &mut dyn Random,
        now: GroupTime,
    ) -> Result<Option<Tek>, Error> {
        let generation = self.ledger.state().generation();
        let taken: Vec<_> = self.spis().chain(self.others.iter().copied()).collect();
        let new = NewTek {
            transform: self.config.transform,
            life: self.config.tek_lifetime,
            senders: SenderTerms { generation, replay_window: self.config.replay_window },
            place: self.place().ok_or(Unacceptable::NoSpis)?,
            taken: &taken,
        };
        let tek = self.ledger.amend_state().keys.add_tek(new, random, now)?;
        self.tell_when_committed(KeyServerEvent::NewTek { group: self.name(), spi: tek.spi });
        Ok(tek.as_of(now))
    }

    /// The KEK that goes with the message: a new one if the old one is due or is to be replaced. Members know TEKs that
    /// live until `told_until`, whatever becomes of those now.
    pub(super) fn next_kek(
        &mut self,
        kind: RekeyKind,
        told_until: GroupTime,
        random: &mut dyn Random,
        now: GroupTime,
    ) -> Result<Option<GroupKek>, Error> {
        let Some(due) = self.kek_due() else { return Ok(None) };
        let wanted = matches!(kind, RekeyKind::Forced | RekeyKind::ReplaceNow);
        if !wanted && due > now {
            return Ok(None);
        }
        self.make_kek(told_until, random, now)?;
        if kind == RekeyKind::ReplaceNow {
            self.ledger.amend_state().keys.succeeded(Succession::Abrupt);
        }
        Ok(self.keys().kek.clone())
    }

    /// A new KEK, where the group has a rekey SA; the one before becomes one of those before.
    pub(super) fn make_kek(
        &mut self,
        told_until: GroupTime,
        random: &mut dyn Random,
        now: GroupTime,
    ) -> Result<(), Error> {
        let Some(rekey) = &self.config.rekey else { return Ok(()) };
        let state = self.ledger.amend_state();
        let of = (state.lineage, &state.division);
        state.keys.replace_kek((rekey.key_len, rekey.lifetime), of, told_until, random, now)?;
        self.tell_when_committed(KeyServerEvent::NewKek { group: self.name() });
        Ok(())
    }
}
