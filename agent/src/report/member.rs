//! Reports of the member daemon.

use super::counters::RekeyNames;
use super::{GroupLabel, KekEntry, Sending, TekEntry};
use crate::clock::Timestamp;
use gdoi::RekeyCounters;
use serde::{Deserialize, Serialize};

/// The answer to `show gm`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberReport {
    /// When this was true.
    pub generated_at: Timestamp,
    /// The groups in the configuration's order.
    pub groups: Vec<MemberGroup>,
    /// Why the kernel does not hold what it should, if so.
    pub dataplane_error: Option<String>,
    /// What could not be done on some interface, one line each.
    pub dataplane_problems: Vec<String>,
}

/// One group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberGroup {
    /// Its name and number.
    #[serde(flatten)]
    pub group: GroupLabel,
    /// How far registration is.
    pub registration: Registration,
    /// The next attempt, while waiting for it.
    pub retries_at: Option<Timestamp>,
    /// The key server in use or being tried, with port.
    pub server: String,
    /// All key servers in order, with port.
    pub servers: Vec<String>,
    /// Completed registrations since the start.
    pub registrations: u64,
    /// Failed registrations since the start.
    pub failures: u64,
    /// Why the last failed registration failed.
    pub last_failure: Option<String>,
    /// When the member fetches the next key, unless a rekey message brings it before.
    pub reregisters_at: Option<Timestamp>,
    /// How the keys came last.
    pub keys_from: Option<KeyOrigin>,
    /// Rekey messages since the start by what became of them.
    #[serde(with = "RekeyNames")]
    pub rekeys: RekeyCounters,
    /// Datagrams that were refused.
    pub rejected: u64,
    /// The rekey key.
    pub kek: Option<KekEntry>,
    /// The traffic keys.
    pub teks: Vec<TekEntry>,
    /// The sender IDs of the last registration, in hexadecimal with 0x, four for each interface.
    pub sender_ids: Vec<String>,
    /// How long after its download a key is sent with, in seconds.
    pub activation_delay_seconds: Option<u64>,
    /// How long a replaced key is still received, in seconds.
    pub deactivation_delay_seconds: Option<u64>,
    /// The protected interfaces.
    pub interfaces: Vec<String>,
    /// Whether nothing passes in clear before the registration.
    pub fail_close: bool,
    /// What happens to the group's traffic now.
    pub protection: Protection,
    /// Who had the protection removed, and when.
    pub detached: Option<Detachment>,
    /// What fits through the protected interfaces.
    #[serde(default)]
    pub lengths: Vec<Lengths>,
}

/// An operator had a group's protection removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detachment {
    /// When.
    pub since: Timestamp,
    /// Who asked for it.
    pub by: String,
}

/// The lengths of packets on one protected interface, in octets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lengths {
    /// The interface.
    pub interface: String,
    /// The longest packet that it takes.
    pub link_mtu: u32,
    /// The longest that the core behind it was found to carry, where that is less; IPv4.
    pub path_mtu: Option<u32>,
    /// The same for IPv6.
    pub path_mtu_ipv6: Option<u32>,
    /// The most that encryption adds to a packet; None without a key to send with.
    pub overhead: Option<u32>,
    /// The longest packet of a host that passes encrypted in one piece; IPv4.
    pub host_mtu: Option<u32>,
    /// The same for IPv6.
    pub host_mtu_ipv6: Option<u32>,
}

/// How and when keys came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyOrigin {
    /// How.
    pub way: KeyWay,
    /// When.
    pub at: Timestamp,
}

/// How keys came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyWay {
    /// The member fetched them (GROUPKEY-PULL).
    Registration,
    /// The key server sent them (GROUPKEY-PUSH).
    Rekey,
}

/// How far a group's registration is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Registration {
    /// An exchange is under way.
    Registering,
    /// The last attempt failed; the next one has a time.
    Waiting,
    /// Policy and keys are there.
    Registered,
    /// They are there, and an exchange for new ones is under way.
    Reregistering,
    /// All keys have ended.
    Expired,
}

