//! One group on its key server. What it consists of lies beside this room: its [`Ledger`], where it stands among other
//! servers, the rekey message under way. What it does, one thing a file, lies below.

mod acknowledge;
mod admission;
mod awakening;
mod command;
mod cooperation;
mod dismissal;
mod download;
mod merge;
mod receive;
mod rekey;
mod rekey_message;
mod reload;
mod repetition;
mod report;
mod sender_ids;
mod turn;

pub use command::Outcome;
pub(super) use reload::added;
pub use report::{GroupStatus, KeyServerStatus, MemberRecord, RekeyStatus, SidStatus};

use super::clock::GroupTime;
use super::config::{GroupConfig, RekeyConfig, RekeyKind};
use super::keys::{Keys, Succession};
use super::ledger::{Ledger, Unstored};
use super::rekeying::Rekeying;
use super::standing::{Letter, Standing};
use crate::coop::{Author, Lineage};
use crate::crypto::Random;
use crate::endpoint::{Instant, Transmit};
use crate::error::Error;
use crate::event::{CoopEvent, GroupName, KeyServerEvent};
use crate::policy::{GroupId, Spi, Transform};
use std::net::{IpAddr, SocketAddr};

/// A group on its key server.
pub(super) struct Group {
    config: GroupConfig,
    /// From where the server speaks.
    source: SocketAddr,
    ledger: Ledger,
    standing: Standing,
    rekeying: Rekeying,
    outbox: Outbox,
    /// Requests refused.
    refused: u64,
    /// The SPIs of this server's other groups: new keys keep out of them, since a member may be in both.
    others: Vec<Spi>,
}

/// What a group has to say, once what it follows from is stored.
#[derive(Default)]
pub(super) struct Outbox {
    pub(super) events: Vec<KeyServerEvent>,
    pub(super) letters: Vec<Letter>,
    pub(super) transmits: Vec<Transmit>,
}

impl Group {
    pub(super) fn new(config: GroupConfig, source: SocketAddr, author: Author, now: Instant) -> Self {
        let standing = Standing::new(&config, source.ip(), now);
        let mut group = Group {
            config,
            source,
            ledger: Ledger::new(author, now),
            standing,
            rekeying: Rekeying::default(),
            outbox: Outbox::default(),
            refused: 0,
            others: Vec::new(),
        };
        group.peers().into_iter().for_each(|peer| group.say(CoopEvent::PeerAdded(peer)));
        group
    }

    /// Goes on with what was stored.
    pub(super) fn restore(&mut self, ledger: Ledger) {
        self.standing.restore(&ledger);
        self.ledger = ledger;
    }

    pub(super) fn name(&self) -> GroupName {
        self.config.group.clone()
    }

    pub(super) const fn id(&self) -> GroupId {
        self.config.group.id
    }

    /// Whether `asked` is this group's number, 4 octets, or its name.
    pub(super) fn is_named(&self, asked: &[u8]) -> bool {
        asked == self.id().0.to_be_bytes() || asked == self.config.group.name.as_bytes()
    }

    pub(super) const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Whether another server shares the group from this address.
    pub(super) fn has_peer(&self, address: IpAddr) -> bool {
        self.standing.has_peer(address)
    }

    /// Whether this server makes the keys: the only one, or the primary.
    pub(super) fn leads(&self) -> bool {
        self.standing.leads()
    }

    /// Whether rekey messages under this KEK are of this group.
    pub(super) fn has_kek(&self, spi: [u8; 16]) -> bool {
        self.keys().kek_named(spi).is_some()
    }

    /// Whether all that a rekey message to `to` reaches take it in fragments.
    pub(super) fn take_fragments(&self, to: SocketAddr) -> bool {
        self.ledger.members().take_fragments(to)
    }

