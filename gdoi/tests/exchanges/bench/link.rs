//! What the network does to a datagram.

use super::random::Seeded;
use std::time::Duration;

/// Loss, duplication and delay, drawn for each datagram by itself: different delays reorder.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    loss_percent: u64,
    duplication_percent: u64,
    delay_ms: (u64, u64),
}

impl Link {
    /// Everything arrives after 10 ms, in order.
    pub const CALM: Link = Link { loss_percent: 0, duplication_percent: 0, delay_ms: (10, 10) };

    /// Nothing is lost, but many come in another order.
    pub const BREEZE: Link = Link { loss_percent: 0, duplication_percent: 0, delay_ms: (1, 200) };

    /// One of a hundred is lost.
    pub const DRIZZLE: Link = Link { loss_percent: 1, duplication_percent: 0, delay_ms: (5, 50) };

    /// One of twenty is lost, one of ten comes twice, many come in another order.
    pub const RAIN: Link = Link { loss_percent: 5, duplication_percent: 10, delay_ms: (1, 200) };

    /// One of ten is lost, one of ten comes twice, many come in another order.
    pub const HAIL: Link = Link { loss_percent: 10, duplication_percent: 10, delay_ms: (1, 200) };

    /// One of five is lost, one of five comes twice, and what comes, comes in any order.
    pub const GALE: Link = Link { loss_percent: 20, duplication_percent: 20, delay_ms: (1, 400) };

    /// Three of ten are lost, three of ten come twice, and what comes, comes in any order.
    pub const STORM: Link = Link { loss_percent: 30, duplication_percent: 30, delay_ms: (1, 400) };

    /// When the copies of one datagram arrive, counted from its sending.
    pub fn arrivals(&self, random: &mut Seeded) -> Vec<Duration> {
        let copies = match (random.percent(self.loss_percent), random.percent(self.duplication_percent)) {
            (true, _) => 0,
            (_, true) => 2,
            _ => 1,
        };
        let (least, most) = self.delay_ms;
        (0..copies).map(|_| Duration::from_millis(least + random.below(most - least + 1))).collect()
    }
}
