//! The contract between the protocol and whoever owns the socket and the clock.

use crate::crypto::Secret;
use crate::error::Error;
use std::net::SocketAddr;
use std::ops::Add;
use std::time::Duration;

/// A point in time: milliseconds since an arbitrary start, on a clock that never goes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The instant `ms` milliseconds after the clock's start.
    pub const fn from_millis(ms: u64) -> Self {
        Instant(ms)
    }

    /// Milliseconds since the clock's start.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The instant `delay` before this one; the clock's start if that lies before it.
    pub fn before(self, delay: Duration) -> Instant {
        Instant(self.0.saturating_sub(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)))
    }

    /// The time that passed since `earlier`; zero if `earlier` lies ahead.
    pub const fn saturating_since(self, earlier: Instant) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;

    fn add(self, delay: Duration) -> Instant {
        Instant(self.0.saturating_add(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)))
    }
}

/// A datagram to send from the endpoint's UDP port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Where it goes.
    pub to: SocketAddr,
    /// The whole UDP payload.
    pub payload: Vec<u8>,
}

/// What an endpoint wants from its owner.
#[derive(Debug)]
pub enum Output<E> {
    /// Send this datagram.
    Transmit(Transmit),
    /// Store this durably before taking the next output: what follows may be known to others then.
    Store(Secret),
    /// Something that operators or the data plane should know.
    Event(E),
    /// Nothing more now; call [`Endpoint::handle_timeout`] at this instant, if there is one.
    Wait(Option<Instant>),
}

/// A protocol machine without I/O: [`crate::Member`] or [`crate::KeyServer`].
///
/// The owner feeds datagrams, commands and the passing of time, and after each calls
/// [`Endpoint::poll`] until it answers [`Output::Wait`].
pub trait Endpoint {
    /// What operators can ask for.
    type Command;
    /// What became of it.
    type Done;
    /// What the endpoint reports.
    type Event;

    /// Takes in one datagram that came from `from`. A bad one changes nothing but a counter.
    fn handle_datagram(&mut self, from: SocketAddr, bytes: &[u8], now: Instant);

    /// Carries out an operator's command, and answers what was done.
    ///
    /// # Errors
    /// Why it was not: nothing has changed.
    fn handle_command(&mut self, command: Self::Command, now: Instant) -> Result<Self::Done, Error>;

    /// Does what is due at `now`; calling it early or twice is harmless.
    fn handle_timeout(&mut self, now: Instant);

    /// The next thing to do for the owner.
    fn poll(&mut self) -> Output<Self::Event>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_saturates_at_both_ends() {
        let (early, late) = (Instant::from_millis(5), Instant::from_millis(u64::MAX));
        assert_eq!(early.saturating_since(late), Duration::ZERO);
        assert_eq!(late + Duration::MAX, late);
        assert_eq!(early + Duration::from_secs(1), Instant::from_millis(1005));
    }
}
