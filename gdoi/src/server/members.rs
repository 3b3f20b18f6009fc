//! Who has registered, and how they answer to rekey messages. Servers that share a group share this list: what was made of
//! the latest registration of a member counts, wherever it came to, and of that the newest version.

mod ageing;
mod authors;

use super::clock::GroupTime;
use super::held::{Conveyed, Held};
use super::registrant::Registrant;
use crate::coop::{Author, Versions};
use crate::error::{Error, Unacceptable};
use crate::policy::{Identity, Prefix, Spi};

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

const MAX_MEMBERS: usize = 16_384;

/// The rest is for those with a credential of their own.
const MAX_SHARING: usize = MAX_MEMBERS / 4 * 3;

/// After so many rekeys without an answer a member gets no more of them, if it ever answered.
const SILENT_REKEYS: u32 = 3;

/// So many changes cannot be lost in a crash: the stored list lags by no more than a second.
const LOST_CHANGES: u64 = 1 << 20;

/// The highest number of a version that is believed.
const LAST_VERSION: u64 = 1 << 62;

/// A registration is that much later than those before, whatever the time of the servers was that they came to.
const LATER: Duration = Duration::from_millis(1);

/// Whether a member is in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    Here,
    /// It was removed, or registered elsewhere; kept so that other servers learn of it.
    Gone,
    /// It did not answer to whom it should: another server may hear it.
    Silent,
}

/// A member that has registered; all times are the group's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) address: IpAddr,
    /// The UDP port from which it registered.
    pub(super) port: u16,
    pub(super) identity: Identity,
    /// The key server that it registered with; None where there are no others.
    pub(super) owner: Option<IpAddr>,
    pub(super) first_registered: GroupTime,
    pub(super) last_registered: GroupTime,
    pub(super) registrations: u64,
    pub(super) ours: bool,
    pub(super) fragments: bool,
    /// What it registered with, and what it acknowledged to this server since.
    pub(super) held: Held,
    pub(super) rekeys_acknowledged: u64,
    /// In a row.
    pub(super) rekeys_missed: u32,
    pub(super) last_acknowledged: Option<GroupTime>,
}

/// A member's record, and who made this version of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) record: Record,
    pub(super) author: Author,
    pub(super) version: u64,
    pub(super) presence: Presence,
}

impl Listed {
    /// Whether it answered to the last rekey of this server.
    fn answers(&self) -> bool {
        let Record { rekeys_missed, last_acknowledged, .. } = &self.record;
        self.presence == Presence::Here && *rekeys_missed == 0 && last_acknowledged.is_some()
    }

    /// Who made something of an earlier registration did not know of the later one: while servers are apart, one drops a member
    /// that the other serves, and their versions say nothing of what came after what.
    fn is_newer_than(&self, other: &Listed) -> bool {
        let rank = |listed: &Listed| (listed.record.last_registered, listed.version, listed.author);
        rank(self) > rank(other)
    }
}

/// The members of a group by address.
pub(super) struct Members {
    records: BTreeMap<IpAddr, Listed>,
    author: Author,
    /// The highest version seen anywhere.
    newest: u64,
    /// The versions of each author that are in the list.
    seen: Versions,
    /// Since when this server would see members acknowledge.
    watched_since: GroupTime,
    /// No key lives that a member has that gave its last sign of life before this.
    dead_before: GroupTime,
    /// How many were forgotten because of that.
    forgotten: u64,
}

impl Members {
    pub(super) fn new(author: Author) -> Self {
        Members { newest: 0, ..Members::restore(author, 0, Versions::default(), Vec::new()) }
    }

    /// The list as it was stored; what changed after that is lost, and its numbers are not used again.
    pub(super) fn restore(author: Author, newest: u64, seen: Versions, records: Vec<Listed>) -> Self {
        let records = records.into_iter().map(|listed| (listed.record.address, listed)).collect();
        let (watched_since, dead_before, forgotten) = Default::default();
        let newest = newest.saturating_add(LOST_CHANGES);
        Members { records, author, newest, seen, watched_since, dead_before, forgotten }
    }

    /// Whether there is no room for a member that is not known. Where others share its credential, there is less: whoever
    /// has that can speak from many addresses.
    pub(super) fn is_full_for(&self, address: IpAddr, shared: Option<Prefix>) -> bool {
        let room = if shared.is_some() { MAX_SHARING } else { MAX_MEMBERS };
        !self.records.contains_key(&address) && self.living() >= room
    }

