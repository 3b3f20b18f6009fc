//! What members of a group are told, whatever the protocol that tells it: policy, keys, and what ends. How GDOI says it
//! stands in [`crate::pull`] and [`crate::wire`].

use crate::crypto::sign::{PublicKey, SignatureAlgorithm};
use crate::crypto::Secret;
use crate::policy::{Acl, Selector, SendMode, SenderTerms, SidGeneration, SidNonce, Spi, TekKeys, Transform};
use std::net::SocketAddr;
use std::time::Duration;

/// How many TEKs may live at once. What a key server stores, tells in one message, and has room for beside an ACL all
/// follow from it.
pub const MAX_TEKS: usize = 7;

/// All that a member gets when it registers, or the part of it that a rekey changes.
#[derive(Clone, Debug)]
pub struct GroupPolicy {
    /// Which traffic the group protects, and how that is told.
    pub acl: AclNotice,
    /// What members do when they send; nothing is said of it beside selectors where there is no TEK.
    pub mode: SendMode,
    /// The traffic keys, the one that ends first before the others.
    pub teks: Vec<Tek>,
    /// The rekey SA, where the group has one.
    pub kek: Option<Kek>,
    /// ATD, the time before a member sends with a new key; whole seconds.
    pub activation_delay: Option<Duration>,
    /// DTD, the time before a member gives up a replaced key; whole seconds.
    pub deactivation_delay: Option<Duration>,
    /// The group's time, milliseconds; between our own implementations only.
    pub pseudotime: Option<u64>,
}

/// What a message says about the ACL.
#[derive(Clone, Debug, PartialEq)]
pub enum AclNotice {
    /// Each TEK with each permit entry: all that RFC 6407 can say. Nothing where there is no TEK.
    Selectors(Acl),
    /// The whole list, and its digest; the TEKs are for all traffic.
    List(Acl),
    /// Only the digest of the list, which the receivers should have; the TEKs are for all traffic.
    Digest(AclDigest),
}

/// Tells one list from another: the first 16 octets of the SHA-256 of its octets ([`crate::wire::emit_acl`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AclDigest(pub [u8; 16]);

/// A traffic encryption key.
#[derive(Clone, Debug, PartialEq)]
pub struct Tek {
    /// Its SPI; where every sender has its own key the base of a block.
    pub spi: Spi,
    /// How it is used.
    pub transform: Transform,
    /// The keys, of the kind and lengths that the transform has.
    pub keys: TekKeys,
    /// Where every sender has its own key.
    pub senders: Option<SenderTerms>,
    /// What is left of its life, whole seconds.
    pub lifetime: Duration,
    /// The entries of the ACL that it is for, where a server of other software gives them keys of their own; none are all.
    pub selectors: Vec<Selector>,
}

/// A key encryption key: the rekey SA.
#[derive(Clone, Debug)]
pub struct Kek {
    /// Names it in rekey messages, 16 octets: the cookie pair of IKEv1.
    pub spi: [u8; 16],
    /// The IV (16 octets) and the AES key (16 or 32 octets).
    pub key: Secret,
    /// What is left of its life, whole seconds.
    pub lifetime: Duration,
    /// How rekey messages are signed.
    pub signature: SignatureAlgorithm,
    /// The key that verifies them.
    pub verification: PublicKey,
    /// Where they come from.
    pub source: SocketAddr,
    /// Where they go to.
    pub destination: SocketAddr,
    /// The number of the last one sent.
    pub sequence: u32,
    /// Which acknowledgement it asks for.
    pub ack: Option<AckType>,
}

/// How members acknowledge a rekey (RFC 8263 section 2), as far as there is no LKH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckType {
    /// REKEY_ACK_KEK_SHA256.
    KekSha256,
    /// REKEY_ACK_KEK_SHA512.
    KekSha512,
}

/// What a rekey message says, proved to come from the key server.
#[derive(Clone, Debug)]
pub struct Rekey {
    /// Which KEK it was under.
    pub kek_spi: [u8; 16],
    /// Its number under this KEK.
    pub sequence: u32,
    /// What ends.
    pub deletions: Vec<Deletion>,
    /// What begins.
    pub policy: Option<GroupPolicy>,
}

/// What a rekey ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// One TEK.
    Tek(Spi),
    /// All TEKs.
    AllTeks,
    /// The KEK with this SPI: that which the rekey is under, or another one.
    Kek([u8; 16]),
    /// All KEKs.
    AllKeks,
}

/// Sender identifiers for one member (RFC 6407 section 5.6.4).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SenderIds {
    /// How many bits each has.
    pub bits: u16,
    /// No other member has any of these under the same traffic keys.
    pub values: Vec<u32>,
    /// For which traffic keys they are; between our own implementations only.
    pub generation: Option<SidGeneration>,
    /// Under which nonce a member asked for them.
    pub nonce: Option<SidNonce>,
}

impl AclNotice {
    /// The list, where there is one.
    pub const fn list(&self) -> Option<&Acl> {
        match self {
            AclNotice::Selectors(acl) | AclNotice::List(acl) => Some(acl),
            AclNotice::Digest(_) => None,
        }
    }
}
