mod constancy;
mod ended;
mod lost_state;
mod traffic;

use super::*;
use crate::crypto::sign::{NewKey, SigningKey};
use crate::crypto::{Hash, Secret};
use crate::policy::{Seed, SenderTerms, Spi, TekKeys};

fn at(second: u64) -> Instant {
    Instant::from_millis(second * 1000)
}

fn tek(spi: u32, lifetime: u64) -> Tek {
    let (encryption, integrity) = (Secret::new(vec![spi as u8; 32]), Secret::new(vec![1; 32]));
    let keys = TekKeys::Shared { encryption, integrity };
    let transform = "aes-256-cbc/hmac-sha-256".parse().unwrap();
    Tek {
        spi: Spi(spi),
        transform,
        keys,
        senders: None,
        lifetime: Duration::from_secs(lifetime),
        selectors: Vec::new(),
    }
}

fn policy(teks: Vec<Tek>) -> GroupPolicy {
    let acl = Acl::new(vec!["permit ip 10.0.0.0/8 10.0.0.0/8".parse().unwrap()]).unwrap();
    GroupPolicy {
        acl: AclNotice::List(acl),
        mode: SendMode::Both,
        teks,
        kek: None,
        activation_delay: None,
        deactivation_delay: None,
        pseudotime: None,
    }
}

fn kek(lifetime: u64) -> Kek {
    let key = SigningKey::from_pkcs8(&NewKey::EcdsaP256.generate().unwrap(), Hash::Sha256).unwrap();
    let address = SocketAddr::new([192, 0, 2, 1].into(), 848);
    Kek {
        spi: [7; 16],
        key: Secret::new(vec![3; 48]),
        lifetime: Duration::from_secs(lifetime),
        signature: key.algorithm(),
        verification: key.public().clone(),
        source: address,
        destination: address,
        sequence: 0,
        ack: None,
    }
}

/// A PULL that is answered at once.
fn pull(keyring: &mut Keyring, policy: GroupPolicy, second: u64) {
    pull_with(keyring, policy, &SenderIds::default(), second).unwrap();
}

fn pull_with(
    keyring: &mut Keyring,
    policy: GroupPolicy,
    sids: &SenderIds,
    second: u64,
) -> Result<Gain, Misbehaved> {
    let made = Made { earliest: at(second), latest: at(second) };
    keyring.pull(policy, sids, made, Others::Alike, at(second))
}

fn empty() -> Keyring {
    Keyring::new(GroupId(100))
}

fn shape(keyring: &Keyring, second: u64) -> (Vec<u32>, Option<u32>) {
    let view = keyring.view(at(second));
    (view.inbound.iter().map(|sa| sa.spi.0).collect(), view.outbound.map(|sa| sa.spi.0))
}

#[test]
fn nothing_before_the_first_download() {
    assert_eq!(empty().view(at(0)), View::default());
    assert_eq!(empty().next_change(at(0)), None);
}

#[test]
fn a_single_tek_sends_at_once_and_to_its_end() {
    let mut keyring = empty();
    pull(&mut keyring, policy(vec![tek(1000, 60)]), 0);
    assert_eq!(shape(&keyring, 0), (vec![1000], Some(1000)));
    assert_eq!(keyring.next_change(at(0)), Some(at(60)));
    assert_eq!(shape(&keyring, 59), (vec![1000], Some(1000)));
    assert_eq!(shape(&keyring, 61), (vec![1000], None), "still received for a moment");
    assert_eq!(shape(&keyring, 62), (vec![], None));
    assert!(keyring.view(at(62)).registered, "the ACL still blocks");
}

#[test]
fn the_end_of_the_last_key_is_told_once() {
    let mut keyring = empty();
    pull(&mut keyring, policy(vec![tek(1000, 30), tek(2000, 60)]), 0);
    assert_eq!(
        [30, 32, 61, 62, 63].map(|second| keyring.expire(at(second))),
        [false, false, false, true, false]
    );
    assert_eq!(keyring.next_change(at(63)), None);
}

