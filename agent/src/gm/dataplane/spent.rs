//! Sending states that must not be made a second time: under a key of one sender (AES-GCM, ChaCha20-Poly1305) sequence
//! numbers, and with them nonces, would begin anew. What they would send is blocked until the member has new sender IDs.
//!
//! That none is made twice, the kernel sees to ([`xfrm::Report::spent`]): it knows what was used, with which key, long after that
//! is gone. Here stands what is known of it beforehand, and what operators and members have heard of, so within bounds.

use crate::gm::path_mtu::Sender;
use std::collections::{HashSet, VecDeque};
use xfrm::{Desired, EspKeys, Gate, Plane, Sa, Slot, Spi};

/// So many are remembered of each kind.
const MOST: usize = 1_024;

/// What was used before.
#[derive(Debug, Default)]
pub struct Spent {
    /// By states that were removed here, when a group was detached.
    retired: Places,
    /// By states that somebody else removed, or whose keys have gone and come back.
    lost: Places,
    /// Planes whose members do not know it yet.
    news: Vec<Slot>,
    /// Planes that cannot send all that they should, at the moment.
    withheld: HashSet<Slot>,
}

/// The last [`MOST`] of them.
#[derive(Debug, Default)]
struct Places(VecDeque<(Slot, Spi)>);

impl Spent {
    /// These states are removed now.
    pub fn retire<'a>(&mut self, senders: impl IntoIterator<Item = &'a Sender>) {
        for sender in senders {
            self.retired.insert((sender.slot, Spi(sender.spi)));
        }
    }

    /// Takes out of what is desired what was removed before.
    pub fn withhold(&mut self, desired: &mut Desired) {
        self.withheld.clear();
        for Plane { slot, gate, .. } in &mut desired.planes {
            let Gate::Protect(protection) = gate else { continue };
            let is_in = |places: &Places, sa: &Sa| {
                matches!(sa.keys, EspKeys::Sender(_)) && places.0.contains(&(*slot, sa.spi))
            };
            if protection.outbound.iter().any(|sa| is_in(&self.retired, sa) || is_in(&self.lost, sa)) {
                self.withheld.insert(*slot);
            }
            protection.outbound.retain(|sa| !is_in(&self.retired, sa));
        }
    }

    /// Whether the plane cannot send all that it should.
    pub fn withholds(&self, slot: Slot) -> bool {
        self.withheld.contains(&slot)
    }

    /// The kernel has lost these; answers whether that is news.
    pub fn lose(&mut self, spent: &[(Slot, Spi)]) -> bool {
        self.withheld.extend(spent.iter().map(|(slot, _)| *slot));
        let news = spent.iter().filter(|one| self.lost.insert(**one)).map(|(slot, _)| *slot);
        let before = self.news.len();
        self.news.extend(news.collect::<Vec<_>>());
        self.news.len() > before
    }

    /// The planes that have lost something since this was asked last.
    pub fn take_news(&mut self) -> Vec<Slot> {
        std::mem::take(&mut self.news)
    }
}

impl Places {
    /// Answers whether it is a new one.
    fn insert(&mut self, place: (Slot, Spi)) -> bool {
        let is_new = !self.0.contains(&place);
        if is_new {
            self.0.truncate(MOST - 1);
            self.0.push_front(place);
        }
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xfrm::{Aead, Cipher, Family, Integrity, Lane, PathMtu, Protection, Replay, SenderKey, SharedKeys};

    fn slot() -> Slot {
        Slot::new(0).unwrap()
    }

    fn desired() -> Desired {
        let sa = |spi, keys| Sa {
            spi: Spi(spi),
            family: Family::V4,
            lane: Lane::Unicast,
            keys,
            replay: Replay::Off,
            hard_lifetime: None,
        };
        let lone = EspKeys::Sender(SenderKey::new(Aead::AesGcm128, vec![1; 20].into()).unwrap());
        let (encryption, authentication) = (vec![1; 16].into(), vec![2; 32].into());
        let shared =
            SharedKeys::new((Cipher::AesCbc128, encryption), (Integrity::HmacSha256, authentication))
                .unwrap();
        let protection = Protection {
            outbound: vec![sa(7, lone.clone()), sa(8, lone), sa(9, EspKeys::Shared(shared))],
            ..Default::default()
        };
        Desired {
            planes: vec![Plane {
                interface: "wan0".into(),
                local: [198, 51, 100, 1].into(),
                slot: slot(),
                servers: Vec::new(),
                rekey_group: None,
                clear: Vec::new(),
                mss: None,
                path_mtu: PathMtu::default(),
                gate: Gate::Protect(protection),
            }],
        }
    }

    fn sending(desired: &Desired) -> Vec<u32> {
        let Gate::Protect(protection) = &desired.planes[0].gate else { panic!("it protects") };
        protection.outbound.iter().map(|sa| sa.spi.0).collect()
    }

    #[test]
    fn a_key_of_one_sender_does_not_come_back_and_shared_ones_do() {
        let (mut spent, mut desired) = (Spent::default(), desired());
        spent.withhold(&mut desired);
        assert_eq!(sending(&desired), [7, 8, 9]);
        spent.retire(&[7, 9].map(|spi| Sender { spi, slot: slot(), family: Family::V4, needs: 576 }));
        spent.withhold(&mut desired);
        assert_eq!((sending(&desired), spent.withholds(slot())), (vec![8, 9], true));
        spent.withhold(&mut desired);
        assert!(!spent.withholds(slot()), "these were never used");
    }

    #[test]
    fn a_loss_is_told_once() {
        let mut spent = Spent::default();
        let lost = [(slot(), Spi(7))];
        assert!(spent.lose(&lost) && !spent.lose(&lost));
        assert!(spent.withholds(slot()), "at once");
        spent.withhold(&mut desired());
        assert!(spent.withholds(slot()), "and as long as it is wanted");
        spent.withhold(&mut Desired::default());
        assert!(!spent.withholds(slot()));
        assert_eq!((spent.take_news(), spent.take_news()), (vec![slot()], Vec::new()));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut spent = Spent::default();
        for spi in 0..3 * MOST as u32 {
            spent.retire(&[Sender { spi, slot: slot(), family: Family::V4, needs: 576 }]);
            assert!(spent.lose(&[(slot(), Spi(spi))]));
        }
        assert_eq!((spent.retired.0.len(), spent.lost.0.len()), (MOST, MOST));
    }
}
