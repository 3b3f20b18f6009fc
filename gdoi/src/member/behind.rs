//! A member that may lack something: what it takes for a sign of it, and how it finds out. Its server is asked once, a
//! little later, and as often as [`super::floor`] allows: anybody can send ESP with an SPI that means nothing, or a datagram that
//! looks like a rekey message.

use super::floor::Reason;
use super::schedule::Renewal;
use super::{Activity, Member};
use crate::endpoint::Instant;
use crate::error::{Error, Misbehaved};
use crate::event::{Cause, MemberEvent, Sign};
use crate::keyring::{Gain, Others};
use crate::policy::Spi;
use crate::pull::{Holdings, Tell};
use crate::retransmit::draw;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

/// ESP that comes again so long after it came first goes on coming: somebody sends it who has the key.
const LASTING: Duration = Duration::from_secs(2);

/// So many SPIs are remembered that no key is for.
const MOST_STRAYS: usize = 256;

/// Others may have heard the same: not all at once. Whoever lacks a key hears nothing for so long, at most.
const JITTER: Duration = Duration::from_secs(5);

/// A server that gave keys so lately may say that it has no others. Servers before the version that can say so are asked
/// later than that.
const LATELY: Duration = Duration::from_secs(60);

/// No server's word keeps a member from asking again for longer.
const LONGEST_POSTPONEMENT: Duration = Duration::from_secs(3600);

impl Member {
    /// There is ESP of the group's traffic for which the data plane has no state.
    pub(super) fn heard_unknown_esp(&mut self, spi: Spi, now: Instant) {
        if self.keyring.lacks_key_of(spi, now) {
            let reason = self.strays.note(spi, now);
            self.suspect(Sign::UnknownEsp(spi), reason, now);
        }
    }

    /// A rekey message that changes nothing can tell that this member lacks what others have.
    pub(super) fn learn_from(&mut self, from: SocketAddr, datagram: &[u8], reason: &Error, now: Instant) {
        let Error::Misbehaved(reason) = reason else { return };
        let sign = match reason {
            Misbehaved::UnknownExchange if self.may_lack_kek(from, datagram, now) => Sign::UnknownKek,
            Misbehaved::TooOld(_) | Misbehaved::TooNew(_) => Sign::Untimely,
            Misbehaved::Sequence { .. } if self.heeds_signs() => {
                match self.rekeys.is_newer(&self.keyring, datagram, now) {
                    true => Sign::NumberAgain,
                    false => return,
                }
            }
            _ => return,
        };
        self.suspect(sign, Reason::of(sign), now);
    }

    /// Whether a rekey message is from where those of this group come from, and under no KEK that is or was held.
    fn may_lack_kek(&self, from: SocketAddr, datagram: &[u8], now: Instant) -> bool {
        let known = self.config.servers.iter().any(|server| server.address.ip() == from.ip());
        let named = datagram.first_chunk().copied();
        known && named.is_some_and(|spi| !self.keyring.had_kek(spi, now))
    }

    /// Whether it waits: where it was told to register it does so as soon as it may. A member that is dismissed, or suspects
    /// something already, may wait for a minute or more, and others may have gone on.
    fn heeds_signs(&self) -> bool {
        let told = matches!(self.cause, Cause::Command | Cause::Moved | Cause::SenderLost);
        matches!(self.activity, Activity::Idle(_)) && !told && self.is_registered()
    }

    fn suspect(&mut self, sign: Sign, reason: Reason, now: Instant) {
        let Activity::Idle(until) = self.activity else { return };
        if self.says_more(sign) {
            self.cause = Cause::Behind(sign);
            return;
        }
        // The same sign again draws no other lot: whoever hears it often would come first, and all at once.
        let until = match self.cause {
            Cause::Behind(_) => until.before(JITTER),
            _ => until,
        };
        if !self.heeds_signs() || self.floor.opens_for_a_try(reason) >= until {
            return;
        }
        let soon = now + draw(self.random.as_mut(), JITTER);
        let at = soon.max(self.floor.opens_for_a_try(reason));
        if at < until {
            let registers_in = at.saturating_since(now);
            self.report(MemberEvent::Behind { group: self.group(), sign, registers_in });
            (self.cause, self.doubt) = (Cause::Behind(sign), reason);
            self.activity = Activity::Idle(at);
        }
    }

