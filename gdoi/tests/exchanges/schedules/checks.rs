//! What must be so in calm: one primary, the same knowledge, everybody heard.

use super::{Schedule, SECOND};
use crate::bench::alliance::address;
use crate::bench::fleet::member_address;
use gdoi::policy::GroupId;
use std::collections::BTreeSet;

impl Schedule {
    /// Servers of a group that hear each other have one primary.
    pub(super) fn check_parts(&self) {
        self.groups().into_iter().for_each(|id| self.check_parts_of(id));
    }

    fn check_parts_of(&self, id: GroupId) {
        let leaders = self.leaders(id);
        let side = |number: &u8| self.world.side(address(*number).ip());
        for part in self.servers_of(id).iter().map(side).collect::<BTreeSet<_>>() {
            let led = leaders.iter().filter(|number| side(number) == part).count();
            assert_eq!(led, 1, "{id}: one primary in part {part}: {leaders:?}");
        }
    }

    pub(super) fn check_all(&mut self) {
        for _ in 0..20 {
            self.groups().into_iter().for_each(|id| self.check_members(id));
            self.world.run_for(SECOND * 5);
        }
        // Just when a key ends or is made, they may differ for a moment.
        for _ in 0..5 {
            if !self.groups().into_iter().all(|id| self.all_know_the_same(id)) {
                self.world.run_for(SECOND);
            }
        }
        self.groups().into_iter().for_each(|id| self.check_servers(id));
    }

    /// All hear all.
    fn check_members(&self, id: GroupId) {
        let members = self.members_of(id);
        let views: Vec<_> = members.iter().map(|number| self.world.view(member_address(*number))).collect();
        for (number, view) in members.iter().zip(&views) {
            assert!(view.outbound.is_some(), "member {number} has a key");
        }
        for spi in views.iter().flat_map(|view| view.outbound.as_ref().map(|sa| sa.spi)) {
            for (number, view) in members.iter().zip(&views) {
                assert!(view.inbound.iter().any(|sa| sa.spi == spi), "member {number} has {spi}");
            }
        }
    }

    /// All know the same.
    fn digest(&self, number: u8, id: GroupId) -> impl PartialEq + std::fmt::Debug {
        let group = self.status_of(number, id).unwrap();
        let members: Vec<_> = group.members.iter().map(|record| (record.address, record.owner)).collect();
        let teks: Vec<_> = group.teks.iter().map(|tek| tek.spi).collect();
        let kek = group.kek.as_ref().map(|kek| kek.spi);
        (teks, kek, members, group.revoked.clone())
    }

    fn all_know_the_same(&self, id: GroupId) -> bool {
        let in_step = |number| {
            let peers = self.coop_of(number, id).peers;
            peers.iter().all(|peer| peer.said.is_some_and(|said| said.in_step))
        };
        (1..=self.servers).all(|number| self.digest(number, id) == self.digest(1, id) && in_step(number))
    }

    fn check_servers(&self, id: GroupId) {
        let first = self.digest(1, id);
        for number in 1..=self.servers {
            assert_eq!(self.digest(number, id), first, "servers 1 and {number} know the same of {id}");
            for peer in &self.coop_of(number, id).peers {
                assert!(
                    peer.said.is_some_and(|said| said.in_step),
                    "{number} and {} are in step",
                    peer.address
                );
            }
        }
        let pseudotimes: Vec<_> =
            (1..=self.servers).map(|number| self.coop_of(number, id).pseudotime).collect();
        let (least, most) = (pseudotimes.iter().min(), pseudotimes.iter().max());
        assert!(most.zip(least).is_some_and(|(most, least)| most - least < 1000), "{pseudotimes:?}");
    }
}
