//! Chance that can be had again: the same seed gives the same throws.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// SplitMix64.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Of $LAB_SEED, or of the clock; says of which.
    pub fn of_this_run() -> Self {
        let chosen = std::env::var("LAB_SEED").ok().and_then(|text| text.parse().ok());
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let seed = chosen.unwrap_or_else(now);
        println!("   LAB_SEED={seed}");
        Dice::of(seed)
    }

    /// Of this seed.
    pub fn of(seed: u64) -> Self {
        Dice(seed)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// One of these.
    pub fn pick<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        all.get(self.below(all.len()))
    }

    /// A time up to `longest`, in milliseconds.
    pub fn pause(&mut self, longest: Duration) -> Duration {
        Duration::from_millis(self.next() % (longest.as_millis() as u64).max(1))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throws_can_be_had_again() {
        let throws = |seed| (0..9).map(|_| Dice(seed).below(1000)).collect::<Vec<_>>();
        assert_eq!(throws(1), throws(1));
        let mut dice = Dice(0);
        assert_eq!(dice.next(), 0xe220_a839_7b1d_cdaf, "the published first number");
        assert!((0..100).all(|_| dice.below(3) < 3) && dice.pick::<u8>(&[]).is_none());
    }
}
