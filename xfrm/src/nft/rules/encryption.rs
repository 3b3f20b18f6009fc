//! Rules around encryption: what puts the addresses of a packet aside, what brings them back, and what depends on its
//! length.

use std::net::{IpAddr, Ipv4Addr};

use super::{name, GateRules, PlaneRules, ProtectRules, Stash};
use crate::model::{Family, Lane, Slot, SpiBlock};
use crate::nft::interfaces::{Routing, Way};
use crate::nft::matching::family_of;

/// ESP of one family whose inner header lies behind an IV of one length.
///
/// One rule for each block and no set of ranges: the kernel fills such a set (rbtree since Linux 7.0, pipapo always) after
/// the rules that ask it have come into force, so that for some milliseconds of every new table it would match nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    pub family: Family,
    pub iv_octets: u32,
    pub spis: SpiBlock,
}

/// The chains that put addresses aside and bring them back.
pub const PUT_ASIDE: &str = "put_aside";
pub const UNSTASH: &str = "unstash";
/// What is asked of a packet whose addresses may be stashed; most have no mark.
const STASHED: &str = "meta mark != 0 meta priority . meta mark";

/// The priority of IPv6 packets for which policies are looked up again, beside the small one that programs give them.
const LOOKED_UP: u32 = 0x7d84_0000;
const NOT_SMALL: u32 = 0xffff_fff0;
/// There and back.
const OTHER_HOP_LIMIT: &str = "ip6 hoplimit set ip6 hoplimit ^ 128";
/// Types of neighbour discovery (RFC 4861).
const DISCOVERY: &str =
    "nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert, nd-redirect";

/// SPI and sequence number (RFC 4303 section 2).
const ESP_HEADER: u32 = 8;

impl Restored {
    /// Bit of the inner header, counted from the ESP header on.
    fn inner(&self) -> u32 {
        8 * (ESP_HEADER + self.iv_octets)
    }

    fn matches(&self) -> String {
        let Self { family, spis, .. } = self;
        let version = match family {
            Family::V4 => 4,
            Family::V6 => 6,
        };
        format!(
            "meta l4proto esp esp spi & {:#010x} == {} @th,{},4 {version}",
            spis.mask(),
            spis.base(),
            self.inner()
        )
    }

    /// Only a multicast destination: 224.0.0.0/4 or ff00::/8.
    fn is_multicast(&self) -> String {
        match self.family {
            Family::V4 => format!("@th,{},4 0xe", self.inner() + 128),
            Family::V6 => format!("@th,{},8 0xff", self.inner() + 192),
        }
    }

    /// Copies the inner addresses over the outer ones, which are the anchors of the plane. From 1.1 on nft copies numbers
    /// to numbers only, and keeps the checksum of IPv4 right only where it writes to a field by its name. So the complement
    /// of each address is written, then by name the complement of the anchor, and at last the address: to the sum of the
    /// header (RFC 1624) the second step adds the address and takes the anchor away.
    fn copies(&self, slot: Slot) -> String {
        match self.family {
            Family::V4 => {
                let (source, destination) = (self.inner() + 96, self.inner() + 128);
                let [from, to] = complements(slot);
                format!(
                    "@nh,96,32 set @th,{source},32 ^ 0xffffffff @nh,128,32 set @th,{destination},32 ^ 0xffffffff \
                     ip saddr set {from} ip daddr set {to} @nh,96,64 set @th,{source},64"
                )
            }
            Family::V6 => {
                let source = self.inner() + 64;
                format!("@nh,64,128 set @th,{source},128 @nh,192,128 set @th,{},128", source + 128)
            }
        }
    }
}

/// Of the addresses that encrypted IPv4 packets have before their own come back.
fn complements(slot: Slot) -> [Ipv4Addr; 2] {
    [slot.inbound_anchor(Family::V4), slot.outbound_anchor(Family::V4, Lane::Unicast)].map(|anchor| {
        match anchor {
            IpAddr::V4(address) => Ipv4Addr::from_bits(!address.to_bits()),
            IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
        }
    })
}

impl PlaneRules {
    pub(super) fn protect(&self) -> Option<&ProtectRules> {
        match &self.gate {
            GateRules::Closed => None,
            GateRules::Protect(protect) => Some(protect),
        }
    }

    pub fn to_restore(&self, chain: &str) -> Vec<String> {
        let jump = |(family, lane)| {
            let anchor = self.slot.outbound_anchor(family, lane);
            format!("{} daddr {anchor} jump {chain}_{}", name(family), self.slot.number())
        };
        self.protect().map_or(Vec::new(), |_| Lane::OF_FAMILIES.map(jump).into())
    }

