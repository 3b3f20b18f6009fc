//! Servers that were apart made keys of their own: all members get all of them, and a new one that all send with in
//! the end, so that those of one side never stop hearing those of the other.

use super::rekey_message::{Earlier, Nameable, Plan};
use super::Group;
use crate::crypto::Random;
use crate::endpoint::Instant;
use crate::error::Error;
use crate::event::{CoopEvent, KeyServerEvent};
use crate::lifetime::switch_margin;
use crate::server::clock::GroupTime;
use crate::server::config::{RekeyKind, Removal};
use crate::server::keys::Succession;
use crate::server::rekeying::Audience;
use crate::server::state::GroupState;
use std::collections::BTreeSet;
use std::time::Duration;

impl Group {
    /// Makes one state of all that are held. Only who leads does so, and not while another does: the worse of two
    /// primaries steps down first, or both would make keys for ever.
    pub(super) fn merge(&mut self, random: &mut dyn Random, now: Instant) -> Result<(), Error> {
        if !self.leads() || !self.standing.has_apart() || self.standing.has_rival(now) {
            return Ok(());
        }
        let (apart, time) = (self.standing.take_apart(), self.ledger.time(now));
        self.ledger.expire(time);
        let sides: Vec<_> = std::iter::once(self.ledger.state().clone()).chain(apart).collect();
        let merged = self.attempt(|group| group.unite(&sides, random, time));
        if merged.is_err() {
            let apart = sides.into_iter().skip(1);
            apart.for_each(|side| self.standing.keep_apart(side).unwrap_or_default());
        }
        merged
    }

    fn unite(&mut self, sides: &[GroupState], random: &mut dyn Random, time: GroupTime) -> Result<(), Error> {
        self.rekeying.trust_nothing();
        let union = GroupState::union(sides, time);
        *self.ledger.amend_state() = union;
        self.ledger.begin_sids();
        self.ledger.watch_members(time);
        self.tell_all(sides, random, time)?;
        self.forget_removed();
        let teks = self.keys().teks.iter().map(|tek| tek.spi).collect();
        let (group, event) = (Some(self.name()), CoopEvent::Merged { teks });
        self.tell_when_committed(KeyServerEvent::Coop { group, event });
        Ok(())
    }

    /// Who was removed on one side may have come to another since, which did not know of it. It was told with all others.
    pub(super) fn forget_removed(&mut self) {
        for member in self.ledger.state().revoked.clone() {
            self.ledger.amend_members().forget(member);
        }
    }

    fn tell_all(
        &mut self,
        sides: &[GroupState],
        random: &mut dyn Random,
        now: GroupTime,
    ) -> Result<(), Error> {
        let (state, told_until) = (self.ledger.state(), self.keys().told_until());
        // Who was removed on one side has the keys of the other, and servers that began apart gave out the same
        // sender IDs.
        let removed = sides.iter().any(|side| side.revoked != state.revoked);
        let keks = || sides.iter().flat_map(|side| side.keys.kek.iter().chain(&side.keys.previous_keks));
        let began_apart = keks().any(|kek| kek.lineage != state.lineage);
        let generation = sides.iter().any(|side| side.generation() != state.generation());
        let current: BTreeSet<_> =
            sides.iter().filter_map(|side| Some(side.keys.kek.as_ref()?.spi)).collect();
        let over = self.keys().kek.as_ref().is_some_and(|kek| kek.succession == Succession::Ended);
        let alike = sides.iter().all(|side| side.has_teks_of(state)) && current.len() <= 1 && !over;
        // Who led the other side may have granted the places.
        let placeless = self.place().is_none();
        if began_apart || placeless {
            self.begin_sid_generation(random, now)?;
        }
        if removed {
            return self.dismiss_naming(Some(nameable(sides)), Removal::Graceful, random, now);
        }
        if began_apart || self.is_per_sender() && (placeless || generation) {
            return self.bring_back(random, now);
        }
        if alike {
            return Ok(());
        }
        let under = self.keys().kek.as_ref().map(|kek| kek.spi).filter(|_| !over);
        let mut plan = Plan { under, activation_delay: Some(common_switch(sides, now)), ..Plan::default() };
        plan.earlier = Earlier::Alike;
        self.fresh_tek(random, now)?;
        plan.teks = self.keys().as_of(now);
        plan.kek = self.next_kek(RekeyKind::Forced, told_until, random, now)?;
        self.distribute(plan, Audience::All, now)
    }
}

/// Who was removed on one side may have the KEK of another: under that nothing is told which it could not have had from
/// there. Under one that a side ended nothing went out of what that side has.
fn nameable(sides: &[GroupState]) -> Nameable {
    let mut nameable = Nameable::new();
    for keys in sides.iter().map(|side| &side.keys) {
        let keks = keys.kek.iter().chain(&keys.previous_keks);
        for kek in keks.filter(|kek| kek.succession != Succession::Ended) {
            nameable.extend(keys.teks.iter().map(|tek| (kek.spi, tek.spi)));
        }
    }
    nameable
}

/// All switch before the first side's last key ends, and as late as that allows.
fn common_switch(sides: &[GroupState], now: GroupTime) -> Duration {
    let last = |side: &GroupState| side.keys.teks.last().map(|tek| tek.expires.saturating_since(now));
    let left = sides.iter().filter_map(last).filter(|left| !left.is_zero()).min().unwrap_or_default();
    left.saturating_sub(switch_margin(left))
}

#[cfg(test)]
mod tests;
