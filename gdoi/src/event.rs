//! What members and key servers report, with the names that operators match on.

use crate::error::{Error, Misbehaved};
use crate::policy::{GroupId, Identity, Spi};
use crate::server::{Change, Transport};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// How much an event matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Somebody must act.
    Error,
    /// Something is not as it should be.
    Warning,
    /// Normal, but significant.
    Notice,
    /// Normal.
    Info,
}

/// A group's name and number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupName {
    /// What operators call it.
    pub name: String,
    /// What it is on the wire.
    pub id: GroupId,
}

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.id)
    }
}

/// What a member reports.
#[derive(Clone, Debug, PartialEq)]
pub enum MemberEvent {
    /// A registration begins.
    RegistrationStarted {
        /// The group.
        group: GroupName,
        /// The key server asked.
        server: SocketAddr,
    },
    /// Policy and keys are here.
    Registered {
        /// The group.
        group: GroupName,
        /// The key server that gave them.
        server: SocketAddr,
        /// The SPIs of the TEKs.
        teks: Vec<Spi>,
        /// The number of ACL entries.
        aces: usize,
    },
    /// A registration came to nothing.
    RegistrationFailed {
        /// The group.
        group: GroupName,
        /// The key server asked.
        server: SocketAddr,
        /// Why.
        reason: Error,
        /// Who is asked next.
        next_server: SocketAddr,
        /// And when.
        retry_in: Duration,
    },
    /// The group is asked for new keys.
    Reregistering {
        /// The group.
        group: GroupName,
        /// Why.
        cause: Cause,
    },
    /// A rekey message brought new keys or took old ones.
    Rekeyed {
        /// The group.
        group: GroupName,
        /// Who sent it.
        from: SocketAddr,
        /// Its number.
        sequence: u32,
        /// The SPIs of the TEKs in it.
        teks: Vec<Spi>,
    },
    /// The key server ended the rekey SA: the member must register again.
    Dismissed {
        /// The group.
        group: GroupName,
        /// Who sent it.
        from: SocketAddr,
        /// When it will register again.
        registers_in: Duration,
    },
    /// A rekey message changed nothing.
    RekeyRefused {
        /// The group.
        group: GroupName,
        /// Its sender.
        from: SocketAddr,
        /// Why.
        reason: Error,
    },
    /// The last key ended without a successor: protected traffic is blocked.
    KeysExpired {
        /// The group.
        group: GroupName,
    },
    /// A datagram changed nothing.
    Rejected {
        /// The group whose exchange it seemed to belong to.
        group: GroupName,
        /// Its sender.
        from: SocketAddr,
        /// Why.
        reason: Error,
    },
    /// [`crate::Member::view`] answers otherwise than before.
    ViewChanged,
}

/// Why a member registers again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Its keys come to their end and no rekey came.
    KeysEnd,
    /// The key server told it to.
    Dismissed,
    /// An operator told it to.
    Command,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cause::KeysEnd => "its keys come to their end and no rekey was received",
            Cause::Dismissed => "the key server ended its rekey SA",
            Cause::Command => "an operator asked for it",
        })
    }
}

impl MemberEvent {
    /// The stable name; empty for [`MemberEvent::ViewChanged`], which is no matter for a log.
    pub const fn name(&self) -> &'static str {
        match self {
            MemberEvent::RegistrationStarted { .. } => "GM_REGISTER",
            MemberEvent::Registered { .. } => "GM_REGS_COMPL",
            MemberEvent::RegistrationFailed { .. } => "GM_REGS_FAILED",
            MemberEvent::Reregistering { .. } => "GM_RE_REGISTER",
            MemberEvent::Rekeyed { .. } => "GM_RECV_REKEY",
            MemberEvent::Dismissed { .. } => "GM_RECV_DELETE",
            MemberEvent::RekeyRefused { reason, .. } => rekey_failure(reason),
            MemberEvent::KeysExpired { .. } => "GM_KEYS_EXPIRED",
            MemberEvent::Rejected { .. } => "GM_PACKET_DROPPED",
            MemberEvent::ViewChanged => "",
        }
    }

    /// How much it matters.
    pub const fn severity(&self) -> Severity {
        match self {
            MemberEvent::KeysExpired { .. } => Severity::Error,
            MemberEvent::RegistrationFailed { .. }
            | MemberEvent::Rejected { .. }
            | MemberEvent::RekeyRefused { .. }
            | MemberEvent::Dismissed { .. } => Severity::Warning,
            MemberEvent::Reregistering { .. }
            | MemberEvent::Registered { .. }
            | MemberEvent::Rekeyed { .. } => Severity::Notice,
            MemberEvent::RegistrationStarted { .. } | MemberEvent::ViewChanged => Severity::Info,
        }
    }
}

