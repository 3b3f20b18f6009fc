//! Keys of which every sender has its own, and that have gone while this member had the sender IDs that it has.
//!
//! The data plane forgets what has gone, and counts from 1 when it comes again; a packet's number is its IV, so under one
//! key and sender ID none may come twice. But a key can come again: a member that hears nothing of a removal but that all keys
//! are over registers, and gets those that live on; servers that were apart give back what only one of them ended; a restored
//! one gives what it had. So a key that is among these is not sent with before there are other sender IDs, which come
//! with the next registration: a member asks for them where such a key is offered (see [`crate::pull`]). With other sender
//! IDs the list begins anew, since none is given twice.
//!
//! What is remembered is no key any more, only enough to tell it from others.

use super::held_tek::HeldTek;
use crate::crypto::prf::digest;
use crate::crypto::Hash;
use crate::endpoint::Instant;
use crate::policy::{SidGeneration, Spi, TekKeys};
use std::collections::VecDeque;

/// So many are remembered.
const MOST: usize = 256;

/// So many may come again though their lives were over.
const LAST: usize = 16;

/// A key, by what tells it from others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CountedKey {
    pub(super) generation: SidGeneration,
    spi: Spi,
    keys: [u8; 32],
    /// When its life would have been over.
    expires: Instant,
}

/// The last ones that have gone.
#[derive(Debug, Default)]
pub(super) struct Ended(VecDeque<CountedKey>);

/// Whether all that have gone are still remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Memory {
    Whole,
    Full,
}

impl CountedKey {
    /// None where all senders share the key.
    pub(super) fn of(tek: &HeldTek) -> Option<Self> {
        let (generation, keys) = (tek.generation?, fingerprint(&tek.sa.keys)?);
        Some(CountedKey { generation, spi: tek.sa.spi, keys, expires: tek.sa.expires })
    }

    /// Whether it is this one.
    pub(super) fn is(&self, tek: &HeldTek) -> bool {
        self.spi == tek.sa.spi && fingerprint(&tek.sa.keys) == Some(self.keys)
    }
}

impl Ended {
    /// This one has gone.
    pub(super) fn note(&mut self, key: CountedKey) -> Memory {
        self.0.retain(|known| (known.spi, known.keys) != (key.spi, key.keys));
        let memory = if self.0.len() < MOST { Memory::Whole } else { Memory::Full };
        self.0.truncate(MOST - 1);
        self.0.push_front(key);
        memory
    }

    /// Whether a key had gone before it came.
    pub(super) fn has(&self, tek: &HeldTek) -> bool {
        self.0.iter().any(|known| known.is(tek))
    }

    /// The SPIs of those that may come again: the last ones, which a server has that goes on from an older state, and those
    /// that live on for all that was said of them. SPIs of others may be those of new keys by now.
    pub(super) fn expected(&self, now: Instant) -> impl Iterator<Item = Spi> + '_ {
        let keys = self.0.iter().enumerate();
        keys.filter(move |(age, known)| *age < LAST || known.expires > now).map(|(_, known)| known.spi)
    }
}

fn fingerprint(keys: &TekKeys) -> Option<[u8; 32]> {
    match keys {
        TekKeys::PerSender(seed) => digest(Hash::Sha256, &[seed.secret().expose()]).try_into().ok(),
        TekKeys::Shared { .. } => None,
    }
}
