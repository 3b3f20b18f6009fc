//! Counting bad datagrams without letting their sender fill the log. Each kind of event has its own measure, so that a
//! flood of one hides no other.

use crate::endpoint::Instant;
use std::collections::BTreeMap;
use std::time::Duration;

const WINDOW: Duration = Duration::from_secs(10);
const REPORTS: u32 = 10;

/// Counts all, lets through ten reports of each kind in ten seconds, and knows how many it left out.
#[derive(Debug, Default)]
pub(crate) struct Rejections {
    total: u64,
    /// By the names of events, of which there are few.
    kinds: BTreeMap<&'static str, Kind>,
}

#[derive(Debug)]
struct Kind {
    window: Instant,
    reported: u32,
    /// Since when reports were left out, and how many.
    omitted: Option<(Instant, u64)>,
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

    /// One more datagram that changed nothing.
    pub(crate) fn count(&mut self) {
        self.total += 1;
    }

    /// Whether one more event of this kind is told of.
    pub(crate) fn admit(&mut self, kind: &'static str, now: Instant) -> Report {
        let fresh = || Kind { window: now, reported: 0, omitted: None };
        let known = self.kinds.entry(kind).or_insert_with(fresh);
        if now.saturating_since(known.window) >= WINDOW {
            (known.window, known.reported) = (now, 0);
        }
        if known.reported < REPORTS {
            known.reported += 1;
            return Report::Yes;
        }
        known.omitted.get_or_insert((now, 0)).1 += 1;
        Report::No
    }

    /// The kinds of which reports were left out, and how many, once it is time to say so.
    pub(crate) fn omitted(&mut self, now: Instant) -> Vec<(&'static str, u64)> {
        let due = |(since, _): &mut (Instant, u64)| now.saturating_since(*since) >= WINDOW;
        let kinds = self.kinds.iter_mut();
        kinds.filter_map(|(kind, known)| Some((*kind, known.omitted.take_if(due)?.1))).collect()
    }

    /// When [`Rejections::omitted`] has some.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.kinds.values().filter_map(|kind| kind.omitted.map(|(since, _)| since + WINDOW)).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(second: u64) -> Instant {
        Instant::from_millis(second * 1_000)
    }

    fn reports(rejections: &mut Rejections, kind: &'static str, second: u64) -> usize {
        (0..1_000).filter(|_| rejections.admit(kind, at(second)) == Report::Yes).count()
    }

    #[test]
    fn a_flood_is_counted_and_not_reported() {
        let mut rejections = Rejections::default();
        assert_eq!(reports(&mut rejections, "A", 1), 10);
        assert_eq!(reports(&mut rejections, "A", 9), 0);
        assert_eq!(reports(&mut rejections, "B", 9), 10, "another kind");
        assert_eq!(reports(&mut rejections, "A", 11), 10);
        (0..3_000).for_each(|_| rejections.count());
        assert_eq!(rejections.total(), 3_000);
    }

    #[test]
    fn what_was_left_out_is_said_once() {
        let mut rejections = Rejections::default();
        assert_eq!(rejections.next_timeout(), None);
        reports(&mut rejections, "A", 1);
        reports(&mut rejections, "A", 9);
        reports(&mut rejections, "B", 9);
        assert_eq!((rejections.next_timeout(), rejections.omitted(at(10))), (Some(at(11)), vec![]));
        assert_eq!(rejections.omitted(at(11)), [("A", 1_990)]);
        assert_eq!((rejections.next_timeout(), rejections.omitted(at(19))), (Some(at(19)), vec![("B", 990)]));
        assert_eq!((rejections.next_timeout(), rejections.omitted(at(99))), (None, vec![]));
    }
}
