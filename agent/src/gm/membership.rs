//! The members that share one socket, as one endpoint.

use crate::config::{GroupSettings, SIDS_PER_INTERFACE};
use gdoi::crypto::SystemRandom;
use gdoi::endpoint::{Endpoint, Instant, Output};
use gdoi::phase1::Credential;
use gdoi::policy::Identity;
use gdoi::wire::ExchangeType;
use gdoi::{Member, MemberCommand, MemberConfig, MemberEvent, MemberStatus, ServerEntry};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The place of a group in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupIndex(pub(super) usize);

impl GroupIndex {
    /// The number, counted from zero.
    pub const fn place(self) -> usize {
        self.0
    }
}

/// All memberships of this router, or of one of its VRFs.
pub struct Memberships {
    members: Vec<Membership>,
    standing: Standing,
}

/// Whether there is an address to speak from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Not yet: nobody registers.
    Waiting,
    /// There is, or there was.
    Active,
}

struct Membership {
    index: GroupIndex,
    name: String,
    /// Who it says it is; None is its address.
    identity: Option<Identity>,
    servers: Vec<SocketAddr>,
    member: Member,
}

impl Memberships {
    /// One member for each group; all speak from `local`. Without an address they wait for [`Self::move_to`].
    pub fn new(
        groups: impl IntoIterator<Item = (GroupIndex, (GroupSettings, Credential))>,
        local: Option<IpAddr>,
    ) -> Self {
        let address = local.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        Memberships {
            members: groups
                .into_iter()
                .map(|(index, (group, credential))| Membership::new(index, group, &credential, address))
                .collect(),
            standing: if local.is_some() { Standing::Active } else { Standing::Waiting },
        }
    }

    /// All speak from `local` from now on, and register from there at once.
    pub fn move_to(&mut self, local: IpAddr, now: Instant) {
        self.standing = Standing::Active;
        for membership in &mut self.members {
            let identity = membership.identity.clone().unwrap_or(Identity::Address(local));
            membership.member.move_to(identity, now);
        }
    }

    /// Those that are not registered try it now.
    pub fn retry(&mut self, now: Instant) {
        for membership in &mut self.members {
            if !membership.member.is_registered() {
                // A member refuses nothing.
                drop(membership.member.handle_command(MemberCommand::Register, now));
            }
        }
    }

    /// The group with this name.
    pub fn find(&self, name: &str) -> Option<GroupIndex> {
        self.members.iter().find(|membership| membership.name == name).map(|membership| membership.index)
    }

    /// Whether this group is one of them.
    pub fn has(&self, index: GroupIndex) -> bool {
        self.members.iter().any(|membership| membership.index == index)
    }

    /// How the groups are.
    pub fn statuses(&self, now: Instant) -> impl Iterator<Item = (GroupIndex, MemberStatus)> + '_ {
        self.members.iter().map(move |membership| (membership.index, membership.member.status(now)))
    }

    /// Whose a datagram is: groups may share a server and a multicast group. One that belongs to nothing is for the
    /// first member that knows its sender to count; a rekey message under a key that nobody has is for all of them, since
    /// each may be the one that lacks the key.
    fn owners(&self, from: SocketAddr, datagram: &[u8], now: Instant) -> Vec<usize> {
        let owns = |membership: &Membership| membership.member.owns(datagram, now);
        let owner = self.members.iter().position(owns);
        let known = |index: &usize| self.members[*index].servers.contains(&from);
        let mut knowing = (0..self.members.len()).filter(known);
        match (owner, ExchangeType::claimed_by(datagram)) {
            (Some(owner), _) => vec![owner],
            (None, Some(ExchangeType::GROUPKEY_PUSH)) => knowing.collect(),
            (None, _) => knowing.next().into_iter().collect(),
        }
    }
}

impl Membership {
    fn new(index: GroupIndex, group: GroupSettings, credential: &Credential, local: IpAddr) -> Self {
        let servers = group.servers;
        let name = group.group.name.clone();
        let entry = |address: &SocketAddr| ServerEntry { address: *address, credential: credential.clone() };
        let identity = group.identity;
        let config = MemberConfig {
            group: group.group,
            servers: servers.iter().map(entry).collect(),
            identity: identity.clone().unwrap_or(Identity::Address(local)),
            proposal: group.proposal,
            doi: group.doi,
            sender_ids: SIDS_PER_INTERFACE * group.interfaces.len() as u16,
        };
        let member = Member::new(config, Box::new(SystemRandom));
        Membership { index, name, identity, servers, member }
    }
}

impl Endpoint for Memberships {
    type Command = (GroupIndex, MemberCommand);
    type Done = ();
    type Event = (GroupIndex, MemberEvent);

    fn handle_datagram(&mut self, from: SocketAddr, bytes: &[u8], now: Instant) {
        for index in self.owners(from, bytes, now) {
            self.members[index].member.handle_datagram(from, bytes, now);
        }
    }

