//! What becomes of ESP that comes in.
//!
//! Fragments need no rule: `keep` is a NAT chain, so connection tracking is active and has put them together at
//! priority -400.

use super::interfaces::Way;
use super::known;
use super::rules::{name, GateRules, PlaneRules, Receivable, ANCHORS};
use crate::model::{Family, Slot, SpiBlock};
use crate::queue::Queue;

/// Packets a second, of all planes together, whose sender the agent is asked about: enough for every sender of a large
/// group within a second, few enough that forged ones do not keep it from its other work.
const QUESTIONS: &str = "limit rate 2000/second burst 4096 packets";

/// The rules of chain `inbound`: ESP of ours is handed to the kernel.
pub fn inbound(planes: &[PlaneRules]) -> Vec<String> {
    let mut rules: Vec<_> = ANCHORS
        .iter()
        .map(|(name, anchors)| format!("iifname != \"lo\" {name} daddr {anchors} drop"))
        .collect();
    for plane in planes {
        if let Some(receivable) = plane.receivable() {
            rules.extend(Family::ALL.into_iter().flat_map(|family| shared(plane, receivable, family)));
            rules.extend(receivable.blocks.iter().flat_map(|block| senders(plane, *block)));
        }
    }
    rules
}

/// The rules of a plane's chain `senders`: packets of known senders go on, others wait for the agent's word. While there
/// is no agent they are dropped.
pub fn unknown_senders(plane: &PlaneRules) -> Vec<String> {
    match plane.receivable() {
        Some(receivable) if !receivable.blocks.is_empty() => vec![
            format!("esp spi @{} accept", known::name(plane.slot)),
            format!(
                "counter name \"unknown_sender_{}\" {QUESTIONS} queue to {}",
                plane.slot.number(),
                Queue::NUMBER
            ),
            "drop".into(),
        ],
        _ => Vec::new(),
    }
}

/// The set that these rules ask.
pub fn known_senders(slot: Slot) -> String {
    format!("\tset {} {{\n\t\ttypeof esp spi\n\t}}\n", known::name(slot))
}

fn shared(plane: &PlaneRules, receivable: &Receivable, family: Family) -> Vec<String> {
    let spis = receivable.shared.iter().filter(|(of, _)| *of == family);
    let list = spis.map(|(_, spi)| spi.to_string()).collect::<Vec<_>>().join(", ");
    match list.is_empty() {
        true => Vec::new(),
        false => hand_over(plane, family, &format!("{{ {list} }}"), "accept"),
    }
}

fn senders(plane: &PlaneRules, block: SpiBlock) -> Vec<String> {
    let spis = format!("& {:#010x} == {}", block.mask(), block.base());
    let next = format!("goto senders_{}", plane.slot.number());
    Family::ALL.into_iter().flat_map(|family| hand_over(plane, family, &spis, &next)).collect()
}

fn hand_over(plane: &PlaneRules, family: Family, spis: &str, next: &str) -> Vec<String> {
    let (header, anchor) = (name(family), plane.slot.inbound_anchor(family));
    let protocol = match family {
        Family::V4 => "ip protocol esp",
        Family::V6 => "meta nfproto ipv6 meta l4proto esp",
    };
    let rule = |condition| {
        format!("{condition} {protocol} esp spi {spis} {header} daddr set {anchor} notrack {next}")
    };
    plane.interfaces.served(Way::In).into_iter().map(rule).collect()
}

impl PlaneRules {
    fn receivable(&self) -> Option<&Receivable> {
        match &self.gate {
            GateRules::Protect(protect) => Some(&protect.receivable),
            GateRules::Closed => None,
        }
    }
}
