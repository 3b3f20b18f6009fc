//! Sender IDs for members that ask for them (RFC 6407 section 3.5).

use super::rekey_message::Plan;
use super::report::SidStatus;
use super::Group;
use crate::coop::MAX_SERVERS;
use crate::crypto::Random;
use crate::error::{Error, Unacceptable};
use crate::event::{KeyServerEvent, Renewal};
use crate::group::SenderIds;
use crate::lifetime::switch_margin;
use crate::policy::{SidGeneration, SidRequest, MAX_SIDS, SID_BITS};
use crate::server::clock::GroupTime;
use crate::server::registrant::Registrant;
use std::time::Duration;

/// Members make no new generation necessary sooner than this after the one before, or a TEK's life if that is shorter.
const PAUSE: Duration = Duration::from_secs(3_600);

/// One member alone not sooner than this.
const LONG_PAUSE: Duration = Duration::from_secs(86_400);

impl Group {
    /// As many as a member wants, none if it wants none. They are given out whatever becomes of the answer.
    ///
    /// # Errors
    /// [`Unacceptable::Unsupported`] for more than [`MAX_SIDS`]; [`Unacceptable::NoSenderIds`] until new ones are
    /// there, and where those of now do not go with the keys that were `offered`; [`Unacceptable::TooManySenderIds`].
    pub(in crate::server) fn give_sids(
        &mut self,
        request: SidRequest,
        offered: &[SidGeneration],
        registrant: &Registrant,
    ) -> Result<Option<SenderIds>, Error> {
        match request.count {
            0 => return Ok(None),
            1..=MAX_SIDS => {}
            _ => {
                let wanted = u32::from(request.count);
                return Err(Unacceptable::Unsupported("number of sender IDs", wanted).into());
            }
        }
        let released = self.standing.released_sids();
        let fit = released == self.ledger.sids().generation()
            && (offered.is_empty() || offered.contains(&released));
        let place = self.place().filter(|_| fit).ok_or(Unacceptable::NoSenderIds)?;
        let given = self.ledger.give_sids(place, (registrant.address.ip(), registrant.shared), request);
        self.refused += u64::from(given == Err(Unacceptable::TooManySenderIds));
        let values = given?;
        let generation = registrant.ours.then_some(released);
        Ok(Some(SenderIds { bits: SID_BITS, values, generation, nonce: request.nonce }))
    }

    /// Whether it is time for new ones. Members without a rekey SA hear of new keys only when they register again, so
    /// there the next key brings them, unless there are none left before.
    pub(super) fn renews_sids(&self, now: GroupTime) -> Option<Renewal> {
        let (sids, key_due) = (self.ledger.sids(), self.tek_due() <= now);
        let shares_used_up = self.ledger.allotments().are_shares_used_up(sids.range());
        let run_out = shares_used_up
            || match self.keys().kek {
                Some(_) => sids.run_out(),
                None => sids.run_out() && key_due || sids.used_up(),
            };
        let age = now.saturating_since(self.ledger.state().division.begun);
        let wanted = self.ledger.allotments().somebody_has_all();
        match () {
            () if run_out && age >= PAUSE.min(self.config.tek_lifetime) => Some(Renewal::UsedUp),
            () if wanted && age >= LONG_PAUSE => Some(Renewal::Allotted),
            () => None,
        }
    }

    /// A new generation under a new key. Where no sender has a key of its own nobody needs to hear of it.
    pub(super) fn renew_sids(
        &mut self,
        cause: Renewal,
        random: &mut dyn Random,
        now: GroupTime,
    ) -> Result<(), Error> {
        self.begin_sid_generation(random, now)?;
        if !self.is_per_sender() {
            return Ok(());
        }
        self.tell_when_committed(KeyServerEvent::SenderIdsRenewed { group: self.name(), cause });
        self.bring_back(random, now)
    }

    /// Members are told a new key at once and to register again for sender IDs under it. With those that they have they go
    /// on with the keys that they have. No sender ID is used twice with one key.
    pub(super) fn bring_back(&mut self, random: &mut dyn Random, now: GroupTime) -> Result<(), Error> {
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

    pub(super) fn sid_status(&self) -> SidStatus {
        let (sids, servers) = (self.ledger.sids(), self.peers().len() + 1);
        SidStatus {
            bits: SID_BITS,
            generation: self.ledger.state().generation().number,
            given: sids.given(),
            of: sids.range() * servers.min(MAX_SERVERS) as u32,
        }
    }
}
