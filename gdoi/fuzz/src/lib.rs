//! What the targets share with each other and with the test that writes their seeds.

#[path = "../../tests/exchanges/bench/random.rs"]
pub mod random;

mod responder;
mod round_trip;
mod sequence;

pub use responder::{responder_settings, RESPONDER_SEED};
pub use round_trip::{round_trip, round_trip_payload};
pub use sequence::{datagrams, sequence};
