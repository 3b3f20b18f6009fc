//! When a rekey message says that the member must register again.

use super::{Activity, Member, LAST_RETRY};
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

    /// The group has another ACL, and the message with it was lost: the old one holds until the registration.
    pub(super) fn fetch_acl(&mut self, now: Instant) {
        if let Activity::Registering(_) = self.activity {
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
        draw(self.random.as_mut(), (left / 2).clamp(JITTER, LAST_RETRY))
    }
}
