//! Properties of plans, over random wishes and random damage, on a kernel made of vectors.

mod kernel;
mod stacked;
mod wishes;

use super::*;
use crate::installed::Module;
use crate::model::{Family, Gate, Lane, Plane, Protection, Sa, Selector, SpiBlock};
use crate::nft::Flowtable;
use crate::object::{ForeignPolicy, KernelSelector, Verdict};
use kernel::{empty_kernel, holdings};
use wishes::{desired, gcm, permit, plane, sa, selectors, Dice, BLOCK};

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

/// Two entries are sent with two states, a third with none: it is blocked.
#[test]
fn entries_are_sent_with_the_states_that_are_theirs() {
    let mut dice = Dice(3);
    let mut sending = |spi| Sa { spi: Spi(spi), family: Family::V4, ..sa(&mut dice) };
    let outbound = vec![sending(256), sending(257)];
    let entries = selectors();
    let apart = vec![(entries[0], Some(Spi(256))), (entries[1], Some(Spi(257))), (entries[3], None)];
    let gate = Gate::Protect(Protection { acl: permit(entries), outbound, apart, ..Default::default() });
    let mut kernel = empty_kernel();
    kernel.apply(&Desired { planes: vec![Plane { gate, ..plane(0, "wan0") }] });
    let out = kernel.policies.iter().filter_map(|held| held.content.as_ref());
    let out: Vec<_> = out.filter(|policy| policy.key.hook == Hook::Out).collect();
    let slot = Slot::new(0).unwrap();
    let verdict = |entry: Selector, protocol: Option<u8>| {
        let (from, to) = (entry.source().prefix, entry.destination().prefix);
        let of = |policy: &&&Policy| {
            let selector = &policy.key.selector;
            (selector.source, selector.destination, selector.protocol) == (from, to, protocol)
        };
        out.iter().find(of).map(|policy| policy.verdict.clone())
    };
    assert_eq!(verdict(entries[0], None), Some(Verdict::Encrypt(slot, Spi(256))));
    assert_eq!(verdict(entries[1], None), Some(Verdict::Encrypt(slot, Spi(257))));
    assert_eq!(verdict(entries[2], None), Some(Verdict::Encrypt(slot, Spi(256))), "not named: any");
    assert_eq!(verdict(entries[3], Some(6)), Some(Verdict::Block));
}

