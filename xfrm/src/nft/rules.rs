//! The rules of table `inet gdoi`, plane by plane.
//!
//! A packet on its way out meets them in this order: XFRM policy lookup (not here), `look_again`, `clamp_out`, `keep` (its addresses
//! stay as they are), `stash`, `guard`, encryption, `restore_multicast` or `restore` (its own addresses come back),
//! `guard` once more as ESP. On its way in: `inbound`, decryption, `clamp_in`, and `require_forward` or `require_input`.

mod encryption;
mod passage;

use std::collections::BTreeSet;

use super::inbound::{inbound, unknown_senders, Receivable};
use super::list::List;
use super::matching::View;
use crate::model::{Family, Mode, Slot, SpiBlock};

pub use encryption::Restored;

/// What nftables must know of a plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaneRules {
    pub slot: Slot,
    pub interface: String,
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

/// A chain: a base chain when it has a hook.
pub struct Chain {
    pub name: String,
    pub hook: Option<&'static str>,
    pub rules: Vec<String>,
}

/// The named counters of each plane.
pub const COUNTERS: [&str; 8] = [
    "encrypted",
    "decrypted",
    "blocked_out",
    "blocked_in",
    "bypassed",
    "unrestored",
    "oversize",
    "unknown_sender",
];
/// The chains of each plane.
pub const PLANE_CHAINS: [&str; 12] = [
    "restore",
    "restore_multicast",
    "pass_out",
    "hold_out",
    "out_packet",
    "out_original",
    "out_quoted",
    "pass_in",
    "hold_in",
    "in_packet",
    "in_quoted",
    "senders",
];

/// What lies in front of the anchors of a family, and the prefix or range that holds them all.
pub(super) const ANCHORS: [(&str, &str); 2] = [("ip", "192.0.0.84-192.0.0.167"), ("ip6", "100::848:0/112")];
/// Neighbour discovery (RFC 4861) as no router forwards it, and the multicast listener discovery (RFC 3810) that makes
/// switches carry it.
const LINK_IPV6: [&str; 2] = [
    "ip6 hoplimit 255 icmpv6 type { nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert } accept",
    "ip6 hoplimit 1 ip6 saddr { ::, fe80::/10 } icmpv6 type { 130, 131, 132, 143 } accept",
];
/// IGMP (RFC 3376) as no router forwards it.
const LINK_IPV4: &str = "ip ttl 1 ip daddr 224.0.0.0/4 meta l4proto igmp accept";

/// All chains of the table.
pub fn chains(planes: &[PlaneRules]) -> Vec<Chain> {
    let each = |rules: fn(&PlaneRules) -> Vec<String>| planes.iter().flat_map(rules).collect();
    let mut chains = vec![
        base("look_again", "type route hook output priority raw - 2", each(PlaneRules::look_again)),
        // A new route to a multicast address is refused, so these get their addresses where none is looked up.
        base(
            "restore_multicast",
            "type filter hook output priority raw - 1",
            each(|plane| plane.to_restore("restore_multicast")),
        ),
        base("restore", "type route hook output priority raw", each(|plane| plane.to_restore("restore"))),
        base("clamp_out", "type filter hook postrouting priority mangle", each(PlaneRules::clamp_out)),
        // Binds protected flows to their own addresses just before the operator's NAT could do otherwise.
        base("keep", "type nat hook postrouting priority srcnat - 1", each(PlaneRules::keep)),
        base("stash", "type filter hook postrouting priority 250", each(PlaneRules::put_aside)),
        base("guard", "type filter hook postrouting priority 300", guard(planes)),
        base("inbound", "type filter hook prerouting priority raw", inbound(planes)),
        base("too_big", "type filter hook prerouting priority raw + 1", each(PlaneRules::too_big)),
        base("clamp_in", "type filter hook prerouting priority mangle", each(PlaneRules::clamp_in)),
        base("require_forward", "type filter hook forward priority filter", require(planes)),
        base("require_input", "type filter hook input priority filter", require(planes)),
    ];
    chains.extend(planes.iter().flat_map(plane_chains));
    chains.push(Chain { name: "seal".into(), hook: None, rules: Vec::new() });
    chains
}

fn base(name: &str, hook: &'static str, rules: Vec<String>) -> Chain {
    Chain { name: name.into(), hook: Some(hook), rules }
}

/// What one plane passes no other plane of the same interface holds: groups must not lock out each other's GDOI.
fn guard(planes: &[PlaneRules]) -> Vec<String> {
    let jump = |chain: &'static str| planes.iter().map(move |plane| plane.jump("oifname", chain));
    jump("pass_out").chain(jump("hold_out")).collect()
}

fn require(planes: &[PlaneRules]) -> Vec<String> {
    let jump = |chain: &'static str| planes.iter().map(move |plane| plane.jump("iifname", chain));
    jump("pass_in").chain(jump("hold_in")).collect()
}

/// nft's name of the family's header.
pub(super) fn name(family: Family) -> &'static str {
    match family {
        Family::V4 => "ip",
        Family::V6 => "ip6",
    }
}

fn plane_chains(plane: &PlaneRules) -> [Chain; 12] {
    let rules = [
        plane.restore(),
        plane.restore_multicast(),
        plane.pass_out(),
        plane.hold_out(),
        plane.held_out(View::Packet),
        plane.held_out(View::Original),
        plane.held_out(View::Quoted),
        plane.pass_in(),
        plane.hold_in(),
        plane.held_in(View::Packet),
        plane.held_in(View::Quoted),
        unknown_senders(plane),
    ];
    let mut names = PLANE_CHAINS.into_iter().map(|name| format!("{name}_{}", plane.slot.number()));
    rules.map(|rules| Chain { name: names.next().unwrap_or_default(), hook: None, rules })
}
