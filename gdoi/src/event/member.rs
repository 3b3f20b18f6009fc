//! What a member reports.

use super::{counted, write_keys, GroupName, Severity};
use crate::error::{Error, Misbehaved};
use crate::keyring::View;
use crate::policy::Spi;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

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
    /// The server has nothing that this member does not have.
    NothingNewer {
        /// The group.
        group: GroupName,
        /// The key server that was asked.
        server: SocketAddr,
        /// For how long.
        before: Duration,
    },
    /// There is a sign that this member lacks what others of the group have.
    Behind {
        /// The group.
        group: GroupName,
        /// Which.
        sign: Sign,
        /// When it will register again.
        registers_in: Duration,
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
    /// A rekey message spoke of another ACL than the one held: the member must register again to have it.
    AclOutdated {
        /// The group.
        group: GroupName,
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
    /// So many events of one kind were not reported each.
    Omitted {
        /// The group.
        group: GroupName,
        /// Their name.
        kind: &'static str,
        /// How many.
        count: u64,
    },
    /// The data plane must hold this from now on, until the next such event.
    ViewChanged(Box<View>),
}

/// Why a member registers again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Its keys come to their end and no rekey came.
    KeysEnd,
    /// The key server deleted keys and gave no others.
    KeysDeleted,
    /// The key server told it to.
    Dismissed,
    /// The message that brought another ACL was lost.
    AclOutdated,
    /// An operator told it to.
    Command,
    /// It speaks from another address.
    Moved,
    /// A state that sent is lost, or its key had gone and came again: the numbers that it used must not.
    SenderLost,
    /// It may lack what others have.
    Behind(Sign),
}

/// How a member notices that it may lack what others of the group have. All but [`Sign::Untimely`] and [`Sign::NumberAgain`]
/// anybody can make up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// ESP of the group's traffic comes with this SPI, for which there is no key.
    UnknownEsp(Spi),
    /// A key server of its list sent a rekey message under a KEK that it does not have.
    UnknownKek,
    /// A rekey message that the key server signed is too far from the group's time as it is here.
    Untimely,
    /// A rekey message that the key server signed is newer than the last one, with a number that was used before.
    NumberAgain,
}

