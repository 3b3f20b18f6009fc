//! How many may talk to the key server at once, by what they have shown.
//!
//! ```text
//! third message, with the cookie ---> known: cooperating servers, and addresses that proved themselves lately
//!                                \--> strangers: all others
//! fifth message, with the proof ----> established
//! ```
//!
//! Each kind has room of its own, so that nobody takes the place of who has shown more. Within a kind an address gives way
//! to itself, a network of IPv6 too, and of those who have not proved themselves only who is old enough to have been lost.

use super::arrivals::{Arrivals, Ticket};
use super::session_name::SessionName;
use crate::endpoint::Instant;
use crate::error::Unacceptable;
use std::net::IpAddr;
use std::time::Duration;

/// Of those who proved themselves lately, and as many of others.
const MAX_HALF_OPEN: usize = 1024;
const MAX_HALF_OPEN_PER_ADDRESS: usize = 8;
const MAX_HALF_OPEN_PER_NETWORK: usize = 64;
const MAX_ESTABLISHED: usize = 16_384;
const MAX_ESTABLISHED_PER_ADDRESS: usize = 4;
const MAX_ESTABLISHED_PER_NETWORK: usize = 1024;
/// How many addresses are remembered that proved themselves.
const MAX_PROVED: usize = 16_384;
/// How old an exchange is at least that gives way to another one of its own address, and to one of others: a message and
/// its repetition may still be on their way.
const YIELDS_TO_ITSELF: Duration = Duration::from_secs(1);
const YIELDS_TO_OTHERS: Duration = Duration::from_secs(4);

/// Who is in which room.
#[derive(Default)]
pub(super) struct Rooms {
    strangers: Arrivals<Guest>,
    known: Arrivals<Guest>,
    established: Arrivals<Guest>,
    /// The addresses of peers that have proved themselves.
    proved: Arrivals<()>,
}

#[derive(Clone, Copy, Debug)]
struct Guest {
    name: SessionName,
    since: Instant,
}

/// Where a session is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    kind: Kind,
    ticket: Ticket,
}

/// Who comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Newcomer {
    /// A cooperating server.
    Server,
    /// A member, or anybody else.
    Anybody,
}

/// What its peer has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// That it hears us.
    Stranger,
    /// That it hears us; it is a cooperating server, or lately one of its address has proved itself.
    Known,
    /// That it is who it says.
    Established,
}

/// A place, and who had to give way.
pub(super) type Placed = (Place, Option<SessionName>);

impl Place {
    pub(super) fn is_established(self) -> bool {
        self.kind == Kind::Established
    }
}

impl Rooms {
    /// A place for a session whose peer has come back.
    ///
    /// # Errors
    /// [`Unacceptable::Busy`]: its address, its network or all together have too many that are too young to give way.
    pub(super) fn admit(
        &mut self,
        name: SessionName,
        newcomer: Newcomer,
        now: Instant,
    ) -> Result<Placed, Unacceptable> {
        let peer = name.peer.ip();
        let proved = self.proved.of_address(peer) > 0;
        let kind = match newcomer {
            Newcomer::Anybody if !proved => Kind::Stranger,
            Newcomer::Anybody | Newcomer::Server => Kind::Known,
        };
        let room = self.room(kind);
        let crowded = kind == Kind::Stranger && room.of_network(peer) >= MAX_HALF_OPEN_PER_NETWORK;
        let (first, patience) = match peer {
            _ if room.of_address(peer) >= MAX_HALF_OPEN_PER_ADDRESS => {
                (room.oldest_of_address(peer), YIELDS_TO_ITSELF)
            }
            _ if crowded => (room.oldest_of_network(peer), YIELDS_TO_OTHERS),
            _ => (room.oldest().filter(|_| room.len() >= MAX_HALF_OPEN), YIELDS_TO_OTHERS),
        };
        let first = first.and_then(|ticket| room.get(ticket).map(|guest| (ticket, guest.since)));
        if first.is_some_and(|(_, since)| now.saturating_since(since) < patience) {
            return Err(Unacceptable::Busy);
        }
        Ok(self.place(kind, Guest { name, since: now }, first.map(|(ticket, _)| ticket)))
    }

    /// The peer of a session has proved itself. The oldest of its kind gives way: it has had its keys.
    pub(super) fn establish(&mut self, name: SessionName, place: Place, now: Instant) -> Placed {
        self.leave(place);
        self.note_proof(name.peer.ip());
        let (peer, room) = (name.peer.ip(), &self.established);
        let first = match peer {
            _ if room.of_address(peer) >= MAX_ESTABLISHED_PER_ADDRESS => room.oldest_of_address(peer),
            _ if room.of_network(peer) >= MAX_ESTABLISHED_PER_NETWORK => room.oldest_of_network(peer),
            _ => room.oldest().filter(|_| room.len() >= MAX_ESTABLISHED),
        };
        self.place(Kind::Established, Guest { name, since: now }, first)
    }

    pub(super) fn leave(&mut self, place: Place) {
        self.room(place.kind).remove(place.ticket);
    }

    /// How many are half-open and how many established.
    pub(super) fn count(&self) -> (usize, usize) {
        (self.strangers.len() + self.known.len(), self.established.len())
    }

    fn room(&mut self, kind: Kind) -> &mut Arrivals<Guest> {
        match kind {
            Kind::Stranger => &mut self.strangers,
            Kind::Known => &mut self.known,
            Kind::Established => &mut self.established,
        }
    }