#[test]
fn the_rekey_group_ends_with_its_key() {
    let mut keyring = empty();
    let destination: SocketAddr = "239.192.0.1:848".parse().unwrap();
    let kek = Some(Kek { destination, ..kek(40) });
    pull(&mut keyring, GroupPolicy { kek, ..policy(vec![tek(1000, 60)]) }, 0);
    assert_eq!(
        (keyring.view(at(39)).rekey_group, keyring.next_change(at(39))),
        (Some(destination), Some(at(40) + GRACE))
    );
    assert_eq!((keyring.view(at(42)).rekey_group, keyring.next_change(at(42))), (None, Some(at(60))));
}

#[test]
fn roll_over_receives_both_and_sends_the_old_until_shortly_before_its_end() {
    let mut keyring = empty();
    pull(&mut keyring, policy(vec![tek(1000, 3600)]), 0);
    pull(&mut keyring, policy(vec![tek(1000, 200), tek(2000, 3500)]), 3400);
    assert_eq!(shape(&keyring, 3400), (vec![1000, 2000], Some(1000)));
    assert_eq!(keyring.next_change(at(3400)), Some(at(3570)));
    assert_eq!(shape(&keyring, 3570), (vec![1000, 2000], Some(2000)));
    assert_eq!(shape(&keyring, 3602), (vec![2000], Some(2000)));
}

#[test]
fn the_activation_delay_is_a_minimum_but_never_leaves_a_gap() {
    let mut keyring = empty();
    let with_delay =
        |teks, seconds| GroupPolicy { activation_delay: Some(Duration::from_secs(seconds)), ..policy(teks) };
    pull(&mut keyring, with_delay(vec![tek(1000, 60)], 5), 0);
    pull(&mut keyring, with_delay(vec![tek(1000, 30), tek(2000, 60)], 20), 30);
    assert_eq!(shape(&keyring, 58).1, Some(1000));
    assert_eq!(shape(&keyring, 59).1, Some(2000), "1.7 s before the end");
    pull(&mut keyring, with_delay(vec![tek(2000, 10), tek(3000, 60)], 1000), 80);
    assert_eq!(shape(&keyring, 89).1, Some(2000));
    assert_eq!(shape(&keyring, 90).1, Some(3000));
}

#[test]
fn a_new_member_in_the_middle_of_a_roll_over_does_as_the_others() {
    let mut keyring = empty();
    pull(&mut keyring, policy(vec![tek(1000, 120), tek(2000, 3600)]), 0);
    assert_eq!(shape(&keyring, 0), (vec![1000, 2000], Some(1000)));
    assert_eq!(shape(&keyring, 117).1, Some(2000));
}

fn push(teks: Vec<Tek>, delays: (u64, u64)) -> Rekey {
    let (activation, deactivation) = (Duration::from_secs(delays.0), Duration::from_secs(delays.1));
    let delays = (Some(activation), Some(deactivation).filter(|delay| !delay.is_zero()));
    let policy = GroupPolicy { activation_delay: delays.0, deactivation_delay: delays.1, ..policy(teks) };
    Rekey { kek_spi: [0; 16], sequence: 1, deletions: Vec::new(), policy: Some(policy) }
}

#[test]
fn a_push_switches_after_its_delay_and_retires_after_the_other() {
    let mut keyring = empty();
    pull(&mut keyring, policy(vec![tek(1000, 3600)]), 0);
    keyring.push(push(vec![tek(2000, 3600)], (30, 60)), at(100));
    assert_eq!(shape(&keyring, 129), (vec![1000, 2000], Some(1000)));
    assert_eq!(shape(&keyring, 130), (vec![1000, 2000], Some(2000)));
    assert_eq!(shape(&keyring, 162), (vec![2000], Some(2000)));
}

