//! ESP of a group under a key that is not here: it is blocked, and its SPI is known for a while.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use xfrm::{Slot, Spi};

use crate::bench::{protect, sa, Lab};
use crate::capture::in_clear;

fn strays(lab: &Lab) -> BTreeSet<Spi> {
    lab.kernel("gm1", |kernel| kernel.strays(Slot::new(0).unwrap()).unwrap())
}

#[test]
fn esp_under_an_unknown_key_is_blocked_and_its_spi_is_kept_for_a_while() {
    let Some(lab) = Lab::build() else { return };
    assert_eq!(strays(&lab), BTreeSet::new(), "without a table");
    lab.apply("gm1", &protect("gm1", &[1]));
    lab.apply("gm2", &protect("gm2", &[2]));
    let capture = lab.capture();
    assert!(!lab.reaches("h2", "10.1.1.10") && !lab.reaches("h2", "10.1.1.1"));
    assert_eq!(in_clear(&capture.finish()), Vec::<&String>::new());
    assert_eq!(strays(&lab), BTreeSet::from([sa(2).spi]));
    let carried = lab.kernel("gm1", |kernel| kernel.counters().unwrap()).planes[0];
    assert_eq!((carried.blocked_in.packets, carried.decrypted.packets), (2, 0));
    let begun = Instant::now();
    while !strays(&lab).is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it is forgotten");
        thread::sleep(Duration::from_millis(200));
    }
    assert!(begun.elapsed() > Duration::from_secs(5));
    lab.apply("gm1", &protect("gm1", &[1, 2]));
    lab.apply("gm2", &protect("gm2", &[1, 2]));
    assert!(lab.reaches("h2", "10.1.1.10"));
    assert_eq!(strays(&lab), BTreeSet::new(), "and what can be read is none");
}