    /// Those of all TEKs of the group that this server knows.
    pub(super) fn spis(&self) -> impl Iterator<Item = Spi> + '_ {
        self.standing.keys().chain([self.keys()]).flat_map(Keys::spis)
    }

    /// The server's other groups have these.
    pub(super) fn keep_out_of(&mut self, others: Vec<Spi>) {
        self.others = others;
    }

    /// Makes the keys that are due, forgets those that have ended, sends what is to be sent.
    pub(super) fn handle_timeout(&mut self, random: &mut dyn Random, now: Instant) -> Result<(), Error> {
        let time = self.ledger.time(now);
        self.ledger.expire(time);
        self.standing.expire(time);
        if self.leads() {
            self.make_keys(random, time)?;
            self.commit(now);
            self.send_on(time);
        }
        Ok(())
    }

    /// Sends the keys once more after a restart: nobody knows whom the message reached that was under way. Where a
    /// new KEK was in it, under the one before; where it ended that one, this is said again instead.
    pub(super) fn resume(&mut self, random: &mut dyn Random, now: GroupTime) -> Result<(), Error> {
        let keys = self.keys();
        if self.ledger.members().is_empty() {
            if self.ledger.state().under_way || !keys.previous_keks.is_empty() {
                self.settle_distribution();
            }
            return Ok(());
        }
        if self.rekeying.is_under_way() || keys.kek.is_none() {
            return Ok(());
        }
        match keys.previous_keks.iter().any(|kek| kek.succession == Succession::Ended) {
            true => self.dismiss_again(now),
            false => self.rekey(RekeyKind::Reminder, random, now),
        }
    }

    /// What is shared and was changed here is counted, and the other servers are given it.
    fn commit(&mut self, now: Instant) {
        let author = self.ledger.members().author();
        if self.ledger.commit(author, || self.config.terms()) {
            self.standing.commit(&self.ledger, now);
            self.check_commitment(now);
        }
    }

    /// What must be stored before the group says anything.
    pub(super) fn settle(&mut self, now: Instant) -> Unstored {
        self.ledger.learn_epoch(self.standing.epoch());
        self.commit(now);
        self.ledger.unstored()
    }

    /// How soon something of it must be stored.
    pub(super) const fn unstored(&self) -> Unstored {
        self.ledger.unstored()
    }

    /// It is stored as it is.
    pub(super) fn stored(&mut self) {
        self.ledger.stored();
    }

    /// All that it has to say.
    pub(super) fn take_outbox(&mut self) -> Outbox {
        Outbox { letters: self.standing.take_letters(), ..std::mem::take(&mut self.outbox) }
    }

    /// When there is something to do, by this server's clock.
    pub(super) fn wakes(&self) -> Option<Instant> {
        let group = self.next_change().map(|time| self.ledger.clock().local(time));
        group.into_iter().chain(self.standing.next_tick()).min()
    }

    /// When [`Group::handle_timeout`] has something to do.
    fn next_change(&self) -> Option<GroupTime> {
        let end = self.keys().teks.first().map(|tek| tek.expires);
        if !self.leads() {
            return end;
        }
        let tek = Some(self.tek_due());
        [tek, self.kek_due(), self.reminder_due(), end, self.rekeying.due()].into_iter().flatten().min()
    }

    fn make_keys(&mut self, random: &mut dyn Random, now: GroupTime) -> Result<(), Error> {
        if self.ledger.state().lineage.is_none() {
            // Not the author's name: a group that was removed and comes back is another one.
            let mut lineage = [0; 8];
            random.fill(&mut lineage)?;
            self.ledger.amend_state().lineage = Some(Lineage(lineage));
        }
        if self.renews_sids(now) {
            self.renew_sids(random, now)?;
        }
        if self.config.rekey.is_some() && self.keys().kek.is_none() {
            self.make_kek(random, now)?;
        }
        let due = |time: Option<GroupTime>| time.is_some_and(|time| time <= now);
        if due(Some(self.tek_due())) || due(self.kek_due()) {
            return self.rekey(RekeyKind::Scheduled, random, now);
        }
        match due(self.reminder_due()) {
            true => self.rekey(RekeyKind::Reminder, random, now),
            false => Ok(()),
        }
    }

    /// Goes on with the rekey message under way.
    fn send_on(&mut self, now: GroupTime) {
        let Some(silent) = self.rekeying.conclude(now) else {
            return self.outbox.transmits.extend(self.rekeying.handle_timeout(now));
        };
        self.settle_distribution();
        self.ledger.amend_state().told = Some(silent.told);
        for member in silent.members {
            if self.ledger.amend_members().missed(member) {
                self.tell(KeyServerEvent::MemberDropped { group: self.name(), member });
            }
        }
    }

    /// Nobody needs the KEKs before the one of now any more.
    fn settle_distribution(&mut self) {
        let state = self.ledger.amend_state();
        state.keys.set_previous(Vec::new());
        state.under_way = false;
    }

    fn keys(&self) -> &Keys {
        &self.ledger.state().keys
    }

    fn tek_due(&self) -> GroupTime {
        self.keys().tek_due(self.config.tek_life())
    }

    fn kek_due(&self) -> Option<GroupTime> {
        Some(self.keys().kek_due(self.config.kek_life()?))
    }

    /// Without members nothing is sent, so nothing would ever be the last one sent.
    fn reminder_due(&self) -> Option<GroupTime> {
        let has_members = |_: &&RekeyConfig| !self.ledger.members().is_empty();
        let reminder = self.config.rekey.as_ref().filter(has_members)?.reminder;
        Some(self.ledger.state().last_rekey? + reminder)
    }

    /// Whether some sender has, or soon will have, a key of its own.
    fn is_per_sender(&self) -> bool {
        let keys = self.standing.released().teks.iter().map(|tek| tek.transform);
        keys.chain([self.config.transform]).any(Transform::is_per_sender)
    }

    /// The servers that share the group, as the configuration names them.
    fn peers(&self) -> Vec<IpAddr> {
        self.config.redundancy.iter().flat_map(|rules| rules.peers.iter().copied()).collect()
    }

    fn tell(&mut self, event: KeyServerEvent) {
        self.outbox.events.push(event);
    }

    fn say(&mut self, event: CoopEvent) {
        let group = Some(self.name());
        self.tell(KeyServerEvent::Coop { group, event });
    }
}
