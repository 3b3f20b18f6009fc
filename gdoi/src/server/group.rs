//! One group on its key server. What it consists of lies beside this room: its [`Ledger`], where it stands among other
//! servers, the rekey message under way. What it does, one thing a file, lies below.

mod acknowledge;
mod admission;
mod ageing;
mod awakening;
mod catch_up;
mod command;
mod cooperation;
mod dismissal;
mod division;
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
use super::keys::Keys;
use super::ledger::{Ledger, Unstored};
use super::rekeying::{Concluded, Rekeying};
use super::standing::{Letter, Standing};
use crate::coop::{Author, Lineage};
use crate::crypto::Random;
use crate::endpoint::{Instant, Transmit};
use crate::error::Error;
use crate::event::{CoopEvent, GroupName, KeyServerEvent};
use crate::policy::{GroupId, Spi, Transform};
use reload::FormerRekey;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// A group on its key server.
pub(super) struct Group {
    config: GroupConfig,
    /// From where the server speaks.
    source: SocketAddr,
    ledger: Ledger,
    standing: Standing,
    rekeying: Rekeying,
    outbox: Outbox,
    /// When the keys came that members may have.
    births: ageing::Births,
    /// Requests refused.
    refused: u64,
    /// The SPIs of this server's other groups: new keys keep out of them, since a member may be in both.
    others: Vec<Spi>,
    /// Keys could not be made; it is tried again then.
    rests_until: Option<GroupTime>,
    /// What the rekey SAs were before a reload, for those who must still hear that they are over.
    former: Option<FormerRekey>,
}

/// How long a group waits before it tries again what failed.
const REST: Duration = Duration::from_secs(1);

