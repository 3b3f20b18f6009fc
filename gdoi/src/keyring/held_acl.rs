//! The ACL that a member holds: always one list as a server made it, never parts of two.

use super::Others;
use crate::group::{AclDigest, AclNotice};
use crate::policy::Acl;

/// Which way a policy came: members pull at different times, a push reaches all at once.
#[derive(Clone, Copy)]
pub(super) enum Way {
    Pull(Others),
    Push,
}

/// A list, and what is known of it.
#[derive(Debug, Default)]
pub(super) struct HeldAcl {
    list: Acl,
    /// None where servers of other software gave the list: they have only traffic selectors.
    digest: Option<AclDigest>,
    /// Whether a rekey message spoke of another list.
    outdated: bool,
}

impl HeldAcl {
    pub(super) const fn list(&self) -> &Acl {
        &self.list
    }

    /// Whether the last download was from a server of this implementation, which gives whole lists.
    pub(super) const fn is_whole(&self) -> bool {
        self.digest.is_some()
    }

    /// Tells it from other lists, where a server of this implementation gave it.
    pub(super) const fn digest(&self) -> Option<AclDigest> {
        self.digest
    }

    pub(super) const fn is_outdated(&self) -> bool {
        self.outdated
    }

    /// Takes in what a message says.
    pub(super) fn take(&mut self, notice: AclNotice, way: Way) {
        match notice {
            AclNotice::List(list) => {
                let digest = Some(AclDigest::of(&list));
                *self = HeldAcl { list, digest, outdated: false };
            }
            AclNotice::Digest(digest) => self.outdated = self.digest != Some(digest),
            AclNotice::Selectors(list) => self.take_selectors(list, way),
        }
    }

    /// In a group with other software, rekey messages can say only which traffic is encrypted. If that is so in the list
    /// held, that one still holds. Else what is said holds until the whole list is fetched: it encrypts no less.
    fn take_selectors(&mut self, list: Acl, way: Way) {
        match (way, self.is_whole()) {
            (Way::Push, true) if self.list.permits().eq(list.permits()) => {}
            (Way::Push, true) => {
                let digest = Some(AclDigest::of(&list));
                *self = HeldAcl { list, digest, outdated: true };
            }
            (Way::Push, false) | (Way::Pull(_), _) => *self = HeldAcl { list, digest: None, outdated: false },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acl(entries: &[&str]) -> Acl {
        Acl::new(entries.iter().map(|entry| entry.parse().unwrap()).collect()).unwrap()
    }

    fn held(list: &Acl) -> HeldAcl {
        let mut held = HeldAcl::default();
        held.take(AclNotice::List(list.clone()), Way::Pull(Others::Alike));
        held
    }

    #[test]
    fn another_digest_leaves_the_list_and_says_so() {
        let (one, other) = (acl(&["permit ip any any"]), acl(&["deny ip any any"]));
        let mut held = held(&one);
        held.take(AclNotice::Digest(AclDigest::of(&one)), Way::Push);
        assert!(!held.is_outdated());
        held.take(AclNotice::Digest(AclDigest::of(&other)), Way::Push);
        assert_eq!((held.is_outdated(), held.list()), (true, &one));
        held.take(AclNotice::List(other.clone()), Way::Push);
        assert_eq!((held.is_outdated(), held.list()), (false, &other));
    }

    #[test]
    fn selectors_of_the_list_held_leave_its_deny_entries() {
        let whole = acl(&["deny tcp any any eq 22", "permit ip any any"]);
        let mut held = held(&whole);
        held.take(AclNotice::Selectors(acl(&["permit ip any any"])), Way::Push);
        assert_eq!((held.is_outdated(), held.list()), (false, &whole));
        let other = acl(&["permit ip 10.0.0.0/8 any"]);
        for _ in 0..2 {
            held.take(AclNotice::Selectors(other.clone()), Way::Push);
            assert_eq!((held.is_outdated(), held.list()), (true, &other), "until the whole list is here");
        }
    }

    #[test]
    fn of_other_servers_selectors_are_the_list() {
        let mut held = HeldAcl::default();
        for list in [acl(&["permit ip any any"]), acl(&["permit ip 10.0.0.0/8 any"])] {
            held.take(AclNotice::Selectors(list.clone()), Way::Push);
            assert_eq!((held.is_outdated(), held.is_whole(), held.list()), (false, false, &list));
        }
    }
}
