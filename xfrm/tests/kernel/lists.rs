//! Ordered access lists and how strictly they are enforced.

use xfrm::{Ace, Action, Desired, Mode, Prefix};

use crate::bench::{acl, between, permit, plane, prefix, protect, protecting, sa, wait_until, Lab};
use crate::capture::in_clear;

fn ace(entry: &str) -> Ace {
    entry.parse().unwrap()
}

fn deny(source: Prefix, destination: Prefix) -> Ace {
    Ace { action: Action::Deny, selector: between(source, destination) }
}

fn apply(lab: &Lab, acl: &[Ace], mode: Mode) {
    for member in ["gm1", "gm2"] {
        let mut wish = plane(member, protecting(acl.to_vec(), vec![sa(1)], Some(sa(1))));
        if let xfrm::Gate::Protect(protection) = &mut wish.gate {
            protection.mode = mode;
        }
        let planes = vec![wish];
        lab.apply(member, &Desired { planes: planes.clone() });
        assert_eq!(lab.apply(member, &Desired { planes }).changes, Vec::<String>::new());
    }
}

fn bulk(lab: &Lab, port: u16) {
    let mut server = lab.start("h2", &format!("iperf3 -s -1 -p {port}"));
    wait_until("iperf3 listens", || lab.attempt("h2", &format!("ss -ltn | grep -q :{port}")).0);
    lab.run("h1", &format!("iperf3 -c 10.2.2.10 -p {port} -n 20K"));
    server.wait().unwrap();
}

#[test]
fn the_first_entry_that_matches_decides() {
    let Some(lab) = Lab::build() else { return };
    let list = [
        deny(prefix([10, 1, 1, 1], 32), prefix([10, 0, 0, 0], 8)),
        deny(prefix([10, 0, 0, 0], 8), prefix([10, 1, 1, 1], 32)),
        ace("deny tcp 10.0.0.0/8 10.0.0.0/8 range 5201 5210"),
        ace("deny tcp 10.0.0.0/8 range 5201 5210 10.0.0.0/8"),
        acl()[0],
        deny(prefix([10, 0, 0, 0], 8), prefix([10, 0, 0, 0], 8)),
        ace("deny tcp 10.0.0.0/8 10.0.0.0/8 range 5300 5310"),
    ];
    apply(&lab, &list, Mode::Strict);
    let capture = lab.capture();
    lab.run("gm1", "ping -n -c 1 -W 5 -I 10.1.1.1 10.2.2.10");
    [5201, 5210, 5211, 5300].iter().for_each(|port| bulk(&lab, *port));
    lab.run("h1", "ping -n -c 1 -W 5 10.2.2.10");
    let lines = capture.finish();
    let clear = in_clear(&lines);
    let expected = |line: &str| {
        line.contains("10.1.1.1 ")
            || line.contains("10.1.1.1:")
            || line.contains(".5201")
            || line.contains(".5210")
    };
    assert!(clear.iter().all(|line| expected(line)), "{clear:?}");
    for named in ["10.1.1.1 > 10.2.2.10: ICMP", "10.2.2.10.5201: ", "10.2.2.10.5210: "] {
        assert!(clear.iter().any(|line| line.contains(named)), "{named}: {clear:?}");
    }
    assert!(lines.len() - clear.len() > 40, "{lines:?}");
    let carried = lab.kernel("gm1", |kernel| kernel.counters().unwrap()).planes[0];
    assert_eq!((carried.blocked_out.packets, carried.blocked_in.packets), (0, 0));
}

/// The guard judges by the same list when policies are gone.
#[test]
fn the_guard_holds_what_the_list_permits_and_nothing_else() {
    let Some(lab) = Lab::build() else { return };
    let list = [
        ace("deny tcp 10.0.0.0/8 10.0.0.0/8 range 5201 5210"),
        ace("deny tcp 10.0.0.0/8 range 5201 5210 10.0.0.0/8"),
        acl()[0],
    ];
    apply(&lab, &list, Mode::Strict);
    for member in ["gm1", "gm2"] {
        lab.run(member, "ip xfrm policy flush; ip xfrm state flush");
    }
    let capture = lab.capture();
    bulk(&lab, 5205);
    assert!(!lab.reaches("h1", "10.2.2.10") && !lab.reaches("h2", "10.1.1.10"));
    // An error of gm2 about a denied flow passes, one about a permitted flow does not.
    let lines = capture.finish();
    assert!(
        lines.iter().all(|line| line.contains(".5205") || line.contains("10.2.2.10 > 10.1.1.10: ICMP")),
        "{lines:?}"
    );
    assert!(lines.iter().all(|line| !line.contains("10.1.1.10 > 10.2.2.10: ICMP")), "{lines:?}");
}

