//! One rekey message on its way to the members: paced, repeated to the silent, bounded.

use super::clock::GroupTime;
use super::terms::{Retransmit, Transport};
use crate::endpoint::Transmit;
use crate::fragment::LONGEST_DATAGRAM;
use crate::group::AclDigest;
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// So many messages go out together, then a pause: 400 in a second.
const BATCH: usize = 20;
const PAUSE: Duration = Duration::from_millis(50);

/// Long messages are several datagrams each: fewer go out together, so that a socket's buffer holds them, and as many in
/// a second.
const BATCH_DATAGRAMS: usize = 40;

/// A rekey message, encrypted under one KEK.
pub(super) struct Message {
    /// The KEK.
    pub(super) kek_spi: [u8; 16],
    pub(super) sequence: u32,
    pub(super) payload: Vec<u8>,
}

/// What is under way: one message, or the same content once for each KEK that members may have.
pub(super) struct Distribution {
    messages: Vec<Message>,
    retransmit: Retransmit,
    receivers: Receivers,
    /// To be sent in this round.
    queue: VecDeque<SocketAddr>,
    rounds_left: u32,
    /// None while it is held back.
    due: Option<GroupTime>,
    transmissions: u64,
    /// Which ACL its receivers have after it.
    acl: AclDigest,
}

enum Receivers {
    /// Those that have not acknowledged.
    Silent(BTreeMap<IpAddr, SocketAddr>),
    Group(SocketAddr),
}

impl Distribution {
    /// It is held back until [`Distribution::release`].
    pub(super) fn new(
        messages: Vec<Message>,
        acl: AclDigest,
        transport: Transport,
        retransmit: Retransmit,
        members: impl Iterator<Item = SocketAddr>,
    ) -> Self {
        let receivers = match transport {
            Transport::Unicast => Receivers::Silent(members.map(|member| (member.ip(), member)).collect()),
            Transport::Multicast(group) => Receivers::Group(group),
        };
        let queue = receivers.all();
        let rounds_left = retransmit.number;
        let (due, transmissions) = (None, 0);
        Distribution { messages, retransmit, receivers, queue, rounds_left, due, transmissions, acl }
    }

    /// It may go out.
    pub(super) fn release(&mut self, now: GroupTime) {
        self.due.get_or_insert(now);
    }

    /// What to send at `now`.
    pub(super) fn handle_timeout(&mut self, now: GroupTime) -> Vec<Transmit> {
        if self.due.is_none_or(|due| now < due) {
            return Vec::new();
        }
        if self.queue.is_empty() && self.rounds_left > 0 {
            self.rounds_left -= 1;
            self.queue = self.receivers.all();
        }
        let together = self.together();
        let batch = self.queue.len().min(together);
        let each =
            |to| self.messages.iter().map(move |message| Transmit { to, payload: message.payload.clone() });
        let transmits: Vec<_> = self.queue.drain(..batch).flat_map(each).collect();
        self.transmissions += transmits.len() as u64;
        let pause = PAUSE * together as u32 / BATCH as u32;
        self.due = Some(now + if self.queue.is_empty() { self.retransmit.interval } else { pause });
        transmits
    }

    /// To how many members it goes before a pause.
    fn together(&self) -> usize {
        let datagrams = self.messages.iter().map(|message| message.payload.len().div_ceil(LONGEST_DATAGRAM));
        (BATCH_DATAGRAMS / datagrams.sum::<usize>().max(1)).clamp(1, BATCH)
    }

    /// When [`Distribution::handle_timeout`] or [`Distribution::is_over`] has something new to say.
    pub(super) const fn due(&self) -> Option<GroupTime> {
        self.due
    }

    /// A member has acknowledged; false if nothing was expected of it.
    pub(super) fn acknowledge(&mut self, member: IpAddr) -> bool {
        match &mut self.receivers {
            Receivers::Silent(silent) => silent.remove(&member).is_some(),
            Receivers::Group(_) => false,
        }
    }

    /// The number of the message under this KEK, if there is one.
    pub(super) fn sequence_under(&self, kek_spi: [u8; 16]) -> Option<u32> {
        self.messages.iter().find(|message| message.kek_spi == kek_spi).map(|message| message.sequence)
    }

    pub(super) fn expects(&self, member: IpAddr) -> bool {
        matches!(&self.receivers, Receivers::Silent(silent) if silent.contains_key(&member))
    }

    /// Whether all have acknowledged, or the last wait is over.
    pub(super) fn is_over(&self, now: GroupTime) -> bool {
        let waited = self.queue.is_empty() && self.rounds_left == 0 && self.due.is_some_and(|due| due <= now);
        waited || matches!(&self.receivers, Receivers::Silent(silent) if silent.is_empty())
    }

