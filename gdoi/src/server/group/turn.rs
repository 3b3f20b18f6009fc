//! Becoming primary or secondary.

use super::Group;
use crate::coop::{Turn, Work};
use crate::crypto::Random;
use crate::endpoint::Instant;
use crate::error::Error;
use crate::event::CoopEvent;
use crate::server::clock::GroupTime;

impl Group {
    /// Lets the election decide until it has nothing more to say.
    pub(super) fn take_turns(&mut self, random: &mut dyn Random, now: Instant) -> Result<(), Error> {
        loop {
            let work = if self.rekeying.is_under_way() { Work::Busy } else { Work::Idle };
            let before = self.standing.role();
            let Some(turn) = self.standing.judge(work, now) else {
                if self.standing.role() != before {
                    self.hand_places_over();
                    self.standing.announce(&self.ledger, now);
                }
                return Ok(());
            };
            self.turn(turn, random, now)?;
        }
    }

    fn turn(&mut self, turn: Turn, random: &mut dyn Random, now: Instant) -> Result<(), Error> {
        self.ledger.join_epoch(self.standing.epoch());
        match turn {
            Turn::Primary { previous, epoch } => {
                self.say(CoopEvent::BecamePrimary { previous, epoch });
                let led = self.lead(random, now);
                self.standing.announce(&self.ledger, now);
                return led;
            }
            Turn::Secondary { primary, epoch } => {
                self.abandon_commitment();
                self.say(CoopEvent::BecameSecondary { primary, epoch });
            }
            Turn::Leaderless { lost } => self.say(CoopEvent::Election { lost }),
        }
        self.standing.announce(&self.ledger, now);
        Ok(())
    }

    /// Goes on where the primary before was; a group without keys begins.
    fn lead(&mut self, random: &mut dyn Random, now: Instant) -> Result<(), Error> {
        self.standing.serve(self.ledger.state());
        self.ledger.watch_members(self.ledger.time(now));
        self.forget_removed();
        self.inherit_distribution();
        if self.ledger.state().lineage.is_none() {
            self.ledger.correct_time(GroupTime::default(), now);
            self.keep_keys(random, GroupTime::default())?;
        }
        if !self.standing.has_apart() {
            self.grant_places(random, self.ledger.time(now))?;
        }
        self.finish(random, now)
    }

    /// What another server began to tell all members is not done because this one has nothing under way; it goes out
    /// once no other leads any more.
    pub(super) fn inherit_distribution(&mut self) {
        if self.ledger.state().under_way {
            self.rekeying.inherit();
        }
    }

    /// Merges what is to be merged, and sends what the primary before began to send.
    pub(super) fn finish(&mut self, random: &mut dyn Random, now: Instant) -> Result<(), Error> {
        self.merge(random, now)?;
        let alone = self.leads() && !self.standing.has_rival(now);
        match alone && self.ledger.state().under_way && self.rekeying.is_settled() {
            true => {
                self.resume(random, self.ledger.time(now))?;
                self.rekeying.take_over();
                Ok(())
            }
            false => Ok(()),
        }
    }
}
