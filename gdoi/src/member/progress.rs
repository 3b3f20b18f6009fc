//! What a registration comes to.

use crate::endpoint::Transmit;
use crate::error::Error;
use crate::group::{GroupPolicy, SenderIds};
use crate::keyring::Made;
use std::time::Duration;

/// Policy and keys, and when the server can have made them.
pub(super) struct Download {
    pub(super) policy: GroupPolicy,
    pub(super) sender_ids: SenderIds,
    pub(super) made: Made,
    /// Whether the server may send in fragments what follows.
    pub(super) fragments: bool,
}

/// What an input led to.
pub(super) enum Progress {
    /// Send this and wait on.
    Send(Transmit),
    /// Wait on.
    Nothing,
    /// The datagram is not from our server or not for this registration.
    Ignored(Error),
    /// Done; the message takes leave of the server.
    Registered(Box<Download>, Option<Transmit>),
    /// The server has nothing newer before that; the message takes leave of it.
    Postponed(Duration, Option<Transmit>),
    /// It came to nothing.
    Failed(Error, Option<Transmit>),
}
