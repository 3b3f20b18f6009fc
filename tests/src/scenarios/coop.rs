//! Key servers that share a group.

mod death;
mod partition;

pub use death::{kill_primary, last_server, no_preempt};
pub use partition::partition;
