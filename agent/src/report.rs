//! What the daemons report: the one schema that `gdoictl --json` prints and its texts are made of.
//!
//! Moments are RFC 3339 timestamps in UTC, spans are whole seconds. New fields may come, none changes or goes
//! within a major version.

mod coop;
mod counters;
mod key_server;
mod member;
mod rekey;
mod reload;

pub use coop::{CoopEntry, CoopGroup, CoopPeerEntry, CoopRefusalCounts, CoopReport, CoopRole, PeerState};
pub use key_server::{
    KeyServerAcl, KeyServerAcls, KeyServerGroup, KeyServerPolicies, KeyServerPolicy, KeyServerReport,
    MemberEntry, MemberList, MembersReport, SenderIdEntry,
};
pub use member::{
    AccessList, AclReport, DataplaneReport, Detachment, KeyOrigin, KeyWay, Lengths, MemberGroup,
    MemberReport, PlaneEntry, Protection, Registration, StateEntry, StateSummary, Traffic,
};
pub use rekey::{KeyServerRekey, KeyServerRekeys, MemberRekey, MemberRekeys, RekeyEntry, RekeyTransport};
pub use reload::{ActionEntry, ActionReport, ChangeEntry, ReloadEffect, ReloadReport};

use crate::clock::Timestamp;
use crate::events::Event;
use crate::fingerprint::hex;
use gdoi::endpoint::Instant;
use gdoi::policy::SendMode;
use gdoi::GroupName;
use serde::{Deserialize, Serialize};

/// How the traffic of a group is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sending {
    /// Encrypted.
    Encrypted,
    /// In clear, and received in either form: the group is receive-only.
    Clear,
}

impl From<SendMode> for Sending {
    fn from(mode: SendMode) -> Self {
        match mode {
            SendMode::Both => Sending::Encrypted,
            SendMode::ReceiveOnly => Sending::Clear,
        }
    }
}

/// A group's name and number, part of every report about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupLabel {
    /// What the configuration calls it.
    pub name: String,
    /// Its number.
    pub identity_number: u32,
}

impl From<&GroupName> for GroupLabel {
    fn from(group: &GroupName) -> Self {
        GroupLabel { name: group.name.clone(), identity_number: group.id.0 }
    }
}

/// A traffic key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TekEntry {
    /// Its SPI in hexadecimal with 0x.
    pub spi: String,
    /// Cipher and integrity algorithm.
    pub transform: String,
    /// The anti-replay window, packets; 0 is none.
    pub replay_window: u16,
    /// The end of its life.
    pub expires_at: Timestamp,
    /// What it is used for now: `sending` (and receiving) or `receiving`.
    pub role: String,
}

impl TekEntry {
    /// What `tek` looks like from outside.
    pub fn new(tek: &gdoi::TekStatus, now: Instant) -> Self {
        TekEntry {
            spi: tek.spi.to_string(),
            transform: tek.transform.to_string(),
            replay_window: tek.replay_window,
            expires_at: Timestamp::at(tek.expires, now),
            role: tek.role.to_string(),
        }
    }
}

/// The key that protects rekey messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KekEntry {
    /// Its SPI, 32 hexadecimal digits.
    pub spi: String,
    /// Cipher and signature.
    pub algorithm: String,
    /// The end of its life.
    pub expires_at: Timestamp,
    /// The last sequence number used under it.
    pub sequence: u32,
}

impl KekEntry {
    /// What `kek` looks like from outside.
    pub fn new(kek: &gdoi::KekStatus, now: Instant) -> Self {
        KekEntry {
            spi: hex(&kek.spi),
            algorithm: kek.algorithm.to_string(),
            expires_at: Timestamp::at(kek.expires, now),
            sequence: kek.sequence,
        }
    }
}

/// The last events of a daemon, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventsReport {
    /// When this was true.
    pub generated_at: Timestamp,
    /// The events.
    pub events: Vec<Event>,
}
