use super::*;
use crate::crypto::sign::{NewKey, SigningKey};
use crate::crypto::{Hash, Secret};

fn at(second: u64) -> Instant {
    Instant::from_millis(second * 1000)
}

fn tek(spi: u32, lifetime: u64) -> Tek {
    let keys = TekKeys { encryption: Secret::new(vec![spi as u8; 32]), integrity: Secret::new(vec![1; 32]) };
    let transform = "aes-256-cbc/hmac-sha-256".parse().unwrap();
    Tek { spi: Spi(spi), transform, keys, lifetime: Duration::from_secs(lifetime) }
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
    let address = SocketAddrV4::new([192, 0, 2, 1].into(), 848);
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
    keyring.pull(policy, Made { earliest: at(second), latest: at(second) }, at(second));
}

fn shape(keyring: &Keyring, second: u64) -> (Vec<u32>, Option<u32>) {
    let view = keyring.view(at(second));
    (view.inbound.iter().map(|sa| sa.spi.0).collect(), view.outbound.map(|sa| sa.spi.0))
}

#[test]
fn nothing_before_the_first_download() {
    assert_eq!(Keyring::default().view(at(0)), View::default());
    assert_eq!(Keyring::default().next_change(at(0)), None);
}

#[test]
fn a_single_tek_sends_at_once_and_to_its_end() {
    let mut keyring = Keyring::default();
    pull(&mut keyring, policy(vec![tek(1000, 60)]), 0);
    assert_eq!(shape(&keyring, 0), (vec![1000], Some(1000)));
    assert_eq!(keyring.next_change(at(0)), Some(at(60)));
    assert_eq!(shape(&keyring, 59), (vec![1000], Some(1000)));
    assert_eq!(shape(&keyring, 61), (vec![1000], None), "still received for a moment");
    assert_eq!(shape(&keyring, 62), (vec![], None));
    assert!(keyring.view(at(62)).registered, "the ACL still blocks");
}

#[test]
fn roll_over_receives_both_and_sends_the_old_until_shortly_before_its_end() {
    let mut keyring = Keyring::default();
    pull(&mut keyring, policy(vec![tek(1000, 3600)]), 0);
    pull(&mut keyring, policy(vec![tek(1000, 200), tek(2000, 3500)]), 3400);
    assert_eq!(shape(&keyring, 3400), (vec![1000, 2000], Some(1000)));
    assert_eq!(keyring.next_change(at(3400)), Some(at(3570)));
    assert_eq!(shape(&keyring, 3570), (vec![1000, 2000], Some(2000)));
    assert_eq!(shape(&keyring, 3602), (vec![2000], Some(2000)));
}

#[test]
fn the_activation_delay_is_a_minimum_but_never_leaves_a_gap() {
    let mut keyring = Keyring::default();
    let with_delay =
        |teks, seconds| GroupPolicy { activation_delay: Some(Duration::from_secs(seconds)), ..policy(teks) };
    pull(&mut keyring, with_delay(vec![tek(1000, 60)], 5), 0);
    pull(&mut keyring, with_delay(vec![tek(2000, 60)], 20), 30);
    assert_eq!(shape(&keyring, 58).1, Some(1000));
    assert_eq!(shape(&keyring, 59).1, Some(2000), "1.7 s before the end");
    pull(&mut keyring, with_delay(vec![tek(3000, 60)], 1000), 80);
    assert_eq!(shape(&keyring, 89).1, Some(2000));
    assert_eq!(shape(&keyring, 90).1, Some(3000));
}

#[test]
fn a_new_member_in_the_middle_of_a_roll_over_does_as_the_others() {
    let mut keyring = Keyring::default();
    pull(&mut keyring, policy(vec![tek(1000, 120), tek(2000, 3600)]), 0);
    assert_eq!(shape(&keyring, 0), (vec![1000, 2000], Some(1000)));
    assert_eq!(shape(&keyring, 117).1, Some(2000));
}

fn push(teks: Vec<Tek>, delays: (u64, u64)) -> Push {
    let (activation, deactivation) = (Duration::from_secs(delays.0), Duration::from_secs(delays.1));
    let delays = (Some(activation), Some(deactivation).filter(|delay| !delay.is_zero()));
    let policy = GroupPolicy { activation_delay: delays.0, deactivation_delay: delays.1, ..policy(teks) };
    Push { kek_spi: [0; 16], sequence: 1, deletions: Vec::new(), policy: Some(policy) }
}

#[test]
fn a_push_switches_after_its_delay_and_retires_after_the_other() {
    let mut keyring = Keyring::default();
    pull(&mut keyring, policy(vec![tek(1000, 3600)]), 0);
    keyring.push(push(vec![tek(2000, 3600)], (30, 60)), at(100));
    assert_eq!(shape(&keyring, 129), (vec![1000, 2000], Some(1000)));
    assert_eq!(shape(&keyring, 130), (vec![1000, 2000], Some(2000)));
    assert_eq!(shape(&keyring, 162), (vec![2000], Some(2000)));
}

