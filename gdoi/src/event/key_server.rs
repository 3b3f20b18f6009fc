//! What a key server reports.

use super::{counted, write_keys, CoopEvent, GroupName, Severity};
use crate::error::{Error, Unacceptable};
use crate::policy::{GroupId, Identity, Spi};
use crate::server::Transport;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

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
    /// Members gave no sign of life until all keys that they had were over.
    MembersForgotten {
        /// The group.
        group: GroupName,
        /// How many.
        members: usize,
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
    /// Sender IDs begin anew: all members register again for others.
    SenderIdsRenewed {
        /// The group.
        group: GroupName,
        /// Why.
        cause: Renewal,
    },
    /// A member of other software cannot be told the deny entries of the ACL.
    DeniesLeftOut {
        /// The group.
        group: GroupName,
        /// The member.
        member: SocketAddr,
        /// How many.
        entries: usize,
    },
    /// All traffic keys of the stored state ended while this server was down.
    KeysEndedMeanwhile {
        /// The group.
        group: GroupName,
    },
    /// Something of a group that is in no configuration is kept until its last key ends.
    GroupKept {
        /// Its number.
        group: GroupId,
        /// How many members it has.
        members: usize,
        /// How many were removed from it.
        removed: usize,
        /// How long it is kept.
        remaining: Duration,
    },
    /// It is not kept any longer.
    GroupForgotten {
        /// Its number.
        group: GroupId,
    },
    /// A new KEK was made.
    NewKek {
        /// The group.
        group: GroupName,
    },
    /// Something about the servers that share a group.
    Coop {
        /// The group; None where it is about the link that all groups share.
        group: Option<GroupName>,
        /// What.
        event: CoopEvent,
    },
    /// A datagram changed nothing.
    Rejected {
        /// Its sender.
        from: SocketAddr,
        /// Why.
        reason: Error,
    },
    /// So many events of one kind were not reported each.
    Omitted {
        /// Their name.
        kind: &'static str,
        /// How many.
        count: u64,
    },
}

/// Why sender IDs begin anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// A server has nearly given out all that it can.
    UsedUp,
    /// A member has got as many as one can get.
    Allotted,
    /// This server leads and has none to give, and whoever could grant it some is not there to do so.
    NoGrantor,
    /// Another server has come, and the ranges are all granted.
    NoRange,
}

impl fmt::Display for Renewal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Renewal::UsedUp => "those of one key server came to their end",
            Renewal::Allotted => "a member has got as many as one can get, look which one registers so often",
            Renewal::NoGrantor => {
                "the key server that divided them among the others is not the one that it was, it has begun the group anew \
                 or is gone"
            }
            Renewal::NoRange => "a key server has come for which no range is left, since others came and went",
        })
    }
}

/// When a change reaches the members that are registered. Who registers after it gets the new policy at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// Now.
    AtOnce,
    /// With the next rekey, which an operator can ask for; the keys of now live on until their end.
    NextRekey,
    /// When they register again by themselves: the group has no rekey SA to tell them by.
    NextRegistration,
    /// All members are told to register again.
    Reregistration,
    /// When the server that leads the group tells them, for which its own configuration must say so, too.
    ByPrimary,
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Effect::AtOnce => "applied at once",
            Effect::NextRekey => "reaches registered members with the next rekey (`ks rekey` does it now)",
            Effect::NextRegistration => "reaches registered members when they register again by themselves",
            Effect::Reregistration => "all members are told to register again",
            Effect::ByPrimary => {
                "another key server leads the group: members are told when its configuration is changed, too"
            }
        })
    }
}

/// One thing that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The group.
    pub group: GroupName,
    /// What differs, as the configuration names it.
    pub what: &'static str,
    /// When it holds.
    pub effect: Effect,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "group {}: {}: {}", self.group, self.what, self.effect)
    }
}

