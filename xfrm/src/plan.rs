//! The difference between what the kernel holds and what it should hold, as an ordered list of changes.

mod spent;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;

use crate::model::{Desired, EspKeys, Family, Slot, Spi};
use crate::nft::{HeldTable, Table};
use crate::object::{
    Direction, HeldInterface, HeldPolicy, HeldState, Hook, Link, Policy, PolicyIndex, PolicyKey, Rank, Route,
    State, StateId, Verdict, XfrmInterface,
};
use crate::target::Target;
use crate::Error;

/// What the kernel holds of ours, and what of its own it depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Installed {
    pub(crate) links: Vec<Link>,
    pub(crate) interfaces: Vec<HeldInterface>,
    pub(crate) states: Vec<HeldState>,
    pub(crate) policies: Vec<HeldPolicy>,
    pub(crate) routes: Vec<Route>,
    pub(crate) table: Option<HeldTable>,
    /// The known senders of the planes that the table serves.
    pub(crate) known: BTreeMap<Slot, BTreeSet<Spi>>,
    pub(crate) offload: Offload,
    /// What one sender's outbound states were added with, as far as this process knows, whether they are still there or not.
    pub(crate) used: HashMap<StateId, EspKeys>,
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

impl Offload {
    /// Whether packets of the family show their own header in the output hook.
    pub fn restores(self, family: Family) -> bool {
        match family {
            Family::V4 => self.v4 == Module::Present,
            Family::V6 => self.v6 == Module::Present,
        }
    }
}

/// A plane that protects right now, perhaps left by an agent that was killed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protecting {
    /// The plane.
    pub slot: Slot,
    /// Its interface.
    pub interface: String,
    /// SPIs that can be received.
    pub inbound: Vec<Spi>,
    /// The SPI that is sent with; none while traffic is blocked.
    pub outbound: Option<Spi>,
    /// How many policies keep back what would leave in clear: none only where the group sends in clear.
    pub policies: usize,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Lead an anchor address somewhere.
    AddRoute(Route),
    /// Add a state.
    AddState(State),
    /// Put this table in the place of the present one, at once.
    WriteTable(Table),
    /// Let packets of these senders pass without a question.
    AddKnown(Slot, Vec<Spi>),
    /// Ask again when these senders are heard.
    RemoveKnown(Slot, Vec<Spi>),
    /// Add a policy under this handle.
    AddPolicy(PolicyIndex, Policy),
    /// Replace the policy with the same key, at once.
    UpdatePolicy(PolicyIndex, Policy),
    /// Remove the policy with this handle and `if_id`.
    RemovePolicy(PolicyIndex, u32),
    /// Remove a state.
    RemoveState(StateId),
    /// Add an XFRM interface, or set it right.
    SetInterface(XfrmInterface),
    /// Remove an XFRM interface.
    RemoveInterface(HeldInterface),
    /// Remove an anchor route.
    RemoveRoute(Route),
    /// Remove the table.
    RemoveTable,
}

/// What must be done, and what cannot be done at the moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The changes, in order.
    pub ops: Vec<Op>,
    /// What the desired planes lack, one line each, naming the interface.
    pub problems: Vec<String>,
    /// Outbound SAs of one sender that must not be installed, because their states have been used and are gone.
    pub spent: Vec<(Slot, Spi)>,
}

