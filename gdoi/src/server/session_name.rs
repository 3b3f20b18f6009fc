//! How sessions are told apart.

use std::net::SocketAddr;

/// Whose a session is, and how its initiator named it: by its cookie (IKEv1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SessionName {
    pub(super) peer: SocketAddr,
    pub(super) initiator: [u8; 8],
}
