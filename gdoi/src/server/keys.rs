//! A group's keys on its key server: when they are made, and when they end.

mod union;

use super::clock::GroupTime;
use super::division::Division;
use super::spis::{fresh_block, fresh_spi};
use crate::coop::{Author, Lineage, MAX_SERVERS};
use crate::crypto::{Random, Secret};
use crate::error::Error;
use crate::group::Tek;
pub(super) use crate::group::MAX_TEKS;
use crate::lifetime::server_margin;
use crate::policy::{Aead, Cipher, Integrity, Seed, SenderTerms, SidGeneration, Spi, TekKeys, Transform};
use std::time::Duration;

const KEK_IV_LEN: usize = 16;

/// More spent KEKs are not remembered.
pub(super) const MAX_SPENT: usize = 64;

/// Beyond this number a rekey brings a new KEK, long before the 32-bit number is used up.
const LAST_SEQUENCE: u32 = u32::MAX / 2;

/// Most TEKs that were ended before their time. Like the others this limit holds for what is made here and for what is
/// read: no state is made that could not be read again.
pub(super) const MAX_ENDED: usize = 32;

/// Most KEKs before the one of now.
pub(super) const MAX_KEKS: usize = 16;

#[derive(Clone, PartialEq)]
pub(super) struct GroupTek {
    pub(super) spi: Spi,
    pub(super) transform: Transform,
    pub(super) keys: TekKeys,
    /// Where every sender has its own key.
    pub(super) senders: Option<SenderTerms>,
    pub(super) expires: GroupTime,
}

#[derive(Clone, PartialEq)]
pub(super) struct GroupKek {
    pub(super) spi: [u8; 16],
    /// IV and key.
    pub(super) key: Secret,
    pub(super) expires: GroupTime,
    /// The number of the last message under it.
    pub(super) sequence: u32,
    /// How the one after it came, if one came.
    pub(super) succession: Succession,
    /// Whose time its holders have.
    pub(super) lineage: Option<Lineage>,
    /// The generation of sender IDs in which it was made, and whose places it has: how its numbers are divided.
    pub(super) generation: SidGeneration,
    pub(super) authors: Vec<Author>,
    /// Until when somebody may have to be told something under it: of one of those before, until the TEKs have ended
    /// that its holders know, by the end that they were told first.
    pub(super) serves: GroupTime,
}

/// How a KEK gives way to the next: what a restarted server has to say once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Succession {
    /// The old TEKs live on for a while.
    Smooth,
    /// The old TEKs end at once.
    Abrupt,
    /// Members were told that it is over: no keys may go under it, one that was removed would read them.
    Ended,
}

#[derive(Clone, Default, PartialEq)]
pub(super) struct Keys {
    /// The one that ends first before the others.
    pub(super) teks: Vec<GroupTek>,
    /// TEKs that were ended before their time, and that time: servers that were apart may still have them.
    pub(super) ended: Vec<(Spi, GroupTime)>,
    pub(super) kek: Option<GroupKek>,
    /// The KEKs before, under which members may still have to hear of this one, the oldest first; several where keys
    /// changed quickly, or servers were apart.
    pub(super) previous_keks: Vec<GroupKek>,
    /// KEKs that are no more used here; a server that was apart may bring one back.
    pub(super) spent: Vec<SpentKek>,
}

/// What must be remembered of a KEK until its end.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct SpentKek {
    pub(super) spi: [u8; 16],
    pub(super) sequence: u32,
    pub(super) expires: GroupTime,
}

/// How long a key of this kind lives, and how long before its end it is replaced.
#[derive(Clone, Copy)]
pub(super) struct Life {
    pub(super) total: Duration,
    /// What the retransmissions of a rekey message take.
    pub(super) distribution: Duration,
}

impl Life {
    fn margin(&self) -> Duration {
        server_margin(self.total, self.distribution)
    }
}

impl Keys {
    /// Forgets what has ended; whether there was anything.
    pub(super) fn expire(&mut self, now: GroupTime) -> bool {
        let before = (self.teks.len(), self.previous_keks.len());
        self.teks.retain(|tek| tek.expires > now);
        self.ended.retain(|(_, expires)| *expires > now);
        self.keep_previous(|kek| kek.serves > now);
        self.spent.retain(|spent| spent.expires > now);
        before != (self.teks.len(), self.previous_keks.len())
    }

    /// When the last TEK ends, by what its holders know now.
    pub(super) fn told_until(&self) -> GroupTime {
        self.teks.iter().map(|tek| tek.expires).max().unwrap_or_default()
    }

    /// Without any key: which SPIs members may still have, and until when.
    pub(super) fn only_names(&self) -> Keys {
        let teks = self.teks.iter().map(|tek| (tek.spi, tek.expires));
        let mut names = Keys { ended: self.ended.iter().copied().chain(teks).collect(), ..Keys::default() };
        names.bound();
        names
    }

