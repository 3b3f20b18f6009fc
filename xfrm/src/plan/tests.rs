//! Properties of plans, over random wishes and random damage, on a kernel made of vectors.

use std::net::IpAddr;

use super::*;
use crate::model::{
    Ace, Action, AeadKey, Algorithm, EncryptionKey, Family, Gate, IntegrityKey, Key, Lane, PathMtu, Plane,
    Ports, Prefix, Protection, Replay, Sa, Selector, SpiBlock,
};
use crate::object::PolicyKey;

/// xorshift64: the same cases in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }

    fn some<T>(&mut self, pool: impl IntoIterator<Item = T>) -> Vec<T> {
        pool.into_iter().filter(|_| self.below(2) == 0).collect()
    }
}

fn selectors() -> [Selector; 4] {
    let prefix = |first: u8| Prefix::new([first, 0, 0, 0].into(), 8).unwrap();
    let any = Selector::between(Prefix::any(Family::V4), Prefix::any(Family::V4));
    [
        Selector::between(prefix(10), prefix(10)),
        Selector::between(prefix(10), prefix(11)),
        any,
        Selector { protocol: Some(6), destination_ports: Some(Ports::only(22)), ..any },
    ]
}

/// Where some of the SPIs lie.
const BLOCK: u32 = 0x8490_0000;

/// Few SPIs and two keys for each, so that the same SPI comes with another key.
fn sa(dice: &mut Dice) -> Sa {
    let key = dice.below(2) as u8;
    Sa {
        spi: Spi([256, BLOCK][dice.below(2)] + dice.below(3) as u32),
        family: Family::ALL[dice.below(2)],
        lane: Lane::Unicast,
        algorithm: algorithm(dice, key + 1),
        replay: Replay::Off,
        hard_lifetime: None,
    }
}

fn algorithm(dice: &mut Dice, octet: u8) -> Algorithm {
    match dice.below(2) {
        0 => Algorithm::Aead(AeadKey::AesGcm256(Key::new([octet; 36]))),
        _ => Algorithm::Cbc {
            encryption: EncryptionKey::AesCbc128(Key::new([octet; 16])),
            integrity: IntegrityKey::HmacSha256(Key::new([octet; 32])),
        },
    }
}

fn permit(selectors: impl IntoIterator<Item = Selector>) -> Vec<Ace> {
    selectors.into_iter().map(|selector| Ace { action: Action::Permit, selector }).collect()
}

fn gate(dice: &mut Dice) -> Gate {
    match dice.below(6) {
        0 => Gate::Open,
        1 => Gate::Closed,
        _ => {
            let mut inbound: Vec<Sa> = (0..dice.below(4)).map(|_| sa(dice)).collect();
            inbound.sort_by_key(|sa| (sa.spi, sa.family));
            inbound.dedup_by_key(|sa| (sa.spi, sa.family));
            let outbound = inbound.get(dice.below(4)).cloned().into_iter().collect();
            let acl = permit(dice.some(selectors()));
            let blocks = dice.some(SpiBlock::new(Spi(BLOCK), 20));
            Gate::Protect(Protection { acl, blocks, inbound, outbound, ..Default::default() })
        }
    }
}

fn desired(dice: &mut Dice) -> Desired {
    let plane = |dice: &mut Dice, number: u8| Plane {
        interface: ["wan0", "wan1", "down", "missing"][dice.below(4)].into(),
        local: IpAddr::from([192, 0, 2, 1]),
        slot: Slot::new(number).unwrap(),
        servers: dice.some(["192.0.2.10:848".parse().unwrap()]),
        rekey_group: dice.some(["239.1.1.1:848".parse().unwrap()]).pop(),
        clear: dice.some(selectors()),
        mss: None,
        path_mtu: PathMtu::default(),
        gate: gate(dice),
    };
    let slots = dice.some(0..3u8);
    Desired { planes: slots.into_iter().map(|number| plane(dice, number)).collect() }
}

fn empty_kernel() -> Installed {
    let link = |index, name: &str, up| Link {
        index,
        name: name.into(),
        up,
        mtu: 1500,
        addresses: vec![IpAddr::from([192, 0, 2, 1])],
    };
    let links =
        vec![link(1, "lo", true), link(2, "wan0", true), link(3, "wan1", true), link(4, "down", false)];
    Installed { links, ..Default::default() }
}