#[test]
fn an_entry_that_the_kernel_cannot_express_is_refused_by_name() {
    let Some(lab) = Lab::build() else { return };
    let odd = ace("permit tcp 10.0.0.0/8 range 1 65534 10.0.0.0/8 range 1 65534");
    let gate = protecting(vec![odd], vec![sa(1)], Some(sa(1)));
    let planes = vec![plane("gm1", gate)];
    let error = lab.kernel("gm1", |kernel| kernel.apply(&Desired { planes }).unwrap_err().to_string());
    assert!(
        error.contains("`tcp 10.0.0.0/8 range 1 65534 10.0.0.0/8 range 1 65534` would take 900"),
        "{error}"
    );
}

#[test]
fn a_thousand_entries_are_installed_and_clear_traffic_passes() {
    let Some(lab) = Lab::build() else { return };
    let site = |number: u16| {
        let [high, low] = number.to_be_bytes();
        prefix([10, 16 + high, low, 0], 24)
    };
    let mut list: Vec<_> = (0..498)
        .flat_map(|number| {
            let far = prefix([10, 64, 0, 0], 16);
            [permit(site(number), far), permit(far, site(number))]
        })
        .collect();
    list.push(deny(prefix([10, 1, 1, 1], 32), prefix([10, 2, 2, 10], 32)));
    list.push(deny(prefix([10, 2, 2, 10], 32), prefix([10, 1, 1, 1], 32)));
    list.push(permit(prefix([10, 1, 0, 0], 16), prefix([10, 2, 0, 0], 16)));
    list.push(permit(prefix([10, 2, 0, 0], 16), prefix([10, 1, 0, 0], 16)));
    assert_eq!(list.len(), 1000);
    for member in ["gm1", "gm2"] {
        let wish =
            Desired { planes: vec![plane(member, protecting(list.clone(), vec![sa(1)], Some(sa(1))))] };
        lab.apply(member, &wish);
        assert_eq!(lab.apply(member, &wish).changes, Vec::<String>::new());
    }
    let capture = lab.capture();
    lab.run("h1", "ping -n -c 1 -W 5 10.2.2.10");
    lab.run("gm1", "ping -n -c 1 -W 5 -I 10.1.1.1 10.2.2.10");
    assert!(lab.reaches("h1", "172.16.2.10"));
    let lines = capture.finish();
    assert_eq!((lines.len(), in_clear(&lines).len()), (6, 4), "{lines:?}");
}

#[test]
fn a_passive_member_sends_encrypted_and_accepts_both() {
    let Some(lab) = Lab::build() else { return };
    apply(&lab, &acl(), Mode::AcceptClear);
    lab.apply("gm2", &Desired::default());
    let capture = lab.capture();
    // gm2 answers nothing that is encrypted, and its own clear requests arrive.
    assert!(!lab.reaches("h1", "10.2.2.10") && !lab.reaches("h2", "10.1.1.10"));
    let lines = capture.finish();
    let clear = in_clear(&lines);
    assert!(clear.len() == 1 && clear[0].contains("10.2.2.10 > 10.1.1.10: ICMP echo request"), "{clear:?}");
    assert!(lines.iter().any(|line| line.contains("10.1.1.10 > 10.2.2.10: ESP")), "{lines:?}");
    let carried = lab.kernel("gm1", |kernel| kernel.counters().unwrap()).planes[0];
    assert_eq!((carried.encrypted.packets, carried.blocked_in.packets), (2, 0));
    lab.apply("gm2", &protect("gm2", &[1]));
    assert!(lab.reaches("h1", "10.2.2.10") && lab.reaches("h2", "10.1.1.10"));
}

#[test]
fn a_group_that_only_receives_sends_clear_and_accepts_both() {
    let Some(lab) = Lab::build() else { return };
    apply(&lab, &acl(), Mode::ReceiveOnly);
    let capture = lab.capture();
    assert!(lab.reaches("h1", "10.2.2.10") && lab.reaches("h2", "10.1.1.10"));
    assert_eq!(in_clear(&capture.finish()).len(), 4);
    let mut wish = protect("gm2", &[1]);
    if let xfrm::Gate::Protect(protection) = &mut wish.planes[0].gate {
        protection.mode = Mode::AcceptClear;
    }
    lab.apply("gm2", &wish);
    let capture = lab.capture();
    assert!(lab.reaches("h1", "10.2.2.10") && lab.reaches("h2", "10.1.1.10"));
    let lines = capture.finish();
    assert_eq!((lines.len(), in_clear(&lines).len()), (4, 2), "{lines:?}");
}
