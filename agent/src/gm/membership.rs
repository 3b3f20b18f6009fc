//! Several members that share one socket, as one endpoint.

use crate::config::GroupSettings;
use gdoi::crypto::{Secret, SystemRandom};
use gdoi::endpoint::{Endpoint, Instant, Output};
use gdoi::policy::Identity;
use gdoi::{Member, MemberCommand, MemberConfig, MemberEvent, MemberStatus, ServerEntry, View};
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};

/// The place of a group in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupIndex(usize);

/// All memberships of this router.
pub struct Memberships {
    members: Vec<Membership>,
}

struct Membership {
    name: String,
    servers: Vec<SocketAddr>,
    member: Member,
    /// Of the exchanges that this member began last, the newest at the end.
    cookies: VecDeque<InitiatorCookie>,
}

/// The first field of every ISAKMP message (RFC 2408 section 3.1), chosen by who began the exchange.
type InitiatorCookie = [u8; 8];

/// How many exchanges of one member can be told apart from those of others.
const COOKIES: usize = 8;

fn cookie(datagram: &[u8]) -> Option<InitiatorCookie> {
    datagram.first_chunk().copied()
}

impl Memberships {
    /// One member for each group; all speak from `local`.
    pub fn new(groups: Vec<(GroupSettings, Secret)>, local: Ipv4Addr) -> Self {
        Memberships {
            members: groups.into_iter().map(|(group, key)| Membership::new(group, &key, local)).collect(),
        }
    }

    /// All groups.
    pub fn indices(&self) -> impl Iterator<Item = GroupIndex> {
        (0..self.members.len()).map(GroupIndex)
    }

    /// The group with this name.
    pub fn find(&self, name: &str) -> Option<GroupIndex> {
        self.members.iter().position(|membership| membership.name == name).map(GroupIndex)
    }

    /// What the data plane should hold, in the configuration's order.
    pub fn views(&self, now: Instant) -> Vec<View> {
        self.members.iter().map(|membership| membership.member.view(now)).collect()
    }

    /// How the groups are, in the configuration's order.
    pub fn statuses(&self, now: Instant) -> Vec<MemberStatus> {
        self.members.iter().map(|membership| membership.member.status(now)).collect()
    }

    /// Who began the exchange that a datagram belongs to; groups may share a server.
    fn owner(&mut self, datagram: &[u8]) -> Option<&mut Membership> {
        let cookie = cookie(datagram)?;
        self.members.iter_mut().find(|membership| membership.cookies.contains(&cookie))
    }
}

impl Membership {
    fn new(group: GroupSettings, key: &Secret, local: Ipv4Addr) -> Self {
        let servers: Vec<SocketAddr> = group.servers.iter().copied().map(SocketAddr::V4).collect();
        let name = group.group.name.clone();
        let entry = |address: &SocketAddr| ServerEntry { address: *address, psk: key.clone() };
        let config = MemberConfig {
            group: group.group,
            servers: servers.iter().map(entry).collect(),
            identity: group.identity.unwrap_or(Identity::Address(local)),
            proposal: group.proposal,
            doi: group.doi,
        };
        let member = Member::new(config, Box::new(SystemRandom));
        Membership { name, servers, member, cookies: VecDeque::new() }
    }

    fn remember(&mut self, datagram: &[u8]) {
        let Some(cookie) = cookie(datagram).filter(|cookie| !self.cookies.contains(cookie)) else { return };
        if self.cookies.len() == COOKIES {
            self.cookies.pop_front();
        }
        self.cookies.push_back(cookie);
    }
}

impl Endpoint for Memberships {
    type Command = (GroupIndex, MemberCommand);
    type Event = (GroupIndex, MemberEvent);

    /// A datagram goes to the member that began its exchange, or else to all that know its sender.
    fn handle_datagram(&mut self, from: SocketAddr, bytes: &[u8], now: Instant) {
        if let Some(owner) = self.owner(bytes) {
            return owner.member.handle_datagram(from, bytes, now);
        }
        let addressed = self.members.iter_mut().filter(|membership| membership.servers.contains(&from));
        addressed.for_each(|membership| membership.member.handle_datagram(from, bytes, now));
    }

