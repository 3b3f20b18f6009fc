//! Sending members away: the rekey SA ends, and all must register again.

use super::rekey_message::Plan;
use super::Group;
use crate::crypto::Random;
use crate::error::Error;
use crate::group::Deletion;
use crate::server::clock::GroupTime;
use crate::server::config::{RekeyKind, Removal};
use crate::server::keys::{GroupKek, Succession};

impl Group {
    /// Ends the rekey SA for all members: they must register again, and who is revoked cannot.
    pub(super) fn dismiss(
        &mut self,
        removal: Removal,
        random: &mut dyn Random,
        now: GroupTime,
    ) -> Result<(), Error> {
        let protecting: Vec<_> = self.keys().kek.iter().cloned().collect();
        self.dismiss_under(&protecting, removal, random, now)
    }

    /// The same for the holders of several KEKs.
    pub(super) fn dismiss_under(
        &mut self,
        protecting: &[GroupKek],
        removal: Removal,
        random: &mut dyn Random,
        now: GroupTime,
    ) -> Result<(), Error> {
        if protecting.is_empty() {
            return Ok(());
        }
        let mut plan = Plan { ends_kek: true, ..Plan::default() };
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
        self.end_kek(protecting, plan, random, now)
    }

    /// Tells the holders of these KEKs something for the last time.
    pub(super) fn end_kek(
        &mut self,
        protecting: &[GroupKek],
        plan: Plan,
        random: &mut dyn Random,
        now: GroupTime,
    ) -> Result<(), Error> {
        self.distribute(protecting, plan, now)?;
        let ended = self.keys().named(protecting);
        self.next_kek(RekeyKind::Forced, random, now)?;
        let keys = &mut self.ledger.amend_state().keys;
        keys.set_previous(ended);
        keys.succeeded(Succession::Ended);
        Ok(())
    }

    /// Says once more that the rekey SA is over, after a restart that cut it off. The TEKs before the last one are
    /// those that were to live on.
    pub(super) fn dismiss_again(&mut self, now: GroupTime) -> Result<(), Error> {
        let keys = self.keys();
        let ended = keys.previous_keks.iter();
        let ended: Vec<_> = ended.filter(|kek| kek.succession == Succession::Ended).cloned().collect();
        let old = &keys.teks[..keys.teks.len().saturating_sub(1)];
        let teks: Vec<_> = old.iter().filter_map(|tek| tek.as_of(now)).collect();
        let deletions = teks.is_empty().then_some(Deletion::AllTeks).into_iter().collect();
        self.distribute(&ended, Plan { deletions, ends_kek: true, teks, ..Plan::default() }, now)
    }
}