impl fmt::Display for MemberEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MemberEvent::RegistrationStarted { group, server } => {
                write!(f, "Start registration to key server {server} for group {group}")
            }
            MemberEvent::Registered { group, server, teks, aces } => {
                write!(f, "Registration to key server {server} complete for group {group}: {aces} ACL entries, TEK")?;
                teks.iter().try_for_each(|spi| write!(f, " {spi}"))
            }
            MemberEvent::RegistrationFailed { group, server, reason, next_server, retry_in } => write!(
                f,
                "Registration to key server {server} failed for group {group}: {reason}; next try with {next_server} in {} s",
                retry_in.as_secs()
            ),
            MemberEvent::Reregistering { group, cause } => {
                write!(f, "Re-register group {group} to a key server: {cause}")
            }
            MemberEvent::Rekeyed { group, from, sequence, teks } => {
                write!(f, "Received rekey for group {group} from {from} with sequence number {sequence}, TEK")?;
                teks.iter().try_for_each(|spi| write!(f, " {spi}"))
            }
            MemberEvent::Dismissed { group, from, registers_in } => write!(
                f,
                "Key server {from} ended the rekey SA of group {group}: register again in {} s",
                registers_in.as_secs()
            ),
            MemberEvent::RekeyRefused { group, from, reason } => {
                write!(f, "Rekey message from {from} for group {group} ignored: {reason}")
            }
            MemberEvent::KeysExpired { group } => write!(
                f,
                "The last key of group {group} has expired and no key server gave a new one: protected traffic is blocked"
            ),
            MemberEvent::Rejected { group, from, reason } => {
                write!(f, "Message from {from} for group {group} ignored: {reason}")
            }
            MemberEvent::ViewChanged => f.write_str("what the data plane must hold has changed"),
        }
    }
}

/// The field's name for a rekey message that was refused.
const fn rekey_failure(reason: &Error) -> &'static str {
    match reason {
        Error::Misbehaved(Misbehaved::Sequence { .. }) => "GDOI_REKEY_SEQ_FAILURE",
        Error::Misbehaved(Misbehaved::TooOld(_)) => "PSEUDO_TIME_TOO_OLD",
        Error::Misbehaved(Misbehaved::TooNew(_)) => "PSEUDO_TIME_LARGE",
        _ => "GDOI_REKEY_FAILURE",
    }
}

/// What a key server reports.
#[derive(Clone, Debug, PartialEq)]
pub enum KeyServerEvent {
    /// A member has policy and keys.
    Registered {
        /// The group.
        group: GroupName,
        /// The member.
        member: SocketAddr,
        /// The identity that it proved.
        identity: Identity,
    },
    /// A member asked for a group and did not get it.
    Refused {
        /// The group, if it is one.
        group: Option<GroupName>,
        /// The member.
        member: SocketAddr,
        /// Why.
        reason: Error,
    },
    /// Phase 1 with a peer failed.
    Phase1Failed {
        /// The peer.
        peer: SocketAddr,
        /// Why.
        reason: Error,
    },
    /// A new TEK was made.
    NewTek {
        /// The group.
        group: GroupName,
        /// Its SPI.
        spi: Spi,
    },
    /// A rekey message goes out.
    RekeySent {
        /// The group.
        group: GroupName,
        /// How.
        transport: Transport,
        /// Its number.
        sequence: u32,
        /// How many members there are.
        members: usize,
        /// The SPIs of the TEKs in it.
        teks: Vec<Spi>,
    },
    /// A member did not acknowledge three rekeys in a row and gets no more.
    MemberDropped {
        /// The group.
        group: GroupName,
        /// The member.
        member: IpAddr,
    },
    /// An operator removed a member.
    Revoked {
        /// The group.
        group: GroupName,
        /// The member.
        member: IpAddr,
    },
    /// An acknowledgement changed nothing.
    AckRefused {
        /// The group.
        group: GroupName,
        /// Its sender.
        from: SocketAddr,
        /// Why.
        reason: Error,
    },
    /// The configuration of a group was changed.
    PolicyChange {
        /// What, and when it holds.
        change: Change,
    },
    /// A new KEK was made.
    NewKek {
        /// The group.
        group: GroupName,
    },
    /// A datagram changed nothing.
    Rejected {
        /// Its sender.
        from: SocketAddr,
        /// Why.
        reason: Error,
    },
}