impl KeyServerEvent {
    /// The stable name.
    pub const fn name(&self) -> &'static str {
        match self {
            KeyServerEvent::Registered { .. } => "KS_REGS_COMPL",
            KeyServerEvent::Refused { reason: Error::Unacceptable(Unacceptable::Address), .. } => {
                "UNAUTHORIZED_IPADDR"
            }
            KeyServerEvent::Refused {
                reason: Error::Unacceptable(Unacceptable::Identity(_) | Unacceptable::UnprovenIdentity(_)),
                ..
            } => "UNAUTHORIZED_IDENTITY",
            KeyServerEvent::Refused { .. } => "KS_GM_REFUSED",
            KeyServerEvent::Phase1Failed { .. } => "KS_PHASE1_FAILED",
            KeyServerEvent::NewTek { .. } => "KS_NEW_TEK",
            KeyServerEvent::NewKek { .. } => "KS_NEW_KEK",
            KeyServerEvent::KeysEndedMeanwhile { .. } => "KS_KEYS_ENDED",
            KeyServerEvent::GroupKept { .. } => "KS_GROUP_KEPT",
            KeyServerEvent::GroupForgotten { .. } => "KS_GROUP_FORGOTTEN",
            KeyServerEvent::SenderIdsRenewed { .. } => "KS_NEW_SIDS",
            KeyServerEvent::DeniesLeftOut { .. } => "KS_GM_ACL_PARTIAL",
            KeyServerEvent::PolicyChange { .. } => "POLICY_CHANGE",
            KeyServerEvent::RekeySent { transport: Transport::Unicast, .. } => "KS_SEND_UNICAST_REKEY",
            KeyServerEvent::RekeySent { transport: Transport::Multicast(_), .. } => "KS_SEND_MCAST_REKEY",
            KeyServerEvent::MemberDropped { .. } => "KS_GM_DROPPED",
            KeyServerEvent::MembersForgotten { .. } => "KS_GM_FORGOTTEN",
            KeyServerEvent::Revoked { .. } => "KS_GM_REVOKED",
            KeyServerEvent::AckRefused { .. } => "KS_ACK_REFUSED",
            KeyServerEvent::Coop { event, .. } => event.name(),
            KeyServerEvent::Rejected { .. } => "KS_PACKET_DROPPED",
            KeyServerEvent::Omitted { .. } => "KS_EVENTS_OMITTED",
        }
    }

    /// Whether datagrams can cause any number of them; a registration is bounded by what its member had to do for it.
    pub(crate) const fn is_provoked(&self) -> bool {
        match self {
            KeyServerEvent::Refused { .. }
            | KeyServerEvent::DeniesLeftOut { .. }
            | KeyServerEvent::Phase1Failed { .. }
            | KeyServerEvent::AckRefused { .. }
            | KeyServerEvent::Rejected { .. } => true,
            KeyServerEvent::Coop { event, .. } => event.is_provoked(),
            _ => false,
        }
    }

    /// How much it matters.
    pub const fn severity(&self) -> Severity {
        match self {
            KeyServerEvent::Refused { .. }
            | KeyServerEvent::DeniesLeftOut { .. }
            | KeyServerEvent::KeysEndedMeanwhile { .. }
            | KeyServerEvent::GroupKept { .. }
            | KeyServerEvent::GroupForgotten { .. }
            | KeyServerEvent::Phase1Failed { .. }
            | KeyServerEvent::Omitted { .. }
            | KeyServerEvent::Rejected { .. } => Severity::Warning,
            KeyServerEvent::MemberDropped { .. } | KeyServerEvent::AckRefused { .. } => Severity::Warning,
            KeyServerEvent::Registered { .. }
            | KeyServerEvent::RekeySent { .. }
            | KeyServerEvent::MembersForgotten { .. }
            | KeyServerEvent::Revoked { .. }
            | KeyServerEvent::SenderIdsRenewed { .. }
            | KeyServerEvent::PolicyChange { .. } => Severity::Notice,
            KeyServerEvent::NewTek { .. } | KeyServerEvent::NewKek { .. } => Severity::Info,
            KeyServerEvent::Coop { event, .. } => event.severity(),
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
                    Transport::Unicast => {
                        let members = counted(*members, "member", "members");
                        write!(f, "Sending unicast rekey for group {group} to {members}")?;
                    }
                    Transport::Multicast(to) => write!(f, "Sending multicast rekey for group {group} to {to}")?,
                }
                write!(f, " with sequence number {sequence}")?;
                write_keys(f, teks)
            }
            KeyServerEvent::MemberDropped { group, member } => write!(
                f,
                "Member {member} of group {group} did not acknowledge three rekeys in a row and gets no more until it \
                 registers again"
            ),
            KeyServerEvent::MembersForgotten { group, members } => {
                let members = counted(*members, "member", "members");
                write!(f, "{members} of group {group} gave no sign of life until all their keys had ended: forgotten")
            }
            KeyServerEvent::Revoked { group, member } => {
                write!(f, "Member {member} is removed from group {group} and may not register again")
            }
            KeyServerEvent::AckRefused { group, from, reason } => {
                write!(f, "Acknowledgement from {from} for group {group} ignored: {reason}")
            }
            KeyServerEvent::PolicyChange { change } => change.fmt(f),
            KeyServerEvent::GroupKept { group, members, removed, remaining } => write!(
                f,
                "Group {group} is in no configuration and served to nobody; what is known of it, with {} and {removed} that may \
                 not come back, is kept for {} s, until its last key ends: a group of this identity-number goes on with it",
                counted(*members, "member", "members"),
                remaining.as_secs()
            ),
            KeyServerEvent::GroupForgotten { group } => write!(
                f,
                "Group {group}, which is in no configuration, is forgotten with its members and those that were removed: a \
                 group of this identity-number begins anew"
            ),
            KeyServerEvent::SenderIdsRenewed { group, cause } => {
                write!(f, "New sender IDs for group {group}, for which all members register again: {cause}")
            }
            KeyServerEvent::DeniesLeftOut { group, member, entries } => write!(
                f,
                "Member {member} of group {group} runs other software: without {} of the ACL, which RFC 6407 cannot express, \
                 it encrypts that traffic as well",
                counted(*entries, "deny entry", "deny entries")
            ),
            KeyServerEvent::KeysEndedMeanwhile { group } => write!(
                f,
                "All traffic keys of group {group} ended while this key server was down: members that no other key server \
                 serves are without keys until they have the new one"
            ),
            KeyServerEvent::NewKek { group } => write!(f, "New KEK for group {group}"),
            KeyServerEvent::Coop { group: Some(group), event } => write!(f, "Group {group}: {event}"),
            KeyServerEvent::Coop { group: None, event } => event.fmt(f),
            KeyServerEvent::Rejected { from, reason } => write!(f, "Message from {from} ignored: {reason}"),
            KeyServerEvent::Omitted { kind, count } => {
                let more = counted(*count, "more event", "more events");
                write!(f, "{more} {kind} within ten seconds, not shown each")
            }
        }
    }
}
