//! Sender IDs for members that ask for them (RFC 6407 section 3.5).

use super::rekey_message::Plan;
use super::report::SidStatus;
use super::Group;
use crate::coop::MAX_SERVERS;
use crate::crypto::Random;
use crate::error::{Error, Unacceptable};
use crate::event::KeyServerEvent;
use crate::group::SenderIds;
use crate::lifetime::switch_margin;
use crate::policy::{SidGeneration, MAX_SIDS, SID_BITS};
use crate::server::clock::GroupTime;
use crate::server::registrant::Registrant;

impl Group {
    /// As many as a member wants, none if it wants none. They are given out whatever becomes of the answer.
    ///
    /// # Errors
    /// [`Unacceptable::Unsupported`] for more than [`MAX_SIDS`]; [`Unacceptable::NoSenderIds`] until new ones are
    /// there, and where those of now do not go with the keys that were `offered`.
    pub(in crate::server) fn give_sids(
        &mut self,
        wanted: u16,
        offered: &[SidGeneration],
        registrant: &Registrant,
    ) -> Result<Option<SenderIds>, Error> {
        match wanted {
            0 => return Ok(None),
            1..=MAX_SIDS => {}
            _ => return Err(Unacceptable::Unsupported("number of sender IDs", wanted.into()).into()),
        }
        let (place, released) = (self.standing.place(), self.standing.released_sids());
        if self.standing.recollects() {
            self.ledger.amend_sids().leave_gap(place);
        }
        let fit = released.number == self.ledger.sids().generation()
            && (offered.is_empty() || offered.contains(&released));
        let mut sids = self.ledger.sids().clone();
        let values = fit.then(|| sids.give(place, wanted)).flatten().ok_or(Unacceptable::NoSenderIds)?;
        *self.ledger.amend_sids() = sids;
        Ok(Some(SenderIds { bits: SID_BITS, values, generation: registrant.ours.then_some(released) }))
    }

    /// Whether it is time for new ones. Members without a rekey SA hear of new keys only when they register again, so
    /// there the next key brings them, unless there are none left before.
    pub(super) fn renews_sids(&self, now: GroupTime) -> bool {
        let (sids, key_due) = (self.ledger.sids(), self.tek_due() <= now);
        match self.keys().kek {
            Some(_) => sids.run_out(),
            None => sids.run_out() && key_due || sids.used_up(),
        }
    }

    /// A new generation under a new key: members are told the key at once and to register again for sender IDs under it.
    /// With those that they have they go on with the keys that they have. No sender ID is used twice with one key.
    pub(super) fn renew_sids(&mut self, random: &mut dyn Random, now: GroupTime) -> Result<(), Error> {
        self.next_sid_generation();
        self.tell_when_committed(KeyServerEvent::SenderIdsRenewed { group: self.name() });
        if self.keys().kek.is_none() {
            return self.fresh_tek(random, now).map(drop);
        }
        let told_until = self.keys().told_until();
        let retirement = self.config.retirement();
        self.ledger.amend_state().keys.shorten(now + retirement);
        self.fresh_tek(random, now)?;
        let plan = Plan {
            teks: self.keys().as_of(now),
            activation_delay: Some(retirement.saturating_sub(switch_margin(retirement))),
            ..Plan::default()
        };
        self.end_keks(plan, told_until, random, now)
    }

    pub(super) fn next_sid_generation(&mut self) {
        let state = self.ledger.amend_state();
        state.sid_generation = state.sid_generation.saturating_add(1);
        let generation = state.sid_generation;
        self.ledger.amend_sids().begin(generation);
    }

    pub(super) fn sid_status(&self) -> SidStatus {
        let (sids, servers) = (self.ledger.sids(), self.peers().len() + 1);
        SidStatus {
            bits: SID_BITS,
            generation: self.ledger.state().sid_generation,
            given: sids.given(),
            of: sids.range() * servers.min(MAX_SERVERS) as u32,
        }
    }
}
