//! Cooperating key servers (COOP): up to eight servers share a group's keys and members, one of them is primary.
//!
//! No public wire format exists, so this one is ours; the behaviour is the known one. Every pair of servers is joined
//! by an ISAKMP SA. Each server tells all others every second how it stands (an announcement of constant size); what
//! they lack is sent to them: the state of the keys whole, members by what changed.
//!
//! ```text
//! announcement -> election: who is primary            every server registers members, the primary makes keys
//!              -> versions: who lacks what -> state, members
//! ```

mod election;
mod link;
mod message;
mod sids;
mod version;

pub(crate) use election::{Claim, Election, Step, Turn, Work};
pub(crate) use link::{LinkOutput, LinkSettings, LinkState, Links, Place};
pub(crate) use message::{
    address_octets, parse_address, split, write_head, Announcement, Commitment, Kind, Lineage, Slice,
};
pub(crate) use sids::Sids;
pub(crate) use version::{Author, Versions};

use crate::endpoint::Instant;
use crate::phase1::Credential;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Most servers of one group, itself included.
pub const MAX_SERVERS: usize = 8;

/// How far the time of an announcement may be from this server's.
pub(crate) const TOLERANCE: Duration = Duration::from_secs(10);

/// A cooperating server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoopPeer {
    /// Where it is; it must prove this address as its identity.
    pub address: SocketAddr,
    /// What goes with it and with nobody else.
    pub credential: Credential,
}

/// What a group is told about the servers that share it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redundancy {
    /// The highest is elected; the highest address among equals.
    pub priority: u8,
    /// The other servers, 1 to 7; the same set on all of them.
    pub peers: Vec<IpAddr>,
    /// Whether it takes the role from a primary of lower priority when it comes back.
    pub preemption: Preemption,
    /// How often it announces itself: 1 to 20 s.
    pub interval: Duration,
    /// After so many announcements missed a server is taken for dead: 2 to 10.
    pub dead_after: u32,
}

impl Redundancy {
    /// That of a server without others.
    pub(crate) const NONE: Redundancy = Redundancy {
        priority: 0,
        peers: Vec::new(),
        preemption: Preemption::Never,
        interval: Duration::from_secs(1),
        dead_after: 3,
    };

    /// After so long without a word a server is taken for dead.
    pub fn patience(&self) -> Duration {
        self.interval * self.dead_after
    }
}

/// Whether a server takes the role of the primary from one of lower priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preemption {
    /// When it has been back for so long.
    After(Duration),
    /// Never.
    Never,
}

/// What a server is in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It has just started and listens who is there; members are told to try later.
    Starting,
    /// It registers members with the primary's keys.
    Secondary,
    /// No primary is left, and none is elected yet; members are told to try later.
    Electing,
    /// It makes the keys.
    Primary,
    /// It is primary and hands the role over.
    Yielding,
}

impl Role {
    /// Whether it makes keys or is about to stop doing so.
    pub const fn leads(self) -> bool {
        matches!(self, Role::Primary | Role::Yielding)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Starting => "starting",
            Role::Secondary => "secondary",
            Role::Electing => "electing",
            Role::Primary => "primary",
            Role::Yielding => "yielding",
        })
    }
}

/// How a server stands in a group with its peers.
#[derive(Clone, Debug)]
pub struct CoopStatus {
    /// What it is.
    pub role: Role,
    /// Who is primary, as far as it knows.
    pub primary: Option<IpAddr>,
    /// The number of the primary's reign; grows with every change.
    pub epoch: u64,
    /// The server's memory with which the group began, 8 octets; None before it did.
    pub lineage: Option<[u8; 8]>,
    /// What it was configured with.
    pub redundancy: Redundancy,
    /// Whether it gave the role away on an operator's word and does not take it back.
    pub resigned: bool,
    /// The group's pseudotime, milliseconds.
    pub pseudotime: u64,
    /// What the configuration comes to, 16 octets; the same on all servers.
    pub configuration: [u8; 16],
    /// Whether keys wait until the others have them.
    pub committing: bool,
    /// Registrations answered "try later".
    pub blocked: u64,
    /// Elections that it saw begin.
    pub elections: u64,
    /// The other servers.
    pub peers: Vec<CoopPeerStatus>,
}

/// How a server sees one of its peers.
#[derive(Clone, Debug)]
pub struct CoopPeerStatus {
    /// Its address.
    pub address: IpAddr,
    /// Whether an ISAKMP SA with it stands.
    pub linked: bool,
    /// Whether it is heard.
    pub alive: bool,
    /// When it was heard last.
    pub last_heard: Option<Instant>,
    /// What it said of itself then.
    pub said: Option<CoopPeerWord>,
    /// Messages about this group that were sent to it.
    pub sent: u64,
    /// Messages about this group that were taken from it.
    pub received: u64,
    /// Messages of it about this group that changed nothing, by reason.
    pub refused: CoopRefusals,
}

/// What a server says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoopPeerWord {
    /// What it is.
    pub role: Role,
    /// Its priority.
    pub priority: u8,
    /// The number of the reign that it follows.
    pub epoch: u64,
    /// Whether its configuration is the same.
    pub configured_alike: bool,
    /// Whether it has the same keys.
    pub in_step: bool,
    /// The members that it knows.
    pub members: u32,
    /// Whether it wants the role of the primary.
    pub claims: bool,
}

/// Messages of a peer that changed nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CoopRefusals {
    /// Pseudotime too far ahead.
    pub too_new: u64,
    /// Pseudotime too far behind.
    pub too_old: u64,
    /// Anything else.
    pub other: u64,
}
