//! Sending members away: the rekey SA ends, and all must register again.

use super::rekey_message::{Nameable, Plan};
use super::Group;
use crate::crypto::Random;
use crate::error::Error;
use crate::group::Deletion;
use crate::server::clock::GroupTime;
use crate::server::config::{RekeyKind, Removal};
use crate::server::keys::Succession;
use crate::server::rekeying::Audience;

impl Group {
    /// Ends the rekey SA for all members, whichever KEK they have: they must register again, and who is revoked cannot.
    pub(super) fn dismiss(
        &mut self,
        removal: Removal,
        random: &mut dyn Random,
        now: GroupTime,
    ) -> Result<(), Error> {
        self.dismiss_naming(None, removal, random, now)
    }

    /// The same where not all KEKs' holders may be told of all TEKs.
    pub(super) fn dismiss_naming(
        &mut self,
        nameable: Option<Nameable>,
        removal: Removal,
        random: &mut dyn Random,
        now: GroupTime,
    ) -> Result<(), Error> {
        if self.keys().kek.is_none() {
            return Ok(());
        }
        let told_until = self.keys().told_until();
        let mut plan = Plan { nameable, ..Plan::default() };
        match removal {
            Removal::Graceful => {
                let end = now + self.config.deactivation_delay;
                self.ledger.amend_state().keys.shorten(end);
                plan.teks = self.keys().as_of(now);
            }
            Removal::Now => {
                plan.deletions.push(Deletion::AllTeks);
                self.ledger.amend_state().keys.end_teks();
            }
        }
        self.fresh_tek(random, now)?;
        self.end_keks(plan, told_until, random, now)
    }

    /// Tells the holders of all KEKs something for the last time. They know TEKs that live until `told_until`.
    pub(super) fn end_keks(
        &mut self,
        plan: Plan,
        told_until: GroupTime,
        random: &mut dyn Random,
        now: GroupTime,
    ) -> Result<(), Error> {
        let under = self.keys().kek.as_ref().map(|kek| kek.spi);
        self.next_kek(RekeyKind::Forced, told_until, random, now)?;
        self.distribute(Plan { under, ends_kek: true, ..plan }, Audience::All, now)?;
        self.ledger.amend_state().keys.succeeded(Succession::Ended);
        Ok(())
    }
}
