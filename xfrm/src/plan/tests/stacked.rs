//! Links that lie upon each other.

use super::kernel::empty_kernel;
use super::wishes::plane;
use crate::carriers::carriers;
use crate::model::{Gate, Plane};
use crate::object::{Link, Stacked};
use crate::plan::*;

fn stacked(link: Link, kind: &str, master: Option<u32>, below: Option<u32>) -> Link {
    Link { stacked: Stacked { kind: kind.into(), master, below }, ..link }
}

/// A kernel whose wan0 (2) lies below others, and what is planned for it.
fn planned(above: impl FnOnce(&mut Vec<Link>), planes: Vec<Plane>) -> (Installed, Plan) {
    let mut kernel = empty_kernel();
    above(&mut kernel.links);
    planes.iter().for_each(|plane| kernel.kept.add(plane.slot, 2));
    kernel.kept.follow(|own| carriers(&kernel.links, own));
    let plan = plan(&kernel, &Desired { planes }).unwrap();
    (kernel, plan)
}

fn interfaces(plan: &Plan) -> BTreeSet<u32> {
    let policy = |op: &Op| match op {
        Op::AddPolicy(_, policy) => policy.key.interface,
        _ => None,
    };
    plan.ops.iter().filter_map(policy).collect()
}

#[test]
fn a_bridge_is_protected_in_the_place_of_its_port_closed_or_not() {
    let bridged = |links: &mut Vec<Link>| {
        links.push(stacked(Link { index: 9, name: "br0".into(), ..links[1].clone() }, "bridge", None, None));
        links[1] = stacked(links[1].clone(), "", Some(9), None);
        links[2] = stacked(links[2].clone(), "", Some(9), None);
    };
    for gate in [plane(0, "wan0").gate, Gate::Closed] {
        let (kernel, plan) = planned(bridged, vec![Plane { gate, ..plane(0, "wan0") }]);
        assert_eq!(interfaces(&plan), [2, 9].into());
        assert_eq!(kernel.links_of(&plane(0, "wan0"))[0].name, "br0");
        let lines = plan.problems.join("; ");
        assert!(
            lines.contains("wan0 is a port of br0") && lines.contains("between wan0 and wan1"),
            "{lines}"
        );
        assert_eq!(plan.exposed, []);
    }
    let (_, plan) = planned(bridged, vec![plane(0, "wan0"), plane(1, "br0")]);
    assert!(!plan.problems.join("; ").contains("is a port"), "it is configured");
}

#[test]
fn what_cannot_be_followed_is_exposed() {
    let switched = |links: &mut Vec<Link>| {
        links.push(stacked(
            Link { index: 9, name: "ovs".into(), ..links[1].clone() },
            "openvswitch",
            None,
            None,
        ));
        links[1] = stacked(links[1].clone(), "", Some(9), None);
    };
    let (_, plan) = planned(switched, vec![plane(0, "wan0")]);
    assert!(plan.exposed[0].1.contains("wan0 is a port of ovs (openvswitch)"), "{:?}", plan.exposed);
}

/// A VLAN is another network, unless it is where the protected link's address is now.
#[test]
fn a_vlan_is_told_of_when_the_link_below_carries_nothing() {
    let tagged = |below: bool| {
        move |links: &mut Vec<Link>| {
            let vlan = Link { index: 9, name: "wan0.100".into(), ..links[1].clone() };
            links.push(stacked(vlan, "vlan", None, Some(2)));
            links[1].addresses.retain(|_| below);
        }
    };
    let here = |local: &str| Plane { local: local.parse().unwrap(), ..plane(0, "wan0") };
    let told = |plan: &Plan| plan.problems.iter().any(|line| line.contains("wan0.100 upon it has"));
    let (_, plan) = planned(tagged(true), vec![here("192.0.2.1")]);
    assert!(!told(&plan) && plan.exposed.is_empty() && !interfaces(&plan).contains(&9));
    let (_, plan) = planned(tagged(false), vec![here("192.0.2.1")]);
    assert!(!told(&plan) && plan.exposed.len() == 1);
    let (_, plan) = planned(tagged(false), vec![here("127.0.0.1")]);
    assert!(told(&plan) && plan.exposed.is_empty());
}

#[test]
fn who_shares_the_wire_is_protected_without_a_word() {
    let beside = |links: &mut Vec<Link>| {
        links.push(stacked(
            Link { index: 9, name: "vrrp.1".into(), ..links[1].clone() },
            "macvlan",
            None,
            Some(2),
        ));
    };
    let (_, plan) = planned(beside, vec![Plane { local: [192, 0, 2, 1].into(), ..plane(0, "wan0") }]);
    assert_eq!((interfaces(&plan), plan.problems.join("; ")), ([2, 9].into(), String::new()));
}

#[test]
fn swapped_names_are_told_with_the_way_out() {
    let mut kernel = empty_kernel();
    let slot = Slot::new(0).unwrap();
    [3, 2].iter().for_each(|index| kernel.kept.add(slot, *index));
    let plan = plan(&kernel, &Desired { planes: vec![plane(0, "wan0")] }).unwrap();
    let lines = plan.problems.join("; ");
    assert!(
        lines.contains("interface wan1 was wan0") && lines.contains("a restart of gdoi-gm releases wan1"),
        "{lines}"
    );
}
