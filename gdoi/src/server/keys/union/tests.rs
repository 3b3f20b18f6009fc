//! Keys of two sides.

use super::*;
use crate::coop::Author;
use crate::policy::Spi;
use crate::server::keys::{GroupKek, GroupTek, Succession, MAX_ENDED, MAX_KEKS, MAX_TEKS};
use crate::server::state::tests::{at, kek, tek};

fn tek_until(spi: u32, expires: u64) -> GroupTek {
    tek(spi, at(expires))
}

/// Its number, its end and all its octets are the same.
fn named(name: u8, sequence: u32, succession: Succession) -> GroupKek {
    GroupKek { expires: at(name.into()), succession, ..kek(name, sequence) }
}

fn keys(teks: &[(u32, u64)]) -> Keys {
    let teks = teks.iter().map(|(spi, expires)| tek_until(*spi, *expires)).collect();
    Keys { teks, ..Keys::default() }
}

fn ends(keys: &Keys) -> Vec<(u32, u64)> {
    keys.teks.iter().map(|tek| (tek.spi.0, tek.expires.as_millis() / 1000)).collect()
}

#[test]
fn joined_keys_end_at_the_earlier_time_and_stand_in_the_order_of_their_ends() {
    let mut ours = keys(&[(256, 50), (257, 100)]);
    ours.join(&keys(&[(300, 70), (257, 80)]));
    assert_eq!(ends(&ours), [(256, 50), (300, 70), (257, 80)]);
    ours.join(&keys(&[(257, 90), (256, 200)]));
    assert_eq!(ends(&ours), [(256, 50), (300, 70), (257, 80)]);
}

#[test]
fn what_either_side_ended_does_not_come_back() {
    let mut ended = keys(&[(256, 50)]);
    ended.end_teks();
    assert_eq!((ends(&ended), &ended.ended), (vec![], &vec![(Spi(256), at(50))]));
    let mut ours = ended.clone();
    ours.join(&keys(&[(256, 50), (300, 70)]));
    assert_eq!(ends(&ours), [(300, 70)]);
    let mut ours = keys(&[(256, 50), (300, 70)]);
    ours.join(&ended);
    ours.join(&ended);
    assert_eq!((ends(&ours), &ours.ended), (vec![(300, 70)], &ended.ended));
    assert!(!ours.expire(at(49)) && ours.ended.len() == 1);
    ours.expire(at(50));
    assert!(ours.ended.is_empty(), "by now it would have ended anyway");
}

#[test]
fn the_kek_of_this_side_stays_and_all_others_are_those_before() {
    let mut ours = Keys { kek: Some(named(1, 5, Succession::Smooth)), ..Keys::default() };
    ours.previous_keks = vec![named(2, 9, Succession::Abrupt)];
    let mut theirs = Keys { kek: Some(named(2, 4, Succession::Ended)), ..Keys::default() };
    theirs.previous_keks = vec![named(1, 8, Succession::Smooth), named(3, 1, Succession::Smooth)];
    ours.join(&theirs);
    assert!(ours.kek == Some(named(1, 8, Succession::Smooth)), "the highest number");
    let previous = [named(2, 9, Succession::Ended), named(3, 1, Succession::Smooth)];
    assert!(ours.previous_keks == previous, "the gravest succession");
    let before = ours.clone();
    ours.join(&theirs);
    assert!(ours == before, "nothing new");
}

#[test]
fn no_number_of_merges_makes_more_keys_than_are_stored() {
    let mut ours = Keys::default();
    for side in 0..8 {
        let mut theirs = keys(&(1..=32).map(|spi| (spi + (side + 1) * 1000, 90)).collect::<Vec<_>>());
        theirs.ended = (1..=32).map(|spi| (Spi(spi + (side + 1) * 5000), at(90))).collect();
        theirs.kek = Some(named(100 + side as u8, 0, Succession::Smooth));
        theirs.previous_keks =
            (1..=16).map(|name| named(name + side as u8 * 20, 0, Succession::Smooth)).collect();
        ours.join(&theirs);
    }
    assert_eq!((ours.teks.len(), ours.ended.len()), (MAX_TEKS, MAX_ENDED));
    assert!(ours.previous_keks.len() < MAX_KEKS, "there is room for the one of now");
}

#[test]
fn used_numbers_stay_used() {
    let mut adopted = Keys { kek: Some(named(1, 5, Succession::Smooth)), ..Keys::default() };
    let mut before = Keys::default();
    before.spend(named(2, 77, Succession::Smooth).spent());
    adopted.keep_numbers_of(&before);
    assert_eq!((adopted.used_under([1; 16]), adopted.used_under([2; 16])), (5, 77));
}

#[test]
fn who_got_a_place_has_it_on_both_sides() {
    let authors = |count: u8| (1..=count).map(|name| Author([name; 8])).collect::<Vec<_>>();
    let with = |count| {
        let kek = GroupKek { authors: authors(count), ..named(1, 5, Succession::Smooth) };
        Keys { kek: Some(kek), ..Keys::default() }
    };
    for (ours, theirs) in [(2, 3), (3, 2)] {
        let mut joined = with(ours);
        joined.join(&with(theirs));
        assert_eq!(joined.kek.unwrap().authors, authors(3));
    }
}

#[test]
fn what_either_side_knows_of_spent_keks_is_known() {
    let (mut ours, mut theirs) = (Keys::default(), Keys::default());
    ours.spend(named(1, 5, Succession::Smooth).spent());
    theirs.spend(named(1, 9, Succession::Smooth).spent());
    theirs.spend(named(2, 3, Succession::Smooth).spent());
    ours.join(&theirs);
    assert_eq!((ours.used_under([1; 16]), ours.used_under([2; 16])), (9, 3));
}
