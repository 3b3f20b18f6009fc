//! What the kernel holds, as it was read.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::model::{is_named, Family, Kept, Plane, Slot, Spi};
use crate::nft::{Flowtable, HeldTable};
use crate::object::{
    Direction, ForeignPolicy, HeldInterface, HeldPolicy, HeldState, Link, Rank, Route, Verdict,
};
use crate::used::Used;

/// What the kernel holds of ours, and what of its own it depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Installed {
    pub(crate) links: Vec<Link>,
    /// What planes have protected.
    pub(crate) kept: Kept,
    pub(crate) interfaces: Vec<HeldInterface>,
    pub(crate) states: Vec<HeldState>,
    pub(crate) policies: Vec<HeldPolicy>,
    /// Those of others.
    pub(crate) foreign: Vec<ForeignPolicy>,
    pub(crate) routes: Vec<Route>,
    pub(crate) table: Option<HeldTable>,
    /// What holds beside flowtables.
    pub(crate) border: Option<HeldTable>,
    /// Whosesoever.
    pub(crate) flowtables: Vec<Flowtable>,
    /// The known senders of the planes that the table serves.
    pub(crate) known: BTreeMap<Slot, BTreeSet<Spi>>,
    pub(crate) offload: Offload,
    /// What one sender's outbound states were added with, as far as this process knows, whether they are still there or not.
    pub(crate) used: Used,
    /// When this was so, in seconds since 1970.
    pub(crate) now: u64,
}

/// Whether packets are encrypted behind the output hook, so that nftables can read their own header there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Offload {
    /// The module esp4_offload; without it addresses of all IPv4 packets must be put aside before encryption.
    pub v4: Module,
    /// The module esp6_offload; without it IPv6 cannot be sent.
    pub v6: Module,
}

/// A part of the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Module {
    #[default]
    Present,
    Missing,
}

/// A plane that protects right now, perhaps left by an agent that was killed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protecting {
    /// The plane.
    pub slot: Slot,
    /// Its interface.
    pub interface: String,
    /// The interface's index.
    pub index: u32,
    /// SPIs that can be received.
    pub inbound: Vec<Spi>,
    /// The SPI that is sent with; none while traffic is blocked.
    pub outbound: Option<Spi>,
    /// How many policies keep back what would leave in clear: none only where the group sends in clear.
    pub policies: usize,
}

impl Installed {
    /// The planes that protect their interface without any help of ours. A table that somebody changed vouches for
    /// nothing, and neither does one alone: when somebody removes it, policies must hold.
    pub fn protecting(&self) -> Vec<Protecting> {
        let Some(table) = self.table.filter(|table| table.digest.is_some()) else { return Vec::new() };
        let outward = self.routes.iter().filter(|route| route.direction == Direction::Outbound);
        let mut planes = BTreeSet::new();
        let serves = |slot| table.slots.contains(slot) && !table.closed.contains(slot);
        let served = outward.filter(|route| serves(route.slot) && planes.insert(route.slot));
        let protecting = served.filter_map(|route| self.protecting_plane(route));
        protecting.filter(|plane| plane.policies > 0 || table.passing.contains(plane.slot)).collect()
    }

    /// Whether something is left of a plane that protected.
    pub fn has_protected(&self, slot: Slot) -> bool {
        self.routes.iter().any(|route| route.slot == slot && route.direction == Direction::Outbound)
    }

    /// Whether the kernel holds nothing of ours.
    pub fn is_empty(&self) -> bool {
        self.states.is_empty()
            && self.policies.is_empty()
            && self.routes.is_empty()
            && self.interfaces.is_empty()
            && self.table.is_none()
            && self.border.is_none()
    }

    /// The links that a plane protects: masters before their ports, which have no packets of their own, those of its name
    /// before others, and those that are up before others.
    pub(crate) fn links_of(&self, plane: &Plane) -> Vec<&Link> {
        let covered = |link: &&Link| self.covers(plane, link);
        let mut links: Vec<_> = self.links.iter().filter(covered).collect();
        let level = |link: &Link| Reverse(self.kept.level(plane.slot, link.index).unwrap_or(0));
        links.sort_by_key(|link| (level(link), !is_named(&plane.interface, &link.name), !link.up));
        links
    }

    /// Whether a plane protects a link.
    pub(crate) fn covers(&self, plane: &Plane, link: &Link) -> bool {
        is_named(&plane.interface, &link.name) || self.kept.has(plane.slot, link.index)
    }

    fn protecting_plane(&self, route: &Route) -> Option<Protecting> {
        let interface = self.links.iter().find(|link| link.index == route.interface)?.name.clone();
        let verdicts = self.policies.iter().filter_map(|held| held.content.as_ref());
        let outward: Vec<_> = verdicts
            .filter(|one| one.key.interface == Some(route.interface) && one.rank != Rank::Closed)
            .map(|one| &one.verdict)
            .collect();
        let outbound = self.spis(route.slot, Direction::Outbound);
        let policies = outward.iter().filter(|verdict| verdict.holds(route.slot)).count();
        Some(Protecting {
            slot: route.slot,
            interface,
            index: route.interface,
            inbound: self.spis(route.slot, Direction::Inbound),
            outbound: outward.iter().find_map(|verdict| match verdict {
                Verdict::Encrypt(slot, spi) if *slot == route.slot => outbound.contains(spi).then_some(*spi),
                _ => None,
            }),
            policies,
        })
    }

    fn spis(&self, slot: Slot, direction: Direction) -> Vec<Spi> {
        let states = self.states.iter().filter(|held| held.id.slot == slot && held.id.direction == direction);
        states.filter(|held| held.content.is_some()).map(|held| held.id.spi).collect()
    }
}

impl Offload {
    /// What this kernel has. A module shows itself in /sys; built in, it has no folder there, but its function in the
    /// symbol table. When in doubt it is missing: that costs time or IPv6 and leaks nothing.
    pub fn of_this_machine() -> Self {
        let symbols = fs::read_to_string("/proc/kallsyms").unwrap_or_default();
        let module = |name: &str, function: &str| {
            let loaded = fs::exists(format!("/sys/module/{name}")).unwrap_or(false);
            if loaded || symbols.contains(function) {
                Module::Present
            } else {
                Module::Missing
            }
        };
        Self {
            v4: module("esp4_offload", " esp4_gso_segment"),
            v6: module("esp6_offload", " esp6_gso_segment"),
        }
    }

    /// Whether packets of the family show their own header in the output hook.
    pub fn restores(self, family: Family) -> bool {
        match family {
            Family::V4 => self.v4 == Module::Present,
            Family::V6 => self.v6 == Module::Present,
        }
    }
}
