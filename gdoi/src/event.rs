//! What members and key servers report, with the names that operators match on.

mod coop;
mod key_server;
mod member;

pub use coop::CoopEvent;
pub use key_server::{Change, Effect, KeyServerEvent};
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

/// The keys in a rekey message; one that only ends keys has none.
fn write_keys(f: &mut fmt::Formatter<'_>, teks: &[Spi]) -> fmt::Result {
    f.write_str(if teks.is_empty() { ", no TEK" } else { ", TEK" })?;
    teks.iter().try_for_each(|spi| write!(f, " {spi}"))
}
