//! Dead peer detection under one SA (RFC 3706): when to ask, whom to believe.

use super::Side;
use crate::crypto::Random;
use crate::endpoint::Instant;
use crate::error::{Error, Misbehaved};
use std::time::Duration;

/// So long the peer may be quiet before it is asked.
const IDLE: Duration = Duration::from_secs(3);
/// So long an answer may take.
const PATIENCE: Duration = Duration::from_secs(1);
/// After so many questions without an answer the peer is dead.
const QUESTIONS: u8 = 3;

/// Set in the numbers of the responder's questions. Both sides use the same keys, so that a question which comes
/// back to its sender would look like one of the peer.
const RESPONDER: u32 = 1 << 30;
/// The bits of the first number that are random. The top bit is zero (RFC 3706 section 6.2), and below
/// [`RESPONDER`] one is left for counting up.
const RANDOM: u32 = (1 << 29) - 1;

/// What one side knows of the life of the other.
#[derive(Debug)]
pub(super) struct Liveness {
    own: u32,
    /// Questions since the peer was last heard, or watching began.
    unanswered: u8,
    /// When something must happen unless the peer is heard.
    due: Instant,
    /// The last question.
    asked: u32,
    /// The last question that was answered, or the number before the first.
    answered: u32,
    /// The peer's last question.
    theirs: Option<u32>,
}

/// What silence asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing yet.
    Wait,
    /// Ask the peer.
    Ask,
    /// Give it up.
    Dead,
}

impl Liveness {
    pub(super) fn new(side: Side, random: &mut dyn Random, now: Instant) -> Result<Self, Error> {
        let mut octets = [0; 4];
        random.fill(&mut octets)?;
        let own = number_bit(side);
        let first = (u32::from_be_bytes(octets) & RANDOM) | own;
        let due = now + IDLE;
        Ok(Liveness { own, unanswered: 0, due, asked: first, answered: first, theirs: None })
    }

    /// The peer said something new, or is watched from now on.
    pub(super) fn heard(&mut self, now: Instant) {
        (self.unanswered, self.due) = (0, now + IDLE);
    }

    pub(super) const fn due(&self) -> Instant {
        self.due
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) -> Verdict {
        if now < self.due {
            return Verdict::Wait;
        }
        if self.unanswered == QUESTIONS {
            return Verdict::Dead;
        }
        self.unanswered += 1;
        self.due = now + PATIENCE;
        Verdict::Ask
    }

    /// The number of the next question.
    pub(super) fn ask(&mut self) -> u32 {
        self.asked = self.asked.wrapping_add(1);
        self.asked
    }

    /// A question of the peer.
    ///
    /// # Errors
    /// Its number is not above the last one (RFC 3706 section 6.2), or it is a question of this side.
    pub(super) fn asked(&mut self, number: u32) -> Result<(), Error> {
        if number & RESPONDER == self.own {
            return Err(Misbehaved::Reflected.into());
        }
        if let Some(last) = self.theirs.filter(|last| number <= *last) {
            return Err(Misbehaved::Replayed { got: number.into(), last: last.into() }.into());
        }
        self.theirs = Some(number);
        Ok(())
    }

    /// An answer of the peer.
    ///
    /// # Errors
    /// It is no question that waits for one.
    pub(super) fn answered(&mut self, number: u32) -> Result<(), Error> {
        if number <= self.answered || number > self.asked {
            let last = self.answered.into();
            return Err(Misbehaved::Replayed { got: number.into(), last }.into());
        }
        self.answered = number;
        Ok(())
    }
}

const fn number_bit(side: Side) -> u32 {
    match side {
        Side::Initiator => 0,
        Side::Responder => RESPONDER,
    }
}