impl KeyServerEvent {
    /// The stable name.
    pub const fn name(&self) -> &'static str {
        use crate::error::Unacceptable;
        match self {
            KeyServerEvent::Registered { .. } => "KS_REGS_COMPL",
            KeyServerEvent::Refused { reason: Error::Unacceptable(Unacceptable::Address), .. } => {
                "UNAUTHORIZED_IPADDR"
            }
            KeyServerEvent::Refused { reason: Error::Unacceptable(Unacceptable::Identity(_)), .. } => {
                "UNAUTHORIZED_IDENTITY"
            }
            KeyServerEvent::Refused { .. } => "KS_GM_REFUSED",
            KeyServerEvent::Phase1Failed { .. } => "KS_PHASE1_FAILED",
            KeyServerEvent::NewTek { .. } => "KS_NEW_TEK",
            KeyServerEvent::NewKek { .. } => "KS_NEW_KEK",
            KeyServerEvent::PolicyChange { .. } => "POLICY_CHANGE",
            KeyServerEvent::RekeySent { transport: Transport::Unicast, .. } => "KS_SEND_UNICAST_REKEY",
            KeyServerEvent::RekeySent { transport: Transport::Multicast(_), .. } => "KS_SEND_MCAST_REKEY",
            KeyServerEvent::MemberDropped { .. } => "KS_GM_DROPPED",
            KeyServerEvent::Revoked { .. } => "KS_GM_REVOKED",
            KeyServerEvent::AckRefused { .. } => "KS_ACK_REFUSED",
            KeyServerEvent::Rejected { .. } => "KS_PACKET_DROPPED",
        }
    }

    /// How much it matters.
    pub const fn severity(&self) -> Severity {
        match self {
            KeyServerEvent::Refused { .. }
            | KeyServerEvent::Phase1Failed { .. }
            | KeyServerEvent::Rejected { .. } => Severity::Warning,
            KeyServerEvent::MemberDropped { .. } | KeyServerEvent::AckRefused { .. } => Severity::Warning,
            KeyServerEvent::Registered { .. }
            | KeyServerEvent::RekeySent { .. }
            | KeyServerEvent::Revoked { .. }
            | KeyServerEvent::PolicyChange { .. } => Severity::Notice,
            KeyServerEvent::NewTek { .. } | KeyServerEvent::NewKek { .. } => Severity::Info,
        }
    }
}

impl fmt::Display for KeyServerEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyServerEvent::Registered { group, member, identity } => {
                write!(f, "Registration of member {member} ({identity}) complete for group {group}")
            }
            KeyServerEvent::Refused { group: Some(group), member, reason } => {
                write!(f, "Member {member} is refused for group {group}: {reason}")
            }
            KeyServerEvent::Refused { group: None, member, reason } => {
                write!(f, "Member {member} is refused: {reason}")
            }
            KeyServerEvent::Phase1Failed { peer, reason } => {
                write!(f, "Phase 1 with {peer} failed: {reason}")
            }
            KeyServerEvent::NewTek { group, spi } => write!(f, "New TEK {spi} for group {group}"),
            KeyServerEvent::RekeySent { group, transport, sequence, members, teks } => {
                match transport {
                    Transport::Unicast => write!(f, "Sending unicast rekey for group {group} to {members} members")?,
                    Transport::Multicast(to) => write!(f, "Sending multicast rekey for group {group} to {to}")?,
                }
                write!(f, " with sequence number {sequence}, TEK")?;
                teks.iter().try_for_each(|spi| write!(f, " {spi}"))
            }
            KeyServerEvent::MemberDropped { group, member } => write!(
                f,
                "Member {member} of group {group} did not acknowledge three rekeys in a row and gets no more until it \
                 registers again"
            ),
            KeyServerEvent::Revoked { group, member } => {
                write!(f, "Member {member} is removed from group {group} and may not register again")
            }
            KeyServerEvent::AckRefused { group, from, reason } => {
                write!(f, "Acknowledgement from {from} for group {group} ignored: {reason}")
            }
            KeyServerEvent::PolicyChange { change } => change.fmt(f),
            KeyServerEvent::NewKek { group } => write!(f, "New KEK for group {group}"),
            KeyServerEvent::Rejected { from, reason } => write!(f, "Message from {from} ignored: {reason}"),
        }
    }
}
