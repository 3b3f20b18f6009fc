//! How long keys live.

use super::located::Parsed;
use serde::{Deserialize, Deserializer};
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

/// The life of a TEK or KEK in seconds: a minute to 30 days, for labs less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyLife(u64);

/// The shortest life outside labs: with less, members hardly come around to anything but fetching keys.
pub const SHORTEST: u64 = 60;

const WITH_LAB_TIMERS: RangeInclusive<u64> = 20..=2_592_000;

impl KeyLife {
    /// The life.
    pub const fn time(self) -> Duration {
        Duration::from_secs(self.0)
    }
}

impl FromStr for KeyLife {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(seconds) if WITH_LAB_TIMERS.contains(&seconds) => Ok(KeyLife(seconds)),
            _ => Err(format!(
                "`{text}` is no whole number from {SHORTEST} to {} (from {} with lab-timers)",
                WITH_LAB_TIMERS.end(),
                WITH_LAB_TIMERS.start()
            )),
        }
    }
}

impl<'de> Deserialize<'de> for KeyLife {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Parsed::deserialize(deserializer).map(|Parsed(life)| life)
    }
}
