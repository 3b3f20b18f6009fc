//! Table `inet gdoi`, and beside flowtables table `netdev gdoi`: the only place that knows nftables. Each is written as nft's own text, which goes to `nft -f -`, which
//! applies all of it or nothing.
//!
//! Operators save what `nft list ruleset` prints, with our table in it, and load it at boot. So every rule is one that nft
//! reads as it lists it, as text and as JSON, from 1.0.6 on: a kernel test holds this for each of them.

mod border;
mod chains;
mod counted;
mod flowtables;
mod generation;
mod held;
mod inbound;
mod interfaces;
mod known;
mod list;
mod matching;
mod news;
mod process;
mod program;
mod rules;
mod strays;

use std::fmt::Write;

use crate::model::Slot;

pub use border::{comes_after, Border};
use chains::{Chain, PLANE_CHAINS};
pub use flowtables::Flowtable;
pub use held::{Held, Tables};
pub use interfaces::{Interfaces, Routing};
pub use list::List;
pub use process::{Nft, Patience};
pub use program::{check, check_border, held, write};
pub use rules::{GateRules, PlaneRules, ProtectRules, Receivable, Restored, Stash, COUNTERS};

/// The table that we want.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Everything between the braces, and the braces.
    text: String,
    slots: Slots,
    /// Those that keep nothing from leaving.
    passing: Slots,
    /// Those that pass nothing but GDOI and local lists.
    closed: Slots,
}

/// The table that the kernel holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeldTable {
    /// Digest of the text it was made from; none when nobody sealed it or something was changed since.
    pub digest: Option<u64>,
    /// The planes it serves.
    pub slots: Slots,
    /// Those of them that keep nothing from leaving, because their groups only receive.
    pub passing: Slots,
    /// Those of them that pass nothing but GDOI and local lists, whatever else is left of what protected.
    pub closed: Slots,
}

/// A set of planes, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slots(pub u128);

impl Table {
    /// The table for these planes; none when nothing must be held.
    pub fn new(planes: &[PlaneRules]) -> Option<Self> {
        let slots = Slots::of(planes.iter());
        let passing = Slots::of(planes.iter().filter(|plane| plane.only_receives()));
        let closed = Slots::of(planes.iter().filter(|plane| plane.gate == GateRules::Closed));
        (!planes.is_empty()).then(|| Self { text: render(planes), slots, passing, closed })
    }

    /// Tells this text from every other one. Not a cryptographic digest: it is compared with root's own doing.
    pub fn digest(&self) -> u64 {
        digest(&self.text)
    }

    /// The planes it serves.
    pub fn slots(&self) -> Slots {
        self.slots
    }

    /// Those of them that keep nothing from leaving.
    pub fn passing(&self) -> Slots {
        self.passing
    }

    /// Those of them that pass nothing but GDOI and local lists.
    pub fn closed(&self) -> Slots {
        self.closed
    }

    /// One transaction that puts this table in the place of `held`.
    ///
    /// A table that is as we left it is flushed and filled again: its chains stay registered, each packet meets the old
    /// or the new rules of a chain and never none, and its counters go on. A table that somebody changed is replaced.
    pub fn script(&self, held: Option<&HeldTable>) -> String {
        match held {
            Some(HeldTable { digest: Some(_), slots, .. }) => {
                format!("flush table inet gdoi\n{}{}", forget(slots.without(self.slots)), self.text)
            }
            _ => format!("table inet gdoi\ndelete table inet gdoi\n{}", self.text),
        }
    }
}

impl Slots {
    fn of<'a>(planes: impl Iterator<Item = &'a PlaneRules>) -> Self {
        Self(planes.fold(0, |bits, plane| bits | 1 << plane.slot.number()))
    }

    fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether the plane is one of them.
    pub fn contains(self, slot: Slot) -> bool {
        self.0 & 1 << slot.number() != 0
    }

    pub fn iter(self) -> impl Iterator<Item = Slot> {
        Slot::all().filter(move |slot| self.contains(*slot))
    }
}

fn forget(slots: Slots) -> String {
    let mut text = String::new();
    for slot in slots.iter() {
        for (kind, names) in [("chain", &PLANE_CHAINS[..]), ("counter", &COUNTERS[..])] {
            for name in names {
                // A table of an earlier version need not have it.
                let place = format!("{kind} inet gdoi {name}_{}", slot.number());
                let _ = writeln!(text, "add {place}\ndelete {place}");
            }
        }
        let _ = writeln!(text, "delete set inet gdoi {}", known::name(slot));
        let _ = writeln!(text, "{}", strays::forget(slot));
    }
    text
}

fn render(planes: &[PlaneRules]) -> String {
    let mut text = String::from("table inet gdoi {\n");
    for name in ["stash", "stash_multicast"] {
        let _ = writeln!(text, "\tset {name} {{");
        let _ =
            writeln!(text, "\t\ttypeof meta priority . meta mark\n\t\tsize 65536\n\t\tflags dynamic,timeout");
        let _ = writeln!(text, "\t\ttimeout 10s\n\t}}");
    }
    for plane in planes {
        for name in COUNTERS {
            let _ = writeln!(text, "\tcounter {name}_{} {{ }}", plane.slot.number());
        }
        text.push_str(&inbound::known_senders(plane.slot));
        text.push_str(&strays::set(plane.slot));
    }
    chains::chains(planes).iter().for_each(|chain| render_chain(&mut text, chain));
    text.push_str("}\n");
    text
}

fn render_chain(text: &mut String, chain: &Chain) {
    let _ = writeln!(text, "\tchain {} {{", chain.name);
    if let Some(hook) = chain.hook {
        let _ = writeln!(text, "\t\t{hook}; policy accept;");
    }
    for rule in &chain.rules {
        let _ = writeln!(text, "\t\t{rule}");
    }
    text.push_str("\t}\n");
}

/// FNV-1a, 64 bits.
fn digest(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |sum, octet| (sum ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3))
}
