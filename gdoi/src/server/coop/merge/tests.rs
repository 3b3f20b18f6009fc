mod joined;

use super::*;
use crate::coop::{Author, Preemption};
use crate::crypto::sign::{NewKey, SigningKey};
use crate::crypto::{Hash, Secret, SystemRandom};
use crate::endpoint::Transmit;
use crate::event::GroupName;
use crate::policy::{Acl, GroupId, Identity, SendMode, Spi, TekKeys};
use crate::server::distribution::{Retransmit, Transport};
use crate::server::keys::GroupTek;
use crate::server::members::{Listed, Presence};
use crate::server::{Authorization, RekeyConfig};
use crate::status::MemberRecord;
use crate::wire::{ExchangeType, Header};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

const OURS: Author = Author([1; 8]);
const THEIRS: Author = Author([2; 8]);
const OWN: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

fn at(seconds: u64) -> Instant {
    Instant::from_millis(seconds * 1000)
}

fn tek(spi: u32, expires: Instant) -> GroupTek {
    let (encryption, integrity) = (Secret::new(vec![1; 32]), Secret::new(vec![2; 32]));
    let keys = TekKeys::Shared { encryption, integrity };
    let transform = "aes-256-cbc/hmac-sha-256".parse().unwrap();
    GroupTek { spi: Spi(spi), transform, keys, senders: None, expires }
}

fn kek(name: u8, sequence: u32) -> GroupKek {
    let (spi, key, lineage) = ([name; 16], Secret::new(vec![name; 48]), Some(Lineage(OURS.0)));
    GroupKek { spi, key, expires: at(1 << 30), sequence, succession: Succession::Smooth, lineage }
}

/// What `author` made: these TEKs that live for an hour and this KEK.
fn state(author: Author, teks: &[u32], kek: GroupKek) -> GroupState {
    let mut state = GroupState { lineage: Some(Lineage(OURS.0)), ..GroupState::default() };
    state.versions.raise(author, 1);
    state.keys.teks = teks.iter().map(|spi| tek(*spi, at(4_000))).collect();
    state.keys.kek = Some(kek);
    state
}

fn spis(state: &GroupState) -> Vec<u32> {
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
    assert!(union.keys.kek == Some(kek(1, 5)) && union.keys.previous_keks == [kek(2, 7)]);
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
    assert!(keks.map(|kek| kek.expires).eq([at((1 << 30) + 1); 2]));
    assert_eq!(state.last_rekey, Some(at(9)));
}

fn config() -> GroupConfig {
    let signing_key = SigningKey::from_pkcs8(&NewKey::EcdsaP256.generate().unwrap(), Hash::Sha256).unwrap();
    GroupConfig {
        group: GroupName { name: "corp".into(), id: GroupId(7) },
        transform: "aes-256-cbc/hmac-sha-256".parse().unwrap(),
        replay_window: 0,
        tek_lifetime: Duration::from_secs(3600),
        acl: Acl::new(vec!["permit ip any any".parse().unwrap()]).unwrap(),
        mode: SendMode::Both,
        authorization: Authorization::default(),
        activation_delay: Duration::from_secs(15),
        deactivation_delay: Duration::from_secs(30),
        rekey: Some(RekeyConfig {
            key_len: 32,
            lifetime: Duration::from_secs(86_400),
            signing_key,
            transport: Transport::Unicast,
            retransmit: Retransmit { interval: Duration::from_secs(10), number: 2 },
            reminder: Duration::from_secs(7200),
        }),
        redundancy: Some(Redundancy {
            priority: 10,
            peers: vec![OTHER],
            preemption: Preemption::Never,
            interval: Duration::from_secs(1),
            dead_after: 3,
        }),
    }
}

/// A primary that hears nobody, with a member and these keys; its clock and the group's are the same.
fn primary(own: GroupState) -> Group {
    let mut group = Group::new(config(), SocketAddr::new(OWN, 848), OURS, at(0));
    let address = IpAddr::from([10, 0, 0, 9]);
    let record = MemberRecord {
        address,
        port: 848,
        identity: Identity::Fqdn("gm".into()),
        owner: Some(OWN),
        first_registered: at(0),
        last_registered: at(0),
        registrations: 1,
        ours: true,
        fragments: true,
        rekeys_acknowledged: 0,
        rekeys_missed: 0,
        last_acknowledged: None,
    };
    let listed = Listed { record, author: THEIRS, version: 1, presence: Presence::Here };
    group.members.merge(THEIRS, (0, 1), vec![listed]).unwrap();
    group.state = own;
    (1..=20).for_each(|second| group.cooperate(&mut SystemRandom, at(second)).unwrap());
    assert!(group.leads() && group.distribution.is_none());
    group
}

