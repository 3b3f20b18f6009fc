//! Doing what operators ask for: in all groups that they name or in none.

use super::group::{Group, Outcome};
use super::{KeyServer, RekeyKind, Removal};
use crate::crypto::Random;
use crate::endpoint::Instant;
use crate::error::{Error, Refused};
use crate::event::{GroupName, KeyServerEvent};
use crate::policy::GroupId;
use std::net::IpAddr;

/// What operators can ask of a key server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyServerCommand {
    /// New keys for groups.
    Rekey(Which, RekeyKind),
    /// Remove a member, or all of them; all others must register again.
    Remove(Which, Option<IpAddr>, Removal),
    /// A member that was removed may register again.
    Readmit(Which, IpAddr),
    /// Give the role of the primary to the best of the other servers, and do not take it back.
    Resign(Which),
}

/// The groups that a command is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// All for which it makes sense.
    All,
    /// One.
    Group(GroupId),
}

impl From<GroupId> for Which {
    fn from(id: GroupId) -> Self {
        Which::Group(id)
    }
}

/// What became of one group at an operator's word.
#[derive(Clone, Debug, PartialEq)]
pub struct Done {
    /// The group.
    pub group: GroupName,
    /// What was done, or why it failed.
    pub outcome: Result<Outcome, Error>,
}

impl KeyServerCommand {
    const fn which(&self) -> Which {
        let (KeyServerCommand::Rekey(which, _)
        | KeyServerCommand::Remove(which, ..)
        | KeyServerCommand::Readmit(which, _)
        | KeyServerCommand::Resign(which)) = *self;
        which
    }

    /// Whether it makes sense for this group, among others.
    fn concerns(&self, group: &Group) -> bool {
        match self {
            // Without being told, members would go on sending with a key that others no more have.
            KeyServerCommand::Rekey(..) => group.has_rekey_sa(),
            KeyServerCommand::Remove(_, Some(member), _) => group.has_member(*member),
            KeyServerCommand::Remove(_, None, _) => true,
            KeyServerCommand::Readmit(_, member) => group.has_revoked(*member),
            KeyServerCommand::Resign(_) => group.is_shared(),
        }
    }

    /// Why it makes sense for no group.
    const fn refusal(&self) -> Refused {
        match self {
            KeyServerCommand::Rekey(..) => Refused::NoRekeySa,
            KeyServerCommand::Remove(_, Some(member), _) => Refused::NotRegistered(*member),
            KeyServerCommand::Remove(_, None, _) => Refused::NoGroup,
            KeyServerCommand::Readmit(_, member) => Refused::NotRemoved(*member),
            KeyServerCommand::Resign(_) => Refused::NoRedundancy,
        }
    }

    fn carry_out(&self, group: &mut Group, random: &mut dyn Random, now: Instant) -> Result<Outcome, Error> {
        match *self {
            KeyServerCommand::Rekey(_, kind) => group.renew(kind, random, now),
            KeyServerCommand::Remove(_, member, removal) => group.remove(member, removal, random, now),
            KeyServerCommand::Readmit(_, member) => Ok(group.readmit(member)),
            KeyServerCommand::Resign(_) => group.resign(now),
        }
    }
}

impl KeyServer {
    pub(super) fn carry_out(&mut self, command: &KeyServerCommand, now: Instant) -> Result<Vec<Done>, Error> {
        let done = self.chosen(command, now)?.into_iter().map(|group| {
            let act = |group: &mut Group, random: &mut dyn Random| command.carry_out(group, random, now);
            let outcome = self.act(group.id, now, act);
            if let Err(reason) = &outcome {
                let reason = reason.clone();
                self.report(KeyServerEvent::Rejected { from: self.config.address, reason });
            }
            Done { group, outcome }
        });
        let done = done.collect();
        self.refresh_groups(now);
        Ok(done)
    }

    /// The groups in which it is to be done.
    fn chosen(&self, command: &KeyServerCommand, now: Instant) -> Result<Vec<GroupName>, Refused> {
        let named = |group: &&Group| match command.which() {
            Which::All => true,
            Which::Group(id) => group.id() == id,
        };
        if !self.groups.iter().any(|group| named(&group)) {
            return Err(Refused::NoGroup);
        }
        let chosen = self.groups.iter().filter(named).filter(|group| command.concerns(group));
        let mut chosen: Vec<_> = chosen.collect();
        if chosen.is_empty() {
            return Err(command.refusal());
        }
        if matches!(command, KeyServerCommand::Resign(_)) {
            chosen = led(chosen)?;
            chosen.iter().try_for_each(|group| group.check_succession(now))?;
        } else {
            chosen.iter().try_for_each(|group| group.check_primacy())?;
        }
        if matches!(command, KeyServerCommand::Remove(_, Some(_), _)) {
            chosen.iter().try_for_each(|group| group.check_room_for_revoked())?;
        }
        Ok(chosen.into_iter().map(Group::name).collect())
    }
}

/// Those of which this server is primary; one at least.
fn led(shared: Vec<&Group>) -> Result<Vec<&Group>, Refused> {
    let (led, others): (Vec<_>, Vec<_>) = shared.into_iter().partition(|group| group.leads());
    match others.first().filter(|_| led.is_empty()) {
        Some(other) => other.check_primacy().map(|()| led),
        None => Ok(led),
    }
}
