//! When keys are replaced: the clocks that server and members must agree on without talking.
//!
//! For a TEK of life L that ends at 0, going backwards in time:
//!
//! | before the end | what happens |
//! |---|---|
//! | max(L/10, 90 s), at most L/3 | the server makes the next TEK |
//! | max(L/20, 60 s), at most L/6, and up to L/50 earlier at random | a member registers again |
//! | half of what the latest member leaves itself | a member that learned the next TEK in a PULL sends with it |
//!
//! The latest member joined just before the next TEK was made: it knows what was left of the life, not the life,
//! and leaves itself less time.

use std::time::Duration;

/// How long before its end the server replaces a key of this life.
pub fn replacement_margin(life: Duration) -> Duration {
    (life / 10).max(Duration::from_secs(90)).min(life / 3)
}

/// The same where a rekey message takes a while to reach all members; never more than a third of the life.
pub fn server_margin(life: Duration, distribution: Duration) -> Duration {
    (life / 10).max(Duration::from_secs(90) + distribution).min(life / 3)
}

/// How long before the end of a TEK of this life a member registers again, at the latest.
pub fn registration_margin(life: Duration) -> Duration {
    (life / 20).max(Duration::from_secs(60)).min(life / 6)
}

/// The span from which a member draws how much earlier it registers, so that a fleet does not come at once.
pub fn registration_jitter(life: Duration) -> Duration {
    life / 50
}

/// How long before its end a TEK of this life is no more sent with, if the next one came by PULL: members pull
/// at different times, so the old key is kept in use until even the latest must have the new one.
pub fn switch_margin(life: Duration) -> Duration {
    registration_margin(replacement_margin(life)) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_holds_for_every_life() {
        for seconds in (20..=90).chain([300, 600, 1200, 3600, 86_400, 30 * 86_400]) {
            let life = Duration::from_secs(seconds);
            let earliest = registration_margin(life) + registration_jitter(life);
            assert!(replacement_margin(life) > earliest, "{seconds}");
            let latest = registration_margin(replacement_margin(life));
            assert!(latest > switch_margin(life), "{seconds}");
        }
    }

    #[test]
    fn defaults_are_those_of_the_field() {
        let hour = Duration::from_secs(3600);
        assert_eq!(replacement_margin(hour).as_secs(), 360);
        assert_eq!(registration_margin(hour).as_secs(), 180);
        assert_eq!(registration_jitter(hour).as_secs(), 72);
        assert_eq!(switch_margin(hour).as_secs(), 30);
    }
}
