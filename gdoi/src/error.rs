//! Errors say whose fault it was.

use crate::crypto;
use crate::policy::GroupId;
use crate::wire::{ExchangeType, PayloadType};
use std::fmt;
use std::net::IpAddr;

/// Why a datagram, an exchange or an operation came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The octets are no message: nobody who keeps to the RFCs sends them.
    Malformed(Malformed),
    /// A well-formed message that breaks the rules of its exchange.
    Misbehaved(Misbehaved),
    /// A correct message that asks for or offers what policy here does not allow.
    Unacceptable(Unacceptable),
    /// The sender could not prove to be who it should be.
    Unauthenticated(Unauthenticated),
    /// What an operator asked for cannot be done.
    Refused(Refused),
    /// Something on this machine failed.
    Internal(crypto::Error),
}

/// Why an operator's command was not carried out. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is no such group.
    NoGroup,
    /// The group has no rekey SA by which members could be told.
    NoRekeySa,
    /// No such member is registered.
    NotRegistered(IpAddr),
    /// No such member was removed.
    NotRemoved(IpAddr),
    /// No more members can be removed from the group before some are readmitted.
    TooManyRemoved {
        /// The group.
        group: String,
        /// How many are.
        removed: usize,
    },
    /// Another key server is primary of the group.
    NotPrimary {
        /// The group.
        group: String,
        /// Whom to ask.
        primary: IpAddr,
    },
    /// This key server hands the role of the primary over.
    Yielding {
        /// The group.
        group: String,
    },
    /// No primary is elected yet.
    NoPrimary {
        /// The group.
        group: String,
    },
    /// No other servers share the group.
    NoRedundancy,
    /// None of the other servers can take the role of the primary.
    NoSuccessor {
        /// The group.
        group: String,
    },
}

