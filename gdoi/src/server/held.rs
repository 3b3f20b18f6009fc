//! Which keys a member is known to have: those that it registered with, or acknowledged since. What may have to be told
//! again, and under which KEK, follows from it.

use super::keys::Keys;
use crate::group::GroupPolicy;
use crate::policy::Spi;

/// Names one KEK among the few of a group: the first octets of its SPI, which was drawn at random.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct KekTag(pub(super) [u8; 4]);

/// The newest keys that a member is known to have. Zeros stand for what is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) kek: KekTag,
    pub(super) tek: Spi,
}

/// What a member has once it took in a message; where it says nothing, what it had before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Conveyed {
    pub(super) kek: Option<KekTag>,
    pub(super) tek: Option<Spi>,
}

impl KekTag {
    pub(super) const fn of(spi: [u8; 16]) -> Self {
        let [first, second, third, fourth, ..] = spi;
        KekTag([first, second, third, fourth])
    }
}

impl Default for Held {
    fn default() -> Self {
        Held { kek: KekTag::default(), tek: Spi(0) }
    }
}

impl Held {
    /// The newest of these.
    pub(super) fn of(keys: &Keys) -> Self {
        let kek = keys.kek.as_ref().map(|kek| KekTag::of(kek.spi));
        Held::default().and(Conveyed { kek, tek: keys.teks.last().map(|tek| tek.spi) })
    }

    /// What was offered in a PULL.
    pub(super) fn offered(policy: &GroupPolicy) -> Self {
        let kek = policy.kek.as_ref().map(|kek| KekTag::of(kek.spi));
        Held::default().and(Conveyed { kek, tek: policy.teks.last().map(|tek| tek.spi) })
    }

    /// After a message.
    pub(super) fn and(self, message: Conveyed) -> Self {
        Held { kek: message.kek.unwrap_or(self.kek), tek: message.tek.unwrap_or(self.tek) }
    }
}
