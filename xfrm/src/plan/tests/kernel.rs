//! A kernel made of vectors: it does what it is told, and asserts what the real one refuses.

use super::wishes::Dice;
use crate::nft::HeldTable;
use crate::object::{Life, Link, PolicyKey, Stacked, Verdict, Vrf};
use crate::plan::*;
use std::collections::BTreeMap;
use std::net::IpAddr;

pub fn empty_kernel() -> Installed {
    let link = |index, name: &str, up| Link {
        index,
        name: name.into(),
        up,
        mtu: 1500,
        addresses: vec![IpAddr::from([192, 0, 2, 1])],
        vrf: None,
        stacked: Stacked::default(),
    };
    let vrf = Some(Vrf { index: 5, name: "red".into(), table: 10 });
    let links = vec![
        link(1, "lo", true),
        link(2, "wan0", true),
        Link { vrf: vrf.clone(), ..link(3, "wan1", true) },
        link(4, "down", false),
        Link { vrf, ..link(5, "red", true) },
    ];
    Installed { links, ..Default::default() }
}

impl Installed {
    /// What the kernel does, and refuses.
    pub(super) fn execute(&mut self, op: &Op) {
        match op {
            Op::AddRoute(route) => {
                self.routes.retain(|held| (held.anchor(), held.table) != (route.anchor(), route.table));
                self.routes.push(*route);
            }
            Op::RemoveRoute(route) => remove_one(&mut self.routes, |held| held == route),
            Op::AddState(state) => {
                assert!(self.states.iter().all(|held| held.id != state.id), "{op} exists");
                let life = Life::default().lasting(self.now, state.hard_lifetime);
                self.states.push(HeldState { id: state.id, content: Some(state.clone()), life });
            }
            Op::Prolong(state) => {
                let held = self.states.iter_mut().find(|held| held.id == state.id).unwrap();
                assert!(held.content.is_some(), "{op} is not known");
                held.life = held.life.lasting(self.now, state.hard_lifetime);
            }
            Op::RemoveState(id) => remove_one(&mut self.states, |held| held.id == *id),
            Op::WriteTable(table) => {
                let intact = self.table.is_some_and(|table| table.digest.is_some());
                self.known.retain(|slot, _| intact && table.slots().contains(*slot));
                let (slots, passing, closed) = (table.slots(), table.passing(), table.closed());
                self.table = Some(HeldTable { digest: Some(table.digest()), slots, passing, closed });
            }
            Op::RemoveTable => (self.table, self.known) = (None, BTreeMap::new()),
            Op::WriteBorder(border) => {
                self.border = Some(HeldTable { digest: Some(border.digest()), ..HeldTable::default() });
            }
            Op::RemoveBorder => self.border = None,
            Op::AddKnown(slot, spis) => {
                assert!(self.table.is_some_and(|table| table.slots.contains(*slot)), "{op} has no set");
                self.known.entry(*slot).or_default().extend(spis);
            }
            Op::RemoveKnown(slot, spis) => {
                let known = self.known.get_mut(slot).unwrap();
                spis.iter().for_each(|spi| assert!(known.remove(spi), "{spi} is not known"));
            }
            Op::AddPolicy(index, policy) => {
                assert!(self.policies.iter().all(|held| held.index != *index), "{index} is taken");
                assert!(index.is_ours() && index.hook() == Some(policy.key.hook));
                assert!(self.position(policy).is_none(), "{op} exists");
                self.policies.push(HeldPolicy { index: *index, if_id: 0, content: Some(policy.clone()) });
            }
            Op::UpdatePolicy(_, policy) => {
                let position = self.position(policy).unwrap();
                self.policies[position].content = Some(policy.clone());
            }
            Op::RemovePolicy(index, _) => remove_one(&mut self.policies, |held| held.index == *index),
            Op::SetInterface(interface) => {
                let (index, up, content) = (50, true, *interface);
                self.interfaces.retain(|held| held.content.slot != interface.slot);
                self.interfaces.push(HeldInterface { index, up, content });
            }
            Op::RemoveInterface(interface) => remove_one(&mut self.interfaces, |held| held == interface),
        }
    }