    /// ESP that a VRF has let pass with its own addresses is not tracked at its link either.
    pub fn restored_before(&self) -> Vec<String> {
        let Some(protect) = self.protect().filter(|_| self.interfaces.routing == Routing::Vrf) else {
            return Vec::new();
        };
        let rule = |condition: &String, (family, spis): &(Family, SpiBlock)| {
            let (family, mask, base) = (family_of(*family), spis.mask(), spis.base());
            format!("{condition} {family} meta l4proto esp esp spi & {mask:#010x} == {base} notrack accept")
        };
        let links = self.interfaces.served(Way::Out);
        links.iter().flat_map(|link| protect.spis.iter().map(move |spis| rule(link, spis))).collect()
    }

    fn looked_up_again(&self) -> Vec<String> {
        let Some(_) = self.protect() else { return Vec::new() };
        let rules = |condition| {
            let packets = format!(
                "{condition} ip6 daddr != {{ fe80::/10, ff00::/8 }} meta l4proto != esp rt ipsec missing"
            );
            [
                format!(
                    "{packets} meta priority & {NOT_SMALL:#010x} == 0 meta priority set meta priority | {LOOKED_UP:#010x} \
                     {OTHER_HOP_LIMIT} accept"
                ),
                format!("{packets} ip6 hoplimit 64 ip6 hoplimit set 63 accept"),
                format!("{packets} ip6 hoplimit != {{ 1, 255 }} ip6 hoplimit set 64 accept"),
            ]
        };
        self.interfaces.served(Way::Out).into_iter().flat_map(rules).collect()
    }

    pub fn keep(&self) -> Vec<String> {
        let Some(_) = self.protect() else { return Vec::new() };
        let keep = |family: Family| {
            let name = name(family);
            let rule = move |packets| format!("{packets} {} snat {name} to {name} saddr", family_of(family));
            self.sent_protected().into_iter().map(rule)
        };
        Family::ALL.into_iter().flat_map(keep).collect()
    }

    /// Packets that will be encrypted.
    pub(super) fn sent_protected(&self) -> Vec<String> {
        let packets = |condition| format!("{condition} ipsec out reqid {}", self.slot.reqid());
        self.interfaces.served(Way::Out).into_iter().map(packets).collect()
    }

    /// Priority and mark are all that a packet carries through encryption, so they carry its two addresses. Both are zero
    /// again after `restore`.
    pub fn put_aside(&self) -> Vec<String> {
        let Some(protect) = self.protect() else { return Vec::new() };
        let condition = match protect.stash {
            Stash::Oversize(octets) => {
                format!("ip frag-off & 0x4000 == 0 meta length > {octets} {} ", self.counter("oversize"))
            }
            Stash::Everything => String::new(),
        };
        let rule = |sent| format!("{sent} meta nfproto ipv4 {condition}jump {PUT_ASIDE}");
        self.sent_protected().into_iter().map(rule).collect()
    }

    /// The stash is asked first; cipher text (no inner header of the right version) is not copied.
    pub fn restore(&self) -> Vec<String> {
        let Some(protect) = self.protect() else { return Vec::new() };
        let copied =
            protect.restored.iter().map(|one| format!("{} {}", one.matches(), one.copies(self.slot)));
        let mut rules = self.unstashed("stash");
        rules.extend(copied.map(|rule| self.restored(&rule)));
        rules.push(self.drop("unrestored"));
        rules
    }

    pub fn restore_multicast(&self) -> Vec<String> {
        let Some(protect) = self.protect() else { return Vec::new() };
        let copied = protect
            .restored
            .iter()
            .map(|one| format!("{} {} {}", one.matches(), one.is_multicast(), one.copies(self.slot)));
        let mut rules = self.unstashed("stash_multicast");
        // What is stashed is cipher text, and one in 256 such packets looks like a multicast packet inside.
        rules.push(format!("{STASHED} @stash return"));
        rules.extend(copied.map(|rule| self.restored(&rule)));
        rules
    }

    /// Whose addresses are in this set has them again, and goes on by them.
    fn unstashed(&self, set: &str) -> Vec<String> {
        let anchor = self.slot.outbound_anchor(Family::V4, Lane::Unicast);
        vec![
            format!("meta nfproto ipv4 meta l4proto esp {STASHED} @{set} jump {UNSTASH}"),
            self.restored(&format!("ip daddr != {anchor}")),
        ]
    }

    fn restored(&self, rule: &str) -> String {
        format!("{rule} notrack {}", self.accept("encrypted"))
    }

    /// Lowers the segment size that the two ends of a connection announce; nft never raises it.
    pub fn clamp_out(&self) -> Vec<String> {
        self.clamp(self.sent_protected())
    }

    /// Wherever it comes in: in a VRF that is not the link.
    pub fn clamp_in(&self) -> Vec<String> {
        self.clamp(vec![format!("ipsec in reqid {}", self.slot.reqid())])
    }

    fn clamp(&self, packets: Vec<String>) -> Vec<String> {
        let Some(octets) = self.protect().and_then(|protect| protect.mss) else { return Vec::new() };
        let rule = |packets| format!("{packets} tcp flags syn / syn,rst tcp option maxseg size set {octets}");
        packets.into_iter().map(rule).collect()
    }