#[test]
fn a_scheduled_push_leaves_the_old_key_to_its_end() {
    let mut keyring = Keyring::default();
    pull(&mut keyring, policy(vec![tek(1000, 30)]), 0);
    keyring.push(push(vec![tek(2000, 30)], (8, 0)), at(20));
    assert_eq!(shape(&keyring, 27), (vec![1000, 2000], Some(1000)));
    assert_eq!(shape(&keyring, 28), (vec![1000, 2000], Some(2000)));
    assert_eq!(shape(&keyring, 32), (vec![2000], Some(2000)));
}

#[test]
fn deletions_take_what_they_name() {
    let delete = |deletion| Push { kek_spi: [0; 16], sequence: 1, deletions: vec![deletion], policy: None };
    let mut keyring = Keyring::default();
    pull(&mut keyring, policy(vec![tek(1000, 60), tek(2000, 90)]), 0);
    keyring.push(delete(Deletion::Tek(1000)), at(1));
    assert_eq!(shape(&keyring, 1), (vec![2000], Some(2000)), "the only key sends, whenever it was due");
    keyring.push(delete(Deletion::AllTeks), at(2));
    assert_eq!(shape(&keyring, 2), (vec![], None));
    assert!(keyring.view(at(2)).registered, "the ACL still blocks");
}

/// Members are told to register again while the old key lives for 60 s more: nobody may send with the new one while
/// another has not come yet.
#[test]
fn a_key_whose_end_was_brought_forward_is_sent_with_almost_until_then() {
    let mut keyring = Keyring::default();
    pull(&mut keyring, policy(vec![tek(1000, 3600)]), 0);
    keyring.push(push(vec![tek(1000, 60)], (0, 0)), at(100));
    let delayed = |teks| GroupPolicy { activation_delay: Some(Duration::from_secs(30)), ..policy(teks) };
    pull(&mut keyring, delayed(vec![tek(1000, 59), tek(2000, 3600)]), 101);
    assert_eq!(shape(&keyring, 157).1, Some(1000));
    assert_eq!(shape(&keyring, 159).1, Some(2000));
}

#[test]
fn a_listed_key_can_only_be_shortened() {
    let mut keyring = Keyring::default();
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
    let mut keyring = Keyring::default();
    pull(&mut keyring, timed(0, policy(vec![tek(1000, 60)])), 1000);
    let Push { policy: Some(content), .. } = push(vec![tek(2000, 60)], (8, 0)) else { unreachable!() };
    let late = Push { policy: Some(timed(40, content)), ..push(Vec::new(), (0, 0)) };
    keyring.push(late, at(1060));
    assert_eq!(expires(&keyring, 2000, 1060), at(1040 + 60) + GRACE);
    assert_eq!(shape(&keyring, 1099), (vec![2000], Some(2000)));
    assert_eq!(shape(&keyring, 1100), (vec![2000], None));
}

#[test]
fn a_late_repetition_retires_no_later() {
    let mut keyring = Keyring::default();
    pull(&mut keyring, timed(0, policy(vec![tek(1000, 3600)])), 1000);
    let Push { policy: Some(content), .. } = push(vec![tek(2000, 3600)], (5, 35)) else { unreachable!() };
    let late = Push { policy: Some(timed(100, content)), ..push(Vec::new(), (0, 0)) };
    keyring.push(late, at(1120));
    assert_eq!(shape(&keyring, 1124), (vec![1000, 2000], Some(1000)));
    assert_eq!(shape(&keyring, 1125), (vec![1000, 2000], Some(2000)));
    assert_eq!(expires(&keyring, 1000, 1120), at(1135) + GRACE);
}

/// The answer can have been made when the member asked, or just before it came: others may count from either.
#[test]
fn a_pulled_key_is_sent_with_until_its_earliest_end_and_received_with_until_its_latest() {
    let mut keyring = Keyring::default();
    keyring.pull(policy(vec![tek(1000, 60)]), Made { earliest: at(0), latest: at(7) }, at(9));
    assert_eq!(shape(&keyring, 59), (vec![1000], Some(1000)));
    assert_eq!(shape(&keyring, 60), (vec![1000], None));
    assert_eq!(expires(&keyring, 1000, 60), at(67) + GRACE);
}

#[test]
fn a_kek_ends_when_the_server_said() {
    let mut keyring = Keyring::default();
    let policy = GroupPolicy { kek: Some(kek(100)), ..policy(vec![tek(1000, 60)]) };
    keyring.pull(policy, Made { earliest: at(0), latest: at(7) }, at(9));
    assert_eq!(keyring.kek(at(9)).map(|(_, expires)| expires), Some(at(107)));
}

#[test]
fn an_spi_with_new_keys_replaces_the_old_one() {
    let mut keyring = Keyring::default();
    pull(&mut keyring, policy(vec![tek(1000, 60)]), 0);
    let other =
        Tek { keys: TekKeys { encryption: Secret::new(vec![9; 32]), ..tek(1000, 60).keys }, ..tek(1000, 60) };
    pull(&mut keyring, policy(vec![other.clone()]), 1);
    assert_eq!(keyring.view(at(1)).inbound.len(), 1);
    assert_eq!(keyring.view(at(1)).outbound.unwrap().keys, other.keys);
}

#[test]
fn the_number_of_keys_is_bounded() {
    let mut keyring = Keyring::default();
    (0..100).for_each(|number| pull(&mut keyring, policy(vec![tek(1000 + number, 600)]), 0));
    assert_eq!(keyring.view(at(0)).inbound.len(), MAX_TEKS);
}
