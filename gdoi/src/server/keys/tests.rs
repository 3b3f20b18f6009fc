use super::*;
use crate::crypto::SystemRandom;
use crate::policy::SidGeneration;

const HOUR: Duration = Duration::from_secs(3600);

fn at(seconds: u64) -> GroupTime {
    GroupTime::from_millis(seconds * 1000)
}

fn kek(name: u8, sequence: u32, succession: Succession) -> GroupKek {
    let (spi, key, expires) = ([name; 16], Secret::new(vec![name; 48]), at(u64::from(name)));
    GroupKek {
        spi,
        key,
        expires,
        sequence,
        succession,
        lineage: None,
        generation: SidGeneration::default(),
        authors: Vec::new(),
        serves: expires,
    }
}

fn ends(keys: &Keys) -> Vec<(u32, u64)> {
    keys.teks.iter().map(|tek| (tek.spi.0, tek.expires.as_millis() / 1000)).collect()
}

#[test]
fn no_number_of_rekeys_makes_more_keys_than_are_stored() {
    let mut ours = Keys::default();
    let mut random = SystemRandom;
    let generation = SidGeneration { lineage: [1; 8], number: 1 };
    let senders = SenderTerms { generation, replay_window: 64 };
    let transform = "aes-256-cbc/hmac-sha-256".parse().unwrap();
    let new = NewTek { transform, life: HOUR, senders, place: 0, taken: &[] };
    for second in 0..100 {
        let made = ours.add_tek(new, &mut random, at(second)).unwrap();
        assert!(ours.teks.len() <= MAX_TEKS && ours.teks.last() == Some(&made));
    }
    assert_eq!(ends(&ours)[0].1, 3600 + 100 - MAX_TEKS as u64, "the first to end were forgotten");
    ours.end_teks();
    (0..100).for_each(|second| {
        ours.add_tek(new, &mut random, at(second)).unwrap();
        ours.end_teks();
    });
    assert_eq!(ours.ended.len(), MAX_ENDED);
}

/// What was told of a KEK stays: nobody hears of new keys under one that was ended.
#[test]
fn a_kek_that_was_ended_stays_so() {
    let mut ours = Keys { kek: Some(kek(9, 5, Succession::Smooth)), ..Keys::default() };
    let mut succeed = |how| {
        ours.replace_kek((32, HOUR), (None, &Division::default()), at(9), &mut SystemRandom, at(0)).unwrap();
        ours.succeeded(how);
        ours.previous_keks.iter().map(|kek| kek.succession).collect::<Vec<_>>()
    };
    use Succession::{Abrupt, Ended, Smooth};
    assert_eq!(succeed(Smooth), [Smooth]);
    assert_eq!(succeed(Abrupt), [Abrupt, Abrupt]);
    assert_eq!(succeed(Ended), [Ended; 3]);
    assert_eq!(succeed(Smooth), [Ended, Ended, Ended, Smooth]);
    (0..40).for_each(|_| drop(succeed(Smooth)));
    assert_eq!((ours.previous_keks.len(), ours.spent.len()), (MAX_KEKS - 1, 44 - (MAX_KEKS - 1)));
}

#[test]
fn keys_that_end_first_are_forgotten_first() {
    let mut numbers = vec![5, 3, 9, 1, 7];
    make_room(&mut numbers, 3, |number| at(*number));
    assert_eq!(numbers, [5, 9, 7]);
}

#[test]
fn numbers_count_for_the_kek_with_this_spi() {
    let mut ours = Keys { kek: Some(kek(1, 5, Succession::Smooth)), ..Keys::default() };
    ours.previous_keks = vec![kek(2, 9, Succession::Smooth)];
    ours.used([2; 16], 17);
    ours.used([3; 16], 99);
    let sequence = |spi| ours.kek_named(spi).map(|kek| kek.sequence);
    assert_eq!((sequence([1; 16]), sequence([2; 16]), sequence([3; 16])), (Some(5), Some(17), None));
}

/// A server that was apart may still send under a KEK that is no more used here.
#[test]
fn numbers_under_a_spent_kek_are_remembered_until_its_end() {
    let mut ours = Keys { kek: Some(kek(9, 5, Succession::Smooth)), ..Keys::default() };
    ours.replace_kek((32, HOUR), (None, &Division::default()), at(4), &mut SystemRandom, at(0)).unwrap();
    ours.replace_kek((32, HOUR), (None, &Division::default()), at(5), &mut SystemRandom, at(1)).unwrap();
    ours.expire(at(3));
    assert!(ours.kek_named([9; 16]).is_some(), "its holders know TEKs that live");
    ours.expire(at(4));
    assert!(ours.kek_named([9; 16]).is_none() && ours.previous_keks.len() == 1);
    assert_eq!((ours.used_under([9; 16]), ours.used_under([8; 16])), (5, 0));
    ours.spend(SpentKek { sequence: 3, ..kek(9, 0, Succession::Smooth).spent() });
    assert_eq!(ours.used_under([9; 16]), 5, "the highest");
    ours.expire(at(8));
    assert_eq!(ours.used_under([9; 16]), 5);
    ours.expire(at(9));
    assert_eq!(ours.used_under([9; 16]), 0);
    (0..100).for_each(|name| ours.spend(kek(name, 1, Succession::Smooth).spent()));
    assert_eq!((ours.spent.len(), ours.used_under([99; 16]), ours.used_under([35; 16])), (MAX_SPENT, 1, 0));
}

/// What a TEK has: its keys fit its transform, and senders with keys of their own have a block of SPIs.
#[test]
fn new_keys_are_of_the_kind_that_the_transform_asks_for() {
    let generation = SidGeneration { lineage: [1; 8], number: 1 };
    let senders = SenderTerms { generation, replay_window: 64 };
    for name in ["aes-128-cbc/hmac-sha-512", "aes-128-gcm", "aes-256-gcm", "chacha20-poly1305"] {
        let transform: Transform = name.parse().unwrap();
        let new = NewTek { transform, life: HOUR, senders, place: 5, taken: &[] };
        let tek = Keys::default().add_tek(new, &mut SystemRandom, at(0)).unwrap();
        let per_sender = transform.is_per_sender();
        assert!(tek.transform == transform && tek.keys.fit(transform), "{name}");
        assert_eq!((tek.senders, tek.spi.is_block_base()), (per_sender.then_some(senders), per_sender));
        assert!(!per_sender || tek.spi.0 >> 29 == 5, "{name}: {}", tek.spi);
    }
}

#[test]
fn the_block_of_a_key_is_not_given_again_while_it_may_be_in_use() {
    let generation = SidGeneration { lineage: [1; 8], number: 1 };
    let senders = SenderTerms { generation, replay_window: 0 };
    let transform = "aes-256-gcm".parse().unwrap();
    let others: Vec<_> = (1..509).map(|block| Spi(block << 20)).collect();
    let new = NewTek { transform, life: HOUR, senders, place: 0, taken: &others };
    let mut ours = Keys::default();
    ours.add_tek(new, &mut SystemRandom, at(0)).unwrap();
    ours.end_teks();
    (0..2).for_each(|_| drop(ours.add_tek(new, &mut SystemRandom, at(0)).unwrap()));
    let mut spis: Vec<_> = ours.spis().collect();
    spis.sort();
    assert_eq!(spis, [Spi(509 << 20), Spi(510 << 20), Spi(511 << 20)]);
    let none = ours.add_tek(new, &mut SystemRandom, at(0)).err();
    assert_eq!(none, Some(crate::error::Unacceptable::NoSpis.into()));
}
