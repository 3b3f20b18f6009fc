//! A key server: authenticates members, authorizes them for groups, hands out policy and keys, and changes them.

mod acknowledge;
mod clock;
mod command;
mod config;
mod coop;
mod cooperation;
mod dismissal;
mod distribution;
mod exchange;
mod foreign;
mod fragments;
mod group;
mod keys;
mod members;
mod record;
mod rekey;
mod rekey_message;
mod reload;
mod report;
mod sender_ids;
mod sessions;
mod snapshot;
mod spis;
mod state;
mod terms;

pub use config::{Authorization, GroupConfig, RekeyConfig};
pub use dismissal::Removal;
pub use distribution::{Retransmit, Transport};
pub use rekey::RekeyKind;
pub use reload::{Change, Effect};

use crate::coop::{Author, CoopPeer, LinkSettings, Links};
use crate::crypto::{Random, Secret};
use crate::endpoint::{Endpoint, Instant, Output, Transmit};
use crate::error::{Error, Malformed, Misbehaved};
use crate::event::{CoopEvent, KeyServerEvent};
use crate::fragment::{is_fragment, Reassembly};
use crate::phase1::Cookies;
use crate::policy::{GroupId, Identity, Prefix, Proposal};
use crate::rejections::{Rejections, Report};
use crate::status::{GroupStatus, KeyServerStatus};
use crate::wire::{ExchangeType, Header};
use group::Group;
use sessions::Sessions;
use snapshot::Stored;
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// So long the stored member list may lag behind.
const MEMBERS_LAG: Duration = Duration::from_secs(1);

/// What operators can ask of a key server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyServerCommand {
    /// New keys for a group.
    Rekey(GroupId, RekeyKind),
    /// Remove a member, or all of them; all others must register again.
    Remove(GroupId, Option<IpAddr>, Removal),
    /// A member that was removed may register again.
    Readmit(GroupId, IpAddr),
    /// Give the role of the primary to the best of the other servers, and do not take it back.
    Resign(GroupId),
}

/// What a key server is told.
#[derive(Debug)]
pub struct KeyServerConfig {
    /// Who it says it is; members expect the address that they ask.
    pub identity: Identity,
    /// The address and port from which it answers.
    pub address: SocketAddr,
    /// Pre-shared keys; the longest prefix that contains a peer's address gives its key.
    pub psks: Vec<PskEntry>,
    /// The phase 1 proposals that it accepts.
    pub proposals: Vec<Proposal>,
    /// Its groups.
    pub groups: Vec<GroupConfig>,
    /// The servers that share a group with it; each peer of a group's redundancy is one.
    pub peers: Vec<CoopPeer>,
}

/// A pre-shared key for some peers.
#[derive(Clone, Debug)]
pub struct PskEntry {
    /// Which.
    pub peers: Prefix,
    /// The key.
    pub key: Secret,
}

/// A key server.
pub struct KeyServer {
    config: KeyServerConfig,
    random: Box<dyn Random + Send>,
    groups: Vec<Group>,
    sessions: Sessions,
    /// Who changes what is stored and shared.
    author: Author,
    links: Links,
    /// Why links do not stand, as far as operators were told.
    link_failures: BTreeMap<IpAddr, Error>,
    output: VecDeque<Output<KeyServerEvent>>,
    reassembly: Reassembly,
    rejections: Rejections,
    /// When the changed member list is stored.
    store_members: Option<Instant>,
}

/// What to do with a message that was taken in.
enum Answer {
    /// Send this, now and whenever the same message comes again.
    Send(Vec<u8>),
    /// Nothing.
    Silence,
    /// Forget the session.
    Close,
}

