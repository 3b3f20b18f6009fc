//! Links that get another name, those that are known by the beginning of their names, and closing before anything else.

use xfrm::{Desired, Gate, Kept, Kernel, Plane};

use crate::bench::{plane, protect, Lab};
use crate::capture::in_clear;

fn closed(interface: &str) -> Desired {
    Desired { planes: vec![Plane { interface: interface.into(), ..plane("gm1", Gate::Closed) }] }
}

/// Another name for a link that must go down for it.
const AWAY: &str = "ip link set wan down; ip link set wan name away; ip link set away up; \
                    ip route replace default via 192.0.2.2";
const HOME: &str = "ip link set away down; ip link set away name wan; ip link set wan up; \
                    ip route replace default via 192.0.2.2";

/// Before the next `apply`, too: by policies on the way out, and by the table both ways.
#[test]
fn a_renamed_link_is_not_open_for_a_moment() {
    let Some(lab) = Lab::build() else { return };
    for (desired, damage) in [
        (closed("wan"), "true"),
        (closed("wan"), "ip xfrm policy flush"),
        (protect("gm1", &[1]), "true"),
        (protect("gm1", &[1]), "ip xfrm policy flush"),
    ] {
        lab.apply("gm1", &desired);
        lab.run("gm1", AWAY);
        lab.run("gm1", damage);
        let capture = lab.capture();
        let arrives = crate::capture::Capture::begin(
            lab.start("h1", "tcpdump -n -l --immediate-mode -i eth0 inbound and src host 10.2.2.10"),
        );
        assert!(!lab.reaches("h1", "10.2.2.10") && !lab.reaches("h2", "10.1.1.10"), "after {damage}");
        let lines = capture.finish();
        let out: Vec<_> =
            in_clear(&lines).into_iter().filter(|line| line.contains("10.1.1.10 > 10.2")).collect();
        assert_eq!(out, Vec::<&String>::new(), "after {damage}");
        assert_eq!(arrives.finish(), Vec::<String>::new(), "after {damage}");
        lab.run("gm1", HOME);
        lab.kernel("gm1", |kernel| kernel.remove_all().unwrap());
    }
}

#[test]
fn a_renamed_link_is_served_on_until_it_is_gone() {
    let Some(lab) = Lab::build() else { return };
    lab.apply("gm2", &protect("gm2", &[1]));
    let desired = protect("gm1", &[1]);
    lab.within("gm1", || {
        let mut kernel = Kernel::open().unwrap();
        assert_eq!(kernel.apply(&desired).unwrap().problems, Vec::<String>::new());
        lab.run("gm1", AWAY);
        let problems = kernel.apply(&desired).unwrap().problems;
        assert!(problems.iter().any(|one| one.contains("interface away was wan")), "{problems:?}");
        assert!(lab.reaches("h1", "10.2.2.10"));
        assert_eq!(kernel.apply(&desired).unwrap().changes, Vec::<String>::new());
        // Another process knows it by its index.
        let kept = kernel.kept().clone();
        let mut kernel = Kernel::open().unwrap();
        kept.of(desired.planes[0].slot).for_each(|index| kernel.keep(desired.planes[0].slot, index));
        assert_eq!(kernel.apply(&desired).unwrap().changes, Vec::<String>::new());
        lab.run("gm1", "ip link del away");
        let problems = kernel.apply(&desired).unwrap().problems;
        assert!(problems.contains(&"interface wan does not exist".to_owned()), "{problems:?}");
        assert_eq!(kernel.kept(), &Kept::default());
    });
}

#[test]
fn whatever_begins_like_a_pattern_is_held_from_its_first_moment() {
    let Some(lab) = Lab::build() else { return };
    lab.apply("gm2", &protect("gm2", &[1]));
    let mut desired = protect("gm1", &[1]);
    desired.planes[0].interface = "wa*".into();
    lab.apply("gm1", &desired);
    assert!(lab.reaches("h1", "10.2.2.10"));
    lab.run("gm1", "ip link set wan down; ip link set wan name way; ip link set way up; ip route replace default via 192.0.2.2");
    let capture = lab.capture();
    lab.run("gm1", "ip xfrm policy flush");
    assert!(!lab.reaches("h1", "10.2.2.10"));
    assert_eq!(in_clear(&capture.finish()), Vec::<&String>::new());
    lab.apply("gm1", &desired);
    assert!(lab.reaches("h1", "10.2.2.10"));
    lab.run("gm1", "ip link add wax type dummy; ip link set wax up");
    let changes = lab.apply("gm1", &desired).changes;
    assert!(changes.iter().any(|one| one.contains("policy out")), "{changes:?}");
    assert!(lab.reaches("h1", "10.2.2.10"));
}

#[test]
fn what_nothing_guards_is_closed_and_what_protects_is_left_alone() {
    let Some(lab) = Lab::build() else { return };
    let close = |desired: &Desired| lab.within("gm1", || xfrm::close(desired, &Kept::default()));
    let done = close(&closed("wan"));
    assert!(done.failures.is_empty() && done.changes.len() > 3, "{done:?}");
    assert!(close(&closed("wan")).changes.is_empty());
    for damage in ["true", "nft flush ruleset", "ip xfrm policy flush"] {
        lab.run("gm1", damage);
        let capture = lab.capture();
        assert!(!lab.reaches("h1", "10.2.2.10"), "after {damage}");
        assert_eq!(in_clear(&capture.finish()), Vec::<&String>::new(), "after {damage}");
        close(&closed("wan"));
    }
    lab.protect(&[1]);
    assert!(lab.reaches("h1", "10.2.2.10"));
    assert!(close(&closed("wan")).changes.is_empty(), "it protects");
    assert!(lab.reaches("h1", "10.2.2.10"));
    lab.run("gm1", "nft flush ruleset");
    assert!(!close(&closed("wan")).changes.is_empty());
    assert!(!lab.reaches("h1", "10.2.2.10"), "what protects without its table is closed");
    let protecting = lab.kernel("gm1", |kernel| kernel.installed().unwrap().protecting());
    assert_eq!(protecting, [], "nobody adopts what is closed");
}
