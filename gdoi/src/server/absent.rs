//! Groups that no configuration names any more, and of which there is something that must not be forgotten yet: most likely
//! somebody mistyped a number. Who configures such a group again goes on with it.
//!
//! A group that a start does not know has all that it had. One that a reload took away has been told that it is over: of it
//! there are the members that were removed and the SPIs that its members may still have; what comes back is another group.

use super::group::Group;
use super::ledger::Ledger;
use super::{fresh_author, KeyServer};
use crate::endpoint::Instant;
use crate::error::Error;
use crate::event::KeyServerEvent;
use crate::policy::{GroupId, Spi};
use std::collections::BTreeMap;

/// More are not kept, of all that is stored: those whose keys end first are forgotten.
pub(super) const MAX_ABSENT: usize = 64;

/// What there is of them, until the last key of each has ended.
#[derive(Default)]
pub(super) struct Absent(BTreeMap<GroupId, Ledger>);

impl Absent {
    /// What must not be forgotten of a group that is configured again.
    pub(super) fn take(&mut self, id: GroupId) -> Option<Ledger> {
        self.0.remove(&id)
    }

    /// For the stored state.
    pub(super) fn ledgers(&self) -> impl Iterator<Item = (GroupId, &Ledger)> + Clone {
        self.0.iter().map(|(id, ledger)| (*id, ledger))
    }

    /// What somebody may still use.
    pub(super) fn spis(&self) -> impl Iterator<Item = Spi> + '_ {
        self.0.values().flat_map(|ledger| ledger.state().keys.spis())
    }

    /// When the next one is forgotten.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.0.values().map(end).min()
    }

    /// Forgets those whose last key has ended, and those that are too many.
    fn forget(&mut self, now: Instant) -> Vec<GroupId> {
        let mut ends: Vec<_> = self.0.iter().map(|(id, ledger)| (end(ledger), *id)).collect();
        ends.sort_unstable();
        let too_many = ends.len().saturating_sub(MAX_ABSENT);
        let over = ends.into_iter().enumerate();
        let over = over.filter(|(index, (end, _))| *index < too_many || *end <= now);
        let forgotten: Vec<_> = over.map(|(_, (_, id))| id).collect();
        forgotten.iter().for_each(|id| drop(self.0.remove(id)));
        forgotten
    }
}

/// When its last key ends, by this server's clock.
fn end(ledger: &Ledger) -> Instant {
    ledger.clock().local(ledger.state().keys.last_end())
}

impl KeyServer {
    /// What a start found of groups that its configuration does not name.
    pub(super) fn keep_absent(&mut self, ledgers: impl IntoIterator<Item = (GroupId, Ledger)>, now: Instant) {
        let new: Vec<_> = ledgers.into_iter().map(|(id, ledger)| self.put_aside(id, ledger)).collect();
        let forgotten = self.absent.forget(now);
        for id in new.into_iter().filter(|id| !forgotten.contains(id)) {
            self.tell_kept(id, now);
        }
        self.tell_forgotten(&forgotten);
    }

    /// What there is of a group that a reload takes away, and that has been told so.
    ///
    /// # Errors
    /// There is no randomness.
    pub(super) fn keep_remains(&mut self, id: GroupId, now: Instant) -> Result<(), Error> {
        if !self.group(id).is_some_and(Group::has_removed_members) {
            return Ok(());
        }
        let author = fresh_author(self.random.as_mut())?;
        let remains = self.group(id).map(|group| (id, group.ledger().remains(author, now)));
        self.keep_absent(remains, now);
        Ok(())
    }

    /// Forgets what is over.
    pub(super) fn forget_absent(&mut self, now: Instant) {
        if self.absent.next_end().is_none_or(|end| end > now) {
            return;
        }
        let forgotten = self.absent.forget(now);
        let stored = self.store();
        self.complain_of(stored, now);
        self.tell_forgotten(&forgotten);
    }

    fn put_aside(&mut self, id: GroupId, ledger: Ledger) -> GroupId {
        self.absent.0.insert(id, ledger);
        id
    }

    fn tell_kept(&mut self, id: GroupId, now: Instant) {
        let Some(ledger) = self.absent.0.get(&id) else { return };
        let (members, removed) = (ledger.members().records().count(), ledger.state().revoked.len());
        let remaining = end(ledger).saturating_since(now);
        self.report(KeyServerEvent::GroupKept { group: id, members, removed, remaining });
    }

    fn tell_forgotten(&mut self, forgotten: &[GroupId]) {
        forgotten.iter().for_each(|id| self.report(KeyServerEvent::GroupForgotten { group: *id }));
    }
}
