//! Cooperating key servers: several that serve the same groups, so that no single one must be alive.

#[allow(dead_code)]
mod link;

#[allow(unused_imports)]
pub(crate) use link::{LinkOutput, LinkSettings, LinkState, LinkStatus, Links, PeerEntry};
