//! The configuration files: read whole, checked once, valid by construction afterwards.
//!
//! Every refusal names the file and the line. What serde_yaml cannot place by itself is checked inside
//! the reading of the value it is about (see `located`).

mod access;
mod discretion;
mod distinct_keys;
mod file_name;
mod hook;
mod key_life;
mod key_server;
mod located;
mod member;
mod names;
mod phase1;
mod redundancy;
mod rekey;
mod secret;
mod served_group;
mod server_address;
mod source;

pub use key_server::{KeyServerFile, KeyServerSettings, StateSettings, KEY_SERVER_SOCKET};
pub use member::{
    FailMode, GroupSettings, MemberFile, MemberSettings, MssClamp, Reception, MEMBER_SOCKET,
    SIDS_PER_INTERFACE,
};
pub use names::{InterfaceName, InterfacePattern};
pub use rekey::MulticastRoute;
pub use source::{ConfigError, Source};

use serde::de::DeserializeOwned;
use std::path::Path;

/// The UDP port of GDOI (RFC 6407 section 2).
pub const DEFAULT_PORT: u16 = 848;

type Port = located::Bounded<1, 65_535>;

/// A configuration that can be used, and what deserves attention nevertheless.
#[derive(Debug)]
pub struct Loaded<T> {
    /// The settings.
    pub settings: T,
    /// One line each, for people.
    pub warnings: Vec<String>,
    /// Changes with the contents of the file and of those that it names.
    pub fingerprint: u64,
}

/// A file that can be turned into what a daemon runs with; the files it names are read on the way.
pub trait Settings: DeserializeOwned {
    /// What the daemon runs with.
    type Ready;

    /// Reads the secrets that the file names.
    ///
    /// # Errors
    /// A secret that cannot be read or used, at the line that names it.
    fn settle(self, source: &mut Source) -> Result<Self::Ready, ConfigError>;
}

/// Reads and checks the configuration `path` and the files that it names.
///
/// # Errors
/// The first thing that is wrong, with file and line.
pub fn load<F: Settings>(path: &Path) -> Result<Loaded<F::Ready>, ConfigError> {
    let mut source = Source::read(path)?;
    let file: F = source.parse()?;
    let settings = file.settle(&mut source)?;
    Ok(Loaded { settings, fingerprint: source.fingerprint(), warnings: source.into_warnings() })
}

/// Checks the configuration `path`, of whichever daemon it is, and answers its warnings.
///
/// # Errors
/// The first thing that is wrong, with file and line.
pub fn check(path: &Path) -> Result<Vec<String>, ConfigError> {
    match Source::read(path)?.kind()? {
        Kind::Member => load::<MemberFile>(path).map(|loaded| loaded.warnings),
        Kind::KeyServer => load::<KeyServerFile>(path).map(|loaded| loaded.warnings),
    }
}

/// Whose configuration a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Of `gdoi-gm`.
    Member,
    /// Of `gdoi-ks`.
    KeyServer,
}

#[cfg(test)]
mod tests;
