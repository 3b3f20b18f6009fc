//! Key servers that share a group.

pub mod commands;
pub mod death;
pub mod partition;
mod refused;
