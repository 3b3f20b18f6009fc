//! Sending again with back-off, by the side that waits for an answer.

use crate::crypto::Random;
use crate::endpoint::{Instant, Transmit};
use std::net::SocketAddr;
use std::time::Duration;

const FIRST_DELAY: Duration = Duration::from_secs(1);
const TRANSMISSIONS: u32 = 4;

/// A message that waits for its answer.
#[derive(Debug)]
pub(crate) struct Retransmission {
    transmit: Transmit,
    pace: Pace,
    sent: u32,
    due: Instant,
}

/// How often it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// At 0, 1, 3 and 7 seconds, given up at 15: there may be many that ask.
    BackOff,
    /// At 0, 1, 2 and 3 seconds, given up at 4: there are few, and they wait for each other.
    Steady,
}

impl Pace {
    fn delay(self, sent: u32) -> Duration {
        match self {
            Pace::BackOff => FIRST_DELAY * 2u32.pow(sent),
            Pace::Steady => FIRST_DELAY,
        }
    }
}

/// What a timeout asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Nothing yet.
    Later,
    /// Send this again.
    Again(Transmit),
    /// Give up.
    Exhausted,
}

impl Retransmission {
    /// The first transmission, which the caller makes itself, is at `now`.
    pub(crate) fn new(to: SocketAddr, payload: Vec<u8>, pace: Pace, now: Instant) -> Self {
        Retransmission { transmit: Transmit { to, payload }, pace, sent: 1, due: now + FIRST_DELAY }
    }

    pub(crate) const fn pace(&self) -> Pace {
        self.pace
    }

    pub(crate) const fn to(&self) -> SocketAddr {
        self.transmit.to
    }

    pub(crate) fn first(&self) -> Transmit {
        self.transmit.clone()
    }

    pub(crate) const fn due(&self) -> Instant {
        self.due
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Due {
        if now < self.due {
            return Due::Later;
        }
        if self.sent == TRANSMISSIONS {
            return Due::Exhausted;
        }
        self.due = now + self.pace.delay(self.sent);
        self.sent += 1;
        Due::Again(self.transmit.clone())
    }
}

/// A random part of `span`; all of it where randomness fails, which is only less spread.
pub(crate) fn draw(random: &mut dyn Random, span: Duration) -> Duration {
    let mut octets = [0xff; 2];
    let _ = random.fill(&mut octets);
    span * u32::from(u16::from_be_bytes(octets)) / u32::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_transmissions_in_fifteen_seconds_or_in_four() {
        assert_eq!(run(Pace::BackOff), (vec![0, 1, 3, 7], 15));
        assert_eq!(run(Pace::Steady), (vec![0, 1, 2, 3], 4));
    }

    /// When it was sent, and when it was given up.
    fn run(pace: Pace) -> (Vec<u64>, u64) {
        let start = Instant::from_millis(0);
        let mut retransmission = Retransmission::new(([192, 0, 2, 1], 848).into(), vec![1], pace, start);
        let mut sent = vec![0];
        for second in 1..20 {
            match retransmission.handle_timeout(start + Duration::from_secs(second)) {
                Due::Later => {}
                Due::Again(transmit) => {
                    assert_eq!(transmit, retransmission.first());
                    sent.push(second);
                }
                Due::Exhausted => return (sent, second),
            }
        }
        panic!("never gave up");
    }
}
