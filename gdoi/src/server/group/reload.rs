//! A changed configuration of a group: what of it holds at once and what waits for a rekey.

use super::rekey_message::Plan;
use super::Group;
use crate::crypto::Random;
use crate::endpoint::{Instant, Transmit};
use crate::error::Error;
use crate::event::{Change, CoopEvent, Effect};
use crate::server::config::{GroupConfig, RekeyConfig, Removal};
use crate::server::keys::Succession;

/// A rekey SA that is no more configured, and the KEKs that were ended with it.
pub(super) struct FormerRekey {
    rekey: RekeyConfig,
    keks: Vec<[u8; 16]>,
}

impl Group {
    /// What another configuration of the group would change.
    pub(in crate::server) fn differences(&self, new: &GroupConfig) -> Vec<Change> {
        let mut changes = differences(&self.config, new, self.acl_effect(new));
        // Only who leads tells members anything.
        let told = |change: &&mut Change| change.effect == Effect::Reregistration;
        let elsewhere = changes.iter_mut().filter(told).filter(|_| !self.leads());
        elsewhere.for_each(|change| change.effect = Effect::ByPrimary);
        changes
    }

    /// That it is no more configured, and when its members learn of it.
    pub(in crate::server) fn removed(&self) -> Change {
        match self.leads() {
            true => change(&self.config, "removed", when_told(&self.config)),
            // The others serve on, and whoever leads them has told nobody to go.
            false => change(&self.config, "removed", Effect::ByPrimary),
        }
    }

    /// It is no more configured: its members are told by this server, if it led them, and without waiting for others. Where
    /// others serve the group they are told to register there; the keys live on, which those give out and all send with.
    ///
    /// # Errors
    /// There are no keys for the message.
    pub(in crate::server) fn part(&mut self, random: &mut dyn Random, now: Instant) -> Result<(), Error> {
        if !self.leads() {
            return Ok(());
        }
        let lives_on = self.standing.has_company(now);
        self.config.redundancy = None;
        self.standing.reconfigure(&self.config, &self.ledger, now);
        match lives_on {
            true => self.hand_members_over(random, now),
            false => self.send_away(random, now),
        }
    }

    /// Tells members to register again, with the servers that go on. Those hand out the keys that there are: each lives on as
    /// long as they say.
    fn hand_members_over(&mut self, random: &mut dyn Random, now: Instant) -> Result<(), Error> {
        let time = self.ledger.time(now);
        let told_until = self.keys().told_until();
        let plan = Plan { teks: self.keys().as_of(time), ..Plan::default() };
        let told = match self.keys().kek {
            Some(_) => self.attempt(|group| group.end_keks(plan, told_until, random, time)),
            None => Ok(()),
        };
        told.and(self.handle_timeout(random, now))
    }

    /// Whether members were removed that must not come back.
    pub(in crate::server) fn has_removed_members(&self) -> bool {
        !self.ledger.state().revoked.is_empty()
    }

    /// Whether its last message is under way.
    pub(in crate::server) const fn is_talking(&self) -> bool {
        self.rekeying.is_under_way()
    }

    /// Goes on with the last message, until all have acknowledged it or the last wait is over.
    pub(in crate::server) fn part_on(&mut self, now: Instant) -> Vec<Transmit> {
        let time = self.ledger.time(now);
        // Who did not answer in all repetitions is left alone.
        self.rekeying.conclude(time);
        self.rekeying.conclude_catching_up(time);
        self.rekeying.handle_timeout(time)
    }

    /// When [`Group::part_on`] has something to do.
    pub(in crate::server) fn parting_wakes(&self) -> Option<Instant> {
        self.rekeying.due().map(|time| self.ledger.clock().local(time))
    }

    /// When members learn of the list of `new`. With other software in the group, rekey messages say only which traffic
    /// is encrypted: other deny entries must be fetched.
    fn acl_effect(&self, new: &GroupConfig) -> Effect {
        let all_ours = self.ledger.members().are_all_ours();
        match all_ours || !self.config.acl.permits().eq(new.acl.permits()) {
            true => with_keys(&self.config),
            false => when_told(&self.config),
        }
    }

    /// Goes on with another configuration.
    pub(in crate::server) fn reconfigure(&mut self, config: GroupConfig, now: Instant) {
        let (known, changed_terms) = (self.peers(), config.terms() != self.config.terms());
        let before = std::mem::replace(&mut self.config, config);
        self.remember(before.rekey);
        for peer in self.peers().into_iter().filter(|peer| !known.contains(peer)) {
            self.say(CoopEvent::PeerAdded(peer));
        }
        self.standing.reconfigure(&self.config, &self.ledger, now);
        if self.leads() && changed_terms {
            // The others hand out what this server's configuration says.
            self.ledger.amend_state();
        }
        if self.standing.is_alone() {
            self.rekeying.release(self.ledger.time(now));
        }
    }

