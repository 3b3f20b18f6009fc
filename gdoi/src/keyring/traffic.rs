//! Which traffic a key is for. Servers of this implementation give one list to all keys; others may give each direction or
//! pair of prefixes an SPI of its own (RFC 6407 sections 5.2.1 and 5.5). What one entry of the list is sent with then depends on
//! the entry, keys take over from those for the same traffic only, and an entry whose keys have ended is blocked.

use super::held_acl::Way;
use super::sa::Sa;
use super::Keyring;
use crate::endpoint::Instant;
use crate::group::{AclNotice, GroupPolicy, Tek};
use crate::policy::{Ace, Acl, Action, PolicyError, Selector};
use std::time::Duration;

/// An entry of the access list that has keys of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Traffic {
    /// Which packets.
    pub selector: Selector,
    /// What sends them; None blocks them.
    pub outbound: Option<Sa>,
}

/// The entries of the list that a key is for; all of them if it names none.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Carried(Vec<Selector>);

impl Carried {
    /// What a key is for in a policy that came this way. A rekey message may bring the keys of some entries alone: where
    /// entries have keys of their own, its list is what its keys are for.
    pub(super) fn of(tek: &Tek, listed: &AclNotice, (way, apart): (Way, Apart)) -> Self {
        match (listed, way, apart) {
            _ if !tek.selectors.is_empty() => Carried(tek.selectors.clone()),
            (AclNotice::Selectors(list), Way::Push, Apart::Yes) => Carried(list.permits().copied().collect()),
            _ => Carried::default(),
        }
    }

    pub(super) fn has(&self, selector: &Selector) -> bool {
        self.0.is_empty() || self.0.contains(selector)
    }

    /// Whether some traffic is carried by both.
    pub(super) fn overlaps(&self, other: &Carried) -> bool {
        other.0.is_empty() || self.0.is_empty() || self.0.iter().any(|selector| other.0.contains(selector))
    }

    fn selectors(&self) -> &[Selector] {
        &self.0
    }
}

/// Whether entries of the list have keys of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Apart {
    #[default]
    No,
    Yes,
}

impl Apart {
    /// After a policy that came this way: a download is whole, a rekey message need not be.
    pub(super) fn after(self, policy: &GroupPolicy, way: Way) -> Self {
        let named = policy.teks.iter().any(|tek| !tek.selectors.is_empty());
        match (named, way) {
            (true, _) => Apart::Yes,
            (false, Way::Pull(_)) => Apart::No,
            (false, Way::Push) => self,
        }
    }
}

/// A list, and behind it what keys are for that still live.
///
/// # Errors
/// That is more than a list can have.
fn with_what_lives<'a>(list: &Acl, carried: impl Iterator<Item = &'a Carried>) -> Result<Acl, PolicyError> {
    let mut entries = list.entries().to_vec();
    for selector in carried.flat_map(Carried::selectors) {
        if entries.iter().all(|ace| ace.selector != *selector) {
            entries.push(Ace { action: Action::Permit, selector: *selector });
        }
    }
    Acl::new(entries)
}

impl Keyring {
    /// What a policy that came this way says of the list. A rekey message that brings the keys of some entries leaves the
    /// others, as long as they have keys.
    pub(super) fn notice(&self, policy: &GroupPolicy, way: Way) -> Result<AclNotice, PolicyError> {
        match (&policy.acl, way, self.apart.after(policy, way)) {
            (AclNotice::Selectors(list), Way::Push, Apart::Yes) => {
                let held = self.teks.iter().map(|held| &held.carried);
                with_what_lives(list, held).map(AclNotice::Selectors)
            }
            (notice, ..) => Ok(notice.clone()),
        }
    }

    /// What sends each entry of the list, where entries have keys of their own.
    pub(super) fn traffic_apart(&self, now: Instant) -> Vec<Traffic> {
        let selectors = self.acl().permits().filter(|_| self.apart == Apart::Yes);
        let traffic = |selector: &Selector| Traffic {
            selector: *selector,
            outbound: self.sending(now, |tek| tek.carried.has(selector)).map(|tek| tek.sa.clone()),
        };
        selectors.map(traffic).collect()
    }

    /// The end of the last TEK of the entry whose last one ends first.
    pub(super) fn first_last_tek(&self, now: Instant) -> Option<(Instant, Duration)> {
        let last = |selector: &Selector| {
            let carrying = self.sendable(now).filter(|tek| tek.carried.has(selector));
            carrying.map(|tek| (tek.ends, tek.life)).max_by_key(|(ends, _)| *ends)
        };
        self.acl().permits().filter_map(last).min_by_key(|(ends, _)| *ends)
    }
}
