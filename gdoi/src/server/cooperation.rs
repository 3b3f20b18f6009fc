//! What cooperating key servers say to each other, on its way between their links and the groups.

use super::KeyServer;
use crate::coop::{split, LinkOutput, LinkState};
use crate::endpoint::{Instant, Output};
use crate::error::{Error, Unacceptable};
use crate::event::{CoopEvent, KeyServerEvent};
use crate::status::GroupStatus;
use std::net::IpAddr;

impl KeyServer {
    /// Carries out what the links have come to.
    pub(super) fn drain_links(&mut self, now: Instant) {
        while let Some(output) = self.links.poll() {
            match output {
                LinkOutput::Transmit(transmit) => self.output.push_back(Output::Transmit(transmit)),
                LinkOutput::Received { peer, body } => self.hear(peer, &body, now),
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
            self.complain_of(None, CoopEvent::LinkFailed { peer, reason }, now);
        }
    }

    /// Does what is due between the servers.
    pub(super) fn cooperate(&mut self, now: Instant) -> Result<(), Error> {
        self.links.handle_timeout(self.random.as_mut(), now);
        self.drain_links(now);
        for index in 0..self.groups.len() {
            self.acquaint(index);
            self.groups[index].cooperate(self.random.as_mut(), now)?;
            self.flush(index, Vec::new(), now);
        }
        Ok(())
    }

    fn hear(&mut self, peer: IpAddr, body: &[u8], now: Instant) {
        let (index, heard) = match self.addressed(peer, body) {
            Ok((index, message)) => {
                self.acquaint(index);
                (Some(index), self.groups[index].hear(peer, message, self.random.as_mut(), now))
            }
            Err(reason) => (None, Err(reason)),
        };
        if let Err(reason) = heard {
            self.complain_of(index, CoopEvent::Refused { peer, reason }, now);
        }
        if let Some(index) = index {
            self.flush(index, Vec::new(), now);
        }
    }

    /// The group that a message is about; it must be one that is shared with its sender.
    fn addressed<'a>(
        &self,
        peer: IpAddr,
        body: &'a [u8],
    ) -> Result<(usize, (crate::coop::Kind, crate::wire::Reader<'a>)), Error> {
        let (kind, id, reader) = split(body)?;
        let shared = self.groups.iter().position(|group| {
            group.name().id == id && group.coop.as_ref().is_some_and(|coop| coop.has_peer(peer))
        });
        let index = shared.ok_or_else(|| Unacceptable::UnknownGroup(id.to_string()))?;
        Ok((index, (kind, reader)))
    }

    /// A server is there: it is told at once how this one stands.
    fn greet(&mut self, peer: IpAddr, now: Instant) {
        self.link_failures.remove(&peer);
        for index in 0..self.groups.len() {
            self.groups[index].greet(peer, now);
            self.flush(index, Vec::new(), now);
        }
    }

    /// Sends what a group has for the others. What cannot be sent is said again with the next announcement.
    pub(super) fn post(&mut self, index: usize) {
        let Some(coop) = &mut self.groups[index].coop else { return };
        for letter in coop.take_letters() {
            self.links.send(letter.to, &letter.body, self.random.as_mut());
        }
        self.output.extend(self.links.transmits().map(Output::Transmit));
    }

    fn complain_of(&mut self, index: Option<usize>, event: CoopEvent, now: Instant) {
        let group = index.map(|index| self.groups[index].name());
        self.complain(KeyServerEvent::Coop { group, event }, now);
    }

    /// What only the links know.
    pub(super) fn add_links(&self, group: &mut GroupStatus) {
        let links = self.links.status();
        for peer in group.coop.iter_mut().flat_map(|coop| &mut coop.peers) {
            if let Some(link) = links.iter().find(|link| link.peer == peer.address) {
                peer.linked = link.state == LinkState::Up;
                peer.sent = link.sent;
            }
        }
    }
}
