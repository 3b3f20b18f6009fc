//! Events: logged once, and the last of them kept for `gdoictl show events`.

use crate::clock::Timestamp;
use crate::log::CRITICAL;
use gdoi::endpoint::Instant;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tracing::field::display;

/// How many events are kept.
const KEPT: usize = 200;

/// How many of these are of one name.
const KEPT_OF_NAME: usize = 50;

/// How many events of one name are logged within [`WINDOW`].
const BURST: u32 = 20;

/// A time of many equal events, which senders of garbage can cause, costs one line more with the number of the rest.
const WINDOW: Duration = Duration::from_secs(10);

/// How much an event matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// As it should be.
    Info,
    /// As it should be, and significant.
    Notice,
    /// Worth a look.
    Warning,
    /// Somebody must do something.
    Error,
    /// Somebody must know: protection has ended.
    Critical,
}

impl From<gdoi::Severity> for Severity {
    fn from(severity: gdoi::Severity) -> Self {
        match severity {
            gdoi::Severity::Info => Severity::Info,
            gdoi::Severity::Notice => Severity::Notice,
            gdoi::Severity::Warning => Severity::Warning,
            gdoi::Severity::Error => Severity::Error,
        }
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub time: Timestamp,
    /// How much it matters.
    pub severity: Severity,
    /// Its stable name, such as GM_REGS_COMPL.
    pub name: String,
    /// The group it is about.
    pub group: Option<String>,
    /// The other side.
    pub peer: Option<String>,
    /// What happened, for people.
    pub message: String,
}

impl Event {
    /// An event of now that is about no group and no peer.
    pub fn new(severity: Severity, name: &str, message: impl Into<String>) -> Self {
        let (group, peer) = (None, None);
        Event { time: Timestamp::now(), severity, name: name.into(), group, peer, message: message.into() }
    }

    /// The same about this group.
    #[must_use]
    pub fn of_group(mut self, group: impl ToString) -> Self {
        self.group = Some(group.to_string());
        self
    }

    /// The same with this peer.
    #[must_use]
    pub fn with_peer(mut self, peer: impl ToString) -> Self {
        self.peer = Some(peer.to_string());
        self
    }

    fn log(&self) {
        let (group, peer) = (self.group.as_ref().map(display), self.peer.as_ref().map(display));
        match self.severity {
            Severity::Info | Severity::Notice => {
                tracing::info!(group, peer, "{}: {}", self.name, self.message)
            }
            Severity::Warning => tracing::warn!(group, peer, "{}: {}", self.name, self.message),
            Severity::Error => tracing::error!(group, peer, "{}: {}", self.name, self.message),
            Severity::Critical => {
                tracing::error!(target: CRITICAL, group, peer, "{}: {}", self.name, self.message);
            }
        }
    }
}

/// The last events of a daemon, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventsReport {
    /// When this was true.
    pub generated_at: Timestamp,
    /// The events.
    pub events: Vec<Event>,
}

/// The events of one daemon.
#[derive(Debug, Default)]
pub struct Journal {
    kept: VecDeque<Event>,
    rates: BTreeMap<String, Rate>,
}

#[derive(Clone, Copy, Debug)]
struct Rate {
    since: Instant,
    count: u32,
}

impl Journal {
    /// Logs and keeps an event, unless too many of its name came just before.
    pub fn record(&mut self, event: Event, now: Instant) {
        self.settle(now);
        let rate = self.rates.entry(event.name.clone()).or_insert(Rate { since: now, count: 0 });
        rate.count = rate.count.saturating_add(1);
        match rate.count {
            ..BURST => self.keep(event),
            BURST => {
                let message = format!("{} (more of these within {WINDOW:?} are only counted)", event.message);
                self.keep(Event { message, ..event });
            }
            _ => {}
        }
    }

    /// Says how many events were left out, once it is time to. Answers when to come again.
    pub fn settle(&mut self, now: Instant) -> Option<Instant> {
        let is_over = |rate: &Rate| now.saturating_since(rate.since) >= WINDOW;
        let over = self.rates.iter().filter(|(_, rate)| is_over(rate) && rate.count > BURST);
        let over: Vec<_> = over.map(|(name, rate)| (name.clone(), rate.count - BURST)).collect();
        self.rates.retain(|_, rate| !is_over(rate));
        for (name, omitted) in over {
            let message = format!("{omitted} more of these came within {WINDOW:?}");
            self.keep(Event::new(Severity::Warning, &name, message));
        }
        let flooded = self.rates.values().filter(|rate| rate.count > BURST);
        flooded.map(|rate| rate.since + WINDOW).min()
    }