    fn handle_command(&mut self, (GroupIndex(index), command): Self::Command, now: Instant) {
        if let Some(membership) = self.members.get_mut(index) {
            membership.member.handle_command(command, now);
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.members.iter_mut().for_each(|membership| membership.member.handle_timeout(now));
    }

    fn poll(&mut self) -> Output<Self::Event> {
        let mut earliest: Option<Instant> = None;
        for (index, membership) in self.members.iter_mut().enumerate() {
            match membership.member.poll() {
                Output::Transmit(transmit) => {
                    membership.remember(&transmit.payload);
                    return Output::Transmit(transmit);
                }
                Output::Event(event) => return Output::Event((GroupIndex(index), event)),
                Output::Wait(until) => earliest = earliest.into_iter().chain(until).min(),
            }
        }
        Output::Wait(earliest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{MemberFile, Settings, Source};
    use gdoi::RegistrationState;
    use std::path::Path;

    const GROUPS: &str = r#"groups:
  - {name: a, identity-number: 1, servers: [192.0.2.10], interfaces: [wan0], pre-shared-key: "only for tests"}
  - {name: b, identity-number: 2, servers: [192.0.2.10, 192.0.2.11], interfaces: [wan0], pre-shared-key: "only for tests"}
"#;

    fn memberships() -> Memberships {
        let mut source = Source::from_text(Path::new("gm.yaml"), GROUPS);
        let file: MemberFile = source.parse().unwrap();
        Memberships::new(file.settle(&mut source).unwrap().groups, "198.51.100.1".parse().unwrap())
    }

    fn outputs(
        memberships: &mut Memberships,
    ) -> (Vec<SocketAddr>, Vec<(GroupIndex, &'static str)>, Option<Instant>) {
        let (mut sent, mut events) = (Vec::new(), Vec::new());
        loop {
            match memberships.poll() {
                Output::Transmit(transmit) => sent.push(transmit.to),
                Output::Event((index, event)) => events.push((index, event.name())),
                Output::Wait(until) => return (sent, events, until),
            }
        }
    }

    #[test]
    fn every_group_registers_and_the_earliest_timer_counts() {
        let now = Instant::from_millis(1_000);
        let mut memberships = memberships();
        memberships.handle_timeout(now);
        let (sent, events, until) = outputs(&mut memberships);
        assert_eq!(sent, ["192.0.2.10:848".parse().unwrap(); 2]);
        assert_eq!(events, [(GroupIndex(0), "GM_REGISTER"), (GroupIndex(1), "GM_REGISTER")]);
        assert!(until.is_some_and(|until| until > now));
        assert!(memberships
            .statuses(now)
            .iter()
            .all(|status| status.registration == RegistrationState::Registering));
        assert!(memberships.views(now).iter().all(|view| !view.registered));
    }

    #[test]
    fn answers_find_the_member_that_asked_and_strangers_are_not_heard() {
        let now = Instant::from_millis(1_000);
        let mut memberships = memberships();
        memberships.handle_timeout(now);
        outputs(&mut memberships);
        let mine = memberships.members[1].cookies[0];
        assert_ne!(memberships.members[0].cookies[0], mine);
        let truncated = [mine.as_slice(), &[0; 4]].concat();
        memberships.handle_datagram("192.0.2.10:848".parse().unwrap(), &truncated, now);
        assert_eq!(outputs(&mut memberships).1, [(GroupIndex(1), "GM_PACKET_DROPPED")]);
        memberships.handle_datagram("192.0.2.10:848".parse().unwrap(), &[9; 12], now);
        assert_eq!(outputs(&mut memberships).1.len(), 2, "an exchange that nobody began");
        memberships.handle_datagram("203.0.113.9:848".parse().unwrap(), &[9; 12], now);
        assert_eq!(outputs(&mut memberships).1, []);
    }

    #[test]
    fn old_cookies_are_forgotten() {
        let mut memberships = memberships();
        let membership = &mut memberships.members[0];
        (0..20u8).for_each(|number| membership.remember(&[number; 28]));
        assert_eq!((membership.cookies.len(), membership.cookies[0]), (COOKIES, [12; 8]));
        membership.remember(&[1; 3]);
        assert_eq!(membership.cookies.len(), COOKIES);
    }

    #[test]
    fn groups_are_found_by_name() {
        let memberships = memberships();
        assert_eq!(memberships.find("b"), Some(GroupIndex(1)));
        assert_eq!(memberships.find("c"), None);
        assert_eq!(memberships.indices().count(), 2);
    }
}