impl fmt::Display for Sign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Sign::UnknownEsp(spi) => write!(f, "ESP of the group comes with the unknown SPI {spi}"),
            Sign::UnknownKek => f.write_str("a key server sends rekey messages under an unknown key"),
            Sign::Untimely => f.write_str("the group's time is another one than here"),
            Sign::NumberAgain => {
                f.write_str("the key server counts its rekey messages from an older state on")
            }
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cause::Behind(sign) => return sign.fmt(f),
            Cause::SenderLost => "a state that sent is lost, or its key came again",
            Cause::KeysEnd => "its keys come to their end and no rekey was received",
            Cause::KeysDeleted => "the key server deleted keys and gave no others",
            Cause::Dismissed => "the key server ended its rekey SA",
            Cause::AclOutdated => "the group has another ACL",
            Cause::Command => "an operator asked for it",
            Cause::Moved => "its address has changed",
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
            MemberEvent::NothingNewer { .. } => "GM_REGS_POSTPONED",
            MemberEvent::Behind { .. } => "GM_BEHIND",
            MemberEvent::Reregistering { .. } => "GM_RE_REGISTER",
            MemberEvent::Rekeyed { .. } => "GM_RECV_REKEY",
            MemberEvent::Dismissed { .. } => "GM_RECV_DELETE",
            MemberEvent::AclOutdated { .. } => "GM_ACL_OUTDATED",
            MemberEvent::RekeyRefused { reason, .. } => rekey_failure(reason),
            MemberEvent::KeysExpired { .. } => "GM_KEYS_EXPIRED",
            MemberEvent::Rejected { .. } => "GM_PACKET_DROPPED",
            MemberEvent::Omitted { .. } => "GM_EVENTS_OMITTED",
            MemberEvent::ViewChanged(_) => "",
        }
    }

    /// How much it matters.
    pub const fn severity(&self) -> Severity {
        match self {
            MemberEvent::KeysExpired { .. } => Severity::Error,
            MemberEvent::RegistrationFailed { .. }
            | MemberEvent::Rejected { .. }
            | MemberEvent::Omitted { .. }
            | MemberEvent::RekeyRefused { .. }
            | MemberEvent::Behind { .. }
            | MemberEvent::Dismissed { .. } => Severity::Warning,
            MemberEvent::Reregistering { .. }
            | MemberEvent::NothingNewer { .. }
            | MemberEvent::Registered { .. }
            | MemberEvent::AclOutdated { .. }
            | MemberEvent::Rekeyed { .. } => Severity::Notice,
            MemberEvent::RegistrationStarted { .. } | MemberEvent::ViewChanged(_) => Severity::Info,
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
                let aces = counted(*aces, "ACL entry", "ACL entries");
                write!(f, "Registration to key server {server} complete for group {group}: {aces}, TEK")?;
                teks.iter().try_for_each(|spi| write!(f, " {spi}"))
            }
            MemberEvent::RegistrationFailed { group, server, reason, next_server, retry_in } => write!(
                f,
                "Registration to key server {server} failed for group {group}: {reason}; next try with {next_server} in {} s",
                retry_in.as_secs()
            ),
            MemberEvent::NothingNewer { group, server, before } => write!(
                f,
                "Key server {server} has no other keys for group {group} within the next {} s: what is here is used on",
                before.as_secs()
            ),
            MemberEvent::Behind { group, sign, registers_in } => write!(
                f,
                "Group {group} may have keys that are not here, {sign}: register again in {} s",
                registers_in.as_secs()
            ),
            MemberEvent::Reregistering { group, cause } => {
                write!(f, "Re-register group {group} to a key server: {cause}")
            }
            MemberEvent::Rekeyed { group, from, sequence, teks } => {
                write!(f, "Received rekey for group {group} from {from} with sequence number {sequence}")?;
                write_keys(f, teks)
            }
            MemberEvent::Dismissed { group, from, registers_in } => write!(
                f,
                "Key server {from} ended the rekey SA of group {group}: register again in {} s",
                registers_in.as_secs()
            ),
            MemberEvent::AclOutdated { group, registers_in } => write!(
                f,
                "Group {group} has another ACL than the one here: register again in {} s",
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
            MemberEvent::Omitted { group, kind, count } => {
                let more = counted(*count, "more event", "more events");
                write!(f, "{more} {kind} of group {group} within ten seconds, not shown each")
            }
            MemberEvent::ViewChanged(_) => f.write_str("what the data plane must hold has changed"),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Secret;
    use crate::endpoint::Instant;
    use crate::keyring::Sa;
    use crate::policy::{GroupId, Seed, TekKeys};

    fn sa(keys: TekKeys) -> Sa {
        Sa {
            spi: Spi(7),
            transform: "aes-256-gcm".parse().unwrap(),
            keys,
            expires: Instant::from_millis(60_000),
            replay_window: 64,
            group: GroupId(100),
        }
    }

    #[test]
    fn a_view_in_an_event_shows_no_key() {
        let secret = || Secret::new(vec![0xab; 32]);
        let shared = sa(TekKeys::Shared { encryption: secret(), integrity: secret() });
        let per_sender = sa(TekKeys::PerSender(Seed::new(secret()).unwrap()));
        let view =
            View { inbound: vec![shared, per_sender.clone()], outbound: Some(per_sender), ..View::default() };
        let event = MemberEvent::ViewChanged(Box::new(view));
        let debug = format!("{event:?} {event:#?} {event}").to_lowercase();
        assert_eq!(debug.matches("secret(32 octets)").count(), 2 * 4, "{debug}");
        assert!(!debug.contains("171") && !debug.contains("ab, ab") && !debug.contains("abab"), "{debug}");
    }
}