    /// A router of the core cannot carry ESP of ours and says so to the host, which has sent no ESP. It is handed to this
    /// router, for the agent to read with a raw socket. By all SPIs of the group: those that this router sends with change
    /// when it changes keys, and then only netlink is fast enough. The agent knows which are its own.
    pub fn too_big(&self) -> Vec<String> {
        let Some(protect) = self.protect() else { return Vec::new() };
        let hand = |(family, spis): &(Family, SpiBlock)| {
            let next = match protect.receivable.blocks.contains(spis) {
                true => format!("jump too_big_{}", self.slot.number()),
                false => {
                    format!(
                        "{} daddr set {} notrack accept",
                        name(*family),
                        self.slot.inbound_anchor(*family)
                    )
                }
            };
            self.quoted_esp(*family, *spis).into_iter().map(move |quoted| format!("{quoted} {next}"))
        };
        protect.spis.iter().flat_map(hand).collect()
    }

    /// The quoted header lies behind 8 octets of ICMP, and the SPI behind it.
    fn quoted_esp(&self, family: Family, spis: SpiBlock) -> Vec<String> {
        let quoted = match family {
            Family::V4 => "icmp type destination-unreachable icmp code 4 @th,136,8 50 @th,224,32",
            Family::V6 => "icmpv6 type packet-too-big @th,112,8 50 @th,384,32",
        };
        let (mask, base) = (spis.mask(), spis.base());
        let packets = |condition| format!("{condition} {quoted} & {mask:#010x} == {base}");
        self.interfaces.served(Way::In).into_iter().map(packets).collect()
    }
}

/// For IPv6 that the router itself sends, the kernel looks for policies before it knows the interface, and finds none that
/// is limited to one. A changed hop limit makes it look again; [`as_it_was`] brings the right one back, of packets that have
/// a priority which says so. What has a larger priority of its own, a traffic class of somebody, keeps that and loses its hop
/// limit. Neighbour discovery stays where it was sent.
pub fn look_again(planes: &[PlaneRules]) -> Vec<String> {
    let rules: Vec<_> = planes.iter().flat_map(PlaneRules::looked_up_again).collect();
    let first = (!rules.is_empty()).then(|| format!("icmpv6 type {{ {DISCOVERY} }} accept"));
    first.into_iter().chain(rules).collect()
}

/// Hop limit and priority are right again.
pub fn as_it_was(planes: &[PlaneRules]) -> Vec<String> {
    let used = planes.iter().any(|plane| plane.protect().is_some());
    let rule = || {
        format!(
            "meta nfproto ipv6 meta priority & {NOT_SMALL:#010x} == {LOOKED_UP:#010x} {OTHER_HOP_LIMIT} \
             meta priority set meta priority & {:#010x}",
            !NOT_SMALL
        )
    };
    used.then(rule).into_iter().collect()
}

/// The chain that stashes the addresses of a packet, bit by bit, because versions of nft do not agree on how a number is
/// copied to a mark, or whether at all. Its rules do not ask for the protocol: nft would list these fields by name then, and
/// not read it again.
pub fn put_aside() -> Vec<String> {
    let keep = "{ meta priority . meta mark }";
    let set = |(key, offset): (&str, u32), bit: u32| {
        format!("@nh,{offset},32 & {bit:#010x} != 0 {key} set {key} | {bit:#010x}")
    };
    let rules = [("meta priority", 96), ("meta mark", 128)];
    let rules = rules.into_iter().flat_map(|side| bits().map(move |bit| set(side, bit)));
    let first = "meta priority set 0 meta mark set 0".to_owned();
    let last = [format!("update @stash {keep}"), format!("@nh,128,4 0xe update @stash_multicast {keep}")];
    std::iter::once(first).chain(rules).chain(last).collect()
}

/// The chain that gives a packet the addresses that are stashed: bit by bit, because nft does not set an address from a
/// mark, and its JSON (1.0.6) knows no maps that packets fill.
pub fn unstash() -> Vec<String> {
    let sides = [("meta priority", "ip saddr"), ("meta mark", "ip daddr")];
    let set = |(key, field): (&str, &str), bit: u32| {
        format!("{key} & {bit:#010x} != 0 {field} set {field} | {}", Ipv4Addr::from(bit))
    };
    let rules = sides.into_iter().flat_map(|side| bits().map(move |bit| set(side, bit)));
    let first = "ip saddr set 0.0.0.0 ip daddr set 0.0.0.0".to_owned();
    let last = "meta mark set 0 meta priority set 0".to_owned();
    std::iter::once(first).chain(rules).chain([last]).collect()
}

/// The bits of an address, highest first.
fn bits() -> impl Iterator<Item = u32> {
    (0..32).rev().map(|bit| 1 << bit)
}