#[test]
fn a_scheduled_push_leaves_the_old_key_to_its_end() {
    let mut keyring = empty();
    pull(&mut keyring, policy(vec![tek(1000, 30)]), 0);
    keyring.push(push(vec![tek(2000, 30)], (8, 0)), at(20));
    assert_eq!(shape(&keyring, 27), (vec![1000, 2000], Some(1000)));
    assert_eq!(shape(&keyring, 28), (vec![1000, 2000], Some(2000)));
    assert_eq!(shape(&keyring, 32), (vec![2000], Some(2000)));
}

/// A scheduled rekey waits for the end of the key before; an order in that time does not.
#[test]
fn a_key_that_waits_does_not_come_back_after_a_newer_one() {
    let mut keyring = empty();
    pull(&mut keyring, policy(vec![tek(1000, 360)]), 0);
    keyring.push(push(vec![tek(2000, 3600)], (300, 0)), at(20));
    keyring.push(push(vec![tek(3000, 3600)], (30, 900)), at(40));
    assert_eq!(shape(&keyring, 69).1, Some(1000));
    assert_eq!([70, 320, 800, 1000].map(|second| shape(&keyring, second).1), [Some(3000); 4]);
}

/// Who missed it hears of it with the one that took over from it.
#[test]
fn a_key_that_comes_after_its_successor_does_not_take_over_from_it() {
    let mut keyring = empty();
    pull(&mut keyring, policy(vec![tek(1000, 360)]), 0);
    keyring.push(push(vec![tek(3000, 3600)], (30, 900)), at(40));
    keyring.push(push(vec![tek(2000, 800), tek(3000, 3500)], (60, 0)), at(140));
    assert_eq!([140, 200, 800, 1000].map(|second| shape(&keyring, second).1), [Some(3000); 4]);
}

/// The end of the KEK before may be said once more, to those who missed it.
#[test]
fn the_deletion_of_another_kek_leaves_this_one() {
    let delete = |deletion| Rekey { kek_spi: [7; 16], sequence: 2, deletions: vec![deletion], policy: None };
    let with_both = || {
        let mut keyring = empty();
        let first = kek(1000);
        pull(&mut keyring, GroupPolicy { kek: Some(first.clone()), ..policy(vec![tek(1000, 60)]) }, 0);
        let next = Kek { spi: [8; 16], ..first };
        let push = push(Vec::new(), (0, 0));
        let content = GroupPolicy { kek: Some(next), ..push.policy.clone().unwrap() };
        keyring.push(Rekey { kek_spi: [7; 16], policy: Some(content), ..push }, at(1));
        keyring
    };
    let held = |keyring: &Keyring| [[7; 16], [8; 16]].map(|spi| keyring.kek_named(spi, at(2)).is_some());
    for (deletion, left) in [
        (Deletion::Kek([7; 16]), [false, true]),
        (Deletion::Kek([8; 16]), [true, false]),
        (Deletion::Kek([9; 16]), [true, true]),
        (Deletion::AllKeks, [false, false]),
    ] {
        let mut keyring = with_both();
        assert_eq!(held(&keyring), [true, true]);
        keyring.push(delete(deletion), at(2));
        assert_eq!(held(&keyring), left, "{deletion:?}");
    }
}

/// A server with other software in its group does not ask for acknowledgements in a message to all.
#[test]
fn what_the_registration_asked_for_holds_on_where_the_server_is_ours() {
    use crate::group::AckType;
    let asked = Kek { ack: Some(AckType::KekSha256), ..kek(1000) };
    let rekeyed = |acl: AclNotice| {
        let mut keyring = empty();
        let registered = GroupPolicy { acl, kek: Some(asked.clone()), ..policy(vec![tek(1000, 60)]) };
        pull(&mut keyring, registered, 0);
        let next = Kek { spi: [8; 16], ack: None, ..asked.clone() };
        let push = push(Vec::new(), (0, 0));
        let content = GroupPolicy { kek: Some(next), ..push.policy.clone().unwrap() };
        keyring.push(
            Rekey {
                policy: Some(GroupPolicy { acl: AclNotice::Selectors(Acl::default()), ..content }),
                ..push
            },
            at(1),
        );
        keyring.kek(at(1)).unwrap().0.ack
    };
    assert_eq!(rekeyed(policy(Vec::new()).acl), Some(AckType::KekSha256));
    let foreign = AclNotice::Selectors(Acl::new(vec!["permit ip any any".parse().unwrap()]).unwrap());
    assert_eq!(rekeyed(foreign), None, "another's server means what it says");
}

