//! What a server tells the others of its group: how it stands, all states that it holds, the members that they lack.

use super::peer::Peer;
use super::{Letter, Standing};
use crate::coop::{write_head, Announcement, Author, Commitment, Kind, Lineage, Slice, Versions};
use crate::endpoint::Instant;
use crate::error::Malformed;
use crate::policy::GroupId;
use crate::server::ledger::Ledger;
use crate::server::members::{Listed, Members};
use crate::server::record::{write_member, write_state};
use crate::server::state::GroupState;
use crate::wire::Writer;
use std::net::IpAddr;
use zeroize::Zeroizing;

/// A message for others, as far as it can be written.
type Body = Result<Zeroizing<Vec<u8>>, Malformed>;

/// Member records in one message: about 90 octets each and the identity, so that they go in one datagram.
pub(in crate::server) const SLICE: usize = 8;

/// Messages of members for one announcement that shows that they are lacking.
const SLICES: usize = 64;

/// Members that others registered are told by those, unless a server goes without them for so many announcements.
const PATIENT: u32 = 3;

impl Standing {
    /// What is to be sent.
    pub(in crate::server) fn take_letters(&mut self) -> Vec<Letter> {
        std::mem::take(&mut self.outbox)
    }

    pub(in crate::server) fn announce_if_due(&mut self, ledger: &Ledger, now: Instant) {
        if now >= self.next_announcement {
            self.next_announcement = now + self.election.rules().interval;
            self.election.beat();
            self.announce(ledger, now);
        }
    }

    /// Tells all others how this server stands.
    pub(in crate::server) fn announce(&mut self, ledger: &Ledger, now: Instant) {
        let peers: Vec<_> = self.peers.keys().copied().collect();
        if !peers.is_empty() {
            let body = self.announcement(ledger, now);
            peers.into_iter().for_each(|to| self.post(to, body.clone()));
        }
    }

    /// Tells one.
    pub(in crate::server) fn announce_to(&mut self, ledger: &Ledger, to: IpAddr, now: Instant) {
        let body = self.announcement(ledger, now);
        self.post(to, body);
    }

    /// What cannot be written is not sent, as what is too long for a link: the next announcement says again what lacks.
    fn post(&mut self, to: IpAddr, body: Body) {
        self.outbox.extend(body.ok().map(|body| Letter { to, body }));
    }

    fn announcement(&self, ledger: &Ledger, now: Instant) -> Body {
        let announcement = Announcement {
            author: ledger.members().author(),
            lineage: ledger.state().lineage,
            pseudotime: ledger.time(now).as_millis(),
            word: self.election.word(now),
            commitment: if self.committing.is_some() { Commitment::Pending } else { Commitment::Done },
            members: ledger.members().records().count() as u32,
            configuration: self.configuration,
            sids: ledger.sids().clone(),
            keys: ledger.state().versions.clone(),
            held: self.held(ledger.state()),
            listed: ledger.members().seen().clone(),
        };
        announcement.emit(self.group)
    }

    /// Gives a server all states that are held here.
    pub(in crate::server) fn send_states(&mut self, ledger: &Ledger, to: IpAddr, now: Instant) {
        let (held, pause) = (self.held(ledger.state()), self.tick());
        let Some(peer) = self.peers.get_mut(&to) else { return };
        if !Peer::may_give(&mut peer.given_states, &held, pause, now) {
            return;
        }
        let states = std::iter::once(ledger.state()).chain(&self.apart);
        let begun = states.filter(|state| state.lineage.is_some());
        let bodies: Vec<_> = begun.map(|state| state_message(self.group, ledger, state, now)).collect();
        bodies.into_iter().for_each(|body| self.post(to, body));
    }

    /// A member has registered here: the others learn of it at once, for this server may die. Whatever they were given
    /// just now, they are given what this server changed after `since`; if it is lost, they lack it in their next
    /// announcement.
    pub(in crate::server) fn share_members(&mut self, ledger: &Ledger, since: u64, now: Instant) {
        let (members, lineage) = (ledger.members(), ledger.state().lineage);
        let (author, newest) = (members.author(), members.seen().of(members.author()));
        let heard: Vec<_> = self.election.alive(now).collect();
        for to in heard {
            self.post_slices(to, cut(members, lineage, author, (since, newest)));
        }
    }

    /// Gives a server the member records that it lacks.
    pub(in crate::server) fn send_members(
        &mut self,
        ledger: &Ledger,
        to: IpAddr,
        listed: &Versions,
        now: Instant,
    ) {
        let (members, pause) = (ledger.members(), self.tick());
        let lacking = members.has_news_for(listed);
        let Some(peer) = self.peers.get_mut(&to) else { return };
        if lacking && !Peer::may_give(&mut peer.given_members, listed, pause, now) {
            return;
        }
        peer.lacking = if lacking { peer.lacking + 1 } else { 0 };
        let patient = peer.lacking < PATIENT;
        let mut slices = Vec::new();
        for (author, newest) in members.seen().iter().filter(|_| lacking) {
            let own = author == members.author();
            if newest > listed.of(author) && (own || !patient) {
                slices.extend(cut(members, ledger.state().lineage, author, (listed.of(author), newest)));
            }
        }
        self.post_slices(to, slices);
    }

    fn post_slices(&mut self, to: IpAddr, mut slices: Vec<(Slice, Vec<Listed>)>) {
        slices.truncate(SLICES);
        let last = slices.len();
        for (number, (slice, records)) in slices.into_iter().enumerate() {
            let slice = Slice { last: number + 1 == last, ..slice };
            self.post(to, members_message(self.group, &slice, &records));
        }
    }
}

fn state_message(group: GroupId, ledger: &Ledger, state: &GroupState, now: Instant) -> Body {
    Writer::secret(16_384, |out| {
        write_head(out, Kind::State, group);
        out.raw(&Lineage::octets(ledger.state().lineage));
        out.u64(ledger.time(now).as_millis());
        write_state(out, state);
    })
}

fn members_message(group: GroupId, slice: &Slice, records: &[Listed]) -> Body {
    Writer::secret(2048, |out| {
        write_head(out, Kind::Members, group);
        slice.write(out);
        out.list_u16("member records", records, write_member);
    })
}

/// All changes of one author after `from` and up to `newest`, in pieces.
fn cut(
    members: &Members,
    lineage: Option<Lineage>,
    author: Author,
    (from, newest): (u64, u64),
) -> Vec<(Slice, Vec<Listed>)> {
    let records = members.after(author, from);
    let mut start = from;
    let pieces =
        records.chunks(SLICE).take(SLICES).map(|piece| piece.iter().copied().cloned().collect::<Vec<_>>());
    let mut slices: Vec<_> = pieces
        .map(|piece| {
            let to = piece.last().map_or(newest, |listed| listed.version);
            let slice = Slice { lineage, author, from: start, to, last: false };
            start = to;
            (slice, piece)
        })
        .collect();
    if records.len() <= SLICE * SLICES {
        match slices.last_mut() {
            Some((slice, _)) => slice.to = newest,
            None => slices.push((Slice { lineage, author, from, to: newest, last: false }, Vec::new())),
        }
    }
    slices
}
