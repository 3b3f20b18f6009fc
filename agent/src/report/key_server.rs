//! Reports of the key server daemon.

use super::{CoopRole, GroupLabel, KekEntry, Sending, TekEntry};
use crate::clock::Timestamp;
use serde::{Deserialize, Serialize};

/// The answer to `show ks`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyServerReport {
    /// When this was true.
    pub generated_at: Timestamp,
    /// The address and port served.
    pub address: String,
    /// Who the server says it is.
    pub identity: String,
    /// Phase 1 exchanges that have begun.
    pub half_open: usize,
    /// Phase 1 SAs that are up.
    pub established: usize,
    /// Datagrams that were refused.
    pub rejected: u64,
    /// Where the state is stored; None if it is not.
    pub state_file: Option<String>,
    /// Whether the disk takes it; while it does not, nothing is sent.
    pub state_durable: bool,
    /// The groups in the configuration's order.
    pub groups: Vec<KeyServerGroup>,
}

/// One group in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyServerGroup {
    /// Its name and number.
    #[serde(flatten)]
    pub group: GroupLabel,
    /// What this server is among those that share the group; None where there are no others.
    pub role: Option<CoopRole>,
    /// Who is primary among them, as far as it knows.
    pub primary: Option<String>,
    /// How many members have registered.
    pub members: usize,
    /// How many registrations were refused.
    pub refused: u64,
    /// How many entries the ACL has.
    pub acl_entries: usize,
    /// How traffic is encrypted.
    pub transform: String,
    /// The traffic keys.
    pub teks: Vec<TekEntry>,
    /// The rekey key.
    pub kek: Option<KekEntry>,
}

/// The answer to `show ks members`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MembersReport {
    /// When this was true.
    pub generated_at: Timestamp,
    /// The groups in the configuration's order.
    pub groups: Vec<MemberList>,
}

/// The members of one group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberList {
    /// Its name and number.
    #[serde(flatten)]
    pub group: GroupLabel,
    /// Who has registered.
    pub members: Vec<MemberEntry>,
    /// Who was removed and may not register.
    pub removed: Vec<String>,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberEntry {
    /// Its address.
    pub address: String,
    /// The identity that it proved.
    pub identity: String,
    /// The key server that it registered with; None where there are no others.
    pub key_server: Option<String>,
    /// Its first registration.
    pub first_registered_at: Timestamp,
    /// Its last one.
    pub last_registered_at: Timestamp,
    /// How many there were.
    pub registrations: u64,
    /// Rekey messages that it acknowledged.
    pub rekeys_acknowledged: u64,
    /// Rekey messages in a row that it did not acknowledge; with the third it gets no more until it registers.
    pub rekeys_missed: u32,
    /// When it acknowledged last.
    pub last_acknowledged_at: Option<Timestamp>,
    /// Whether it runs this software.
    pub same_software: bool,
}

/// The answer to `show ks policy`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyServerPolicies {
    /// When this was true.
    pub generated_at: Timestamp,
    /// The groups in the configuration's order.
    pub groups: Vec<KeyServerPolicy>,
}

/// The answer to `show ks acl`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyServerAcls {
    /// When this was true.
    pub generated_at: Timestamp,
    /// The groups in the configuration's order.
    pub groups: Vec<KeyServerAcl>,
}

/// One group's access list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyServerAcl {
    /// Its name and number.
    #[serde(flatten)]
    pub group: GroupLabel,
    /// The entries in order, the first that matches decides.
    pub acl: Vec<String>,
    /// How members send what is permitted.
    pub sending: Sending,
}

/// One group's policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyServerPolicy {
    /// Its name and number.
    #[serde(flatten)]
    pub group: GroupLabel,
    /// How traffic is encrypted.
    pub transform: String,
    /// The anti-replay window of a new traffic key, packets; 0 is none.
    pub replay_window: u16,
    /// What became of the sender IDs.
    pub sender_ids: SenderIdEntry,
    /// The fingerprint of the key that signs rekey messages, hexadecimal; None without rekey messages.
    pub signing_key: Option<String>,
    /// The life of a traffic key.
    pub tek_lifetime_seconds: u64,
    /// What is encrypted; the first entry that matches decides.
    pub acl: Vec<String>,
    /// How members send it.
    pub sending: Sending,
    /// Who may register by address; with `authorized_identities` empty as well everybody with a key.
    pub authorized_addresses: Vec<String>,
    /// Who may register by identity.
    pub authorized_identities: Vec<String>,
    /// The traffic keys.
    pub teks: Vec<TekEntry>,
    /// The rekey key.
    pub kek: Option<KekEntry>,
}

/// What became of a group's sender IDs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SenderIdEntry {
    /// How many bits each has.
    pub bits: u16,
    /// A new generation begins, with a new traffic key, when they are used up.
    pub generation: u32,
    /// How many were given out in this one.
    pub used: u32,
    /// How many there are.
    pub of: u32,
}
