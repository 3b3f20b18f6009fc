//! The rules of table `inet gdoi`, plane by plane.
//!
//! A packet on its way out meets them in this order: XFRM policy lookup (not here), `keep` (its addresses stay as they
//! are), `stash`, `guard`, encryption, `restore` (its own addresses come back), `guard` once more as ESP. On its way in:
//! `inbound`, decryption, and `require_forward` or `require_input`.

use super::inbound::{inbound, unknown_senders, Receivable};
use super::matching::{ct_original, packet, quoted_exactly, quoted_widely};
use crate::model::{Family, Selector, Slot};

/// What nftables must know of a plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaneRules {
    pub slot: Slot,
    pub interface: String,
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
    Protect { acl: Vec<Selector>, receivable: Receivable, stash: Stash },
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
pub const COUNTERS: [&str; 7] =
    ["encrypted", "decrypted", "blocked_out", "blocked_in", "bypassed", "unrestored", "unknown_sender"];
/// The chains of each plane.
pub const PLANE_CHAINS: [&str; 6] = ["restore", "pass_out", "hold_out", "pass_in", "hold_in", "senders"];

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
        base("guard", "type filter hook postrouting priority 300", guard(planes)),
        base("inbound", "type filter hook prerouting priority raw", inbound(planes)),
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

fn to_restore(plane: &PlaneRules) -> Option<String> {
    plane.stash()?;
    Some(format!("ip daddr {} jump restore_{}", plane.slot.outbound_anchor(Family::V4), plane.slot.number()))
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

/// What one plane passes no other plane of the same interface holds: groups must not lock out each other's GDOI.
fn guard(planes: &[PlaneRules]) -> Vec<String> {
    let jump = |chain: &'static str| planes.iter().map(move |plane| plane.jump("oifname", chain));
    jump("pass_out").chain(jump("hold_out")).collect()
}

fn require(planes: &[PlaneRules]) -> Vec<String> {
    let jump = |chain: &'static str| planes.iter().map(move |plane| plane.jump("iifname", chain));
    jump("pass_in").chain(jump("hold_in")).collect()
}

fn plane_chains(plane: &PlaneRules) -> [Chain; 6] {
    let rules = [
        plane.restore(),
        plane.pass_out(),
        plane.hold_out(),
        plane.pass_in(),
        plane.hold_in(),
        unknown_senders(plane),
    ];
    let mut names = PLANE_CHAINS.into_iter().map(|name| format!("{name}_{}", plane.slot.number()));
    rules.map(|rules| Chain { name: names.next().unwrap_or_default(), hook: None, rules })
}

impl PlaneRules {
    fn stash(&self) -> Option<Stash> {
        match &self.gate {
            GateRules::Closed => None,
            GateRules::Protect { stash, .. } => Some(*stash),
        }
    }

    fn jump(&self, interface: &str, chain: &str) -> String {
        format!("{interface} \"{}\" jump {chain}_{}", self.interface, self.slot.number())
    }

    fn counter(&self, name: &str) -> String {
        format!("counter name \"{name}_{}\"", self.slot.number())
    }

    fn drop(&self, name: &str) -> String {
        format!("{} drop", self.counter(name))
    }

    fn accept(&self, name: &str) -> String {
        format!("{} accept", self.counter(name))
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

    /// What was encrypted passes as untracked ESP; nothing shows an anchor address to the network.
    fn pass_out(&self) -> Vec<String> {
        let mut rules = Vec::new();
        if self.stash().is_some() {
            rules.push("ip protocol esp ct state untracked accept".into());
            rules.push(format!("ip saddr {ANCHORS} {}", self.drop("unrestored")));
            rules.push(format!("ip daddr {ANCHORS} {}", self.drop("unrestored")));
            rules.push("rt ipsec exists accept".into());
        }
        rules.extend(self.pass(&self.gdoi_out, &self.gdoi_in));
        rules
            .extend(self.clear.iter().map(|one| format!("{} {}", ct_original(one), self.accept("bypassed"))));
        rules
    }

    /// The leak guard.
    fn hold_out(&self) -> Vec<String> {
        let GateRules::Protect { acl, .. } = &self.gate else { return self.hold_all("blocked_out") };
        let mut rules = self.hold(acl, "blocked_out");
        rules.extend(acl.iter().map(|ace| format!("{} {}", ct_original(ace), self.drop("blocked_out"))));
        rules
    }

    fn pass_in(&self) -> Vec<String> {
        let mut rules = Vec::new();
        if self.stash().is_some() {
            rules.push(format!("ip protocol esp ip daddr {} accept", self.slot.inbound_anchor(Family::V4)));
            rules.push(format!("ipsec in reqid {} {}", self.slot.reqid(), self.accept("decrypted")));
        }
        rules.extend(self.pass(&self.gdoi_in, &self.gdoi_out));
        rules
    }

    fn hold_in(&self) -> Vec<String> {
        match &self.gate {
            GateRules::Closed => self.hold_all("blocked_in"),
            GateRules::Protect { acl, .. } => self.hold(acl, "blocked_in"),
        }
    }

    /// GDOI and the local deny entries, and ICMP errors about them. An error goes against its packet, so it quotes GDOI
    /// of the other direction.
    fn pass(&self, gdoi: &[Selector], gdoi_back: &[Selector]) -> Vec<String> {
        let accept = self.accept("bypassed");
        let packets = gdoi.iter().chain(&self.clear).map(|one| format!("{} {accept}", packet(one)));
        let errors = gdoi_back.iter().chain(&self.clear);
        packets.chain(errors.map(|one| format!("{ICMP_ERRORS} {} {accept}", quoted_exactly(one)))).collect()
    }

    /// Clear packets that an entry names, and clear ICMP errors that quote one: they would show a piece of it, or are
    /// forged, because nobody outside has seen it.
    fn hold(&self, acl: &[Selector], counter: &str) -> Vec<String> {
        let drop = self.drop(counter);
        let packets = acl.iter().map(|ace| format!("{} {drop}", packet(ace)));
        let errors = acl.iter().map(|ace| format!("{ICMP_ERRORS} {} {drop}", quoted_widely(ace)));
        packets.chain(errors).collect()
    }

    fn hold_all(&self, counter: &str) -> Vec<String> {
        vec![format!("{NEIGHBOUR_DISCOVERY} accept"), self.drop(counter)]
    }
}
