//! Reports about rekey messages.

use super::{GroupLabel, KekEntry, KeyOrigin};
use crate::clock::Timestamp;
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
    pub acks: AckCounts,
}

/// Acknowledgements by what became of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AckCounts {
    /// Good ones.
    pub received: u64,
    /// Repeated, or of no rekey under way.
    pub unexpected: u64,
    /// The hash does not match.
    pub forged: u64,
    /// No acknowledgement.
    pub malformed: u64,
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
    pub counts: RekeyCounts,
}

/// Rekey messages by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RekeyCounts {
    /// New and true ones.
    pub received: u64,
    /// Acknowledgements sent for them.
    pub acknowledged: u64,
    /// The same message again, because the acknowledgement was late or lost.
    pub repeated: u64,
    /// Sequence number used before.
    pub replayed: u64,
    /// Signature not the key server's.
    pub forged: u64,
    /// Pseudotime too far away.
    pub untimely: u64,
    /// For no rekey key that is held.
    pub unknown_spi: u64,
    /// Not decryptable, or no rekey message.
    pub malformed: u64,
}

impl RekeyCounts {
    /// Messages that changed nothing and should not have come.
    pub const fn refused(&self) -> u64 {
        self.replayed + self.forged + self.untimely + self.unknown_spi + self.malformed
    }
}
