//! States of two sides.

use super::*;
use crate::coop::Author;
use crate::crypto::Secret;
use crate::policy::{Spi, TekKeys};
use crate::server::keys::{GroupKek, GroupTek, Succession};
use std::time::Duration;

pub(in crate::server) const OURS: Author = Author([1; 8]);
pub(in crate::server) const THEIRS: Author = Author([2; 8]);

pub(in crate::server) fn at(seconds: u64) -> GroupTime {
    GroupTime::from_millis(seconds * 1000)
}

pub(in crate::server) fn tek(spi: u32, expires: GroupTime) -> GroupTek {
    let (encryption, integrity) = (Secret::new(vec![1; 32]), Secret::new(vec![2; 32]));
    let keys = TekKeys::Shared { encryption, integrity };
    let transform = "aes-256-cbc/hmac-sha-256".parse().unwrap();
    GroupTek { spi: Spi(spi), transform, keys, senders: None, expires }
}

pub(in crate::server) fn kek(name: u8, sequence: u32) -> GroupKek {
    let (spi, key, lineage) = ([name; 16], Secret::new(vec![name; 48]), Some(Lineage(OURS.0)));
    GroupKek {
        spi,
        key,
        expires: at(1 << 30),
        sequence,
        succession: Succession::Smooth,
        lineage,
        generation: SidGeneration { lineage: [7; 8], number: 0 },
        authors: vec![OURS, THEIRS],
        serves: at(1 << 30),
    }
}

/// What `author` made: these TEKs that live for an hour and this KEK.
pub(in crate::server) fn state(author: Author, teks: &[u32], kek: GroupKek) -> GroupState {
    let mut state = GroupState { lineage: Some(Lineage(OURS.0)), ..GroupState::default() };
    state.versions.raise(author, 1);
    state.division.begin([7; 8], OURS, &[OURS, THEIRS], at(0));
    state.keys.teks = teks.iter().map(|spi| tek(*spi, at(4_000))).collect();
    state.keys.kek = Some(kek);
    state
}

pub(in crate::server) fn spis(state: &GroupState) -> Vec<u32> {
    state.keys.teks.iter().map(|tek| tek.spi.0).collect()
}

#[test]
fn a_union_has_all_that_any_side_has() {
    let (mut ours, mut theirs) = (state(OURS, &[256], kek(1, 5)), state(THEIRS, &[257], kek(2, 7)));
    ours.revoked.insert([10, 0, 0, 1].into());
    theirs.revoked.insert([10, 0, 0, 2].into());
    (ours.rekeys, theirs.rekeys, theirs.under_way) = (3, 9, true);
    let union = GroupState::union(&[ours, theirs], at(0));
    assert_eq!((spis(&union), union.rekeys, union.under_way), (vec![256, 257], 9, true));
    assert_eq!((union.versions.of(OURS), union.versions.of(THEIRS)), (1, 1));
    assert_eq!(union.revoked.len(), 2);
    assert!(
        union.keys.kek == Some(kek(1, 5)) && union.keys.previous_keks == [kek(2, 7).serving_until(at(4_000))]
    );
}

#[test]
fn a_union_has_the_highest_number_of_a_kek_and_nothing_that_was_ended() {
    let (mut ours, theirs) = (state(OURS, &[256], kek(1, 5)), state(THEIRS, &[256, 257], kek(1, 13)));
    ours.keys.end_teks();
    ours.keys.teks = vec![tek(258, at(10)), tek(259, at(4_000))];
    for sides in [[ours.clone(), theirs.clone()], [theirs, ours]] {
        let union = GroupState::union(&sides, at(10));
        assert_eq!(spis(&union).into_iter().collect::<BTreeSet<_>>(), BTreeSet::from([257, 259]));
        assert!(union.keys.kek == Some(kek(1, 13)) && union.keys.previous_keks.is_empty());
    }
}

#[test]
fn times_of_another_group_become_those_of_this_one() {
    let mut state = state(OURS, &[256], kek(1, 5));
    state.keys.ended = vec![(Spi(300), at(7))];
    state.keys.previous_keks = vec![kek(2, 5)];
    state.last_rekey = Some(at(8));
    state.rebase(|time| time + Duration::from_secs(1));
    assert_eq!((state.keys.teks[0].expires, state.keys.ended[0].1), (at(4_001), at(8)));
    let keks = state.keys.kek.iter().chain(&state.keys.previous_keks);
    assert!(keks.map(|kek| (kek.expires, kek.serves)).eq([(at((1 << 30) + 1), at((1 << 30) + 1)); 2]));
    assert_eq!(state.last_rekey, Some(at(9)));
}