/// What a group has to say, once what it follows from is stored.
#[derive(Default)]
pub(super) struct Outbox {
    pub(super) events: Vec<KeyServerEvent>,
    /// What is true when all servers have the keys of now.
    committed: Vec<KeyServerEvent>,
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
            births: ageing::Births::default(),
            refused: 0,
            others: Vec::new(),
            rests_until: None,
            former: None,
        };
        group.peers().into_iter().for_each(|peer| group.say(CoopEvent::PeerAdded(peer)));
        group
    }

    /// One that goes on with what is known of it, or begins anew as `author`.
    pub(super) fn begin(
        config: GroupConfig,
        source: SocketAddr,
        author: Author,
        known: Option<Ledger>,
        now: Instant,
    ) -> Self {
        let mut group = Group::new(config, source, author, now);
        known.into_iter().for_each(|ledger| group.restore(ledger));
        group.look_back(now);
        group
    }

    /// Goes on with what was stored.
    pub(super) fn restore(&mut self, ledger: Ledger) {
        self.standing.restore(&ledger);
        self.births.see(&ledger.state().keys, GroupTime::default());
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

    #[cfg(test)]
    pub(super) const fn ledger_mut(&mut self) -> &mut Ledger {
        &mut self.ledger
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
        self.age_members(time);
        if !self.leads() {
            return Ok(());
        }
        let made = self.keep_keys(random, time);
        self.commit(now);
        self.send_on(time);
        made
    }

    /// Makes the keys that are due. One that cannot be made is tried again after a while; the old ones serve on.
    fn keep_keys(&mut self, random: &mut dyn Random, now: GroupTime) -> Result<(), Error> {
        if self.rests_until.is_some_and(|until| now < until) {
            return Ok(());
        }
        let made = self.attempt(|group| group.make_keys(random, now));
        self.rests_until = made.is_err().then(|| now + REST);
        made
    }

    /// Does something whole or not at all: what fails in the middle leaves no key behind that only some know of.
    pub(super) fn attempt<T>(&mut self, act: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        let before = self.ledger.checkpoint();
        let told = (self.outbox.events.len(), self.outbox.committed.len());
        let done = act(self);
        if done.is_err() {
            self.ledger.go_back(before);
            self.outbox.events.truncate(told.0);
            self.outbox.committed.truncate(told.1);
        }
        done
    }

    /// Takes up again what it had under way. Where another server leads, that one sees to it.
    pub(super) fn go_on(&mut self, random: &mut dyn Random, now: Instant) -> Result<(), Error> {
        match self.leads() {
            true => self.resume(random, self.ledger.time(now)),
            false => Ok(()),
        }
    }

    /// Sends the keys once more after a restart: nobody knows whom the message reached that was under way. Under the
    /// KEKs before as well; where those were ended, this is said again instead.
    fn resume(&mut self, random: &mut dyn Random, now: GroupTime) -> Result<(), Error> {
        if self.ledger.members().is_empty() {
            self.settle_distribution();
            return Ok(());
        }
        match self.rekeying.is_settled() && self.keys().kek.is_some() {
            true => self.attempt(|group| group.rekey(RekeyKind::Reminder, random, now)),
            false => Ok(()),
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
        if !self.standing.is_committing() {
            self.outbox.events.append(&mut self.outbox.committed);
        }
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
        let committed = std::mem::take(&mut self.outbox.committed);
        let outbox = std::mem::replace(&mut self.outbox, Outbox { committed, ..Outbox::default() });
        Outbox { letters: self.standing.take_letters(), ..outbox }
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
        let (tek, behind) = (Some(self.tek_due()), self.rekeying.catch_up_due());
        let keys = [tek, self.kek_due(), self.reminder_due(), behind].into_iter().flatten().min();
        let keys = keys.max(self.rests_until);
        [keys, end, self.rekeying.due()].into_iter().flatten().min()
    }

    fn make_keys(&mut self, random: &mut dyn Random, now: GroupTime) -> Result<(), Error> {
        if self.ledger.state().lineage.is_none() {
            // Not the author's name: a group that was removed and comes back is another one.
            let mut lineage = [0; 8];
            random.fill(&mut lineage)?;
            self.ledger.amend_state().lineage = Some(Lineage(lineage));
        }
        self.grant_places(random, now)?;
        if let Some(cause) = self.renews_sids(now) {
            self.renew_sids(cause, random, now)?;
        }
        if self.config.rekey.is_some() && self.keys().kek.is_none() {
            self.make_kek(now, random, now)?;
        }
        let due = |time: Option<GroupTime>| time.is_some_and(|time| time <= now);
        if due(Some(self.tek_due())) || due(self.kek_due()) {
            return self.rekey(RekeyKind::Scheduled, random, now);
        }
        if due(self.reminder_due()) {
            return self.rekey(RekeyKind::Reminder, random, now);
        }
        match due(self.rekeying.catch_up_due()) {
            true => self.catch_up(now),
            false => Ok(()),
        }
    }

    /// Goes on with the rekey messages under way.
    fn send_on(&mut self, now: GroupTime) {
        if let Some(over) = self.rekeying.conclude(now) {
            self.conclude(over, now);
        }
        if let Some(over) = self.rekeying.conclude_catching_up(now) {
            self.fall_behind(over, now);
        }
        if self.rekeying.is_settled() && !self.rekeying.is_inherited() {
            self.settle_distribution();
        }
        self.outbox.transmits.extend(self.rekeying.handle_timeout(now));
    }

    /// The message to all came to its end.
    fn conclude(&mut self, over: Concluded, now: GroupTime) {
        self.ledger.amend_state().told = Some(over.told);
        for member in over.members.iter().map(|receiver| receiver.to.ip()) {
            if self.ledger.amend_members().missed(member) {
                self.tell(KeyServerEvent::MemberDropped { group: self.name(), member });
            }
        }
        self.fall_behind(over, now);
    }

    /// All are told, or cannot be told.
    fn settle_distribution(&mut self) {
        if self.ledger.state().under_way {
            self.ledger.amend_state().under_way = false;
        }
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

    /// Of new keys, which may come to nothing before all servers have them.
    fn tell_when_committed(&mut self, event: KeyServerEvent) {
        self.outbox.committed.push(event);
    }

    fn say(&mut self, event: CoopEvent) {
        let group = Some(self.name());
        self.tell(KeyServerEvent::Coop { group, event });
    }
}
