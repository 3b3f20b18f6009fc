//! What the core carries, where that is less than the interface takes (RFC 1191, RFC 8201).

mod packet;
mod reader;

pub use packet::TooBig;
pub use reader::PathMtuReader;

use gdoi::endpoint::Instant;
use std::time::Duration;
use xfrm::{Family, Gate, PathMtu, Sa, Slot};

/// How long a path MTU is believed before a longer packet is tried again (RFC 1191 section 6.3).
const AGE: Duration = Duration::from_secs(600);

/// What every path carries, in octets, or what is bearable: a router that says less is not heard, because it would cut
/// the traffic into crumbs.
const fn least(family: Family) -> u32 {
    match family {
        Family::V4 => 576,
        Family::V6 => 1_280,
    }
}

/// A state that sends, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender {
    /// Its SPI.
    pub spi: u32,
    /// Its plane.
    pub slot: Slot,
    /// Which packets it carries.
    pub family: Family,
    /// The least that a path must carry, see [`needed`].
    pub needs: u32,
}

/// The least, in octets, that a path must carry so that hosts can send through it encrypted what they may send through any:
/// of IPv6 that are 1,280 octets inside (RFC 8200 section 5). A host that is told less does not listen.
pub fn needed(sa: &Sa) -> u32 {
    match sa.family {
        Family::V4 => least(Family::V4),
        Family::V6 => sa.keys.transform().shortest_outside(Family::V6, least(Family::V6)),
    }
}

/// What hosts are told of what was found: no less than they listen to.
pub fn bearable(found: PathMtu, gate: &Gate) -> PathMtu {
    let outbound = match gate {
        Gate::Protect(protection) => &protection.outbound[..],
        Gate::Closed | Gate::Open => &[],
    };
    let of = |family| {
        let needs = outbound.iter().filter(|sa| sa.family == family).map(needed).max();
        Some(found.of(family)?.max(needs.unwrap_or_default()))
    };
    PathMtu { v4: of(Family::V4), v6: of(Family::V6) }
}

/// The path MTUs of all planes.
#[derive(Debug, Default)]
pub struct PathMtus {
    known: Vec<Known>,
}

/// The largest encrypted packet of one version of IP that a plane's paths carry, in octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Known {
    slot: Slot,
    family: Family,
    mtu: u32,
    until: Instant,
}

impl PathMtus {
    /// Takes over what a router said about a packet of `slot`, whose interface takes `link` octets; answers whether that
    /// is news.
    pub fn learn(&mut self, slot: Slot, said: TooBig, link: u32, now: Instant) -> bool {
        let until = now + AGE;
        let before = self.of(slot, said.family, now);
        let news = (least(said.family)..before.unwrap_or(link).min(link)).contains(&said.mtu);
        if news || before == Some(said.mtu) {
            self.known.retain(|known| (known.slot, known.family) != (slot, said.family));
            self.known.push(Known { slot, family: said.family, mtu: said.mtu, until });
        }
        news
    }

    /// The path MTU of a plane, if it is less than that of its interface.
    pub fn of(&self, slot: Slot, family: Family, now: Instant) -> Option<u32> {
        let mut known = self.known.iter().filter(|known| known.until > now);
        known.find(|known| (known.slot, known.family) == (slot, family)).map(|known| known.mtu)
    }

    /// That of both families.
    pub fn of_plane(&self, slot: Slot, now: Instant) -> PathMtu {
        PathMtu { v4: self.of(slot, Family::V4, now), v6: self.of(slot, Family::V6, now) }
    }

    /// Forgets what is too old; answers whether there was any.
    pub fn forget(&mut self, now: Instant) -> bool {
        let before = self.known.len();
        self.known.retain(|known| known.until > now);
        self.known.len() < before
    }

    /// When [`Self::forget`] has something to do.
    pub fn next(&self) -> Option<Instant> {
        self.known.iter().map(|known| known.until).min()
    }
}

