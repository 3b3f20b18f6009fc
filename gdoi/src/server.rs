//! A key server: authenticates members, authorizes them for groups, hands out policy and keys, and changes them.
//!
//! Whatever happens to a group happens in one place, and what the group then has to say waits until what it follows from
//! is stored:
//!
//! ```text
//! datagram, command, time -> act on a Group: Ledger (what must not be forgotten), Standing (among servers), Rekeying
//!                         -> settle: count changes for the other servers -> store -> events, letters, datagrams
//! ```

mod absent;
mod allotments;
mod arrivals;
mod clock;
mod command;
mod config;
mod credentials;
mod distribution;
mod division;
mod door;
mod exchange;
mod fragments;
mod group;
mod held;
mod hint;
mod keys;
mod ledger;
mod links;
mod members;
mod offers;
mod parting;
mod proven;
mod public_keys;
mod record;
mod registrant;
mod rekeying;
mod reload;
mod rooms;
mod session_name;
mod sessions;
mod snapshot;
mod spent;
mod spis;
mod standing;
mod state;
mod terms;

pub use command::{Done, KeyServerCommand, Which};
pub use config::{
    Authorization, CredentialEntry, GroupConfig, KeyServerConfig, RekeyConfig, RekeyKind, Removal, MAX_GROUPS,
};
pub use group::{GroupStatus, KeyServerStatus, MemberRecord, Outcome, RekeyStatus, SidStatus};
pub use rekeying::AckCounters;
pub use terms::{Retransmit, Transport};

use crate::coop::{Author, LinkSettings, Links};
use crate::crypto::{Random, Secret};
use crate::endpoint::{Endpoint, Instant, Output, Transmit};
use crate::error::{Error, Malformed, Misbehaved, Unacceptable};
use crate::event::KeyServerEvent;
use crate::fragment::{is_fragment, Reassembly};
use crate::phase1::Cookies;
use crate::policy::{GroupId, Spi};
use crate::rejections::{Rejections, Report};
use crate::wire::{ExchangeType, Header, Version};
use absent::Absent;
use door::Door;
use group::{Group, Outbox};
use ledger::Unstored;
use sessions::Sessions;
use snapshot::Stored;
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// So long the stored member list may lag behind.
const MEMBERS_LAG: Duration = Duration::from_secs(1);

