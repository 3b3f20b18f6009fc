//! What becomes of what was begun in the kernel.

use super::adoption::is_damaged;
use super::worker::Done;
use super::{tell_of_adoption, DataPlane, OVERDUE};
use crate::events::Journal;
use crate::gm::advice;
use crate::gm::desired::{Adoption, Guarded};
use gdoi::endpoint::Instant;
use gdoi::View;
use std::time::{Duration, Instant as Moment};
use xfrm::Installed;

/// An operator waits at most so long: less than gdoictl does.
const OPERATOR: Duration = Duration::from_secs(15);

/// What the kernel holds of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Nothing of what it needs since it registered.
    Nothing,
    /// What it needs, but no key to send with: protected traffic is held back.
    Blocking,
    /// All of it.
    Sending,
}

/// What it holds when it holds this view.
pub fn hold_of(group: &Guarded, view: &View) -> Hold {
    match (view.registered && group.detached.is_none(), &view.outbound) {
        (false, _) => Hold::Nothing,
        (true, None) => Hold::Blocking,
        (true, Some(_)) => Hold::Sending,
    }
}

impl DataPlane {
    /// Whether something is under way.
    pub fn is_busy(&self) -> bool {
        self.worker.busy_since().is_some()
    }

    /// Whether a sender that was let in now could be shut out again by what is under way.
    pub fn is_reading(&self) -> bool {
        self.worker.reads()
    }

    /// Waits until something is done, or new senders can be let in: [`Self::finish`] takes it in. May be dropped at any time without loss.
    pub async fn done(&self) {
        self.worker.ready().await;
    }

    /// Takes in what is done.
    pub fn finish(&mut self, now: Instant, journal: &mut Journal) {
        match self.worker.take(Duration::ZERO) {
            Some(done) => self.take_in(done, now, journal),
            None if self.worker.busy_since().is_some_and(|since| since + OVERDUE <= now) => {
                self.worker.wait_again(now);
                self.failed(overdue(OVERDUE), now, journal);
            }
            None => {}
        }
    }

    /// Does all that is due, now, and waits for it.
    ///
    /// # Errors
    /// It has not been done yet.
    pub fn refresh_at_once(&mut self, now: Instant, journal: &mut Journal) -> Result<(), String> {
        self.conclude(OPERATOR, now, journal)?;
        self.refresh(now, journal);
        self.conclude(OPERATOR, now, journal)
    }

    /// Waits until nothing is under way.
    pub(super) fn conclude(
        &mut self,
        limit: Duration,
        now: Instant,
        journal: &mut Journal,
    ) -> Result<(), String> {
        let begun = Moment::now();
        while self.is_busy() {
            let done =
                self.worker.take(limit.saturating_sub(begun.elapsed())).ok_or_else(|| overdue(limit))?;
            self.take_in(done, now, journal);
        }
        Ok(())
    }

    /// Whether something has been done since this was asked last, and nothing is under way.
    pub fn take_concluded(&mut self) -> bool {
        !self.is_busy() && std::mem::take(&mut self.concluded)
    }

    fn take_in(&mut self, done: Done, now: Instant, journal: &mut Journal) {
        self.concluded = true;
        match done {
            Done::Applied(applied) => match *applied {
                Ok((report, reading)) => {
                    self.watch_out(&reading, now, journal);
                    self.succeeded(report, now, journal);
                }
                Err(error) => self.failed(advice::explain(&error), now, journal),
            },
            Done::Seen(seen) => match *seen {
                Ok(installed) if self.adopted_is_damaged(&installed, now, journal) => {
                    self.replace(now, journal)
                }
                Ok(_) => {}
                Err(error) => self.failed(error.to_string(), now, journal),
            },
        }
    }

    /// Whether what protects groups that have not registered needs to be replaced by what blocks.
    fn adopted_is_damaged(&mut self, installed: &Installed, now: Instant, journal: &mut Journal) -> bool {
        let mut damaged = false;
        for (group, _) in self.groups.iter_mut().zip(&self.views).filter(|(_, view)| !view.registered) {
            if is_damaged(group, installed, self.worker.kept()) {
                (group.adoption, damaged) = (Adoption::Ended, true);
                tell_of_adoption(group, now, journal);
            }
        }
        damaged
    }

    /// The kernel holds what was under way.
    pub(super) fn hold(&mut self) {
        self.held.clone_from(&self.holding);
        let replaced = self.groups.iter_mut().zip(&self.held).filter(|(_, held)| **held != Hold::Nothing);
        replaced.for_each(|(group, _)| group.adoption = Adoption::None);
    }

    /// Nothing of a group is there any more.
    pub(super) fn forget_held(&mut self, name: &str) {
        for (group, held) in self.groups.iter().zip(&mut self.held) {
            if group.settings.group.name == name {
                *held = Hold::Nothing;
            }
        }
    }
}

fn overdue(limit: Duration) -> String {
    format!("the kernel has not answered for {} s", limit.as_secs())
}
