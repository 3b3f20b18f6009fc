//! Fragments of any peers at any times. What is kept is bounded, and what comes out is a message that can be cut again.
#![no_main]

use gdoi::fragment::is_fragment;
use gdoi::wire::MAX_MESSAGE;
use gdoi_fuzz::{datagrams, reassemble};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    for message in reassemble(datagrams(input)) {
        assert!(!message.is_empty() && message.len() <= MAX_MESSAGE && !is_fragment(&message));
    }
});
