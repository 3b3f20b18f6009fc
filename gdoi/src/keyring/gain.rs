//! What a registration brought, and how a member finds out that it lacks something.

use super::held_tek::HeldTek;
use super::past::{LATE, LONG_LATE};
use super::renumbered::Renumbered;
use super::Keyring;
use crate::endpoint::Instant;
use crate::group::{GroupPolicy, Kek, SenderIds};
use crate::policy::Spi;
use crate::pull::{Holdings, Tell};

/// Whether a PULL brought what was not held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gain {
    /// Keys, policy, or that a rekey message was missed.
    Something,
    /// The same, from a server that has gone back to an older state.
    Older,
    /// All was known.
    Nothing,
}

/// What is known of the other members when a PULL brings keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Others {
    /// They have the same keys as this one, or the same chance to get others.
    Alike,
    /// They have others already.
    Ahead,
}

impl Keyring {
    /// What a PULL with this policy brings.
    pub(super) fn gain(&self, policy: &GroupPolicy, sids: &SenderIds) -> Gain {
        let lacks_tek = policy.teks.iter().any(|tek| !self.teks.iter().any(|held| held.is(tek)));
        let waits = self.teks.iter().any(|held| self.identifiers.has_ended(held));
        let lacks_sids = sids.generation.is_some_and(|name| {
            let held = self.identifiers.of(name);
            held.is_empty() || waits && !held.iter().map(|sid| sid.0).eq(sids.values.iter().copied())
        });
        let kek = |kek: &Kek| (kek.spi, kek.sequence);
        let other_kek = policy.kek.as_ref().map(kek) != self.kek.as_ref().map(|(held, _)| kek(held));
        let other_list = policy.acl.list().is_some_and(|list| list != self.acl());
        match lacks_tek || lacks_sids || other_kek || other_list || policy.mode != self.mode {
            true => Gain::Something,
            false => Gain::Nothing,
        }
    }

    /// A server that says a lower number than the last one taken has an older state. What it sends from now on is new, and
    /// its time, later than in any message that was taken in, tells it from what was sent before.
    pub(super) fn renumber(&mut self, gain: Gain, listed: Option<&Kek>, time: Option<u64>) -> Gain {
        let (known, held) = (self.told_time(), self.kek.as_mut().map(|(held, _)| held));
        let (Some(held), Some(listed), Some(time)) = (held, listed, known.min(time)) else { return gain };
        if listed.sequence >= held.sequence {
            return gain;
        }
        let highest = self.renumbered.map_or(0, Renumbered::highest).max(held.sequence);
        (held.sequence, self.renumbered) = (listed.sequence, Some(Renumbered::counted_back(highest, time)));
        Gain::Older
    }

    /// Whether ESP with this SPI is under a key that this member should have: none that it has, nor one that it gave up a
    /// moment ago.
    pub(crate) fn lacks_key_of(&self, spi: Spi, now: Instant) -> bool {
        let names = |own: Spi| own == spi || own.is_block_base() && own == spi.block();
        !self.teks.iter().any(|tek| names(tek.sa.spi)) && !self.past_teks.lately(names, LATE, now)
    }

    /// Whether a KEK with this SPI was given up a moment ago: messages under it may still be on their way.
    pub(crate) fn had_kek(&self, spi: [u8; 16], now: Instant) -> bool {
        self.past_keks.lately(|past| past.spi == spi, LONG_LATE, now)
    }

    /// The group's time in the last message that was taken in.
    pub(crate) const fn told_time(&self) -> Option<u64> {
        self.clock.told()
    }

    /// Those that live, but for such as must not be sent with under the sender IDs that are held.
    fn usable(&self, now: Instant) -> impl Iterator<Item = &HeldTek> {
        self.teks.iter().filter(move |tek| tek.ends > now && !self.identifiers.has_ended(tek))
    }

    /// What a server need not give once more.
    pub(crate) fn holdings(&self, tell: Tell, now: Instant) -> Holdings {
        Holdings {
            tell,
            teks: self.usable(now).map(|tek| tek.sa.spi).collect(),
            kek: self.kek(now).map(|(kek, _)| kek.spi),
            acl: self.acl.digest(),
            generations: self.identifiers.names().collect(),
        }
    }
}