#[test]
fn deletions_take_what_they_name() {
    let delete = |deletion| Rekey { kek_spi: [0; 16], sequence: 1, deletions: vec![deletion], policy: None };
    let mut keyring = empty();
    pull(&mut keyring, policy(vec![tek(1000, 60), tek(2000, 90)]), 0);
    keyring.push(delete(Deletion::Tek(Spi(1000))), at(1));
    assert_eq!(shape(&keyring, 1), (vec![2000], Some(2000)), "the only key sends, whenever it was due");
    keyring.push(delete(Deletion::AllTeks), at(2));
    assert_eq!(shape(&keyring, 2), (vec![], None));
    assert!(keyring.view(at(2)).registered, "the ACL still blocks");
}

/// Members are told to register again while the old key lives for 60 s more: nobody may send with the new one while
/// another has not come yet.
#[test]
fn a_key_whose_end_was_brought_forward_is_sent_with_almost_until_then() {
    let mut keyring = empty();
    pull(&mut keyring, policy(vec![tek(1000, 3600)]), 0);
    keyring.push(push(vec![tek(1000, 60)], (0, 0)), at(100));
    let delayed = |teks| GroupPolicy { activation_delay: Some(Duration::from_secs(30)), ..policy(teks) };
    pull(&mut keyring, delayed(vec![tek(1000, 59), tek(2000, 3600)]), 101);
    assert_eq!(shape(&keyring, 157).1, Some(1000));
    assert_eq!(shape(&keyring, 159).1, Some(2000));
}

#[test]
fn a_listed_key_can_only_be_shortened() {
    let mut keyring = empty();
    pull(&mut keyring, policy(vec![tek(1000, 60)]), 0);
    keyring.push(push(vec![tek(1000, 600)], (0, 0)), at(10));
    keyring.push(push(vec![tek(1000, 5)], (0, 0)), at(20));
    assert_eq!(keyring.next_change(at(20)), Some(at(25)));
}

/// Said by the server at its second `time`.
fn timed(time: u64, policy: GroupPolicy) -> GroupPolicy {
    GroupPolicy { pseudotime: Some(time * 1000), ..policy }
}

fn expires(keyring: &Keyring, spi: u32, second: u64) -> Instant {
    keyring.view(at(second)).inbound.iter().find(|sa| sa.spi == Spi(spi)).unwrap().expires
}

#[test]
fn a_late_repetition_gives_no_key_a_longer_life() {
    let mut keyring = empty();
    pull(&mut keyring, timed(0, policy(vec![tek(1000, 60)])), 1000);
    let Rekey { policy: Some(content), .. } = push(vec![tek(2000, 60)], (8, 0)) else { unreachable!() };
    let late = Rekey { policy: Some(timed(40, content)), ..push(Vec::new(), (0, 0)) };
    keyring.push(late, at(1060));
    assert_eq!(expires(&keyring, 2000, 1060), at(1040 + 60) + GRACE);
    assert_eq!(shape(&keyring, 1099), (vec![2000], Some(2000)));
    assert_eq!(shape(&keyring, 1100), (vec![2000], None));
}

