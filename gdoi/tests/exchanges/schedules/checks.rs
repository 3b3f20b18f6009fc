//! What must be so in calm: one primary, the same knowledge, everybody heard.

use super::{Schedule, SECOND};
use crate::bench::alliance::{address, coop, primaries};
use crate::bench::fleet::member_address;
use std::collections::BTreeSet;

impl Schedule {
    /// Servers that hear each other have one primary.
    pub(super) fn check_parts(&self) {
        let leaders = primaries(&self.world, self.servers);
        let side = |number: &u8| self.world.side(address(*number).ip());
        let running: Vec<_> =
            (1..=self.servers).filter(|number| self.world.has_server(address(*number))).collect();
        for part in running.iter().map(side).collect::<BTreeSet<_>>() {
            let led = leaders.iter().filter(|number| side(number) == part).count();
            assert_eq!(led, 1, "one primary in part {part}: {leaders:?}");
        }
    }

    pub(super) fn check_all(&mut self) {
        for _ in 0..20 {
            self.check_members();
            self.world.run_for(SECOND * 5);
        }
        // Just when a key ends or is made, they may differ for a moment.
        for _ in 0..5 {
            if !self.all_know_the_same() {
                self.world.run_for(SECOND);
            }
        }
        self.check_servers();
    }

    /// All hear all.
    fn check_members(&self) {
        let views: Vec<_> =
            (1..=self.members).map(|number| self.world.view(member_address(number))).collect();
        for (number, view) in (1..).zip(&views) {
            assert!(view.outbound.is_some(), "member {number} has a key");
        }
        for spi in views.iter().flat_map(|view| view.outbound.as_ref().map(|sa| sa.spi)) {
            for (number, view) in (1..).zip(&views) {
                assert!(view.inbound.iter().any(|sa| sa.spi == spi), "member {number} has {spi}");
            }
        }
    }

    /// All know the same.
    fn digest(&self, number: u8) -> impl PartialEq + std::fmt::Debug {
        let status = self.world.server(address(number)).status(self.world.clock_of(address(number)));
        let group = &status.groups[0];
        let members: Vec<_> = group.members.iter().map(|record| (record.address, record.owner)).collect();
        let teks: Vec<_> = group.teks.iter().map(|tek| tek.spi).collect();
        let kek = group.kek.as_ref().map(|kek| kek.spi);
        (teks, kek, members, group.revoked.clone())
    }

    fn all_know_the_same(&self) -> bool {
        let in_step = |number| {
            let peers = coop(&self.world, number).peers;
            peers.iter().all(|peer| peer.said.is_some_and(|said| said.in_step))
        };
        (1..=self.servers).all(|number| self.digest(number) == self.digest(1) && in_step(number))
    }

    fn check_servers(&self) {
        let first = self.digest(1);
        for number in 1..=self.servers {
            assert_eq!(self.digest(number), first, "servers 1 and {number} know the same");
            let coop = coop(&self.world, number);
            for peer in &coop.peers {
                assert!(
                    peer.said.is_some_and(|said| said.in_step),
                    "{number} and {} are in step",
                    peer.address
                );
            }
        }
        let pseudotimes: Vec<_> =
            (1..=self.servers).map(|number| coop(&self.world, number).pseudotime).collect();
        let (least, most) = (pseudotimes.iter().min(), pseudotimes.iter().max());
        assert!(most.zip(least).is_some_and(|(most, least)| most - least < 1000), "{pseudotimes:?}");
    }
}
