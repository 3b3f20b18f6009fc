//! What operators make of a group.

use super::Group;
use crate::coop::Role;
use crate::crypto::Random;
use crate::endpoint::Instant;
use crate::error::{Error, Refused, Unacceptable};
use crate::event::KeyServerEvent;
use crate::policy::Spi;
use crate::server::config::{RekeyKind, Removal};
use crate::server::record::MAX_REVOKED;
use crate::server::terms::Transport;
use std::net::IpAddr;

/// What became of a group at an operator's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It has new keys.
    Rekeyed {
        /// The SPI of the new TEK.
        spi: Spi,
        /// How many members are told.
        members: usize,
        /// What becomes of the old keys.
        kind: RekeyKind,
        /// How.
        transport: Transport,
    },
    /// Its members must register again; who was named cannot.
    Dismissed {
        /// Who is removed; None is all.
        member: Option<IpAddr>,
        /// How many others there are.
        others: usize,
        /// Whether they are told, and when their keys end; None where the group has no rekey SA to tell them by.
        removal: Option<Removal>,
    },
    /// A member that was removed may register again.
    Readmitted {
        /// Who.
        member: IpAddr,
    },
    /// The role of the primary is being handed over.
    Resigned,
}

impl Group {
    pub(in crate::server) fn has_rekey_sa(&self) -> bool {
        self.config.rekey.is_some()
    }

    pub(in crate::server) fn has_member(&self, member: IpAddr) -> bool {
        self.ledger.members().records().any(|record| record.address == member)
    }

    pub(in crate::server) fn has_revoked(&self, member: IpAddr) -> bool {
        self.ledger.state().revoked.contains(&member)
    }

    /// Whether other servers share the group.
    pub(in crate::server) fn is_shared(&self) -> bool {
        !self.standing.is_alone()
    }

    /// # Errors
    /// This server may not change the group: the reason says whom to ask.
    pub(in crate::server) fn check_primacy(&self) -> Result<(), Refused> {
        let group = self.config.group.name.clone();
        match (self.standing.role(), self.standing.primary()) {
            (Role::Primary, _) => Ok(()),
            (Role::Yielding, _) => Err(Refused::Yielding { group }),
            (Role::Secondary | Role::Starting, Some(primary)) => Err(Refused::NotPrimary { group, primary }),
            _ => Err(Refused::NoPrimary { group }),
        }
    }

    /// # Errors
    /// No more members can be removed.
    pub(in crate::server) fn check_room_for_revoked(&self) -> Result<(), Refused> {
        let (group, removed) = (self.config.group.name.clone(), self.ledger.state().revoked.len());
        match removed < MAX_REVOKED {
            true => Ok(()),
            false => Err(Refused::TooManyRemoved { group, removed }),
        }
    }

    /// # Errors
    /// There is nobody to take the role of the primary.
    pub(in crate::server) fn check_succession(&self, now: Instant) -> Result<(), Refused> {
        match self.standing.has_successor(now) {
            true => Ok(()),
            false => Err(Refused::NoSuccessor { group: self.config.group.name.clone() }),
        }
    }

    /// New keys.
    ///
    /// # Errors
    /// [`Refused::NoRekeySa`]; without randomness or SPIs there is no new key, and the old ones go on.
    pub(in crate::server) fn renew(
        &mut self,
        kind: RekeyKind,
        random: &mut dyn Random,
        now: Instant,
    ) -> Result<Outcome, Error> {
        let transport = self.config.rekey.as_ref().map(|rekey| rekey.transport).ok_or(Refused::NoRekeySa)?;
        let time = self.ledger.time(now);
        self.attempt(|group| group.rekey(kind, random, time))?;
        let spi = self.keys().teks.last().map(|tek| tek.spi).ok_or(Unacceptable::NoSpis)?;
        Ok(Outcome::Rekeyed { spi, members: self.ledger.members().records().count(), kind, transport })
    }

    /// Removes one member, or all. One that is named is revoked: it must not come back.
    ///
    /// # Errors
    /// [`Refused::TooManyRemoved`]; those of new keys.
    pub(in crate::server) fn remove(
        &mut self,
        member: Option<IpAddr>,
        removal: Removal,
        random: &mut dyn Random,
        now: Instant,
    ) -> Result<Outcome, Error> {
        if member.is_some() {
            self.check_room_for_revoked()?;
        }
        let others = self.ledger.members().records().filter(|record| Some(record.address) != member).count();
        let time = self.ledger.time(now);
        self.attempt(|group| group.dismiss(removal, random, time))?;
        match member {
            Some(member) => {
                self.ledger.amend_members().forget(member);
                self.ledger.amend_state().revoked.insert(member);
                self.tell_when_committed(KeyServerEvent::Revoked { group: self.name(), member });
            }
            None => self.ledger.amend_members().forget_all(),
        }
        Ok(Outcome::Dismissed { member, others, removal: self.has_rekey_sa().then_some(removal) })
    }

    /// A member that was removed may come back.
    pub(in crate::server) fn readmit(&mut self, member: IpAddr) -> Outcome {
        if self.has_revoked(member) {
            self.ledger.amend_state().revoked.remove(&member);
        }
        Outcome::Readmitted { member }
    }

    /// Gives the role of the primary away.
    ///
    /// # Errors
    /// [`Refused::NoSuccessor`].
    pub(in crate::server) fn resign(&mut self, now: Instant) -> Result<Outcome, Error> {
        if !self.standing.resign(now) {
            return Err(Refused::NoSuccessor { group: self.config.group.name.clone() }.into());
        }
        self.hand_places_over();
        self.standing.announce(&self.ledger, now);
        Ok(Outcome::Resigned)
    }
}
