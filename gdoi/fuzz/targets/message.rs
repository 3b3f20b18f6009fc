//! A whole datagram in clear: header, chain, and the body of each payload.
#![no_main]

use gdoi::wire::{emit_chain, Chain, Header, Padding};
use gdoi_fuzz::round_trip_payload;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|datagram: &[u8]| {
    let Ok((header, body)) = Header::parse(datagram) else { return };
    assert_eq!(header.emit(body).as_deref(), Ok(datagram));
    for padding in [Padding::None, Padding::Block] {
        let Ok(chain) = Chain::parse(header.next, body, padding) else { continue };
        let payloads: Vec<_> = chain.payloads.iter().map(|payload| (payload.kind, payload.body)).collect();
        let again = emit_chain(&payloads).expect("what was read can be written");
        assert_eq!(*again, body[..chain.length]);
        chain.payloads.iter().for_each(round_trip_payload);
    }
});
