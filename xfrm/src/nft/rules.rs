//! What nftables must know of a plane, and the rules that come of it.

mod encryption;
mod passage;
mod stations;

use std::collections::BTreeSet;

use super::interfaces::Interfaces;
use super::list::List;
use crate::model::{Family, Mode, Slot, Spi, SpiBlock};

pub use encryption::{as_it_was, look_again, put_aside, unstash, Restored, PUT_ASIDE, UNSTASH};

/// What nftables must know of a plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaneRules {
    pub slot: Slot,
    pub interfaces: Interfaces,
    /// GDOI as this router sends it.
    pub gdoi_out: List,
    /// GDOI as this router receives it.
    pub gdoi_in: List,
    pub clear: List,
    pub gate: GateRules,
}

/// What happens to the rest of a plane's traffic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GateRules {
    Closed,
    Protect(ProtectRules),
}

/// What nftables must know of a plane that protects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtectRules {
    pub acl: List,
    pub mode: Mode,
    pub receivable: Receivable,
    /// All that the group's ESP can have.
    pub spis: BTreeSet<(Family, SpiBlock)>,
    /// Where ESP of ours shows its own addresses before it is encrypted.
    pub restored: Vec<Restored>,
    pub stash: Stash,
    /// The largest TCP segment, in octets, that is announced through the plane.
    pub mss: Option<u16>,
}

/// What a plane receives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receivable {
    /// SPIs that several senders share.
    pub shared: Vec<(Family, Spi)>,
    /// SPIs of one sender each, whose states are added when they are first heard.
    pub blocks: Vec<SpiBlock>,
}

/// Which IPv4 packets have their addresses put aside before encryption, because `restore` will see only cipher text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stash {
    /// Packets that may be fragmented and are longer than this many octets: they are encrypted before the output hook.
    /// All others are encrypted behind it by esp4_offload.
    Oversize(u32),
    /// All, because this kernel has no esp4_offload.
    Everything,
}

impl PlaneRules {
    /// Whether its group sends in clear.
    pub fn only_receives(&self) -> bool {
        matches!(&self.gate, GateRules::Protect(protect) if protect.mode == Mode::ReceiveOnly)
    }
}

/// The named counters of each plane.
pub const COUNTERS: [&str; 19] = [
    "encrypted",
    "decrypted",
    "blocked_out",
    "blocked_in",
    "bypassed",
    "unrestored",
    "oversize",
    "unknown_sender",
    "esp_arrived",
    "esp_raw",
    "esp_taken",
    "esp_routing",
    "esp_input",
    "inner_routing",
    "forwarding",
    "forwarded",
    "to_encrypt",
    "esp_out",
    "esp_left",
];
/// Neighbour discovery (RFC 4861) as no router forwards it, and the multicast listener discovery (RFC 3810) that makes
/// switches carry it.
const LINK_IPV6: [&str; 2] = [
    "ip6 hoplimit 255 icmpv6 type { nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert } accept",
    "ip6 hoplimit 1 ip6 saddr { ::, fe80::/10 } icmpv6 type { 130, 131, 132, 143 } accept",
];
/// IGMP (RFC 3376) as no router forwards it.
const LINK_IPV4: &str = "ip ttl 1 ip daddr 224.0.0.0/4 meta l4proto igmp accept";

/// nft's name of the family's header.
pub(super) fn name(family: Family) -> &'static str {
    match family {
        Family::V4 => "ip",
        Family::V6 => "ip6",
    }
}
