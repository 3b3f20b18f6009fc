//! How long a state lives: the kernel counts seconds from its addition, by the wall clock.

use std::time::{Duration, SystemTime};

/// A state that ends so many seconds before it should is given more time: both sides count whole seconds, and not at the
/// same moment.
const TOLERANCE: u64 = 5;

/// The life of a state that the kernel holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Life {
    /// When the state was added, in seconds since 1970.
    pub added: u64,
    /// How many seconds later the kernel forgets it; none: never.
    pub hard: Option<u64>,
    /// What that was before it was shortened. The kernel keeps it as the soft lifetime, which does nothing when it comes
    /// after the hard one.
    pub before: Option<u64>,
}

impl Life {
    /// Ends so long after `now`; none: never. Nothing is left of an earlier life.
    pub fn lasting(self, now: u64, limit: Option<Duration>) -> Self {
        let hard = limit.map(|limit| self.age(now).saturating_add(limit.as_secs()).max(1));
        Self { hard, before: None, ..self }
    }

    /// Ends so long after `now`, and remembers when it should have ended; none if it ends before that by itself.
    pub fn shortened(self, now: u64, limit: Duration) -> Option<Self> {
        let short = self.lasting(now, Some(limit));
        let is_longer = self.hard.is_none_or(|hard| Some(hard) > short.hard);
        is_longer.then_some(Self { before: self.before.or(self.hard), ..short })
    }

    /// As long as before it was shortened; none if it was not.
    pub fn restored(self) -> Option<Self> {
        self.before.filter(|before| Some(*before) > self.hard).map(|before| Self {
            hard: Some(before),
            before: None,
            ..self
        })
    }

    /// Whether it ends noticeably earlier than so long after `now`; none: than never.
    pub fn ends_before(self, now: u64, wanted: Option<Duration>) -> bool {
        match (self.hard, wanted) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(hard), Some(wanted)) => {
                hard.saturating_add(TOLERANCE) < self.age(now).saturating_add(wanted.as_secs())
            }
        }
    }

    /// The clock may have been set back since.
    fn age(self, now: u64) -> u64 {
        now.saturating_sub(self.added)
    }
}

/// The present, in seconds since 1970 by the clock that the kernel counts with.
pub fn wall() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_life_is_shortened_once_and_is_what_it_was_again() {
        let life = Life { added: 1_000, hard: Some(3_600), before: None };
        let short = life.shortened(1_100, MINUTE).unwrap();
        assert_eq!((short.hard, short.before), (Some(160), Some(3_600)));
        let again = short.shortened(1_130, MINUTE);
        assert_eq!(again, None, "who stops again at once gives it no more time");
        assert_eq!(short.shortened(1_130, MINUTE / 4).and_then(Life::restored), Some(life));
        assert_eq!((short.restored(), life.restored()), (Some(life), None));
        assert_eq!(life.shortened(4_550, MINUTE), None, "it ends before by itself");
        let endless = Life { hard: None, ..life };
        assert_eq!(endless.shortened(1_100, MINUTE), Some(Life { hard: Some(160), ..life }));
    }

    #[test]
    fn a_life_is_too_short_when_the_difference_is_none_of_counting() {
        let life = Life { added: 1_000, hard: Some(160), before: Some(3_600) };
        assert!(life.ends_before(1_100, Some(MINUTE * 2)) && life.ends_before(1_100, None));
        assert!(!life.ends_before(1_104, Some(MINUTE)) && !life.ends_before(1_100, Some(Duration::ZERO)));
        let longer = life.lasting(1_100, Some(MINUTE * 2));
        assert_eq!(longer, Life { hard: Some(220), before: None, ..life });
        assert!(!longer.ends_before(1_100, Some(MINUTE * 2)));
        assert!(longer.ends_before(9_000, Some(MINUTE * 2)), "somebody has set the clock");
        assert_eq!(life.lasting(900, Some(MINUTE)).hard, Some(60), "or set it back");
    }
}
