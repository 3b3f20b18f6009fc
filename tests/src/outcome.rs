//! How a scenario ends.

use std::fmt;

/// Why a scenario went no further.
#[derive(Debug)]
pub enum Stop {
    /// Something is not as it must be.
    Failed(String),
    /// It cannot run here.
    Skipped(String),
}

/// What every step of a scenario returns.
pub type Outcome<T = ()> = Result<T, Stop>;

/// A failure with this reason.
pub fn failed<T>(reason: impl Into<String>) -> Outcome<T> {
    Err(Stop::Failed(reason.into()))
}

/// Goes on only if the condition holds; the rest says what is wrong otherwise.
macro_rules! ensure {
    ($condition:expr, $($reason:tt)+) => {
        if !$condition {
            return Err($crate::outcome::Stop::Failed(format!($($reason)+)));
        }
    };
}
pub(crate) use ensure;

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stop::Failed(reason) | Stop::Skipped(reason) => f.write_str(reason),
        }
    }
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Stop::Failed(error.to_string())
    }
}

impl From<nix::Error> for Stop {
    fn from(error: nix::Error) -> Self {
        Stop::Failed(error.to_string())
    }
}

impl From<serde_json::Error> for Stop {
    fn from(error: serde_json::Error) -> Self {
        Stop::Failed(format!("unreadable JSON: {error}"))
    }
}
