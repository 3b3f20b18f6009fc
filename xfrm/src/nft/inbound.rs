//! What becomes of ESP that comes in.
//!
//! Fragments need no rule: `keep` is a NAT chain, so connection tracking is active and has put them together at
//! priority -400.

use super::interfaces::{Routing, Way};
use super::known::{self, SPI, SPI_TYPE};
use super::list::List;
use super::matching::{conditions, View};
use super::rules::{name, GateRules, PlaneRules, ProtectRules, Receivable};
use crate::model::{Ace, Action, Anchors, Family, Prefix, Selector, Slot, SpiBlock};
use crate::queue::Queue;

/// Packets a second, of all planes together, whose sender the agent is asked about: enough for every sender of a large
/// group within a second, few enough that forged ones do not keep it from its other work.
const QUESTIONS: &str = "limit rate 2000/second burst 4096 packets";

/// Where packets are handed to the kernel, and where the agent is asked first.
pub const TAKE: &str = "take";
pub const ASK: &str = "ask";

/// The rules of chain `inbound`: ESP of ours is handed to the kernel.
pub fn inbound(planes: &[PlaneRules]) -> Vec<String> {
    let in_vrfs = planes.iter().any(|plane| plane.interfaces.routing == Routing::Vrf);
    let used = |anchors: &Anchors| planes.iter().any(|plane| plane.slot.anchors() == *anchors);
    let places: Vec<_> = Anchors::ALL.into_iter().filter(used).flat_map(Anchors::ranges).collect();
    let mut rules: Vec<_> = places.iter().filter(|_| in_vrfs).map(handed_before).collect();
    rules.extend(
        places.iter().map(|(name, anchors)| format!("iifname != \"lo\" {name} daddr {anchors} drop")),
    );
    for plane in planes {
        if let Some(receivable) = plane.receivable() {
            rules.extend(Family::ALL.into_iter().flat_map(|family| shared(plane, receivable, family)));
            rules.extend(receivable.blocks.iter().flat_map(|block| senders(plane, *block)));
        }
    }
    rules
}

/// ESP that has come in, whoever takes it: of the SPIs that chain `inbound` looks for.
pub fn arriving(plane: &PlaneRules) -> Vec<String> {
    let Some(receivable) = plane.receivable() else { return Vec::new() };
    let shared = Family::ALL.into_iter().flat_map(|family| shared_esp(plane, receivable, family));
    let all = shared.chain(receivable.blocks.iter().flat_map(|block| block_esp(plane, *block)));
    all.map(|esp| format!("{esp} {}", plane.counter("esp_arrived"))).collect()
}

/// What was handed to the kernel at a link of a VRF comes again at the VRF, and only that is untracked there.
fn handed_before((name, anchors): &(&str, &str)) -> String {
    format!("{name} daddr {anchors} meta iifkind \"vrf\" ct state untracked accept")
}

/// The rules of a plane's chain `senders`: packets of known senders go on, whatever they carry (an ICMP error about
/// protected traffic has addresses that no list names). What the list names waits for the agent's word; while there is no
/// agent it is dropped. The rest is somebody else's, and only its SPI is like ours.
pub fn unknown_senders(plane: &PlaneRules) -> Vec<String> {
    let Some(protect) = plane.on_demand() else { return Vec::new() };
    let (slot, number) = (plane.slot, plane.slot.number());
    let known = format!("{SPI} @{} {} goto {TAKE}_{number}", known::name(slot), plane.counter("esp_taken"));
    let named = named(protect, View::Packet, &format!("goto {ASK}_{number}"));
    std::iter::once(known).chain(named).collect()
}

/// The rules of a plane's chain `take`: the packet is handed to the kernel.
pub fn take(plane: &PlaneRules) -> Vec<String> {
    let hand = |family| format!("{} accept", to_anchor(plane, family));
    plane.on_demand().map_or(Vec::new(), |_| Family::ALL.map(hand).into())
}

/// The rules of a plane's chain `ask`: the agent is asked whose packet it is.
pub fn ask(plane: &PlaneRules) -> Vec<String> {
    let Some(_) = plane.on_demand() else { return Vec::new() };
    let mut rules: Vec<_> = Family::ALL.map(|family| to_anchor(plane, family)).into();
    let counter = format!("counter name \"unknown_sender_{}\"", plane.slot.number());
    rules.push(format!("{counter} {QUESTIONS} queue to {}", Queue::NUMBER));
    rules.push("drop".into());
    rules
}