/// What happens to a group's traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protection {
    /// Not registered, fail-close: nothing passes.
    Closed,
    /// Not registered, fail-open: everything passes in clear.
    Open,
    /// Not registered: the kernel goes on with what an earlier run of the daemon left there.
    Adopted,
    /// Encrypted.
    Encrypting,
    /// Registered without a key to send with: protected traffic is held back.
    Blocked,
    /// An operator had the protection removed: everything passes in clear.
    Detached,
}

/// The answer to `show gm acl`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AclReport {
    /// When this was true.
    pub generated_at: Timestamp,
    /// The groups in the configuration's order.
    pub groups: Vec<AccessList>,
}

/// One group's lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessList {
    /// Its name and number.
    #[serde(flatten)]
    pub group: GroupLabel,
    /// The member's own entries, judged first.
    pub local: Vec<String>,
    /// The entries that the key server sent, the first that matches decides.
    pub downloaded: Vec<String>,
    /// How what they permit is sent.
    pub sending: Sending,
}

/// The answer to `show gm dataplane`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataplaneReport {
    /// When this was true.
    pub generated_at: Timestamp,
    /// One entry per group and interface.
    pub planes: Vec<PlaneEntry>,
    /// The kernel's XFRM error counters that are not zero.
    pub xfrm_errors: Vec<(String, u64)>,
    /// Why the kernel does not hold what it should, if so.
    pub error: Option<String>,
    /// What could not be done on some interface, one line each.
    pub problems: Vec<String>,
}

/// One group on one interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaneEntry {
    /// The group.
    #[serde(flatten)]
    pub group: GroupLabel,
    /// The protected interface.
    pub interface: String,
    /// What happens to the group's traffic there.
    pub protection: Protection,
    /// Where received packets are decrypted, of IPv4 and IPv6.
    pub inbound_anchors: Vec<String>,
    /// Where packets seem to go while they are encrypted.
    pub outbound_anchors: Vec<String>,
    /// What passed, None while the kernel holds nothing for it.
    pub traffic: Option<Traffic>,
    /// The states that receive, together.
    pub inbound: StateSummary,
    /// The states that send, together.
    pub outbound: StateSummary,
    /// The kernel's states.
    pub states: Vec<StateEntry>,
}

/// Packets that a plane has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Sent encrypted.
    pub encrypted_packets: u64,
    /// Octets of these.
    pub encrypted_octets: u64,
    /// Received encrypted.
    pub decrypted_packets: u64,
    /// Octets of these.
    pub decrypted_octets: u64,
    /// Held back because they would have left in clear.
    pub blocked_out_packets: u64,
    /// Refused because they came in clear.
    pub blocked_in_packets: u64,
    /// Passed in clear as GDOI or by the local list.
    pub bypassed_packets: u64,
    /// Encrypted but dropped, because their own header could not be restored.
    pub unrestored_packets: u64,
    /// Sent encrypted in pieces, because they were too long for one.
    #[serde(default)]
    pub oversize_packets: u64,
    /// Received from senders that were not known at that moment.
    #[serde(default)]
    pub unknown_sender_packets: u64,
}

/// States of one direction together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateSummary {
    /// How many there are.
    pub states: usize,
    /// Packets that they carried.
    pub packets: u64,
    /// Octets of these.
    pub octets: u64,
    /// Packets with a wrong authenticator.
    pub integrity_failures: u64,
    /// Packets that came again, or too late.
    pub replayed: u64,
}

/// One state in the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateEntry {
    /// `inbound` or `outbound`.
    pub direction: String,
    /// Its SPI in hexadecimal with 0x.
    pub spi: String,
    /// Packets that it carried.
    pub packets: u64,
    /// Octets of these.
    pub octets: u64,
    /// Packets with a wrong authenticator.
    pub integrity_failures: u64,
    /// Packets that came again, or too late.
    pub replayed: u64,
}
