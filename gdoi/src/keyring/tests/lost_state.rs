//! A server that does not know what it gave: it lost its state or goes on from an older one, or keys were ended by a message
//! that did not come.

use super::*;

fn delayed(teks: Vec<Tek>) -> GroupPolicy {
    GroupPolicy { activation_delay: Some(Duration::from_secs(15)), ..policy(teks) }
}

#[test]
fn what_is_listed_sends_after_the_delay_where_what_sent_is_listed_no_more() {
    let mut keyring = empty();
    pull(&mut keyring, delayed(vec![tek(1000, 3600)]), 0);
    pull(&mut keyring, delayed(vec![tek(2000, 3600)]), 100);
    assert_eq!(shape(&keyring, 114), (vec![1000, 2000], Some(1000)));
    assert_eq!(shape(&keyring, 115), (vec![1000, 2000], Some(2000)), "and others are heard on");
    assert_eq!(keyring.last_tek(at(115)).map(|(end, _)| end), Some(at(3700)));
    assert_eq!(shape(&keyring, 3602), (vec![2000], Some(2000)));
}

#[test]
fn the_end_of_a_key_without_a_future_is_no_reason_to_wait() {
    let mut keyring = empty();
    pull(&mut keyring, delayed(vec![tek(1000, 36_000)]), 0);
    pull(&mut keyring, delayed(vec![tek(2000, 600)]), 100);
    assert_eq!(
        keyring.last_tek(at(200)).map(|(end, _)| end),
        Some(at(700)),
        "the member registers before this one ends"
    );
}

#[test]
fn of_several_that_are_listed_the_first_sends_to_shortly_before_its_end() {
    let mut keyring = empty();
    pull(&mut keyring, delayed(vec![tek(1000, 3600)]), 0);
    pull(&mut keyring, delayed(vec![tek(2000, 300), tek(3000, 3600)]), 100);
    assert_eq!(
        [114, 115, 350, 399].map(|second| shape(&keyring, second).1),
        [1000, 2000, 2000, 3000].map(Some)
    );
}

/// A forced rekey that the server has forgotten.
#[test]
fn a_key_that_is_listed_again_sends_at_once_and_has_its_old_end() {
    let mut keyring = empty();
    pull(&mut keyring, delayed(vec![tek(1000, 3600)]), 0);
    keyring.push(push(vec![tek(2000, 3600)], (15, 45)), at(100));
    assert_eq!(shape(&keyring, 120), (vec![1000, 2000], Some(2000)));
    pull(&mut keyring, delayed(vec![tek(1000, 3480)]), 120);
    assert_eq!(shape(&keyring, 120), (vec![1000, 2000], Some(1000)));
    assert_eq!(shape(&keyring, 3000), (vec![1000, 2000], Some(1000)));
    keyring.push(push(vec![tek(2000, 500)], (0, 0)), at(3000));
    assert_eq!(shape(&keyring, 3000).1, Some(2000), "until a message lists the other again");
}

#[test]
fn nothing_is_put_off_where_all_is_listed() {
    let mut keyring = empty();
    pull(&mut keyring, policy(vec![tek(1000, 3600)]), 0);
    keyring.push(push(vec![tek(1000, 60)], (0, 0)), at(100));
    pull(&mut keyring, policy(vec![tek(1000, 3490)]), 110);
    assert_eq!(shape(&keyring, 161), (vec![1000], None));
}

fn with_kek(sequence: u32, time: u64) -> GroupPolicy {
    let kek = Kek { sequence, ..kek(86_400) };
    GroupPolicy { kek: Some(kek), pseudotime: Some(time * 1000), ..policy(vec![tek(1000, 3600)]) }
}

fn message(sequence: u32, time: u64) -> Rekey {
    let policy = Some(GroupPolicy { pseudotime: Some(time * 1000), ..policy(vec![tek(1000, 3000)]) });
    Rekey { kek_spi: [7; 16], sequence, deletions: Vec::new(), policy }
}

