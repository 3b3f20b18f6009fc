//! A changed configuration: what of it holds at once and what waits for a rekey.

use super::config::{GroupConfig, RekeyConfig};
use super::coop::Coop;
use super::dismissal::Removal;
use super::group::Group;
use super::{KeyServer, KeyServerConfig};
use crate::crypto::Random;
use crate::endpoint::Instant;
use crate::error::Error;
use crate::event::{CoopEvent, GroupName, KeyServerEvent};
use std::fmt;

/// When a change reaches the members that are registered. Who registers after it gets the new policy at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// Now.
    AtOnce,
    /// With the next rekey, which an operator can ask for; the keys of now live on until their end.
    NextRekey,
    /// When they register again by themselves: the group has no rekey SA to tell them by.
    NextRegistration,
    /// All members are told to register again.
    Reregistration,
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Effect::AtOnce => "applied at once",
            Effect::NextRekey => "reaches registered members with the next rekey (`ks rekey` does it now)",
            Effect::NextRegistration => "reaches registered members when they register again by themselves",
            Effect::Reregistration => "all members are told to register again",
        })
    }
}

/// One thing that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The group.
    pub group: GroupName,
    /// What differs, as the configuration names it.
    pub what: &'static str,
    /// When it holds.
    pub effect: Effect,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "group {}: {}: {}", self.group, self.what, self.effect)
    }
}

impl KeyServer {
    /// What [`KeyServer::reconfigure`] would do to the groups.
    pub fn preview(&self, config: &KeyServerConfig) -> Vec<Change> {
        let known = |id| self.groups.iter().find(|group| group.name().id == id);
        let mut changes: Vec<_> = config
            .groups
            .iter()
            .flat_map(|new| match known(new.group.id) {
                Some(group) => differences(&group.config, new, group.acl_effect(new)),
                None => vec![change(new, "new group", Effect::AtOnce)],
            })
            .collect();
        let gone = self
            .groups
            .iter()
            .filter(|group| config.groups.iter().all(|new| new.group.id != group.name().id));
        changes.extend(gone.map(|group| change(&group.config, "removed", when_told(&group.config))));
        changes
    }

    /// Goes on with another configuration. Sessions and keys stay; the address it answers from and its identity cannot
    /// change.
    ///
    /// # Errors
    /// Only internal ones.
    pub fn reconfigure(&mut self, mut config: KeyServerConfig, now: Instant) -> Result<Vec<Change>, Error> {
        let changes = self.preview(&config);
        self.send_away(&changes, now)?;
        let groups = std::mem::take(&mut config.groups);
        self.groups.retain(|group| groups.iter().any(|new| new.group.id == group.name().id));
        for new in groups {
            match self.groups.iter_mut().find(|group| group.name().id == new.group.id) {
                Some(group) => group.reconfigure(new, now),
                None => self.groups.push(Group::new(new, self.config.address, self.author, now)),
            }
        }
        self.links.set_peers(config.peers.clone(), self.random.as_mut(), now);
        config.address = self.config.address;
        config.identity = self.config.identity.clone();
        self.config = config;
        let report = |change: &Change| KeyServerEvent::PolicyChange { change: change.clone() };
        changes.iter().for_each(|change| self.report(report(change)));
        self.store();
        self.refresh_groups(now)?;
        Ok(changes)
    }

    /// Tells members to register again under the policy that they still have.
    fn send_away(&mut self, changes: &[Change], now: Instant) -> Result<(), Error> {
        for index in 0..self.groups.len() {
            let id = self.groups[index].name().id;
            if changes.iter().any(|change| change.group.id == id && change.effect == Effect::Reregistration) {
                self.acquaint(index);
                let group = &mut self.groups[index];
                let transmits = group.send_away(self.random.as_mut(), group.clock.time(now))?;
                self.flush(index, transmits, now);
            }
        }
        Ok(())
    }
}

impl Group {
    /// When members learn of the list of `new`. With other software in the group, rekey messages say only which traffic
    /// is encrypted: other deny entries must be fetched.
    fn acl_effect(&self, new: &GroupConfig) -> Effect {
        let told = self.members.are_all_ours() || !self.config.acl.permits().eq(new.acl.permits());
        match told {
            true => with_keys(&self.config),
            false => when_told(&self.config),
        }
    }

    fn reconfigure(&mut self, config: GroupConfig, now: Instant) {
        let own = self.source.ip();
        let known: Vec<_> = self.peers().collect();
        let added =
            config.redundancy.iter().flat_map(|rules| &rules.peers).filter(|peer| !known.contains(peer));
        added.copied().for_each(|peer| self.say(CoopEvent::PeerAdded(peer)));
        match (&mut self.coop, &config.redundancy) {
            (Some(coop), Some(rules)) => coop.reconfigure(&config, rules),
            (coop @ Some(_), None) => *coop = None,
            (None, Some(rules)) => {
                let mut coop = Coop::new(&config, own, rules.clone(), 0, now);
                coop.restore(0, &self.state);
                self.coop = Some(Box::new(coop));
            }
            (None, None) => {}
        }
        // The others hand out what this server's configuration says, if it is primary.
        self.state_changed |= self.coop.is_some() && self.leads() && config.terms() != self.config.terms();
        self.config = config;
    }

    fn send_away(&mut self, random: &mut dyn Random, now: Instant) -> Result<Vec<crate::Transmit>, Error> {
        if self.leads() {
            self.dismiss(Removal::Graceful, random, now)?;
        }
        self.handle_timeout(random, now)
    }
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
}
