//! Which messages under a KEK are old though their numbers are higher than the last one, after a PULL said a lower number.

/// What was known before the PULL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Renumbered {
    /// The highest number that was used.
    highest: u32,
    /// Up to which number a message that tells the group's time must be later than this.
    timed: u32,
    since: u64,
}

impl Renumbered {
    /// A server that has gone back to an older state counts up from there, and what it says has a later time than what was
    /// said before.
    pub(super) const fn counted_back(highest: u32, since: u64) -> Self {
        Renumbered { highest, timed: highest, since }
    }

    /// A KEK was ended and given back, by a server that knows of no end: nothing counts that was said before, however many
    /// messages the one had that ended it.
    pub(super) const fn given_back(highest: u32, since: u64) -> Self {
        Renumbered { highest, timed: u32::MAX, since }
    }

    /// The highest number that was used.
    pub(super) const fn highest(self) -> u32 {
        self.highest
    }

    /// Whether a message was made before. One without the group's time has only its number.
    pub(super) fn is_old(self, number: u32, time: Option<u64>) -> bool {
        match time {
            Some(time) => number <= self.timed && time <= self.since,
            None => number <= self.highest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_used_number_counts_on_a_later_message() {
        let back = Renumbered::counted_back(9, 1_000);
        let old = [(9, Some(1_000)), (9, Some(1_001)), (10, Some(1_000)), (9, None), (10, None)];
        assert_eq!(old.map(|(number, time)| back.is_old(number, time)), [true, false, false, true, false]);
    }

    #[test]
    fn under_a_kek_that_was_given_back_only_what_is_later_counts() {
        let back = Renumbered::given_back(9, 1_000);
        let old = [(9, Some(1_000)), (9, Some(1_001)), (10, Some(1_000)), (9, None), (10, None)];
        assert_eq!(old.map(|(number, time)| back.is_old(number, time)), [true, false, true, true, false]);
    }
}
