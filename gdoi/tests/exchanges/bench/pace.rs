//! How often a member may register, held against what it does in every test: never twice within five seconds, and in any
//! span no more than once for each ten seconds in it and three times besides. What operators order by hand is excused, and so is
//! the first registration after a start.

use gdoi::Instant;
use std::collections::VecDeque;

const SPACING: u64 = 5_000;
const PERIOD: u64 = 10_000;
const BURST: u64 = 3;

/// So many are held against each other.
const LOOK_BACK: usize = 64;

/// The registrations of one member in one of its lives.
#[derive(Default)]
pub struct Pace {
    /// Those that nobody ordered.
    own: VecDeque<Instant>,
    last: Option<Instant>,
    ordered: bool,
}

impl Pace {
    /// An operator wants the next one.
    pub fn order(&mut self) {
        self.ordered = true;
    }

    /// One more. What is wrong with it, if anything is.
    pub fn registered(&mut self, now: Instant) -> Result<(), String> {
        let last = self.last.replace(now);
        if std::mem::take(&mut self.ordered) {
            return Ok(());
        }
        let since = |then: &Instant| now.as_millis() - then.as_millis();
        if let Some(gap) = last.as_ref().map(since).filter(|gap| *gap < SPACING) {
            return Err(format!("{gap} ms after the one before"));
        }
        self.own.truncate(LOOK_BACK - 1);
        self.own.push_front(now);
        for (number, then) in (1..).zip(&self.own) {
            let span = since(then);
            if number > BURST + span / PERIOD {
                return Err(format!("the {number}th in {span} ms"));
            }
        }
        Ok(())
    }
}
