//! What a key server reports of its cooperation with others.

use super::Severity;
use crate::error::{Error, Misbehaved};
use crate::policy::Spi;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// What a key server reports of its cooperation with others in a group.
#[derive(Clone, Debug, PartialEq)]
pub enum CoopEvent {
    /// A cooperating server was configured.
    PeerAdded(IpAddr),
    /// A cooperating server is heard.
    Reachable(IpAddr),
    /// A cooperating server is no more heard.
    Unreachable(IpAddr),
    /// Phase 1 with a cooperating server came to nothing, or its SA was lost.
    LinkFailed {
        /// The server.
        peer: IpAddr,
        /// Why.
        reason: Error,
    },
    /// No primary is heard any more: the servers that are left elect one.
    Election {
        /// Who was primary, if anybody was.
        lost: Option<IpAddr>,
    },
    /// This server is primary now.
    BecamePrimary {
        /// Who was before.
        previous: Option<IpAddr>,
        /// The number of its reign.
        epoch: u64,
    },
    /// This server is secondary now.
    BecameSecondary {
        /// Who is primary.
        primary: IpAddr,
        /// The number of its reign.
        epoch: u64,
    },
    /// Both sides of a split network had made keys: they are one group again.
    Merged {
        /// The SPIs of all TEKs that are received now.
        teks: Vec<Spi>,
    },
    /// Cooperating servers did not confirm new keys in time; members get them nevertheless.
    NotCommitted(Vec<IpAddr>),
    /// A cooperating server has another configuration.
    ConfigMismatch(IpAddr),
    /// A member asked while no primary is elected.
    RegistrationBlocked(SocketAddr),
    /// Nothing but announcements with a time far from this server's is heard: it listens anew, and takes the time of
    /// whoever is primary.
    TimeLost(IpAddr),
    /// A message of a cooperating server changed nothing.
    Refused {
        /// The server.
        peer: IpAddr,
        /// Why.
        reason: Error,
    },
}

impl CoopEvent {
    /// The stable name.
    pub const fn name(&self) -> &'static str {
        match self {
            CoopEvent::PeerAdded(_) => "COOP_KS_ADD",
            CoopEvent::Reachable(_) => "COOP_KS_REACH",
            CoopEvent::Unreachable(_) => "COOP_KS_UNREACH",
            CoopEvent::LinkFailed { .. } => "COOP_LINK_FAILED",
            CoopEvent::Election { .. } => "COOP_KS_ELECTION",
            CoopEvent::BecamePrimary { .. } => "COOP_KS_TRANS_TO_PRI",
            CoopEvent::BecameSecondary { .. } => "COOP_KS_TRANS_TO_SEC",
            CoopEvent::Merged { .. } => "COOP_KS_MERGE",
            CoopEvent::NotCommitted(_) => "COOP_NOT_COMMITTED",
            CoopEvent::ConfigMismatch(_) => "COOP_CONFIG_MISMATCH",
            CoopEvent::RegistrationBlocked(_) => "COOP_KS_BLOCK_NEW_GM_REGISTER_ELECTION",
            CoopEvent::TimeLost(_) => "COOP_KS_VALID_ANN_TIMER_EXPIRED",
            CoopEvent::Refused { reason: Error::Misbehaved(Misbehaved::TooNew(_)), .. } => {
                "GDOI_ANN_TIMESTAMP_LARGE"
            }
            CoopEvent::Refused { reason: Error::Misbehaved(Misbehaved::TooOld(_)), .. } => {
                "GDOI_ANN_TIMESTAMP_TOO_OLD"
            }
            CoopEvent::Refused { .. } => "COOP_PACKET_DROPPED",
        }
    }

    /// Whether datagrams can cause any number of them.
    pub(crate) const fn is_provoked(&self) -> bool {
        matches!(
            self,
            CoopEvent::RegistrationBlocked(_) | CoopEvent::LinkFailed { .. } | CoopEvent::Refused { .. }
        )
    }

    /// How much it matters.
    pub const fn severity(&self) -> Severity {
        match self {
            CoopEvent::Unreachable(_)
            | CoopEvent::LinkFailed { .. }
            | CoopEvent::Election { .. }
            | CoopEvent::NotCommitted(_)
            | CoopEvent::ConfigMismatch(_)
            | CoopEvent::RegistrationBlocked(_)
            | CoopEvent::TimeLost(_)
            | CoopEvent::Refused { .. } => Severity::Warning,
            CoopEvent::Reachable(_)
            | CoopEvent::BecamePrimary { .. }
            | CoopEvent::BecameSecondary { .. }
            | CoopEvent::Merged { .. } => Severity::Notice,
            CoopEvent::PeerAdded(_) => Severity::Info,
        }
    }

    /// The server or member that it is about.
    pub fn peer(&self) -> Option<String> {
        match self {
            CoopEvent::PeerAdded(peer)
            | CoopEvent::Reachable(peer)
            | CoopEvent::Unreachable(peer)
            | CoopEvent::LinkFailed { peer, .. }
            | CoopEvent::BecameSecondary { primary: peer, .. }
            | CoopEvent::ConfigMismatch(peer)
            | CoopEvent::TimeLost(peer)
            | CoopEvent::Refused { peer, .. } => Some(peer.to_string()),
            CoopEvent::RegistrationBlocked(member) => Some(member.to_string()),
            CoopEvent::Election { lost } => lost.map(|lost| lost.to_string()),
            CoopEvent::BecamePrimary { previous, .. } => previous.map(|previous| previous.to_string()),
            CoopEvent::Merged { .. } | CoopEvent::NotCommitted(_) => None,
        }
    }
}

