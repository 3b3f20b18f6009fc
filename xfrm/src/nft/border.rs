//! Table `netdev gdoi`: what is held at the protected links themselves, beside a flowtable.
//!
//! Packets of a flowtable's flows skip forwarding and postrouting, and with them the rules of `inet gdoi`. So before any
//! flowtable what the list names and is not ESP is dropped as it comes in, and as it leaves: a flow can have been brought
//! into the flowtable before it was protected, by a packet that came in clear, or before NAT gave it an address of the
//! list. Only what flowtables forward is looked at: whole packets of TCP, UDP and GRE; `inet gdoi` sees the rest.
//!
//! There is a table only while there is a flowtable, and it names no link that the flowtable does not name: nft refuses all
//! of a file that names a link which is not there, so an operator's saved rules must need no other links than they did.
//!
//! Connections and what NAT made of them cannot be asked for here, so a `clear` entry counts for what it says of the packet
//! as it passes the link.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::chains::Chain;
use super::flowtables::Flowtable;
use super::interfaces::Way;
use super::list::List;
use super::matching::{conditions, View};
use super::rules::{GateRules, PlaneRules};
use super::{digest, render_chain};
use crate::model::Action;

/// Before all others.
const PRIORITY: i32 = -2_000_000_000;
/// TCP, UDP and GRE.
const FORWARDED: &str = "{ 6, 17, 47 }";

/// The table that we want.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Border {
    text: String,
}

impl Border {
    /// The table for these planes, at these links of theirs; none without a link.
    pub fn new(planes: &[PlaneRules], links: &BTreeSet<String>) -> Option<Self> {
        (!links.is_empty()).then(|| Self { text: render(planes, links) })
    }

    /// Tells this text from every other one.
    pub fn digest(&self) -> u64 {
        digest(&self.text)
    }

    /// One transaction that puts it in the place of whatever is there: each packet meets the old rules or the new ones.
    pub fn script(&self) -> String {
        format!("{}{}", removal(), self.text)
    }
}

/// What removes it, whether it is there or not.
pub fn removal() -> &'static str {
    "table netdev gdoi\ndelete table netdev gdoi\n"
}

/// Whether a flowtable sees packets before the table does.
pub fn comes_after(flowtable: &Flowtable) -> bool {
    flowtable.priority <= PRIORITY
}

fn render(planes: &[PlaneRules], links: &BTreeSet<String>) -> String {
    let devices: Vec<_> = links.iter().map(|link| format!("\"{link}\"")).collect();
    let devices = devices.join(", ");
    let mut text = String::from("table netdev gdoi {\n");
    planes.iter().flat_map(of_plane).for_each(|chain| render_chain(&mut text, &chain));
    for (name, hook, way) in [("arriving", "ingress", Way::In), ("leaving", "egress", Way::Out)] {
        let _ = writeln!(text, "\tchain {name} {{");
        let _ = writeln!(
            text,
            "\t\ttype filter hook {hook} devices = {{ {devices} }} priority {PRIORITY}; policy accept;"
        );
        rules(planes, way).iter().for_each(|rule| {
            let _ = writeln!(text, "\t\t{rule}");
        });
        text.push_str("\t}\n");
    }
    render_chain(&mut text, &Chain { name: "seal".into(), hook: None, rules: Vec::new() });
    text.push_str("}\n");
    text
}

/// What one plane passes no other plane of the same link holds.
fn rules(planes: &[PlaneRules], way: Way) -> Vec<String> {
    let [pass, hold] = names(way);
    let others = [
        format!("meta l4proto != {FORWARDED} accept"),
        "ip frag-off & 0x3fff != 0 accept".to_owned(),
        "exthdr frag exists accept".to_owned(),
    ];
    let jump = |chain: &'static str| planes.iter().flat_map(move |plane| plane.jumps(way, chain));
    others.into_iter().chain(jump(pass)).chain(jump(hold)).collect()
}

fn of_plane(plane: &PlaneRules) -> Vec<Chain> {
    let of_way = |way| {
        let [pass, hold] = names(way);
        [(pass, passed(plane, way)), (hold, held(plane, way))]
    };
    let chains = [Way::In, Way::Out].into_iter().flat_map(of_way);
    let name = |chain| format!("{chain}_{}", plane.slot.number());
    chains.map(|(chain, rules)| Chain { name: name(chain), hook: None, rules }).collect()
}