/// The primary comes to know a state that was made apart; what it then sends its member.
fn meet(group: &mut Group, other: GroupState) -> Vec<Transmit> {
    group.events.clear();
    group.coop.as_mut().unwrap().apart.push(other);
    group.finish(&mut SystemRandom, at(20)).unwrap();
    group.commit(OURS, at(20));
    assert!(group.coop.as_ref().unwrap().apart.is_empty());
    group.handle_timeout(&mut SystemRandom, at(20)).unwrap()
}

fn names(group: &Group) -> Vec<&'static str> {
    group.events.iter().map(KeyServerEvent::name).collect()
}

#[test]
fn all_members_get_all_keys_and_a_new_one_after_a_merge() {
    let mut group = primary(state(OURS, &[256], kek(1, 5)));
    let sent = meet(&mut group, state(THEIRS, &[257], kek(2, 7)));
    assert_eq!(
        names(&group),
        ["KS_NEW_TEK", "KS_NEW_KEK", "KS_SEND_UNICAST_REKEY", "KS_SEND_UNICAST_REKEY", "COOP_KS_MERGE"]
    );
    assert_eq!(group.state.keys.teks.len(), 3);
    let cookies = |transmit: &Transmit| transmit.payload[..16].to_vec();
    assert_eq!(sent.iter().map(cookies).collect::<Vec<_>>(), [vec![1; 16], vec![2; 16]], "under both KEKs");
    assert!(sent.iter().all(|transmit| {
        Header::parse(&transmit.payload).unwrap().0.exchange == ExchangeType::GROUPKEY_PUSH
    }));
    let named = |name: u8| group.state.keys.kek_named([name; 16]).unwrap();
    assert_eq!((named(1).sequence, named(2).sequence), (8, 8), "numbers of this server's: multiples of 8");
    assert!([1, 2].iter().all(|name| named(*name).succession == Succession::Smooth));
}

/// Who was removed on one side has the keys of the other: all must register again, which it cannot.
#[test]
fn a_member_revoked_on_one_side_is_dismissed_by_all() {
    let removed = IpAddr::from([10, 0, 0, 66]);
    for revoked_here in [true, false] {
        let (mut ours, mut theirs) = (state(OURS, &[256], kek(1, 5)), state(THEIRS, &[257], kek(2, 7)));
        if revoked_here { &mut ours } else { &mut theirs }.revoked.insert(removed);
        let mut group = primary(ours);
        let sent = meet(&mut group, theirs);
        assert_eq!(sent.len(), 2, "under both KEKs");
        assert!(group.state.revoked.contains(&removed));
        let previous = &group.state.keys.previous_keks;
        assert_eq!(previous.iter().map(|kek| kek.spi[0]).collect::<Vec<_>>(), [1, 2]);
        assert!(previous.iter().all(|kek| kek.succession == Succession::Ended));
        let end = at(20) + group.config.deactivation_delay;
        let (old, new): (Vec<_>, Vec<_>) =
            group.state.keys.teks.iter().partition(|tek| [256, 257].contains(&tek.spi.0));
        assert!(old.len() == 2 && old.iter().all(|tek| tek.expires == end), "a grace, then they end");
        assert!(new.len() == 1 && new[0].expires > end);
        assert!(group.state.keys.kek.as_ref().is_some_and(|kek| kek.spi != [1; 16] && kek.spi != [2; 16]));
    }
}

/// Both know the same keys: one of them had only heard of less.
#[test]
fn sides_with_the_same_keys_need_no_rekey() {
    let mut group = primary(state(OURS, &[256], kek(1, 5)));
    let sent = meet(&mut group, state(THEIRS, &[256], kek(1, 13)));
    assert_eq!((sent.len(), names(&group)), (0, vec!["COOP_KS_MERGE"]));
    assert_eq!(group.state.keys.kek.as_ref().unwrap().sequence, 13);
}

/// The primary's member is told in the message that goes out again.
#[test]
fn a_rekey_of_one_side_that_was_cut_off_goes_out_again() {
    let mut group = primary(state(OURS, &[256], kek(1, 5)));
    let mut theirs = state(THEIRS, &[256], kek(1, 13));
    theirs.under_way = true;
    let sent = meet(&mut group, theirs);
    assert_eq!((sent.len(), names(&group)), (1, vec!["COOP_KS_MERGE", "KS_SEND_UNICAST_REKEY"]));
    assert_eq!(group.state.keys.kek.as_ref().unwrap().sequence, 16);
}

#[test]
fn who_does_not_lead_keeps_what_was_made_apart() {
    let mut group = Group::new(config(), SocketAddr::new(OWN, 848), OURS, at(0));
    group.state = state(OURS, &[256], kek(1, 5));
    group.coop.as_mut().unwrap().apart.push(state(THEIRS, &[257], kek(2, 7)));
    group.merge(&mut SystemRandom, at(0)).unwrap();
    let coop = group.coop.as_ref().unwrap();
    assert_eq!((spis(&group.state), coop.apart.len()), (vec![256], 1));
    let held = coop.held(&group.state);
    assert_eq!((held.of(OURS), held.of(THEIRS)), (1, 1));
}
