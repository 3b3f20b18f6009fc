use super::*;
use crate::crypto::SystemRandom;

const HOUR: Duration = Duration::from_secs(3600);

fn at(seconds: u64) -> Instant {
    Instant::from_millis(seconds * 1000)
}

fn tek(spi: u32, expires: u64) -> GroupTek {
    let keys = TekKeys { encryption: Secret::new(vec![1; 32]), integrity: Secret::new(vec![2; 32]) };
    let transform = "aes-256-cbc/hmac-sha-256".parse().unwrap();
    GroupTek { spi: Spi(spi), transform, keys, expires: at(expires) }
}

fn kek(name: u8, sequence: u32, succession: Succession) -> GroupKek {
    let (spi, key, expires) = ([name; 16], Secret::new(vec![name; 48]), at(u64::from(name)));
    GroupKek { spi, key, expires, sequence, succession, lineage: None }
}

fn keys(teks: &[(u32, u64)]) -> Keys {
    Keys { teks: teks.iter().map(|(spi, expires)| tek(*spi, *expires)).collect(), ..Keys::default() }
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
    let mut ours = Keys { kek: Some(kek(1, 5, Succession::Smooth)), ..Keys::default() };
    ours.previous_keks = vec![kek(2, 9, Succession::Abrupt)];
    let mut theirs = Keys { kek: Some(kek(2, 4, Succession::Ended)), ..Keys::default() };
    theirs.previous_keks = vec![kek(1, 8, Succession::Smooth), kek(3, 1, Succession::Smooth)];
    ours.join(&theirs);
    assert!(ours.kek == Some(kek(1, 8, Succession::Smooth)), "the highest number");
    let previous = [kek(2, 9, Succession::Ended), kek(3, 1, Succession::Smooth)];
    assert!(ours.previous_keks == previous, "the gravest succession");
    let before = ours.clone();
    ours.join(&theirs);
    assert!(ours == before, "nothing new");
}

#[test]
fn no_number_of_rekeys_and_merges_makes_more_keys_than_are_stored() {
    let mut ours = Keys::default();
    let mut random = SystemRandom;
    let transform = "aes-256-cbc/hmac-sha-256".parse().unwrap();
    for second in 0..100 {
        let made = ours.add_tek(transform, HOUR, &mut random, at(second)).unwrap();
        assert!(ours.teks.len() <= MAX_TEKS && ours.teks.last() == Some(&made));
    }
    assert_eq!(ends(&ours)[0].1, 3600 + 100 - MAX_TEKS as u64, "the first to end were forgotten");
    ours.end_teks();
    (0..100).for_each(|second| {
        ours.add_tek(transform, HOUR, &mut random, at(second)).unwrap();
        ours.end_teks();
    });
    assert_eq!(ours.ended.len(), MAX_ENDED);
    for side in 0..8 {
        let mut theirs = keys(&(1..=32).map(|spi| (spi + (side + 1) * 1000, 90)).collect::<Vec<_>>());
        theirs.ended = (1..=32).map(|spi| (Spi(spi + (side + 1) * 5000), at(90))).collect();
        theirs.kek = Some(kek(100 + side as u8, 0, Succession::Smooth));
        theirs.previous_keks =
            (1..=16).map(|name| kek(name + side as u8 * 20, 0, Succession::Smooth)).collect();
        ours.join(&theirs);
    }
    assert_eq!((ours.teks.len(), ours.ended.len()), (MAX_TEKS, MAX_ENDED));
    assert!(ours.previous_keks.len() < MAX_KEKS, "there is room for the one of now");
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
    let named = ours.named(&[kek(2, 0, Succession::Smooth), kek(3, 0, Succession::Smooth)]);
    assert!(named == [kek(2, 17, Succession::Smooth)]);
}
