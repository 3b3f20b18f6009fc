//! The one place that reads clocks.
//!
//! The protocol's instants are milliseconds since 1970 by the wall clock at the process's start, and go on with a clock
//! that nobody sets: they mean the same after a restart, and never go back while a process runs. A process that takes over
//! from another within one boot goes on with that one's clock, whatever the wall clock has come to show.

use gdoi::crypto::prf::digest;
use gdoi::crypto::Hash;
use gdoi::endpoint::Instant;
use nix::time::{clock_gettime, ClockId};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::str::FromStr;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

/// The instant of boot, by the wall clock when it was first asked for.
static BOOT: OnceLock<Instant> = OnceLock::new();

/// A point in time by the clocks of the process that was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// On the protocol's clock.
    pub instant: Instant,
    /// In which boot it was, as [`boot_name`] tells; zeros where that is not known.
    pub boot: [u8; 16],
    /// How long after that, whole milliseconds.
    pub since_boot: Duration,
}

/// How a process begins that takes over from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takeover {
    /// The machine has been up all the time: what passed since then is known.
    SameBoot,
    /// What passed since then is what the wall clock says.
    OtherBoot,
}

/// The present on the protocol's clock, which counts the time that the machine sleeps, too.
pub fn now() -> Instant {
    begin(None);
    BOOT.get().copied().unwrap_or_default() + since_boot()
}

/// Begins the clock, if it has not begun, where an earlier process left it.
pub fn begin(last: Option<&Moment>) {
    BOOT.get_or_init(|| boot(last, boot_name(), since_boot(), wall()));
}

/// The instant `now` by all clocks.
pub fn moment(now: Instant) -> Moment {
    begin(None);
    let since_boot = now.saturating_since(BOOT.get().copied().unwrap_or_default());
    Moment { instant: now, boot: boot_name(), since_boot }
}

/// Whether a process that begins now knows how long ago this was.
pub fn takeover(last: &Moment) -> Takeover {
    takeover_from(last, boot_name(), since_boot())
}

/// What the wall clock shows as an instant; somebody may set it at any time.
pub fn wall() -> Instant {
    Instant::default() + SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// The instant of boot. In another boot than the last process's the wall clock says what time it is, but not before what that
/// process has seen: the clock may have been set back since.
fn boot(last: Option<&Moment>, name: [u8; 16], since_boot: Duration, wall: Instant) -> Instant {
    match last.map(|last| (last, takeover_from(last, name, since_boot))) {
        Some((last, Takeover::SameBoot)) => last.instant.before(last.since_boot),
        Some((last, Takeover::OtherBoot)) => wall.max(last.instant).before(since_boot),
        None => wall.before(since_boot),
    }
}

fn takeover_from(last: &Moment, name: [u8; 16], since_boot: Duration) -> Takeover {
    match last.boot == name && name != [0; 16] && last.since_boot <= since_boot {
        true => Takeover::SameBoot,
        false => Takeover::OtherBoot,
    }
}

/// Tells this boot from others, and this clock since boot from those of containers that have one of their own.
fn boot_name() -> [u8; 16] {
    static NAME: OnceLock<[u8; 16]> = OnceLock::new();
    *NAME.get_or_init(|| {
        let Ok(boot_id) = fs::read("/proc/sys/kernel/random/boot_id") else { return [0; 16] };
        let namespace = fs::read_link("/proc/self/ns/time").unwrap_or_default();
        let digest = digest(Hash::Sha256, &[&boot_id, namespace.as_os_str().as_bytes()]);
        digest.first_chunk().copied().unwrap_or_default()
    })
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

    const HOUR: Duration = Duration::from_secs(3_600);
    const THEN: Instant = Instant::from_millis(1_700_000_000_000);

    /// A process stopped an hour after boot, by its clock at [`THEN`].
    fn last() -> Moment {
        Moment { instant: THEN, boot: [1; 16], since_boot: HOUR }
    }

    /// What the time is for one that takes over so long after boot, when the wall clock shows this.
    fn taken_over(boot_name: [u8; 16], since_boot: Duration, wall: Instant) -> Instant {
        boot(Some(&last()), boot_name, since_boot, wall) + since_boot
    }

    #[test]
    fn within_one_boot_the_time_that_passed_is_exact_whatever_the_wall_clock_shows() {
        let minute = Duration::from_secs(60);
        for wall in [Instant::default(), THEN.before(HOUR), THEN, THEN + minute, THEN + HOUR * 24 * 365] {
            assert_eq!(taken_over([1; 16], HOUR + minute, wall), THEN + minute, "{wall:?}");
            assert_eq!(taken_over([1; 16], HOUR, wall), THEN);
        }
    }

    #[test]
    fn in_another_boot_the_wall_clock_says_the_time_but_never_goes_back() {
        for name in [[2; 16], [0; 16]] {
            assert_eq!(taken_over(name, HOUR * 2, THEN + HOUR), THEN + HOUR);
            assert_eq!(taken_over(name, HOUR * 2, THEN.before(HOUR)), THEN, "it was set back");
        }
        let unknown = Moment { boot: [0; 16], ..last() };
        assert_eq!(takeover_from(&unknown, [0; 16], HOUR * 2), Takeover::OtherBoot);
        assert_eq!(
            takeover_from(&last(), [1; 16], HOUR / 2),
            Takeover::OtherBoot,
            "another clock since boot"
        );
    }

    #[test]
    fn the_boot_has_a_name_and_this_process_goes_on_from_itself() {
        assert_ne!(boot_name(), [0; 16]);
        let written = moment(now());
        assert_eq!(takeover(&written), Takeover::SameBoot);
        let again = boot(Some(&written), boot_name(), since_boot(), Instant::default()) + since_boot();
        assert!(again.as_millis().abs_diff(now().as_millis()) < 60_000);
    }
}
