//! Datagrams from one peer into the responder of Main Mode. What is refused leaves the exchange as it was.
#![no_main]

use gdoi::phase1::{Responder, ResponderStep};
use gdoi::wire::Header;
use gdoi::Error;
use gdoi_fuzz::random::Seeded;
use gdoi_fuzz::{datagrams, responder_settings, RESPONDER_SEED};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let mut random = Seeded::new(RESPONDER_SEED);
    let mut state = None;
    for datagram in datagrams(input) {
        let Ok((header, body)) = Header::parse(datagram) else { continue };
        let step = match &state {
            None => Responder::start(responder_settings(), &header, body, &mut random)
                .map(|(next, answer)| ResponderStep::Next(next, answer)),
            Some(state) => Responder::step(state, &header, body, &mut random),
        };
        match step {
            Ok(ResponderStep::Next(next, answer)) => state = Some(checked(next, &answer)),
            Ok(ResponderStep::Established(_, answer)) => return assert!(Header::parse(&answer).is_ok()),
            Err(Error::Internal(error)) => panic!("a peer caused an internal error: {error}"),
            Err(_) => {}
        }
    }
});

fn checked(next: Responder, answer: &[u8]) -> Responder {
    let (header, _) = Header::parse(answer).expect("what is sent is well-formed");
    assert_eq!(header.responder, next.cookies().responder);
    next
}