impl fmt::Display for CoopEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CoopEvent::PeerAdded(peer) => write!(f, "key server {peer} cooperates"),
            CoopEvent::Reachable(peer) => write!(f, "key server {peer} is heard"),
            CoopEvent::Unreachable(peer) => write!(f, "key server {peer} is no more heard"),
            CoopEvent::LinkFailed { peer, reason } => {
                write!(f, "no ISAKMP SA with key server {peer}: {reason}; it is tried again")
            }
            CoopEvent::Election { lost: Some(lost) } => {
                write!(f, "primary key server {lost} is lost: a new one is elected")
            }
            CoopEvent::Election { lost: None } => f.write_str("no key server is primary: one is elected"),
            CoopEvent::BecamePrimary { previous: Some(previous), epoch } => {
                write!(f, "this key server is primary after {previous}, epoch {epoch}")
            }
            CoopEvent::BecamePrimary { previous: None, epoch } => {
                write!(f, "this key server is primary, epoch {epoch}")
            }
            CoopEvent::BecameSecondary { primary, epoch } => {
                write!(f, "this key server is secondary to {primary}, epoch {epoch}")
            }
            CoopEvent::Merged { teks } => {
                f.write_str("key servers that were apart had made keys: all members get all of them, TEK")?;
                teks.iter().try_for_each(|spi| write!(f, " {spi}"))
            }
            CoopEvent::NotCommitted(peers) => {
                f.write_str("new keys go to the members without being confirmed by")?;
                peers.iter().try_for_each(|peer| write!(f, " {peer}"))
            }
            CoopEvent::ConfigMismatch(peer) => {
                write!(f, "key server {peer} has another configuration: compare both files")
            }
            CoopEvent::RegistrationBlocked(member) => {
                write!(f, "member {member} is told to try later: no primary is elected yet")
            }
            CoopEvent::TimeLost(peer) => write!(
                f,
                "nothing but announcements of another time than this server's is heard, as from {peer}: the primary's time is taken over"
            ),
            CoopEvent::Refused { peer, reason } => write!(f, "message of key server {peer} ignored: {reason}"),
        }
    }
}