#[test]
fn a_sending_state_that_is_gone_is_withheld_and_its_traffic_blocked() {
    let mut dice = Dice(3);
    let mut sending =
        |octet| Sa { spi: Spi(BLOCK + 1), family: Family::V4, keys: gcm(octet), ..sa(&mut dice) };
    let (used, other) = (sending(1), sending(2));
    let wish = |outbound: &Sa| {
        let outbound = vec![outbound.clone()];
        let gate = Gate::Protect(Protection { acl: permit(selectors()), outbound, ..Default::default() });
        let plane = Plane { gate, ..plane(0, "wan0") };
        Desired { planes: vec![plane] }
    };
    let mut kernel = empty_kernel();
    kernel.apply(&wish(&used));
    kernel.used.note(kernel.states[0].content.as_ref().unwrap());
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

/// Time is short when keys change, and writing the table takes a process.
#[test]
fn a_change_of_the_key_that_is_sent_with_leaves_the_table_alone() {
    let bases = [Spi(BLOCK), Spi(BLOCK + (1 << 20))];
    let [mine, next] =
        bases.map(|base| Sa { spi: Spi(base.0 + 1), family: Family::V4, keys: gcm(1), ..sa(&mut Dice(11)) });
    let wish = |outbound: &Sa| {
        let blocks = bases.into_iter().filter_map(|base| SpiBlock::new(base, 20)).collect();
        let (acl, outbound) = (permit(selectors()), vec![outbound.clone()]);
        let gate = Gate::Protect(Protection { acl, outbound, blocks, ..Default::default() });
        Desired { planes: vec![Plane { gate, ..plane(0, "wan0") }] }
    };
    let mut kernel = empty_kernel();
    kernel.apply(&wish(&mine));
    let ops = kernel.apply(&wish(&next));
    assert!(ops.iter().any(|op| matches!(op, Op::UpdatePolicy(..))), "{ops:?}");
    assert!(!ops.iter().any(|op| matches!(op, Op::WriteTable(_))), "{ops:?}");
}

#[test]
fn contradictions_are_refused() {
    let refused = |planes| plan(&empty_kernel(), &Desired { planes }).unwrap_err().to_string();
    assert_eq!(refused(vec![plane(1, "wan0"), plane(1, "wan1")]), "two planes use slot 1");
    for name in ["", "wan\"; drop", "e*h", "a name that is too long", "wan 0"] {
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
    let mut dice = Dice(7);
    let sa = Sa { family: Family::V6, lane: Lane::Unicast, ..sa(&mut dice) };
    let acl = permit([Selector::any(Family::V6)]);
    let protection = Protection { acl, outbound: vec![sa], ..Default::default() };
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

fn foreign(hook: Hook, selector: &str, interface: Option<u32>, priority: u32) -> ForeignPolicy {
    let selector: Selector = selector.parse().unwrap();
    let between = KernelSelector::between(selector.source().prefix, selector.destination().prefix);
    let selector = KernelSelector { protocol: selector.protocol(), ..between };
    ForeignPolicy { hook, interface, selector, priority, blocks: false, transforms: true }
}

fn with_foreign(foreign: ForeignPolicy) -> Plan {
    let mut dice = Dice(5);
    let mut protecting = plane(0, "wan0");
    if let Gate::Protect(protection) = &mut protecting.gate {
        protection.acl = permit(["ip 10.0.0.0/8 10.0.0.0/8".parse::<Selector>().unwrap()]);
        protection.outbound = vec![Sa { family: Family::V4, ..sa(&mut dice) }];
    }
    let installed = Installed { foreign: vec![foreign], ..empty_kernel() };
    plan(&installed, &Desired { planes: vec![protecting] }).unwrap()
}

#[test]
fn policies_of_others_that_come_before_ours_are_named_and_the_rest_is_done() {
    let wan = empty_kernel().links.iter().find(|link| link.name == "wan0").unwrap().index;
    let is_displaced = |hook, selector, interface, priority| {
        let plan = with_foreign(foreign(hook, selector, interface, priority));
        let named =
            plan.problems.iter().any(|line| line.contains("of somebody else comes before the group's"));
        assert_eq!(named, !plan.displaced.is_empty(), "{:?}", plan.problems);
        assert!(plan
            .ops
            .iter()
            .any(|op| matches!(op, Op::AddPolicy(_, Policy { verdict: Verdict::Encrypt(..), .. }))));
        named
    };
    let same = "ip 10.0.0.0/8 10.0.0.0/8";
    assert!(is_displaced(Hook::Out, same, Some(wan), 0) && is_displaced(Hook::Out, same, None, 84_802));
    assert!(is_displaced(Hook::Out, "tcp 10.1.0.0/16 any", None, 1_000));
    assert!(is_displaced(Hook::Forward, same, None, 370_000), "nothing that is decrypted is accepted");
    assert!(!is_displaced(Hook::Out, same, Some(wan), 370_000), "ours comes first");
    assert!(!is_displaced(Hook::Out, same, Some(wan + 1), 0), "another interface");
    assert!(!is_displaced(Hook::Out, "ip 172.16.0.0/12 any", None, 0), "other packets");
    assert!(!is_displaced(Hook::Forward, "ip 10.9.0.0/16 10.1.0.0/16", None, 0), "theirs is theirs");
}

/// Without a template the kernel accepts by it only what was not decrypted.
#[test]
fn a_policy_of_others_without_a_tunnel_refuses_what_was_decrypted() {
    let is_named = |hook, selector| {
        let plan = with_foreign(ForeignPolicy { transforms: false, ..foreign(hook, selector, None, 0) });
        let named = plan.problems.iter().any(|line| line.contains("comes before the group's"));
        assert_eq!(named, !plan.displaced.is_empty(), "{:?}", plan.problems);
        named
    };
    for hook in [Hook::In, Hook::Forward] {
        assert!(is_named(hook, "ip 10.1.0.0/16 10.2.0.0/16") && is_named(hook, "ip any any"));
        assert!(!is_named(hook, "ip 172.16.0.0/12 any"), "other packets");
        assert!(!is_named(hook, "ip 10.1.0.0/16 10.1.0.0/16"), "within one network");
    }
}

#[test]
fn a_crowd_of_policies_of_others_is_summed_up() {
    let one = foreign(Hook::Out, "ip 10.1.0.0/16 any", None, 1_000);
    let mut planes = Desired { planes: vec![plane(0, "wan0")] };
    if let Gate::Protect(protection) = &mut planes.planes[0].gate {
        protection.outbound = vec![Sa { family: Family::V4, ..sa(&mut Dice(5)) }];
    }
    let installed = Installed { foreign: vec![one; 1_000], ..empty_kernel() };
    let problems = plan(&installed, &planes).unwrap().problems;
    assert_eq!(problems.iter().filter(|line| line.contains("comes before")).count(), 8);
    assert!(problems.last().is_some_and(|line| line.contains("56 more policies")), "{problems:?}");
}

/// What a flowtable forwards is held from the moment on that the plane's other rules are there.
#[test]
fn where_a_flowtable_serves_a_link_it_is_held_at_the_link() {
    let mut dice = Dice(5);
    let protection = Protection {
        acl: permit(selectors()),
        outbound: vec![Sa { family: Family::V4, ..sa(&mut dice) }],
        ..Default::default()
    };
    let plane = Plane { gate: Gate::Protect(protection), ..plane(0, "wan0") };
    let wanted = Desired { planes: vec![plane.clone()] };
    let mut kernel = empty_kernel();
    kernel.apply(&wanted);
    assert_eq!(kernel.border, None);
    kernel.flowtables = vec![Flowtable::of("wan0", 0)];
    assert!(matches!(kernel.apply(&wanted)[..], [Op::WriteBorder(_)]));
    let closed = Desired { planes: vec![Plane { gate: Gate::Closed, ..plane }] };
    let ops = kernel.apply(&closed);
    assert!(matches!(ops[..2], [Op::WriteTable(_), Op::WriteBorder(_)]), "{ops:?}");
    kernel.flowtables = vec![Flowtable::of("wan1", 0)];
    let problems = plan(&kernel, &closed).unwrap().problems;
    assert!(problems.iter().any(|one| one.contains("add wan0 to its devices")), "{problems:?}");
    assert_eq!(kernel.apply(&closed), [Op::RemoveBorder]);
}