    /// Whether it says of the others what the sign for which this member is about to register does not: that they have left
    /// its keys behind. Who stood still is told by several signs at once, and would go on sending what nobody reads.
    const fn says_more(&self, sign: Sign) -> bool {
        matches!(self.cause, Cause::Behind(Sign::UnknownKek))
            && matches!(sign, Sign::UnknownEsp(_) | Sign::Untimely)
    }

    /// Why the server is asked that answers now.
    pub(super) const fn reason(&self) -> Reason {
        match self.cause {
            Cause::Behind(_) => self.doubt,
            _ => Reason::End,
        }
    }

    /// What need not be given once more: nothing where other sender IDs are needed, or those that are held may be given to
    /// others by a server that has forgotten them.
    pub(super) fn holdings(&self, now: Instant) -> Option<Holdings> {
        let distrusts = self.cause == Cause::Behind(Sign::NumberAgain);
        let lately = self.last_registered.is_some_and(|last| now < last + LATELY);
        let tell = match self.wants_keys_only() && lately {
            true => Tell::Server,
            false => Tell::Nobody,
        };
        (self.renewal == Renewal::Needless && !distrusts).then(|| self.keyring.holdings(tell, now))
    }

    /// Whether it needs neither a place in the server's list nor the server's time.
    const fn wants_keys_only(&self) -> bool {
        match self.cause {
            Cause::KeysEnd | Cause::KeysDeleted | Cause::Dismissed | Cause::AclOutdated => true,
            Cause::Behind(sign) => matches!(sign, Sign::UnknownEsp(_) | Sign::UnknownKek),
            Cause::Command | Cause::Moved | Cause::SenderLost => false,
        }
    }

    /// What is known of the others when a registration brings keys: who encrypts what this member cannot read, or has another
    /// time, has left behind the keys that are here.
    pub(super) const fn others(&self) -> Others {
        match self.cause {
            Cause::Behind(Sign::UnknownEsp(_) | Sign::Untimely) => Others::Ahead,
            _ => Others::Alike,
        }
    }

    /// The server has nothing that this member does not have, and will not have for a while.
    pub(super) fn postponed(&mut self, delay: Duration, now: Instant) {
        let delay = delay.min(LONGEST_POSTPONEMENT);
        let until = now + delay + draw(self.random.as_mut(), delay / 10);
        self.floor.registered(Gain::Nothing, self.reason(), self.random.as_mut(), now);
        self.rounds = 0;
        let (group, server) = (self.group(), self.server().address);
        self.report(MemberEvent::NothingNewer { group, server, before: delay });
        self.expect_the_end_or(until, now);
    }
}

impl Reason {
    /// Of what came once.
    const fn of(sign: Sign) -> Self {
        match sign {
            Sign::UnknownEsp(_) | Sign::UnknownKek => Reason::Datagram,
            Sign::Untimely => Reason::Untimely,
            Sign::NumberAgain => Reason::NumberAgain,
        }
    }
}

/// The SPIs of ESP that no key is for, and when each came first.
#[derive(Debug, Default)]
pub(super) struct Strays(VecDeque<(Spi, Instant)>);

impl Strays {
    /// ESP came with this one: once, or again.
    fn note(&mut self, spi: Spi, now: Instant) -> Reason {
        match self.0.iter().find(|(known, _)| *known == spi) {
            Some((_, first)) if now >= *first + LASTING => Reason::LastingEsp,
            Some(_) => Reason::Datagram,
            None => {
                self.0.truncate(MOST_STRAYS - 1);
                self.0.push_front((spi, now));
                Reason::Datagram
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_again_lasts_and_what_is_remembered_is_bounded() {
        let at = |second: u64| Instant::from_millis(second * 1000);
        let mut strays = Strays::default();
        let heard = [(7, 0), (7, 1), (8, 2), (7, 2), (7, 9)];
        let reasons = heard.map(|(spi, second)| strays.note(Spi(spi), at(second)));
        let (once, lasting) = (Reason::Datagram, Reason::LastingEsp);
        assert_eq!(reasons, [once, once, once, lasting, lasting]);
        (100..1000).for_each(|spi| assert_eq!(strays.note(Spi(spi), at(10)), once));
        assert_eq!((strays.0.len(), strays.note(Spi(7), at(20))), (MOST_STRAYS, once));
    }
}
