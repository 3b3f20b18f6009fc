//! When a rekey message says that the member must register again.

use super::schedule::{Renewal, LAST_RETRY};
use super::{Activity, Member};
use crate::endpoint::Instant;
use crate::event::{Cause, MemberEvent};
use crate::retransmit::draw;
use std::net::SocketAddr;
use std::time::Duration;

/// Others get the same message: not all at once.
const JITTER: Duration = Duration::from_secs(2);

impl Member {
    /// The rekey SA was deleted: register again while the traffic keys still live, not all members at once.
    pub(super) fn dismissed(&mut self, from: SocketAddr, now: Instant) {
        let registers_in = self.soon(now);
        self.report(MemberEvent::Dismissed { group: self.group(), from, registers_in });
        self.cause = Cause::Dismissed;
        self.activity = Activity::Idle(now + registers_in);
    }

    /// An operator wants a registration now.
    pub(super) fn obey(&mut self, now: Instant) {
        self.cause = Cause::Command;
        self.renewal = Renewal::Wanted;
        match (self.floor.opens_for_orders(), &self.activity) {
            (at, _) if at <= now => self.start_again(now),
            (_, Activity::Registering(_)) => {}
            (at, _) => self.activity = Activity::Idle(at),
        }
    }

    /// A state that sent is lost. A registration under way is not disturbed; where it asks for other sender IDs already, they
    /// come after all that is lost by now.
    pub(super) fn renew_sender_ids(&mut self, now: Instant) {
        if self.renewal == Renewal::Asked {
            return;
        }
        self.keyring.lose_states();
        self.change_view(now);
        self.renewal = Renewal::Wanted;
        match self.activity {
            Activity::Registering(_) => {}
            Activity::Idle(_) | Activity::Retrying(_) => self.ask_again(Cause::SenderLost, now),
        }
    }

    /// What this member could send with had gone, and came again without other sender IDs: no packet may be counted anew under
    /// it. Where something else is to be sent with, that need not be.
    pub(super) fn replace_sender_ids(&mut self, now: Instant) {
        if self.keyring.lacks_sender_ids(now) && !matches!(self.activity, Activity::Registering(_)) {
            self.ask_again(Cause::SenderLost, now);
        }
    }

    /// The group has another ACL, and the message with it was lost: the old one holds until the registration.
    pub(super) fn fetch_acl(&mut self, now: Instant) {
        let asks = match self.activity {
            Activity::Registering(_) => true,
            Activity::Idle(_) | Activity::Retrying(_) => self.cause == Cause::AclOutdated,
        };
        if asks {
            return;
        }
        let registers_in = self.soon(now);
        self.report(MemberEvent::AclOutdated { group: self.group(), registers_in });
        self.cause = Cause::AclOutdated;
        self.activity = Activity::Idle(now + registers_in);
    }

    /// How long to wait when all members may have to register at once.
    fn soon(&mut self, now: Instant) -> Duration {
        let left =
            self.keyring.last_tek(now).map_or(Duration::ZERO, |(expires, _)| expires.saturating_since(now));
        let soon = now + draw(self.random.as_mut(), (left / 2).clamp(JITTER, LAST_RETRY));
        soon.max(self.floor.opens()).saturating_since(now)
    }
}
