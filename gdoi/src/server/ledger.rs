//! What a group must not forget: its keys and all that goes with them, its members, the sender IDs given out, and its
//! time. Nobody changes anything of it without its being noted that it is to be stored, and how soon: there is no other
//! way to it than the methods here.

use super::allotments::Allotments;
use super::clock::{GroupClock, GroupTime};
use super::members::{Listed, Members};
use super::state::GroupState;
use super::terms::Terms;
use crate::coop::{Author, Sids, Slice};
use crate::endpoint::Instant;
use crate::error::{Error, Unacceptable};
use crate::policy::{Prefix, SidRequest};
use std::net::IpAddr;

/// How soon what has changed must be stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Unstored {
    /// Nothing has changed.
    #[default]
    Nothing,
    /// It may lag behind for a while.
    Soon,
    /// Before anything is sent.
    Now,
}

/// Keys and sender IDs as they were.
pub(super) struct Checkpoint {
    state: GroupState,
    sids: Sids,
    allotments: Allotments,
    unstored: Unstored,
    uncommitted: bool,
}

/// What a group must not forget.
pub(super) struct Ledger {
    clock: GroupClock,
    /// The highest number of a reign that is known.
    epoch: u64,
    /// The newest keys, and what goes with them.
    state: GroupState,
    /// The sender IDs given out.
    sids: Sids,
    /// To whom this server gave which.
    allotments: Allotments,
    members: Members,
    unstored: Unstored,
    /// Whether the state was changed here, and is not yet counted as a change that the other servers must have.
    uncommitted: bool,
}

impl Ledger {
    /// That of a group that begins now.
    pub(super) fn new(author: Author, now: Instant) -> Self {
        let (state, sids) = (GroupState::default(), (Sids::default(), Allotments::default()));
        Ledger::restored(GroupClock::starting(now), 0, state, sids, Members::new(author))
    }

    /// As it was stored.
    pub(super) fn restored(
        clock: GroupClock,
        epoch: u64,
        state: GroupState,
        (sids, allotments): (Sids, Allotments),
        members: Members,
    ) -> Self {
        let (unstored, uncommitted) = (Unstored::Nothing, false);
        Ledger { clock, epoch, state, sids, allotments, members, unstored, uncommitted }
    }

    /// What must not be forgotten of a group that is over by one of the same number: who was removed from it, and which SPIs
    /// its members may still have. `author` has no other memory of it.
    pub(super) fn remains(&self, author: Author, now: Instant) -> Self {
        let mut remains = Ledger::new(author, now);
        let (then, time) = (self.time(now), remains.time(now));
        remains.state.revoked.clone_from(&self.state.revoked);
        remains.state.keys = self.state.keys.only_names();
        remains.state.rebase(|end| end.moved(then, time));
        remains
    }

    pub(super) const fn clock(&self) -> &GroupClock {
        &self.clock
    }

    /// The group's time.
    pub(super) fn time(&self, now: Instant) -> GroupTime {
        self.clock.time(now)
    }

    pub(super) const fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(super) const fn state(&self) -> &GroupState {
        &self.state
    }

    pub(super) const fn sids(&self) -> &Sids {
        &self.sids
    }

    pub(super) const fn allotments(&self) -> &Allotments {
        &self.allotments
    }

    pub(super) const fn members(&self) -> &Members {
        &self.members
    }

    /// The state, to be changed by this server: it is stored before anything is sent, and the other servers get it.
    pub(super) fn amend_state(&mut self) -> &mut GroupState {
        self.uncommitted = true;
        self.unstored = Unstored::Now;
        &mut self.state
    }

    /// Sender IDs for a member, from the range of this place; those that it got when it asked for them before. None may
    /// be forgotten once it is known to somebody.
    ///
    /// # Errors
    /// [`Unacceptable::TooManySenderIds`], [`Unacceptable::NoSenderIds`].
    pub(super) fn give_sids(
        &mut self,
        place: usize,
        (member, shared): (IpAddr, Option<Prefix>),
        request: SidRequest,
    ) -> Result<Vec<u32>, Unacceptable> {
        if let Some(values) = self.allotments.again(member, request) {
            return Ok(values);
        }
        let exceeds = |prefix| self.allotments.exceed_share(prefix, request.count, self.sids.range());
        if self.allotments.exceeds(member, request.count) || shared.is_some_and(exceeds) {
            return Err(Unacceptable::TooManySenderIds);
        }
        let values = self.sids.give(place, request.count).ok_or(Unacceptable::NoSenderIds)?;
        self.allotments.note(member, shared, request, &values);
        self.unstored = Unstored::Now;
        Ok(values)
    }

