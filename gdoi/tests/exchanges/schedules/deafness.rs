//! For how long a member lacks what another one sends with, while both can reach a server and nothing breaks.

use super::Schedule;
use crate::bench::alliance::address;
use crate::bench::fleet::member_address;
use gdoi::policy::Spi;
use gdoi::{Instant, View};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Ten seconds, and one round of retransmissions.
pub(super) const MOST: Duration = Duration::from_secs(13);

#[derive(Default)]
pub(super) struct Deafness {
    /// Since when a reader lacks the key of a sender.
    since: BTreeMap<(u16, u16), Instant>,
    /// When servers or the network broke last, or came back.
    disturbed: Instant,
    /// Who was removed, or has come back and not all keys yet.
    outside: BTreeSet<u16>,
    /// The longest that somebody was deaf without a disturbance, and who to whom.
    pub(super) longest: (Duration, Option<(Instant, u16, u16)>),
}

impl Schedule {
    pub(super) fn disturb(&mut self) {
        self.deafness.disturbed = self.world.now;
    }

    pub(super) fn puts_outside(&mut self, number: u16) {
        self.deafness.outside.insert(number);
    }

    pub(super) fn follow_deafness(&mut self) {
        let now = self.world.now;
        let views: Vec<_> = (1..=self.members)
            .map(|number| (number, self.world.member(member_address(number)).view(now)))
            .collect();
        let known: BTreeSet<_> = (1..=self.servers).flat_map(|number| self.keys_of(number)).collect();
        for (reader, view) in &views {
            let senders = views.iter().filter(|(sender, _)| self.side_of(*sender) == self.side_of(*reader));
            // Who sends with what no server knows any more has to find that out by itself.
            let sent = |sender: &View| sender.outbound.clone().filter(|sent| known.contains(&sent.spi));
            let heard = |sender: &View| {
                sent(sender).is_none_or(|sent| view.inbound.iter().any(|sa| sa.keys == sent.keys))
            };
            let deaf: Vec<_> =
                senders.filter(|(_, sender)| !heard(sender)).map(|(sender, _)| *sender).collect();
            if deaf.is_empty() && !view.inbound.is_empty() {
                self.deafness.outside.remove(reader);
            }
            // Servers that do not name each other serve groups of their own, and nobody can be told whose keys no server knows.
            let tellable = self.is_whole() && view.inbound.iter().any(|sa| known.contains(&sa.spi));
            let counts = self.can_reach_a_server(*reader) && tellable;
            for sender in 1..=self.members {
                let out = [*reader, sender].iter().any(|member| self.deafness.outside.contains(member));
                self.note_pair((*reader, sender), counts && !out && deaf.contains(&sender), now);
            }
        }
    }

    fn note_pair(&mut self, pair: (u16, u16), deaf: bool, now: Instant) {
        let deafness = &mut self.deafness;
        if !deaf {
            deafness.since.remove(&pair);
            return;
        }
        let since = *deafness.since.entry(pair).or_insert(now);
        let lasted = now.saturating_since(since.max(deafness.disturbed));
        if lasted > deafness.longest.0 {
            deafness.longest = (lasted, Some((now, pair.0, pair.1)));
        }
    }

    fn keys_of(&self, number: u8) -> Vec<Spi> {
        let address = address(number);
        if !self.world.has_server(address) {
            return Vec::new();
        }
        let status = self.world.server(address).status(self.world.clock_of(address));
        status.groups[0].teks.iter().map(|tek| tek.spi).collect()
    }

    fn side_of(&self, member: u16) -> u8 {
        self.world.side(member_address(member).ip())
    }

    fn can_reach_a_server(&self, member: u16) -> bool {
        let mut running = (1..=self.servers).filter(|number| self.world.has_server(address(*number)));
        running.any(|number| self.world.side(address(number).ip()) == self.side_of(member))
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
