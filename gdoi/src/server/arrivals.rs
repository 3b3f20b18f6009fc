//! Things of peers in the order in which they came: the oldest of all, of an address, of a network, without a search.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};

/// What tells two things apart, and which of them came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket(u64);

/// The network that an address is one of many of: of IPv6 the /64, since whoever has one address has all of these; of
/// IPv4 the address itself.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

/// What came, from whom, in order.
#[derive(Debug)]
pub(super) struct Arrivals<T> {
    next: u64,
    all: BTreeMap<Ticket, (IpAddr, T)>,
    of_addresses: BTreeMap<IpAddr, BTreeSet<Ticket>>,
    of_networks: BTreeMap<IpAddr, BTreeSet<Ticket>>,
}

impl<T> Default for Arrivals<T> {
    fn default() -> Self {
        let (of_addresses, of_networks) = (BTreeMap::new(), BTreeMap::new());
        Arrivals { next: 0, all: BTreeMap::new(), of_addresses, of_networks }
    }
}

impl<T> Arrivals<T> {
    pub(super) fn push(&mut self, peer: IpAddr, item: T) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        self.all.insert(ticket, (peer, item));
        self.of_addresses.entry(peer).or_default().insert(ticket);
        self.of_networks.entry(network(peer)).or_default().insert(ticket);
        ticket
    }

    pub(super) fn remove(&mut self, ticket: Ticket) -> Option<T> {
        let (peer, item) = self.all.remove(&ticket)?;
        strike(&mut self.of_addresses, peer, ticket);
        strike(&mut self.of_networks, network(peer), ticket);
        Some(item)
    }

    pub(super) fn get(&self, ticket: Ticket) -> Option<&T> {
        self.all.get(&ticket).map(|(_, item)| item)
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// How many are of this address.
    pub(super) fn of_address(&self, peer: IpAddr) -> usize {
        self.of_addresses.get(&peer).map_or(0, BTreeSet::len)
    }

    /// How many are of the network of this address.
    pub(super) fn of_network(&self, peer: IpAddr) -> usize {
        self.of_networks.get(&network(peer)).map_or(0, BTreeSet::len)
    }

    pub(super) fn oldest(&self) -> Option<Ticket> {
        self.all.keys().next().copied()
    }

    pub(super) fn oldest_of_address(&self, peer: IpAddr) -> Option<Ticket> {
        self.of_addresses.get(&peer)?.first().copied()
    }

    pub(super) fn oldest_of_network(&self, peer: IpAddr) -> Option<Ticket> {
        self.of_networks.get(&network(peer))?.first().copied()
    }
}

fn strike(index: &mut BTreeMap<IpAddr, BTreeSet<Ticket>>, key: IpAddr, ticket: Ticket) {
    let Some(tickets) = index.get_mut(&key) else { return };
    tickets.remove(&ticket);
    if tickets.is_empty() {
        index.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_64_is_one_network_and_an_ipv4_address_is_one() {
        assert_eq!(network(ip("2001:db8:1:2:3:4:5:6")), ip("2001:db8:1:2::"));
        assert_eq!(network(ip("192.0.2.77")), ip("192.0.2.77"));
    }

    #[test]
    fn everybody_has_an_oldest_and_nothing_is_left_over() {
        let mut arrivals = Arrivals::default();
        let (one, two, far) = (ip("2001:db8::1"), ip("2001:db8::2"), ip("2001:db8:0:1::1"));
        let tickets =
            [(one, 'a'), (two, 'b'), (far, 'c'), (one, 'd')].map(|(peer, item)| arrivals.push(peer, item));
        assert_eq!((arrivals.len(), arrivals.of_address(one), arrivals.of_network(two)), (4, 2, 3));
        assert_eq!(arrivals.oldest(), Some(tickets[0]));
        assert_eq!(arrivals.remove(tickets[0]), Some('a'));
        assert_eq!((arrivals.remove(tickets[0]), arrivals.get(tickets[1])), (None, Some(&'b')));
        assert_eq!(arrivals.oldest_of_address(one), Some(tickets[3]));
        assert_eq!(arrivals.oldest_of_network(one), Some(tickets[1]));
        assert_eq!(arrivals.oldest_of_network(far), Some(tickets[2]));
        for ticket in tickets {
            arrivals.remove(ticket);
        }
        assert_eq!((arrivals.len(), arrivals.oldest(), arrivals.oldest_of_network(one)), (0, None, None));
        assert!(arrivals.of_addresses.is_empty() && arrivals.of_networks.is_empty());
    }
}
