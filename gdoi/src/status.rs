//! What `show` commands print: plain values, taken at one point in time.

use crate::crypto::sign::SignatureAlgorithm;
use crate::endpoint::Instant;
use crate::event::GroupName;
use crate::group::Kek;
use crate::policy::{Acl, SendMode, Sid, SidGeneration, Spi, Transform};
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

/// A member and its group.
#[derive(Clone, Debug)]
pub struct MemberStatus {
    /// The group.
    pub group: GroupName,
    /// How far the member is.
    pub registration: RegistrationState,
    /// The key server in use, or the one being asked.
    pub server: SocketAddr,
    /// All key servers in order.
    pub servers: Vec<SocketAddr>,
    /// Registrations that succeeded.
    pub registrations: u64,
    /// When the last of them was complete.
    pub last_registered: Option<Instant>,
    /// Registrations that failed.
    pub failures: u64,
    /// Why the last one failed.
    pub last_failure: Option<String>,
    /// When the member asks again, if it is registered.
    pub reregisters_at: Option<Instant>,
    /// The sender IDs of its last registration.
    pub sender_ids: Vec<Sid>,
    /// The generation that they are of.
    pub sid_generation: Option<SidGeneration>,
    /// The rekey SA.
    pub kek: Option<KekStatus>,
    /// The traffic keys that live.
    pub teks: Vec<TekStatus>,
    /// The downloaded ACL.
    pub acl: Acl,
    /// What the member does when it sends.
    pub mode: SendMode,
    /// ATD as downloaded.
    pub activation_delay: Option<Duration>,
    /// DTD as downloaded.
    pub deactivation_delay: Option<Duration>,
    /// Datagrams that changed nothing.
    pub rejected: u64,
    /// Rekey messages by what became of them.
    pub rekeys: RekeyCounters,
    /// When the last rekey message came, and its sequence number.
    pub last_rekey: Option<(Instant, u32)>,
    /// The multicast group to which rekey messages are sent.
    pub rekey_group: Option<SocketAddr>,
}

/// What became of the rekey messages that a member got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RekeyCounters {
    /// New and true ones.
    pub received: u64,
    /// The same message again, because the acknowledgement was late or lost.
    pub repeated: u64,
    /// Sequence number used before.
    pub replayed: u64,
    /// Signature not the key server's.
    pub forged: u64,
    /// Pseudotime too far away.
    pub untimely: u64,
    /// For no KEK that is held.
    pub unknown_spi: u64,
    /// Not decryptable, or not a rekey message.
    pub malformed: u64,
    /// Acknowledgements sent.
    pub acknowledged: u64,
}

impl RekeyCounters {
    /// Messages that changed nothing and should not have come.
    pub const fn refused(&self) -> u64 {
        self.replayed + self.forged + self.untimely + self.unknown_spi + self.malformed
    }
}

/// How far a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistrationState {
    /// Never registered, asking now.
    Registering,
    /// Never registered, asks again at this time.
    Waiting {
        /// When.
        until: Instant,
    },
    /// Registered.
    Registered,
    /// Registered and asking again.
    Reregistering,
    /// Was registered, all keys have expired: protected traffic is blocked.
    Expired,
}

impl fmt::Display for RegistrationState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RegistrationState::Registering => "registering",
            RegistrationState::Waiting { .. } => "waiting",
            RegistrationState::Registered => "registered",
            RegistrationState::Reregistering => "re-registering",
            RegistrationState::Expired => "expired",
        })
    }
}

/// A traffic key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TekStatus {
    /// Its SPI.
    pub spi: Spi,
    /// How it is used.
    pub transform: Transform,
    /// The anti-replay window, packets; 0 is none.
    pub replay_window: u16,
    /// The end of its life.
    pub expires: Instant,
    /// What it does now.
    pub role: TekRole,
}

/// What a traffic key does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TekRole {
    /// Members send and receive with it.
    Sending,
    /// Members receive with it.
    Receiving,
}

impl fmt::Display for TekRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TekRole::Sending => "sending",
            TekRole::Receiving => "receiving",
        })
    }
}

/// A rekey SA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KekStatus {
    /// The cookie pair, 16 octets.
    pub spi: [u8; 16],
    /// Encryption and signature in words.
    pub algorithm: String,
    /// The end of its life.
    pub expires: Instant,
    /// The number of the last rekey message.
    pub sequence: u32,
}

impl KekStatus {
    pub(crate) fn of(kek: &Kek, expires: Instant) -> Self {
        let cipher = format!("aes-{}-cbc", kek.key.len().saturating_sub(16) * 8);
        let signature = match kek.signature {
            SignatureAlgorithm::Rsa(hash) => format!("rsa-{}/{hash}", kek.verification.bits()),
            SignatureAlgorithm::EcdsaP256 => "ecdsa-p256".into(),
            SignatureAlgorithm::EcdsaP384 => "ecdsa-p384".into(),
        };
        KekStatus {
            spi: kek.spi,
            algorithm: format!("{cipher}, {signature}"),
            expires,
            sequence: kek.sequence,
        }
    }
}
