//! The rules of table `inet gdoi`, plane by plane.
//!
//! A packet on its way out meets them in this order: XFRM policy lookup (not here), `keep` (its addresses stay as they
//! are), `stash`, `guard`, encryption, `restore` (its own addresses come back), `guard` once more as ESP. On its way in:
//! `inbound`, decryption, and `require` in the forward or input hook.

use std::fmt::Write;
use std::net::Ipv4Addr;

use super::matching::{ct_original, packet, quoted_exactly, quoted_widely};
use crate::model::{Selector, Slot, Spi};

/// What nftables must know of a plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaneRules {
    pub slot: Slot,
    pub interface: String,
    pub local: Ipv4Addr,
    /// GDOI as this router sends it.
    pub gdoi_out: Vec<Selector>,
    /// GDOI as this router receives it.
    pub gdoi_in: Vec<Selector>,
    pub clear: Vec<Selector>,
    pub gate: GateRules,
}

/// What happens to the rest of a plane's traffic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GateRules {
    Closed,
    Protect { acl: Vec<Selector>, receivable: Vec<Spi>, stash: Stash },
}

/// Which packets have their addresses put aside before encryption, because `restore` will see only cipher text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stash {
    /// Packets that may be fragmented and are longer than this many octets: they are encrypted before the output hook.
    /// All others are encrypted behind it by esp4_offload.
    Oversize(u32),
    /// All, because this kernel has no esp4_offload.
    Everything,
}

/// A chain: a base chain when it has a hook.
pub struct Chain {
    pub name: String,
    pub hook: Option<&'static str>,
    pub rules: Vec<String>,
}

/// The named counters of each plane.
pub const COUNTERS: [&str; 6] =
    ["encrypted", "decrypted", "blocked_out", "blocked_in", "bypassed", "unrestored"];
/// The chains of each plane.
pub const PLANE_CHAINS: [&str; 5] = ["restore", "out", "errors_out", "in", "errors_in"];

const ANCHORS: &str = "192.0.0.84-192.0.0.167";
/// The ICMP messages that quote the packet they are about.
const ICMP_ERRORS: &str =
    "icmp type { destination-unreachable, source-quench, redirect, time-exceeded, parameter-problem }";
const NEIGHBOUR_DISCOVERY: &str =
    "icmpv6 type { nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert }";

/// All chains of the table.
pub fn chains(planes: &[PlaneRules]) -> Vec<Chain> {
    let mut chains = vec![
        base(
            "restore",
            "type route hook output priority raw",
            planes.iter().filter_map(to_restore).collect(),
        ),
        // Binds protected flows to their own addresses just before the operator's NAT could do otherwise.
        base(
            "keep",
            "type nat hook postrouting priority srcnat - 1",
            planes.iter().filter_map(keep).collect(),
        ),
        base("stash", "type filter hook postrouting priority 250", planes.iter().filter_map(stash).collect()),
        base("guard", "type filter hook postrouting priority 300", planes.iter().map(to_guard).collect()),
        base("inbound", "type filter hook prerouting priority raw", inbound(planes)),
        base(
            "require_forward",
            "type filter hook forward priority filter",
            planes.iter().map(to_require).collect(),
        ),
        base(
            "require_input",
            "type filter hook input priority filter",
            planes.iter().map(to_require).collect(),
        ),
    ];
    chains.extend(planes.iter().flat_map(plane_chains));
    chains.push(Chain { name: "seal".into(), hook: None, rules: Vec::new() });
    chains
}

fn base(name: &str, hook: &'static str, rules: Vec<String>) -> Chain {
    Chain { name: name.into(), hook: Some(hook), rules }
}

fn to_restore(plane: &PlaneRules) -> Option<String> {
    plane.stash()?;
    Some(format!("ip daddr {} jump restore_{}", plane.slot.outbound_anchor(), plane.slot.number()))
}

fn keep(plane: &PlaneRules) -> Option<String> {
    plane.stash()?;
    Some(format!(
        "oifname \"{}\" ipsec out reqid {} snat ip to ip saddr",
        plane.interface,
        plane.slot.reqid()
    ))
}

/// Priority and mark are all that a packet carries through encryption, so they carry its two addresses. The maps map
/// each value to itself and exist because nft does not set an address from a mark. Both are zero again after `restore`.
fn stash(plane: &PlaneRules) -> Option<String> {
    let condition = match plane.stash()? {
        Stash::Oversize(octets) => format!(" ip frag-off & 0x4000 == 0 meta length > {octets}"),
        Stash::Everything => String::new(),
    };
    Some(format!(
        "oifname \"{}\" meta nfproto ipv4 ipsec out reqid {}{condition} \
         meta priority set @nh,96,32 meta mark set @nh,128,32 \
         update @stash_source {{ meta priority : ip saddr }} update @stash_destination {{ meta mark : ip daddr }}",
        plane.interface,
        plane.slot.reqid()
    ))
}

fn to_guard(plane: &PlaneRules) -> String {
    format!("oifname \"{}\" jump out_{}", plane.interface, plane.slot.number())
}

fn to_require(plane: &PlaneRules) -> String {
    format!("iifname \"{}\" jump in_{}", plane.interface, plane.slot.number())
}

/// ESP of ours is handed to the kernel. Fragments need no rule: `keep` is a NAT chain, so connection tracking is
/// active and has put them together at priority -400.
fn inbound(planes: &[PlaneRules]) -> Vec<String> {
    let mut rules = vec![format!("iifname != \"lo\" ip daddr {ANCHORS} drop")];
    rules.extend(planes.iter().filter_map(|plane| match &plane.gate {
        GateRules::Protect { receivable, .. } if !receivable.is_empty() => Some(format!(
            "iifname \"{}\" ip protocol esp esp spi {{ {} }} ip daddr set {} notrack accept",
            plane.interface,
            list(receivable),
            plane.slot.inbound_anchor()
        )),
        _ => None,
    }));
    rules
}

