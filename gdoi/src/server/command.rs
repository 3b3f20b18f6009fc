//! Doing what operators ask for.

use super::{KeyServer, KeyServerCommand};
use crate::endpoint::Instant;
use crate::error::Error;

impl KeyServer {
    pub(super) fn carry_out(&mut self, command: KeyServerCommand, now: Instant) -> Result<(), Error> {
        let (KeyServerCommand::Rekey(id, _)
        | KeyServerCommand::Remove(id, ..)
        | KeyServerCommand::Readmit(id, _)
        | KeyServerCommand::Resign(id)) = command;
        let Some(index) = self.groups.iter().position(|group| group.name().id == id) else { return Ok(()) };
        self.acquaint(index);
        let group = &mut self.groups[index];
        let time = group.clock.time(now);
        let leads = group.leads();
        match command {
            KeyServerCommand::Resign(_) => drop(group.resign(now)),
            // Only one server of a group makes keys.
            _ if !leads => {}
            KeyServerCommand::Rekey(_, kind) => {
                group.mark_changed();
                group.rekey(kind, self.random.as_mut(), time)?;
            }
            KeyServerCommand::Remove(_, member, removal) => {
                group.remove(member, removal, self.random.as_mut(), time)?
            }
            KeyServerCommand::Readmit(_, member) => group.readmit(member),
        }
        self.refresh_groups(now)
    }
}
