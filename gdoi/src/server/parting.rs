//! Groups that are no more configured: their members hear it from the server that led them, and are repeated to while they
//! do not answer. They are in no stored state: a restart ends it, and who was not reached keeps its keys to their end.

use super::group::Group;
use super::KeyServer;
use crate::endpoint::{Instant, Output};
use crate::policy::GroupId;

impl KeyServer {
    /// Takes a group out, which is no more configured. Its last message has been begun.
    pub(super) fn part_with(&mut self, id: GroupId) {
        let Some(index) = self.groups.iter().position(|group| group.id() == id) else { return };
        let group = self.groups.remove(index);
        if group.is_talking() {
            self.parting.push(group);
        }
    }

    /// A group that is configured again begins anew.
    pub(super) fn end_parting(&mut self, id: GroupId) {
        self.parting.retain(|group| group.id() != id);
    }

    /// Sends on what the last messages are.
    pub(super) fn part_on(&mut self, now: Instant) {
        for group in &mut self.parting {
            self.output.extend(group.part_on(now).into_iter().map(Output::Transmit));
        }
        self.parting.retain(Group::is_talking);
    }
}