    /// When nobody has a key of these any more, by what their holders know.
    pub(super) fn last_end(&self) -> GroupTime {
        let teks = self.teks.iter().map(|tek| tek.expires).chain(self.ended.iter().map(|(_, end)| *end));
        let keks = self.kek.iter().map(|kek| kek.expires);
        teks.chain(keks).chain(self.previous_keks.iter().map(|kek| kek.serves)).max().unwrap_or_default()
    }

    /// All TEKs with what is left of their lives.
    pub(super) fn as_of(&self, now: GroupTime) -> Vec<Tek> {
        self.teks.iter().filter_map(|tek| tek.as_of(now)).collect()
    }

    /// Ends all TEKs at once.
    pub(super) fn end_teks(&mut self) {
        let ended = self.teks.drain(..).map(|tek| (tek.spi, tek.expires));
        self.ended.extend(ended);
        make_room(&mut self.ended, MAX_ENDED, |(_, expires)| *expires);
    }

    /// When the next TEK must be made; at once without one.
    pub(super) fn tek_due(&self, life: Life) -> GroupTime {
        self.teks.last().map_or(GroupTime::default(), |tek| tek.expires.before(life.margin()))
    }

    /// When the next KEK must be made; at once without one.
    pub(super) fn kek_due(&self, life: Life) -> GroupTime {
        match &self.kek {
            Some(kek) if kek.sequence < LAST_SEQUENCE => kek.expires.before(life.margin()),
            _ => GroupTime::default(),
        }
    }

    pub(super) fn add_tek(
        &mut self,
        new: NewTek<'_>,
        random: &mut dyn Random,
        now: GroupTime,
    ) -> Result<GroupTek, Error> {
        let taken: Vec<_> = self.spis().chain(new.taken.iter().copied()).collect();
        let tek = match new.transform {
            Transform::Shared { cipher, integrity } => new.shared(cipher, integrity, &taken, random, now)?,
            Transform::PerSender(aead) => new.per_sender(aead, &taken, random, now)?,
        };
        make_room(&mut self.teks, MAX_TEKS - 1, |tek| tek.expires);
        self.teks.push(tek.clone());
        Ok(tek)
    }

    /// Those of all TEKs that some member may still have.
    pub(super) fn spis(&self) -> impl Iterator<Item = Spi> + '_ {
        let ended = self.ended.iter().map(|(spi, _)| *spi);
        self.teks.iter().map(|tek| tek.spi).chain(ended)
    }

    /// A new KEK. That of now becomes one of those before, and serves those who do not hear of it until the TEKs that
    /// they know have ended, at `told_until`.
    pub(super) fn replace_kek(
        &mut self,
        (key_len, life): (usize, Duration),
        (lineage, division): (Option<Lineage>, &Division),
        told_until: GroupTime,
        random: &mut dyn Random,
        now: GroupTime,
    ) -> Result<(), Error> {
        let mut spi = [0; 16];
        random.fill(&mut spi)?;
        let key = random.secret(KEK_IV_LEN + key_len)?;
        let (expires, succession) = (now + life, Succession::Smooth);
        let (generation, authors) = (division.generation, division.authors());
        let (sequence, serves) = (0, expires);
        let kek = GroupKek { spi, key, expires, sequence, succession, lineage, generation, authors, serves };
        self.previous_keks.extend(self.kek.replace(kek).map(|kek| kek.serving_until(told_until)));
        self.bound();
        Ok(())
    }

    /// An author that has got a place in this generation has numbers of its own under its KEK, too.
    pub(super) fn admit(&mut self, author: Author, generation: SidGeneration) {
        let current = self.kek.iter_mut().filter(|kek| kek.generation == generation);
        current.filter(|kek| kek.authors.len() < MAX_SERVERS).for_each(|kek| {
            if !kek.authors.contains(&author) {
                kek.authors.push(author);
            }
        });
    }

    /// Of the KEKs before this one only these. What is not among them any more is used no more, and its numbers are
    /// remembered.
    fn keep_previous(&mut self, keep: impl Fn(&GroupKek) -> bool) {
        let (kept, gone): (Vec<_>, Vec<_>) = self.previous_keks.drain(..).partition(|kek| keep(kek));
        self.previous_keks = kept;
        gone.iter().for_each(|kek| self.spend(kek.spent()));
    }

    pub(super) fn spend(&mut self, spent: SpentKek) {
        match self.spent.iter_mut().find(|known| known.spi == spent.spi) {
            Some(known) => known.sequence = known.sequence.max(spent.sequence),
            None => self.spent.push(spent),
        }
        if self.spent.len() > MAX_SPENT {
            self.spent.remove(0);
        }
    }

    /// The highest number known to be used under a KEK.
    pub(super) fn used_under(&self, spi: [u8; 16]) -> u32 {
        let spent = self.spent.iter().filter(|spent| spent.spi == spi).map(|spent| spent.sequence);
        let held =
            self.kek.iter().chain(&self.previous_keks).filter(|kek| kek.spi == spi).map(|kek| kek.sequence);
        spent.chain(held).max().unwrap_or_default()
    }

    /// The KEKs before this one gave way like this; what was said to their holders is not taken back.
    pub(super) fn succeeded(&mut self, how: Succession) {
        self.previous_keks.iter_mut().for_each(|kek| kek.succession = kek.succession.max(how));
    }

    /// All TEKs end by `end`.
    pub(super) fn shorten(&mut self, end: GroupTime) {
        self.teks.iter_mut().for_each(|tek| tek.expires = tek.expires.min(end));
    }

    /// All TEKs but the newest end by `end`.
    pub(super) fn shorten_but_last(&mut self, end: GroupTime) {
        let old = self.teks.len().saturating_sub(1);
        self.teks[..old].iter_mut().for_each(|tek| tek.expires = tek.expires.min(end));
    }

    /// No more of anything than can be stored. The KEK of now becomes one of those before with the next rekey.
    pub(super) fn bound(&mut self) {
        make_room(&mut self.ended, MAX_ENDED, |(_, expires)| *expires);
        make_room(&mut self.teks, MAX_TEKS, |tek| tek.expires);
        let gone = make_room(&mut self.previous_keks, MAX_KEKS - 1, |kek| kek.serves);
        gone.iter().for_each(|kek| self.spend(kek.spent()));
    }

    /// A message with this number was made under the KEK with this SPI.
    pub(super) fn used(&mut self, spi: [u8; 16], sequence: u32) {
        let keks = self.kek.iter_mut().chain(&mut self.previous_keks);
        keks.filter(|kek| kek.spi == spi).for_each(|kek| kek.sequence = sequence);
    }

    /// The KEK that a message with this cookie pair is under.
    pub(super) fn kek_named(&self, spi: [u8; 16]) -> Option<&GroupKek> {
        self.kek.iter().chain(&self.previous_keks).find(|kek| kek.spi == spi)
    }
}

