//! When a member registers: before its keys end, again after a failure, and when something makes it.

use super::floor::Reason;
use super::{Activity, Member};
use crate::endpoint::Instant;
use crate::error::{Error, Unacceptable};
use crate::event::{Cause, MemberEvent};
use crate::lifetime::{registration_jitter, registration_margin};
use crate::retransmit::draw;
use crate::wire::NotifyType;
use std::time::Duration;

const PUT_OFF: Duration = Duration::from_millis(400);
const FIRST_RETRY: Duration = Duration::from_secs(5);
pub(super) const LAST_RETRY: Duration = Duration::from_secs(60);

/// So long before its last key ends a member asks once more, though there was nothing new when it asked last.
const LAST_MOMENT: Duration = Duration::from_secs(2);

/// Whether other sender IDs than those that are held are needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Renewal {
    /// Those that are held do.
    Needless,
    /// The next registration must ask for others.
    Wanted,
    /// The one under way does.
    Asked,
}

impl Member {
    /// The next registration is the one that the end of the keys demands.
    pub(super) fn expect_the_end(&mut self, now: Instant) {
        self.expect_the_end_or(self.floor.opens_for_a_try(Reason::End), now);
    }

    /// The same; if it should have been already, the server has no others yet, and is asked again at `retry`, or at the last
    /// moment.
    pub(super) fn expect_the_end_or(&mut self, retry: Instant, now: Instant) {
        let last_moment = self.keyring.last_tek(now).map_or(now, |(end, _)| end.before(LAST_MOMENT));
        let at = match self.reregistration(now) {
            due if due > now => due,
            _ => retry.min(last_moment),
        };
        if self.renewal == Renewal::Wanted {
            self.cause = Cause::SenderLost;
            self.activity = Activity::Idle(self.floor.opens().max(now));
            return;
        }
        self.cause = Cause::KeysEnd;
        self.activity = Activity::Idle(at.max(self.floor.opens()));
    }

    /// When to ask for the next keys: before the last one ends, each member a little earlier than it must.
    fn reregistration(&mut self, now: Instant) -> Instant {
        let Some((expires, life)) = self.keyring.last_tek(now) else { return now + LAST_RETRY };
        let jitter = draw(self.random.as_mut(), registration_jitter(life));
        now + expires.saturating_since(now).saturating_sub(registration_margin(life) + jitter)
    }

    pub(super) fn fail(&mut self, reason: Error, now: Instant) {
        self.failures += 1;
        if self.renewal == Renewal::Asked {
            self.renewal = Renewal::Wanted;
        }
        self.last_failure = Some(format!("{}: {reason}", self.server().address));
        let failed = self.server().address;
        self.server = (self.server + 1) % self.config.servers.len();
        let put_off = reason == Unacceptable::PeerSays(NotifyType::TRY_LATER).into();
        let retry_in = match self.server {
            0 if put_off && self.rounds == 0 => self.try_soon(),
            0 => self.back_off(),
            _ => Duration::ZERO,
        };
        let (group, next_server) = (self.group(), self.server().address);
        self.report(MemberEvent::RegistrationFailed { group, server: failed, reason, next_server, retry_in });
        self.activity = Activity::Retrying(now + retry_in);
    }

    /// The first time that the servers put it off: keys changed just now, and may be had in a moment.
    fn try_soon(&mut self) -> Duration {
        self.rounds = 1;
        PUT_OFF + draw(self.random.as_mut(), PUT_OFF)
    }

    /// 5 s, doubled up to 60 s after each round through the list, and up to a quarter longer at random.
    fn back_off(&mut self) -> Duration {
        let delay = (FIRST_RETRY * 2u32.pow(self.rounds.min(8))).min(LAST_RETRY);
        self.rounds = self.rounds.saturating_add(1);
        delay + draw(self.random.as_mut(), delay / 4)
    }

    /// Registers again, at once if it did not do so lately.
    pub(super) fn ask_again(&mut self, cause: Cause, now: Instant) {
        self.cause = cause;
        match self.floor.opens() {
            opens if opens <= now => self.start_again(now),
            opens => self.activity = Activity::Idle(opens),
        }
    }

    /// Begins anew, from the top of the server list.
    pub(super) fn start_again(&mut self, now: Instant) {
        (self.server, self.rounds) = (0, 0);
        if self.cause == Cause::Command {
            self.floor.ordered(now);
        }
        if self.is_registered() {
            self.report(MemberEvent::Reregistering { group: self.group(), cause: self.cause });
        }
        self.register(now);
    }
}