/// A key server.
pub struct KeyServer {
    config: KeyServerConfig,
    random: Box<dyn Random + Send>,
    groups: Vec<Group>,
    /// Groups that are no more configured, while their members are told.
    parting: Vec<Group>,
    /// What must not be forgotten of groups that are in no configuration.
    absent: Absent,
    door: Door,
    sessions: Sessions,
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
        let mut stored = stored.map(Stored::parse).transpose()?;
        let groups = std::mem::take(&mut config.groups).into_iter().map(|group| {
            let ledger = stored.as_mut().and_then(|stored| stored.take(group.group.id));
            let known = ledger.as_ref().map(|ledger| ledger.members().author());
            let author = known.map_or_else(|| fresh_author(random.as_mut()), Ok)?;
            Ok(Group::begin(group, config.address, author, ledger, now))
        });
        let groups = groups.collect::<Result<_, Error>>()?;
        let links = Links::new(link_settings(&config), config.peers.clone(), now);
        let door = Door::new(&config.credentials, random.as_mut())?;
        let mut server = KeyServer {
            config,
            random,
            groups,
            parting: Vec::new(),
            absent: Absent::default(),
            door,
            sessions: Sessions::default(),
            links,
            link_failures: BTreeMap::new(),
            output: VecDeque::new(),
            reassembly: Reassembly::default(),
            rejections: Rejections::default(),
            store_members: None,
        };
        server.keep_absent(stored.into_iter().flat_map(Stored::rest), now);
        server.refresh_groups(now);
        server.resume(now);
        Ok(server)
    }

    /// A rekey that a crash cut off goes out again. Where there are other servers the next primary sees to it.
    fn resume(&mut self, now: Instant) {
        let resumed = self.act_on_all(now, |group, random| group.go_on(random, now));
        self.complain_of(resumed, now);
        self.refresh_groups(now);
    }

    /// For operators.
    pub fn status(&self, now: Instant) -> KeyServerStatus {
        let (half_open, established) = self.sessions.count();
        KeyServerStatus {
            identity: self.config.identity.clone(),
            half_open,
            established,
            links: self.links_up(),
            rejected: self.rejections.total(),
            groups: self.groups.iter().map(|group| self.group_status(group, now)).collect(),
        }
    }

    fn group_status(&self, group: &Group, now: Instant) -> GroupStatus {
        let mut status = group.status(now);
        self.add_links(&mut status);
        status
    }

    fn group(&self, id: GroupId) -> Option<&Group> {
        self.groups.iter().find(|group| group.id() == id)
    }

    /// What one group cannot do, keeps nothing else from being done: it waits and tries again, and the old keys serve on.
    fn refresh_groups(&mut self, now: Instant) {
        let refreshed = self.act_on_all(now, |group, random| group.handle_timeout(random, now));
        self.complain_of(refreshed, now);
    }

    /// Does something to every group. What goes wrong with one does not keep the others from it.
    ///
    /// # Errors
    /// The first of the groups' errors.
    fn act_on_all(
        &mut self,
        now: Instant,
        act: impl Fn(&mut Group, &mut dyn Random) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let results = (0..self.groups.len()).map(|index| self.act_on(index, now, &act));
        results.fold(Ok(()), Result::and)
    }

    /// Does something to one group.
    ///
    /// # Errors
    /// Those of `act`; [`Unacceptable::UnknownGroup`] if the group is no more.
    fn act<T>(
        &mut self,
        id: GroupId,
        now: Instant,
        act: impl FnOnce(&mut Group, &mut dyn Random) -> Result<T, Error>,
    ) -> Result<T, Error> {
        match self.groups.iter().position(|group| group.id() == id) {
            Some(index) => self.act_on(index, now, act),
            None => Err(Unacceptable::UnknownGroup(id.to_string()).into()),
        }
    }

    /// All that is done to a group is done here. What it then has to say goes out: first stored, then told, then sent. Where
    /// it cannot be stored nothing goes out, and who asked is told nothing that a restart would not know.
    ///
    /// # Errors
    /// Those of `act`, and those of storing.
    fn act_on<T>(
        &mut self,
        index: usize,
        now: Instant,
        act: impl FnOnce(&mut Group, &mut dyn Random) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let taken = self.spis_besides(index);
        let group = &mut self.groups[index];
        group.keep_out_of(taken);
        let done = act(group, self.random.as_mut());
        let unstored = group.settle(now);
        let Outbox { events, letters, transmits, .. } = group.take_outbox();
        if unstored == Unstored::Now {
            self.store()?;
        }
        events.into_iter().for_each(|event| self.tell(event, now));
        self.post(index, letters);
        self.output.extend(transmits.into_iter().map(Output::Transmit));
        done
    }

    /// The SPIs of all groups but one.
    fn spis_besides(&self, index: usize) -> Vec<Spi> {
        let others = self.groups.iter().enumerate().filter(|(other, _)| *other != index);
        let others = others.map(|(_, group)| group).chain(&self.parting).flat_map(Group::spis);
        others.chain(self.absent.spis()).collect()
    }

    /// Has all stored.
    ///
    /// # Errors
    /// It cannot be written.
    fn store(&mut self) -> Result<(), Error> {
        self.store_members = None;
        let groups = self.groups.iter().map(|group| (group.id(), group.ledger()));
        let state = snapshot::take(groups.chain(self.absent.ledgers()))?;
        self.groups.iter_mut().for_each(Group::stored);
        self.output.push_back(Output::Store(state));
        Ok(())
    }

    fn store_members(&mut self, now: Instant) {
        let changed = self.groups.iter().any(|group| group.unstored() == Unstored::Soon);
        match self.store_members {
            None if changed => self.store_members = Some(now + MEMBERS_LAG),
            Some(due) if due <= now => {
                let stored = self.store();
                self.complain_of(stored, now);
            }
            _ => {}
        }
    }

    fn acknowledgement(&mut self, from: SocketAddr, header: &Header, body: &[u8], now: Instant) {
        let spi = Cookies::of(header).octets();
        let mut groups = self.groups.iter_mut().chain(&mut self.parting);
        let Some(group) = groups.find(|group| group.has_kek(spi)) else {
            let reason = Misbehaved::UnknownExchange.into();
            return self.complain(KeyServerEvent::Rejected { from, reason }, now);
        };
        if let Err(reason) = group.acknowledge(from, spi, (header, body), now) {
            let group = group.name();
            self.complain(KeyServerEvent::AckRefused { group, from, reason }, now);
        }
    }

    /// A datagram that is no message; one that begins as an acknowledgement of a group's is counted there, too.
    fn malformed(&mut self, from: SocketAddr, datagram: &[u8], reason: Malformed, now: Instant) {
        let claimed = ExchangeType::claimed_by(datagram).filter(|_| !is_fragment(datagram));
        if claimed == Some(ExchangeType::GROUPKEY_PUSH_ACK) {
            let named = datagram.first_chunk().copied();
            let groups = self.groups.iter_mut().filter(|group| named.is_some_and(|spi| group.has_kek(spi)));
            groups.for_each(Group::count_malformed);
        }
        self.complain(KeyServerEvent::Rejected { from, reason: reason.into() }, now);
    }

    /// Tells operators, within bounds, what this server could not do.
    fn complain_of(&mut self, done: Result<(), Error>, now: Instant) {
        if let Err(reason) = done {
            self.complain(KeyServerEvent::Rejected { from: self.config.address, reason }, now);
        }
    }

    fn report(&mut self, event: KeyServerEvent) {
        self.output.push_back(Output::Event(event));
    }

    /// Reports what a message led to that changed nothing, within bounds.
    fn complain(&mut self, event: KeyServerEvent, now: Instant) {
        self.rejections.count();
        self.tell(event, now);
    }

    /// Reports an event; of those that a datagram can cause, a few of each kind.
    fn tell(&mut self, event: KeyServerEvent, now: Instant) {
        if !event.is_provoked() || self.rejections.admit(event.name(), now) == Report::Yes {
            self.report(event);
        }
    }

    /// Says how many events were left out.
    fn tell_omitted(&mut self, now: Instant) {
        for (kind, count) in self.rejections.omitted(now) {
            self.report(KeyServerEvent::Omitted { kind, count });
        }
    }

    /// Ends what nobody goes on with. Other software is told, since it may want to use the SA again (RFC 2408 section
    /// 3.15); our own members never do.
    fn sweep(&mut self, now: Instant) {
        for (peer, sa) in self.sessions.sweep(now) {
            if let (false, Ok(message)) = (sa.ours, sa.delete(self.random.as_mut())) {
                self.transmit(peer, message);
            }
        }
    }

    fn transmit(&mut self, to: SocketAddr, payload: Vec<u8>) {
        self.output.push_back(Output::Transmit(Transmit { to, payload }));
    }
}

