//! Whose changes are in the list, of more authors than can be told apart at once.

use super::{Listed, Members};
use crate::coop::{Author, Versions};
use std::collections::BTreeSet;

impl Members {
    /// Whether something in the list is newer than what a server has that has seen these versions. What is only known of
    /// authors that are no more is nothing that it lacks.
    pub(in crate::server) fn has_news_for(&self, listed: &Versions) -> bool {
        let newer = |record: &Listed| record.version > listed.of(record.author);
        !listed.covers(&self.seen) && self.records.values().any(newer)
    }

    /// Room for another author of changes: none is lost sight of. One of which nothing is in the list any more needs no place
    /// there; if all have something, this server makes the records of the one its own that changed nothing for the longest
    /// time, most likely an earlier life of a server. Should it live, it comes back with its next change.
    pub(super) fn make_room_for(&mut self, author: Author) {
        while !self.seen.has_room_for(author) {
            let others = self.seen.iter().filter(|(other, _)| *other != self.author && *other != author);
            let with_records: BTreeSet<_> = self.records.values().map(|listed| listed.author).collect();
            let least = |(other, number): &(Author, u64)| (with_records.contains(other), *number);
            let Some((oldest, _)) = others.min_by_key(least) else { return };
            self.seen.forget(oldest);
            self.take_over(oldest);
        }
    }

    /// The records of an author as changes of this server, which count before what they replace.
    fn take_over(&mut self, author: Author) {
        for listed in self.records.values_mut().filter(|listed| listed.author == author) {
            self.newest += 1;
            (listed.author, listed.version) = (self.author, self.newest);
            self.seen.raise(self.author, self.newest);
        }
    }
}
