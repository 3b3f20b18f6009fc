//! One group on its key server: its keys, its members, and the rekey message under way. All times here are the
//! group's own.

use super::clock::GroupClock;
use super::config::{GroupConfig, RekeyConfig};
use super::coop::Coop;
use super::dismissal::Removal;
use super::distribution::Distribution;
use super::keys::{Keys, Life, Succession};
use super::members::Members;
use super::record::MAX_REVOKED;
use super::rekey::RekeyKind;
use super::state::GroupState;
use crate::coop::{Author, Lineage, Sids};
use crate::crypto::Random;
use crate::endpoint::{Instant, Transmit};
use crate::error::{Error, Unacceptable};
use crate::event::{GroupName, KeyServerEvent};
use crate::phase1::IsakmpSa;
use crate::policy::{Identity, Spi, Transform};
use crate::status::AckCounters;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

pub(super) struct Group {
    pub(super) config: GroupConfig,
    pub(super) source: SocketAddr,
    pub(super) clock: GroupClock,
    /// The newest keys, and what goes with them.
    pub(super) state: GroupState,
    /// The sender IDs given out.
    pub(super) sids: Sids,
    pub(super) members: Members,
    pub(super) distribution: Option<Distribution>,
    pub(super) events: Vec<KeyServerEvent>,
    /// Whether there is something that must be stored before anything is sent.
    pub(super) changed: bool,
    /// Whether the shared state was changed here.
    pub(super) state_changed: bool,
    /// Whether the member list differs from the one stored, which may lag.
    pub(super) members_changed: bool,
    pub(super) acks: AckCounters,
    pub(super) refused: u64,
    /// The SPIs of this server's other groups, as far as this one was told.
    pub(super) others: Vec<Spi>,
    /// The servers that share the group, if there are others.
    pub(super) coop: Option<Box<Coop>>,
}

impl Group {
    pub(super) fn new(config: GroupConfig, source: SocketAddr, author: Author, now: Instant) -> Self {
        let coop =
            config.redundancy.clone().map(|rules| Box::new(Coop::new(&config, source.ip(), rules, 0, now)));
        Group {
            config,
            source,
            clock: GroupClock::starting(now),
            state: GroupState::default(),
            sids: Sids::default(),
            members: Members::new(author),
            distribution: None,
            events: Vec::new(),
            changed: false,
            state_changed: false,
            members_changed: false,
            acks: AckCounters::default(),
            refused: 0,
            others: Vec::new(),
            coop,
        }
    }

    pub(super) fn name(&self) -> GroupName {
        self.config.group.clone()
    }

    /// Whether `asked` is this group's number, 4 octets, or its name.
    pub(super) fn is_named(&self, asked: &[u8]) -> bool {
        asked == self.config.group.id.0.to_be_bytes() || asked == self.config.group.name.as_bytes()
    }

    pub(super) fn authorize(&mut self, address: IpAddr, peer: &Identity) -> Result<(), Unacceptable> {
        let revoked = self.state.revoked.contains(&address);
        let result = match (revoked, self.members.is_full_for(address)) {
            (true, _) => Err(Unacceptable::Revoked),
            (_, true) => Err(Unacceptable::Busy),
            _ => self.config.authorization.check(address, peer),
        };
        self.refused += u64::from(result.is_err());
        result
    }

    /// Whether some sender has, or soon will have, a key of its own.
    pub(super) fn is_per_sender(&self) -> bool {
        let keys = self.released().teks.iter().map(|tek| tek.transform);
        keys.chain([self.config.transform]).any(Transform::is_per_sender)
    }

