//! What an agent leaves when it ends, and how another one takes it over.

use std::thread;
use std::time::Duration;

use xfrm::{Desired, Sa, Shortened};

use crate::bench::{acl, plane, protecting, sa, wait_until, Lab};
use crate::capture::in_clear;

const SHORT: Duration = Duration::from_secs(3);

fn desired(member: &str) -> Desired {
    let sa = Sa { hard_lifetime: Some(Duration::from_secs(3600)), ..sa(1) };
    Desired { planes: vec![plane(member, protecting(acl(), vec![sa.clone()], Some(sa)))] }
}

fn protected(lab: &Lab) {
    for member in ["gm1", "gm2"] {
        lab.apply(member, &desired(member));
    }
}

/// Both states are there after the time in which they would have ended.
fn lasts(lab: &Lab, sent_before: u64) {
    thread::sleep(SHORT * 2);
    assert!(lab.reaches("h1", "10.2.2.10"));
    let carried = lab.kernel("gm1", |kernel| kernel.states().unwrap());
    assert_eq!(carried.len(), 2);
    assert!(carried.iter().all(|state| state.count.packets > sent_before), "they are others: {carried:?}");
}

#[test]
fn what_is_left_goes_on_for_a_short_time_and_is_blocked_then() {
    let Some(lab) = Lab::build() else { return };
    protected(&lab);
    let capture = lab.capture();
    let shortened = lab.kernel("gm1", |kernel| kernel.shorten(SHORT).unwrap());
    assert_eq!(shortened, Shortened { kept: 2, removed: 0 });
    assert!(lab.reaches("h1", "10.2.2.10"));
    wait_until("the states end", || lab.kernel("gm1", |kernel| kernel.states().unwrap()).is_empty());
    assert!(!lab.reaches("h1", "10.2.2.10") && !lab.reaches("h2", "10.1.1.10"));
    assert_eq!(in_clear(&capture.finish()), Vec::<&String>::new());
}

#[test]
fn who_comes_back_gives_the_states_their_lives_again_and_their_numbers_go_on() {
    let Some(lab) = Lab::build() else { return };
    protected(&lab);
    assert!(lab.reaches("h1", "10.2.2.10"));
    lab.kernel("gm1", |kernel| kernel.shorten(SHORT).unwrap());
    let slots: Vec<_> = desired("gm1").planes.iter().map(|plane| plane.slot).collect();
    assert_eq!(lab.kernel("gm1", move |kernel| kernel.restore(&slots).unwrap()), 0);
    lasts(&lab, 1);
    let limits = lab.run("gm1", "ip -s xfrm state");
    assert_eq!(limits.matches("soft 0(sec), hard 3600(sec)").count(), 2, "{limits}");
}

#[test]
fn a_state_that_ends_too_early_is_given_more_time_and_is_no_other() {
    let Some(lab) = Lab::build() else { return };
    protected(&lab);
    assert!(lab.reaches("h1", "10.2.2.10"));
    lab.kernel("gm1", |kernel| kernel.shorten(SHORT).unwrap());
    let changes = lab.apply("gm1", &desired("gm1")).changes;
    assert!(changes.len() == 2 && changes.iter().all(|change| change.starts_with("prolong ")), "{changes:?}");
    assert_eq!(lab.apply("gm1", &desired("gm1")).changes, Vec::<String>::new());
    lasts(&lab, 1);
}

#[test]
fn what_cannot_be_bounded_is_removed() {
    let Some(lab) = Lab::build() else { return };
    protected(&lab);
    lab.run("gm1", "ip xfrm state add src 0.0.0.0 dst 192.0.0.84 proto esp spi 0x1234 mode tunnel enc 'cbc(aes)' 0x00112233445566778899aabbccddeeff auth 'hmac(sha256)' 0x00");
    let shortened = lab.kernel("gm1", |kernel| kernel.shorten(SHORT).unwrap());
    assert_eq!(shortened, Shortened { kept: 2, removed: 1 });
}
