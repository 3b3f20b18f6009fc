//! One rekey message on its way to the members: paced, repeated to the silent, bounded.

use super::clock::GroupTime;
use super::held::{Conveyed, KekTag};
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

/// Who joins late has just been given the KEK that its message is under: that goes first.
const COURTESY: Duration = Duration::from_millis(200);

/// A rekey message, encrypted under one KEK.
pub(super) struct Message {
    /// The KEK.
    pub(super) kek_spi: [u8; 16],
    pub(super) sequence: u32,
    pub(super) payload: Vec<u8>,
    /// What who takes it in has then.
    pub(super) conveys: Conveyed,
}

/// A member that is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Receiver {
    pub(super) to: SocketAddr,
    /// The KEKs that it may have, each of which is that of a message; without any it gets all messages.
    pub(super) keks: Vec<KekTag>,
}

/// What is under way: one message, or the same news once for each KEK that members may have.
pub(super) struct Distribution {
    messages: Vec<Message>,
    retransmit: Retransmit,
    receivers: Receivers,
    /// To be sent in this round.
    queue: VecDeque<SocketAddr>,
    rounds_left: u32,
    /// When the next round begins, or the last wait is over; None while one is being sent.
    round_ends: Option<GroupTime>,
    /// None while it is held back.
    due: Option<GroupTime>,
    transmissions: u64,
    /// Which ACL its receivers have after it.
    acl: AclDigest,
}

enum Receivers {
    /// Those that have not acknowledged.
    Silent(BTreeMap<IpAddr, Silent>),
    Group(SocketAddr),
}

struct Silent {
    receiver: Receiver,
    /// Whether anything went to it.
    told: bool,
}

/// A member that has not acknowledged what went to it.
pub(super) struct Unanswered {
    pub(super) member: IpAddr,
    /// The KEK that it has if it only did not answer.
    pub(super) kek: Option<KekTag>,
}

impl Distribution {
    /// It is held back until [`Distribution::release`].
    pub(super) fn new(
        messages: Vec<Message>,
        acl: AclDigest,
        transport: Transport,
        retransmit: Retransmit,
        receivers: Vec<Receiver>,
    ) -> Self {
        let silent = |receiver: Receiver| (receiver.to.ip(), Silent { receiver, told: false });
        let receivers = match transport {
            Transport::Unicast => Receivers::Silent(receivers.into_iter().map(silent).collect()),
            Transport::Multicast(group) => Receivers::Group(group),
        };
        let queue = receivers.all();
        let rounds_left = retransmit.number;
        Distribution {
            messages,
            retransmit,
            receivers,
            queue,
            rounds_left,
            round_ends: None,
            due: None,
            transmissions: 0,
            acl,
        }
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
        if self.queue.is_empty() && self.rounds_left > 0 && self.round_ends.is_none_or(|end| end <= now) {
            self.rounds_left -= 1;
            self.round_ends = None;
            self.queue = self.receivers.all();
        }
        let together = self.together();
        let mut transmits = Vec::new();
        while transmits.len() < together {
            let Some(to) = self.queue.pop_front() else { break };
            transmits.extend(self.receivers.tell(to, &self.messages));
        }
        self.transmissions += transmits.len() as u64;
        let pause = PAUSE * together as u32 / BATCH as u32;
        self.due = Some(match self.queue.is_empty() {
            true => *self.round_ends.get_or_insert(now + self.retransmit.interval),
            false => now + pause,
        });
        transmits
    }

    /// How many messages go out before a pause.
    fn together(&self) -> usize {
        let datagrams = self.messages.iter().map(|message| message.payload.len().div_ceil(LONGEST_DATAGRAM));
        (BATCH_DATAGRAMS / datagrams.max().unwrap_or(1).max(1)).clamp(1, BATCH)
    }

    /// When [`Distribution::handle_timeout`] or [`Distribution::is_over`] has something new to say.
    pub(super) const fn due(&self) -> Option<GroupTime> {
        self.due
    }

    /// One more member; whether there is a message that it can read, and somebody who sends it.
    pub(super) fn join(&mut self, receiver: Receiver, now: GroupTime) -> bool {
        let readable = |message: &Message| receiver.keks.contains(&KekTag::of(message.kek_spi));
        if !self.messages.iter().any(readable) {
            return false;
        }
        match &mut self.receivers {
            Receivers::Group(_) => return self.due.is_none() || self.rounds_left > 0,
            Receivers::Silent(silent) => {
                self.queue.retain(|to| to.ip() != receiver.to.ip());
                self.queue.push_back(receiver.to);
                silent.insert(receiver.to.ip(), Silent { receiver, told: false });
            }
        }
        self.due = self.due.map(|due| due.min(now + COURTESY));
        true
    }

    /// A member has acknowledged, or has the same keys from elsewhere; false if nothing was expected of it.
    pub(super) fn acknowledge(&mut self, member: IpAddr) -> bool {
        match &mut self.receivers {
            Receivers::Silent(silent) => silent.remove(&member).is_some(),
            Receivers::Group(_) => false,
        }
    }

    /// The number of the message under this KEK and what it says, if there is one.
    pub(super) fn under(&self, kek_spi: [u8; 16]) -> Option<(u32, Conveyed)> {
        let message = self.messages.iter().find(|message| message.kek_spi == kek_spi);
        message.map(|message| (message.sequence, message.conveys))
    }

    pub(super) fn expects(&self, member: IpAddr) -> bool {
        matches!(&self.receivers, Receivers::Silent(silent) if silent.contains_key(&member))
    }