/// The changes from `installed` to `desired`, make before break: what can be received, then the table with the leak
/// guard, then what is sent and which traffic, then the removal of the old, what could be received last. Nothing is
/// changed that is already right.
///
/// # Errors
/// `desired` contradicts itself.
pub fn plan(installed: &Installed, desired: &Desired) -> Result<Plan, Error> {
    let (desired, spent) = spent::withhold(installed, desired);
    let target = Target::new(installed, &desired)?;
    let mut ops = Vec::new();
    ops.extend(
        target.routes.iter().filter(|route| !installed.routes.contains(route)).map(|r| Op::AddRoute(*r)),
    );
    add_states(&mut ops, installed, &target, Direction::Inbound);
    write_table(&mut ops, installed, &target);
    add_known(&mut ops, installed, &target);
    add_states(&mut ops, installed, &target, Direction::Outbound);
    set_policies(&mut ops, installed, &target);
    set_interfaces(&mut ops, installed, &target);
    remove_policies(&mut ops, installed, &target);
    remove_states(&mut ops, installed, &target, Direction::Outbound);
    remove_table(&mut ops, installed, &target);
    remove_known(&mut ops, installed, &target);
    remove_states(&mut ops, installed, &target, Direction::Inbound);
    remove_routes(&mut ops, installed, &target);
    Ok(Plan { ops, problems: target.problems, spent })
}

/// A state whose key or parameters are wrong cannot be changed in place: the kernel's update keeps the old key.
fn add_states(ops: &mut Vec<Op>, installed: &Installed, target: &Target, direction: Direction) {
    let installed: HashMap<_, _> = installed.states.iter().map(|held| (held.id, held)).collect();
    for state in target.states.iter().filter(|state| state.id.direction == direction) {
        match installed.get(&state.id) {
            Some(held) if state.is_held_as(held) => continue,
            Some(held) => ops.push(Op::RemoveState(held.id)),
            None => {}
        }
        ops.push(Op::AddState(state.clone()));
    }
}

fn remove_states(ops: &mut Vec<Op>, installed: &Installed, target: &Target, direction: Direction) {
    let wanted: HashSet<_> = target.states.iter().map(|state| state.id).collect();
    let unwanted = |held: &&HeldState| held.id.direction == direction && !wanted.contains(&held.id);
    ops.extend(installed.states.iter().filter(unwanted).map(|held| Op::RemoveState(held.id)));
}

fn write_table(ops: &mut Vec<Op>, installed: &Installed, target: &Target) {
    let held = installed.table.and_then(|table| table.digest);
    ops.extend(target.table.iter().filter(|table| held != Some(table.digest())).cloned().map(Op::WriteTable));
}

/// A table that is replaced, because somebody changed it, comes without known senders.
fn held_known(installed: &Installed, slot: Slot) -> BTreeSet<Spi> {
    let intact = installed.table.is_some_and(|table| table.digest.is_some() && table.slots.contains(slot));
    installed.known.get(&slot).filter(|_| intact).cloned().unwrap_or_default()
}

fn add_known(ops: &mut Vec<Op>, installed: &Installed, target: &Target) {
    for (slot, wanted) in &target.known {
        let missing: Vec<_> = wanted.difference(&held_known(installed, *slot)).copied().collect();
        ops.extend((!missing.is_empty()).then_some(Op::AddKnown(*slot, missing)));
    }
}

fn remove_known(ops: &mut Vec<Op>, installed: &Installed, target: &Target) {
    for (slot, wanted) in &target.known {
        let unwanted: Vec<_> = held_known(installed, *slot).difference(wanted).copied().collect();
        ops.extend((!unwanted.is_empty()).then_some(Op::RemoveKnown(*slot, unwanted)));
    }
}

fn remove_table(ops: &mut Vec<Op>, installed: &Installed, target: &Target) {
    if target.table.is_none() && installed.table.is_some() {
        ops.push(Op::RemoveTable);
    }
}

fn set_policies(ops: &mut Vec<Op>, installed: &Installed, target: &Target) {
    // What was made unrecognisable by hand may stand in the way of what is added.
    let strange = installed.policies.iter().filter(|held| held.content.is_none());
    ops.extend(strange.map(|held| Op::RemovePolicy(held.index, held.if_id)));
    let mut used: BTreeSet<_> = installed.policies.iter().map(|held| held.index).collect();
    let mut wanted: Vec<_> = target.policies.values().collect();
    let held = held_by_key(installed);
    // Reception first, then what stays in clear, then what is encrypted.
    wanted.sort_by_key(|policy| (policy.key.hook == Hook::Out, policy.rank));
    for policy in wanted {
        match held.get(&policy.key) {
            Some((_, content)) if *content == policy => {}
            Some((index, _)) => ops.push(Op::UpdatePolicy(*index, policy.clone())),
            None => {
                let free = PolicyIndex::all(policy.key.hook).find(|index| used.insert(*index));
                ops.extend(free.map(|index| Op::AddPolicy(index, policy.clone())));
            }
        }
    }
}

