//! How a message tells the group's ACL and send mode: in full to members of this implementation, by the traffic selectors
//! of the TEKs to others.

use super::numbers::{RECEIVER_ONLY, SYMMETRIC};
use crate::error::{Error, Malformed, Misbehaved, Unacceptable};
use crate::group::{AclDigest, AclNotice};
use crate::policy::{Ace, Acl, Action, Family, Selector, SendMode};
use crate::wire::{Gap, GroupSa};

impl AclNotice {
    /// The digest that goes into the message.
    pub(super) fn digest(&self) -> Option<AclDigest> {
        match self {
            AclNotice::Selectors(_) => None,
            AclNotice::List(acl) => Some(AclDigest::of(acl)),
            AclNotice::Digest(digest) => Some(*digest),
        }
    }

    /// The ACL payload.
    pub(super) fn payload(&self) -> Option<Acl> {
        match self {
            AclNotice::List(acl) => Some(acl.clone()),
            AclNotice::Selectors(_) | AclNotice::Digest(_) => None,
        }
    }

    /// What each TEK is announced with.
    pub(super) fn selectors(&self) -> Vec<Selector> {
        match self {
            AclNotice::Selectors(acl) => acl.permits().copied().collect(),
            AclNotice::List(_) | AclNotice::Digest(_) => vec![Selector::any(Family::V4)],
        }
    }

    /// Reads it from a policy whose TEKs have these selectors.
    ///
    /// # Errors
    /// A list without digest or with that of another, or traffic selectors beside them.
    pub(super) fn understand(sa: &GroupSa, gap: &Gap, selectors: &[Selector]) -> Result<Self, Error> {
        let Some(digest) = gap.acl else {
            return match sa.acl {
                Some(_) => Err(Misbehaved::MissingAttribute("ACL digest").into()),
                None => permit_all(selectors).map(AclNotice::Selectors),
            };
        };
        if !sa.teks.is_empty() && selectors != [Selector::any(Family::V4)] {
            return Err(Misbehaved::KeyMismatch("traffic selectors beside an ACL").into());
        }
        match &sa.acl {
            None => Ok(AclNotice::Digest(digest)),
            Some(acl) if AclDigest::of(acl) == digest => Ok(AclNotice::List(acl.clone())),
            Some(_) => Err(Misbehaved::KeyMismatch("digest of the ACL").into()),
        }
    }
}

fn permit_all(selectors: &[Selector]) -> Result<Acl, Error> {
    let permit = |selector: &Selector| Ace { action: Action::Permit, selector: *selector };
    let entries = selectors.iter().map(permit).collect();
    Acl::new(entries).map_err(|_| Malformed::TooMany("SAT payloads").into())
}

/// What members do when they send: as the GAP says, else as the SA directions say (RFC 6407 section 5.5.1.1.2).
///
/// # Errors
/// SAs of different directions, or of one that a GAP of ours does not go with.
pub(super) fn understand_mode(sa: &GroupSa, gap: &Gap) -> Result<SendMode, Error> {
    let directions = || sa.teks.iter().map(|tek| tek.direction);
    let unsupported = |what, direction| Err(Unacceptable::Unsupported(what, u32::from(direction)).into());
    if let Some(other) = directions().find(|direction| ![SYMMETRIC, RECEIVER_ONLY].contains(direction)) {
        return unsupported("SA direction", other);
    }
    let common = directions().next().unwrap_or(SYMMETRIC);
    if let Some(other) = directions().find(|direction| *direction != common) {
        return unsupported("another SA direction", other);
    }
    match (gap.mode, common) {
        (Some(mode), SYMMETRIC) => Ok(mode),
        (None, SYMMETRIC) => Ok(SendMode::Both),
        (None, _) => Ok(SendMode::ReceiveOnly),
        (Some(_), other) => unsupported("SA direction", other),
    }
}
