//! What the kernel holds when the daemon ends.

use super::{DataPlane, OVERDUE};
use crate::events::{Event, Journal, Severity};
use crate::gm::desired::Phase;
use crate::gm::due::Cause;
use gdoi::endpoint::Instant;
use std::time::Duration;
use xfrm::Shortened;

/// So long the kernel goes on without a daemon that was told to end: a restart, an upgrade of the package and what the service
/// manager waits between two tries all take less.
pub const WITHOUT_DAEMON: Duration = Duration::from_secs(60);

impl DataPlane {
    /// Ends the use of keys: protected traffic of fail-close groups is blocked, that of fail-open groups is clear.
    ///
    /// # Errors
    /// The kernel does not take it.
    pub fn release(&mut self, now: Instant, journal: &mut Journal) -> Result<(), String> {
        self.end_work(now, journal)?;
        let wanted = self.desired(Phase::Stopping, now);
        self.under_way = Cause::Stop;
        self.apply(wanted, now, journal);
        self.conclude(OVERDUE, now, journal)?;
        self.error.clone().map_or(Ok(()), Err)
    }

    /// Leaves all as it is, for another daemon to take over, for a short time: keys do not outlive it.
    pub fn leave(&mut self, now: Instant, journal: &mut Journal) {
        let ended = self.end_work(now, journal);
        let shortened =
            ended.and_then(|()| self.kernel.shorten(WITHOUT_DAEMON).map_err(|error| error.to_string()));
        match shortened {
            Ok(shortened) => journal.record(left(shortened), now),
            Err(reason) => {
                let message = format!("What the kernel holds stays until its keys end: {reason}");
                journal.record(Event::new(Severity::Error, "GM_STOP", message), now);
            }
        }
    }

    /// Gives what an earlier run left the lives back that its states had before that ended: this one is there.
    pub fn take_over(&mut self) {
        let slots = std::mem::take(&mut self.inherited);
        if slots.is_empty() {
            return;
        }
        match self.kernel.restore(&slots) {
            Ok(0) => {}
            // They end soon, and what takes their place is there by then or blocks.
            Ok(failed) => tracing::warn!("{failed} states of an earlier run end soon"),
            Err(error) => tracing::warn!("the states of an earlier run end soon: {error}"),
        }
    }

    fn end_work(&mut self, now: Instant, journal: &mut Journal) -> Result<(), String> {
        self.worker.hurry();
        self.conclude(OVERDUE, now, journal)
    }
}

fn left(shortened: Shortened) -> Event {
    let seconds = WITHOUT_DAEMON.as_secs();
    let (severity, message) = match shortened {
        Shortened { kept: 0, removed: 0 } => {
            (Severity::Info, "There is no key in the kernel; what is closed stays closed".into())
        }
        Shortened { removed: 0, .. } => {
            let message = format!(
                "Traffic stays encrypted without the daemon for {seconds} s, in which a start takes over without loss, \
                 and is blocked then (at once with `gdoictl gm stop`)"
            );
            (Severity::Notice, message)
        }
        Shortened { removed, .. } => {
            let message = format!(
                "Traffic stays encrypted without the daemon for {seconds} s, but for {removed} states that somebody has \
                 changed: they are removed"
            );
            (Severity::Warning, message)
        }
    };
    Event::new(severity, "GM_STOP", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_told() {
        let told = |kept, removed| left(Shortened { kept, removed });
        assert_eq!(told(0, 0).severity, Severity::Info);
        assert!(told(4, 0).message.contains("for 60 s, in which a start takes over without loss"));
        let changed = told(4, 2);
        assert_eq!((changed.severity, changed.message.contains("2 states")), (Severity::Warning, true));
    }
}
