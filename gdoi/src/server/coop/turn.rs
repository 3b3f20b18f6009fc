//! Becoming primary or secondary.

use super::*;

impl Group {
    /// Lets the election decide until it has nothing more to say.
    pub(super) fn take_turns(&mut self, random: &mut dyn Random, now: Instant) -> Result<(), Error> {
        loop {
            let busy = self.distribution.is_some();
            let Some(coop) = &mut self.coop else { return Ok(()) };
            let work = if busy || coop.committing.is_some() { Work::Busy } else { Work::Idle };
            let before = coop.election.role();
            let Some(turn) = coop.election.judge(work, now) else {
                if coop.election.role() != before {
                    self.announce(now);
                }
                return Ok(());
            };
            self.turn(turn, random, now)?;
        }
    }

    fn turn(&mut self, turn: Turn, random: &mut dyn Random, now: Instant) -> Result<(), Error> {
        // The epoch must not be forgotten.
        self.changed = true;
        match turn {
            Turn::Primary { previous, epoch } => {
                self.say(CoopEvent::BecamePrimary { previous, epoch });
                self.lead(random, now)?;
            }
            Turn::Secondary { primary, epoch } => {
                self.abandon_commitment();
                self.say(CoopEvent::BecameSecondary { primary, epoch });
            }
            Turn::Leaderless { lost } => {
                self.coop.iter_mut().for_each(|coop| coop.elections += 1);
                self.say(CoopEvent::Election { lost });
            }
        }
        self.announce(now);
        Ok(())
    }

    /// Goes on where the primary before was; a group without keys begins.
    fn lead(&mut self, random: &mut dyn Random, now: Instant) -> Result<(), Error> {
        if self.state.lineage.is_none() {
            self.state.lineage = Some(Lineage(self.members.author().0));
            self.clock.set(Instant::default(), now);
        }
        self.release_all();
        self.finish(random, now)
    }

    /// Merges what is to be merged, and sends what the primary before began to send.
    pub(super) fn finish(&mut self, random: &mut dyn Random, now: Instant) -> Result<(), Error> {
        self.merge(random, now)?;
        let alone = self.coop.as_ref().is_some_and(|coop| coop.leads() && !coop.election.has_rival(now));
        match alone && self.state.under_way && self.distribution.is_none() {
            true => self.resume(random, self.clock.time(now)),
            false => Ok(()),
        }
    }
}
