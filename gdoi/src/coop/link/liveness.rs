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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Error as CryptoError;

    /// Always the same octet.
    struct Octet(u8);

    impl Random for Octet {
        fn fill(&mut self, out: &mut [u8]) -> Result<(), CryptoError> {
            out.fill(self.0);
            Ok(())
        }
    }

    const START: Instant = Instant::from_millis(1000);

    fn both() -> (Liveness, Liveness) {
        let side = |side| Liveness::new(side, &mut Octet(0xff), START).unwrap();
        (side(Side::Initiator), side(Side::Responder))
    }

    #[test]
    fn three_questions_in_six_seconds() {
        let (mut liveness, _) = both();
        let verdicts: Vec<_> =
            (1..=6).map(|second| liveness.handle_timeout(START + Duration::from_secs(second))).collect();
        use Verdict::*;
        assert_eq!(verdicts, [Wait, Wait, Ask, Ask, Ask, Dead]);
        liveness.heard(START + Duration::from_secs(6));
        assert_eq!(liveness.due(), START + Duration::from_secs(9));
        assert_eq!(liveness.handle_timeout(START + Duration::from_secs(60)), Ask);
        assert_eq!(liveness.handle_timeout(START + Duration::from_secs(60)), Wait);
    }

    #[test]
    fn numbers_begin_below_the_top_bit_and_tell_the_sides_apart() {
        let (mut ours, mut theirs) = both();
        for _ in 0..100_000 {
            let (number, answer) = (ours.ask(), theirs.ask());
            assert!(number < RESPONDER && (RESPONDER..1 << 31).contains(&answer));
        }
    }

    #[test]
    fn questions_count_up() {
        let (mut ours, mut theirs) = both();
        let first = ours.ask();
        assert_eq!(theirs.asked(first), Ok(()));
        let again = Misbehaved::Replayed { got: first.into(), last: first.into() };
        assert_eq!(theirs.asked(first), Err(again.into()));
        ours.ask();
        let third = ours.ask();
        assert_eq!(theirs.asked(third), Ok(()));
        let late = Misbehaved::Replayed { got: u64::from(third) - 1, last: third.into() };
        assert_eq!(theirs.asked(third - 1), Err(late.into()));
        assert_eq!(ours.asked(third), Err(Misbehaved::Reflected.into()));
    }

    #[test]
    fn only_open_questions_are_answered() {
        let (mut ours, _) = both();
        let first = ours.ask();
        ours.ask();
        let refused = |got, last| Err(Misbehaved::Replayed { got, last }.into());
        let (before, number) = (u64::from(first) - 1, u64::from(first));
        assert_eq!(ours.answered(first - 1), refused(before, before));
        assert_eq!(ours.answered(first + 2), refused(number + 2, before));
        assert_eq!(ours.answered(first + 1), Ok(()));
        assert_eq!(ours.answered(first), refused(number, number + 1));
    }
}
