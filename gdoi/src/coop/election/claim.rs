//! What servers say of the role of the primary.

use crate::coop::Role;
use std::net::IpAddr;

/// A primary as a server tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reign {
    pub(crate) primary: IpAddr,
    pub(crate) priority: u8,
    pub(crate) epoch: u64,
    pub(crate) heartbeat: u64,
}

/// What a server says of itself, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) role: Role,
    pub(crate) priority: u8,
    /// The highest epoch that it knows.
    pub(crate) epoch: u64,
    /// The reign that it follows; its own if it is primary.
    pub(crate) reign: Option<Reign>,
    /// Whether it wants the role of a primary of lower priority.
    pub(crate) claims: Claim,
    /// To whom it hands the role over.
    pub(crate) successor: Option<IpAddr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    Laid,
    None,
}

/// How a peer's keys compare with ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The same.
    Same,
    /// It lacks some of ours and has nothing that we lack.
    Behind,
    /// It has some that we lack.
    Ahead,
}
