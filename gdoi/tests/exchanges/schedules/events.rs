//! What happens to servers, links and members.

use super::{groups, Schedule, SECOND};
use crate::bench::alliance::{address, allied_member, start_server};
use crate::bench::fleet::{group, member, member_address};
use crate::bench::stored::with_sids_given_of;
use gdoi::coop::Redundancy;
use gdoi::crypto::Secret;
use gdoi::{KeyServerCommand, MemberCommand, RekeyKind, Removal};
use std::time::Duration;

impl Schedule {
    pub(super) fn some_server(&mut self) -> u8 {
        1 + self.random.below(u64::from(self.servers)) as u8
    }

    pub(super) fn something_happens(&mut self) {
        let number = self.some_server();
        let runs = self.world.has_server(address(number));
        match self.random.below(13) {
            0 | 1 if runs => self.crash(number),
            0..=3 if !runs => self.restart(number),
            2 | 3 => self.split(),
            4 => self.heal(),
            5 if runs => self.change_priority(number),
            6 => self.register(),
            7 => self.command(RekeyKind::Forced),
            8 if runs => self.resign(number),
            9 if runs => self.rarely(number),
            10 | 11 => self.change_groups(),
            12 => self.somebody_is_hostile(),
            _ => {}
        }
    }

    pub(super) fn crash(&mut self, number: u8) {
        self.note(format!("server {number} crashes"));
        self.disturb(self.groups());
        if let Some(stored) = self.world.crash_server(address(number)) {
            self.stored.insert(number, stored);
        }
    }

    pub(super) fn restart(&mut self, number: u8) {
        self.disturb(self.groups());
        let forgets = self.random.percent(10);
        self.note(format!("server {number} starts{}", if forgets { " without its state" } else { "" }));
        let stored = self.stored.remove(&number).filter(|_| !forgets);
        let generous = self.random.percent(20);
        let stored = stored.map(|stored| if generous { self.use_up(number, &stored) } else { stored });
        if stored.is_none() {
            // Where it led apart from others, it alone knew which members still lived; those had dropped them.
            self.everybody().into_iter().for_each(|number| self.puts_outside(number));
            let skew = SECOND * self.random.below(7200) as u32;
            self.world.set_skew(address(number), skew);
        }
        let config = self.config(number);
        start_server(&mut self.world, config, stored.as_ref(), &mut self.random);
        self.watch(number);
    }

    /// As if it had given out nearly all sender IDs that it has.
    fn use_up(&mut self, number: u8, stored: &Secret) -> Secret {
        self.note(format!("server {number} has hardly any sender IDs left"));
        with_sids_given_of(stored, group().id, usize::from(number) - 1, (1 << 17) - 20)
    }

    pub(super) fn split(&mut self) {
        let parts = 2 + self.random.below(2);
        let servers = (1..=self.servers).map(|number| address(number).ip());
        let members = self.everybody().into_iter().map(|number| member_address(number).ip());
        let hosts: Vec<_> = servers.chain(members).collect();
        let sides: Vec<_> = hosts.into_iter().map(|host| (host, self.random.below(parts) as u8)).collect();
        self.note(format!(
            "the network splits {:?}",
            sides.iter().map(|(_, side)| *side).collect::<Vec<_>>()
        ));
        self.world.split(sides);
        self.disturb(self.groups());
        // The servers of another part may know nothing of the keys that a member brings.
        self.everybody().into_iter().for_each(|number| self.puts_outside(number));
    }

    pub(super) fn heal(&mut self) {
        self.note("the network is one".into());
        self.world.heal();
        self.disturb(self.groups());
    }

    pub(super) fn change_priority(&mut self, number: u8) {
        let priority = 1 + self.random.below(200) as u8;
        self.note(format!("server {number} gets priority {priority}"));
        let rules = self.rules(number).map(|rules| Redundancy { priority, ..rules });
        self.reload(number, rules);
    }

    pub(super) fn reload(&mut self, number: u8, redundancy: Option<Redundancy>) {
        self.configs.insert(number, redundancy);
        self.read_again(number);
    }

