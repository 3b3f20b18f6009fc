//! Everything the Linux kernel must hold so that a packet crosses the WAN encrypted under its own header.

mod counters;
mod error;
mod kernel;
mod message;
mod model;
mod nft;
mod object;
mod plan;
mod preflight;
mod route;
mod socket;
mod target;

pub use counters::{Count, Counters, PlaneCounters, StateCounters};
pub use error::Error;
pub use kernel::{Kernel, Report};
pub use model::{Desired, EncryptionKey, Gate, IntegrityKey, Key, Plane, Prefix, Sa, Selector, Slot, Spi};
pub use object::Direction;
pub use plan::{plan, Installed, Op, Plan, Protecting};
pub use preflight::{preflight, Problem};
