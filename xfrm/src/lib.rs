//! Everything the Linux kernel must hold so that a packet crosses the WAN encrypted under its own header.

mod error;
mod kernel;
mod model;
mod plan;
mod preflight;

pub use error::Error;
pub use kernel::{Count, Counters, Direction, Kernel, PlaneCounters, Report, StateCounters};
pub use model::{Desired, EncryptionKey, Gate, IntegrityKey, Key, Plane, Prefix, Sa, Selector, Slot, Spi};
pub use plan::{Installed, Protecting};
pub use preflight::{preflight, Problem};