    /// Who was not reached yet when the rekey SA was ended verifies what it hears by what it was told before.
    fn remember(&mut self, rekey: Option<RekeyConfig>) {
        let ended = self.keys().previous_keks.iter().filter(|kek| kek.succession == Succession::Ended);
        let keks: Vec<_> = ended.map(|kek| kek.spi).collect();
        let now = self.config.rekey.as_ref().map(RekeyConfig::terms);
        if let Some(rekey) = rekey.filter(|rekey| !keks.is_empty() && now != Some(rekey.terms())) {
            self.former = Some(FormerRekey { rekey, keks });
        }
    }

    /// The rekey SA that its holders know a KEK by.
    pub(super) fn rekey_under(&self, kek: [u8; 16]) -> Option<&RekeyConfig> {
        let former = self.former.iter().find(|former| former.keks.contains(&kek));
        former.map(|former| &former.rekey).or(self.config.rekey.as_ref())
    }

    /// Tells members to register again under the policy that they still have.
    pub(in crate::server) fn send_away(
        &mut self,
        random: &mut dyn Random,
        now: Instant,
    ) -> Result<(), Error> {
        let time = self.ledger.time(now);
        let sent_away = match self.leads() {
            true => self.attempt(|group| group.dismiss(Removal::Graceful, random, time)),
            false => Ok(()),
        };
        sent_away.and(self.handle_timeout(random, now))
    }
}

/// That a group is new here.
pub(in crate::server) fn added(config: &GroupConfig) -> Change {
    change(config, "new group", Effect::AtOnce)
}

fn change(config: &GroupConfig, what: &'static str, effect: Effect) -> Change {
    Change { group: config.group.clone(), what, effect }
}

/// How members learn that they must register again.
fn when_told(config: &GroupConfig) -> Effect {
    match config.rekey {
        Some(_) => Effect::Reregistration,
        None => Effect::NextRegistration,
    }
}

/// When members learn what goes with keys.
fn with_keys(config: &GroupConfig) -> Effect {
    match config.rekey {
        Some(_) => Effect::NextRekey,
        None => Effect::NextRegistration,
    }
}

fn differences(old: &GroupConfig, new: &GroupConfig, acl_effect: Effect) -> Vec<Change> {
    let mut changes = Vec::new();
    let with_keys = with_keys(old);
    let mut compare = |differs: bool, what, effect| {
        if differs {
            changes.push(change(new, what, effect));
        }
    };
    compare(old.group.name != new.group.name, "name", Effect::AtOnce);
    compare(old.authorization != new.authorization, "authorization", Effect::AtOnce);
    compare(old.acl != new.acl, "match-address", acl_effect);
    compare(old.mode != new.mode, "receive-only", with_keys);
    compare(old.transform != new.transform, "transform", with_keys);
    compare(old.replay_window != new.replay_window, "sa-ipsec replay-window", with_keys);
    compare(old.tek_lifetime != new.tek_lifetime, "sa-ipsec lifetime", with_keys);
    let delays = |config: &GroupConfig| (config.activation_delay, config.deactivation_delay);
    compare(delays(old) != delays(new), "activation and deactivation delay", with_keys);
    compare(old.redundancy != new.redundancy, "redundancy", Effect::AtOnce);
    match (&old.rekey, &new.rekey) {
        (Some(old), Some(new)) => compare_rekey(old, new, &mut compare),
        (None, None) => {}
        _ => compare(true, "rekey", when_told(old)),
    }
    changes
}

fn compare_rekey(old: &RekeyConfig, new: &RekeyConfig, compare: &mut impl FnMut(bool, &'static str, Effect)) {
    let public = |rekey: &RekeyConfig| rekey.signing_key.public().spki().to_vec();
    compare(public(old) != public(new), "rekey authentication", Effect::Reregistration);
    compare(old.transport != new.transport, "rekey transport", Effect::Reregistration);
    let kek = |rekey: &RekeyConfig| (rekey.key_len, rekey.lifetime);
    compare(kek(old) != kek(new), "rekey encryption or lifetime", Effect::NextRekey);
    let sending = |rekey: &RekeyConfig| (rekey.retransmit, rekey.reminder);
    compare(sending(old) != sending(new), "rekey retransmit", Effect::AtOnce);
    compare(old.signed_length != new.signed_length, "rekey signed-length", Effect::AtOnce);
}
