//! The command line, and what it asks of which daemon.

use crate::config::{KEY_SERVER_SOCKET, MEMBER_SOCKET};
use crate::control::Request;
use crate::report::Protection;
use clap::{Args, Parser, Subcommand, ValueEnum};
use gdoi::crypto::sign::NewKey;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// Shows and controls the group member and key server daemons of this host.
#[derive(Debug, Parser)]
#[command(name = "gdoictl", version)]
pub struct Cli {
    /// The daemon's control socket [default: /run/gdoi/gm.sock or /run/gdoi/ks.sock, whichever the command is about]
    #[arg(long, global = true)]
    pub socket: Option<PathBuf>,
    /// Print JSON; times are RFC 3339 in UTC, spans are seconds
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what a daemon knows
    #[command(subcommand)]
    Show(Show),
    /// Ask the group member daemon to do something
    #[command(subcommand)]
    Gm(Gm),
    /// Ask the key server daemon to do something
    #[command(subcommand)]
    Ks(Ks),
    /// Apply the daemon's changed configuration, and tell what holds when (the group member's where both run, unless
    /// --socket says otherwise)
    Reload {
        /// Change nothing, only tell what would change
        #[arg(long)]
        dry_run: bool,
    },
    /// Check a configuration file of either daemon
    Check {
        /// The file
        file: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub enum Show {
    /// The group member: registration, keys, protection
    ///
    /// With --wait the exit status is 0 when the state is reached, 3 when it is not in time, and 1 for anything else.
    #[command(args_conflicts_with_subcommands = true)]
    Gm {
        #[command(subcommand)]
        part: Option<MemberPart>,
        #[command(flatten)]
        wait: Wait,
    },
    /// The key server: groups and keys
    Ks {
        #[command(subcommand)]
        part: Option<KeyServerPart>,
    },
    /// The last events of the daemon (of the group member where both run, unless --socket says otherwise)
    Events,
}

/// What is waited for.
#[derive(Debug, Args)]
pub struct Wait {
    /// Show nothing before all groups are in this state: encrypting, expiring, displaced, adopted, blocked, closed, open or
    /// detached; a daemon that does not run is waited for, too
    #[arg(long, value_name = "STATE", value_parser = protection)]
    pub wait: Option<Protection>,
    /// Seconds until it is given up [default: never]
    #[arg(long, value_name = "SECONDS", requires = "wait")]
    pub timeout: Option<u64>,
    /// The group's name [default: all groups]
    #[arg(long, requires = "wait")]
    pub group: Option<String>,
}

fn protection(word: &str) -> Result<Protection, String> {
    let found = Protection::ALL.into_iter().find(|one| one.word() == word);
    found.ok_or_else(|| format!("it is one of {}", Protection::ALL.map(Protection::word).join(", ")))
}

#[derive(Debug, Subcommand)]
pub enum MemberPart {
    /// The local and the downloaded access list
    Acl,
    /// What the kernel holds and has counted
    Dataplane {
        /// Show each state
        #[arg(long)]
        states: bool,
    },
    /// The rekey messages that came, and how the keys came last
    Rekey,
}

#[derive(Debug, Subcommand)]
pub enum KeyServerPart {
    /// The registered members, and how they acknowledge rekey messages
    Members,
    /// The access lists
    Acl,
    /// Access list, authorization and keys
    Policy,
    /// Rekey messages: the last, the next, who has not acknowledged
    Rekey,
    /// The key servers that share a group: who is primary, who is alive and has the same keys
    Coop {
        #[command(subcommand)]
        part: Option<CoopPart>,
    },
}

#[derive(Debug, Subcommand)]
pub enum CoopPart {
    /// Timers, digests, and the messages exchanged with each server
    Detail,
}

#[derive(Debug, Subcommand)]
pub enum Gm {
    /// Register again now, and protect what was detached; the keys stay until they are replaced
    Register {
        /// The group's name [default: all groups]
        group: Option<String>,
    },
    /// Take the protection out of the kernel, so that traffic passes IN CLEAR, until `gm register` or a restart
    ///
    /// The router remains a member and gets keys, but encrypts nothing, decrypts nothing and blocks nothing. Other members
    /// go on encrypting, and refuse what comes in clear: all that shall talk in clear must be detached. It holds until
    /// `gdoictl gm register`, or until the daemon starts again: a restart protects. A daemon that is stopped while detached
    /// leaves the traffic in clear. Without --yes-send-in-clear nothing is done.
    Detach {
        /// The group's name [default: all groups]
        group: Option<String>,
        /// Do it, and not only tell what would happen
        #[arg(long)]
        yes_send_in_clear: bool,
    },
    /// End the daemon, and the use of its keys with it: protected traffic is BLOCKED (fail-close) or passes IN CLEAR
    /// (fail-open) until it starts again
    ///
    /// Who only restarts or upgrades the daemon needs no such order: after SIGTERM, `systemctl stop` or `systemctl restart`
    /// the kernel goes on encrypting for a minute, in which a start takes over without loss. The unit does not start it
    /// again by itself.
    Stop,
}

#[derive(Debug, Subcommand)]
pub enum Ks {
    /// Send new keys to the members now, without loss
    Rekey {
        #[command(flatten)]
        choice: Choice,
        /// End the old keys at once: what is under way and members that the message does not reach lose packets
        #[arg(long)]
        replace_now: bool,
    },
    /// Remove a member, which may not come back; all others are told to register again
    Remove {
        /// The member's address
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        member: Option<IpAddr>,
        /// Tell all members to register again, and bar none
        #[arg(long)]
        all: bool,
        /// End the keys at once, with loss, instead of after the group's deactivation-delay
        #[arg(long)]
        now: bool,
        #[command(flatten)]
        choice: Choice,
    },
    /// Let a removed member register again
    Readmit {
        /// The member's address
        member: IpAddr,
        #[command(flatten)]
        choice: Choice,
    },
    /// The key servers that share a group
    #[command(subcommand)]
    Coop(Coop),
    /// Keys for `authentication` of `rekey`
    #[command(subcommand)]
    Key(Key),
}

#[derive(Debug, Subcommand)]
pub enum Coop {
    /// Give the role of the primary to the best of the other servers, and do not take it back
    Resign {
        #[command(flatten)]
        choice: Choice,
    },
}

/// One group or all.
#[derive(Debug, Args)]
pub struct Choice {
    /// The group's name [default: all groups]
    #[arg(long)]
    group: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum Key {
    /// Make a new key that signs rekey messages; asks no daemon
    Generate {
        /// Its kind
        #[arg(long = "type", value_enum, default_value_t)]
        kind: KeyType,
        /// Where it goes, as PKCS#8 in PEM; a file that exists is not overwritten
        file: PathBuf,
    },
    /// Encrypt a key under a passphrase, to carry it to the key servers that share a group; asks no daemon
    Export {
        /// The key, as PKCS#8 in PEM
        file: PathBuf,
        /// Where it goes, as encrypted PKCS#8 in PEM; a file that exists is not overwritten
        #[arg(long)]
        out: PathBuf,
        /// A file with the passphrase in one line, at least 12 characters [default: asked at the terminal]
        #[arg(long)]
        passphrase_file: Option<PathBuf>,
    },
    /// Take a key that another key server exported; asks no daemon
    Import {
        /// The key, as encrypted PKCS#8 in PEM
        file: PathBuf,
        /// Where it goes, as PKCS#8 in PEM; a file that exists is not overwritten
        #[arg(long)]
        out: PathBuf,
        /// A file with the passphrase in one line [default: asked at the terminal]
        #[arg(long)]
        passphrase_file: Option<PathBuf>,
    },
}

/// Kinds of keys that sign rekey messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum KeyType {
    /// ECDSA on P-256 with SHA-256
    #[default]
    EcdsaP256,
    /// ECDSA on P-384 with SHA-384
    EcdsaP384,
    /// RSA of 2048 bits with SHA-256
    #[value(name = "rsa-2048")]
    Rsa2048,
    /// RSA of 3072 bits with SHA-256
    #[value(name = "rsa-3072")]
    Rsa3072,
    /// RSA of 4096 bits with SHA-256
    #[value(name = "rsa-4096")]
    Rsa4096,
}

impl From<KeyType> for NewKey {
    fn from(kind: KeyType) -> Self {
        match kind {
            KeyType::EcdsaP256 => NewKey::EcdsaP256,
            KeyType::EcdsaP384 => NewKey::EcdsaP384,
            KeyType::Rsa2048 => NewKey::Rsa2048,
            KeyType::Rsa3072 => NewKey::Rsa3072,
            KeyType::Rsa4096 => NewKey::Rsa4096,
        }
    }
}

/// What to ask, and where a daemon that can answer is. Other commands ask none.
pub fn request(command: &Command) -> Option<(Request, &'static Path)> {
    let (member, key_server) = (Path::new(MEMBER_SOCKET), Path::new(KEY_SERVER_SOCKET));
    let either = if member.exists() { member } else { key_server };
    Some(match command {
        Command::Show(Show::Gm { part, .. }) => (member_part(part.as_ref()), member),
        Command::Show(Show::Ks { part }) => (key_server_part(part.as_ref()), key_server),
        Command::Show(Show::Events) => (Request::ShowEvents, either),
        Command::Gm(Gm::Register { group }) => (Request::GmRegister { group: group.clone() }, member),
        Command::Gm(Gm::Detach { group, .. }) => (Request::GmDetach { group: group.clone() }, member),
        Command::Gm(Gm::Stop) => (Request::GmStop, member),
        Command::Ks(ks) => (key_server_request(ks)?, key_server),
        Command::Reload { dry_run } => (Request::Reload { dry_run: *dry_run }, either),
        Command::Check { .. } => return None,
    })
}

fn member_part(part: Option<&MemberPart>) -> Request {
    match part {
        None => Request::ShowGm,
        Some(MemberPart::Acl) => Request::ShowGmAcl,
        Some(MemberPart::Dataplane { states }) => Request::ShowGmDataplane { states: *states },
        Some(MemberPart::Rekey) => Request::ShowGmRekey,
    }
}

fn key_server_part(part: Option<&KeyServerPart>) -> Request {
    match part {
        None => Request::ShowKs,
        Some(KeyServerPart::Members) => Request::ShowKsMembers,
        Some(KeyServerPart::Acl) => Request::ShowKsAcl,
        Some(KeyServerPart::Policy) => Request::ShowKsPolicy,
        Some(KeyServerPart::Rekey) => Request::ShowKsRekey,
        Some(KeyServerPart::Coop { part }) => Request::ShowKsCoop { detail: part.is_some() },
    }
}

fn key_server_request(command: &Ks) -> Option<Request> {
    let named = |choice: &Choice| choice.group.clone();
    Some(match command {
        Ks::Rekey { choice, replace_now } => {
            Request::KsRekey { group: named(choice), replace_now: *replace_now }
        }
        Ks::Remove { member: Some(member), now, choice, .. } => {
            Request::KsRemove { group: named(choice), member: *member, now: *now }
        }
        Ks::Remove { member: None, now, choice, .. } => {
            Request::KsRemoveAll { group: named(choice), now: *now }
        }
        Ks::Readmit { member, choice } => Request::KsReadmit { group: named(choice), member: *member },
        Ks::Coop(Coop::Resign { choice }) => Request::KsCoopResign { group: named(choice) },
        Ks::Key(_) => return None,
    })
}
