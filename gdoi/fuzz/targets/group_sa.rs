//! The body of the SA payload that carries a group's policy, and what its traffic selectors mean.
#![no_main]

use gdoi::wire::GroupSa;
use gdoi_fuzz::round_trip;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    round_trip(body, GroupSa::parse, GroupSa::emit);
    let Ok(sa) = GroupSa::parse(body) else { return };
    for tek in &sa.teks {
        let _ = (tek.source.as_prefix(), tek.destination.as_prefix());
    }
});
