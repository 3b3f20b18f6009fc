//! The Group Domain of Interpretation (GDOI, RFC 6407) without I/O: no sockets, no clock, no global randomness.
//!
//! A [`Member`] registers with a [`KeyServer`]: IKEv1 Main Mode ([`phase1`], RFC 2409) authenticates both, then
//! GROUPKEY-PULL ([`pull`], RFC 6407 section 3) downloads the group's policy and keys ([`group`]). What the member's data
//! plane must hold at a point in time is a [`View`]. The server changes the keys with GROUPKEY-PUSH (section 4).
//! Several servers can share a group ([`coop`]). Both are an [`Endpoint`]: datagrams, commands and time go in, datagrams
//! and events come out.
//!
//! ```text
//! datagram -> wire -> phase1 | pull | push | coop -> keyring -> View(now)
//! ```
//!
//! # Implemented
//! * Main Mode with pre-shared keys; AES-CBC-128/192/256; SHA-256/384/512; groups 14, 15, 16 (RFC 3526) and
//!   19, 20, 21 (RFC 5903); DOI 2 and DOI 1; protected and unprotected informational exchanges.
//! * GROUPKEY-PULL with SA KEK, SA TEK (ESP), GAP, SEQ and KD payloads; group identity as number or name.
//! * ESP with AES-CBC-128/256 and HMAC-SHA-256/384/512, tunnel mode with source and destination address
//!   preservation, one symmetric SA for the whole group.
//! * ESP with AES-GCM-128/256 and ChaCha20-Poly1305, every sender with a key of its own derived from the TEK
//!   ([`SenderSa`]), with an anti-replay window; by private attributes, between our own implementations only.
//! * Access lists with permit and deny, IPv4 and IPv6, port ranges, 1,000 entries: whole between our own implementations, one
//!   SAT for each permit entry to others. Receive-only groups.
//! * GROUPKEY-PUSH by unicast, acknowledged (RFC 8263), and by multicast, repeated: new TEKs, new KEK, Delete, delays,
//!   pseudotime; scheduled, forced, replace-now, reminder, removal of members; state that survives a crash.
//! * Cooperating key servers: links with dead peer detection (RFC 3706), election, hand-over, shared keys and members,
//!   new keys committed before members get them, merging after a split network.
//! * Messages over 1,200 octets in fragments of IKEv1 between our own implementations ([`fragment`]).
//! * All of this over IPv4 or IPv6, whatever the group protects.
//! * Sender identifiers for members that ask for them (RFC 6407 section 3.5), from a range of each server.
//! * Retransmission, ordered server list with fail-over and back-off, re-registration before keys end.
//!
//! # Not implemented
//! Certificates, AH, LKH, counter modes with one key for all senders, Aggressive Mode (refused on purpose), DES, 3DES, MD5,
//! SHA-1 and DH groups below 14 (never negotiated).
//!
//! # Where the RFCs leave a choice
//! * A key server answers first messages of phase 1 without remembering them: its cookie says what it answered, and is checked
//!   when it comes back (RFC 2408 section 2.5.3). Public-key work has a bounded share of its time.
//! * An ISAKMP SA with a member ends half a minute after its last use.
//! * A notify in clear is a hint for operators: it never ends an exchange, it only explains the silence.
//! * TEKs learned by PULL begin to send shortly before their predecessor ends, because members pull at
//!   different times ([`lifetime`]); the ATD is a minimum. A predecessor that the server does not list any more is not
//!   waited for: it has lost it, or ended it.
//! * A member registers no more often than a floor allows, and asks its server when something tells that it lacks a key. It
//!   says in the third message of a PULL (GAP, private attribute 131) if it holds all that was offered; a server that gave it
//!   that a moment ago answers with TRY-LATER and the time of its next keys ([`wire::Postponement`]).
//! * The signature of a PUSH covers the header with the length before or after the last block is filled up: the text lets
//!   both. Members take both; between our own it is the length on the wire, to others what the configuration says.
//! * A PUSH may bring a KEK alone, which section 4 allows, though section 5.6.1 wants a TEK in every rekey: new TEKs are made
//!   when they are due, and a KEK may be due before.
//! * A PUSH that only deletes tells members of this implementation the group's time, in an SA payload with nothing but a GAP:
//!   without it a repetition could not be told from what a server says that counts its messages from an older state. Under a
//!   KEK that was ended and that a PULL gives back, only what is later than the PULL counts.
//! * KEK_ACK_REQUESTED goes to our own members only: who does not know an attribute must not join (section 5.3.2). In a PUSH
//!   that others hear, too, it is left out, and our own members go by what their PULL asked for.
//! * The SAK of a unicast rekey SA names where the member speaks from, in a PUSH to all members any address (a prefix of length
//!   0).
//! * The acknowledgement key is the group's: an acknowledgement proves that some member is alive, not which one.
//! * The traffic selectors of a message's TEKs are the group's one ACL. Servers of other software may give entries TEKs of their
//!   own: then each entry is sent with its own, a PUSH may bring those of some entries alone, and an entry whose TEKs have ended
//!   is blocked ([`Traffic`]). Between our own implementations TEKs are for all traffic, and the ACL is a payload of its own
//!   ([`wire::parse_acl`]), in a PUSH only where receivers may have another; its digest is in every message.
//! * The KEK's IV stands before the key (RFC 6407 section 5.6.2.1).
//! * A member that asks for sender identifiers gets as many as it asked for, of 20 bits: the low bits of the SPI under
//!   which it sends. One that asks for none receives only.
//! * Sender identifiers belong to a generation, and so do the TEKs under which every sender has its own key: a member sends
//!   only with a TEK of the generation of its identifiers. When a server's range comes to its end, all members are told a
//!   key of the next generation and to register again for identifiers under it; until then they go on as they were.
//! * A server must identify itself by the address that the member asked; a member that identifies itself by
//!   address, by its own.
//!
//! # Verification
//! Published vectors for every algorithm; round trip, layout and rejection tests beside every codec; whole groups
//! in virtual time with loss, duplication and reordering; fuzzing; dissection by tshark; phase 1 with strongSwan.

pub mod coop;
pub mod crypto;
pub mod endpoint;
mod error;
mod esp;
mod event;
pub mod fragment;
pub mod group;
mod keyring;
pub mod lifetime;
mod member;
pub mod phase1;
pub mod policy;
mod protect;
pub mod pull;
mod push;
mod rejections;
mod retransmit;
mod server;
mod status;
pub mod wire;

pub use coop::CoopPeer;
pub use endpoint::{Endpoint, Instant, Output, Transmit};
pub use error::{Error, Malformed, Misbehaved, Refused, Unacceptable, Unauthenticated};
pub use esp::{Esn, SenderSa};
pub use event::{
    counted, Cause, Change, CoopEvent, Count, Effect, GroupName, KeyServerEvent, MemberEvent, Renewal,
    Severity, Sign,
};
pub use keyring::{Sa, Traffic, View};
pub use member::{Member, MemberCommand, MemberConfig, ServerEntry};
pub use push::SignedLength;
pub use server::{
    AckCounters, Authorization, CredentialEntry, Done, GroupConfig, GroupStatus, KeyServer, KeyServerCommand,
    KeyServerConfig, KeyServerStatus, MemberRecord, Outcome, RekeyConfig, RekeyKind, RekeyStatus, Removal,
    Retransmit, SidStatus, Transport, Which, MAX_GROUPS,
};
pub use status::{KekStatus, MemberStatus, RegistrationState, RekeyCounters, TekRole, TekStatus};
