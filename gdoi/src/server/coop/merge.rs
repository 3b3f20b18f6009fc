//! Servers that were apart made keys of their own: all members get all of them, and a new one that all send with in
//! the end, so that those of one side never stop hearing those of the other.

use super::*;
use crate::lifetime::switch_margin;
use crate::server::dismissal::Removal;
use crate::server::keys::{GroupKek, SpentKek, Succession};
use crate::server::rekey::{Plan, RekeyKind};
use std::collections::BTreeSet;

impl Group {
    /// Makes one state of all that are held. Only who leads does so, and not while another does: the worse of two
    /// primaries steps down first, or both would make keys for ever.
    pub(super) fn merge(&mut self, random: &mut dyn Random, now: Instant) -> Result<(), Error> {
        let leads = self.leads();
        let ready = |coop: &&mut Box<Coop>| leads && !coop.apart.is_empty() && !coop.election.has_rival(now);
        let Some(coop) = self.coop.as_mut().filter(ready) else { return Ok(()) };
        let apart = std::mem::take(&mut coop.apart);
        let time = self.clock.time(now);
        self.state.keys.expire(time);
        let sides: Vec<_> = std::iter::once(self.state.clone()).chain(apart).collect();
        self.state = GroupState::union(&sides, time);
        self.sids.begin(self.state.sid_generation);
        self.mark_changed();
        self.tell_all(&sides, random, time)?;
        let teks = self.state.keys.teks.iter().map(|tek| tek.spi).collect();
        self.say(CoopEvent::Merged { teks });
        Ok(())
    }

    /// `now` is the group's time.
    fn tell_all(&mut self, sides: &[GroupState], random: &mut dyn Random, now: Instant) -> Result<(), Error> {
        let keks = self.keks_of(sides);
        // Who was removed on one side has the keys of the other, and servers that began apart gave out the same
        // sender IDs.
        let removed = sides.iter().any(|side| side.revoked != self.state.revoked);
        let began_apart = keks.iter().any(|kek| kek.lineage != self.state.lineage);
        let generation = sides.iter().any(|side| side.sid_generation != self.state.sid_generation);
        if began_apart {
            self.next_sid_generation();
        }
        if removed || began_apart || generation {
            return self.dismiss_under(&keks, Removal::Graceful, random, now);
        }
        let alike = sides.iter().all(|side| side.has_teks_of(&self.state));
        if alike && keks.len() <= 1 {
            return Ok(());
        }
        let mut plan = Plan { activation_delay: Some(self.common_switch(sides, now)), ..Plan::default() };
        self.fresh_tek(random, now)?;
        plan.teks = self.state.keys.teks.iter().filter_map(|tek| tek.as_of(now)).collect();
        if keks.len() > 1 {
            plan.kek = self.next_kek(RekeyKind::Forced, random, now)?;
            self.state.keys.set_previous(keks.clone());
        }
        self.distribute(&keks, plan, now)
    }

    /// All KEKs that members of any side may have. Those that were ended are no way to tell anybody anything.
    fn keks_of(&self, sides: &[GroupState]) -> Vec<GroupKek> {
        let mut seen = BTreeSet::new();
        let all = sides.iter().flat_map(|side| side.keys.kek.iter().chain(&side.keys.previous_keks));
        let usable = all.filter(|kek| kek.succession != Succession::Ended);
        let distinct: Vec<_> = usable.filter(|kek| seen.insert(kek.spi)).cloned().collect();
        self.state.keys.named(&distinct)
    }

    /// All switch before the first side's last key ends, and as late as that allows.
    fn common_switch(&self, sides: &[GroupState], now: Instant) -> Duration {
        let last = |side: &GroupState| side.keys.teks.last().map(|tek| tek.expires.saturating_since(now));
        let left = sides.iter().filter_map(last).filter(|left| !left.is_zero()).min().unwrap_or_default();
        left.saturating_sub(switch_margin(left))
    }
}

/// Whether a server knows what it did before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Memory {
    Whole,
    Lost,
}

impl GroupState {
    /// All that any side has, but for what one of them ended. The first side goes before the others.
    fn union(sides: &[GroupState], now: Instant) -> GroupState {
        let mut union = sides[0].clone();
        for side in &sides[1..] {
            union.versions.join(&side.versions);
            union.keys.join(&side.keys);
            union.revoked.extend(&side.revoked);
            union.under_way |= side.under_way;
            union.rekeys = union.rekeys.max(side.rekeys);
            union.sid_generation = union.sid_generation.max(side.sid_generation);
            union.told = union.told.filter(|told| side.told == Some(*told));
        }
        union.keys.expire(now);
        union
    }

    /// Whether all TEKs of the other are in this one.
    fn has_teks_of(&self, other: &GroupState) -> bool {
        let has = |spi| self.keys.teks.iter().any(|tek| tek.spi == spi);
        other.keys.teks.iter().all(|tek| has(tek.spi))
    }

    /// All times were another group's.
    pub(super) fn rebase(&mut self, time: impl Fn(Instant) -> Instant) {
        let keys = &mut self.keys;
        keys.teks.iter_mut().for_each(|tek| tek.expires = time(tek.expires));
        keys.ended.iter_mut().for_each(|(_, expires)| *expires = time(*expires));
        keys.kek.iter_mut().chain(&mut keys.previous_keks).for_each(|kek| kek.expires = time(kek.expires));
        keys.spent.iter_mut().for_each(|spent| spent.expires = time(spent.expires));
        self.last_rekey = self.last_rekey.map(&time);
    }
}

impl Keys {
    /// Takes in what another side has. Where both have a key, it ends at the earlier time; what either ended is over.
    pub(super) fn join(&mut self, other: &Keys) {
        for (spi, expires) in &other.ended {
            if self.ended.iter().all(|(ended, _)| ended != spi) {
                self.ended.push((*spi, *expires));
            }
        }
        for tek in &other.teks {
            match self.teks.iter_mut().find(|known| known.spi == tek.spi) {
                Some(known) => known.expires = known.expires.min(tek.expires),
                None => self.teks.push(tek.clone()),
            }
        }
        let ended = &self.ended;
        self.teks.retain(|tek| ended.iter().all(|(spi, _)| *spi != tek.spi));
        self.teks.sort_by_key(|tek| tek.expires);
        self.join_keks(other);
        self.bound();
    }

    /// What is known of used numbers stays known. A server without memory does not know which ones it has used, and
    /// leaves a gap in those that it will use; members are told the number that came last.
    pub(super) fn keep_numbers_of(&mut self, before: &Keys, memory: Memory) {
        const GAP: u32 = 1 << 16;
        before.spent.iter().for_each(|spent| self.spend(*spent));
        if memory == Memory::Lost {
            let keks: Vec<_> = self.kek.iter().chain(&self.previous_keks).cloned().collect();
            keks.iter().for_each(|kek| {
                self.spend(SpentKek { sequence: kek.sequence.saturating_add(GAP), ..kek.spent() })
            });
        }
    }

    /// The KEK of this side stays the current one.
    fn join_keks(&mut self, other: &Keys) {
        other.spent.iter().for_each(|spent| self.spend(*spent));
        for kek in other.kek.iter().chain(&other.previous_keks) {
            let known = self.kek.iter_mut().chain(&mut self.previous_keks).find(|known| known.spi == kek.spi);
            match known {
                Some(known) => {
                    known.sequence = known.sequence.max(kek.sequence);
                    known.succession = known.succession.max(kek.succession);
                }
                None => self.previous_keks.push(kek.clone()),
            }
        }
    }
}

#[cfg(test)]
mod tests;
