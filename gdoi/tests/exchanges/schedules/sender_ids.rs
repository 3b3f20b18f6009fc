//! No sender ID is given or used twice.

use super::hostile::HOSTILE;
use super::Schedule;
use crate::bench::fleet::member_address;
use gdoi::policy::{Sid, SidGeneration, TekKeys};
use std::collections::BTreeMap;

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
}

/// A member in one of its lives.
type Sender = (u16, u64);

impl SenderIds {
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
            let mut known = self.everybody().into_iter().chain(HOSTILE);
            let number = known.find(|number| member_address(*number) == address).unwrap();
            if self.world.has_member(address) {
                self.follow_registration(number);
                self.follow_sender(number);
            }
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
        assert!(
            status.sender_ids.len() == 2 || HOSTILE.contains(&number),
            "seed {seed}: member {number} asked for two"
        );
        let sender = (number, sids.lives.get(&number).copied().unwrap_or_default());
        for sid in status.sender_ids {
            let other = sids.given.insert((status.sid_generation.unwrap(), sid), sender);
            assert!(
                other.is_none_or(|other| other == sender),
                "seed {seed}: {sid} of {number} is {other:?}'s"
            );
        }
    }

    fn follow_sender(&mut self, number: u16) {
        let Schedule { world, sids, seed, .. } = self;
        let view = world.view(member_address(number));
        let Some(sa) = view.outbound.filter(|sa| sa.transform.is_per_sender()) else { return };
        assert!(view.sids.len() == 2 || HOSTILE.contains(&number), "seed {seed}: member {number} sends");
        let sender = (number, sids.lives.get(&number).copied().unwrap_or_default());
        if !sids.sent.iter().any(|(keys, _)| *keys == sa.keys) {
            sids.sent.push((sa.keys.clone(), BTreeMap::new()));
        }
        let senders = sids.sent.iter_mut().find(|(keys, _)| *keys == sa.keys);
        let senders = senders.map(|(_, senders)| senders).unwrap();
        for sid in view.sids {
            let other = senders.insert(sid, sender).filter(|other| *other != sender);
            assert_eq!(other, None, "seed {seed}: {sid} of {number} was another's under {}", sa.spi);
        }
    }
}