fn held_by_key(installed: &Installed) -> HashMap<PolicyKey, (PolicyIndex, &Policy)> {
    let contents = installed.policies.iter().filter_map(|held| Some((held.index, held.content.as_ref()?)));
    contents.map(|(index, content)| (content.key, (index, content))).collect()
}

fn remove_policies(ops: &mut Vec<Op>, installed: &Installed, target: &Target) {
    let unwanted =
        |held: &&HeldPolicy| held.content.as_ref().is_some_and(|one| !target.policies.contains_key(&one.key));
    ops.extend(
        installed.policies.iter().filter(unwanted).map(|held| Op::RemovePolicy(held.index, held.if_id)),
    );
}

/// An XFRM interface cannot change its parent. What is sent to one that is gone is not sent at all.
fn set_interfaces(ops: &mut Vec<Op>, installed: &Installed, target: &Target) {
    let wanted = |held: &HeldInterface| {
        let (slot, parent) = (held.content.slot, held.content.parent);
        target.interfaces.iter().any(|one| one.slot == slot && one.parent == parent)
    };
    ops.extend(
        installed.interfaces.iter().filter(|held| !wanted(held)).map(|held| Op::RemoveInterface(*held)),
    );
    let is_right =
        |one: &XfrmInterface| installed.interfaces.iter().any(|held| held.up && held.content == *one);
    ops.extend(target.interfaces.iter().filter(|one| !is_right(one)).map(|one| Op::SetInterface(*one)));
}

/// A route to the same anchor at another interface was already replaced.
fn remove_routes(ops: &mut Vec<Op>, installed: &Installed, target: &Target) {
    let unwanted = |held: &&Route| !target.routes.iter().any(|route| route.anchor() == held.anchor());
    ops.extend(installed.routes.iter().filter(unwanted).map(|route| Op::RemoveRoute(*route)));
}

impl Installed {
    /// The planes that protect their interface without any help of ours. A table that somebody changed vouches for
    /// nothing, and neither does one alone: when somebody removes it, policies must hold.
    pub fn protecting(&self) -> Vec<Protecting> {
        let Some(table) = self.table.filter(|table| table.digest.is_some()) else { return Vec::new() };
        let outward = self.routes.iter().filter(|route| route.direction == Direction::Outbound);
        let mut planes = BTreeSet::new();
        let served = outward.filter(|route| table.slots.contains(route.slot) && planes.insert(route.slot));
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

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddRoute(route) => write!(f, "add route to {}", route.anchor()),
            Self::AddState(state) => write!(f, "add {}", state.id),
            Self::WriteTable(_) => f.write_str("write table inet gdoi"),
            Self::AddKnown(slot, spis) => write!(f, "know {} senders in plane {}", spis.len(), slot.number()),
            Self::RemoveKnown(slot, spis) => {
                write!(f, "forget {} senders in plane {}", spis.len(), slot.number())
            }
            Self::AddPolicy(_, policy) => write!(f, "add {policy}"),
            Self::UpdatePolicy(_, policy) => write!(f, "update {policy}"),
            Self::RemovePolicy(index, _) => write!(f, "remove policy {index}"),
            Self::SetInterface(interface) => write!(f, "set interface {}", interface.name()),
            Self::RemoveInterface(held) => write!(f, "remove interface {}", held.content.name()),
            Self::RemoveState(id) => write!(f, "remove {id}"),
            Self::RemoveRoute(route) => write!(f, "remove route to {}", route.anchor()),
            Self::RemoveTable => f.write_str("remove table inet gdoi"),
        }
    }
}

#[cfg(test)]
mod tests;
