//! Datagrams from a few peers into a key server. What it keeps is bounded, and only one that finishes a whole exchange,
//! which a seed carries, becomes a member.
#![no_main]

use gdoi::Instant;
use gdoi_fuzz::bench::fleet::{member_address, server, server_config};
use gdoi_fuzz::bench::node::Node;
use gdoi_fuzz::datagrams;
use libfuzzer_sys::fuzz_target;
use std::time::Duration;

fuzz_target!(|input: &[u8]| {
    let mut now = Instant::from_millis(1_000_000);
    let mut node = Node::new(server(server_config(1), 1, now), now);
    for (number, datagram) in datagrams(input).enumerate() {
        // One of ten comes from another peer; time goes on in any case.
        let peer = member_address(1 + u16::from(number % 10 == 9));
        node.datagram(peer, datagram, now);
        now = now + Duration::from_millis(300);
        node.timeout(now);
        let status = node.endpoint.status(now);
        assert!(
            status.half_open <= 2 * 8 && status.established <= 2 * 4 && status.groups[0].members.len() <= 2
        );
    }
});