/// The rules of a plane's chain `too_big`, which is for what quotes ESP with an SPI of one of the plane's blocks: the rest is
/// about ESP of somebody else.
pub fn too_big(plane: &PlaneRules) -> Vec<String> {
    let next = format!("goto {TAKE}_{}", plane.slot.number());
    plane.on_demand().map_or(Vec::new(), |protect| named(protect, View::Quoted, &next))
}

/// What the list can name of ESP, which shows its addresses only: an entry that denies some ports of two addresses says
/// nothing of it.
fn named(protect: &ProtectRules, view: View, next: &str) -> Vec<String> {
    let verdict = |action| match action {
        Action::Permit => next,
        Action::Deny => "return",
    };
    let entries: Vec<_> = protect.acl.entries().iter().filter_map(addresses).collect();
    let list = List::new(&entries);
    list.entries()
        .iter()
        .map(|entry| format!("{} {}", conditions(view, entry), verdict(entry.action)))
        .collect()
}

/// IPv4 to a multicast group is encrypted whatever its source.
fn addresses(entry: &Ace) -> Option<Ace> {
    let (source, destination) = (entry.selector.source().prefix, entry.selector.destination().prefix);
    let any_source = entry.action == Action::Permit && Prefix::multicast(Family::V4).covers(&destination);
    let source = if any_source { Prefix::any(Family::V4) } else { source };
    let selector = Selector::new(None, source.into(), destination.into()).ok()?;
    let says = entry.action == Action::Permit || entry.selector.protocol().is_none();
    says.then_some(Ace { action: entry.action, selector })
}

/// The set that these rules ask.
pub fn known_senders(slot: Slot) -> String {
    format!("\tset {} {{\n\t\ttype {SPI_TYPE}\n\t}}\n", known::name(slot))
}

fn shared(plane: &PlaneRules, receivable: &Receivable, family: Family) -> Vec<String> {
    let counted = ["esp_raw", "esp_taken"].map(|name| plane.counter(name)).join(" ");
    let next = format!("{counted} {} accept", to_anchor(plane, family));
    shared_esp(plane, receivable, family).into_iter().map(|esp| format!("{esp} {next}")).collect()
}

fn shared_esp(plane: &PlaneRules, receivable: &Receivable, family: Family) -> Vec<String> {
    let spis = receivable.shared.iter().filter(|(of, _)| *of == family);
    let list = spis.map(|(_, spi)| spi.to_string()).collect::<Vec<_>>().join(", ");
    if list.is_empty() {
        return Vec::new();
    }
    let protocol = match family {
        Family::V4 => "ip protocol esp",
        Family::V6 => "meta nfproto ipv6 meta l4proto esp",
    };
    let rule = |condition| format!("{condition} {protocol} esp spi {{ {list} }}");
    plane.interfaces.served(Way::In).into_iter().map(rule).collect()
}

fn senders(plane: &PlaneRules, block: SpiBlock) -> Vec<String> {
    let next = format!("{} jump senders_{}", plane.counter("esp_raw"), plane.slot.number());
    block_esp(plane, block).into_iter().map(|esp| format!("{esp} {next}")).collect()
}

fn block_esp(plane: &PlaneRules, block: SpiBlock) -> Vec<String> {
    let (mask, base) = (block.mask(), block.base());
    let rule = |condition| format!("{condition} meta l4proto esp esp spi & {mask:#010x} == {base}");
    plane.interfaces.served(Way::In).into_iter().map(rule).collect()
}

fn to_anchor(plane: &PlaneRules, family: Family) -> String {
    format!("{} daddr set {} notrack", name(family), plane.slot.inbound_anchor(family))
}

impl PlaneRules {
    /// Where senders are received on demand.
    fn on_demand(&self) -> Option<&ProtectRules> {
        match &self.gate {
            GateRules::Protect(protect) => {
                Some(protect).filter(|protect| !protect.receivable.blocks.is_empty())
            }
            GateRules::Closed => None,
        }
    }

    fn receivable(&self) -> Option<&Receivable> {
        match &self.gate {
            GateRules::Protect(protect) => Some(&protect.receivable),
            GateRules::Closed => None,
        }
    }
}