    fn handle_command(&mut self, (index, command): Self::Command, now: Instant) -> Result<(), gdoi::Error> {
        let mut members = self.members.iter_mut().filter(|_| self.standing == Standing::Active);
        match members.find(|membership| membership.index == index) {
            Some(membership) => membership.member.handle_command(command, now),
            None => Ok(()),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.standing == Standing::Active {
            self.members.iter_mut().for_each(|membership| membership.member.handle_timeout(now));
        }
    }

    fn poll(&mut self) -> Output<Self::Event> {
        if self.standing == Standing::Waiting {
            return Output::Wait(None);
        }
        let mut earliest: Option<Instant> = None;
        for membership in &mut self.members {
            match membership.member.poll() {
                Output::Transmit(transmit) => return Output::Transmit(transmit),
                Output::Store(state) => return Output::Store(state),
                Output::Event(event) => return Output::Event((membership.index, event)),
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
        from("198.51.100.1".parse().ok())
    }

    fn from(local: Option<IpAddr>) -> Memberships {
        let mut source = Source::from_text(Path::new("gm.yaml"), GROUPS);
        let file: MemberFile = source.parse().unwrap();
        let groups = file.settle(&mut source).unwrap().groups;
        Memberships::new(
            groups.into_iter().enumerate().map(|(place, group)| (GroupIndex(place), group)),
            local,
        )
    }

    fn outputs(
        memberships: &mut Memberships,
    ) -> (Vec<SocketAddr>, Vec<(GroupIndex, &'static str)>, Option<Instant>) {
        let (mut sent, mut events) = (Vec::new(), Vec::new());
        loop {
            match memberships.poll() {
                Output::Transmit(transmit) => sent.push(transmit.to),
                Output::Event((index, event)) => events.push((index, event.name())),
                Output::Store(_) => {}
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
            .all(|(_, status)| status.registration == RegistrationState::Registering));
        assert!(memberships.members.iter().all(|membership| !membership.member.is_registered()));
    }

    fn begun(memberships: &mut Memberships) -> Vec<Vec<u8>> {
        let mut sent = Vec::new();
        loop {
            match memberships.poll() {
                Output::Transmit(transmit) => sent.push(transmit.payload),
                Output::Wait(_) => return sent,
                _ => {}
            }
        }
    }

    #[test]
    fn answers_find_the_member_that_asked_and_strangers_are_not_heard() {
        let now = Instant::from_millis(1_000);
        let mut memberships = memberships();
        memberships.handle_timeout(now);
        // Each member knows its own exchange by the cookie.
        let second = begun(&mut memberships).remove(1);
        memberships.handle_datagram("192.0.2.10:848".parse().unwrap(), &second, now);
        assert_eq!(outputs(&mut memberships).1, [(GroupIndex(1), "GM_PACKET_DROPPED")]);
        memberships.handle_datagram("192.0.2.11:848".parse().unwrap(), &[9; 12], now);
        assert_eq!(outputs(&mut memberships).1, [(GroupIndex(1), "GM_PACKET_DROPPED")]);
        memberships.handle_datagram("192.0.2.10:848".parse().unwrap(), &[9; 12], now);
        assert_eq!(outputs(&mut memberships).1, [(GroupIndex(0), "GM_PACKET_DROPPED")], "counted once");
        memberships.handle_datagram("203.0.113.9:848".parse().unwrap(), &[9; 12], now);
        assert_eq!(outputs(&mut memberships).1, []);
    }

    /// Any of them may lack the key.
    #[test]
    fn a_rekey_message_under_an_unknown_key_is_for_all_that_know_the_server() {
        let now = Instant::from_millis(1_000);
        let mut memberships = memberships();
        let mut push = [9; 60];
        push[16..28].copy_from_slice(&[8, 0x10, ExchangeType::GROUPKEY_PUSH.0, 1, 0, 0, 0, 0, 0, 0, 0, 60]);
        for (server, heard) in [("192.0.2.10:848", 2), ("192.0.2.11:848", 1), ("203.0.113.9:848", 0)] {
            memberships.handle_datagram(server.parse().unwrap(), &push, now);
            let events = outputs(&mut memberships).1;
            assert_eq!(
                events.iter().filter(|(_, name)| *name == "GDOI_REKEY_FAILURE").count(),
                heard,
                "{server}"
            );
        }
    }

    #[test]
    fn nobody_registers_before_there_is_an_address() {
        let now = Instant::from_millis(1_000);
        let mut memberships = from(None);
        memberships.handle_timeout(now);
        memberships.handle_command((GroupIndex(0), MemberCommand::Register), now).unwrap();
        assert_eq!(outputs(&mut memberships), (vec![], vec![], None));
        memberships.move_to("198.51.100.1".parse().unwrap(), now);
        let (sent, events, _) = outputs(&mut memberships);
        assert_eq!(sent.len(), 2);
        assert_eq!(events, [(GroupIndex(0), "GM_REGISTER"), (GroupIndex(1), "GM_REGISTER")]);
    }

    #[test]
    fn another_address_is_registered_from_at_once_and_its_return_where_needed() {
        let now = Instant::from_millis(1_000);
        let mut memberships = memberships();
        memberships.handle_timeout(now);
        outputs(&mut memberships);
        memberships.move_to("198.51.100.33".parse().unwrap(), now);
        assert_eq!(outputs(&mut memberships).0.len(), 2);
        memberships.retry(now);
        assert_eq!(outputs(&mut memberships).0.len(), 2, "none is registered");
    }

    #[test]
    fn groups_are_found_by_name() {
        let memberships = memberships();
        assert_eq!(memberships.find("b"), Some(GroupIndex(1)));
        assert_eq!(memberships.find("c"), None);
    }
}