    /// The events that are kept, oldest first.
    pub fn report(&self) -> EventsReport {
        EventsReport { generated_at: Timestamp::now(), events: self.kept.iter().cloned().collect() }
    }

    /// Of one name only so many are kept that those of others stay.
    fn keep(&mut self, event: Event) {
        event.log();
        let alike = || self.kept.iter().enumerate().filter(|(_, other)| other.name == event.name);
        let first = match alike().count() {
            KEPT_OF_NAME.. => alike().next().map(|(index, _)| index),
            _ => (self.kept.len() >= KEPT).then_some(0),
        };
        first.and_then(|index| self.kept.remove(index));
        self.kept.push_back(event);
    }
}

/// The text of `show events`.
pub fn text(report: &EventsReport) -> String {
    let line = |event: &Event| {
        let about = |name: &str, value: &Option<String>| {
            value.as_ref().map_or(String::new(), |value| format!(" {name}={value}"))
        };
        let (group, peer) = (about("group", &event.group), about("peer", &event.peer));
        format!("{} {:?} {}: {}{group}{peer}\n", event.time, event.severity, event.name, event.message)
    };
    report.events.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::plain_lines;
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(octets)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(events: Vec<Event>) -> String {
        let sink = Sink::default();
        let writer = sink.clone();
        tracing::subscriber::with_default(plain_lines(move || writer.clone()), || {
            let mut journal = Journal::default();
            events.into_iter().for_each(|event| journal.record(event, Instant::default()));
        });
        let octets = sink.0.lock().unwrap().clone();
        String::from_utf8(octets).unwrap()
    }

    #[test]
    fn a_line_has_priority_name_message_and_fields() {
        let event = Event::new(Severity::Warning, "GM_TEST", "it happened")
            .of_group("corp")
            .with_peer("192.0.2.1:848");
        assert_eq!(logged(vec![event]), "<4>GM_TEST: it happened group=corp peer=192.0.2.1:848\n");
        assert_eq!(logged(vec![Event::new(Severity::Info, "GM_TEST", "done")]), "<6>GM_TEST: done\n");
        assert_eq!(logged(vec![Event::new(Severity::Error, "GM_TEST", "bad")]), "<3>GM_TEST: bad\n");
        assert_eq!(logged(vec![Event::new(Severity::Critical, "GM_TEST", "open")]), "<2>GM_TEST: open\n");
    }

    #[test]
    fn floods_are_cut_short_and_others_are_not() {
        let mut events = vec![Event::new(Severity::Info, "NOISE", "again"); 1000];
        events.push(Event::new(Severity::Info, "GM_TEST", "done"));
        let text = logged(events);
        assert_eq!(text.lines().count(), BURST as usize + 1);
        assert!(text.contains("are only counted") && text.ends_with("GM_TEST: done\n"));
    }

    #[test]
    fn what_is_not_logged_is_counted_and_said_once() {
        let mut journal = Journal::default();
        let at = |second: u64| Instant::from_millis(second * 1_000);
        (0..1_000).for_each(|_| journal.record(Event::new(Severity::Info, "NOISE", "again"), at(1)));
        assert_eq!(journal.settle(at(5)), Some(at(11)));
        assert_eq!((journal.settle(at(11)), journal.settle(at(30))), (None, None));
        let kept: Vec<_> = journal.report().events.into_iter().map(|event| event.message).collect();
        assert_eq!(kept.len(), BURST as usize + 1);
        assert_eq!(kept.last().unwrap(), "980 more of these came within 10s");
    }

    #[test]
    fn a_flood_of_one_name_leaves_the_others() {
        let mut journal = Journal::default();
        journal.record(Event::new(Severity::Info, "GM_TEST", "done"), Instant::default());
        for second in 0..10_000 {
            journal
                .record(Event::new(Severity::Info, "NOISE", "again"), Instant::from_millis(second * 1_000));
        }
        let kept = journal.report().events;
        assert_eq!((kept.len(), kept[0].name.as_str()), (1 + KEPT_OF_NAME, "GM_TEST"));
    }

    #[test]
    fn only_the_last_events_are_kept() {
        let mut journal = Journal::default();
        for number in 0..KEPT + 10 {
            journal.record(Event::new(Severity::Info, &number.to_string(), ""), Instant::default());
        }
        assert_eq!(journal.report().events.len(), KEPT);
        assert_eq!(journal.report().events[0].name, "10");
    }
}
