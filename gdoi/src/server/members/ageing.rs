//! Who of the list gives no sign of life any more.

use super::{Members, Record};
use crate::server::clock::GroupTime;

impl Record {
    /// When it showed last that it lives, as far as this server knows.
    pub(super) fn last_sign(&self) -> GroupTime {
        self.last_acknowledged.unwrap_or_default().max(self.last_registered)
    }
}

impl Members {
    pub(super) fn living(&self) -> usize {
        self.records().filter(|record| !self.is_dead(record)).count()
    }

    /// Members that gave no sign of life since then have no key that lives: they make room for others.
    pub(in crate::server) fn set_dead_before(&mut self, time: GroupTime) {
        self.dead_before = time;
    }

    /// From now on members acknowledge to this server. What they acknowledged to another is not known here.
    pub(in crate::server) fn watch_from(&mut self, time: GroupTime) {
        self.watched_since = time;
    }

    /// Whether there are members to be forgotten.
    pub(in crate::server) fn has_dead(&self) -> bool {
        self.records().any(|record| self.is_dead(record))
    }

    /// Forgets the members that have no key that lives and gave no sign of life; how many.
    pub(in crate::server) fn forget_dead(&mut self) -> usize {
        let dead = self.records().filter(|record| self.is_dead(record));
        let dead: Vec<_> = dead.map(|record| record.address).collect();
        dead.iter().for_each(|member| self.forget(*member));
        self.forgotten = self.forgotten.saturating_add(dead.len() as u64);
        dead.len()
    }

    /// How many were forgotten like this.
    pub(in crate::server) const fn forgotten(&self) -> u64 {
        self.forgotten
    }

    pub(super) fn is_dead(&self, record: &Record) -> bool {
        record.last_sign().max(self.watched_since) < self.dead_before
    }
}
