//! Counting bad datagrams without letting their sender fill the log.

use crate::endpoint::Instant;
use std::time::Duration;

const WINDOW: Duration = Duration::from_secs(10);
const REPORTS: u32 = 10;

/// Counts all, lets through ten reports in ten seconds.
#[derive(Debug, Default)]
pub(crate) struct Rejections {
    total: u64,
    window: Instant,
    reported: u32,
}

/// Whether a rejection is worth an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// Tell operators.
    Yes,
    /// Only count.
    No,
}

impl Rejections {
    pub(crate) const fn total(&self) -> u64 {
        self.total
    }

    pub(crate) fn count(&mut self, now: Instant) -> Report {
        self.total += 1;
        if now.saturating_since(self.window) >= WINDOW {
            (self.window, self.reported) = (now, 0);
        }
        self.reported = self.reported.saturating_add(1);
        match self.reported {
            1..=REPORTS => Report::Yes,
            _ => Report::No,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_and_not_reported() {
        let mut rejections = Rejections::default();
        let reports = |rejections: &mut Rejections, second: u64| {
            let now = Instant::from_millis(second * 1000);
            (0..1000).filter(|_| rejections.count(now) == Report::Yes).count()
        };
        assert_eq!(reports(&mut rejections, 1), 10);
        assert_eq!(reports(&mut rejections, 9), 0);
        assert_eq!(reports(&mut rejections, 10), 10);
        assert_eq!(rejections.total(), 3000);
    }
}
