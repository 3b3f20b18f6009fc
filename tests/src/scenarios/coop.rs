//! Key servers that share a group.

mod commands;
mod death;
mod partition;
mod refused;

pub use commands::commands;
pub use death::{kill_primary, last_server, no_preempt};
pub use partition::partition;
