//! The one place that reads clocks.
//!
//! The protocol's instants are milliseconds since 1970 by the wall clock at the process's start, and go on with a clock
//! that nobody sets: they mean the same after a restart, and never go back while a process runs.

use gdoi::endpoint::Instant;
use nix::time::{clock_gettime, ClockId};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

/// The instant of boot, by the wall clock when it was first asked for.
static BOOT: OnceLock<Instant> = OnceLock::new();

/// The present on the protocol's clock, which counts the time that the machine sleeps, too.
pub fn now() -> Instant {
    *BOOT.get_or_init(|| boot(Instant::default())) + since_boot()
}

/// Begins the clock, if it has not begun, but not before `earliest`, which an earlier process has seen: the wall clock
/// may have been set back since.
pub fn begin(earliest: Instant) {
    BOOT.get_or_init(|| boot(earliest));
}

/// What the wall clock shows as an instant; somebody may set it at any time.
pub fn wall() -> Instant {
    Instant::default() + SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

fn boot(earliest: Instant) -> Instant {
    wall().max(earliest).before(since_boot())
}

fn since_boot() -> Duration {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from).unwrap_or_default()
}

/// A moment on the wall clock, in whole seconds since 1970. Written as RFC 3339 in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The present.
    pub fn now() -> Self {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Timestamp((since_epoch + Duration::from_millis(500)).as_secs())
    }

    /// What the wall clock showed or will show at `instant`, which is `now` away from the present.
    pub fn at(instant: Instant, now: Instant) -> Self {
        let present = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let moment = present + instant.saturating_since(now);
        let moment = moment.saturating_sub(now.saturating_since(instant));
        Timestamp((moment + Duration::from_millis(500)).as_secs())
    }

    /// Seconds from `earlier` to this moment, zero if it lies before.
    pub const fn seconds_after(self, earlier: Timestamp) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil(self.0 / 86_400);
        let (hour, minute, second) = (self.0 / 3_600 % 24, self.0 / 60 % 60, self.0 % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

/// The Gregorian date of a day counted from 1970-01-01 (Howard Hinnant, "chrono-compatible low-level date algorithms").
const fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + (month <= 2) as u64;
    (year, month, day)
}

const fn days(year: u64, month: u64, day: u64) -> u64 {
    let year = year - (month <= 2) as u64;
    let (era, year_of_era) = (year / 400, year % 400);
    let month_from_march = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

impl FromStr for Timestamp {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Option<Vec<u64>> = text
            .strip_suffix('Z')
            .map(|text| text.split(['-', 'T', ':']).map_while(|part| part.parse().ok()).collect());
        match numbers.as_deref() {
            Some(&[year, month, day, hour, minute, second])
                if year >= 1970 && (1..=12).contains(&month) && day > 0 =>
            {
                Ok(Timestamp(days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second))
            }
            _ => Err(format!("`{text}` is no time such as 2026-01-31T12:00:00Z")),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_read_and_print_alike() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (4_102_444_800, "2100-01-01T00:00:00Z"),
        ] {
            assert_eq!(Timestamp(seconds).to_string(), text);
            assert_eq!(text.parse(), Ok(Timestamp(seconds)));
        }
        assert!("2026-01-31".parse::<Timestamp>().is_err() && "".parse::<Timestamp>().is_err());
    }

    #[test]
    fn past_and_future_lie_on_the_wall_clock() {
        let now = Instant::from_millis(1_000_000);
        let present = Timestamp::at(now, now);
        let later = Timestamp::at(Instant::from_millis(1_060_000), now);
        let earlier = Timestamp::at(Instant::from_millis(940_000), now);
        assert!(
            (59..=61).contains(&later.seconds_after(present))
                && (59..=61).contains(&present.seconds_after(earlier))
        );
        assert_eq!(earlier.seconds_after(later), 0);
    }

    #[test]
    fn the_clock_runs() {
        assert!(now() > Instant::default() && Timestamp::now() > Timestamp(1_600_000_000));
    }

    #[test]
    fn instants_mean_the_same_in_every_process() {
        let difference = now().as_millis().abs_diff(wall().as_millis());
        assert!(difference < 60_000, "{difference}");
        assert!(Timestamp::at(now(), now()).0.abs_diff(wall().as_millis() / 1000) < 60);
    }

    #[test]
    fn a_clock_that_was_set_back_goes_on_from_where_it_was() {
        let later = now() + Duration::from_secs(1_000_000);
        let begun = boot(later) + since_boot();
        assert!(begun >= later && begun.saturating_since(later) < Duration::from_secs(60));
    }
}
