//! Reports about the key servers that share a group.

use super::GroupLabel;
use crate::clock::Timestamp;
use gdoi::coop::Role;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The answer to `show ks coop`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoopReport {
    /// When this was true.
    pub generated_at: Timestamp,
    /// The groups in the configuration's order.
    pub groups: Vec<CoopGroup>,
}

/// One group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoopGroup {
    /// Its name and number.
    #[serde(flatten)]
    pub group: GroupLabel,
    /// None where no other key server shares it.
    pub redundancy: Option<CoopEntry>,
}

/// How this key server stands in a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoopEntry {
    /// What it is.
    pub role: CoopRole,
    /// Who is primary, as far as it knows.
    pub primary: Option<String>,
    /// The number of the primary's reign.
    pub epoch: u64,
    /// The highest is elected.
    pub local_priority: u8,
    /// Whether it takes the role from a primary of lower priority.
    pub preempt: bool,
    /// How long after it is back; None if it never does.
    pub hold_down_seconds: Option<u64>,
    /// Whether it gave the role away on an operator's word and does not take it back.
    pub resigned: bool,
    /// The group's own time.
    pub pseudotime_seconds: u64,
    /// Whether new keys wait until the other servers have them.
    pub committing: bool,
    /// Registrations that were told to try later.
    pub registrations_blocked: u64,
    /// Elections that it saw begin.
    pub elections: u64,
    /// How often it announces itself.
    pub announcement_interval_seconds: u64,
    /// After so many announcements missed a server is dead.
    pub dead_after: u32,
    /// The digest of the configuration, the same on all servers; hexadecimal.
    pub configuration: String,
    /// The fingerprint of the key that signs rekey messages, the same on all servers; hexadecimal.
    pub signing_key: Option<String>,
    /// The other servers.
    pub peers: Vec<CoopPeerEntry>,
}

/// Another key server. What it said of itself is as old as `last_heard_at`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoopPeerEntry {
    /// Its address.
    pub address: String,
    /// Whether it is heard.
    pub state: PeerState,
    /// Whether an ISAKMP SA with it stands.
    pub linked: bool,
    /// When it was heard last.
    pub last_heard_at: Option<Timestamp>,
    /// What it is.
    pub role: Option<CoopRole>,
    /// Its priority.
    pub priority: Option<u8>,
    /// The number of the reign that it follows.
    pub epoch: Option<u64>,
    /// Whether it has the same keys.
    pub in_step: Option<bool>,
    /// Whether its configuration is the same.
    pub configured_alike: Option<bool>,
    /// The members that it knows.
    pub members: Option<u32>,
    /// Messages sent to it.
    pub sent: u64,
    /// Messages taken from it.
    pub received: u64,
    /// Messages of it that changed nothing.
    pub refused: CoopRefusalCounts,
}

/// Messages that changed nothing, by reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoopRefusalCounts {
    /// The time in them is too far ahead.
    pub too_new: u64,
    /// The time in them is too far behind.
    pub too_old: u64,
    /// Anything else.
    pub other: u64,
}

/// What a key server is in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CoopRole {
    /// It has just started and listens who is there.
    Starting,
    /// It registers members with the primary's keys.
    Secondary,
    /// No primary is left, and none is elected yet.
    Electing,
    /// It makes the keys.
    Primary,
    /// It is primary and hands the role over.
    Yielding,
}

impl From<Role> for CoopRole {
    fn from(role: Role) -> Self {
        match role {
            Role::Starting => CoopRole::Starting,
            Role::Secondary => CoopRole::Secondary,
            Role::Electing => CoopRole::Electing,
            Role::Primary => CoopRole::Primary,
            Role::Yielding => CoopRole::Yielding,
        }
    }
}

impl fmt::Display for CoopRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CoopRole::Starting => "starting",
            CoopRole::Secondary => "secondary",
            CoopRole::Electing => "electing",
            CoopRole::Primary => "primary",
            CoopRole::Yielding => "yielding",
        })
    }
}

/// Whether another key server is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeerState {
    /// It is.
    Alive,
    /// It was, and is no more.
    Dead,
    /// Not since this server's start.
    NeverHeard,
}

impl fmt::Display for PeerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PeerState::Alive => "alive",
            PeerState::Dead => "dead",
            PeerState::NeverHeard => "never heard",
        })
    }
}