impl KeyServer {
    /// A key server that goes on from `stored`, what an [`Output::Store`] of an earlier life said, or begins with
    /// fresh keys for every group that is not in it.
    ///
    /// # Errors
    /// A stored state that is damaged, or internal ones.
    pub fn new(
        mut config: KeyServerConfig,
        stored: Option<&Secret>,
        mut random: Box<dyn Random + Send>,
        now: Instant,
    ) -> Result<Self, Error> {
        let stored = stored.map(Stored::parse).transpose()?;
        let author = match &stored {
            Some(stored) => stored.author,
            None => fresh_author(random.as_mut())?,
        };
        let address = config.address;
        let groups = config.groups.drain(..);
        let mut groups: Vec<_> = groups.map(|group| Group::new(group, address, author, now)).collect();
        stored.into_iter().for_each(|stored| stored.restore(&mut groups));
        let links = Links::new(link_settings(&config), config.peers.clone(), now);
        let mut server = KeyServer {
            config,
            random,
            groups,
            sessions: Sessions::default(),
            author,
            links,
            link_failures: BTreeMap::new(),
            output: VecDeque::new(),
            reassembly: Reassembly::default(),
            rejections: Rejections::default(),
            store_members: None,
        };
        server.introduce_peers();
        server.refresh_groups(now)?;
        server.resume(now)?;
        Ok(server)
    }

    fn introduce_peers(&mut self) {
        for index in 0..self.groups.len() {
            let peers: Vec<_> = self.groups[index].peers().collect();
            peers.into_iter().for_each(|peer| self.groups[index].say(CoopEvent::PeerAdded(peer)));
        }
    }

    /// A rekey that a crash cut off goes out again. Where there are other servers the next primary sees to it.
    fn resume(&mut self, now: Instant) -> Result<(), Error> {
        for index in 0..self.groups.len() {
            self.acquaint(index);
            let group = &mut self.groups[index];
            if group.coop.is_none() {
                group.resume(self.random.as_mut(), group.clock.time(now))?;
            }
        }
        self.refresh_groups(now)
    }

    /// For operators.
    pub fn status(&self, now: Instant) -> KeyServerStatus {
        let (half_open, established) = self.sessions.count();
        KeyServerStatus {
            identity: self.config.identity.clone(),
            half_open,
            established,
            rejected: self.rejections.total(),
            groups: self.groups.iter().map(|group| self.group_status(group, now)).collect(),
        }
    }

    fn group_status(&self, group: &Group, now: Instant) -> GroupStatus {
        let mut status = group.status(now);
        self.add_links(&mut status);
        status
    }

    fn refresh_groups(&mut self, now: Instant) -> Result<(), Error> {
        for index in 0..self.groups.len() {
            self.acquaint(index);
            let group = &mut self.groups[index];
            let transmits = group.handle_timeout(self.random.as_mut(), group.clock.time(now))?;
            self.flush(index, transmits, now);
        }
        Ok(())
    }

    /// Tells a group which SPIs the others have: new keys keep out of them, since a member may be in both.
    fn acquaint(&mut self, index: usize) {
        let others = self.groups.iter().enumerate().filter(|(other, _)| *other != index);
        let others: Vec<_> = others.flat_map(|(_, group)| group.spis()).collect();
        self.groups[index].others = others;
    }

    /// What a group has to say: first stored, then told, then sent.
    fn flush(&mut self, index: usize, transmits: Vec<Transmit>, now: Instant) {
        let group = &mut self.groups[index];
        if std::mem::take(&mut group.state_changed) {
            group.commit(self.author, now);
        }
        if std::mem::take(&mut group.changed) {
            self.store();
        }
        let events = std::mem::take(&mut self.groups[index].events);
        self.output.extend(events.into_iter().map(Output::Event));
        self.post(index);
        self.output.extend(transmits.into_iter().map(Output::Transmit));
    }

    fn store(&mut self) {
        self.store_members = None;
        self.groups.iter_mut().for_each(|group| group.members_changed = false);
        match snapshot::take(self.author, &self.groups) {
            Ok(state) => self.output.push_back(Output::Store(state)),
            Err(reason) => self.report(KeyServerEvent::Rejected { from: self.config.address, reason }),
        }
    }