#[test]
fn a_late_repetition_retires_no_later() {
    let mut keyring = empty();
    pull(&mut keyring, timed(0, policy(vec![tek(1000, 3600)])), 1000);
    let Rekey { policy: Some(content), .. } = push(vec![tek(2000, 3600)], (5, 35)) else { unreachable!() };
    let late = Rekey { policy: Some(timed(100, content)), ..push(Vec::new(), (0, 0)) };
    keyring.push(late, at(1120));
    assert_eq!(shape(&keyring, 1124), (vec![1000, 2000], Some(1000)));
    assert_eq!(shape(&keyring, 1125), (vec![1000, 2000], Some(2000)));
    assert_eq!(expires(&keyring, 1000, 1120), at(1135) + GRACE);
}

/// The answer can have been made when the member asked, or just before it came: others may count from either.
#[test]
fn a_pulled_key_is_sent_with_until_its_earliest_end_and_received_with_until_its_latest() {
    let mut keyring = empty();
    let made = Made { earliest: at(0), latest: at(7) };
    keyring.pull(policy(vec![tek(1000, 60)]), &SenderIds::default(), made, Others::Alike, at(9)).unwrap();
    assert_eq!(shape(&keyring, 59), (vec![1000], Some(1000)));
    assert_eq!(shape(&keyring, 60), (vec![1000], None));
    assert_eq!(expires(&keyring, 1000, 60), at(67) + GRACE);
}

#[test]
fn a_kek_ends_when_the_server_said() {
    let mut keyring = empty();
    let policy = GroupPolicy { kek: Some(kek(100)), ..policy(vec![tek(1000, 60)]) };
    let made = Made { earliest: at(0), latest: at(7) };
    keyring.pull(policy, &SenderIds::default(), made, Others::Alike, at(9)).unwrap();
    assert_eq!(
        keyring.kek(at(9)).map(|(_, expires)| expires),
        Some(at(107) + GRACE),
        "a message may have left in the last moment"
    );
}

#[test]
fn an_spi_with_new_keys_replaces_the_old_one() {
    let mut keyring = empty();
    pull(&mut keyring, policy(vec![tek(1000, 60)]), 0);
    let other = Tek { keys: tek(1001, 60).keys, ..tek(1000, 60) };
    pull(&mut keyring, policy(vec![other.clone()]), 1);
    assert_eq!(keyring.view(at(1)).inbound.len(), 1);
    assert_eq!(keyring.view(at(1)).outbound.unwrap().keys, other.keys);
}

#[test]
fn the_number_of_keys_is_bounded() {
    let mut keyring = empty();
    let life = |number: u32| if number == 150 { 300 } else { 600 };
    (0..257).for_each(|number| pull(&mut keyring, policy(vec![tek(1000 + number, life(number))]), 0));
    let held = keyring.view(at(0)).inbound;
    assert_eq!(held.len(), MAX_TEKS);
    assert!(held.iter().all(|sa| sa.spi != Spi(1150)), "the one that ends first goes");
}

fn generation(number: u32) -> SidGeneration {
    SidGeneration { lineage: [1; 8], number }
}

/// Under which every sender has its own key.
fn seeded(spi: u32, number: u32, lifetime: u64) -> Tek {
    Tek {
        spi: Spi(spi),
        transform: "aes-256-gcm".parse().unwrap(),
        keys: TekKeys::PerSender(Seed::new(Secret::new(vec![spi as u8; 32])).unwrap()),
        senders: Some(SenderTerms { generation: generation(number), replay_window: 64 }),
        lifetime: Duration::from_secs(lifetime),
        selectors: Vec::new(),
    }
}

fn sids(number: u32, values: &[u32]) -> SenderIds {
    SenderIds { bits: 20, values: values.to_vec(), generation: Some(generation(number)), nonce: None }
}

const OLD: u32 = 0x1230_0000;
const NEW: u32 = 0x4560_0000;

