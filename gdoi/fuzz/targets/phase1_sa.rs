//! The body of the SA payload of Main Mode.
#![no_main]

use gdoi::wire::Phase1Sa;
use gdoi_fuzz::round_trip;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| round_trip(body, Phase1Sa::parse, Phase1Sa::emit));
