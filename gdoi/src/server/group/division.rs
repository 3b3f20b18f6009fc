//! Which servers have a place in the group, granted by the one that leads.

use super::Group;
use crate::coop::Author;
use crate::crypto::Random;
use crate::error::Error;
use crate::event::Renewal;
use crate::server::clock::GroupTime;
use crate::server::division::next_number;
use crate::server::keys::GroupKek;

impl Group {
    /// The place of this server: what is divided among the servers of the group goes by it.
    pub(super) fn place(&self) -> Option<usize> {
        self.ledger.state().division.place(self.author())
    }

    const fn author(&self) -> Author {
        self.ledger.members().author()
    }

    /// Who leads has a place before it makes a key, and grants places to all that it hears. Where it may not, or there is
    /// none left, a new generation begins.
    pub(super) fn grant_places(&mut self, random: &mut dyn Random, now: GroupTime) -> Result<(), Error> {
        if self.ledger.state().division.grantor.is_none() {
            return self.begin_sid_generation(random, now);
        }
        let own = self.author();
        for author in self.without_place(now) {
            if self.ledger.state().division.can_grant(own) {
                let state = self.ledger.amend_state();
                state.division.grant(author);
                state.keys.admit(author, state.division.generation);
            }
        }
        match self.needs_places(now) {
            Some(cause) => self.renew_sids(cause, random, now),
            None => Ok(()),
        }
    }

    /// Why only a new generation helps, if so. While another leads, too, both would begin one after the other's: this server
    /// does so only for a key that must be made.
    fn needs_places(&self, now: GroupTime) -> Option<Renewal> {
        let lacking = self.without_place(now);
        let placed = !lacking.contains(&self.author());
        let rival = self.standing.has_rival(self.ledger.clock().local(now));
        let needed = match (placed, rival) {
            (false, true) => self.tek_due() <= now,
            (false, false) => true,
            (true, _) => !rival && !lacking.is_empty() && self.ledger.state().division.is_settled(now),
        };
        let may_grant = self.ledger.state().division.grantor == Some(self.author());
        needed.then_some(if may_grant { Renewal::NoRange } else { Renewal::NoGrantor })
    }

    /// Of this server and those that are heard.
    fn without_place(&self, now: GroupTime) -> Vec<Author> {
        let division = &self.ledger.state().division;
        self.authors(now).into_iter().filter(|author| division.place(*author).is_none()).collect()
    }

    fn authors(&self, now: GroupTime) -> Vec<Author> {
        self.standing.authors(self.author(), self.ledger.clock().local(now))
    }

    /// The next primary goes on granting, so that no new generation is needed for that.
    pub(super) fn hand_places_over(&mut self) {
        let successor = self.standing.successor().and_then(|peer| self.standing.author_of(peer));
        let Some(successor) = successor else { return };
        if self.ledger.state().division.grantor == Some(self.author()) {
            self.ledger.amend_state().division.hand_over(successor);
        }
    }

    /// The next number of a message under this KEK.
    pub(super) fn next_sequence(&self, kek: &GroupKek) -> u32 {
        next_number(&kek.authors, self.author(), self.keys().used_under(kek.spi))
    }

    /// A generation of sender IDs begins: all ranges begin anew.
    pub(super) fn begin_sid_generation(
        &mut self,
        random: &mut dyn Random,
        now: GroupTime,
    ) -> Result<(), Error> {
        let (mut lineage, own, authors) = ([0; 8], self.author(), self.authors(now));
        random.fill(&mut lineage)?;
        self.ledger.amend_state().division.begin(lineage, own, &authors, now);
        self.ledger.begin_sids();
        Ok(())
    }
}
