//! A table that is written while traffic passes.
//!
//! A set of ranges is filled after the rules that ask it have come into force (rbtree since Linux 7.0, pipapo always).
//! The more there is to tell a listener, the later.

use std::process::Child;

use xfrm::{Ace, Desired, Gate, Plane};

use crate::bench::{acl, acl_ipv6, dual, in_clear, permit, plane, prefix, protecting, Lab};

/// Tables in one test.
const TABLES: u16 = 10;

/// So many entries that the lists are sets.
fn entries() -> Vec<Ace> {
    let far = |number| permit(prefix([172, 20, number, 0], 24), prefix([10, 0, 0, 0], 8));
    acl().into_iter().chain((0..40).map(far)).chain(acl_ipv6()).collect()
}

fn listener(lab: &Lab) -> Child {
    lab.start("gm1", "nft monitor > /dev/null")
}

fn end(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_new_table_under_a_flood_loses_nothing() {
    let Some(lab) = Lab::build() else { return };
    let wish = |member, mss| Desired { planes: vec![Plane { mss, ..dual(member, entries()) }] };
    for member in ["gm1", "gm2"] {
        lab.apply(member, &wish(member, None));
    }
    let listener = listener(&lab);
    let floods = ["10.2.2.10", "2001:db8:a2::10"]
        .map(|address| lab.start("h1", &format!("ping -n -q -i 0.002 -w 5 {address}")));
    for number in 0..TABLES {
        lab.apply("gm1", &wish("gm1", Some(1200 + number)));
    }
    for flood in floods {
        let said = flood.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        assert!(text.contains(" 0% packet loss"), "{text}");
    }
    end(listener);
}

#[test]
fn what_a_closed_gate_held_is_not_let_go_while_its_list_comes() {
    let Some(lab) = Lab::build() else { return };
    let (capture, listener) = (lab.capture(), listener(&lab));
    lab.apply("gm1", &Desired { planes: vec![plane("gm1", Gate::Closed)] });
    let floods = [("h1", "10.2.2.10"), ("h2", "10.1.1.10")]
        .map(|(host, address)| lab.start(host, &format!("ping -n -q -i 0.002 -w 5 {address}")));
    for _ in 0..TABLES {
        for gate in [protecting(entries(), Vec::new(), None), Gate::Closed] {
            lab.apply("gm1", &Desired { planes: vec![plane("gm1", gate)] });
        }
    }
    for flood in floods {
        let said = flood.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        assert!(text.contains(" 0 received"), "{text}");
    }
    let lines = capture.finish();
    let sent: Vec<_> = in_clear(&lines).into_iter().filter(|line| line.contains("10.1.1.10 > ")).collect();
    assert_eq!(sent, Vec::<&String>::new());
    end(listener);
}