    fn position(&self, policy: &Policy) -> Option<usize> {
        let key = |held: &HeldPolicy| held.content.as_ref().map(|content| content.key);
        self.policies.iter().position(|held| key(held) == Some(policy.key))
    }

    pub(super) fn apply(&mut self, desired: &Desired) -> Vec<Op> {
        let ops = plan(self, desired).unwrap().ops;
        ops.iter().for_each(|op| self.execute(op));
        ops
    }

    /// Removes and distorts a few things, as people do.
    pub(super) fn damage(&mut self, dice: &mut Dice) {
        self.states.retain(|_| dice.below(4) > 0);
        self.routes.retain(|_| dice.below(4) > 0);
        self.policies.retain(|_| dice.below(4) > 0);
        self.states.iter_mut().filter(|_| dice.below(4) == 0).for_each(|held| held.content = None);
        let states = self.states.iter_mut().filter(|_| dice.below(4) == 0);
        states.for_each(|held| held.life = Life { hard: Some(7), before: Some(60), ..held.life });
        self.policies.iter_mut().filter(|_| dice.below(4) == 0).for_each(|held| held.content = None);
        for known in self.known.values_mut() {
            known.retain(|_| dice.below(4) > 0);
            known.extend(dice.some([Spi(7)]));
        }
        match dice.below(3) {
            0 => (self.table, self.known) = (None, BTreeMap::new()),
            1 => self.table.iter_mut().for_each(|table| table.digest = None),
            _ => {}
        }
        match dice.below(3) {
            0 => self.border = None,
            1 => self.border.iter_mut().for_each(|border| border.digest = None),
            _ => {}
        }
    }

    pub(super) fn knows_only_states(&self) -> bool {
        self.known.iter().flat_map(|(slot, spis)| spis.iter().map(move |spi| (*slot, *spi))).all(|known| {
            let inbound = self.states.iter().filter(|held| held.id.direction == Direction::Inbound);
            inbound.map(|held| (held.id.slot, held.id.spi)).any(|state| state == known)
        })
    }

    /// Every policy that encrypts finds its state.
    pub(super) fn is_sound(&self) -> bool {
        self.policies.iter().filter_map(|held| held.content.as_ref()).all(|policy| match policy.verdict {
            Verdict::Encrypt(slot, spi) => {
                self.states.iter().any(|held| held.id == outbound(slot, policy.key, spi))
            }
            _ => true,
        })
    }
}

pub type Holdings =
    (Vec<HeldState>, Vec<Policy>, Vec<Route>, [Option<HeldTable>; 2], BTreeMap<Slot, BTreeSet<Spi>>);

fn outbound(slot: Slot, key: PolicyKey, spi: Spi) -> StateId {
    let (family, lane) = (key.selector.family(), key.lane());
    StateId { slot, direction: Direction::Outbound, family, lane, spi }
}

fn remove_one<T>(list: &mut Vec<T>, matches: impl Fn(&T) -> bool) {
    let position = list.iter().position(matches).expect("what is removed exists");
    list.remove(position);
}

/// What a kernel holds, without the order and the handles.
pub fn holdings(kernel: &Installed) -> Holdings {
    let mut states = kernel.states.clone();
    states.sort_by_key(|held| held.id);
    let mut policies: Vec<_> = kernel.policies.iter().map(|held| held.content.clone().unwrap()).collect();
    policies.sort_by_key(|policy| policy.key);
    let mut routes = kernel.routes.clone();
    routes.sort();
    let mut known = kernel.known.clone();
    known.retain(|_, spis| !spis.is_empty());
    (states, policies, routes, [kernel.table, kernel.border], known)
}
