//! What cooperating key servers say to each other, on its way between their links and the groups.

use super::group::{Group, GroupStatus};
use super::standing::Letter;
use super::KeyServer;
use crate::coop::{split, Kind, LinkOutput, LinkState, Place};
use crate::endpoint::{Instant, Output};
use crate::error::{Error, Unacceptable};
use crate::event::{CoopEvent, KeyServerEvent};
use crate::policy::GroupId;
use crate::wire::Reader;
use std::net::IpAddr;

impl KeyServer {
    /// Carries out what the links have come to.
    pub(super) fn drain_links(&mut self, now: Instant) {
        while let Some(output) = self.links.poll() {
            match output {
                LinkOutput::Transmit(transmit) => self.output.push_back(Output::Transmit(transmit)),
                LinkOutput::Received { peer, place, body } => self.hear((peer, place), &body, now),
                LinkOutput::Up { peer } => self.greet(peer, now),
                LinkOutput::Down { peer, reason } | LinkOutput::Failed { peer, reason } => {
                    self.note_failure(peer, reason, now);
                }
                LinkOutput::Rejected { from, reason } => {
                    self.complain(KeyServerEvent::Rejected { from, reason }, now);
                }
            }
        }
    }

    /// A link that goes on failing for one reason is worth one event.
    fn note_failure(&mut self, peer: IpAddr, reason: Error, now: Instant) {
        if self.link_failures.insert(peer, reason.clone()).as_ref() != Some(&reason) {
            let event = CoopEvent::LinkFailed { peer, reason };
            self.complain(KeyServerEvent::Coop { group: None, event }, now);
        }
    }

    /// Does what is due between the servers.
    ///
    /// # Errors
    /// The first of the groups' errors.
    pub(super) fn cooperate(&mut self, now: Instant) -> Result<(), Error> {
        self.links.handle_timeout(self.random.as_mut(), now);
        self.drain_links(now);
        self.act_on_all(now, |group, random| group.cooperate(random, now))
    }

    fn hear(&mut self, (peer, place): (IpAddr, Place), body: &[u8], now: Instant) {
        let (group, heard) = match self.addressed(peer, body) {
            Ok((id, message)) => {
                let from = (peer, place);
                (Some(id), self.act(id, now, |group, random| group.hear(from, message, random, now)))
            }
            Err(reason) => (None, Err(reason)),
        };
        if let Err(reason) = heard {
            let group = group.and_then(|id| self.group(id)).map(Group::name);
            self.complain(KeyServerEvent::Coop { group, event: CoopEvent::Refused { peer, reason } }, now);
        }
    }

    /// The group that a message is about; it must be one that is shared with its sender.
    fn addressed<'a>(&self, peer: IpAddr, body: &'a [u8]) -> Result<(GroupId, (Kind, Reader<'a>)), Error> {
        let (kind, id, reader) = split(body)?;
        match self.group(id).map(|group| group.has_peer(peer)) {
            Some(true) => Ok((id, (kind, reader))),
            Some(false) => Err(Unacceptable::NotAPeerOf(id).into()),
            None => Err(Unacceptable::UnknownGroup(id.to_string()).into()),
        }
    }

    /// A server is there: it is told at once how this one stands.
    fn greet(&mut self, peer: IpAddr, now: Instant) {
        self.link_failures.remove(&peer);
        let greeted = self.act_on_all(now, |group, _| {
            group.greet(peer, now);
            Ok(())
        });
        self.complain_of(greeted, now);
    }

    /// Sends what a group has for the others. What cannot be sent is said again with the next announcement.
    pub(super) fn post(&mut self, index: usize, letters: Vec<Letter>) {
        for letter in letters {
            if self.links.send(letter.to, &letter.body, self.random.as_mut()) {
                self.groups[index].count_sent(letter.to);
            }
        }
        self.output.extend(self.links.transmits().map(Output::Transmit));
    }

    /// How many links stand.
    pub(super) fn links_up(&self) -> usize {
        self.links.status().iter().filter(|link| link.state == LinkState::Up).count()
    }

    /// What only the links know.
    pub(super) fn add_links(&self, group: &mut GroupStatus) {
        let links = self.links.status();
        for peer in group.coop.iter_mut().flat_map(|coop| &mut coop.peers) {
            if let Some(link) = links.iter().find(|link| link.peer == peer.address) {
                peer.linked = link.state == LinkState::Up;
            }
        }
    }
}
