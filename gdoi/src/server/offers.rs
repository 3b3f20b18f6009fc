//! SA payloads of phase 1 that a cookie cannot name by itself: those of other software, and of servers that are configured
//! differently. What was offered by a peer that has proved itself is kept apart from what anybody offers.

use super::arrivals::{Arrivals, Ticket};
use crate::crypto::prf::digest;
use crate::crypto::Hash;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// The most payloads of peers that have proved themselves: one for each kind and configuration of software.
const MAX_PROVED: usize = 64;
/// The most of all others.
const MAX_SAID: usize = 512;
/// The most of others that are of one address, and of one network.
const MAX_SAID_PER_ADDRESS: usize = 2;
const MAX_SAID_PER_NETWORK: usize = 8;

/// The payloads, each once. With 4 KiB for the longest they take 2.3 MiB at most.
#[derive(Default)]
pub(super) struct Offers {
    proved: Shelf,
    said: Shelf,
}

#[derive(Default)]
struct Shelf {
    places: BTreeMap<u16, (Ticket, Vec<u8>)>,
    by_digest: BTreeMap<[u8; 32], u16>,
    order: Arrivals<u16>,
}

impl Offers {
    /// Remembers what a peer said; where it is until others need the place.
    pub(super) fn remember(&mut self, peer: IpAddr, body: &[u8]) -> u16 {
        let digest = fingerprint(body);
        if let Some(place) = self.proved.by_digest.get(&digest) {
            return *place;
        }
        if let Some(place) = self.said.by_digest.get(&digest) {
            return MAX_PROVED as u16 + *place;
        }
        let order = &self.said.order;
        let crowded = match peer {
            _ if order.of_address(peer) >= MAX_SAID_PER_ADDRESS => order.oldest_of_address(peer),
            _ if order.of_network(peer) >= MAX_SAID_PER_NETWORK => order.oldest_of_network(peer),
            _ => order.oldest().filter(|_| order.len() >= MAX_SAID),
        };
        MAX_PROVED as u16 + self.said.put(peer, digest, body, crowded)
    }

    /// What is in a place.
    pub(super) fn at(&self, place: u16) -> Option<&[u8]> {
        let (shelf, place) = match place.checked_sub(MAX_PROVED as u16) {
            None => (&self.proved, place),
            Some(place) => (&self.said, place),
        };
        shelf.places.get(&place).map(|(_, body)| &body[..])
    }

    /// A peer that offered this has proved itself; from now on nobody who has not takes it away.
    pub(super) fn prove(&mut self, peer: IpAddr, body: &[u8]) {
        let digest = fingerprint(body);
        if self.said.by_digest.contains_key(&digest) && !self.proved.by_digest.contains_key(&digest) {
            let crowded = self.proved.order.oldest().filter(|_| self.proved.order.len() >= MAX_PROVED);
            self.proved.put(peer, digest, body, crowded);
        } else {
            self.proved.renew(peer, &digest);
        }
    }
}

impl Shelf {
    /// In the place of another one, or in the first that was never used.
    fn put(&mut self, peer: IpAddr, digest: [u8; 32], body: &[u8], instead: Option<Ticket>) -> u16 {
        let freed = instead.and_then(|ticket| self.order.remove(ticket));
        let place = freed.unwrap_or(self.places.len() as u16);
        if let Some((_, before)) = self.places.remove(&place) {
            self.by_digest.remove(&fingerprint(&before));
        }
        let ticket = self.order.push(peer, place);
        self.places.insert(place, (ticket, body.to_vec()));
        self.by_digest.insert(digest, place);
        place
    }

    /// The newest again.
    fn renew(&mut self, peer: IpAddr, digest: &[u8; 32]) {
        let Some(place) = self.by_digest.get(digest) else { return };
        let Some((ticket, _)) = self.places.get_mut(place) else { return };
        self.order.remove(*ticket);
        *ticket = self.order.push(peer, *place);
    }
}

fn fingerprint(body: &[u8]) -> [u8; 32] {
    digest(Hash::Sha256, &[body]).try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(number: u32) -> IpAddr {
        std::net::Ipv4Addr::from(number).into()
    }

    fn body(number: u32) -> Vec<u8> {
        number.to_be_bytes().to_vec()
    }

    #[test]
    fn what_is_said_is_there_until_the_room_is_needed() {
        let mut offers = Offers::default();
        let places: Vec<_> =
            (0..MAX_SAID as u32).map(|number| offers.remember(peer(number), &body(number))).collect();
        for (number, place) in (0..).zip(&places) {
            assert_eq!(offers.at(*place), Some(&body(number)[..]));
            assert_eq!(offers.remember(peer(9_999), &body(number)), *place, "the same is said once");
        }
        let place = offers.remember(peer(10_000), &body(10_000));
        assert_eq!((place, offers.at(place)), (places[0], Some(&body(10_000)[..])));
        assert_eq!(offers.said.places.len(), MAX_SAID);
        assert_eq!(offers.said.by_digest.len(), MAX_SAID);
        assert_eq!(offers.at(u16::MAX), None);
    }

    #[test]
    fn nobody_takes_more_than_a_share() {
        let mut offers = Offers::default();
        let kept = offers.remember(peer(1), &body(1));
        for number in 100..5_000 {
            offers.remember(peer(2), &body(number));
        }
        let host =
            |number: u32| IpAddr::from(std::net::Ipv6Addr::from_bits(0x2001 << 112 | u128::from(number)));
        for number in 10_000..15_000 {
            offers.remember(host(number), &body(number));
        }
        assert_eq!(offers.at(kept), Some(&body(1)[..]));
        assert_eq!(offers.said.places.len(), 1 + MAX_SAID_PER_ADDRESS + MAX_SAID_PER_NETWORK);
    }

    #[test]
    fn what_proved_itself_is_taken_away_by_nobody_who_did_not() {
        let mut offers = Offers::default();
        offers.remember(peer(1), &body(1));
        offers.prove(peer(1), &body(1));
        offers.prove(peer(1), &body(2));
        for number in 100..5_000 {
            offers.remember(peer(number), &body(number));
        }
        let place = offers.remember(peer(7), &body(1));
        assert!(usize::from(place) < MAX_PROVED && offers.at(place) == Some(&body(1)[..]));
        for number in 5_000..6_000 {
            offers.remember(peer(number), &body(number));
            offers.prove(peer(number), &body(number));
            offers.prove(peer(1), &body(1));
        }
        assert_eq!(offers.proved.places.len(), MAX_PROVED);
        assert_eq!(offers.at(place), Some(&body(1)[..]), "it is used all the time");
    }
}
