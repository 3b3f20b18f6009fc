//! Reports about rekey messages.

use super::counters::{AckNames, RekeyNames};
use super::{GroupLabel, KekEntry, KeyOrigin};
use crate::clock::Timestamp;
use gdoi::{AckCounters, RekeyCounters};
use serde::{Deserialize, Serialize};

/// How rekey messages come to the members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RekeyTransport {
    /// To each member, acknowledged.
    Unicast,
    /// To this group, address and port.
    Multicast(String),
}

/// The answer to `show ks rekey`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyServerRekeys {
    /// When this was true.
    pub generated_at: Timestamp,
    /// The groups in the configuration's order.
    pub groups: Vec<KeyServerRekey>,
}

/// One group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyServerRekey {
    /// Its name and number.
    #[serde(flatten)]
    pub group: GroupLabel,
    /// How many members have registered.
    pub members: usize,
    /// The rekey key.
    pub kek: Option<KekEntry>,
    /// None where members fetch new keys themselves.
    pub rekey: Option<RekeyEntry>,
}

/// How a group is rekeyed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RekeyEntry {
    /// How messages reach the members.
    pub transport: RekeyTransport,
    /// The time between repetitions.
    pub retransmit_interval_seconds: u64,
    /// How many repetitions there are.
    pub retransmit_number: u32,
    /// Rekeys since the group began.
    pub rekeys: u64,
    /// The last one.
    pub last_at: Option<Timestamp>,
    /// When new keys are due.
    pub next_at: Option<Timestamp>,
    /// When the keys of now are sent once more.
    pub reminder_at: Option<Timestamp>,
    /// Members that have not acknowledged the message under way.
    pub waiting_for: usize,
    /// How often the message under way was sent.
    pub transmissions: u64,
    /// What became of the acknowledgements since the daemon's start.
    #[serde(with = "AckNames")]
    pub acks: AckCounters,
}

/// The answer to `show gm rekey`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRekeys {
    /// When this was true.
    pub generated_at: Timestamp,
    /// The groups in the configuration's order.
    pub groups: Vec<MemberRekey>,
}

/// One group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRekey {
    /// Its name and number.
    #[serde(flatten)]
    pub group: GroupLabel,
    /// The rekey key.
    pub kek: Option<KekEntry>,
    /// How messages come; None without a rekey key.
    pub transport: Option<RekeyTransport>,
    /// How the keys came last.
    pub keys_from: Option<KeyOrigin>,
    /// When the last new message came.
    pub last_received_at: Option<Timestamp>,
    /// Its sequence number.
    pub last_sequence: Option<u32>,
    /// When the member registers again if it hears nothing.
    pub reregisters_at: Option<Timestamp>,
    /// Messages since the daemon's start by what became of them.
    #[serde(with = "RekeyNames")]
    pub counts: RekeyCounters,
}
