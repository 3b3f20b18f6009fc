//! Members with valid credentials that mean harm.

use super::Schedule;
use crate::bench::alliance::{address, allied_member};
use crate::bench::fleet::{group, member, member_address};
use crate::bench::stored::Stored;
use crate::bench::Flight;
use gdoi::policy::MAX_SIDS;
use gdoi::wire::ExchangeType;
use gdoi::{MemberCommand, MemberConfig, RekeyKind};
use std::net::SocketAddr;
use std::time::Duration;

/// Who they are.
pub(super) const HOSTILE: [u16; 3] = [151, 152, 153];

impl Schedule {
    pub(super) fn somebody_is_hostile(&mut self) {
        match self.random.below(5) {
            0 => self.asks_without_end(),
            1 => self.stops_in_the_middle(),
            2 => self.repeats_what_was_said(),
            3 => self.acknowledges_for_others(),
            _ => self.sends_rekeys_back(),
        }
    }

    fn some_hostile(&mut self) -> u16 {
        HOSTILE[self.random.below(HOSTILE.len() as u64) as usize]
    }

    fn pass_millis(&mut self, least: u64, most: u64) {
        let pause = Duration::from_millis(least + self.random.below(most - least));
        self.pass(pause);
    }

    /// As one that has forgotten all, with the wish for so many sender IDs.
    fn begins(&mut self, number: u16, sender_ids: u16) {
        self.sids.member_began_anew(number);
        let config = allied_member(number, self.some_server(), self.servers);
        let config = MemberConfig { sender_ids, ..config };
        self.world.add_member(member_address(number), member(config, self.random.draw()));
    }

    /// Again and again, for as many sender IDs as one can ask for.
    fn asks_without_end(&mut self) {
        let number = self.some_hostile();
        self.note(format!("member {number} asks without end"));
        for _ in 0..5 + self.random.below(40) {
            self.begins(number, MAX_SIDS);
            self.pass_millis(50, 1_000);
        }
        if self.random.percent(50) {
            self.world.remove_member(member_address(number));
        }
    }

    /// In phase 1, between two messages of a PULL, or with keys that it never acknowledges.
    fn stops_in_the_middle(&mut self) {
        self.note("members stop in the middle".into());
        for _ in 0..3 + self.random.below(10) {
            let number = self.some_hostile();
            self.begins(number, 1 + number % MAX_SIDS);
            self.pass_millis(10, 500);
            self.world.remove_member(member_address(number));
        }
    }

    /// What it heard, as it was or with another octet, from whoever and to whomever.
    fn repeats_what_was_said(&mut self) {
        self.note("somebody repeats what was said".into());
        for _ in 0..20 + self.random.below(100) {
            let said = self.world.sent.len() as u64;
            if said > 0 {
                let flight = self.world.sent[self.random.below(said) as usize].clone();
                self.say_again(flight);
            }
            if self.random.percent(30) {
                self.pass_millis(1, 300);
            }
        }
    }

    fn say_again(&mut self, mut flight: Flight) {
        if self.random.percent(30) {
            flight.from = self.somebody();
        }
        if self.random.percent(30) {
            flight.to = self.somebody();
        }
        if self.random.percent(30) {
            let at = self.random.below(flight.payload.len() as u64) as usize;
            flight.payload[at] ^= 1 << self.random.below(8);
        }
        self.world.inject(flight.from, flight.to, &flight.payload);
    }

    fn somebody(&mut self) -> SocketAddr {
        let everybody = self.everybody();
        let number = self.random.below(everybody.len() as u64 + 2) as usize;
        match everybody.get(number) {
            Some(member) => member_address(*member),
            None => address(self.some_server()),
        }
    }

    /// While they are told of a new key. RFC 8263 has one key for all members' acknowledgements: they show that somebody
    /// has the message, not who. From now on data planes say what they cannot read.
    fn acknowledges_for_others(&mut self) {
        self.note("somebody acknowledges for others".into());
        self.acknowledged_for_others = true;
        for _ in 0..1 + self.random.below(3) {
            self.command(RekeyKind::Forced);
            for _ in 0..1 + self.random.below(6) {
                self.leaders(group().id).into_iter().for_each(|number| self.acknowledge_for_all(number));
                self.pass_millis(1, 300);
            }
        }
    }

    fn acknowledge_for_all(&mut self, number: u8) {
        let Some(stored) = self.world.stored(address(number)) else { return };
        let groups = Stored::all(&stored).into_iter();
        let keks = groups.filter(|(id, ..)| *id == group().id).flat_map(|(_, stored, _)| stored.keks);
        for kek in keks.take(2) {
            for member in self.members_of(group().id).into_iter().map(member_address) {
                for sequence in [kek.sequence, kek.sequence.saturating_sub(1)] {
                    self.world.inject(member, address(number), &kek.acknowledgement(sequence, member.ip()));
                }
            }
        }
    }

    /// Old ones and garbled ones, ten in a second, to all members.
    fn sends_rekeys_back(&mut self) {
        self.note("somebody sends rekey messages back".into());
        for _ in 0..10 + self.random.below(40) {
            let is_rekey = |flight: &&Flight| {
                flight.payload.get(18).copied().map(ExchangeType) == Some(ExchangeType::GROUPKEY_PUSH)
            };
            let rekeys: Vec<_> = self.world.sent.iter().filter(is_rekey).cloned().collect();
            if !rekeys.is_empty() {
                let flight = rekeys[self.random.below(rekeys.len() as u64) as usize].clone();
                self.say_again(flight);
            }
            self.pass_millis(1, 200);
        }
    }

    /// As data planes do: who cannot read what somebody of its group sends says so.
    pub(super) fn look_at_traffic(&mut self) {
        if !self.acknowledged_for_others {
            return;
        }
        for (reader, spi) in self.unread() {
            self.world.command(member_address(reader), MemberCommand::UnknownEsp(spi));
        }
    }
}
