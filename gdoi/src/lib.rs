//! The Group Domain of Interpretation without I/O.

pub mod crypto;
pub mod endpoint;
mod error;
pub mod phase1;
pub mod policy;
mod protect;
pub mod wire;

pub use endpoint::{Endpoint, Instant, Output, Transmit};
pub use error::{Error, Malformed, Misbehaved, Unacceptable, Unauthenticated};
