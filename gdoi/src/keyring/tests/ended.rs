//! Keys of which every sender has its own, and that come again.

use super::*;
use crate::crypto::SystemRandom;

fn with_sids(values: &[u32]) -> Keyring {
    let mut keyring = empty();
    pull_with(&mut keyring, policy(vec![seeded(OLD, 1, 3600)]), &sids(1, values), 0).unwrap();
    keyring
}

fn end_all() -> Rekey {
    Rekey { deletions: vec![Deletion::AllTeks], ..push(Vec::new(), (0, 0)) }
}

fn nonces(keyring: &mut Keyring, second: u64) -> SidNonces {
    keyring.sender_id_nonces(([192, 0, 2, 1], 848).into(), &mut SystemRandom, at(second)).unwrap()
}

#[test]
fn a_key_that_comes_again_is_sent_with_under_other_sender_ids_only() {
    let mut keyring = with_sids(&[7, 9]);
    keyring.push(end_all(), at(10));
    pull_with(&mut keyring, policy(vec![seeded(OLD, 1, 3580)]), &sids(1, &[7, 9]), 20).unwrap();
    assert_eq!(shape(&keyring, 20), (vec![OLD], None), "it is read");
    assert!(keyring.lacks_sender_ids(at(20)));
    let held = keyring.holdings(crate::pull::Tell::Server, at(20));
    assert!(held.teks.is_empty(), "so that it asks for sender IDs");
    pull_with(&mut keyring, policy(vec![seeded(OLD, 1, 3570)]), &sids(1, &[8, 10]), 30).unwrap();
    assert_eq!((shape(&keyring, 30).1, keyring.view(at(30)).sids), (Some(OLD), vec![Sid(8), Sid(10)]));
    assert!(!keyring.lacks_sender_ids(at(30)));
}

/// As a rekey message does that says anew what there is, or one from another server.
#[test]
fn that_it_came_by_a_rekey_message_makes_no_difference() {
    let mut keyring = with_sids(&[7]);
    keyring.push(end_all(), at(10));
    keyring.push(push(vec![seeded(OLD, 1, 3580)], (0, 0)), at(20));
    assert_eq!((shape(&keyring, 20).1, keyring.lacks_sender_ids(at(20))), (None, true));
    keyring.push(push(vec![seeded(NEW, 1, 3580)], (0, 0)), at(30));
    assert_eq!((shape(&keyring, 30).1, keyring.lacks_sender_ids(at(30))), (Some(NEW), false));
}

/// The data plane sees no difference.
#[test]
fn what_one_message_ends_and_brings_goes_on() {
    let mut keyring = with_sids(&[7]);
    let anew = Rekey { deletions: vec![Deletion::AllTeks], ..push(vec![seeded(OLD, 1, 3580)], (0, 0)) };
    keyring.push(anew, at(10));
    assert_eq!((shape(&keyring, 10).1, keyring.view(at(10)).sids), (Some(OLD), vec![Sid(7)]));
}

#[test]
fn a_key_whose_life_was_over_counts_as_well() {
    let mut keyring = with_sids(&[7]);
    assert!(keyring.expire(at(3_700)));
    assert!(nonces(&mut keyring, 3_700).others.is_some(), "a server may have gone back");
    pull_with(&mut keyring, policy(vec![seeded(OLD, 1, 60)]), &sids(1, &[7]), 3_701).unwrap();
    assert_eq!((shape(&keyring, 3_701).1, keyring.lacks_sender_ids(at(3_701))), (None, true));
}

/// The nonce of those becomes that of the member when they come under it.
#[test]
fn others_are_asked_for_where_what_was_ended_is_offered() {
    let mut keyring = with_sids(&[7]);
    let own = nonces(&mut keyring, 5);
    assert_eq!(own.others, None);
    keyring.push(end_all(), at(10));
    let asked = nonces(&mut keyring, 20);
    let (spis, other) = asked.others.clone().unwrap();
    assert_eq!((asked.own, spis), (own.own, vec![Spi(OLD)]));
    assert_eq!(nonces(&mut keyring, 21), asked, "as often as it asks");
    let given = SenderIds { nonce: Some(other), ..sids(1, &[8]) };
    pull_with(&mut keyring, policy(vec![seeded(OLD, 1, 3570)]), &given, 30).unwrap();
    assert_eq!(nonces(&mut keyring, 31), SidNonces { own: other, others: None });
}

#[test]
fn under_an_spi_that_has_new_keys_the_sender_ids_are_new_as_well() {
    let mut keyring = with_sids(&[7]);
    keyring.push(end_all(), at(10));
    let other = Tek { keys: seeded(5, 1, 60).keys, ..seeded(OLD, 1, 3600) };
    keyring.push(push(vec![other], (0, 0)), at(20));
    assert_eq!(shape(&keyring, 20).1, Some(OLD), "it is another key");
}

#[test]
fn so_many_are_remembered_and_then_others_are_asked_for() {
    let mut keyring = with_sids(&[7]);
    let own = nonces(&mut keyring, 0).own;
    let mut replace = |number: u32| {
        let keys = TekKeys::PerSender(Seed::new(Secret::new((number + 1).to_be_bytes().repeat(8))).unwrap());
        keyring.push(end_all(), at(1));
        keyring.push(push(vec![Tek { keys, ..seeded(OLD, 1, 3600) }], (0, 0)), at(1));
        nonces(&mut keyring, 1).own
    };
    assert!((0..256).all(|number| replace(number) == own));
    assert_ne!(replace(256), own);
}
