//! Public-key work for peers that have shown that they hear us: everything else comes first, and everybody has a turn.
//!
//! A key exchange begins at once while there is time for it. All of them together take at most half of the server's time,
//! so that rekey messages, acknowledgements and what cooperating servers say never wait for long; what does not fit waits in
//! turns by network. An address that asks without end gets its share and no more.

use super::arrivals::network;
use super::session_name::SessionName;
use crate::endpoint::Instant;
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

/// So much time may be used at once, microseconds.
const BURST: u64 = 20_000;
/// Time passes so much faster than it is used.
const SHARE: u64 = 2;
/// The most exchanges that wait.
const MAX_WAITING: usize = 1_024;
/// How many exchanges an address may begin at once, and how long it takes until it may begin one more.
const OF_ADDRESS: Rate = Rate { burst: 8, interval: 500 };
/// The same of all addresses of a network together.
const OF_NETWORK: Rate = Rate { burst: 64, interval: 30 };
/// How many of each are counted. Where there are more, turns and the total decide alone.
const MAX_COUNTED: usize = 8_192;

/// The work that waits, and what was done lately.
#[derive(Default)]
pub(super) struct PublicKeys {
    waiting: BTreeMap<IpAddr, VecDeque<Task>>,
    /// The networks of those, who is next first.
    turns: VecDeque<IpAddr>,
    count: usize,
    /// When all the time used will have passed [`SHARE`] times, microseconds.
    used: u64,
    addresses: Counts,
    networks: Counts,
}

/// A key exchange to be done.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Task {
    pub(super) session: SessionName,
    /// The third message.
    pub(super) datagram: Vec<u8>,
    /// Microseconds.
    pub(super) cost: u64,
}

/// What became of a task.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Do it now.
    Now(Task),
    /// It waits; another one, if any, waits no more.
    Later(Option<SessionName>),
    /// There is no room: to its peer it is a datagram that the network lost.
    Never(SessionName),
}

impl PublicKeys {
    /// Whether a peer may begin one more exchange; counts it.
    pub(super) fn allow(&mut self, peer: IpAddr, now: Instant) -> bool {
        self.addresses.allow(peer, OF_ADDRESS, now) && self.networks.allow(network(peer), OF_NETWORK, now)
    }

    /// Takes in a task.
    pub(super) fn begin(&mut self, task: Task, now: Instant) -> Turn {
        match self.count == 0 && self.has_time(now) {
            true => {
                self.use_time(task.cost, now);
                Turn::Now(task)
            }
            false => self.wait(task),
        }
    }

    /// A task that waits for nothing: that of a cooperating server.
    pub(super) fn begin_at_once(&mut self, task: Task, now: Instant) -> Turn {
        self.use_time(task.cost, now);
        Turn::Now(task)
    }

    /// The next task for which there is time.
    pub(super) fn next(&mut self, now: Instant) -> Option<Task> {
        if !self.has_time(now) {
            return None;
        }
        let network = self.turns.pop_front()?;
        let tasks = self.waiting.get_mut(&network)?;
        let task = tasks.pop_front();
        match tasks.is_empty() {
            true => drop(self.waiting.remove(&network)),
            false => self.turns.push_back(network),
        }
        let task = task?;
        self.count -= 1;
        self.use_time(task.cost, now);
        Some(task)
    }

    /// When [`PublicKeys::next`] has one.
    pub(super) fn due(&self) -> Option<Instant> {
        let time = self.used.saturating_sub(BURST) / 1_000 + 1;
        (self.count > 0).then_some(Instant::from_millis(time))
    }

    fn wait(&mut self, task: Task) -> Turn {
        let network = network(task.session.peer.ip());
        let own = self.waiting.get(&network).map_or(0, VecDeque::len);
        let mut displaced = None;
        if self.count >= MAX_WAITING {
            match self.displace(own + 1) {
                Some(other) => displaced = Some(other),
                None => return Turn::Never(task.session),
            }
        }
        self.count += 1;
        if own == 0 {
            self.turns.push_back(network);
        }
        self.waiting.entry(network).or_default().push_back(task);
        Turn::Later(displaced)
    }

    /// Takes the last task of the network that has the most, if those are more than so many.
    fn displace(&mut self, than: usize) -> Option<SessionName> {
        let most = self.waiting.values_mut().max_by_key(|tasks| tasks.len());
        let task = most.filter(|tasks| tasks.len() > than)?.pop_back()?;
        self.count -= 1;
        Some(task.session)
    }

    const fn has_time(&self, now: Instant) -> bool {
        self.used < micros(now).saturating_add(BURST)
    }

    fn use_time(&mut self, cost: u64, now: Instant) {
        self.used = self.used.max(micros(now)).saturating_add(SHARE * cost);
    }
}

const fn micros(now: Instant) -> u64 {
    now.as_millis().saturating_mul(1_000)
}

/// How often something may be done.
#[derive(Clone, Copy)]
struct Rate {
    burst: u64,
    /// Milliseconds.
    interval: u64,
}

/// Until when what each has done counts, milliseconds.
#[derive(Default)]
struct Counts {
    until: BTreeMap<IpAddr, u64>,
    /// When those that count no more were taken out.
    cleaned: Instant,
}

