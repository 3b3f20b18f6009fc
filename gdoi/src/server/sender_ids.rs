//! Sender IDs for members that ask for them (RFC 6407 section 3.5).

use super::group::Group;
use super::rekey::Plan;
use super::state::GroupState;
use crate::coop::{Lineage, MAX_SERVERS};
use crate::crypto::Random;
use crate::endpoint::Instant;
use crate::error::{Error, Unacceptable};
use crate::event::KeyServerEvent;
use crate::group::SenderIds;
use crate::lifetime::switch_margin;
use crate::phase1::IsakmpSa;
use crate::policy::{SidGeneration, MAX_SIDS, SID_BITS};
use crate::pull::AwaitProof;
use crate::status::SidStatus;

impl GroupState {
    /// The generation of sender IDs that goes with the keys made now.
    pub(super) fn generation(&self) -> SidGeneration {
        SidGeneration { lineage: Lineage::octets(self.lineage), number: self.sid_generation }
    }
}

impl Group {
    /// As many as a member wants, none if it wants none. They are given out whatever becomes of the answer.
    ///
    /// # Errors
    /// [`Unacceptable::Unsupported`] for more than [`MAX_SIDS`]; [`Unacceptable::NoSenderIds`] until new ones are
    /// there, and where those of now do not go with the keys that `pull` has offered.
    pub(super) fn give_sids(
        &mut self,
        wanted: u16,
        pull: &AwaitProof,
        sa: &IsakmpSa,
    ) -> Result<Option<SenderIds>, Error> {
        match wanted {
            0 => return Ok(None),
            1..=MAX_SIDS => {}
            _ => return Err(Unacceptable::Unsupported("number of sender IDs", wanted.into()).into()),
        }
        let (place, served) = (self.place(), self.served_sids());
        if self.coop.as_mut().is_some_and(|coop| coop.recollects()) {
            self.sids.leave_gap(place);
        }
        let offered: Vec<_> = pull.generations().collect();
        let fit =
            served.number == self.sids.generation() && (offered.is_empty() || offered.contains(&served));
        let values = fit.then(|| self.sids.give(place, wanted)).flatten();
        let values = values.ok_or(Unacceptable::NoSenderIds)?;
        self.changed = true;
        Ok(Some(SenderIds { bits: SID_BITS, values, generation: sa.ours.then_some(served) }))
    }

    /// This server's place among those of the group.
    pub(super) fn place(&self) -> usize {
        self.coop.as_ref().map_or(0, |coop| coop.place())
    }

    /// The generation that goes with the keys that members may have.
    fn served_sids(&self) -> SidGeneration {
        self.coop.as_ref().map_or(self.state.generation(), |coop| coop.served_sids())
    }

    /// Whether it is time for new ones. Members without a rekey SA hear of new keys only when they register again, so
    /// there the next key brings them, unless there are none left before.
    pub(super) fn renews_sids(&self, now: Instant) -> bool {
        let key_due = self.state.keys.tek_due(self.tek_life()) <= now;
        match self.state.keys.kek {
            Some(_) => self.sids.run_out(),
            None => self.sids.run_out() && key_due || self.sids.used_up(),
        }
    }

    /// A new generation under a new key: members are told the key at once and to register again for sender IDs under it.
    /// With those that they have they go on with the keys that they have. No sender ID is used twice with one key.
    pub(super) fn renew_sids(&mut self, random: &mut dyn Random, now: Instant) -> Result<(), Error> {
        self.next_sid_generation();
        self.events.push(KeyServerEvent::SenderIdsRenewed { group: self.name() });
        let Some(kek) = self.state.keys.kek.clone() else { return self.fresh_tek(random, now).map(drop) };
        let retirement = self.retirement();
        self.state.keys.shorten(now + retirement);
        self.fresh_tek(random, now)?;
        let plan = Plan {
            ends_kek: true,
            teks: self.state.keys.teks.iter().filter_map(|tek| tek.as_of(now)).collect(),
            activation_delay: Some(retirement.saturating_sub(switch_margin(retirement))),
            ..Plan::default()
        };
        self.end_kek(&[kek], plan, random, now)
    }

    pub(super) fn next_sid_generation(&mut self) {
        self.state.sid_generation = self.state.sid_generation.saturating_add(1);
        self.sids.begin(self.state.sid_generation);
        self.mark_changed();
    }

    pub(super) fn sid_status(&self) -> SidStatus {
        let servers = self.config.redundancy.as_ref().map_or(1, |rules| rules.peers.len() + 1);
        SidStatus {
            bits: SID_BITS,
            generation: self.state.sid_generation,
            given: self.sids.given(),
            of: self.sids.range() * servers.min(MAX_SERVERS) as u32,
        }
    }
}