fn names(way: Way) -> [&'static str; 2] {
    match way {
        Way::In | Way::Behind => ["pass_in", "hold_in"],
        Way::Out => ["pass_out", "hold_out"],
    }
}

/// What was decrypted comes by the link once more.
fn passed(plane: &PlaneRules, way: Way) -> Vec<String> {
    let gdoi = match way {
        Way::In | Way::Behind => &plane.gdoi_in,
        Way::Out => &plane.gdoi_out,
    };
    let decrypted = match (&plane.gate, way) {
        (GateRules::Protect(_), Way::In) => Some("meta ipsec exists accept".to_owned()),
        _ => None,
    };
    let accept = |list: &List| verdicts(list, "accept", "accept");
    decrypted.into_iter().chain(accept(gdoi)).chain(accept(&plane.clear)).collect()
}

fn held(plane: &PlaneRules, way: Way) -> Vec<String> {
    let holds = match way {
        Way::In | Way::Behind => plane.holds_in(),
        Way::Out => plane.holds_out(),
    };
    match &plane.gate {
        GateRules::Closed => vec!["counter drop".to_owned()],
        GateRules::Protect(protect) if holds => verdicts(&protect.acl, "counter drop", "return"),
        GateRules::Protect(_) => Vec::new(),
    }
}

fn verdicts(list: &List, permitted: &str, denied: &str) -> Vec<String> {
    let verdict = |action| match action {
        Action::Permit => permitted,
        Action::Deny => denied,
    };
    let entries = list.entries().iter();
    entries.map(|entry| format!("{} {}", conditions(View::Frame, entry), verdict(entry.action))).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Interfaces, ProtectRules, Receivable, Stash};
    use super::*;
    use crate::model::{Mode, Slot};

    fn plane(gate: GateRules) -> PlaneRules {
        PlaneRules {
            slot: Slot::new(2).unwrap(),
            interfaces: Interfaces { name: "wan0".into(), ..Default::default() },
            gdoi_out: List::default(),
            gdoi_in: List::default(),
            clear: List::clear(&["tcp any any eq 179".parse().unwrap()]),
            gate,
        }
    }

    fn protecting(mode: Mode) -> GateRules {
        let acl = ["deny udp 10.0.0.0/8 any eq 53", "permit ip 10.0.0.0/8 10.0.0.0/8"];
        GateRules::Protect(ProtectRules {
            acl: List::new(&acl.map(|entry| entry.parse().unwrap())),
            mode,
            receivable: Receivable::default(),
            spis: BTreeSet::new(),
            restored: Vec::new(),
            stash: Stash::Everything,
            mss: None,
        })
    }

    #[test]
    fn the_list_is_held_both_ways_and_what_was_decrypted_passes() {
        let links = ["wan0".to_owned()].into();
        let text = Border::new(&[plane(protecting(Mode::Strict))], &links).unwrap().text;
        let entries = "\t\tmeta protocol ip meta l4proto 17 th dport 53 ip saddr 10.0.0.0/8 return\n\
                       \t\tmeta protocol ip ip saddr 10.0.0.0/8 ip daddr 10.0.0.0/8 counter drop\n";
        assert_eq!(text.matches(entries).count(), 2, "{text}");
        assert_eq!(text.matches("meta ipsec exists accept").count(), 1);
        assert_eq!(text.matches("meta protocol ip meta l4proto 6 th dport 179 accept").count(), 2);
        assert!(text.contains("iifname \"wan0\" jump hold_in_2") && text.contains("devices = { \"wan0\" }"));
        assert_eq!(Border::new(&[plane(protecting(Mode::Strict))], &BTreeSet::new()), None);
    }

    #[test]
    fn what_the_mode_lets_pass_in_clear_passes() {
        let held = |gate: &GateRules| {
            let plane = plane(gate.clone());
            [Way::In, Way::Out].map(|way| super::held(&plane, way).len())
        };
        assert_eq!(held(&protecting(Mode::Strict)), [2, 2]);
        assert_eq!(held(&protecting(Mode::AcceptClear)), [0, 2]);
        assert_eq!(held(&protecting(Mode::ReceiveOnly)), [0, 0]);
        assert_eq!(held(&GateRules::Closed), [1, 1]);
    }

    #[test]
    fn it_comes_before_every_flowtable_of_an_operator() {
        assert!(!comes_after(&Flowtable::of("wan0", -400)) && comes_after(&Flowtable::of("wan0", i32::MIN)));
    }
}