impl Counts {
    fn allow(&mut self, whose: IpAddr, rate: Rate, now: Instant) -> bool {
        self.clean(now);
        let time = now.as_millis();
        let until = self.until.get(&whose).copied().unwrap_or_default().max(time);
        if until + rate.interval > time + rate.burst * rate.interval {
            return false;
        }
        if self.until.len() < MAX_COUNTED || self.until.contains_key(&whose) {
            self.until.insert(whose, until + rate.interval);
        }
        true
    }

    /// Once each second, so that it costs each exchange next to nothing.
    fn clean(&mut self, now: Instant) {
        if now.saturating_since(self.cleaned) >= Duration::from_secs(1) {
            self.until.retain(|_, until| *until > now.as_millis());
            self.cleaned = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    const NOW: Instant = Instant::from_millis(1_000_000);

    fn name(peer: u8, number: u8) -> SessionName {
        SessionName { peer: SocketAddr::from(([192, 0, 2, peer], 848)), initiator: [number; 8] }
    }

    fn task(peer: u8, number: u8, cost: u64) -> Task {
        Task { session: name(peer, number), datagram: vec![number], cost }
    }

    fn later(ms: u64) -> Instant {
        NOW + Duration::from_millis(ms)
    }

    #[test]
    fn half_of_the_time_is_left_to_others() {
        let mut keys = PublicKeys::default();
        let mut begun = 0;
        let (mut done, mut cost) = (0, 0);
        for ms in 0..1_000 {
            for number in 0..20 {
                let turn = keys.begin(task(number, 0, 250), later(ms));
                cost += u64::from(matches!(turn, Turn::Now(_))) * 250;
                begun += 1;
            }
            while let Some(task) = keys.next(later(ms)) {
                (done, cost) = (done + 1, cost + task.cost);
            }
        }
        assert!(begun == 20_000 && done > 1_000);
        assert!((490_000..=512_000).contains(&cost), "{cost} us of a second");
    }

    #[test]
    fn everybody_has_a_turn() {
        let mut keys = PublicKeys::default();
        assert_eq!(keys.begin(task(1, 0, 20_000), NOW), Turn::Now(task(1, 0, 20_000)));
        for number in 1..=50 {
            assert_eq!(keys.begin(task(1, number, 1_000), NOW), Turn::Later(None));
        }
        for peer in 2..=5 {
            assert_eq!(keys.begin(task(peer, 0, 1_000), NOW), Turn::Later(None));
        }
        assert_eq!((keys.next(NOW), keys.due()), (None, Some(later(21))));
        let next = |keys: &mut PublicKeys| keys.next(later(100_000)).unwrap().session;
        let order: Vec<_> = (0..8).map(|_| next(&mut keys)).collect();
        let first =
            [name(1, 1), name(2, 0), name(3, 0), name(4, 0), name(5, 0), name(1, 2), name(1, 3), name(1, 4)];
        assert_eq!(order, first);
    }

    #[test]
    fn what_waits_is_bounded_and_the_greedy_pay() {
        let mut keys = PublicKeys::default();
        keys.begin(task(1, 0, 100_000), NOW);
        for number in 0..MAX_WAITING {
            assert_eq!(keys.begin(task(1, number as u8, 1), NOW), Turn::Later(None));
        }
        assert_eq!(keys.begin(task(2, 7, 1), NOW), Turn::Later(Some(name(1, 255))));
        assert_eq!(keys.begin(task(1, 7, 1), NOW), Turn::Never(name(1, 7)));
        assert_eq!(keys.count, MAX_WAITING);
        let mut all = 0;
        while let Some(task) = keys.next(later(1_000_000)) {
            all += 1;
            assert!(all != 2 || task.session == name(2, 7));
        }
        assert_eq!((all, keys.count, keys.turns.len(), keys.due()), (MAX_WAITING, 0, 0, None));
    }

    #[test]
    fn an_address_begins_eight_at_once_and_two_each_second() {
        let mut keys = PublicKeys::default();
        let ip = name(1, 0).peer.ip();
        let allowed = |keys: &mut PublicKeys, at: Instant| (0..100).filter(|_| keys.allow(ip, at)).count();
        assert_eq!(allowed(&mut keys, NOW), 8);
        assert_eq!(allowed(&mut keys, later(499)), 0);
        assert_eq!(allowed(&mut keys, later(500)), 1);
        assert_eq!(allowed(&mut keys, later(10_000)), 8);
        assert!(keys.allow(name(2, 0).peer.ip(), NOW));
    }

    #[test]
    fn a_network_counts_as_a_whole_and_what_is_counted_is_bounded() {
        let mut keys = PublicKeys::default();
        let host = |network: u128, number: u128| -> IpAddr {
            std::net::Ipv6Addr::from_bits(0x2001 << 112 | network << 64 | number).into()
        };
        assert_eq!((0..1_000).filter(|number| keys.allow(host(1, *number), NOW)).count(), 64);
        assert_eq!((0..20_000).filter(|number| keys.allow(host(2 + number, 1), NOW)).count(), 20_000);
        assert!(keys.addresses.until.len() <= MAX_COUNTED && keys.networks.until.len() <= MAX_COUNTED);
        keys.allow(host(1, 1), later(10_000));
        assert_eq!((keys.addresses.until.len(), keys.networks.until.len()), (1, 1));
    }
}
