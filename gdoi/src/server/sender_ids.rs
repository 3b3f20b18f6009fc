//! Sender IDs for members that ask for them (RFC 6407 section 3.5).

use super::group::Group;
use super::rekey::Removal;
use crate::coop::{MOST_SIDS, SID_BITS};
use crate::crypto::Random;
use crate::endpoint::Instant;
use crate::error::{Error, Unacceptable};
use crate::event::KeyServerEvent;
use crate::pull::SenderIds;

impl Group {
    /// As many as a member wants, none if it wants none. They are given out whatever becomes of the answer.
    ///
    /// # Errors
    /// [`Unacceptable::Unsupported`] for more than 16, [`Unacceptable::NoSenderIds`] until new ones are there.
    pub(super) fn give_sids(&mut self, wanted: u16) -> Result<Option<SenderIds>, Error> {
        match wanted {
            0 => return Ok(None),
            1..=MOST_SIDS => {}
            _ => return Err(Unacceptable::Unsupported("number of sender IDs", wanted.into()).into()),
        }
        let place = self.coop.as_ref().map_or(0, |coop| coop.place());
        if self.coop.as_mut().is_some_and(|coop| coop.recollects()) {
            self.sids.leave_gap(place);
        }
        let served = self.coop.as_ref().map_or(self.state.sid_generation, |coop| coop.served_sids());
        let values = (served == self.sids.generation()).then(|| self.sids.give(place, wanted)).flatten();
        let values = values.ok_or(Unacceptable::NoSenderIds)?;
        self.changed = true;
        Ok(Some(SenderIds { bits: SID_BITS, values }))
    }

    /// All members must register again, under new keys: with those that they have, no sender ID is used twice.
    pub(super) fn renew_sids(&mut self, random: &mut dyn Random, now: Instant) -> Result<(), Error> {
        self.next_sid_generation();
        self.events.push(KeyServerEvent::SenderIdsRenewed { group: self.name() });
        self.dismiss(Removal::Graceful, random, now)
    }

    pub(super) fn next_sid_generation(&mut self) {
        self.state.sid_generation = self.state.sid_generation.saturating_add(1);
        self.sids.begin(self.state.sid_generation);
        self.mark_changed();
    }
}