impl Installed {
    /// What the kernel does, and refuses.
    fn execute(&mut self, op: &Op) {
        match op {
            Op::AddRoute(route) => {
                self.routes.retain(|held| held.anchor() != route.anchor());
                self.routes.push(*route);
            }
            Op::RemoveRoute(route) => remove_one(&mut self.routes, |held| held == route),
            Op::AddState(state) => {
                assert!(self.states.iter().all(|held| held.id != state.id), "{op} exists");
                self.states.push(HeldState { id: state.id, content: Some(state.clone()) });
            }
            Op::RemoveState(id) => remove_one(&mut self.states, |held| held.id == *id),
            Op::WriteTable(table) => {
                let intact = self.table.is_some_and(|table| table.digest.is_some());
                self.known.retain(|slot, _| intact && table.slots().contains(*slot));
                let (slots, passing) = (table.slots(), table.passing());
                self.table = Some(HeldTable { digest: Some(table.digest()), slots, passing });
            }
            Op::RemoveTable => (self.table, self.known) = (None, BTreeMap::new()),
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

    fn apply(&mut self, desired: &Desired) -> Vec<Op> {
        let ops = plan(self, desired).unwrap().ops;
        ops.iter().for_each(|op| self.execute(op));
        ops
    }

    /// Removes and distorts a few things, as people do.
    fn damage(&mut self, dice: &mut Dice) {
        self.states.retain(|_| dice.below(4) > 0);
        self.routes.retain(|_| dice.below(4) > 0);
        self.policies.retain(|_| dice.below(4) > 0);
        self.states.iter_mut().filter(|_| dice.below(4) == 0).for_each(|held| held.content = None);
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
    }

    fn knows_only_states(&self) -> bool {
        self.known.iter().flat_map(|(slot, spis)| spis.iter().map(move |spi| (*slot, *spi))).all(|known| {
            let inbound = self.states.iter().filter(|held| held.id.direction == Direction::Inbound);
            inbound.map(|held| (held.id.slot, held.id.spi)).any(|state| state == known)
        })
    }

    /// Every policy that encrypts finds its state.
    fn is_sound(&self) -> bool {
        self.policies.iter().filter_map(|held| held.content.as_ref()).all(|policy| match policy.verdict {
            Verdict::Encrypt(slot, spi) => {
                self.states.iter().any(|held| held.id == outbound(slot, policy.key, spi))
            }
            _ => true,
        })
    }
}

type Holdings = (Vec<HeldState>, Vec<Policy>, Vec<Route>, Option<HeldTable>, BTreeMap<Slot, BTreeSet<Spi>>);

fn outbound(slot: Slot, key: PolicyKey, spi: Spi) -> StateId {
    let (family, lane) = (key.selector.family(), key.lane());
    StateId { slot, direction: Direction::Outbound, family, lane, spi }
}

fn remove_one<T>(list: &mut Vec<T>, matches: impl Fn(&T) -> bool) {
    let position = list.iter().position(matches).expect("what is removed exists");
    list.remove(position);
}

/// What a kernel holds, without the order and the handles.
fn holdings(kernel: &Installed) -> Holdings {
    let mut states = kernel.states.clone();
    states.sort_by_key(|held| held.id);
    let mut policies: Vec<_> = kernel.policies.iter().map(|held| held.content.clone().unwrap()).collect();
    policies.sort_by_key(|policy| policy.key);
    let mut routes = kernel.routes.clone();
    routes.sort();
    let mut known = kernel.known.clone();
    known.retain(|_, spis| !spis.is_empty());
    (states, policies, routes, kernel.table, known)
}

fn cases(mut test: impl FnMut(&mut Dice, Installed, Desired, Desired)) {
    for seed in 1..2000u64 {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let (before, after) = (desired(&mut dice), desired(&mut dice));
        let mut kernel = empty_kernel();
        kernel.apply(&before);
        test(&mut dice, kernel, before, after);
    }
}

#[test]
fn every_way_leads_to_what_is_desired_and_then_rests() {
    cases(|dice, mut kernel, _, after| {
        if dice.below(2) == 0 {
            kernel.damage(dice);
        }
        kernel.apply(&after);
        let mut fresh = empty_kernel();
        fresh.apply(&after);
        assert_eq!(holdings(&kernel), holdings(&fresh));
        assert_eq!(kernel.apply(&after), vec![]);
    });
}

#[test]
fn nothing_desired_leaves_nothing() {
    cases(|dice, mut kernel, _, _| {
        kernel.damage(dice);
        kernel.apply(&Desired::default());
        assert!(kernel.is_empty());
    });
}

fn protected(desired: &Desired) -> Vec<(Slot, &Plane)> {
    let planes = desired.planes.iter().filter(|plane| matches!(plane.gate, Gate::Protect(_)));
    planes.map(|plane| (plane.slot, plane)).collect()
}

#[test]
fn the_leak_guard_stands_while_a_plane_protects() {
    cases(|_, mut kernel, before, after| {
        let both = protected(&before)
            .into_iter()
            .filter(|(slot, _)| protected(&after).iter().any(|(s, _)| s == slot));
        let slots: Vec<_> = both.map(|(slot, _)| slot).collect();
        let mut fresh = empty_kernel();
        fresh.apply(&after);
        for op in plan(&kernel, &after).unwrap().ops {
            kernel.execute(&op);
            let on_policies = matches!(op, Op::AddPolicy(..) | Op::UpdatePolicy(..) | Op::RemovePolicy(..));
            assert!(!on_policies || fresh.table.is_none() || kernel.table == fresh.table, "{op} comes early");
            for slot in &slots {
                assert!(kernel.table.is_some_and(|table| table.slots.contains(*slot)), "after {op}");
            }
        }
    });
}

#[test]
fn what_encrypts_always_has_its_state() {
    cases(|_, mut kernel, _, after| {
        let ops = plan(&kernel, &after).unwrap().ops;
        for (number, op) in ops.iter().enumerate() {
            kernel.execute(op);
            // Another key under the same SPI cannot be had without a gap.
            let rekeyed = matches!((op, ops.get(number + 1)),
                (Op::RemoveState(id), Some(Op::AddState(state))) if state.id == *id);
            assert!(rekeyed || kernel.is_sound(), "after {op}");
        }
    });
}

#[test]
fn who_is_known_can_be_received() {
    cases(|_, mut kernel, _, after| {
        let ops = plan(&kernel, &after).unwrap().ops;
        for (number, op) in ops.iter().enumerate() {
            kernel.execute(op);
            let rekeyed = matches!((op, ops.get(number + 1)),
                (Op::RemoveState(id), Some(Op::AddState(state))) if state.id == *id);
            assert!(rekeyed || kernel.knows_only_states(), "after {op}");
        }
    });
}

#[test]
fn a_sending_state_that_is_gone_is_withheld_and_its_traffic_blocked() {
    let mut dice = Dice(3);
    let mut sending = |octet| Sa {
        spi: Spi(BLOCK + 1),
        family: Family::V4,
        algorithm: Algorithm::Aead(AeadKey::AesGcm256(Key::new([octet; 36]))),
        ..sa(&mut dice)
    };
    let (used, other) = (sending(1), sending(2));
    let wish = |outbound: &Sa| {
        let outbound = vec![outbound.clone()];
        let gate = Gate::Protect(Protection { acl: permit(selectors()), outbound, ..Default::default() });
        let plane = Plane { gate, ..plane(0, "wan0") };
        Desired { planes: vec![plane] }
    };
    let mut kernel = empty_kernel();
    kernel.apply(&wish(&used));
    kernel.used.insert(kernel.states[0].id, used.algorithm.clone());
    assert_eq!(kernel.apply(&wish(&used)), vec![]);
    kernel.states.clear();
    assert_eq!(plan(&kernel, &wish(&used)).unwrap().spent, [(Slot::new(0).unwrap(), used.spi)]);
    kernel.apply(&wish(&used));
    assert_eq!(kernel.states, []);
    let encrypts =
        |held: &HeldPolicy| matches!(&held.content, Some(Policy { verdict: Verdict::Encrypt(..), .. }));
    assert!(!kernel.policies.iter().any(encrypts));
    kernel.apply(&wish(&other));
    assert!(kernel.states.len() == 1 && kernel.policies.iter().any(encrypts));
}

#[test]
fn reception_comes_first_and_goes_last() {
    let added = |op: &Op| matches!(op, Op::AddState(state) if state.id.direction == Direction::Inbound);
    let removed = |op: &Op| matches!(op, Op::RemoveState(id) if id.direction == Direction::Inbound);
    let other = |op: &Op| !added(op) && !removed(op) && !matches!(op, Op::AddRoute(_) | Op::RemoveRoute(_));
    cases(|_, kernel, _, after| {
        let ops = plan(&kernel, &after).unwrap().ops;
        let first_other = ops.iter().position(other).unwrap_or(ops.len());
        let last_other = ops.iter().rposition(other).unwrap_or(0);
        for (number, op) in ops.iter().enumerate() {
            assert!(!added(op) || number < first_other, "{op} comes late");
            let replaced = ops[number + 1..].first().is_some_and(added);
            assert!(!removed(op) || replaced || number >= last_other, "{op} comes early");
        }
    });
}

fn plane(slot: u8, interface: &str) -> Plane {
    Plane {
        interface: interface.into(),
        local: IpAddr::from([127, 0, 0, 1]),
        slot: Slot::new(slot).unwrap(),
        servers: Vec::new(),
        rekey_group: None,
        clear: Vec::new(),
        mss: None,
        path_mtu: PathMtu::default(),
        gate: Gate::Protect(Protection { acl: permit(selectors()), ..Default::default() }),
    }
}

#[test]
fn contradictions_are_refused() {
    let refused = |planes| plan(&empty_kernel(), &Desired { planes }).unwrap_err().to_string();
    assert_eq!(refused(vec![plane(1, "wan0"), plane(1, "wan1")]), "two planes use slot 1");
    for name in ["", "wan\"; drop", "eth*", "a name that is too long", "wan 0"] {
        assert_eq!(refused(vec![plane(1, name)]), format!("`{name}` cannot be the name of an interface"));
    }
    let many = (0..7).map(|slot| plane(slot, "wan0")).collect();
    assert!(refused(many).starts_with("more than 6 planes share the entry"));
}

#[test]
fn a_plane_without_its_interface_is_guarded_and_named() {
    let mut dice = Dice(7);
    let mut wish = desired(&mut dice);
    while wish.planes.is_empty() {
        wish = desired(&mut dice);
    }
    wish.planes.truncate(1);
    wish.planes[0].interface = "missing".into();
    wish.planes[0].gate = Gate::Protect(Protection { acl: permit(selectors()), ..Default::default() });
    let Plan { ops, problems, .. } = plan(&empty_kernel(), &wish).unwrap();
    assert_eq!(problems, ["interface missing does not exist"]);
    assert!(ops.iter().any(|op| matches!(op, Op::WriteTable(_))));
}

#[test]
fn ipv6_without_its_offload_is_blocked_and_named() {
    let any = Selector::between(Prefix::any(Family::V6), Prefix::any(Family::V6));
    let permit = Ace { action: Action::Permit, selector: any };
    let mut dice = Dice(7);
    let sa = Sa { family: Family::V6, lane: Lane::Unicast, ..sa(&mut dice) };
    let protection = Protection { acl: vec![permit], outbound: vec![sa], ..Default::default() };
    let mut wish = desired(&mut dice);
    while wish.planes.is_empty() {
        wish = desired(&mut dice);
    }
    wish.planes.truncate(1);
    wish.planes[0].interface = "wan0".into();
    wish.planes[0].gate = Gate::Protect(protection);
    let verdicts = |kernel: &Installed| {
        let Plan { ops, problems, .. } = plan(kernel, &wish).unwrap();
        let encrypts = ops.iter().any(
            |op| matches!(op, Op::AddPolicy(_, policy) if matches!(policy.verdict, Verdict::Encrypt(..))),
        );
        let blocks =
            ops.iter().any(|op| matches!(op, Op::AddPolicy(_, policy) if policy.verdict == Verdict::Block));
        (encrypts, blocks, problems)
    };
    assert_eq!(verdicts(&empty_kernel()), (true, false, vec![]));
    let mut kernel = empty_kernel();
    kernel.offload.v6 = Module::Missing;
    let line = "interface wan0: the module esp6_offload is not loaded: protected IPv6 is blocked";
    assert_eq!(verdicts(&kernel), (false, true, vec![line.to_owned()]));
}