/// What is wrong with the octets. Each names the part of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// The part ends before its last field, or its writing did.
    Truncated(&'static str),
    /// Octets are left behind the last field.
    TrailingBytes(&'static str),
    /// A length field has a value that the part cannot have, or has no value for a part as long as what is to be written.
    Length(&'static str),
    /// A reserved field is not zero.
    Reserved(&'static str),
    /// A field has a value that the RFC does not allow.
    Value(&'static str),
    /// There are more of these than this implementation takes.
    TooMany(&'static str),
    /// The version is not 1.0.
    Version(u8),
}

/// Which rule of the exchange was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misbehaved {
    /// No exchange of ours has these cookies or this message ID.
    UnknownExchange,
    /// This exchange type is not spoken here.
    UnsupportedExchange(ExchangeType),
    /// The message should be encrypted and is not, or the other way round.
    Encryption,
    /// A payload that the message must have is missing.
    MissingPayload(PayloadType),
    /// A payload occurs twice.
    DuplicatePayload(PayloadType),
    /// A payload that has no place in this message.
    UnexpectedPayload(PayloadType),
    /// The payloads are not in the order that the RFC asks for.
    PayloadOrder(PayloadType),
    /// An attribute that the part must have is missing.
    MissingAttribute(&'static str),
    /// An attribute occurs twice.
    DuplicateAttribute(&'static str),
    /// A nonce is not 8 to 128 octets long.
    NonceLength,
    /// The answer is not one of the offers.
    NotOffered(&'static str),
    /// The keys downloaded are not those that the policy announced.
    KeyMismatch(&'static str),
    /// A sender ID that this member had before, in the same generation.
    SenderIdAgain(u32),
    /// A cookie is zero, or an initiator's cookie is reused.
    Cookie,
    /// A fragment says something else than others of its message.
    Fragment,
    /// A rekey message with a sequence number that was used before.
    Sequence {
        /// The number in the message.
        got: u32,
        /// The last number taken.
        last: u32,
    },
    /// A message between key servers that was taken before, or that comes too long after later ones.
    Replayed {
        /// The number in the message.
        got: u64,
        /// The last number taken.
        last: u64,
    },
    /// A message that this side made itself came back.
    Reflected,
    /// The message was made longer ago than a rekey may take; seconds.
    TooOld(u64),
    /// The message claims to come from the future; seconds.
    TooNew(u64),
    /// An acknowledgement for no rekey under way.
    UnknownAcknowledgement,
    /// A cooperating server claims an epoch that cannot have come.
    EpochLeap(u64),
}

/// What policy here does not allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unacceptable {
    /// No proposal suits: compare the phase 1 settings of both sides.
    NoProposal,
    /// No such group here.
    UnknownGroup(String),
    /// The peer's address is not in the group's authorization list.
    Address,
    /// The peer's identity is not in the group's authorization list.
    Identity(String),
    /// The peer says that it is one of the group's authorization list, with a credential that does not prove it.
    UnprovenIdentity(String),
    /// The member was removed from the group by an operator.
    Revoked,
    /// No pre-shared key is configured for this peer.
    NoKey,
    /// The peer proved another identity than the one expected of it.
    UnexpectedIdentity(String),
    /// The peer's Diffie-Hellman value is not one of its group.
    PublicValue,
    /// An algorithm, attribute or value that is not supported or too weak.
    Unsupported(&'static str, u32),
    /// Too many unfinished exchanges.
    Busy,
    /// More members than a group can have.
    TooManyMembers,
    /// The member runs other software, and RFC 6407 cannot tell it what the group encrypts.
    Inexpressible(String),
    /// The sender IDs are used up until the group has new keys, or the server has none to give yet.
    NoSenderIds,
    /// The member has got as many sender IDs of one generation as a member can get.
    TooManySenderIds,
    /// What was offered is not what members may have any more.
    KeysChanged,
    /// The group gives every sender its own key, and the member is not of this implementation.
    ForeignMember,
    /// All blocks of SPIs that this server may use are taken by other keys.
    NoSpis,
    /// The peer answered with this error notify (RFC 2408 section 3.14.1).
    PeerSays(crate::wire::NotifyType),
    /// The peer deleted the phase 1 SA.
    PeerDeleted,
    /// No answer after all retransmissions.
    NoAnswer,
    /// The peer is not a key server of this implementation that cooperates with others.
    NotCooperating,
    /// The peer took part in phase 1 as anybody's, and has said nothing to a key server since.
    NoWord,
    /// The peer speaks as a cooperating key server, and no group names it as one.
    NotAPeer,
    /// The peer speaks of this group, which does not name it as a cooperating key server.
    NotAPeerOf(GroupId),
    /// The phase 1 SA lived as long as it may.
    Expired,
}

/// How the proof failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unauthenticated {
    /// Phase 1: the message does not decrypt to payloads, in all likelihood the pre-shared keys differ.
    PreSharedKey,
    /// The hash does not cover what was received.
    Hash,
    /// An encrypted message does not decrypt to whole payloads.
    Decryption,
    /// The signature is not the key server's.
    Signature,
}

impl From<Malformed> for Error {
    fn from(error: Malformed) -> Self {
        Error::Malformed(error)
    }
}

impl From<Misbehaved> for Error {
    fn from(error: Misbehaved) -> Self {
        Error::Misbehaved(error)
    }
}

impl From<Unacceptable> for Error {
    fn from(error: Unacceptable) -> Self {
        Error::Unacceptable(error)
    }
}

impl From<Unauthenticated> for Error {
    fn from(error: Unauthenticated) -> Self {
        Error::Unauthenticated(error)
    }
}

impl From<Refused> for Error {
    fn from(error: Refused) -> Self {
        Error::Refused(error)
    }
}

impl From<crypto::Error> for Error {
    fn from(error: crypto::Error) -> Self {
        Error::Internal(error)
    }
}

impl std::error::Error for Error {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Malformed(error) => write!(f, "malformed message: {error}"),
            // Whoever has restarted, or was given up, has forgotten what its peer still goes by.
            Error::Misbehaved(error @ Misbehaved::UnknownExchange) => error.fmt(f),
            Error::Misbehaved(error) => write!(f, "peer broke the protocol: {error}"),
            Error::Unacceptable(error) => error.fmt(f),
            Error::Unauthenticated(error) => write!(f, "authentication failed: {error}"),
            Error::Refused(error) => error.fmt(f),
            Error::Internal(error) => write!(f, "internal error: {error}"),
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::NoGroup => f.write_str("there is no such group"),
            Refused::NoRekeySa => {
                f.write_str("without `rekey` in its configuration members fetch new keys by themselves")
            }
            Refused::NotRegistered(member) => write!(f, "{member} is registered in no such group"),
            Refused::NotRemoved(member) => write!(f, "{member} was removed from no such group"),
            Refused::TooManyRemoved { group, removed } => write!(
                f,
                "group {group}: {removed} members are removed already, `gdoictl ks readmit` lets some come back; nothing \
                 was changed"
            ),
            Refused::NotPrimary { group, primary } => write!(
                f,
                "group {group}: this key server is not primary, ask {primary}; nothing was changed"
            ),
            Refused::Yielding { group } => write!(
                f,
                "group {group}: this key server hands the role of the primary over, try again in a few seconds; \
                 nothing was changed"
            ),
            Refused::NoPrimary { group } => write!(
                f,
                "group {group}: no primary key server is elected yet, try again in a few seconds; nothing was changed"
            ),
            Refused::NoRedundancy => {
                f.write_str("there is nobody to take the role of the primary: no `redundancy` is configured")
            }
            Refused::NoSuccessor { group } => write!(
                f,
                "group {group}: no other key server is alive, secondary and has the same keys, see `gdoictl show ks \
                 coop`; nothing was changed"
            ),
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Malformed::Truncated(part) => write!(f, "{part} is truncated"),
            Malformed::TrailingBytes(part) => write!(f, "{part} has trailing octets"),
            Malformed::Length(part) => write!(f, "{part} has an impossible length"),
            Malformed::Reserved(part) => write!(f, "{part} has a reserved field that is not zero"),
            Malformed::Value(part) => write!(f, "{part} has an invalid value"),
            Malformed::TooMany(part) => write!(f, "too many {part}"),
            Malformed::Version(version) => write!(f, "ISAKMP version {}.{}", version >> 4, version & 15),
        }
    }
}

impl fmt::Display for Misbehaved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Misbehaved::UnknownExchange => {
                f.write_str("message belongs to no exchange and no SA that this side knows")
            }
            Misbehaved::UnsupportedExchange(kind) => write!(f, "exchange type {kind} is not supported"),
            Misbehaved::Encryption => f.write_str("encryption flag does not fit the exchange"),
            Misbehaved::MissingPayload(kind) => write!(f, "{kind} payload is missing"),
            Misbehaved::DuplicatePayload(kind) => write!(f, "{kind} payload occurs twice"),
            Misbehaved::UnexpectedPayload(kind) => write!(f, "{kind} payload is out of place"),
            Misbehaved::PayloadOrder(kind) => write!(f, "{kind} payload is out of order"),
            Misbehaved::MissingAttribute(name) => write!(f, "attribute {name} is missing"),
            Misbehaved::DuplicateAttribute(name) => write!(f, "attribute {name} occurs twice"),
            Misbehaved::NonceLength => f.write_str("nonce is not 8 to 128 octets long"),
            Misbehaved::NotOffered(what) => write!(f, "{what} in the answer was not offered"),
            Misbehaved::KeyMismatch(what) => write!(f, "keys do not fit the announced policy: {what}"),
            Misbehaved::Sequence { got, last } => write!(f, "sequence number {got} is not above {last}"),
            Misbehaved::Replayed { got, last } => write!(f, "message {got} is not newer than message {last}"),
            Misbehaved::Reflected => f.write_str("message of this side came back to it"),
            Misbehaved::TooOld(seconds) => write!(f, "message is {seconds} s old by the group's pseudotime"),
            Misbehaved::TooNew(seconds) => {
                write!(f, "message is {seconds} s ahead of the group's pseudotime")
            }
            Misbehaved::EpochLeap(epoch) => write!(f, "epoch {epoch} is from the future"),
            Misbehaved::UnknownAcknowledgement => f.write_str("acknowledgement of no rekey under way"),
            Misbehaved::SenderIdAgain(sid) => write!(f, "sender ID {sid:#x} was given to this member before"),
            Misbehaved::Cookie => f.write_str("cookie is zero or reused"),
            Misbehaved::Fragment => f.write_str("fragment contradicts others of its message"),
        }
    }
}

impl fmt::Display for Unacceptable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unacceptable::NoProposal => {
                f.write_str("no common phase 1 proposal, compare encryption, hash and group on both sides")
            }
            Unacceptable::UnknownGroup(name) => write!(f, "group {name} is not configured on the key server"),
            Unacceptable::Address => f.write_str("address is not authorized for the group"),
            Unacceptable::Identity(name) => write!(f, "identity {name} is not authorized for the group"),
            Unacceptable::UnprovenIdentity(name) => write!(
                f,
                "identity {name} is authorized for the group, but not proved: the member's pre-shared key is not bound to it"
            ),
            Unacceptable::Revoked => f.write_str("member was removed from the group"),
            Unacceptable::NoKey => f.write_str("no pre-shared key is configured for this address"),
            Unacceptable::UnexpectedIdentity(name) => {
                write!(f, "peer identified itself as {name}, which is not who its address or its key is bound to")
            }
            Unacceptable::PublicValue => f.write_str("peer's Diffie-Hellman value is not valid"),
            Unacceptable::Unsupported(what, value) => write!(f, "{what} {value} is not supported"),
            Unacceptable::Inexpressible(reason) => {
                write!(f, "member runs other software, and RFC 6407 cannot tell it the ACL: {reason}")
            }
            Unacceptable::NoSenderIds => {
                f.write_str("the server has no sender IDs to give until the group has new keys or grants it some")
            }
            Unacceptable::TooManySenderIds => f.write_str(
                "member, or all that share its credential, asked for too many sender IDs and get no more of this \
                 generation, look who registers so often without its states",
            ),
            Unacceptable::KeysChanged => f.write_str("the keys changed while it asked, it asks again"),
            Unacceptable::ForeignMember => f.write_str(
                "member is of another implementation and cannot derive a key of its own, the group needs a transform \
                 with one key for all such as aes-256-cbc/hmac-sha-256",
            ),
            Unacceptable::NoSpis => f.write_str("no block of SPIs is left for another key"),
            Unacceptable::TooManyMembers => f.write_str("more members than a group can have"),
            Unacceptable::Busy => f.write_str("too many unfinished exchanges"),
            Unacceptable::PeerSays(notify) => write!(f, "peer refused: {notify}{}", explained(*notify)),
            Unacceptable::PeerDeleted => f.write_str("peer deleted the phase 1 SA"),
            Unacceptable::NoAnswer => f.write_str("no answer"),
            Unacceptable::NotCooperating => {
                f.write_str("peer is not a cooperating key server of this implementation")
            }
            Unacceptable::NoWord => {
                f.write_str("no word since phase 1: is it down, or does it not name this key server in `peers`?")
            }
            Unacceptable::NotAPeer => f.write_str("no group here names it in `peers`"),
            Unacceptable::NotAPeerOf(group) => write!(f, "group {group} does not name it in `peers`"),
            Unacceptable::Expired => f.write_str("phase 1 SA came to the end of its life"),
        }
    }
}

/// What a key server means by it.
fn explained(notify: crate::wire::NotifyType) -> &'static str {
    use crate::wire::NotifyType;
    match notify {
        NotifyType::INVALID_ID_INFORMATION => " (the group is not configured on the key server)",
        NotifyType::TRY_LATER => {
            " (the key servers elect a primary, or have no sender IDs for this member now)"
        }
        NotifyType::AUTHENTICATION_FAILED => " (this member is not authorized for the group)",
        _ => "",
    }
}

impl fmt::Display for Unauthenticated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unauthenticated::PreSharedKey => {
                "phase 1 message does not decrypt, in all likelihood the pre-shared keys differ, or the key is bound to another \
                 identity"
            }
            Unauthenticated::Hash => "hash does not match",
            Unauthenticated::Decryption => "message does not decrypt",
            Unauthenticated::Signature => "signature is not the key server's",
        })
    }
}
