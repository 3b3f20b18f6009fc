//! A TEK that a member holds.

use super::traffic::Carried;
use super::{Made, Sa};
use crate::endpoint::Instant;
use crate::group::Tek;
use crate::policy::SidGeneration;
use std::time::Duration;

/// How much longer a TEK is received with, and a KEK listened with, than its lifetime says: that was rounded down to a second, and another one is
/// for packets that were sent at the very end and for clocks that do not run alike.
pub(super) const GRACE: Duration = Duration::from_secs(2);

/// How the end of a TEK is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// A server named it, and how long it lives.
    Said,
    /// A message did not name it, and said that all that it does not name end. The server that made it may not have known
    /// of it: servers that were apart make keys of their own, and name those of all when they have met.
    Implied,
}

/// What the server that was asked last said of a TEK.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    /// It did not list it: others may still send with it, and whoever registers now does not get it.
    Left,
    /// It listed it, or a rekey message after that did.
    Current,
}

#[derive(Debug)]
pub(super) struct HeldTek {
    /// Its end is the latest that the server can have meant: received with until then.
    pub(super) sa: Sa,
    pub(super) activates: Instant,
    /// The earliest that the server can have meant: sent with until then.
    pub(super) ends: Instant,
    pub(super) life: Duration,
    pub(super) end: End,
    pub(super) standing: Standing,
    /// Whose sender IDs go with it; None where all senders share its key.
    pub(super) generation: Option<SidGeneration>,
    /// Which entries of the list it is for.
    pub(super) carried: Carried,
}

impl HeldTek {
    /// Whether it is this one. A server that gives an SPI new keys has lost the old ones.
    pub(super) fn is(&self, tek: &Tek) -> bool {
        self.sa.spi == tek.spi && self.sa.keys == tek.keys
    }

    /// It lives for so long, though it was said to end before.
    pub(super) fn restate(&mut self, left: Duration, made: Made) {
        let (ends, expires) = (made.earliest + left, made.latest + left + GRACE);
        if ends > self.ends + GRACE {
            (self.ends, self.sa.expires, self.life) =
                (ends, expires.max(self.sa.expires), self.life.max(left));
        }
    }

    /// A server names it: it lives no longer than this, and as long if it had only not been named.
    pub(super) fn name(&mut self, left: Duration, made: Made) {
        match std::mem::replace(&mut self.end, End::Said) {
            End::Implied => self.restate(left, made),
            End::Said => {}
        }
        self.shorten(left, made);
    }

    /// A message does not name it: it lives no longer than this.
    pub(super) fn retire(&mut self, left: Duration, made: Made) {
        let before = self.ends;
        self.shorten(left, made);
        if self.ends < before {
            self.end = End::Implied;
        }
    }

    /// It lives no longer than this. Where the end was brought forward and not only rounded, all that is timed by its
    /// life goes by what is left of it: members that must register again need most of that.
    fn shorten(&mut self, left: Duration, made: Made) {
        let (ends, expires) = (made.earliest + left, made.latest + left + GRACE);
        if ends + GRACE < self.ends {
            self.life = self.life.min(left);
        }
        self.ends = self.ends.min(ends);
        self.sa.expires = self.sa.expires.min(expires);
    }
}