    /// The ranges of the state's generation begin anew, if they did not yet.
    pub(super) fn begin_sids(&mut self) {
        self.sids.begin(self.state.generation());
        self.allotments.begin(self.sids.generation());
        self.note(Unstored::Now);
    }

    /// Where to [`Ledger::go_back`] if what is about to be done fails.
    pub(super) fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            state: self.state.clone(),
            sids: self.sids.clone(),
            allotments: self.allotments.clone(),
            unstored: self.unstored,
            uncommitted: self.uncommitted,
        }
    }

    /// Nothing was stored or said since; members that were forgotten stay forgotten.
    pub(super) fn go_back(&mut self, before: Checkpoint) {
        let Checkpoint { state, sids, allotments, unstored, uncommitted } = before;
        (self.state, self.sids, self.allotments) = (state, sids, allotments);
        self.uncommitted = uncommitted;
        self.unstored = unstored.max(self.unstored.min(Unstored::Soon));
    }

    /// The list of members, which may lag when it is stored.
    pub(super) fn amend_members(&mut self) -> &mut Members {
        self.note(Unstored::Soon);
        &mut self.members
    }

    /// Members that gave no sign of life since then have no key that lives. That follows from what is stored.
    pub(super) fn set_members_dead_before(&mut self, time: GroupTime) {
        self.members.set_dead_before(time);
    }

    /// From now on members acknowledge to this server.
    pub(super) fn watch_members(&mut self, now: GroupTime) {
        self.members.watch_from(now);
    }

    /// Takes in members that another server has; of whom there was something new in it.
    ///
    /// # Errors
    /// Those of [`Members::merge`]: nothing has changed.
    pub(super) fn merge_members(
        &mut self,
        slice: &Slice,
        records: Vec<Listed>,
    ) -> Result<Vec<IpAddr>, Error> {
        let news = self.members.merge(slice.author, (slice.from, slice.to), records)?;
        self.note(Unstored::Soon);
        Ok(news)
    }

    /// Forgets the keys that have ended.
    pub(super) fn expire(&mut self, now: GroupTime) {
        if self.state.keys.expire(now) {
            self.note(Unstored::Now);
        }
    }

    /// Goes on with the state of another server.
    pub(super) fn adopt(&mut self, state: GroupState) {
        self.state = state;
        self.begin_sids();
    }

    /// What another server knows of the sender IDs given out.
    pub(super) fn learn_sids(&mut self, theirs: &Sids) {
        let before = self.sids.clone();
        self.sids.join(theirs);
        self.allotments.begin(self.sids.generation());
        if self.sids != before {
            self.note(Unstored::Soon);
        }
    }

    /// This server takes part in a reign with this number, and must not forget it.
    pub(super) fn join_epoch(&mut self, epoch: u64) {
        self.raise_epoch(epoch, Unstored::Now);
    }

    /// Another server knows a reign with this number; it will say so again.
    pub(super) fn learn_epoch(&mut self, epoch: u64) {
        self.raise_epoch(epoch, Unstored::Soon);
    }

    fn raise_epoch(&mut self, epoch: u64, how_soon: Unstored) {
        if epoch > self.epoch {
            self.epoch = epoch;
            self.note(how_soon);
        }
    }

    /// Goes over to another time, and the members' records with it.
    pub(super) fn set_time(&mut self, time: GroupTime, now: Instant) {
        let ours = self.time(now);
        self.clock.set(time, now);
        self.members.rebase(|then| then.moved(ours, time));
        self.note(Unstored::Now);
    }

    /// Has another idea of what the group's time is; the times that are kept are of the same group and stay.
    pub(super) fn correct_time(&mut self, time: GroupTime, now: Instant) {
        self.move_clock(|clock| clock.set(time, now));
    }

    /// Goes along with the primary's time.
    pub(super) fn follow_time(&mut self, time: GroupTime, now: Instant) {
        self.move_clock(|clock| clock.follow(time, now));
    }

    fn move_clock(&mut self, how: impl FnOnce(&mut GroupClock)) {
        let before = self.clock;
        how(&mut self.clock);
        if self.clock != before {
            self.note(Unstored::Soon);
        }
    }

    /// Counts what was changed in the state since the last time as one change of `author`; whether there was any.
    pub(super) fn commit(&mut self, author: Author, terms: impl FnOnce() -> Terms) -> bool {
        let uncommitted = std::mem::take(&mut self.uncommitted);
        if uncommitted {
            self.state.versions.bump(author);
            self.state.terms = Some(terms());
            self.note(Unstored::Now);
        }
        uncommitted
    }

    /// How soon it must be stored.
    pub(super) const fn unstored(&self) -> Unstored {
        self.unstored
    }

    /// It is stored as it is now.
    pub(super) fn stored(&mut self) {
        self.unstored = Unstored::Nothing;
    }

    fn note(&mut self, how_soon: Unstored) {
        self.unstored = self.unstored.max(how_soon);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Acl, SendMode, SidNonce};
    use std::time::Duration;

    const AUTHOR: Author = Author([1; 8]);
    const NOW: Instant = Instant::from_millis(5_000);

    fn terms() -> Terms {
        Terms {
            acl: Acl::default(),
            mode: SendMode::Both,
            activation_delay: Duration::ZERO,
            deactivation_delay: Duration::ZERO,
            rekey: None,
        }
    }

    /// What becomes of a fresh one, and how soon it is to be stored then.
    fn after(change: impl FnOnce(&mut Ledger)) -> (Ledger, Unstored) {
        let mut ledger = Ledger::new(AUTHOR, NOW);
        assert_eq!(ledger.unstored(), Unstored::Nothing);
        change(&mut ledger);
        let unstored = ledger.unstored();
        (ledger, unstored)
    }

    #[test]
    fn every_change_is_noted_and_none_makes_an_earlier_one_wait() {
        let noted = |change: fn(&mut Ledger)| after(change).1;
        assert_eq!(noted(|ledger| ledger.amend_state().rekeys = 1), Unstored::Now);
        let request = SidRequest { count: 1, nonce: None };
        let given = after(|ledger| drop(ledger.give_sids(0, ([10, 0, 0, 1].into(), None), request))).1;
        assert_eq!(given, Unstored::Now);
        assert_eq!(noted(|ledger| ledger.amend_members().forget_all()), Unstored::Soon);
        assert_eq!(noted(|ledger| ledger.adopt(GroupState::default())), Unstored::Now);
        assert_eq!(noted(|ledger| ledger.join_epoch(1)), Unstored::Now);
        assert_eq!(noted(|ledger| ledger.learn_epoch(1)), Unstored::Soon);
        assert_eq!(noted(|ledger| ledger.set_time(GroupTime::from_millis(9), NOW)), Unstored::Now);
        assert_eq!(noted(|ledger| ledger.follow_time(GroupTime::from_millis(9), NOW)), Unstored::Soon);
        let both = |ledger: &mut Ledger| {
            ledger.join_epoch(1);
            ledger.amend_members().forget_all();
        };
        assert_eq!(after(both).1, Unstored::Now);
    }

    #[test]
    fn what_changes_nothing_is_not_stored() {
        let (mut ledger, unstored) = after(|ledger| {
            ledger.learn_epoch(0);
            ledger.learn_sids(&Sids::default());
            ledger.follow_time(GroupTime::default(), NOW);
            ledger.expire(GroupTime::from_millis(1));
        });
        assert_eq!(unstored, Unstored::Nothing);
        ledger.join_epoch(7);
        ledger.stored();
        ledger.learn_epoch(7);
        assert_eq!(ledger.unstored(), Unstored::Nothing);
    }

    /// Who asked before gets the same again, others get others, and nobody more than before.
    #[test]
    fn a_generation_of_sender_ids_that_comes_to_nothing_forgets_nobody() {
        let mut ledger = Ledger::new(AUTHOR, NOW);
        let (member, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let request = SidRequest { count: 2, nonce: Some(SidNonce([4; 16])) };
        let given = ledger.give_sids(0, (member, None), request).unwrap();
        let before = ledger.checkpoint();
        ledger.amend_state().division.generation.number += 1;
        ledger.begin_sids();
        assert_ne!(ledger.sids().generation(), before.sids.generation());
        ledger.go_back(before);
        assert_eq!(ledger.give_sids(0, (other, None), request), Ok(vec![2, 3]));
        assert_eq!(ledger.give_sids(0, (member, None), request), Ok(given));
    }

    #[test]
    fn what_was_changed_here_is_one_change_for_the_others() {
        let (mut ledger, _) = after(|ledger| {
            ledger.amend_state().rekeys = 1;
            ledger.amend_state().rekeys = 2;
        });
        assert!(ledger.commit(AUTHOR, terms) && !ledger.commit(AUTHOR, terms));
        assert_eq!(ledger.state().versions.of(AUTHOR), 1);
        ledger.adopt(GroupState::default());
        assert!(!ledger.commit(AUTHOR, terms), "the others have it already");
    }
}
