//! Messages of other servers. One that is refused changes nothing but a counter.

use super::merge::Memory;
use super::*;
use crate::coop::TOLERANCE;
use crate::error::{Malformed, Misbehaved, Unacceptable};
use crate::server::members::Listed;
use crate::server::record::{list, parse_member, parse_state, write_member};
use crate::wire::Reader;

/// An epoch that grows by more than this at once is a mistake: no group has seen so many, and who believed it could
/// soon count no further.
const EPOCH_LEAP: u64 = 1 << 32;

/// Member records in one message: about 1,100 octets.
const SLICE: usize = 16;

/// Messages of members for one announcement that shows that they are lacking.
const SLICES: usize = 32;

/// Members that others registered are told by those, unless a server goes without them for so many announcements.
const PATIENT: u32 = 3;

impl Group {
    /// Takes in a message of a cooperating server, without its head.
    ///
    /// # Errors
    /// The message changed nothing.
    pub(in crate::server) fn hear(
        &mut self,
        from: IpAddr,
        message: (Kind, Reader<'_>),
        random: &mut dyn Random,
        now: Instant,
    ) -> Result<(), Error> {
        let heard = match message {
            (Kind::Announcement, reader) => self.hear_announcement(from, reader, now),
            (Kind::State, reader) => self.hear_state(from, reader, now),
            (Kind::Members, reader) => self.hear_members(from, reader, now),
        };
        let peer = self.coop.as_mut().and_then(|coop| coop.peers.get_mut(&from));
        match (&heard, peer) {
            (Ok(()), Some(peer)) => peer.received += 1,
            (Err(reason), Some(peer)) => peer.refuse(reason),
            (_, None) => {}
        }
        heard?;
        self.take_turns(random, now)
    }

    fn hear_announcement(&mut self, from: IpAddr, reader: Reader<'_>, now: Instant) -> Result<(), Error> {
        let announcement = Announcement::parse(reader)?;
        let time = Instant::from_millis(announcement.pseudotime);
        if let Err(reason) = self.check_time(announcement.lineage, time, now) {
            self.note_untimely(from, now);
            return Err(reason);
        }
        self.check_epoch(&announcement)?;
        self.take_word(from, &announcement, now);
        self.answer(from, &announcement, now);
        Ok(())
    }

    fn check_epoch(&self, announcement: &Announcement) -> Result<(), Error> {
        let known = self.coop.as_ref().map_or(0, |coop| coop.election.epoch());
        let reign = announcement.word.reign.map_or(0, |reign| reign.epoch);
        let claimed = announcement.word.epoch.max(reign);
        match claimed > known.saturating_add(EPOCH_LEAP) {
            true => Err(Misbehaved::EpochLeap(claimed).into()),
            false => Ok(()),
        }
    }

    /// Remembers what a peer says of itself.
    fn take_word(&mut self, from: IpAddr, announcement: &Announcement, now: Instant) {
        let Some(coop) = &mut self.coop else { return };
        let (held, own) = (coop.held(&self.state), coop.configuration);
        let Some(peer) = coop.peers.get_mut(&from) else { return };
        let before = peer.take(announcement);
        let step = peer.step(&self.state.versions, &held);
        let appeared = !std::mem::replace(&mut peer.heard, true);
        coop.election.hear(from, announcement.word, step, now);
        if appeared {
            self.say(CoopEvent::Reachable(from));
        }
        if announcement.configuration != own && before != Some(announcement.configuration) {
            self.say(CoopEvent::ConfigMismatch(from));
        }
        if announcement.lineage == self.state.lineage {
            self.sids.join(&announcement.sids);
        }
    }

    /// What an announcement calls for.
    fn answer(&mut self, from: IpAddr, announcement: &Announcement, now: Instant) {
        let Some(coop) = &self.coop else { return };
        let held = coop.held(&self.state);
        let same_time = announcement.lineage == self.state.lineage && self.state.lineage.is_some();
        let time = Instant::from_millis(announcement.pseudotime);
        let (leads, primary) = (announcement.word.role.leads(), coop.election.primary());
        if same_time && primary == Some(from) {
            self.clock.follow(time, now);
        } else if same_time && primary.is_none() && leads {
            self.clock.set(time, now);
        }
        if !announcement.held.covers(&held) {
            self.send_states(from, now);
        }
        if same_time {
            self.send_members(from, &announcement.listed, now);
        }
        self.release_with(from, announcement);
        self.check_commitment(now);
    }

    /// Servers of one lineage have one time. One that follows nobody may be the one that is wrong.
    fn check_time(&self, lineage: Option<Lineage>, time: Instant, now: Instant) -> Result<(), Error> {
        if self.is_adrift() || lineage.is_none() || lineage != self.state.lineage {
            return Ok(());
        }
        let ours = self.clock.time(now);
        let (ahead, behind) = (time.saturating_since(ours), ours.saturating_since(time));
        match (ahead > TOLERANCE, behind > TOLERANCE) {
            (true, _) => Err(Misbehaved::TooNew(ahead.as_secs()).into()),
            (_, true) => Err(Misbehaved::TooOld(behind.as_secs()).into()),
            _ => Ok(()),
        }
    }

    /// Whether this server neither is primary nor has one.
    fn is_adrift(&self) -> bool {
        self.coop.as_ref().is_some_and(|coop| coop.election.primary().is_none())
    }

    /// One message of another time is a mistake. Where nothing else comes for long, the time here is wrong.
    fn note_untimely(&mut self, from: IpAddr, now: Instant) {
        let Some(coop) = &mut self.coop else { return };
        let patience = coop.election.rules().patience();
        let Some(peer) = coop.peers.get_mut(&from) else { return };
        let going_on = peer.untimely.filter(|(_, last)| now.saturating_since(*last) < patience);
        let since = going_on.map_or(now, |(since, _)| since);
        peer.untimely = Some((since, now));
        if now.saturating_since(since) >= patience * 2 && coop.election.alive(now).next().is_none() {
            coop.election.start_again(now);
            coop.peers.values_mut().for_each(|peer| peer.untimely = None);
            self.abandon_commitment();
            self.say(CoopEvent::TimeLost(from));
        }
    }

    fn hear_state(&mut self, from: IpAddr, mut reader: Reader<'_>, now: Instant) -> Result<(), Error> {
        let (lineage, time) = (Lineage::parse(&mut reader)?, Instant::from_millis(reader.u64()?));
        let state = parse_state(&mut reader)?;
        reader.finish()?;
        if lineage.is_none() || state.lineage != lineage {
            return Err(Malformed::Value("COOP payload").into());
        }
        self.check_time(lineage, time, now)?;
        self.take_state(state, (lineage, time), now)?;
        self.compare_all();
        self.announce_to(from, now);
        Ok(())
    }

    /// Replaces the state by a later one, or puts one that was made apart beside it.
    fn take_state(
        &mut self,
        mut state: GroupState,
        (lineage, time): (Option<Lineage>, Instant),
        now: Instant,
    ) -> Result<(), Error> {
        let Some(coop) = &mut self.coop else { return Ok(()) };
        let held = std::iter::once(&self.state).chain(&coop.apart);
        if held.into_iter().any(|held| held.lineage.is_some() && held.versions.covers(&state.versions)) {
            return Ok(());
        }
        let later = self.state.lineage.is_none() || state.versions.covers(&self.state.versions);
        if lineage != self.state.lineage && later {
            self.set_time(time, now);
        } else if lineage != self.state.lineage {
            let ours = self.clock.time(now);
            state.rebase(|then| shift(then, time, ours));
            state.lineage = self.state.lineage;
        }
        let Some(coop) = &mut self.coop else { return Ok(()) };
        coop.apart.retain(|apart| !state.versions.covers(&apart.versions));
        if later {
            self.adopt(state);
        } else if coop.apart.len() < MAX_APART {
            coop.apart.push(state);
        } else {
            return Err(Unacceptable::Busy.into());
        }
        Ok(())
    }

    /// What this server was about to tell members is out of date. Numbers that it has used stay used.
    fn adopt(&mut self, mut state: GroupState) {
        let memory = if self.state.lineage.is_some() { Memory::Whole } else { Memory::Lost };
        state.keys.keep_numbers_of(&self.state.keys, memory);
        self.state = state;
        self.sids.begin(self.state.sid_generation);
        self.changed = true;
        if self.leads() {
            self.abandon_commitment();
            self.release_all();
        }
    }

    /// Goes over to another time.
    fn set_time(&mut self, time: Instant, now: Instant) {
        let ours = self.clock.time(now);
        self.clock.set(time, now);
        self.members.rebase(|then| shift(then, ours, time));
    }

    fn hear_members(&mut self, from: IpAddr, mut reader: Reader<'_>, now: Instant) -> Result<(), Error> {
        let slice = Slice::parse(&mut reader)?;
        let records = list(reader.u16()?.into(), SLICE, &mut reader, parse_member)?;
        reader.finish()?;
        // Their times would mean nothing here; they come again when the keys are the same.
        if slice.lineage != self.state.lineage {
            return Ok(());
        }
        self.members.merge(slice.author, (slice.from, slice.to), records)?;
        self.members_changed = true;
        if slice.last {
            self.announce_to(from, now);
        }
        Ok(())
    }

    /// A member has registered here: the others learn of it at once, for this server may die.
    pub(in crate::server) fn share_members(&mut self, now: Instant) {
        let Some(coop) = &self.coop else { return };
        let heard =
            coop.election.alive(now).filter_map(|peer| Some((peer, coop.peers.get(&peer)?.listed.clone())));
        let heard: Vec<_> = heard.collect();
        heard.into_iter().for_each(|(peer, listed)| self.send_members(peer, &listed, now));
    }

    /// Gives a server the member records that it lacks.
    fn send_members(&mut self, to: IpAddr, listed: &Versions, now: Instant) {
        let lacking = !listed.covers(self.members.seen());
        let Some(coop) = &mut self.coop else { return };
        let pause = coop.tick();
        let Some(peer) = coop.peers.get_mut(&to) else { return };
        if lacking && !Peer::may_give(&mut peer.given_members, listed, pause, now) {
            return;
        }
        peer.lacking = if lacking { peer.lacking + 1 } else { 0 };
        let patient = peer.lacking < PATIENT;
        let mut slices = Vec::new();
        for (author, newest) in self.members.seen().iter() {
            let own = author == self.members.author();
            if newest > listed.of(author) && (own || !patient) {
                slices.extend(self.slices(author, listed.of(author), newest));
            }
        }
        slices.truncate(SLICES);
        let last = slices.len();
        for (number, (slice, records)) in slices.into_iter().enumerate() {
            let slice = Slice { last: number + 1 == last, ..slice };
            let body = Writer::secret(2048, |out| {
                write_head(out, Kind::Members, self.name().id);
                slice.write(out);
                out.list_u16("member records", &records, write_member);
            });
            self.post(to, body);
        }
    }

    /// All changes of one author above `from`, in pieces.
    fn slices(&self, author: crate::coop::Author, from: u64, newest: u64) -> Vec<(Slice, Vec<Listed>)> {
        let records = self.members.after(author, from);
        let mut start = from;
        let pieces = records
            .chunks(SLICE)
            .take(SLICES)
            .map(|piece| piece.iter().copied().cloned().collect::<Vec<_>>());
        let mut slices: Vec<_> = pieces
            .map(|piece| {
                let to = piece.last().map_or(newest, |listed| listed.version);
                let slice = Slice { lineage: self.state.lineage, author, from: start, to, last: false };
                start = to;
                (slice, piece)
            })
            .collect();
        if records.len() <= SLICE * SLICES {
            match slices.last_mut() {
                Some((slice, _)) => slice.to = newest,
                None => {
                    let slice = Slice { lineage: self.state.lineage, author, from, to: newest, last: false };
                    slices.push((slice, Vec::new()));
                }
            }
        }
        slices
    }
}

/// The point in time that is as far from `theirs` as `then` was from `ours`.
fn shift(then: Instant, theirs: Instant, ours: Instant) -> Instant {
    match then >= theirs {
        true => ours + then.saturating_since(theirs),
        false => ours.before(theirs.saturating_since(then)),
    }
}