/// Whose packet a router speaks of. One SPI may send on several planes, and the quoted addresses do not tell on which: all
/// of them are meant.
pub fn planes_of<'a>(senders: &'a [Sender], said: &'a TooBig) -> impl Iterator<Item = Sender> + 'a {
    senders.iter().filter(|sender| (sender.spi, sender.family) == (said.spi, said.family)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use xfrm::{Aead, EspKeys, Lane, Protection, Replay, SenderKey, Spi};

    const NOW: Instant = Instant::from_millis(1_000_000);

    fn said(family: Family, mtu: u32) -> TooBig {
        TooBig { family, spi: 7, mtu }
    }

    fn slot(number: u8) -> Slot {
        Slot::new(number).unwrap()
    }

    #[test]
    fn less_is_learned_and_more_is_not() {
        let mut mtus = PathMtus::default();
        let v4 = |mtu| said(Family::V4, mtu);
        assert!(mtus.learn(slot(0), v4(1400), 1500, NOW));
        assert!(!mtus.learn(slot(0), v4(1450), 1500, NOW) && !mtus.learn(slot(0), v4(1400), 1500, NOW));
        assert!(mtus.learn(slot(0), v4(1300), 1500, NOW));
        assert_eq!(mtus.of(slot(0), Family::V4, NOW), Some(1300));
        assert_eq!(mtus.of_plane(slot(0), NOW), PathMtu { v4: Some(1300), v6: None });
        assert_eq!((mtus.of(slot(1), Family::V4, NOW), mtus.of(slot(0), Family::V6, NOW)), (None, None));
    }

    #[test]
    fn what_no_honest_router_says_is_not_believed() {
        let mut mtus = PathMtus::default();
        for (family, mtu) in [
            (Family::V4, 0),
            (Family::V4, 575),
            (Family::V4, 1500),
            (Family::V4, 65_535),
            (Family::V6, 1_279),
            (Family::V6, u32::MAX),
        ] {
            assert!(!mtus.learn(slot(0), said(family, mtu), 1500, NOW), "{family:?} {mtu}");
        }
        assert!(mtus.next().is_none());
        assert!(mtus.learn(slot(0), said(Family::V4, 576), 1500, NOW));
        assert!(mtus.learn(slot(0), said(Family::V6, 1_280), 1500, NOW));
    }

    #[test]
    fn no_host_of_ipv6_is_told_less_than_it_listens_to() {
        let key = SenderKey::new(Aead::AesGcm256, vec![1; 36].into()).unwrap();
        let sa = |family| Sa {
            spi: Spi(7),
            family,
            lane: Lane::Unicast,
            keys: EspKeys::Sender(key.clone()),
            replay: Replay::Off,
            hard_lifetime: None,
        };
        let outbound = Family::ALL.map(sa).to_vec();
        let gate = Gate::Protect(Protection { outbound, ..Default::default() });
        let told = |v6| bearable(PathMtu { v4: Some(600), v6: Some(v6) }, &gate);
        for (found, told_of) in [(1280, 1356), (1355, 1356), (1356, 1356), (1400, 1400)] {
            assert_eq!(told(found), PathMtu { v4: Some(600), v6: Some(told_of) });
        }
        assert_eq!(bearable(PathMtu::default(), &gate), PathMtu::default());
    }

    #[test]
    fn it_is_forgotten_after_ten_minutes_without_confirmation() {
        let mut mtus = PathMtus::default();
        mtus.learn(slot(0), said(Family::V4, 1400), 1500, NOW);
        let later = NOW + AGE / 2;
        mtus.learn(slot(0), said(Family::V4, 1400), 1500, later);
        assert!(!mtus.forget(NOW + AGE) && mtus.next() == Some(later + AGE));
        assert_eq!(mtus.of(slot(0), Family::V4, later + AGE), None);
        assert!(mtus.forget(later + AGE) && mtus.next().is_none());
    }

    #[test]
    fn only_own_spis_count() {
        let senders = [(7, 0), (8, 1), (7, 2)].map(|(spi, number)| Sender {
            spi,
            slot: slot(number),
            family: Family::V4,
            needs: 576,
        });
        let planes = |spi| {
            let said = TooBig { spi, ..said(Family::V4, 1400) };
            planes_of(&senders, &said).map(|sender| sender.slot).collect::<Vec<_>>()
        };
        assert_eq!((planes(7), planes(9)), (vec![slot(0), slot(2)], Vec::new()));
    }
}