    fn place(&mut self, kind: Kind, guest: Guest, instead: Option<Ticket>) -> Placed {
        let room = self.room(kind);
        let other = instead.and_then(|ticket| room.remove(ticket));
        let ticket = room.push(guest.name.peer.ip(), guest);
        (Place { kind, ticket }, other.map(|guest| guest.name))
    }

    fn note_proof(&mut self, peer: IpAddr) {
        let before = self.proved.oldest_of_address(peer);
        let full = || self.proved.oldest().filter(|_| self.proved.len() >= MAX_PROVED);
        if let Some(ticket) = before.or_else(full) {
            self.proved.remove(ticket);
        }
        self.proved.push(peer, ());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

    const NOW: Instant = Instant::from_millis(1_000_000);

    fn v4(host: u32, number: u8) -> SessionName {
        SessionName { peer: SocketAddr::new(Ipv4Addr::from(host).into(), 848), initiator: [number; 8] }
    }

    fn v6(network: u64, host: u64) -> SessionName {
        let address = Ipv6Addr::from_bits(u128::from(network) << 64 | u128::from(host));
        SessionName { peer: SocketAddr::new(address.into(), 848), initiator: [1; 8] }
    }

    fn later(ms: u64) -> Instant {
        NOW + Duration::from_millis(ms)
    }

    fn admit(rooms: &mut Rooms, name: SessionName, ms: u64) -> Result<Option<SessionName>, Unacceptable> {
        rooms.admit(name, Newcomer::Anybody, later(ms)).map(|(_, other)| other)
    }

    #[test]
    fn an_address_gives_way_to_itself_after_a_second() {
        let mut rooms = Rooms::default();
        (0..8).for_each(|number| assert_eq!(admit(&mut rooms, v4(1, number), number.into()), Ok(None)));
        assert_eq!(admit(&mut rooms, v4(1, 8), 999), Err(Unacceptable::Busy));
        assert_eq!(admit(&mut rooms, v4(2, 0), 999), Ok(None));
        assert_eq!(admit(&mut rooms, v4(1, 8), 1_000), Ok(Some(v4(1, 0))));
        assert_eq!(admit(&mut rooms, v4(1, 9), 1_000), Err(Unacceptable::Busy));
        assert_eq!(rooms.count(), (9, 0));
    }

    #[test]
    fn a_network_has_a_share_and_nobody_young_gives_way() {
        let mut rooms = Rooms::default();
        (0..64).for_each(|host| assert_eq!(admit(&mut rooms, v6(1, host), 0), Ok(None)));
        assert_eq!(admit(&mut rooms, v6(1, 99), 3_999), Err(Unacceptable::Busy));
        (2..962).for_each(|network| assert_eq!(admit(&mut rooms, v6(network, 1), 1_000), Ok(None)));
        assert_eq!(rooms.count(), (1_024, 0));
        assert_eq!(admit(&mut rooms, v6(5_000, 1), 3_999), Err(Unacceptable::Busy));
        assert_eq!(admit(&mut rooms, v6(1, 99), 4_000), Ok(Some(v6(1, 0))));
        assert_eq!(admit(&mut rooms, v6(5_000, 1), 4_000), Ok(Some(v6(1, 1))));
        assert_eq!(rooms.count(), (1_024, 0));
    }

    #[test]
    fn who_proved_itself_and_servers_have_room_of_their_own() {
        let mut rooms = Rooms::default();
        let (place, _) = rooms.admit(v4(1, 0), Newcomer::Anybody, NOW).unwrap();
        let (place, _) = rooms.establish(v4(1, 0), place, NOW);
        (100..1_124).for_each(|host| assert_eq!(admit(&mut rooms, v4(host, 0), 0), Ok(None)));
        assert_eq!(admit(&mut rooms, v4(2, 0), 0), Err(Unacceptable::Busy));
        assert_eq!(admit(&mut rooms, v4(1, 1), 0), Ok(None));
        assert!(rooms.admit(v4(3, 0), Newcomer::Server, NOW).is_ok());
        assert!(place.is_established() && rooms.count() == (1_026, 1));
        rooms.leave(place);
        rooms.leave(place);
        assert_eq!(rooms.count(), (1_026, 0));
    }

    #[test]
    fn only_who_proves_itself_ends_what_is_established() {
        let mut rooms = Rooms::default();
        let establish = |rooms: &mut Rooms, name, ms| {
            let (place, _) = rooms.admit(name, Newcomer::Anybody, later(ms)).unwrap();
            rooms.establish(name, place, later(ms)).1
        };
        (0..4).for_each(|number| assert_eq!(establish(&mut rooms, v4(1, number), 0), None));
        assert_eq!(establish(&mut rooms, v4(1, 4), 0), Some(v4(1, 0)));
        (0..1_024).for_each(|host| assert_eq!(establish(&mut rooms, v6(1, host), 0), None));
        assert_eq!(establish(&mut rooms, v6(1, 9_999), 0), Some(v6(1, 0)));
        (0..MAX_ESTABLISHED as u32 - 1_028)
            .for_each(|host| assert_eq!(establish(&mut rooms, v4(1_000 + host, 0), 0), None));
        assert_eq!(rooms.count(), (0, MAX_ESTABLISHED));
        assert_eq!(establish(&mut rooms, v4(2, 0), 0), Some(v4(1, 1)));
        assert_eq!(rooms.count(), (0, MAX_ESTABLISHED));
        assert!(rooms.proved.len() <= MAX_PROVED);
    }
}
