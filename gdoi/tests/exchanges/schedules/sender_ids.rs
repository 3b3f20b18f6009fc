//! No sender ID is given or used twice.

use super::Schedule;
use crate::bench::fleet::member_address;
use gdoi::policy::{Sid, SidGeneration, TekKeys};
use std::collections::{BTreeMap, BTreeSet};

/// Which sender IDs were given out, and who sent with what.
#[derive(Default)]
pub(super) struct SenderIds {
    /// By member, how many of its registrations were looked at.
    registrations: BTreeMap<u16, u64>,
    given: BTreeMap<(SidGeneration, Sid), Sender>,
    /// By the seed of the key.
    sent: Vec<(TekKeys, BTreeMap<Sid, Sender>)>,
    /// How often each member began anew.
    lives: BTreeMap<u16, u64>,
    /// Servers that lost their state: what nobody else heard of before, nobody can know.
    forgetful: BTreeSet<u32>,
}

/// A member in one of its lives.
type Sender = (u16, u64);

impl SenderIds {
    /// A server starts without its state.
    pub(super) fn server_forgot(&mut self, number: u8) {
        self.forgetful.insert(u32::from(number) - 1);
    }

    /// A member starts without memory.
    pub(super) fn member_began_anew(&mut self, number: u16) {
        *self.lives.entry(number).or_default() += 1;
        self.registrations.remove(&number);
    }
}

impl Schedule {
    /// No sender ID is given twice in one generation, and none is used twice with one key.
    pub(super) fn follow_sender_ids(&mut self) {
        for address in std::mem::take(&mut self.world.changed) {
            let number = (1..=self.members).find(|number| member_address(*number) == address).unwrap();
            self.follow_registration(number);
            self.follow_sender(number);
        }
    }

    fn follow_registration(&mut self, number: u16) {
        let Schedule { world, sids, seed, .. } = self;
        let member = world.member(member_address(number));
        let before = sids.registrations.entry(number).or_default();
        if std::mem::replace(before, member.registrations()) == member.registrations() {
            return;
        }
        let status = member.status(world.now);
        assert_eq!(status.sender_ids.len(), 2, "seed {seed}: member {number} asked for two");
        let sender = (number, sids.lives.get(&number).copied().unwrap_or_default());
        for sid in status.sender_ids {
            let other = sids.given.insert((status.sid_generation.unwrap(), sid), sender);
            let other = other.filter(|other| *other != sender);
            let known = other.filter(|_| !sids.forgetful.contains(&(sid.0 >> 17)));
            assert_eq!(known, None, "seed {seed}: sender ID {sid} of {number} twice");
        }
    }

    fn follow_sender(&mut self, number: u16) {
        let Schedule { world, sids, seed, .. } = self;
        let view = world.view(member_address(number));
        let Some(sa) = view.outbound.filter(|sa| sa.transform.is_per_sender()) else { return };
        assert_eq!(view.sids.len(), 2, "seed {seed}: member {number} sends");
        let sender = (number, sids.lives.get(&number).copied().unwrap_or_default());
        if !sids.sent.iter().any(|(keys, _)| *keys == sa.keys) {
            sids.sent.push((sa.keys.clone(), BTreeMap::new()));
        }
        let senders = sids.sent.iter_mut().find(|(keys, _)| *keys == sa.keys);
        let senders = senders.map(|(_, senders)| senders).unwrap();
        for sid in view.sids {
            let other = senders.insert(sid, sender).filter(|other| *other != sender);
            let known = other.filter(|_| !sids.forgetful.contains(&(sid.0 >> 17)));
            assert_eq!(known, None, "seed {seed}: {sid} of {number} was another's under {}", sa.spi);
        }
    }
}