    /// A member has proved to be alive, and is given these keys.
    pub(super) fn register(
        &mut self,
        registrant: &Registrant,
        held: Held,
        owner: Option<IpAddr>,
        now: GroupTime,
    ) {
        let Registrant { address: from, identity, ours, fragments, .. } = registrant.clone();
        let known = self.records.get(&from.ip()).map(|listed| &listed.record);
        let record = Record {
            address: from.ip(),
            port: from.port(),
            identity,
            owner,
            first_registered: known.map_or(now, |known| known.first_registered),
            last_registered: known.map_or(now, |known| now.max(known.last_registered + LATER)),
            registrations: known.map_or(0, |known| known.registrations).saturating_add(1),
            ours,
            fragments,
            held,
            rekeys_acknowledged: known.map_or(0, |known| known.rekeys_acknowledged),
            rekeys_missed: 0,
            last_acknowledged: known.and_then(|known| known.last_acknowledged),
        };
        self.write(record, Presence::Here);
    }

    fn write(&mut self, record: Record, presence: Presence) {
        self.make_room_for(self.author);
        self.newest += 1;
        let (author, version) = (self.author, self.newest);
        self.seen.raise(author, version);
        self.insert(Listed { record, author, version, presence });
    }

    /// Who has been gone for the longest makes room, then who was silent for the longest of those that are dead.
    fn insert(&mut self, listed: Listed) {
        let new = listed.record.address;
        self.records.insert(new, listed);
        if self.records.len() > MAX_MEMBERS {
            let gone = self.records.values().filter(|listed| listed.presence != Presence::Here);
            let gone = gone.min_by_key(|listed| listed.version).map(|listed| listed.record.address);
            let dead = self.records().filter(|record| record.address != new && self.is_dead(record));
            let dead = dead.min_by_key(|record| record.last_sign()).map(|record| record.address);
            self.forgotten += u64::from(gone.is_none() && dead.is_some());
            gone.or(dead).and_then(|oldest| self.records.remove(&oldest));
        }
    }

    pub(super) fn acknowledged(&mut self, member: IpAddr, message: Conveyed, now: GroupTime) {
        if let Some(listed) = self.records.get_mut(&member) {
            listed.record.held = listed.record.held.and(message);
            listed.record.rekeys_acknowledged += 1;
            listed.record.rekeys_missed = 0;
            listed.record.last_acknowledged = Some(now);
        }
    }

    /// A member did not answer; whether it is dropped over it.
    pub(super) fn missed(&mut self, member: IpAddr) -> bool {
        let Some(Listed { record, .. }) = self.records.get_mut(&member) else { return false };
        record.rekeys_missed += 1;
        // Not before its first acknowledgement: it may be one that cannot give any (RFC 8263 section 6).
        let dropped = record.rekeys_missed >= SILENT_REKEYS && record.rekeys_acknowledged > 0;
        if dropped {
            self.leave(member, Presence::Silent);
        }
        dropped
    }

    /// Whether all are known to have this TEK: they registered with it, or answered the message that brought it.
    pub(super) fn all_hold(&self, tek: Spi) -> bool {
        self.records().all(|record| record.held.tek == tek)
    }

    /// Where there are other servers, they must learn of it.
    pub(super) fn forget(&mut self, member: IpAddr) {
        self.leave(member, Presence::Gone);
    }

    fn leave(&mut self, member: IpAddr, how: Presence) {
        let Some(listed) = self.records.get(&member).filter(|listed| listed.presence == Presence::Here)
        else {
            return;
        };
        match listed.record.owner {
            Some(_) => self.write(listed.record.clone(), how),
            None => drop(self.records.remove(&member)),
        }
    }

    pub(super) fn forget_all(&mut self) {
        let all: Vec<_> = self.records().map(|record| record.address).collect();
        all.into_iter().for_each(|member| self.forget(member));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records().next().is_none()
    }

    /// The record of this member, if it is in the list.
    pub(super) fn of(&self, address: IpAddr) -> Option<&Record> {
        let listed = self.records.get(&address).filter(|listed| listed.presence == Presence::Here);
        listed.map(|listed| &listed.record)
    }

    pub(super) fn records(&self) -> impl Iterator<Item = &Record> {
        self.records.values().filter(|listed| listed.presence == Presence::Here).map(|listed| &listed.record)
    }

