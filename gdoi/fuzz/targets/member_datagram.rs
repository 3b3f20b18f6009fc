//! Datagrams from anywhere into a member that registers. Nothing but the one policy that its key server has for it,
//! which a seed carries, is ever taken.
#![no_main]

use gdoi::{Instant, View};
use gdoi_fuzz::bench::fleet::{acl, member, member_config, server_address};
use gdoi_fuzz::bench::node::Node;
use gdoi_fuzz::datagrams;
use libfuzzer_sys::fuzz_target;
use std::time::Duration;

fuzz_target!(|input: &[u8]| {
    let mut now = Instant::from_millis(1_000_000);
    let mut node = Node::new(member(member_config(1), 1001), now);
    node.timeout(now);
    for (number, datagram) in datagrams(input).enumerate() {
        // One of ten comes from another port; time goes on in any case.
        let port = 848 + u16::from(number % 10 == 9);
        node.datagram((server_address(1).ip(), port).into(), datagram, now);
        now = now + Duration::from_millis(300);
        node.timeout(now);
        let view = node.endpoint.view(now);
        assert!(view == View::default() || (view.acl == acl() && view.inbound.len() == 1));
    }
});