impl Endpoint for KeyServer {
    type Command = KeyServerCommand;
    type Done = Vec<Done>;
    type Event = KeyServerEvent;

    fn handle_datagram(&mut self, from: SocketAddr, bytes: &[u8], now: Instant) {
        match Version::of(bytes) {
            Ok(Version::IkeV1) => self.handle_isakmp(from, bytes, now),
            Err(reason) => self.malformed(from, bytes, reason, now),
        }
    }

    fn handle_command(&mut self, command: KeyServerCommand, now: Instant) -> Result<Vec<Done>, Error> {
        self.carry_out(&command, now)
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.reassembly.expire(now);
        self.sweep(now);
        self.store_members(now);
        let cooperated = self.cooperate(now);
        self.complain_of(cooperated, now);
        self.refresh_groups(now);
        self.part_on(now);
        self.forget_absent(now);
        // After all that members and servers wait for.
        self.work(now);
        self.tell_omitted(now);
    }

    fn poll(&mut self) -> Output<KeyServerEvent> {
        self.next_output().unwrap_or_else(|| {
            let parting = self.parting.iter().filter_map(Group::parting_wakes);
            let groups = self.groups.iter().filter_map(Group::wakes).chain(parting).min();
            let talk =
                [self.sessions.next_sweep(), self.links.next_timeout(), self.reassembly.next_timeout()];
            let own =
                [self.store_members, self.door.public_keys.due(), self.rejections.next_timeout(), groups];
            let absent = self.absent.next_end();
            Output::Wait(talk.into_iter().chain(own).chain([absent]).flatten().min())
        })
    }
}

/// The name of a memory of a group: of what was forgotten with it nobody of this name speaks again.
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

#[cfg(test)]
mod tests;