    /// One server's file names fewer servers than the others', or all again.
    fn name_others(&mut self, number: u8) {
        let mut rules = self.whole_rules(number);
        match self.random.below(10) {
            0 => rules.peers.clear(),
            1..=6 => {
                let other = self.random.below(rules.peers.len() as u64) as usize;
                rules.peers.remove(other);
            }
            _ => {}
        }
        self.note(format!("server {number} names {:?}", rules.peers));
        let rules = Some(rules).filter(|rules| !rules.peers.is_empty());
        self.reload(number, rules);
    }

    pub(super) fn whole_rules(&self, number: u8) -> Redundancy {
        groups::config(self.seed, number, self.servers).groups[0].redundancy.clone().unwrap()
    }

    /// What its file says of the others.
    pub(super) fn rules(&self, number: u8) -> Option<Redundancy> {
        self.configs.get(&number).cloned().unwrap_or_else(|| Some(self.whole_rules(number)))
    }

    pub(super) fn register(&mut self) {
        if self.random.percent(25) {
            return self.restart_member();
        }
        match self.random.percent(50) && self.members < 6 {
            true => {
                self.members += 1;
                let (number, first) = (self.members, self.some_server());
                self.note(format!("member {number} comes"));
                let config = allied_member(number, first, self.servers);
                self.world.add_member(member_address(number), member(config, self.random.draw()));
            }
            false => {
                let number = 1 + self.random.below(u64::from(self.members)) as u16;
                self.note(format!("member {number} registers again"));
                self.world.command(member_address(number), MemberCommand::Register);
            }
        }
    }

    /// Without memory: who it was before is nobody any more.
    fn restart_member(&mut self) {
        let number = 1 + self.random.below(u64::from(self.members)) as u16;
        self.puts_outside(number);
        self.note(format!("member {number} starts anew"));
        self.sids.member_began_anew(number);
        let config = allied_member(number, self.some_server(), self.servers);
        self.world.add_member(member_address(number), member(config, self.random.draw()));
    }

    pub(super) fn command(&mut self, kind: RekeyKind) {
        for number in self.leaders(group().id) {
            self.note(format!("server {number} rekeys: {kind:?}"));
            let _ = self.world.ask_server(address(number), KeyServerCommand::Rekey(group().id.into(), kind));
        }
    }

    fn resign(&mut self, number: u8) {
        self.note(format!("server {number} resigns"));
        let _ = self.world.ask_server(address(number), KeyServerCommand::Resign(group().id.into()));
    }

    fn rarely(&mut self, number: u8) {
        match self.random.below(7) {
            0 => self.command(RekeyKind::ReplaceNow),
            1 => self.send_away(),
            2 => self.remove(),
            3 => self.readmit_all(),
            4 => self.rekey_often(),
            _ => self.name_others(number),
        }
    }

    /// At random moments, close together.
    fn rekey_often(&mut self) {
        for _ in 0..2 + self.random.below(3) {
            self.command(RekeyKind::Forced);
            let pause = Duration::from_millis(self.random.below(3_000));
            self.pass(pause);
        }
    }

    /// One member, which must not come back.
    fn remove(&mut self) {
        let number = 1 + self.random.below(u64::from(self.members)) as u16;
        let removal = if self.random.percent(50) { Removal::Graceful } else { Removal::Now };
        for server in self.leaders(group().id) {
            self.note(format!("server {server} removes member {number}: {removal:?}"));
            let command =
                KeyServerCommand::Remove(group().id.into(), Some(member_address(number).ip()), removal);
            if self.world.ask_server(address(server), command).is_ok() {
                self.removed.insert(number);
                self.puts_outside(number);
            }
        }
    }

    pub(super) fn readmit_all(&mut self) {
        for number in std::mem::take(&mut self.removed) {
            for server in self.leaders(group().id) {
                let command = KeyServerCommand::Readmit(group().id.into(), member_address(number).ip());
                let readmitted = self.world.ask_server(address(server), command).is_ok();
                self.note(format!("server {server} readmits member {number}: {readmitted}"));
            }
        }
    }

    fn send_away(&mut self) {
        for number in self.leaders(group().id) {
            self.note(format!("server {number} sends all members away"));
            self.world.command_server(
                address(number),
                KeyServerCommand::Remove(group().id.into(), None, Removal::Graceful),
            );
        }
    }
}