    /// Whether all have acknowledged, or the last wait is over.
    pub(super) fn is_over(&self, now: GroupTime) -> bool {
        let waited = self.queue.is_empty()
            && self.rounds_left == 0
            && self.due.is_some()
            && self.round_ends.is_some_and(|end| end <= now);
        waited || matches!(&self.receivers, Receivers::Silent(silent) if silent.is_empty())
    }

    /// Who has not acknowledged.
    pub(super) fn silent(&self) -> Vec<Receiver> {
        match &self.receivers {
            Receivers::Silent(silent) => silent.values().map(|silent| silent.receiver.clone()).collect(),
            Receivers::Group(_) => Vec::new(),
        }
    }

    /// Who has not acknowledged what went to it.
    pub(super) fn unanswered(&self) -> Vec<Unanswered> {
        let Receivers::Silent(silent) = &self.receivers else { return Vec::new() };
        // All messages bring the same KEK, but for those to its holders.
        let kek = self.messages.iter().find_map(|message| message.conveys.kek);
        let told = silent.iter().filter(|(_, silent)| silent.told);
        told.map(|(member, _)| Unanswered { member: *member, kek }).collect()
    }

    /// Whether it goes to all at once, and nobody answers.
    pub(super) const fn is_blind(&self) -> bool {
        matches!(self.receivers, Receivers::Group(_))
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
            Receivers::Silent(silent) => silent.values().map(|silent| silent.receiver.to).collect(),
            Receivers::Group(group) => VecDeque::from([*group]),
        }
    }

    /// The messages that a receiver may be able to read; none if it has acknowledged in the meantime.
    fn tell(&mut self, to: SocketAddr, messages: &[Message]) -> Vec<Transmit> {
        let keks = match self {
            Receivers::Group(_) => &[][..],
            Receivers::Silent(silent) => match silent.get_mut(&to.ip()) {
                Some(silent) => {
                    silent.told = true;
                    &silent.receiver.keks[..]
                }
                None => return Vec::new(),
            },
        };
        let readable = |message: &&Message| keks.is_empty() || keks.contains(&KekTag::of(message.kek_spi));
        let payloads = messages.iter().filter(readable).map(|message| message.payload.clone());
        payloads.map(|payload| Transmit { to, payload }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RETRANSMIT: Retransmit = Retransmit { interval: Duration::from_secs(10), number: 2 };

    fn member(number: u8) -> SocketAddr {
        ([10, 0, 0, number], 848).into()
    }

    fn receiver(number: u8, keks: &[u8]) -> Receiver {
        Receiver { to: member(number), keks: keks.iter().map(|name| KekTag([*name; 4])).collect() }
    }

    fn message(name: u8, payload: Vec<u8>) -> Message {
        let conveys = Conveyed { kek: Some(KekTag([9; 4])), tek: None };
        Message { kek_spi: [name; 16], sequence: 1, payload, conveys }
    }

    fn start(transport: Transport, members: u8) -> Distribution {
        start_with(vec![1], transport, members)
    }

    fn start_with(payload: Vec<u8>, transport: Transport, members: u8) -> Distribution {
        let members = (0..members).map(|number| receiver(number, &[0])).collect();
        let message = message(0, payload);
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
        assert_eq!(distribution.silent(), [receiver(1, &[0])]);
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

    /// One of two messages each, and both to whom they may both be of use.
    #[test]
    fn members_get_what_they_can_read() {
        let receivers = vec![receiver(1, &[1]), receiver(2, &[2]), receiver(3, &[1, 2]), receiver(4, &[])];
        let messages = vec![message(1, vec![1]), message(2, vec![2])];
        let mut distribution =
            Distribution::new(messages, AclDigest([0; 16]), Transport::Unicast, RETRANSMIT, receivers);
        distribution.release(GroupTime::from_millis(0));
        let sent = distribution.handle_timeout(GroupTime::from_millis(0));
        let sent: Vec<_> = sent.iter().map(|transmit| (transmit.to, transmit.payload[0])).collect();
        let expected = [(1, 1), (2, 2), (3, 1), (3, 2), (4, 1), (4, 2)];
        assert_eq!(sent, expected.map(|(number, payload)| (member(number), payload)));
    }

    /// It does not make the others wait, however many come.
    #[test]
    fn who_joins_late_is_told_soon_and_holds_nobody_up() {
        let mut distribution = start(Transport::Unicast, 1);
        let at = GroupTime::from_millis;
        assert_eq!(distribution.handle_timeout(at(0)).len(), 1);
        assert!(!distribution.join(receiver(7, &[3]), at(1_000)), "there is nothing that it can read");
        for number in 2..=5 {
            let now = u64::from(number) * 1_000;
            assert!(distribution.join(receiver(number, &[0]), at(now)));
            assert_eq!(distribution.due(), Some(at(now + 200)));
            let sent = distribution.handle_timeout(at(now + 200));
            assert_eq!(sent.iter().map(|transmit| transmit.to).collect::<Vec<_>>(), [member(number)]);
            assert_eq!(distribution.due(), Some(at(10_000)));
        }
        assert_eq!(distribution.handle_timeout(at(10_000)).len(), 5);
        assert_eq!(distribution.unanswered().len(), 5);
    }

    #[test]
    fn what_was_not_sent_needs_no_answer() {
        let mut distribution = start(Transport::Unicast, 30);
        distribution.handle_timeout(GroupTime::from_millis(0));
        distribution.acknowledge(member(3).ip());
        let unanswered = distribution.unanswered();
        assert_eq!((unanswered.len(), distribution.silent().len()), (19, 29));
        assert!(unanswered.iter().all(|unanswered| unanswered.kek == Some(KekTag([9; 4]))));
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
