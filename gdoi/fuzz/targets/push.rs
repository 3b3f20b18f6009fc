//! Rekey messages for a member that holds a KEK: raw ones, and any payloads that are properly numbered, encrypted and
//! signed. It takes only what its data plane can carry out.
#![no_main]

use gdoi::policy::MAX_ACES;
use gdoi::wire::PayloadType;
use gdoi_fuzz::bench::fleet::{member_address, rekey_config, server_address};
use gdoi_fuzz::bench::stored::{Stored, StoredKek};
use gdoi_fuzz::bench::World;
use gdoi_fuzz::{datagrams, payloads, registered};
use libfuzzer_sys::fuzz_target;
use std::time::Duration;

fuzz_target!(|input: &[u8]| {
    let mut world = registered();
    let kek = Stored::read(&world.stored(server_address(1).into()).unwrap()).keks[0].clone();
    for (sequence, message) in (1..).zip(datagrams(input)) {
        let Some((kind, octets)) = message.split_first() else { continue };
        let datagram = match kind % 2 {
            0 => sealed(&kek, sequence, octets).unwrap_or_default(),
            _ => octets.to_vec(),
        };
        world.inject(server_address(1).into(), member_address(1), &datagram);
        world.run_for(Duration::from_millis(20));
        check(&world);
    }
});

fn sealed(kek: &StoredKek, sequence: u32, octets: &[u8]) -> Option<Vec<u8>> {
    let mut all = vec![(PayloadType::SEQ, sequence.to_be_bytes().to_vec())];
    all.extend(payloads(octets)?);
    Some(kek.seal(&all, &rekey_config().signing_key))
}

fn check(world: &World) {
    let view = world.view(member_address(1));
    assert!(view.registered && view.acl.entries().len() <= MAX_ACES && view.inbound.len() <= 8);
    assert!(view.outbound.iter().all(|sa| view.inbound.contains(sa)));
    for sa in &view.inbound {
        assert!(sa.spi.is_usable() && sa.expires > world.now);
        assert!(sa.keys.fit(sa.transform));
    }
}
