//! The group that things happen to, which servers leave out of their files and take in again; and one beside it on the same
//! servers, to which nothing of that may matter.

use super::{Schedule, LIFE, SECOND};
use crate::bench::alliance::{address, allied_config, allied_member};
use crate::bench::fleet::{group, member, member_address};
use gdoi::coop::{CoopStatus, Role};
use gdoi::policy::GroupId;
use gdoi::{GroupConfig, GroupName, GroupStatus, KeyServerConfig, MemberConfig};

/// The members of the group beside it.
const BESIDE: [u16; 2] = [101, 102];

fn beside() -> GroupName {
    GroupName { name: "beside".into(), id: GroupId(77) }
}

/// Half of the groups give every sender its own key.
pub(super) fn config(seed: u64, number: u8, servers: u8) -> KeyServerConfig {
    let mut config = allied_config(number, servers, LIFE);
    if seed % 2 == 0 {
        config.groups[0].transform = "aes-256-gcm".parse().unwrap();
        config.groups[0].replay_window = 1024;
    }
    config
}

/// A third of the schedules have another group on the same servers.
const fn is_beside(seed: u64) -> bool {
    seed % 3 == 0
}

/// All of a server's file, as long as nobody has changed it.
pub(super) fn file(seed: u64, number: u8, servers: u8) -> KeyServerConfig {
    let mut whole = config(seed, number, servers);
    if is_beside(seed) {
        let other = config(seed / 2, number, servers).groups.remove(0);
        let place = usize::from(seed % 4 < 2);
        whole.groups.insert(place, GroupConfig { group: beside(), ..other });
    }
    whole
}

impl Schedule {
    /// What the file of a server says now.
    pub(super) fn config(&self, number: u8) -> KeyServerConfig {
        let mut config = file(self.seed, number, self.servers);
        let rules = self.rules(number);
        config.groups.iter_mut().filter(|config| config.group == group()).for_each(|config| {
            config.redundancy.clone_from(&rules);
        });
        config.groups.retain(|config| config.group != group() || !self.left_out.contains(&number));
        config
    }

    pub(super) fn groups(&self) -> Vec<GroupId> {
        let beside = is_beside(self.seed).then(|| beside().id);
        [group().id].into_iter().chain(beside).collect()
    }

    /// The honest members of a group.
    pub(super) fn members_of(&self, id: GroupId) -> Vec<u16> {
        match id == group().id {
            true => (1..=self.members).collect(),
            false => BESIDE.to_vec(),
        }
    }

    /// The honest members of all groups.
    pub(super) fn everybody(&self) -> Vec<u16> {
        self.groups().into_iter().flat_map(|id| self.members_of(id)).collect()
    }

    pub(super) fn start_members_beside(&mut self) {
        if self.groups().len() == 1 {
            return;
        }
        for number in BESIDE {
            let config = allied_member(number, self.some_server(), self.servers);
            let config = MemberConfig { group: beside(), ..config };
            self.world.add_member(member_address(number), member(config, self.random.draw()));
        }
    }

    /// What a server shows of a group, if it runs and has it.
    pub(super) fn status_of(&self, number: u8, id: GroupId) -> Option<GroupStatus> {
        let address = address(number);
        let runs = self.world.has_server(address);
        let status = runs.then(|| self.world.server(address).status(self.world.clock_of(address)));
        status?.groups.into_iter().find(|status| status.group.id == id)
    }

    pub(super) fn coop_of(&self, number: u8, id: GroupId) -> CoopStatus {
        self.status_of(number, id).and_then(|status| status.coop).unwrap()
    }

    /// The servers that run and have the group.
    pub(super) fn servers_of(&self, id: GroupId) -> Vec<u8> {
        (1..=self.servers).filter(|number| self.status_of(*number, id).is_some()).collect()
    }

    /// Those of them that lead; one that is told of no others leads as well.
    pub(super) fn leaders(&self, id: GroupId) -> Vec<u8> {
        let leads = |status: GroupStatus| status.coop.is_none_or(|coop| coop.role == Role::Primary);
        let is_leader = |number: &u8| self.status_of(*number, id).is_some_and(leads);
        (1..=self.servers).filter(is_leader).collect()
    }

    /// The group goes at some servers, or comes back where it went.
    pub(super) fn change_groups(&mut self) {
        let servers: Vec<_> = (1..=self.servers).collect();
        match self.random.below(10) {
            0..=3 => {
                let number = self.some_server();
                self.leave_out(number);
            }
            4 => servers.into_iter().for_each(|number| self.leave_out(number)),
            5 => {
                for number in servers {
                    self.leave_out(number);
                    self.pause();
                }
            }
            _ => self.take_in_again(),
        }
    }

    fn pause(&mut self) {
        let pause = SECOND * self.random.below(8) as u32;
        self.pass(pause);
    }

    /// A server's file has the group no more.
    fn leave_out(&mut self, number: u8) {
        if self.world.has_server(address(number)) && self.left_out.insert(number) {
            self.note(format!("server {number} leaves the group out"));
            self.read_again(number);
        }
    }

    /// All files have the group again; one server reads its own after the other.
    pub(super) fn take_in_again(&mut self) {
        let at_once = self.random.percent(50);
        let mut left_out: Vec<_> = self.left_out.iter().copied().collect();
        let first = self.random.below(left_out.len().max(1) as u64) as usize;
        left_out.rotate_left(first);
        for number in left_out {
            self.left_out.remove(&number);
            self.note(format!("server {number} takes the group in again"));
            if self.world.has_server(address(number)) {
                self.read_again(number);
            }
            if !at_once {
                self.pause();
            }
        }
    }

    /// A server reads its file.
    pub(super) fn read_again(&mut self, number: u8) {
        self.disturb([group().id]);
        let config = self.config(number);
        self.world.reload(address(number), config);
    }
}
