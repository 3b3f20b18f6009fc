//! What members and key servers report, with the names that operators match on.

mod coop;
mod key_server;
mod member;

pub use coop::CoopEvent;
pub use key_server::{Change, Effect, KeyServerEvent, Renewal};
pub use member::{Cause, MemberEvent, Sign};

use crate::policy::{GroupId, Spi};
use std::fmt;

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

/// A number of things: `1 member`, `2 members`.
pub fn counted<N: Into<Count>>(count: N, one: &str, several: &str) -> String {
    let Count(count) = count.into();
    format!("{count} {}", if count == 1 { one } else { several })
}

/// A number of things.
#[derive(Clone, Copy, Debug)]
pub struct Count(u64);

impl From<u64> for Count {
    fn from(count: u64) -> Self {
        Count(count)
    }
}

impl From<usize> for Count {
    fn from(count: usize) -> Self {
        Count(u64::try_from(count).unwrap_or(u64::MAX))
    }
}

/// The keys in a rekey message; one that only ends keys has none.
fn write_keys(f: &mut fmt::Formatter<'_>, teks: &[Spi]) -> fmt::Result {
    f.write_str(if teks.is_empty() { ", no TEK" } else { ", TEK" })?;
    teks.iter().try_for_each(|spi| write!(f, " {spi}"))
}
