//! The objects that live in the kernel, as small values that can be compared.

use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

use crate::model::{EncryptionKey, IntegrityKey, Selector, Slot, Spi};

/// Which way a state works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// It decrypts: its destination is the inbound anchor.
    Inbound,
    /// It encrypts: its destination is the outbound anchor.
    Outbound,
}

/// The name of a state; the kernel holds at most one by each name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StateId {
    /// Its plane.
    pub slot: Slot,
    /// Which way it works.
    pub direction: Direction,
    /// Its SPI.
    pub spi: Spi,
}

/// An XFRM state that we want. Addresses, mode, flags and reqid follow from its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Its name.
    pub id: StateId,
    /// Cipher and key.
    pub encryption: EncryptionKey,
    /// Authenticator and key.
    pub integrity: IntegrityKey,
    /// How long after its addition the kernel forgets it.
    pub hard_lifetime: Option<Duration>,
}

/// An XFRM state that the kernel holds at one of our anchors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldState {
    /// Its name.
    pub id: StateId,
    /// What it is; none when no state of ours looks like this (a larval state, a change by hand).
    pub content: Option<State>,
}

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
    /// What it matches.
    pub selector: Selector,
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
    /// GDOI, always in clear.
    Gdoi,
    /// A local `deny` entry.
    Clear,
    /// A group's permit entry.
    Acl,
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

/// A policy that the kernel holds in our block of indices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldPolicy {
    /// The kernel's handle.
    pub index: PolicyIndex,
    /// What it is; none when no policy of ours looks like this.
    pub content: Option<Policy>,
}

/// The kernel's handle of a policy. We choose it, from a block of our own: it is how a policy without a template is
/// known to be ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyIndex(pub u32);

/// An anchor route: VI is local, VO is on-link at the protected interface and so has its MTU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Route {
    /// Its plane.
    pub slot: Slot,
    /// Which anchor it leads to.
    pub direction: Direction,
    /// Index of the interface.
    pub interface: u32,
}

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its index.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Whether it is administratively up.
    pub up: bool,
    /// Largest packet in octets.
    pub mtu: u32,
    /// Its IPv4 addresses.
    pub addresses: Vec<Ipv4Addr>,
}

impl StateId {
    /// The anchor that the state is found by.
    pub fn anchor(self) -> Ipv4Addr {
        anchor(self.slot, self.direction)
    }
}

impl Route {
    /// The address that the route leads to.
    pub fn anchor(self) -> Ipv4Addr {
        anchor(self.slot, self.direction)
    }
}

fn anchor(slot: Slot, direction: Direction) -> Ipv4Addr {
    match direction {
        Direction::Inbound => slot.inbound_anchor(),
        Direction::Outbound => slot.outbound_anchor(),
    }
}

/// Which plane and direction an address is the anchor of.
pub fn anchor_of(address: Ipv4Addr) -> Option<(Slot, Direction)> {
    let [192, 0, 0, last] = address.octets() else { return None };
    let offset = last.checked_sub(84)?;
    let direction = if offset % 2 == 0 { Direction::Inbound } else { Direction::Outbound };
    Some((Slot::new(offset / 2)?, direction))
}

impl Slot {
    /// The XFRM reqid of the plane, 84800 and up: in decimal, as `ip xfrm` prints it.
    pub fn reqid(self) -> u32 {
        84_800 + u32::from(self.number())
    }

    /// The plane with this reqid.
    pub fn from_reqid(reqid: u32) -> Option<Self> {
        Self::new(u8::try_from(reqid.checked_sub(84_800)?).ok()?)
    }
}

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
    /// The kernel's priority, lower wins. Smaller than what IKE daemons use, so that a group's access list decides first.
    pub fn priority(self) -> u32 {
        match self {
            Self::Gdoi => 84_800,
            Self::Clear => 84_801,
            Self::Acl => 84_802,
        }
    }

    /// The rank with this priority.
    pub fn from_priority(priority: u32) -> Option<Self> {
        [Self::Gdoi, Self::Clear, Self::Acl].into_iter().find(|rank| rank.priority() == priority)
    }
}

impl State {
    /// Whether the kernel's state does what this one would. The lifetime is not compared: it is a backstop that counts
    /// from the addition. A kernel in lockdown shows zeros for keys, which must not look like another key.
    pub fn is_held_as(&self, held: &HeldState) -> bool {
        held.content.as_ref().is_some_and(|content| {
            self.id == content.id
                && (self.encryption == content.encryption
                    || self.encryption.is_blanked_as(&content.encryption))
                && (self.integrity == content.integrity || self.integrity.is_blanked_as(&content.integrity))
        })
    }
}

impl EncryptionKey {
    fn is_blanked_as(&self, shown: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(shown)
            && shown.octets().iter().all(|octet| *octet == 0)
    }
}

impl IntegrityKey {
    fn is_blanked_as(&self, shown: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(shown)
            && shown.octets().iter().all(|octet| *octet == 0)
    }
}

impl fmt::Display for StateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = match self.direction {
            Direction::Inbound => "inbound",
            Direction::Outbound => "outbound",
        };
        write!(f, "{direction} state {} of plane {}", self.spi, self.slot.number())
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hook = match self.key.hook {
            Hook::In => "in",
            Hook::Out => "out",
            Hook::Forward => "fwd",
        };
        write!(f, "policy {hook} {}: ", self.key.selector)?;
        match &self.verdict {
            Verdict::Pass => f.write_str("pass in clear"),
            Verdict::Block => f.write_str("block"),
            Verdict::Encrypt(_, spi) => write!(f, "encrypt with {spi}"),
            Verdict::Decrypted(_) => f.write_str("accept decrypted"),
        }
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
    fn every_anchor_is_found_again() {
        for slot in (0..Slot::COUNT).filter_map(Slot::new) {
            assert_eq!(anchor_of(slot.inbound_anchor()), Some((slot, Direction::Inbound)));
            assert_eq!(anchor_of(slot.outbound_anchor()), Some((slot, Direction::Outbound)));
            assert_eq!(Slot::from_reqid(slot.reqid()), Some(slot));
        }
        for foreign in [[192, 0, 0, 83], [192, 0, 0, 168], [192, 0, 1, 84], [10, 0, 0, 84]] {
            assert_eq!(anchor_of(foreign.into()), None);
        }
    }

    #[test]
    fn indices_stay_in_the_block_and_keep_the_hook() {
        for hook in [Hook::In, Hook::Out, Hook::Forward] {
            let index = PolicyIndex::all(hook).nth(1000).unwrap();
            assert!(index.is_ours() && index.hook() == Some(hook));
            assert!(PolicyIndex::all(hook).last().unwrap().is_ours());
        }
        assert!(!PolicyIndex(0x8490_0001).is_ours() && !PolicyIndex(9).is_ours());
    }
}