    /// Those of all TEKs of the group that this server knows.
    pub(super) fn spis(&self) -> impl Iterator<Item = Spi> + '_ {
        let others = self.coop.iter().flat_map(|coop| coop.keys());
        others.chain([&self.state.keys]).flat_map(Keys::spis)
    }

    /// Whether this server makes the keys: the only one, or the primary.
    pub(super) fn leads(&self) -> bool {
        self.coop.as_ref().is_none_or(|coop| coop.leads())
    }

    /// The shared state was changed here.
    pub(super) fn mark_changed(&mut self) {
        (self.changed, self.state_changed) = (true, true);
    }

    /// Makes the keys that are due, forgets those that have ended, sends what is to be sent.
    pub(super) fn handle_timeout(
        &mut self,
        random: &mut dyn Random,
        now: Instant,
    ) -> Result<Vec<Transmit>, Error> {
        self.changed |= self.state.keys.expire(now);
        if !self.leads() {
            return Ok(Vec::new());
        }
        self.make_keys(random, now)?;
        let Some(distribution) = &mut self.distribution else { return Ok(Vec::new()) };
        if self.coop.is_none() {
            distribution.release(now);
        }
        if distribution.is_over(now) {
            self.conclude();
            return Ok(Vec::new());
        }
        Ok(distribution.handle_timeout(now))
    }

    /// Sends the keys once more after a restart: nobody knows whom the message reached that was under way. Where a
    /// new KEK was in it, under the one before; where it ended that one, this is said again instead.
    pub(super) fn resume(&mut self, random: &mut dyn Random, now: Instant) -> Result<(), Error> {
        if self.members.is_empty() {
            self.state.keys.set_previous(Vec::new());
            self.state.under_way = false;
        }
        if self.distribution.is_some() || self.members.is_empty() || self.state.keys.kek.is_none() {
            return Ok(());
        }
        let keks = &self.state.keys.previous_keks;
        match keks.iter().any(|kek| kek.succession == Succession::Ended) {
            true => self.dismiss_again(now),
            false => self.rekey(RekeyKind::Reminder, random, now),
        }
    }

    fn make_keys(&mut self, random: &mut dyn Random, now: Instant) -> Result<(), Error> {
        self.state.lineage.get_or_insert(Lineage(self.members.author().0));
        if self.renews_sids(now) {
            self.renew_sids(random, now)?;
        }
        if let (None, Some(rekey)) = (&self.state.keys.kek, &self.config.rekey) {
            let kind = (rekey.key_len, rekey.lifetime, self.state.lineage);
            self.state.keys.replace_kek(kind, random, now)?;
            self.events.push(KeyServerEvent::NewKek { group: self.name() });
            self.mark_changed();
        }
        let due = |time: Option<Instant>| time.is_some_and(|time| time <= now);
        if due(Some(self.state.keys.tek_due(self.tek_life()))) || due(self.kek_due()) {
            self.mark_changed();
            return self.rekey(RekeyKind::Scheduled, random, now);
        }
        match due(self.reminder_due()) {
            true => self.rekey(RekeyKind::Reminder, random, now),
            false => Ok(()),
        }
    }

    /// The last wait for acknowledgements is over.
    fn conclude(&mut self) {
        let Some(distribution) = self.distribution.take() else { return };
        let told = Some(distribution.acl());
        if !self.state.keys.previous_keks.is_empty() || self.coop.is_some() || self.state.told != told {
            self.mark_changed();
        }
        self.state.keys.set_previous(Vec::new());
        self.state.under_way = false;
        self.state.told = told;
        for member in distribution.silent() {
            self.members_changed = true;
            if self.members.missed(member) {
                self.events.push(KeyServerEvent::MemberDropped { group: self.name(), member });
            }
        }
    }

    pub(super) fn tek_life(&self) -> Life {
        Life { total: self.config.tek_lifetime, distribution: self.distribution_time() }
    }

    pub(super) fn kek_life(&self) -> Option<Life> {
        let total = self.config.rekey.as_ref()?.lifetime;
        Some(Life { total, distribution: self.distribution_time() })
    }

    pub(super) fn distribution_time(&self) -> Duration {
        self.config.rekey.as_ref().map_or(Duration::ZERO, |rekey| rekey.retransmit.total())
    }

    pub(super) fn kek_due(&self) -> Option<Instant> {
        Some(self.state.keys.kek_due(self.kek_life()?))
    }

    /// Without members nothing is sent, so nothing would ever be the last one sent.
    pub(super) fn reminder_due(&self) -> Option<Instant> {
        let has_members = |_: &&RekeyConfig| !self.members.is_empty();
        let reminder = self.config.rekey.as_ref().filter(has_members)?.reminder;
        Some(self.state.last_rekey? + reminder)
    }

    /// When [`Group::handle_timeout`] has something to do.
    pub(super) fn next_change(&self) -> Option<Instant> {
        let end = self.state.keys.teks.first().map(|tek| tek.expires);
        if !self.leads() {
            return end;
        }
        let sending = self.distribution.as_ref().and_then(Distribution::due);
        let tek = Some(self.state.keys.tek_due(self.tek_life()));
        [tek, self.kek_due(), self.reminder_due(), end, sending].into_iter().flatten().min()
    }

    /// When there is something to do, by this server's clock.
    pub(super) fn wakes(&self) -> Option<Instant> {
        let group = self.next_change().map(|time| self.clock.local(time));
        group.into_iter().chain(self.coop.as_ref().map(|coop| coop.next_tick())).min()
    }

    /// Records a member that has proved to be alive.
    pub(super) fn register(&mut self, from: SocketAddr, sa: &IsakmpSa, now: Instant) {
        let owner = self.coop.as_ref().map(|_| self.source.ip());
        self.members.register(from, sa, owner, now);
        self.members_changed = true;
        self.events.push(KeyServerEvent::Registered {
            group: self.name(),
            member: from,
            identity: sa.peer.clone(),
        });
    }

    /// Removes one member, or all. One that is named is revoked: it must not come back.
    pub(super) fn remove(
        &mut self,
        member: Option<IpAddr>,
        removal: Removal,
        random: &mut dyn Random,
        now: Instant,
    ) -> Result<(), Error> {
        if member.is_some() && self.state.revoked.len() >= MAX_REVOKED {
            return Err(Unacceptable::TooManyMembers.into());
        }
        self.dismiss(removal, random, now)?;
        match member {
            Some(member) => {
                self.members.forget(member);
                self.state.revoked.insert(member);
                self.events.push(KeyServerEvent::Revoked { group: self.name(), member });
            }
            None => self.members.forget_all(),
        }
        self.members_changed = true;
        self.mark_changed();
        Ok(())
    }

    /// A member that was removed may come back.
    pub(super) fn readmit(&mut self, member: IpAddr) {
        if self.state.revoked.remove(&member) {
            self.mark_changed();
        }
    }

    /// The keys that members may have: all but those that other servers do not have yet.
    pub(super) fn released(&self) -> &Keys {
        self.coop.as_ref().map_or(&self.state.keys, |coop| coop.released())
    }
}
