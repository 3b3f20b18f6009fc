//! Events: logged once, and the last of them kept for `gdoictl show events`.

use crate::clock::Timestamp;
use crate::log::CRITICAL;
use gdoi::endpoint::Instant;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, VecDeque};
use std::time::Duration;
use tracing::field::display;

/// How many events are kept.
const KEPT: usize = 200;

/// How many events of one name are logged within [`WINDOW`].
const BURST: u32 = 20;

/// A time of many equal events, which senders of garbage can cause, costs one line about the rest.
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
    rates: HashMap<String, Rate>,
}

#[derive(Clone, Copy, Debug)]
struct Rate {
    since: Instant,
    count: u32,
}

impl Journal {
    /// Logs and keeps an event, unless too many of its name came just before.
    pub fn record(&mut self, event: Event, now: Instant) {
        match self.admit(&event.name, now) {
            Admission::Yes => self.keep(event),
            Admission::Last => {
                let message = format!("{} (more of these within {WINDOW:?} are not logged)", event.message);
                self.keep(Event { message, ..event });
            }
            Admission::No => {}
        }
    }

    /// The events that are kept, oldest first.
    pub fn report(&self) -> EventsReport {
        EventsReport { generated_at: Timestamp::now(), events: self.kept.iter().cloned().collect() }
    }

    fn keep(&mut self, event: Event) {
        event.log();
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(event);
    }

    fn admit(&mut self, name: &str, now: Instant) -> Admission {
        let rate = self.rates.entry(name.to_owned()).or_insert(Rate { since: now, count: 0 });
        if now.saturating_since(rate.since) >= WINDOW {
            *rate = Rate { since: now, count: 0 };
        }
        rate.count = rate.count.saturating_add(1);
        match rate.count {
            ..BURST => Admission::Yes,
            BURST => Admission::Last,
            _ => Admission::No,
        }
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

enum Admission {
    Yes,
    Last,
    No,
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
        assert!(text.contains("are not logged") && text.ends_with("GM_TEST: done\n"));
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
