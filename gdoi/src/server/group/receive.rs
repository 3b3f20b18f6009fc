//! Messages of other servers. One that is refused changes nothing but a counter.

use super::Group;
use crate::coop::{Announcement, Kind, Lineage, Place, Slice, TOLERANCE};
use crate::crypto::Random;
use crate::endpoint::Instant;
use crate::error::{Error, Malformed, Misbehaved};
use crate::event::CoopEvent;
use crate::server::clock::GroupTime;
use crate::server::record::{list, parse_member, parse_state};
use crate::server::standing::SLICE;
use crate::server::state::GroupState;
use crate::wire::Reader;
use std::net::IpAddr;

impl Group {
    /// Takes in a message of a cooperating server, without its head.
    ///
    /// # Errors
    /// The message changed nothing.
    pub(in crate::server) fn hear(
        &mut self,
        (from, place): (IpAddr, Place),
        message: (Kind, Reader<'_>),
        random: &mut dyn Random,
        now: Instant,
    ) -> Result<(), Error> {
        let heard = match message {
            (Kind::Announcement, reader) => self.hear_announcement((from, place), reader, now),
            (Kind::State, reader) => self.hear_state(from, reader, now),
            (Kind::Members, reader) => self.hear_members(from, reader, now),
        };
        self.standing.count(from, &heard);
        heard?;
        self.take_turns(random, now)
    }

    /// One that a later one has overtaken says nothing more. States and members say themselves what is new in them.
    fn hear_announcement(
        &mut self,
        (from, place): (IpAddr, Place),
        reader: Reader<'_>,
        now: Instant,
    ) -> Result<(), Error> {
        let announcement = Announcement::parse(reader)?;
        let time = GroupTime::from_millis(announcement.pseudotime);
        if let Err(reason) = self.check_time(announcement.lineage, time, now) {
            self.note_untimely(from, now);
            return Err(reason);
        }
        self.standing.check_epoch(&announcement)?;
        if !self.standing.is_latest(from, place) {
            return Ok(());
        }
        self.take_word(from, &announcement, now);
        self.answer(from, &announcement, now);
        Ok(())
    }

    /// Remembers what a peer says of itself.
    fn take_word(&mut self, from: IpAddr, announcement: &Announcement, now: Instant) {
        let news = self.standing.take_word(from, announcement, self.ledger.state(), now);
        if news.appeared {
            self.say(CoopEvent::Reachable(from));
        }
        if news.differs {
            self.say(CoopEvent::ConfigMismatch(from));
        }
        if announcement.lineage == self.ledger.state().lineage {
            self.ledger.learn_sids(&announcement.sids);
        }
    }

    /// What an announcement calls for.
    fn answer(&mut self, from: IpAddr, announcement: &Announcement, now: Instant) {
        let state = self.ledger.state();
        let held = self.standing.held(state);
        let same_time = announcement.lineage == state.lineage && state.lineage.is_some();
        let time = GroupTime::from_millis(announcement.pseudotime);
        let (leads, primary) = (announcement.word.role.leads(), self.standing.primary());
        if same_time && primary == Some(from) {
            self.ledger.follow_time(time, now);
        } else if same_time && primary.is_none() && leads {
            self.ledger.correct_time(time, now);
        }
        if !announcement.held.covers(&held) {
            self.standing.send_states(&self.ledger, from, now);
        }
        if same_time {
            self.standing.send_members(&self.ledger, from, &announcement.listed, now);
        }
        self.standing.release_with(from, announcement, self.ledger.state());
        self.check_commitment(now);
    }

    /// Servers of one lineage have one time. One that follows nobody may be the one that is wrong.
    fn check_time(&self, lineage: Option<Lineage>, time: GroupTime, now: Instant) -> Result<(), Error> {
        let adrift = self.standing.primary().is_none();
        if adrift || lineage.is_none() || lineage != self.ledger.state().lineage {
            return Ok(());
        }
        let ours = self.ledger.time(now);
        let (ahead, behind) = (time.saturating_since(ours), ours.saturating_since(time));
        match (ahead > TOLERANCE, behind > TOLERANCE) {
            (true, _) => Err(Misbehaved::TooNew(ahead.as_secs()).into()),
            (_, true) => Err(Misbehaved::TooOld(behind.as_secs()).into()),
            _ => Ok(()),
        }
    }

    fn note_untimely(&mut self, from: IpAddr, now: Instant) {
        if self.standing.has_lost_time(from, now) {
            self.standing.start_again(now);
            self.abandon_commitment();
            self.say(CoopEvent::TimeLost(from));
        }
    }

    fn hear_state(&mut self, from: IpAddr, mut reader: Reader<'_>, now: Instant) -> Result<(), Error> {
        let (lineage, time) = (Lineage::parse(&mut reader)?, GroupTime::from_millis(reader.u64()?));
        let state = parse_state(&mut reader)?;
        reader.finish()?;
        if lineage.is_none() || state.lineage != lineage {
            return Err(Malformed::Value("COOP payload").into());
        }
        self.check_time(lineage, time, now)?;
        self.take_state(state, time, now)?;
        self.standing.compare_all(self.ledger.state());
        self.standing.announce_to(&self.ledger, from, now);
        Ok(())
    }

    /// Replaces the state by a later one, or puts one that was made apart beside it; `time` is that of its lineage.
    fn take_state(&mut self, mut state: GroupState, time: GroupTime, now: Instant) -> Result<(), Error> {
        let own = self.ledger.state();
        if self.standing.holds(own, &state) {
            return Ok(());
        }
        let later = own.lineage.is_none() || state.versions.covers(&own.versions);
        if state.lineage != own.lineage && later {
            self.ledger.set_time(time, now);
        } else if state.lineage != own.lineage {
            let ours = self.ledger.time(now);
            state.rebase(|then| then.moved(time, ours));
            state.lineage = own.lineage;
        }
        self.standing.forget_covered(&state);
        if !later {
            return self.standing.keep_apart(state);
        }
        self.adopt(state);
        Ok(())
    }

    /// What this server was about to tell members is out of date. Numbers that it has used stay used.
    pub(super) fn adopt(&mut self, mut state: GroupState) {
        let own = self.ledger.state();
        state.keys.keep_numbers_of(&own.keys);
        self.ledger.adopt(state);
        if self.leads() {
            self.abandon_commitment();
            self.inherit_distribution();
            self.standing.serve(self.ledger.state());
        }
    }

    fn hear_members(&mut self, from: IpAddr, mut reader: Reader<'_>, now: Instant) -> Result<(), Error> {
        let slice = Slice::parse(&mut reader)?;
        let records = list(reader.u16()?.into(), SLICE, &mut reader, parse_member)?;
        reader.finish()?;
        // Their times would mean nothing here; they come again when the keys are the same.
        if slice.lineage != self.ledger.state().lineage {
            return Ok(());
        }
        let news = self.ledger.merge_members(&slice, records)?;
        let time = self.ledger.time(now);
        news.into_iter().for_each(|member| self.welcome(member, time));
        if slice.last {
            self.standing.announce_to(&self.ledger, from, now);
        }
        Ok(())
    }
}