    fn store_members(&mut self, now: Instant) {
        let changed = self.groups.iter().any(|group| group.members_changed);
        match self.store_members {
            None if changed => self.store_members = Some(now + MEMBERS_LAG),
            Some(due) if due <= now => self.store(),
            _ => {}
        }
    }

    fn acknowledgement(&mut self, from: SocketAddr, header: &Header, body: &[u8], now: Instant) {
        let spi = Cookies::of(header).octets();
        let Some(index) = self.groups.iter().position(|group| group.has_kek(spi)) else {
            let reason = Misbehaved::UnknownExchange.into();
            return self.complain(KeyServerEvent::Rejected { from, reason }, now);
        };
        let time = self.groups[index].clock.time(now);
        if let Err(reason) = self.groups[index].acknowledge(from, spi, (header, body), time) {
            let group = self.groups[index].name();
            self.complain(KeyServerEvent::AckRefused { group, from, reason }, now);
        }
    }

    /// A datagram that is no message; one that begins as an acknowledgement of a group's is counted there, too.
    fn malformed(&mut self, from: SocketAddr, datagram: &[u8], reason: Malformed, now: Instant) {
        if ExchangeType::claimed_by(datagram) == Some(ExchangeType::GROUPKEY_PUSH_ACK) {
            let named = datagram.first_chunk().copied();
            let groups = self.groups.iter_mut().filter(|group| named.is_some_and(|spi| group.has_kek(spi)));
            groups.for_each(Group::count_malformed);
        }
        self.complain(KeyServerEvent::Rejected { from, reason: reason.into() }, now);
    }

    fn report(&mut self, event: KeyServerEvent) {
        self.output.push_back(Output::Event(event));
    }

    /// Reports what bad messages led to, within bounds.
    fn complain(&mut self, event: KeyServerEvent, now: Instant) {
        if self.rejections.count(now) == Report::Yes {
            self.report(event);
        }
    }

    fn transmit(&mut self, to: SocketAddr, payload: Vec<u8>) {
        self.output.push_back(Output::Transmit(Transmit { to, payload }));
    }
}

impl Endpoint for KeyServer {
    type Command = KeyServerCommand;
    type Event = KeyServerEvent;

    fn handle_datagram(&mut self, from: SocketAddr, bytes: &[u8], now: Instant) {
        if !is_fragment(bytes) {
            return self.handle_message(from, bytes, now);
        }
        match self.gather(from, bytes, now) {
            Ok(message) => message.iter().for_each(|message| self.handle_message(from, message, now)),
            Err(reason) => self.complain(KeyServerEvent::Rejected { from, reason }, now),
        }
    }

    fn handle_command(&mut self, command: KeyServerCommand, now: Instant) {
        if let Err(reason) = self.carry_out(command, now) {
            self.report(KeyServerEvent::Rejected { from: self.config.address, reason });
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.reassembly.expire(now);
        self.sessions.sweep(now);
        self.store_members(now);
        if let Err(reason) = self.cooperate(now).and_then(|()| self.refresh_groups(now)) {
            // Without randomness there is no new key; the old one serves on, and the next timeout tries again.
            self.complain(KeyServerEvent::Rejected { from: self.config.address, reason }, now);
        }
    }

    fn poll(&mut self) -> Output<KeyServerEvent> {
        self.next_output().unwrap_or_else(|| {
            let groups = self.groups.iter().filter_map(Group::wakes).min();
            let talk =
                [self.sessions.next_sweep(), self.links.next_timeout(), self.reassembly.next_timeout()];
            Output::Wait(talk.into_iter().chain([self.store_members, groups]).flatten().min())
        })
    }
}

fn fresh_author(random: &mut dyn Random) -> Result<Author, Error> {
    let mut octets = [0; 8];
    random.fill(&mut octets)?;
    Ok(Author(octets))
}

fn link_settings(config: &KeyServerConfig) -> LinkSettings {
    LinkSettings {
        own: config.address,
        identity: config.identity.clone(),
        proposals: config.proposals.clone(),
    }
}
