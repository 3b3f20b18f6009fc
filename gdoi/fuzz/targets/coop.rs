//! What a cooperating key server that is believed may say: any bodies, as they are or with the head that is expected,
//! while time goes on and operators give commands. What is refused changes nothing; whatever is believed can be counted
//! on from, told, stored and read again.
#![no_main]

use gdoi_fuzz::bench::traitor::sight;
use gdoi_fuzz::{coop, datagrams, Court};
use libfuzzer_sys::fuzz_target;
use std::time::Duration;

/// As often as this in one run, each takes a while.
const MOST: usize = 24;

fuzz_target!(|input: &[u8]| {
    let mut court = Court::open();
    for message in datagrams(input).take(MOST) {
        let Some((kind, octets)) = message.split_first() else { continue };
        match kind % 4 {
            coop::RAW => say(&mut court, octets),
            coop::COMPLETED => {
                let body = court.completed(octets);
                say(&mut court, &body);
            }
            coop::TIME => {
                let pauses = octets.first().map_or(1, |number| 1 + number % 8);
                (0..pauses).for_each(|_| court.wait(Duration::from_secs(1)));
            }
            _ => court.command(octets.first().copied().unwrap_or_default()),
        }
    }
    court.close();
});

fn say(court: &mut Court, body: &[u8]) {
    let (now, before) = (court.now, court.node.endpoint.status(court.now));
    let events = court.node.events.len();
    court.say(body);
    let after = court.node.endpoint.status(now);
    // Where a time of its own is given up for another, the message that is the last straw is refused.
    let lost_time = court.node.events[events..]
        .iter()
        .any(|(_, event)| event.name() == "COOP_KS_VALID_ANN_TIMER_EXPIRED");
    if after.rejected > before.rejected && !lost_time {
        assert_eq!(sight(&after), sight(&before));
    }
    assert!(after.groups[0].teks.len() <= 7 && after.groups[0].members.len() <= 16_384);
}
