//! Servers that were apart made keys of their own: all members get all of them, and a new one that all send with in
//! the end, so that those of one side never stop hearing those of the other.

use super::rekey_message::Plan;
use super::Group;
use crate::crypto::Random;
use crate::endpoint::Instant;
use crate::error::Error;
use crate::event::CoopEvent;
use crate::lifetime::switch_margin;
use crate::server::clock::GroupTime;
use crate::server::config::{RekeyKind, Removal};
use crate::server::keys::{GroupKek, Succession};
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
        let union = GroupState::union(&sides, time);
        self.ledger.amend_sids().begin(union.sid_generation);
        *self.ledger.amend_state() = union;
        self.ledger.watch_members(time);
        self.tell_all(&sides, random, time)?;
        let teks = self.keys().teks.iter().map(|tek| tek.spi).collect();
        self.say(CoopEvent::Merged { teks });
        Ok(())
    }

    fn tell_all(
        &mut self,
        sides: &[GroupState],
        random: &mut dyn Random,
        now: GroupTime,
    ) -> Result<(), Error> {
        let (keks, state) = (self.keks_of(sides), self.ledger.state());
        // Who was removed on one side has the keys of the other, and servers that began apart gave out the same
        // sender IDs.
        let removed = sides.iter().any(|side| side.revoked != state.revoked);
        let began_apart = keks.iter().any(|kek| kek.lineage != state.lineage);
        let generation = sides.iter().any(|side| side.sid_generation != state.sid_generation);
        let alike = sides.iter().all(|side| side.has_teks_of(state));
        if began_apart {
            self.next_sid_generation();
        }
        if removed || began_apart || generation {
            return self.dismiss_under(&keks, Removal::Graceful, random, now);
        }
        if alike && keks.len() <= 1 {
            return Ok(());
        }
        let mut plan = Plan { activation_delay: Some(common_switch(sides, now)), ..Plan::default() };
        self.fresh_tek(random, now)?;
        plan.teks = self.keys().as_of(now);
        if keks.len() > 1 {
            plan.kek = self.next_kek(RekeyKind::Forced, random, now)?;
            self.ledger.amend_state().keys.set_previous(keks.clone());
        }
        self.distribute(&keks, plan, now)
    }

    /// All KEKs that members of any side may have. Those that were ended are no way to tell anybody anything.
    fn keks_of(&self, sides: &[GroupState]) -> Vec<GroupKek> {
        let mut seen = BTreeSet::new();
        let all = sides.iter().flat_map(|side| side.keys.kek.iter().chain(&side.keys.previous_keks));
        let usable = all.filter(|kek| kek.succession != Succession::Ended);
        let distinct: Vec<_> = usable.filter(|kek| seen.insert(kek.spi)).cloned().collect();
        self.keys().named(&distinct)
    }
}

/// All switch before the first side's last key ends, and as late as that allows.
fn common_switch(sides: &[GroupState], now: GroupTime) -> Duration {
    let last = |side: &GroupState| side.keys.teks.last().map(|tek| tek.expires.saturating_since(now));
    let left = sides.iter().filter_map(last).filter(|left| !left.is_zero()).min().unwrap_or_default();
    left.saturating_sub(switch_margin(left))
}

#[cfg(test)]
mod tests;
