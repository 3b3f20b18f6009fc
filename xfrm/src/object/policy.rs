//! XFRM policies.

use std::fmt;

use super::KernelSelector;
use crate::model::{Lane, Slot, Spi};

/// Where the kernel consults a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hook {
    /// Packets for this router.
    In,
    /// Packets that leave it, its own and forwarded ones.
    Out,
    /// Packets that are forwarded, when they have come in.
    Forward,
}

/// The name of a policy; the kernel holds at most one by each name, whoever added it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyKey {
    /// Where it is consulted.
    pub hook: Hook,
    /// Index of the output interface it is limited to.
    pub interface: Option<u32>,
    /// The plane to whose XFRM interface it is limited; others do not see it.
    pub xfrm_interface: Option<Slot>,
    /// What it matches.
    pub selector: KernelSelector,
}

impl PolicyKey {
    /// Which states it leads to when it says to encrypt.
    pub fn lane(&self) -> Lane {
        self.xfrm_interface.map_or(Lane::Unicast, |_| Lane::Multicast)
    }
}

/// An XFRM policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Its name.
    pub key: PolicyKey,
    /// Which matching policy wins.
    pub rank: Rank,
    /// What it says.
    pub verdict: Verdict,
}

/// Which of several matching policies wins: the first of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rank {
    /// GDOI and what the link needs, always in clear.
    Gdoi,
    /// A local `deny` entry.
    Clear,
    /// An entry of a group's access list by its place among all entries, from 0.
    Acl(u32),
    /// What a closed gate holds: everything that no entry of any group on the interface names.
    Closed,
    /// What is accepted decrypted, after all that others say. These policies name no interface, so they are looked up for
    /// everybody's packets, and what arrived by a tunnel of somebody else is for that tunnel's policy to judge.
    Decrypted,
}

/// What a policy says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Pass in clear.
    Pass,
    /// Drop.
    Block,
    /// Encrypt with exactly this state.
    ///
    /// Seen on Linux 7.2: left to itself the kernel takes, of several states to the same anchor, the one added last,
    /// compared by the seconds of the wall clock. A clock that was set back would keep the old state, and one left by
    /// hand would win. With the SPI in the template the switch to a new state is one atomic policy update; a flood of
    /// pings loses nothing over it (kernel test).
    Encrypt(Slot, Spi),
    /// Accept what states of these planes decrypted; that it *was* decrypted is required in nftables.
    Decrypted(Vec<Slot>),
}

impl Verdict {
    /// Whether it lets nothing of the plane leave in clear; what only blocks does not say whose it is.
    pub fn holds(&self, plane: Slot) -> bool {
        match self {
            Self::Encrypt(slot, _) => *slot == plane,
            Self::Block => true,
            Self::Pass | Self::Decrypted(_) => false,
        }
    }
}

/// A policy that the kernel holds in our block of indices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldPolicy {
    /// The kernel's handle.
    pub index: PolicyIndex,
    /// The `if_id` without which the kernel does not find it; none is 0.
    pub if_id: u32,
    /// What it is; none when no policy of ours looks like this.
    pub content: Option<Policy>,
}

/// The kernel's handle of a policy. We choose it, from a block of our own: it is how a policy without a template is
/// known to be ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyIndex(pub u32);

impl PolicyIndex {
    const BLOCK: u32 = 0x8480_0000;
    const BLOCK_MASK: u32 = 0xfff0_0000;
    /// The kernel keeps the direction in the lowest three bits.
    const STEP: u32 = 8;

    /// Whether the handle lies in our block.
    pub fn is_ours(self) -> bool {
        self.0 & Self::BLOCK_MASK == Self::BLOCK
    }

    /// Our handles for policies of one hook, lowest first.
    pub fn all(hook: Hook) -> impl Iterator<Item = Self> {
        let last = Self::BLOCK | !Self::BLOCK_MASK;
        (Self::BLOCK + hook.number()..last).step_by(Self::STEP as usize).map(Self)
    }

    /// The hook that the kernel keeps in the handle.
    pub fn hook(self) -> Option<Hook> {
        [Hook::In, Hook::Out, Hook::Forward].into_iter().find(|hook| hook.number() == self.0 % Self::STEP)
    }
}

impl Hook {
    /// The kernel's number (XFRM_POLICY_IN, _OUT, _FWD).
    pub fn number(self) -> u32 {
        match self {
            Self::In => 0,
            Self::Out => 1,
            Self::Forward => 2,
        }
    }
}

impl Rank {
    const FIRST_ENTRY: u32 = 84_802;
    const CLOSED: u32 = Self::FIRST_ENTRY + Self::ENTRIES;
    /// So many entries of access lists have a rank.
    pub const ENTRIES: u32 = 65_536;

    /// The kernel's priority, lower wins. What decides on the protected interface has a smaller one than what IKE daemons
    /// use, so that a group's access list decides first there.
    pub fn priority(self) -> u32 {
        match self {
            Self::Gdoi => 84_800,
            Self::Clear => 84_801,
            Self::Acl(place) => Self::FIRST_ENTRY + place,
            Self::Closed => Self::CLOSED,
            Self::Decrypted => u32::MAX,
        }
    }

    /// The rank with this priority.
    pub fn from_priority(priority: u32) -> Option<Self> {
        match priority.checked_sub(Self::FIRST_ENTRY) {
            Some(place) if place < Self::ENTRIES => Some(Self::Acl(place)),
            _ => [Self::Gdoi, Self::Clear, Self::Closed, Self::Decrypted]
                .into_iter()
                .find(|rank| rank.priority() == priority),
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "policy {} {}: ", self.key.hook, self.key.selector)?;
        match &self.verdict {
            Verdict::Pass => f.write_str("pass in clear"),
            Verdict::Block => f.write_str("block"),
            Verdict::Encrypt(_, spi) => write!(f, "encrypt with {spi}"),
            Verdict::Decrypted(_) => f.write_str("accept decrypted"),
        }
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::In => "in",
            Self::Out => "out",
            Self::Forward => "fwd",
        })
    }
}

impl fmt::Display for PolicyIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_stay_in_the_block_and_keep_the_hook() {
        for hook in [Hook::In, Hook::Out, Hook::Forward] {
            let index = PolicyIndex::all(hook).nth(1000).unwrap();
            assert!(index.is_ours() && index.hook() == Some(hook));
            assert!(PolicyIndex::all(hook).last().unwrap().is_ours());
        }
        assert!(!PolicyIndex(0x8490_0001).is_ours() && !PolicyIndex(9).is_ours());
    }

    #[test]
    fn a_closed_gate_decides_after_every_entry_and_reception_after_everybody() {
        let ranks = [
            Rank::Gdoi,
            Rank::Clear,
            Rank::Acl(0),
            Rank::Acl(Rank::ENTRIES - 1),
            Rank::Closed,
            Rank::Decrypted,
        ];
        assert!(ranks.is_sorted_by(|one, next| one < next && one.priority() < next.priority()));
        ranks.into_iter().for_each(|rank| assert_eq!(Rank::from_priority(rank.priority()), Some(rank)));
        assert_eq!(Rank::from_priority(Rank::Closed.priority() + 1), None);
    }
}