fn list(spis: &[Spi]) -> String {
    let mut text = String::new();
    for spi in spis {
        let separator = if text.is_empty() { "" } else { ", " };
        let _ = write!(text, "{separator}{spi}");
    }
    text
}

fn plane_chains(plane: &PlaneRules) -> [Chain; 5] {
    let chain =
        |name: &str, rules| Chain { name: format!("{name}_{}", plane.slot.number()), hook: None, rules };
    let [restore, out, errors_out, in_, errors_in] = PLANE_CHAINS;
    [
        chain(restore, plane.restore()),
        chain(out, plane.out()),
        chain(errors_out, plane.errors(&plane.gdoi_in, "blocked_out")),
        chain(in_, plane.incoming()),
        chain(errors_in, plane.errors(&plane.gdoi_out, "blocked_in")),
    ]
}

impl PlaneRules {
    fn stash(&self) -> Option<Stash> {
        match &self.gate {
            GateRules::Closed => None,
            GateRules::Protect { stash, .. } => Some(*stash),
        }
    }

    fn counter(&self, name: &str) -> String {
        format!("counter name \"{name}_{}\"", self.slot.number())
    }

    fn drop(&self, name: &str) -> String {
        format!("{} drop", self.counter(name))
    }

    fn pass(&self) -> String {
        format!("{} accept", self.counter("bypassed"))
    }

    /// Copies the inner addresses over the outer ones: octets 12 to 19 behind ESP header (8) and IV (16). Before that
    /// the stash is asked, and cipher text (the inner header does not begin with version 4) is not copied.
    fn restore(&self) -> Vec<String> {
        let done = format!("notrack {} accept", self.counter("encrypted"));
        let stashed = format!(
            "ip protocol esp meta mark != 0 ip saddr set meta priority map @stash_source \
             ip daddr set meta mark map @stash_destination meta mark set 0 meta priority set 0 {done}"
        );
        let copied =
            format!("ip protocol esp @th,192,4 4 ip saddr set @th,288,32 ip daddr set @th,320,32 {done}");
        match self.stash() {
            None => Vec::new(),
            Some(Stash::Everything) => vec![stashed, self.drop("unrestored")],
            Some(Stash::Oversize(_)) => vec![stashed, copied, self.drop("unrestored")],
        }
    }

    /// The leak guard. What was encrypted passes as untracked ESP; nothing shows an anchor address to the network.
    fn out(&self) -> Vec<String> {
        let mut rules = Vec::new();
        if self.stash().is_some() {
            rules.push("ip protocol esp ct state untracked accept".into());
            rules.push(format!("ip saddr {ANCHORS} {}", self.drop("unrestored")));
            rules.push(format!("ip daddr {ANCHORS} {}", self.drop("unrestored")));
        }
        rules.extend(self.gdoi_out.iter().map(|selector| format!("{} {}", packet(selector), self.pass())));
        rules.extend(self.clear.iter().map(|selector| format!("{} {}", packet(selector), self.pass())));
        rules.extend(self.clear.iter().map(|selector| format!("{} {}", ct_original(selector), self.pass())));
        match &self.gate {
            GateRules::Closed => rules.extend(self.closed("errors_out", "blocked_out")),
            GateRules::Protect { acl, .. } => {
                rules.push("rt ipsec exists accept".into());
                rules.push(format!("{ICMP_ERRORS} jump errors_out_{}", self.slot.number()));
                rules.extend(acl.iter().map(|ace| format!("{} {}", packet(ace), self.drop("blocked_out"))));
                rules.extend(
                    acl.iter().map(|ace| format!("{} {}", ct_original(ace), self.drop("blocked_out"))),
                );
            }
        }
        rules
    }

    fn incoming(&self) -> Vec<String> {
        let mut rules = Vec::new();
        if self.stash().is_some() {
            rules.push(format!("ip protocol esp ip daddr {} accept", self.slot.inbound_anchor()));
            rules.push(format!("meta ipsec exists {} accept", self.counter("decrypted")));
        }
        rules.extend(self.gdoi_in.iter().map(|selector| format!("{} {}", packet(selector), self.pass())));
        rules.extend(self.clear.iter().map(|selector| format!("{} {}", packet(selector), self.pass())));
        match &self.gate {
            GateRules::Closed => rules.extend(self.closed("errors_in", "blocked_in")),
            GateRules::Protect { acl, .. } => {
                rules.push(format!("{ICMP_ERRORS} jump errors_in_{}", self.slot.number()));
                rules.extend(acl.iter().map(|ace| format!("{} {}", packet(ace), self.drop("blocked_in"))));
            }
        }
        rules
    }

    fn closed(&self, errors: &str, blocked: &str) -> [String; 3] {
        [
            format!("{NEIGHBOUR_DISCOVERY} accept"),
            format!("{ICMP_ERRORS} jump {errors}_{}", self.slot.number()),
            self.drop(blocked),
        ]
    }

    /// ICMP errors in clear, judged by the packet they quote: one about clear traffic passes even where its own
    /// addresses match an entry; one about protected traffic would show a piece of it, or is forged.
    fn errors(&self, gdoi: &[Selector], blocked: &str) -> Vec<String> {
        let clear = gdoi.iter().chain(&self.clear);
        let mut rules: Vec<_> = clear.map(|one| format!("{} {}", quoted_exactly(one), self.pass())).collect();
        if let GateRules::Protect { acl, .. } = &self.gate {
            rules.extend(acl.iter().map(|ace| format!("{} {}", quoted_widely(ace), self.drop(blocked))));
        }
        rules
    }
}
