//! For how long a member lacks what another one sends with, while both can reach a server and nothing breaks.

use super::Schedule;
use crate::bench::alliance::address;
use crate::bench::fleet::{group, member_address};
use gdoi::policy::{GroupId, Spi, TekKeys};
use gdoi::{Instant, View};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Ten seconds, and one round of retransmissions.
pub(super) const MOST: Duration = Duration::from_secs(13);

/// On each side of the network where servers run that have a group, the keys of it that they know. What only the servers
/// of another side know nobody can be told.
type Served = BTreeMap<u8, BTreeSet<Spi>>;

#[derive(Default)]
pub(super) struct Deafness {
    /// Since when a reader lacks the key of a sender.
    since: BTreeMap<(u16, u16), Instant>,
    /// When servers of a group or the network broke last, or came back.
    disturbed: BTreeMap<GroupId, Instant>,
    /// Who was removed, or has come back and not all keys yet.
    outside: BTreeSet<u16>,
    /// The longest that somebody was deaf without a disturbance, and who to whom.
    pub(super) longest: (Duration, Option<(Instant, u16, u16)>),
}

impl Schedule {
    pub(super) fn disturb(&mut self, groups: impl IntoIterator<Item = GroupId>) {
        let now = self.world.now;
        self.deafness.disturbed.extend(groups.into_iter().map(|id| (id, now)));
    }

    pub(super) fn puts_outside(&mut self, number: u16) {
        self.deafness.outside.insert(number);
    }

    pub(super) fn follow_deafness(&mut self) {
        self.groups().into_iter().for_each(|id| self.follow_deafness_in(id));
    }

    fn follow_deafness_in(&mut self, id: GroupId) {
        let now = self.world.now;
        let views = self.views_of(id);
        let served = self.served(id);
        for (reader, view) in &views {
            let deaf: Vec<_> =
                self.unheard(&views, &served, *reader).into_iter().map(|(sender, _)| sender).collect();
            if deaf.is_empty() && !view.inbound.is_empty() {
                self.deafness.outside.remove(reader);
            }
            // Servers that do not name each other serve groups of their own, and nobody can be told whose keys no server knows.
            let known = served.get(&self.side_of(*reader));
            let is_known = known.is_some_and(|known| view.inbound.iter().any(|sa| known.contains(&sa.spi)));
            let counts = is_known && (id != group().id || self.is_whole());
            for sender in views.keys() {
                let out = [reader, sender].iter().any(|member| self.deafness.outside.contains(member));
                self.note_pair(id, (*reader, *sender), counts && !out && deaf.contains(sender), now);
            }
        }
    }

    fn views_of(&self, id: GroupId) -> BTreeMap<u16, View> {
        let view = |number| (number, self.world.member(member_address(number)).view(self.world.now));
        self.members_of(id).into_iter().map(view).collect()
    }

    /// Whom of those that it could hear a reader does not hear, and what they send with. Who sends with what no server knows
    /// any more has to find that out by itself.
    fn unheard(&self, views: &BTreeMap<u16, View>, served: &Served, reader: u16) -> Vec<(u16, Spi)> {
        let side = self.side_of(reader);
        let is_known = |spi: Spi| served.get(&side).is_some_and(|known| known.contains(&spi));
        let lacks = |keys: &TekKeys| views[&reader].inbound.iter().all(|sa| sa.keys != *keys);
        let near = views.iter().filter(|(sender, _)| self.side_of(**sender) == side);
        let sent = near.filter_map(|(sender, view)| Some((*sender, view, view.outbound.as_ref()?)));
        let unheard = sent.filter(|(.., sa)| is_known(sa.spi) && lacks(&sa.keys));
        unheard.map(|(sender, view, sa)| (sender, as_sent(view, sa.spi))).collect()
    }

    /// Who meets what it cannot read.
    pub(super) fn unread(&self) -> Vec<(u16, Spi)> {
        let mut unread = Vec::new();
        for id in self.groups() {
            let (views, served) = (self.views_of(id), self.served(id));
            for reader in views.keys() {
                let unheard = self.unheard(&views, &served, *reader);
                unread.extend(unheard.into_iter().map(|(_, spi)| (*reader, spi)));
            }
        }
        unread
    }

    fn note_pair(&mut self, id: GroupId, pair: (u16, u16), deaf: bool, now: Instant) {
        let deafness = &mut self.deafness;
        if !deaf {
            deafness.since.remove(&pair);
            return;
        }
        let since = *deafness.since.entry(pair).or_insert(now);
        let disturbed = deafness.disturbed.get(&id).copied().unwrap_or_default();
        let lasted = now.saturating_since(since.max(disturbed));
        if lasted > deafness.longest.0 {
            deafness.longest = (lasted, Some((now, pair.0, pair.1)));
        }
    }

    fn served(&self, id: GroupId) -> Served {
        let mut served = Served::new();
        for number in 1..=self.servers {
            let Some(status) = self.status_of(number, id) else { continue };
            let known = served.entry(self.world.side(address(number).ip())).or_default();
            known.extend(status.teks.iter().map(|tek| tek.spi));
        }
        served
    }

    fn side_of(&self, member: u16) -> u8 {
        self.world.side(member_address(member).ip())
    }

    pub(super) fn check_deafness(&self) {
        let (lasted, who) = self.deafness.longest;
        assert!(
            lasted <= MOST,
            "seed {}: {who:?} (now, reader, sender): deaf for {lasted:?}, {:.1} s after the start",
            self.seed,
            who.map_or(0.0, |(now, ..)| (now.as_millis() - 1_000_000) as f64 / 1000.0)
        );
    }
}

/// The SPI that others see.
fn as_sent(view: &View, spi: Spi) -> Spi {
    view.sids.first().and_then(|sid| spi.of_sender(*sid)).unwrap_or(spi)
}
