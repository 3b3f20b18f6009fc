//! What the servers of a group share about its keys. Only the primary changes it; the others have what it had.

use super::clock::GroupTime;
use super::division::Division;
use super::keys::Keys;
use super::terms::Terms;
use crate::coop::{Lineage, Versions};
use crate::group::AclDigest;
use crate::policy::SidGeneration;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// Keys and what goes with them; all times are the group's.
#[derive(Clone, Default)]
pub(super) struct GroupState {
    /// None before there were any keys.
    pub(super) lineage: Option<Lineage>,
    /// Whose changes are in it.
    pub(super) versions: Versions,
    pub(super) keys: Keys,
    /// Who was removed and must not come back.
    pub(super) revoked: BTreeSet<IpAddr>,
    pub(super) rekeys: u64,
    pub(super) last_rekey: Option<GroupTime>,
    /// Whether the last rekey message may not have reached all members yet.
    pub(super) under_way: bool,
    /// Which generation of sender IDs goes with the keys made now, and how it is divided.
    pub(super) division: Division,
    /// What members are told besides the keys.
    pub(super) terms: Option<Terms>,
    /// Which ACL members have, but for those that missed a rekey message; None if that is not known.
    pub(super) told: Option<AclDigest>,
}

impl GroupState {
    /// The generation of sender IDs that goes with the keys made now.
    pub(super) const fn generation(&self) -> SidGeneration {
        self.division.generation
    }

    /// All that any side has, but for what one of them ended. The first side goes before the others.
    pub(super) fn union(sides: &[GroupState], now: GroupTime) -> GroupState {
        let mut union = sides[0].clone();
        for side in &sides[1..] {
            union.versions.join(&side.versions);
            union.keys.join(&side.keys);
            union.revoked.extend(&side.revoked);
            union.under_way |= side.under_way;
            union.rekeys = union.rekeys.max(side.rekeys);
            union.division.join(&side.division);
            union.told = union.told.filter(|told| side.told == Some(*told));
        }
        union.keys.expire(now);
        union
    }

    /// Whether all TEKs of the other are in this one.
    pub(super) fn has_teks_of(&self, other: &GroupState) -> bool {
        let has = |spi| self.keys.teks.iter().any(|tek| tek.spi == spi);
        other.keys.teks.iter().all(|tek| has(tek.spi))
    }

    /// All times were another group's.
    pub(super) fn rebase(&mut self, time: impl Fn(GroupTime) -> GroupTime) {
        let keys = &mut self.keys;
        keys.teks.iter_mut().for_each(|tek| tek.expires = time(tek.expires));
        keys.ended.iter_mut().for_each(|(_, expires)| *expires = time(*expires));
        for kek in keys.kek.iter_mut().chain(&mut keys.previous_keks) {
            (kek.expires, kek.serves) = (time(kek.expires), time(kek.serves));
        }
        keys.spent.iter_mut().for_each(|spent| spent.expires = time(spent.expires));
        self.division.begun = time(self.division.begun);
        self.last_rekey = self.last_rekey.map(&time);
    }
}

#[cfg(test)]
pub(super) mod tests;