    /// Who never acknowledged.
    pub(super) fn silent(&self) -> Vec<IpAddr> {
        match &self.receivers {
            Receivers::Silent(silent) => silent.keys().copied().collect(),
            Receivers::Group(_) => Vec::new(),
        }
    }

    /// Which ACL its receivers have after it.
    pub(super) const fn acl(&self) -> AclDigest {
        self.acl
    }

    /// Messages sent so far.
    pub(super) const fn transmissions(&self) -> u64 {
        self.transmissions
    }
}

impl Receivers {
    fn all(&self) -> VecDeque<SocketAddr> {
        match self {
            Receivers::Silent(silent) => silent.values().copied().collect(),
            Receivers::Group(group) => VecDeque::from([*group]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RETRANSMIT: Retransmit = Retransmit { interval: Duration::from_secs(10), number: 2 };

    fn member(number: u8) -> SocketAddr {
        ([10, 0, 0, number], 848).into()
    }

    fn start(transport: Transport, members: u8) -> Distribution {
        start_with(vec![1], transport, members)
    }

    fn start_with(payload: Vec<u8>, transport: Transport, members: u8) -> Distribution {
        let members = (0..members).map(member);
        let message = Message { kek_spi: [0; 16], sequence: 1, payload };
        let mut distribution =
            Distribution::new(vec![message], AclDigest([0; 16]), transport, RETRANSMIT, members);
        assert!(distribution.handle_timeout(GroupTime::from_millis(0)).is_empty(), "held back");
        distribution.release(GroupTime::from_millis(0));
        distribution
    }

    /// Seconds and receivers of all transmissions until the end.
    fn run(distribution: &mut Distribution) -> Vec<(u64, SocketAddr)> {
        let mut sent = Vec::new();
        let mut now = GroupTime::from_millis(0);
        loop {
            let out = distribution.handle_timeout(now);
            sent.extend(out.iter().map(|transmit| (now.as_millis() / 1000, transmit.to)));
            now = distribution.due().unwrap();
            if distribution.is_over(now) {
                return sent;
            }
        }
    }

    #[test]
    fn only_the_silent_get_it_again() {
        let mut distribution = start(Transport::Unicast, 3);
        assert_eq!(distribution.handle_timeout(GroupTime::from_millis(0)).len(), 3);
        assert!(distribution.acknowledge(member(0).ip()) && distribution.acknowledge(member(2).ip()));
        assert!(!distribution.acknowledge(member(2).ip()) && !distribution.expects(member(2).ip()));
        assert_eq!(run(&mut distribution), [(10, member(1)), (20, member(1))]);
        assert_eq!(distribution.silent(), [member(1).ip()]);
        assert_eq!(distribution.transmissions(), 5);
    }

    #[test]
    fn it_is_over_when_all_have_acknowledged() {
        let mut distribution = start(Transport::Unicast, 1);
        let now = GroupTime::from_millis(0);
        distribution.handle_timeout(now);
        assert!(!distribution.is_over(now));
        distribution.acknowledge(member(0).ip());
        assert!(distribution.is_over(now));
    }

    #[test]
    fn multicast_is_repeated_blindly() {
        let group = SocketAddr::new([239, 1, 1, 1].into(), 848);
        let mut distribution = start(Transport::Multicast(group), 100);
        let to = group;
        assert_eq!(run(&mut distribution), [(0, to), (10, to), (20, to)]);
        assert!(distribution.silent().is_empty());
    }

    #[test]
    fn a_large_group_is_paced() {
        let mut distribution = start(Transport::Unicast, 100);
        assert_eq!(distribution.handle_timeout(GroupTime::from_millis(0)).len(), 20);
        assert_eq!(distribution.handle_timeout(GroupTime::from_millis(49)).len(), 0);
        assert_eq!(distribution.handle_timeout(GroupTime::from_millis(50)).len(), 20);
    }

    #[test]
    fn long_messages_go_out_in_small_bursts_and_as_many_in_a_second() {
        for (length, together, pause) in [(1_200, 20, 50), (1_201, 20, 50), (16_000, 2, 5), (60_000, 1, 2)] {
            let mut distribution = start_with(vec![1; length], Transport::Unicast, 100);
            assert_eq!(distribution.handle_timeout(GroupTime::from_millis(0)).len(), together);
            assert_eq!(distribution.due(), Some(GroupTime::from_millis(pause)));
        }
    }
}