/// What a new TEK shall be.
#[derive(Clone, Copy)]
pub(super) struct NewTek<'a> {
    pub(super) transform: Transform,
    pub(super) life: Duration,
    /// What goes with it where every sender has its own key.
    pub(super) senders: SenderTerms,
    /// This server's place among those of the group.
    pub(super) place: usize,
    /// SPIs that other groups use.
    pub(super) taken: &'a [Spi],
}

impl NewTek<'_> {
    fn shared(
        &self,
        cipher: Cipher,
        integrity: Integrity,
        taken: &[Spi],
        random: &mut dyn Random,
        now: GroupTime,
    ) -> Result<GroupTek, Error> {
        let keys = TekKeys::Shared {
            encryption: random.secret(cipher.key_len())?,
            integrity: random.secret(integrity.key_len())?,
        };
        let transform = Transform::Shared { cipher, integrity };
        let (spi, expires) = (fresh_spi(taken, random)?, now + self.life);
        Ok(GroupTek { spi, transform, keys, senders: None, expires })
    }

    fn per_sender(
        &self,
        aead: Aead,
        taken: &[Spi],
        random: &mut dyn Random,
        now: GroupTime,
    ) -> Result<GroupTek, Error> {
        let seed = Seed::draw(random)?;
        let (spi, expires) = (fresh_block(self.place, taken, random)?, now + self.life);
        let (transform, keys) = (Transform::PerSender(aead), TekKeys::PerSender(seed));
        Ok(GroupTek { spi, transform, keys, senders: Some(self.senders), expires })
    }
}

impl GroupKek {
    /// Once it is one of those before.
    pub(super) fn serving_until(self, time: GroupTime) -> Self {
        GroupKek { serves: self.serves.min(time), ..self }
    }

    pub(super) const fn spent(&self) -> SpentKek {
        SpentKek { spi: self.spi, sequence: self.sequence, expires: self.expires }
    }
}

impl GroupTek {
    /// The TEK with what is left of its life; None where that is less than a second.
    pub(super) fn as_of(&self, now: GroupTime) -> Option<Tek> {
        let lifetime = Duration::from_secs(self.expires.saturating_since(now).as_secs());
        let GroupTek { spi, transform, keys, senders, .. } = self.clone();
        let tek = Tek { spi, transform, keys, senders, lifetime, selectors: Vec::new() };
        (!lifetime.is_zero()).then_some(tek)
    }
}

/// Those that end first are forgotten; which they were.
fn make_room<T>(keys: &mut Vec<T>, most: usize, end: impl Fn(&T) -> GroupTime) -> Vec<T> {
    let mut gone = Vec::new();
    while keys.len() > most {
        let first = keys.iter().enumerate().min_by_key(|(_, key)| end(key)).map(|(index, _)| index);
        gone.push(keys.remove(first.unwrap_or_default()));
    }
    gone
}

#[cfg(test)]
mod tests;
