//! The body of the payload that carries keys.
#![no_main]

use gdoi::wire::Kd;
use gdoi_fuzz::round_trip;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| round_trip(body, Kd::parse, Kd::emit));