#[test]
fn a_member_sends_as_who_it_is_under_the_key() {
    let mut keyring = empty();
    pull_with(&mut keyring, policy(vec![seeded(OLD, 1, 60)]), &sids(1, &[7, 9]), 0).unwrap();
    let view = keyring.view(at(0));
    assert_eq!(view.sids, [Sid(7), Sid(9)]);
    let sa = view.outbound.unwrap();
    assert_eq!((sa.replay_window, sa.group), (64, GroupId(100)));
    assert_eq!(sa.sender(Sid(9)).unwrap().spi, Spi(OLD | 9));
    assert_eq!(sa.sender(Sid(1 << 20)), None);
    assert_eq!((sa.sid_of(Spi(OLD | 5)), sa.sid_of(Spi(NEW | 5))), (Some(Sid(5)), None));
}

#[test]
fn a_shared_key_has_no_senders() {
    let mut keyring = empty();
    pull_with(&mut keyring, policy(vec![tek(1000, 60)]), &sids(1, &[7]), 0).unwrap();
    let view = keyring.view(at(0));
    assert_eq!(view.sids, []);
    let sa = view.outbound.unwrap();
    assert_eq!((sa.sender(Sid(7)), sa.sid_of(Spi(1000)), sa.replay_window), (None, None, 0));
}

#[test]
fn fresh_sender_ids_count_at_once() {
    let mut keyring = empty();
    pull_with(&mut keyring, policy(vec![seeded(OLD, 1, 60)]), &sids(1, &[7]), 0).unwrap();
    pull_with(&mut keyring, policy(vec![seeded(OLD, 1, 50)]), &sids(1, &[8]), 10).unwrap();
    assert_eq!((keyring.view(at(10)).sids, shape(&keyring, 10).1), (vec![Sid(8)], Some(OLD)));
}

#[test]
fn a_rekey_keeps_the_sender_ids() {
    let mut keyring = empty();
    pull_with(&mut keyring, policy(vec![seeded(OLD, 1, 3600)]), &sids(1, &[7]), 0).unwrap();
    keyring.push(push(vec![seeded(NEW, 1, 3600)], (30, 60)), at(100));
    assert_eq!((keyring.view(at(129)).sids, shape(&keyring, 129).1), (vec![Sid(7)], Some(OLD)));
    assert_eq!((keyring.view(at(130)).sids, shape(&keyring, 130).1), (vec![Sid(7)], Some(NEW)));
}

/// The key servers have used up their sender IDs: the next key comes at once, those that go with it at the next
/// registration.
#[test]
fn with_a_key_of_another_generation_nobody_sends_before_it_has_sender_ids_for_it() {
    let mut keyring = empty();
    pull_with(&mut keyring, policy(vec![seeded(OLD, 1, 3600)]), &sids(1, &[7]), 0).unwrap();
    keyring.push(push(vec![seeded(OLD, 1, 60), seeded(NEW, 2, 3600)], (50, 0)), at(100));
    assert_eq!(shape(&keyring, 155), (vec![OLD, NEW], Some(OLD)), "still");
    assert_eq!(keyring.last_tek(at(155)).map(|(end, _)| end), Some(at(160)), "so it registers before");
    assert_eq!(shape(&keyring, 160), (vec![OLD, NEW], None));
    assert_eq!(keyring.view(at(160)).sids, []);
    pull_with(&mut keyring, policy(vec![seeded(NEW, 2, 3500)]), &sids(2, &[7]), 200).unwrap();
    assert_eq!((keyring.view(at(200)).sids, shape(&keyring, 200).1), (vec![Sid(7)], Some(NEW)));
}

/// A member that has come for the new ones goes on with the old ones until all can have come.
#[test]
fn both_generations_are_held_during_the_change() {
    let mut keyring = empty();
    pull_with(&mut keyring, policy(vec![seeded(OLD, 1, 3600)]), &sids(1, &[7]), 0).unwrap();
    keyring.push(push(vec![seeded(OLD, 1, 60), seeded(NEW, 2, 3600)], (50, 0)), at(100));
    pull_with(&mut keyring, policy(vec![seeded(OLD, 1, 50), seeded(NEW, 2, 3590)]), &sids(2, &[3]), 110)
        .unwrap();
    assert_eq!((keyring.view(at(149)).sids, shape(&keyring, 149).1), (vec![Sid(7)], Some(OLD)));
    assert_eq!((keyring.view(at(150)).sids, shape(&keyring, 150).1), (vec![Sid(3)], Some(NEW)));
    assert_eq!(keyring.last_tek(at(150)).map(|(end, _)| end), Some(at(3700)));
}