#[test]
fn a_server_that_counts_from_an_older_state_is_followed_and_old_messages_are_not() {
    let mut keyring = empty();
    pull(&mut keyring, with_kek(3, 50), 50);
    keyring.push(message(9, 100), at(100));
    pull(&mut keyring, with_kek(4, 200), 200);
    assert_eq!(keyring.kek(at(200)).map(|(kek, _)| kek.sequence), Some(4));
    let replayed = Err(Misbehaved::Sequence { got: 9, last: 9 }.into());
    assert_eq!(keyring.check(&message(9, 100)), replayed, "that was before");
    assert_eq!(keyring.check(&message(5, 99)), Err(Misbehaved::Sequence { got: 5, last: 9 }.into()));
    assert_eq!(keyring.check(&message(5, 150)), Ok(()), "made after the last that was taken in");
    assert_eq!(keyring.check(&message(10, 90)), Ok(()), "this number was not used");
    let other = Kek { spi: [8; 16], ..kek(86_400) };
    pull(&mut keyring, GroupPolicy { kek: Some(other), ..with_kek(0, 300) }, 300);
    assert_eq!(keyring.check(&message(5, 99)), Ok(()), "and another KEK has numbers of its own");
}

#[test]
fn without_the_groups_time_no_number_goes_back() {
    let mut keyring = empty();
    let timeless = |sequence| GroupPolicy { pseudotime: None, ..with_kek(sequence, 0) };
    pull(&mut keyring, timeless(9), 0);
    pull(&mut keyring, timeless(4), 100);
    assert_eq!(keyring.kek(at(100)).map(|(kek, _)| kek.sequence), Some(9));
}

#[test]
fn a_registration_says_whether_it_brought_anything() {
    let mut keyring = empty();
    let mut gain =
        |policy: GroupPolicy, second| pull_with(&mut keyring, policy, &SenderIds::default(), second);
    assert_eq!(gain(with_kek(3, 50), 50), Ok(Gain::Something));
    assert_eq!(gain(with_kek(3, 60), 60), Ok(Gain::Nothing));
    assert_eq!(gain(with_kek(4, 70), 70), Ok(Gain::Something), "a message was missed");
    assert_eq!(gain(GroupPolicy { mode: SendMode::ReceiveOnly, ..with_kek(4, 80) }, 80), Ok(Gain::Something));
    let list = Acl::new(vec!["permit ip 10.0.0.0/9 any".parse().unwrap()]).unwrap();
    assert_eq!(gain(GroupPolicy { acl: AclNotice::List(list), ..with_kek(4, 90) }, 90), Ok(Gain::Something));
    let two = GroupPolicy { teks: vec![tek(1000, 3000), tek(2000, 3600)], ..with_kek(4, 100) };
    assert_eq!(gain(two, 100), Ok(Gain::Something));
    let none = GroupPolicy { kek: None, ..with_kek(4, 110) };
    assert_eq!(gain(none.clone(), 110), Ok(Gain::Something));
    assert_eq!(gain(none, 120), Ok(Gain::Nothing));
}

#[test]
fn which_keys_it_lacks() {
    let mut keyring = empty();
    pull_with(&mut keyring, policy(vec![seeded(OLD, 1, 60), tek(1000, 600)]), &sids(1, &[7]), 0).unwrap();
    let lacks = |keyring: &Keyring, spi, second| keyring.lacks_key_of(Spi(spi), at(second));
    assert_eq!(
        [OLD | 5, 1000, 1001, NEW | 5].map(|spi| lacks(&keyring, spi, 10)),
        [false, false, true, true]
    );
    keyring.expire(at(70));
    assert_eq!(
        [70, 169, 170].map(|second| lacks(&keyring, OLD | 5, second)),
        [false, false, true],
        "given up at 70"
    );
}
