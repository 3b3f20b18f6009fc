//! What a caller asks of the kernel. Everything here is plain data: comparing, planning and applying live elsewhere.

mod interface;
mod sa;
mod slot;

use std::net::{IpAddr, SocketAddr};

pub use ::policy::{
    Ace, Action, Aead, Cipher, EspKeys, Family, Integrity, Ports, Prefix, Secret, Selector, SenderKey,
    SharedKeys, Side, Spi, SpiBlock, Transform,
};
pub use interface::{is_named, Kept};
pub use sa::{Lane, Replay, Sa};
pub(crate) use slot::MULTICAST;
pub use slot::{Anchors, Slot};

/// Everything that this crate shall hold in the kernel; the default holds nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    /// One entry per group and protected interface; earlier planes win where selectors are equal.
    pub planes: Vec<Plane>,
}

/// One group on one protected interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plane {
    /// Name of the protected (WAN) interface, or the beginning of names and `*`: all links of such names.
    pub interface: String,
    /// The router's own address that GDOI is spoken from.
    pub local: IpAddr,
    /// Which pairs of anchor addresses the plane uses; no two planes share one.
    pub slot: Slot,
    /// Key servers: UDP between `local` and exactly these addresses and ports is never held or encrypted.
    pub servers: Vec<SocketAddr>,
    /// The multicast group and UDP port to which the key servers send rekey messages, where they do: these, and the IGMP
    /// (RFC 3376) that asks the network for them, are never held or encrypted either.
    pub rekey_group: Option<SocketAddr>,
    /// The local `deny` entries: always in clear, in both directions, evaluated before anything else.
    pub clear: Vec<Selector>,
    /// The largest TCP segment, in octets, that hosts may announce through the plane; none leaves theirs as they are.
    pub mss: Option<u16>,
    /// What the core was found to carry.
    pub path_mtu: PathMtu,
    /// What happens to all other traffic of the interface.
    pub gate: Gate,
}

/// The largest encrypted packet, in octets, that the core carries, by family; none means that of the interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathMtu {
    /// For IPv4.
    pub v4: Option<u32>,
    /// For IPv6.
    pub v6: Option<u32>,
}

/// What a plane does with traffic that is neither GDOI nor named by `clear`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Fail-close before registration: nothing passes the interface (ARP and IPv6 neighbour discovery do).
    Closed,
    /// Fail-open before registration: nothing is held, the plane leaves no trace in the kernel.
    Open,
    /// Traffic that the group's access list permits passes only encrypted, the rest in clear.
    Protect(Protection),
}

/// What a registered member protects, and with what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Protection {
    /// The group's access list: the first entry that matches decides; judged source to destination in both directions.
    pub acl: Vec<Ace>,
    /// The SPIs that may be received on demand.
    pub blocks: Vec<SpiBlock>,
    /// What may be received.
    pub inbound: Vec<Sa>,
    /// What is sent with, at most one per family and lane but for `apart`; without it traffic that `acl` permits is blocked,
    /// never sent in clear.
    pub outbound: Vec<Sa>,
    /// Which of these sends an entry that `acl` permits, where they are for different ones; none blocks it. An entry that is
    /// not named here is sent with any.
    pub apart: Vec<(Selector, Option<Spi>)>,
    /// How strictly the access list is enforced.
    pub mode: Mode,
}

/// How strictly an access list is enforced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// What it permits passes only encrypted.
    #[default]
    Strict,
    /// What it permits is sent encrypted and accepted in clear as well: a passive member, while a group is moved over.
    AcceptClear,
    /// What it permits is sent in clear and accepted both ways: a group that only receives so far.
    ReceiveOnly,
}

impl Desired {
    /// Whether the SPI is of a block that the plane still has.
    pub(crate) fn has_block_of(&self, slot: Slot, spi: Spi) -> bool {
        self.planes.iter().filter(|plane| plane.slot == slot).any(|plane| match &plane.gate {
            Gate::Protect(protection) => protection.blocks.iter().any(|block| block.contains(spi)),
            Gate::Closed | Gate::Open => false,
        })
    }
}

impl Protection {
    /// Whether an outbound SA sends what this entry permits.
    pub(crate) fn sends(&self, sa: &Sa, entry: &Selector) -> bool {
        let named = self.apart.iter().find(|(selector, _)| selector == entry);
        named.is_none_or(|(_, spi)| *spi == Some(sa.spi))
    }

    /// Whether the SA is that of one sender, from one of the blocks.
    pub(crate) fn is_of_block(&self, sa: &Sa) -> bool {
        self.blocks.iter().any(|block| block.contains(sa.spi))
    }
}

impl PathMtu {
    /// That of one family.
    pub fn of(self, family: Family) -> Option<u32> {
        match family {
            Family::V4 => self.v4,
            Family::V6 => self.v6,
        }
    }
}
