//! What the targets share with each other and with the test that writes their seeds.

/// The virtual network of the tests, for its fleet and its rogue.
#[path = "../../tests/exchanges/bench/mod.rs"]
#[allow(dead_code, unused_imports)]
pub mod bench;

pub mod coop;
mod fragments;
mod rekey;
mod responder;
mod round_trip;
mod sequence;

pub use bench::random;
pub use coop::Court;
pub use fragments::reassemble;
pub use rekey::{payloads, registered, rekeying_config};
pub use responder::{responder_settings, RESPONDER_SEED};
pub use round_trip::{round_trip, round_trip_payload};
pub use sequence::{datagrams, sequence};
