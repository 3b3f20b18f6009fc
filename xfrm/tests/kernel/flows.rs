//! Flows that began before they were protected.

use std::net::UdpSocket;

use crate::bench::{protect, Lab};

const MASQUERADE: &str = "nft 'table ip operator { chain nat { type nat hook postrouting priority srcnat; \
                          oifname \"wan\" masquerade; }; }'";
/// One flow that the list names, one that it does not, and one between two LANs.
const FLOWS: [(&str, &str); 3] =
    [("10.1.1.10", "10.2.2.10:9"), ("172.16.1.10", "172.16.2.10:9"), ("10.1.1.10", "172.16.1.1:9")];

#[test]
fn those_that_nat_hid_from_the_list_are_ended_and_no_others() {
    let Some(lab) = Lab::build() else { return };
    lab.run("gm1", MASQUERADE);
    let sent = |flow: usize| {
        let (from, to) = FLOWS[flow];
        UdpSocket::bind((from, 4000)).unwrap().send_to(b"clear", to).unwrap();
    };
    lab.within("h1", || (0..FLOWS.len()).for_each(sent));
    let ended = |changes: &[String]| changes.iter().filter(|change| change.starts_with("end ")).count();
    lab.kernel("gm1", |kernel| {
        let changes = kernel.apply(&protect("gm1", &[1])).unwrap().changes;
        let line = "end 1 flows that began before they were protected";
        assert!(changes.iter().any(|change| change == line), "{changes:?}");
        assert_eq!(ended(&kernel.apply(&protect("gm1", &[1])).unwrap().changes), 0, "they are right now");
    });
    let capture = lab.capture();
    lab.within("h1", || sent(0));
    let lines = capture.finish();
    assert!(lines.iter().any(|line| line.contains("10.1.1.10 > 10.2.2.10: ESP")), "{lines:?}");
}