    /// One that is in the list.
    pub(super) fn record(&self, member: IpAddr) -> Option<&Record> {
        let listed = self.records.get(&member).filter(|listed| listed.presence == Presence::Here);
        listed.map(|listed| &listed.record)
    }

    /// All, those that are gone as well.
    pub(super) fn all(&self) -> impl Iterator<Item = &Listed> {
        self.records.values()
    }

    /// Whether private attributes may go to all of them.
    pub(super) fn are_all_ours(&self) -> bool {
        self.records().all(|record| record.ours)
    }

    /// Whether what is sent to `to`, a member or a multicast group, is understood in fragments by all that it reaches.
    pub(super) fn take_fragments(&self, to: SocketAddr) -> bool {
        match to.ip() {
            group if group.is_multicast() => self.records().all(|record| record.fragments),
            member => self.records.get(&member).is_some_and(|listed| listed.record.fragments),
        }
    }

    /// Those of other software.
    pub(super) fn foreigners(&self) -> Vec<SocketAddr> {
        let foreign = self.records().filter(|record| !record.ours);
        foreign.map(|record| SocketAddr::new(record.address, record.port)).collect()
    }

    pub(super) const fn author(&self) -> Author {
        self.author
    }

    pub(super) const fn newest(&self) -> u64 {
        self.newest
    }

    pub(super) const fn seen(&self) -> &Versions {
        &self.seen
    }

    /// The records of `author` above version `from`, the oldest first.
    pub(super) fn after(&self, author: Author, from: u64) -> Vec<&Listed> {
        let later = |listed: &&Listed| listed.author == author && listed.version > from;
        let mut records: Vec<_> = self.records.values().filter(later).collect();
        records.sort_by_key(|listed| listed.version);
        records
    }

    /// Takes in what another server has: all that `author` changed after `from` and up to `to` and that still counts. Of
    /// whom there was something new in it.
    ///
    /// # Errors
    /// [`Unacceptable::TooManyMembers`], [`Unacceptable::Unsupported`] for a version that no server reaches: nothing
    /// has changed.
    pub(super) fn merge(
        &mut self,
        author: Author,
        (from, to): (u64, u64),
        records: Vec<Listed>,
    ) -> Result<Vec<IpAddr>, Error> {
        let unknown = records.iter().filter(|new| !self.records.contains_key(&new.record.address)).count();
        if unknown > 0 && self.living() + unknown > MAX_MEMBERS {
            return Err(Unacceptable::TooManyMembers.into());
        }
        if to > LAST_VERSION || records.iter().any(|new| new.author != author || new.version > to) {
            return Err(Unacceptable::Unsupported("version of a member record", 0).into());
        }
        if self.seen.of(author) >= from {
            self.make_room_for(author);
            self.seen.raise(author, to);
        }
        self.newest = self.newest.max(to);
        Ok(records.into_iter().filter_map(|new| self.take(new)).collect())
    }

    /// What a member acknowledged is known only to the server that it answered.
    fn take(&mut self, mut new: Listed) -> Option<IpAddr> {
        let address = new.record.address;
        let known = self.records.get(&address);
        if known.is_some_and(|known| !new.is_newer_than(known)) {
            return None;
        }
        if let Some(answered) =
            known.filter(|known| known.answers()).filter(|_| new.presence == Presence::Silent)
        {
            // Servers that were apart: it is this one that it hears. Said once for what it answered.
            let last_registered = answered.record.last_registered.max(new.record.last_registered);
            let record = Record { last_acknowledged: None, last_registered, ..answered.record.clone() };
            self.write(record, Presence::Here);
            return Some(address);
        }
        if let Some(Listed { record: known, .. }) = known {
            new.record.rekeys_acknowledged = known.rekeys_acknowledged;
            new.record.last_acknowledged = known.last_acknowledged;
        }
        self.insert(new);
        Some(address)
    }

    /// The group's time was set: the times in the records, too.
    pub(super) fn rebase(&mut self, time: impl Fn(GroupTime) -> GroupTime) {
        for Listed { record, .. } in self.records.values_mut() {
            record.first_registered = time(record.first_registered);
            record.last_registered = time(record.last_registered);
            record.last_acknowledged = record.last_acknowledged.map(&time);
        }
        (self.watched_since, self.dead_before) = (time(self.watched_since), time(self.dead_before));
    }
}

#[cfg(test)]
mod tests;