#[test]
fn a_new_member_never_sends_with_a_key_of_the_generation_before() {
    let mut keyring = empty();
    pull_with(&mut keyring, policy(vec![seeded(OLD, 1, 60), seeded(NEW, 2, 3600)]), &sids(2, &[3]), 0)
        .unwrap();
    assert_eq!(shape(&keyring, 0), (vec![OLD, NEW], Some(NEW)));
}

#[test]
fn a_sender_id_that_comes_again_after_its_states_were_lost_changes_nothing() {
    let mut keyring = empty();
    pull_with(&mut keyring, policy(vec![seeded(OLD, 1, 60)]), &sids(1, &[7]), 0).unwrap();
    keyring.lose_states();
    let again = pull_with(&mut keyring, policy(vec![seeded(NEW, 1, 60)]), &sids(1, &[7]), 10);
    assert_eq!(again, Err(Misbehaved::SenderIdAgain(7)));
    assert_eq!(shape(&keyring, 10), (vec![OLD], Some(OLD)));
}

/// No key counts any more: the one that was sent with goes on waiting for other sender IDs, and no other begins.
#[test]
fn the_loss_of_states_makes_no_older_key_send() {
    let mut keyring = empty();
    pull_with(&mut keyring, policy(vec![seeded(OLD, 1, 600)]), &sids(1, &[7]), 0).unwrap();
    keyring.push(push(vec![seeded(NEW, 1, 3600)], (30, 300)), at(10));
    keyring.lose_states();
    assert_eq!([39, 40].map(|second| shape(&keyring, second).1), [Some(OLD), Some(NEW)]);
}

#[test]
fn a_member_without_sender_ids_receives_only() {
    let mut keyring = empty();
    pull(&mut keyring, policy(vec![seeded(OLD, 1, 60)]), 0);
    assert_eq!(shape(&keyring, 0), (vec![OLD], None));
    assert_eq!(keyring.last_tek(at(0)).map(|(end, _)| end), Some(at(60)));
}

/// Who makes a key says that all others end. One that it did not know, and that a later message names, lives on.
#[test]
fn a_key_that_ends_because_it_was_not_named_lives_on_when_it_is() {
    let named = |keyring: &mut Keyring, lifetime, second| {
        keyring.push(push(vec![tek(2000, lifetime), tek(3000, 50)], (5, 0)), at(second));
    };
    let forced = || push(vec![tek(3000, 60)], (5, 10));
    let mut keyring = empty();
    pull(&mut keyring, policy(vec![tek(2000, 60)]), 0);
    keyring.push(forced(), at(1));
    assert_eq!((shape(&keyring, 12).0, shape(&keyring, 13).0), (vec![2000, 3000], vec![3000]));
    named(&mut keyring, 50, 2);
    assert_eq!((shape(&keyring, 53).0, shape(&keyring, 54).0), (vec![2000, 3000], vec![]));
    named(&mut keyring, 20, 3);
    assert_eq!((shape(&keyring, 24).0, shape(&keyring, 25).0), (vec![2000, 3000], vec![3000]));
    named(&mut keyring, 40, 4);
    assert_eq!(shape(&keyring, 25).0, [3000], "what was said of it by name holds");
    let mut keyring = empty();
    pull(&mut keyring, policy(vec![tek(2000, 60)]), 0);
    keyring.push(forced(), at(1));
    pull(&mut keyring, policy(vec![tek(2000, 50), tek(3000, 50)]), 2);
    assert_eq!(shape(&keyring, 53).0, [2000, 3000]);
}
