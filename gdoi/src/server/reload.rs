//! A changed configuration of the key server.

use super::group::{added, Group};
use super::{fresh_author, KeyServer, KeyServerConfig};
use crate::endpoint::Instant;
use crate::error::Error;
use crate::event::{Change, Effect, KeyServerEvent};
use std::collections::BTreeSet;

impl KeyServer {
    /// What [`KeyServer::reconfigure`] would do to the groups.
    pub fn preview(&self, config: &KeyServerConfig) -> Vec<Change> {
        let known = |id| self.groups.iter().find(|group| group.id() == id);
        let mut changes: Vec<_> = config
            .groups
            .iter()
            .flat_map(|new| {
                known(new.group.id).map_or_else(|| vec![added(new)], |group| group.differences(new))
            })
            .collect();
        let is_gone = |group: &&Group| config.groups.iter().all(|new| new.group.id != group.id());
        changes.extend(self.groups.iter().filter(is_gone).map(Group::removed));
        changes
    }

    /// Goes on with another configuration. Keys stay, and so do sessions with peers whose credential is what it was; the
    /// address it answers from and its identity cannot change.
    ///
    /// # Errors
    /// Only internal ones.
    pub fn reconfigure(&mut self, mut config: KeyServerConfig, now: Instant) -> Result<Vec<Change>, Error> {
        let (changes, credentials) = (self.preview(&config), self.credentials_in_use());
        // Once each, however many of its changes call for it.
        let stays = |change: &&Change| config.groups.iter().any(|new| new.group.id == change.group.id);
        let sent_away = changes.iter().filter(stays).filter(|change| change.effect == Effect::Reregistration);
        for id in sent_away.map(|change| change.group.id).collect::<BTreeSet<_>>() {
            let sent_away = self.act(id, now, |group, random| group.send_away(random, now));
            self.complain_of(sent_away, now);
        }
        let groups = std::mem::take(&mut config.groups);
        let known = self.groups.iter().map(Group::id).collect::<BTreeSet<_>>();
        let added = groups.iter().filter(|new| !known.contains(&new.group.id));
        let authors = added.map(|_| fresh_author(self.random.as_mut())).collect::<Result<Vec<_>, _>>()?;
        let mut authors = authors.into_iter();
        for id in known.into_iter().filter(|id| groups.iter().all(|new| new.group.id != *id)) {
            let parted = self.act(id, now, |group, random| group.part(random, now));
            self.complain_of(parted, now);
            let kept = self.keep_remains(id, now);
            self.complain_of(kept, now);
            self.part_with(id);
        }
        let mut returned = Vec::new();
        for new in groups {
            self.end_parting(new.group.id);
            match self.groups.iter_mut().find(|group| group.id() == new.group.id) {
                Some(group) => group.reconfigure(new, now),
                None => {
                    let (id, kept) = (new.group.id, self.absent.take(new.group.id));
                    returned.extend(kept.as_ref().map(|_| id));
                    let group = authors
                        .next()
                        .map(|author| Group::begin(new, self.config.address, author, kept, now));
                    self.groups.extend(group);
                }
            }
        }
        self.links.set_peers(config.peers.clone(), self.random.as_mut(), now);
        config.address = self.config.address;
        config.identity = self.config.identity.clone();
        self.config = config;
        self.door.read(&self.config.credentials);
        self.end_outdated_sessions(&credentials);
        let report = |change: &Change| KeyServerEvent::PolicyChange { change: change.clone() };
        self.store()?;
        changes.iter().for_each(|change| self.report(report(change)));
        self.refresh_groups(now);
        for id in returned {
            let resumed = self.act(id, now, |group, random| group.go_on(random, now));
            self.complain_of(resumed, now);
        }
        Ok(changes)
    }
}
