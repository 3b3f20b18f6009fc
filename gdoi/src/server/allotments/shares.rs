//! What all who hold one credential got together, where that is good for a prefix: whoever has it can speak from any address
//! in there. Beside other credentials it gets a share of a server's sender IDs, and all such credentials together leave some
//! to those that are good for one address.

use crate::policy::Prefix;
use crate::server::credentials::network;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// How many of a server's range those may get that share a credential for a prefix.
const fn one(range: u32) -> u32 {
    range / 2
}

/// How many all of them may get that do not have a credential of their own.
const fn all(range: u32) -> u32 {
    range / 4 * 3
}

/// How many sender IDs went where, by the prefix of the credential.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Shares(BTreeMap<(IpAddr, u8), u32>);

impl Shares {
    /// A member got so many, with a credential for the prefix of this length around it.
    pub(super) fn add(&mut self, member: IpAddr, length: u8, count: u32) {
        if let Some(network) = network(member, length) {
            let given = self.0.entry((network, length)).or_default();
            *given = given.saturating_add(count);
        }
    }

    /// Whether so many more of this range would be too many for those with the credential for a prefix.
    pub(super) fn exceeds(&self, prefix: Prefix, count: u32, range: u32) -> bool {
        let given = self.0.get(&(prefix.address(), prefix.length())).copied().unwrap_or_default();
        given + count > one(range) || self.total() + count > all(range)
    }

    /// Whether a member may get none for that, that asks for so many.
    pub(super) fn are_used_up(&self, count: u32, range: u32) -> bool {
        self.0.values().any(|given| given + count > one(range)) || self.total() + count > all(range)
    }

    fn total(&self) -> u32 {
        self.0.values().fold(0, |sum, given| sum.saturating_add(*given))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_for_a_prefix_gets_half_and_all_of_them_three_quarters() {
        let (first, second): (Prefix, Prefix) =
            ("10.1.0.0/16".parse().unwrap(), "10.2.0.0/16".parse().unwrap());
        let mut shares = Shares::default();
        (0..10).for_each(|host| shares.add([10, 1, 0, host].into(), 16, 50));
        assert!(shares.exceeds(first, 1, 1_000) && !shares.exceeds(second, 250, 1_000));
        assert!(shares.exceeds(second, 251, 1_000));
        assert!(shares.are_used_up(1, 1_000) && !shares.are_used_up(1, 10_000));
        shares.add([10, 2, 0, 1].into(), 16, 250);
        assert!(shares.exceeds(second, 1, 1_000), "the rest is for others");
    }

    #[test]
    fn a_longer_prefix_within_another_has_a_share_of_its_own() {
        let mut shares = Shares::default();
        shares.add([10, 1, 0, 1].into(), 16, 400);
        let inner: Prefix = "10.1.0.0/24".parse().unwrap();
        assert!(!shares.exceeds(inner, 350, 1_000) && shares.exceeds(inner, 351, 1_000));
    }
}
