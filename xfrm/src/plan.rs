//! The difference between what the kernel holds and what it should hold, as an ordered list of changes.

mod rivals;
mod spent;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;

use crate::installed::Installed;
use crate::model::{Desired, Slot, Spi};
use crate::nft::{Border, Table};
use crate::object::{
    Direction, HeldInterface, HeldPolicy, HeldState, Hook, Policy, PolicyIndex, PolicyKey, Route, State,
    StateId, Verdict, XfrmInterface,
};
use crate::target::Target;
use crate::Error;

use rivals::Rivals;

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Lead an anchor address somewhere.
    AddRoute(Route),
    /// Add a state.
    AddState(State),
    /// Let a state live as long as this one should.
    Prolong(State),
    /// Put this table in the place of the present one, at once.
    WriteTable(Table),
    /// Put this table at the links in the place of the present one, at once.
    WriteBorder(Border),
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
    /// Remove the table at the links.
    RemoveBorder,
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
    /// What passes in clear although these planes should hold it, one line each, naming the interface.
    pub exposed: Vec<(Slot, String)>,
    /// Planes that cannot encrypt or accept all that they should, because policies of others come before theirs.
    pub displaced: BTreeSet<Slot>,
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
    write_border(&mut ops, installed, &target);
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
    let Rivals { problems, displaced } = rivals::rivals(installed, &target);
    let (problems, exposed) = (target.problems.into_iter().chain(problems).collect(), target.exposed);
    Ok(Plan { ops, problems, spent, exposed, displaced })
}

/// A state whose key or parameters are wrong cannot be changed in place: the kernel's update keeps the old key.
fn add_states(ops: &mut Vec<Op>, installed: &Installed, target: &Target, direction: Direction) {
    let held: HashMap<_, _> = installed.states.iter().map(|held| (held.id, held)).collect();
    for state in target.states.iter().filter(|state| state.id.direction == direction) {
        match held.get(&state.id) {
            Some(held) if state.is_held_as(held) => {
                ops.extend(state.outlives(held, installed.now).then(|| Op::Prolong(state.clone())));
                continue;
            }
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

fn write_border(ops: &mut Vec<Op>, installed: &Installed, target: &Target) {
    let held = installed.border.and_then(|border| border.digest);
    let wanted = target.border.iter().filter(|border| held != Some(border.digest()));
    ops.extend(wanted.cloned().map(Op::WriteBorder));
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
    if target.border.is_none() && installed.border.is_some() {
        ops.push(Op::RemoveBorder);
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

/// A route to the same anchor in the same table at another interface was already replaced.
fn remove_routes(ops: &mut Vec<Op>, installed: &Installed, target: &Target) {
    let unwanted = |held: &&Route| {
        !target.routes.iter().any(|route| (route.anchor(), route.table) == (held.anchor(), held.table))
    };
    ops.extend(installed.routes.iter().filter(unwanted).map(|route| Op::RemoveRoute(*route)));
}

impl Op {
    /// The plane whose traffic a policy encrypts.
    pub(crate) fn slot(&self) -> Option<Slot> {
        match self {
            Self::AddPolicy(_, Policy { verdict: Verdict::Encrypt(slot, _), .. }) => Some(*slot),
            _ => None,
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddRoute(route) => write!(f, "add route to {}", route.anchor()),
            Self::AddState(state) => write!(f, "add {}", state.id),
            Self::Prolong(state) => write!(f, "prolong {}", state.id),
            Self::WriteTable(_) => f.write_str("write table inet gdoi"),
            Self::WriteBorder(_) => f.write_str("write table netdev gdoi"),
            Self::RemoveBorder => f.write_str("remove table netdev gdoi"),
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
