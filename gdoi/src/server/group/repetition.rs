//! A member that asks again for what it has: it costs sender IDs, and the other servers a new record, and brings it
//! nothing.

use super::Group;
use crate::endpoint::Instant;
use crate::server::clock::GroupTime;
use crate::server::members::Record;
use crate::server::registrant::Registrant;
use crate::wire::Holds;
use std::time::Duration;

/// Who has registered so lately need not come again, unless something is lost.
const LATELY: Duration = Duration::from_secs(60);

/// How far the end of the keys may be that is named.
const LONGEST: Duration = Duration::from_secs(3600);

impl Group {
    /// Before when there is nothing newer for a member that says that it has all that it was offered, if it registered
    /// lately as the one that it is now. Whoever has lost something does not say so, and is served.
    pub(in crate::server) fn nothing_newer_before(
        &self,
        registrant: &Registrant,
        holds: Option<Holds>,
        now: Instant,
    ) -> Option<Duration> {
        let time = self.ledger.time(now);
        let record = holds.and_then(|_| self.ledger.members().of(registrant.address.ip()))?;
        let lately = time.saturating_since(record.last_registered) < LATELY;
        let wait = self.next_keys().saturating_since(time).min(LONGEST);
        (lately && self.is_reached(record, registrant)).then_some(wait)
    }

    /// Whether this server's rekey messages go to where the member is, and it hears them.
    fn is_reached(&self, record: &Record, registrant: &Registrant) -> bool {
        let known = (record.port, &record.identity, record.owner, record.fragments);
        let asks =
            (registrant.address.port(), &registrant.identity, self.standing.owner(), registrant.fragments);
        known == asks && record.rekeys_missed == 0
    }

    /// When the next keys are due, if nobody wants some before.
    fn next_keys(&self) -> GroupTime {
        let tek = self.tek_due();
        self.kek_due().map_or(tek, |kek| kek.min(tek))
    }
}
