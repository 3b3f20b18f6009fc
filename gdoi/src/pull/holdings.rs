//! What a member holds already when it registers again: its server need not give it once more.

use super::offer::Offer;
use crate::group::AclDigest;
use crate::policy::{SidGeneration, Spi};

/// Who learns of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tell {
    /// The server, if it is of this implementation and offers nothing else.
    Server,
    /// Nobody.
    Nobody,
}

/// What a member holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holdings {
    /// Who learns of it.
    pub tell: Tell,
    /// The SPIs of the TEKs that it may use.
    pub teks: Vec<Spi>,
    /// The SPI of the KEK.
    pub kek: Option<[u8; 16]>,
    /// The ACL.
    pub acl: Option<AclDigest>,
    /// The generations of which it has sender IDs.
    pub generations: Vec<SidGeneration>,
}

impl Holdings {
    /// Whether there is nothing in the offer that is not held.
    pub(super) fn cover(&self, offer: &Offer) -> bool {
        offer.spis().all(|spi| self.teks.contains(&spi))
            && offer.kek_spi() == self.kek
            && offer.acl_digest().is_some_and(|digest| self.acl == Some(digest))
            && offer.generations().all(|generation| self.generations.contains(&generation))
    }

    /// Whether no other sender IDs are needed: nothing in the offer is new, and what was sent with those that are held is not
    /// lost. Where all share a key, the group may change its kind later, and nothing says which generation it has then. A
    /// server that does not know all TEKs may not know of all sender IDs.
    pub(super) fn have_sids_for(&self, offer: &Offer) -> bool {
        let knows = |spi: &Spi| offer.spis().any(|offered| offered == *spi);
        self.cover(offer) && self.teks.iter().all(knows) && offer.generations().next().is_some()
    }
}
