//! Rules around encryption: what puts the addresses of a packet aside, what brings them back, and what depends on its
//! length.

use super::{name, GateRules, PlaneRules, ProtectRules, Stash};
use crate::model::{Family, Lane, SpiBlock};
use crate::nft::interfaces::Way;
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

    /// Copies the inner addresses over the outer ones.
    fn copies(&self) -> String {
        let name = name(self.family);
        let (source, bits) = match self.family {
            Family::V4 => (self.inner() + 96, 32),
            Family::V6 => (self.inner() + 64, 128),
        };
        format!("{name} saddr set @th,{source},{bits} {name} daddr set @th,{},{bits}", source + bits)
    }
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

    /// For IPv6 that the router itself sends, the kernel looks for policies before it knows the interface, and finds none
    /// that is limited to one. A changed hop limit makes it look again.
    pub fn look_again(&self) -> Vec<String> {
        let Some(_) = self.protect() else { return Vec::new() };
        let rules = |condition: String| {
            let packets = format!(
                "{condition} ip6 hoplimit != {{ 1, 255 }} ip6 daddr != {{ fe80::/10, ff00::/8 }} meta l4proto != esp \
                 rt ipsec missing"
            );
            [
                format!("{packets} ip6 hoplimit 64 ip6 hoplimit set 63 accept"),
                format!("{packets} ip6 hoplimit set 64 accept"),
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
    fn sent_protected(&self) -> Vec<String> {
        let packets = |condition| format!("{condition} ipsec out reqid {}", self.slot.reqid());
        self.interfaces.served(Way::Out).into_iter().map(packets).collect()
    }

    /// Priority and mark are all that a packet carries through encryption, so they carry its two addresses. The maps map
    /// each value to itself and exist because nft does not set an address from a mark. Both are zero again after
    /// `restore`.
    pub fn put_aside(&self) -> Vec<String> {
        let Some(protect) = self.protect() else { return Vec::new() };
        let condition = match protect.stash {
            Stash::Oversize(octets) => {
                format!("ip frag-off & 0x4000 == 0 meta length > {octets} {} ", self.counter("oversize"))
            }
            Stash::Everything => String::new(),
        };
        let rules = |sent: String| {
            [
                format!(
                    "{sent} meta nfproto ipv4 {condition}meta priority set @nh,96,32 meta mark set @nh,128,32 \
                     update @stash_source {{ meta priority : ip saddr }} \
                     update @stash_destination {{ meta mark : ip daddr }} update @stashed {{ meta mark }}"
                ),
                format!("{sent} ip daddr 224.0.0.0/4 meta mark != 0 update @stash_multicast {{ meta mark }}"),
            ]
        };
        self.sent_protected().into_iter().flat_map(rules).collect()
    }

    /// The stash is asked first; cipher text (no inner header of the right version) is not copied.
    pub fn restore(&self) -> Vec<String> {
        let Some(protect) = self.protect() else { return Vec::new() };
        let copied = protect.restored.iter().map(|one| format!("{} {}", one.matches(), one.copies()));
        let rules = std::iter::once(stashed("meta mark != 0")).chain(copied);
        let mut rules: Vec<_> = rules.map(|rule| self.restored(&rule)).collect();
        rules.push(self.drop("unrestored"));
        rules
    }

    pub fn restore_multicast(&self) -> Vec<String> {
        let Some(protect) = self.protect() else { return Vec::new() };
        let copied = protect
            .restored
            .iter()
            .map(|one| format!("{} {} {}", one.matches(), one.is_multicast(), one.copies()));
        let mut rules: Vec<_> = copied.map(|rule| self.restored(&rule)).collect();
        // What is stashed is cipher text, and one in 256 such packets looks like a multicast packet inside.
        rules.insert(0, "meta mark @stashed return".into());
        rules.insert(0, self.restored(&stashed("meta mark @stash_multicast")));
        rules
    }

    fn restored(&self, rule: &str) -> String {
        format!("{rule} notrack {}", self.accept("encrypted"))
    }

    /// Lowers the segment size that the two ends of a connection announce; nft never raises it.
    pub fn clamp_out(&self) -> Vec<String> {
        self.clamp(self.sent_protected())
    }

    pub fn clamp_in(&self) -> Vec<String> {
        let packets = |condition| format!("{condition} ipsec in reqid {}", self.slot.reqid());
        self.clamp(self.interfaces.served(Way::In).into_iter().map(packets).collect())
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
        protect.spis.iter().flat_map(|(family, spis)| self.hand_to_agent(*family, *spis)).collect()
    }

    /// The quoted header lies behind 8 octets of ICMP, and the SPI behind it.
    fn hand_to_agent(&self, family: Family, spis: SpiBlock) -> Vec<String> {
        let quoted = match family {
            Family::V4 => "icmp type destination-unreachable icmp code 4 @th,136,8 50 @th,224,32",
            Family::V6 => "icmpv6 type packet-too-big @th,112,8 50 @th,384,32",
        };
        let (mask, base) = (spis.mask(), spis.base());
        let (header, anchor) = (name(family), self.slot.inbound_anchor(family));
        let rule = |condition| {
            format!(
                "{condition} {quoted} & {mask:#010x} == {base} {header} daddr set {anchor} notrack accept"
            )
        };
        self.interfaces.served(Way::In).into_iter().map(rule).collect()
    }
}

fn stashed(condition: &str) -> String {
    format!(
        "meta nfproto ipv4 meta l4proto esp {condition} ip saddr set meta priority map @stash_source \
         ip daddr set meta mark map @stash_destination meta mark set 0 meta priority set 0"
    )
}
