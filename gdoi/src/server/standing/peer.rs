//! What is known of one of the other servers.

use crate::coop::{
    Announcement, Author, Claim, CoopPeerStatus, CoopPeerWord, CoopRefusals, Election, Place, Step, Versions,
};
use crate::endpoint::Instant;
use crate::error::{Error, Misbehaved};
use std::net::IpAddr;
use std::time::Duration;

/// One of the servers that share a group.
#[derive(Default)]
pub(super) struct Peer {
    /// Whether it is heard, as far as operators were told.
    pub(super) heard: bool,
    /// Where among its messages that is which it said last of itself.
    said: Option<Place>,
    /// Its memory, as it said last.
    pub(super) author: Option<Author>,
    /// The changes in the keys that it serves, in all that it holds, and in its member list, as it said last.
    pub(super) keys: Versions,
    pub(super) held: Versions,
    pub(super) listed: Versions,
    /// In how many announcements in a row it lacked members.
    pub(super) lacking: u32,
    /// What it was given last, and when: the same is not given again at once.
    pub(super) given_states: Option<(Versions, Instant)>,
    pub(super) given_members: Option<(Versions, Instant)>,
    pub(super) members: u32,
    pub(super) configuration: Option<[u8; 16]>,
    /// Since when all that it says is of another time, and when it said the last of it.
    pub(super) untimely: Option<(Instant, Instant)>,
    pub(super) sent: u64,
    pub(super) received: u64,
    pub(super) refused: CoopRefusals,
}

impl Peer {
    /// How its keys compare with those of `own`, and with all that is held here.
    pub(super) fn step(&self, own: &Versions, held: &Versions) -> Step {
        match (held.covers(&self.held), self.keys.covers(own)) {
            (false, _) => Step::Ahead,
            (true, true) => Step::Same,
            (true, false) => Step::Behind,
        }
    }

    /// Whether it has said nothing later of itself.
    pub(super) fn is_latest(&mut self, place: Place) -> bool {
        let overtaken = self.said.is_some_and(|said| place.is_before(&said));
        self.said = if overtaken { self.said } else { Some(place) };
        !overtaken
    }

    /// Takes over what it says; what it said of its configuration before.
    pub(super) fn take(&mut self, announcement: &Announcement) -> Option<[u8; 16]> {
        self.untimely = None;
        self.author = Some(announcement.author);
        self.keys = announcement.keys.clone();
        self.held = announcement.held.clone();
        self.listed = announcement.listed.clone();
        self.members = announcement.members;
        self.configuration.replace(announcement.configuration)
    }

    /// Whether something may be given that was not given just now.
    pub(super) fn may_give(
        given: &mut Option<(Versions, Instant)>,
        what: &Versions,
        pause: Duration,
        now: Instant,
    ) -> bool {
        let just_now =
            |(before, at): &(Versions, Instant)| before == what && now.saturating_since(*at) < pause;
        let may = !given.as_ref().is_some_and(just_now);
        if may {
            *given = Some((what.clone(), now));
        }
        may
    }

    pub(super) fn refuse(&mut self, reason: &Error) {
        *match reason {
            Error::Misbehaved(Misbehaved::TooNew(_)) => &mut self.refused.too_new,
            Error::Misbehaved(Misbehaved::TooOld(_)) => &mut self.refused.too_old,
            _ => &mut self.refused.other,
        } += 1;
    }

    /// For how long all that it says has been of another time, this message included; a pause of the patience ends that.
    pub(super) fn untimely_for(&mut self, patience: Duration, now: Instant) -> Duration {
        let going_on = self.untimely.filter(|(_, last)| now.saturating_since(*last) < patience);
        let since = going_on.map_or(now, |(since, _)| since);
        self.untimely = Some((since, now));
        now.saturating_since(since)
    }

    /// What was of another time is forgotten.
    pub(super) fn forgive(&mut self) {
        self.untimely = None;
    }

    pub(super) fn status(
        &self,
        address: IpAddr,
        election: &Election,
        configured_alike: bool,
        now: Instant,
    ) -> CoopPeerStatus {
        let last = election.last_word(address);
        CoopPeerStatus {
            address,
            linked: false,
            alive: election.is_alive(address, now),
            last_heard: last.map(|(.., at)| at),
            said: last.map(|(word, step, _)| CoopPeerWord {
                role: word.role,
                priority: word.priority,
                epoch: word.epoch,
                configured_alike,
                in_step: step == Step::Same,
                members: self.members,
                claims: word.claims == Claim::Laid,
            }),
            sent: self.sent,
            received: self.received,
            refused: self.refused,
        }
    }
}
