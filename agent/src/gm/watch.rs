//! Listens to the kernel, so that changes there need not wait for the next comparison.

use crate::clock;
use crate::events::{Event, Journal, Severity};
use crate::readable::Readable;
use std::future::poll_fn;
use std::task::Poll;
use xfrm::{Monitor, Subject};

/// One ear for each subject that the kernel tells of.
pub struct Watch {
    monitors: Vec<Readable<Monitor>>,
}

impl Watch {
    /// Listens from now on; what cannot be listened to is noticed later only, which is logged. Must be called inside the
    /// runtime.
    pub fn start(journal: &mut Journal) -> Self {
        let mut monitors = Vec::new();
        for subject in Subject::ALL {
            match listen(subject) {
                Ok(monitor) => monitors.push(monitor),
                Err(reason) => journal.record(deaf(subject, &reason), clock::now()),
            }
        }
        Watch { monitors }
    }

    /// Waits for news. May be dropped at any time without loss.
    pub async fn next(&self) -> Subject {
        poll_fn(|context| {
            let mut news = self.monitors.iter().filter(|ear| ear.poll(context, Monitor::take).is_ready());
            news.next().map_or(Poll::Pending, |ear| Poll::Ready(ear.get().subject()))
        })
        .await
    }
}

fn listen(subject: Subject) -> Result<Readable<Monitor>, String> {
    let monitor = Monitor::open(subject).map_err(|error| error.to_string())?;
    Readable::new(monitor).map_err(|error| error.to_string())
}

fn deaf(subject: Subject, reason: &str) -> Event {
    let what = match subject {
        Subject::Links => "interfaces and addresses",
        Subject::Xfrm => "XFRM states and policies",
        Subject::Tables => "nftables",
        Subject::Routes => "routes",
    };
    let message = format!("Changes of {what} are noticed within ten seconds instead of at once: {reason}");
    Event::new(Severity::Warning, "GM_MONITOR", message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn silence_is_waited_for_and_deafness_is_told() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let none = Watch { monitors: Vec::new() };
            assert!(tokio::time::timeout(Duration::from_millis(10), none.next()).await.is_err());
        });
        let event = deaf(Subject::Tables, "no");
        assert_eq!((event.severity, event.name.as_str()), (Severity::Warning, "GM_MONITOR"));
        assert!(event.message.contains("nftables"));
    }
}
