use super::*;
use crate::coop::{Preemption, Redundancy};
use crate::crypto::sign::{NewKey, SigningKey};
use crate::crypto::{Hash, SystemRandom};
use crate::endpoint::Transmit;
use crate::event::{GroupName, KeyServerEvent};
use crate::policy::{Acl, GroupId, Identity, SendMode, Spi};
use crate::server::config::{Authorization, GroupConfig, RekeyConfig};
use crate::server::held::{Held, KekTag};
use crate::server::members::{Listed, Presence, Record};
use crate::server::state::tests::{at, kek, spis, state, OURS, THEIRS};
use crate::server::terms::{Retransmit, Transport};
use crate::wire::{ExchangeType, Header};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

const OWN: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

fn now(seconds: u64) -> Instant {
    Instant::from_millis(seconds * 1000)
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
            signed_length: crate::push::SignedLength::default(),
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
    let mut group = Group::new(config(), SocketAddr::new(OWN, 848), OURS, now(0));
    let address = IpAddr::from([10, 0, 0, 9]);
    let record = Record {
        address,
        port: 848,
        identity: Identity::Fqdn("gm".into()),
        owner: Some(OWN),
        first_registered: at(0),
        last_registered: at(0),
        registrations: 1,
        ours: true,
        fragments: true,
        held: Held::default(),
        rekeys_acknowledged: 0,
        rekeys_missed: 0,
        last_acknowledged: None,
    };
    let listed = Listed { record, author: THEIRS, version: 1, presence: Presence::Here };
    group.ledger.amend_members().merge(THEIRS, (0, 1), vec![listed]).unwrap();
    group.ledger.adopt(own);
    (1..=20).for_each(|second| group.cooperate(&mut SystemRandom, now(second)).unwrap());
    assert!(group.leads() && !group.rekeying.is_under_way());
    group
}

/// The primary comes to know a state that was made apart; what it then sends its member.
fn meet(group: &mut Group, other: GroupState) -> Vec<Transmit> {
    group.take_outbox();
    group.standing.keep_apart(other).unwrap();
    group.finish(&mut SystemRandom, now(20)).unwrap();
    group.settle(now(20));
    assert!(!group.standing.has_apart());
    group.handle_timeout(&mut SystemRandom, now(20)).unwrap();
    std::mem::take(&mut group.outbox.transmits)
}

fn names(group: &Group) -> Vec<&'static str> {
    group.outbox.events.iter().map(KeyServerEvent::name).collect()
}

#[test]
fn all_members_get_all_keys_and_a_new_one_after_a_merge() {
    let mut group = primary(state(OURS, &[256], kek(1, 5)));
    let sent = meet(&mut group, state(THEIRS, &[257], kek(2, 7)));
    assert_eq!(
        names(&group),
        ["KS_NEW_TEK", "KS_NEW_KEK", "KS_SEND_UNICAST_REKEY", "KS_SEND_UNICAST_REKEY", "COOP_KS_MERGE"]
    );
    assert_eq!(group.ledger.state().keys.teks.len(), 3);
    let cookies = |transmit: &Transmit| transmit.payload[..16].to_vec();
    assert_eq!(sent.iter().map(cookies).collect::<Vec<_>>(), [vec![1; 16], vec![2; 16]], "under both KEKs");
    assert!(sent.iter().all(|transmit| {
        Header::parse(&transmit.payload).unwrap().0.exchange == ExchangeType::GROUPKEY_PUSH
    }));
    let named = |name: u8| group.ledger.state().keys.kek_named([name; 16]).unwrap();
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
        assert!(group.ledger.state().revoked.contains(&removed));
        let previous = &group.ledger.state().keys.previous_keks;
        assert_eq!(previous.iter().map(|kek| kek.spi[0]).collect::<Vec<_>>(), [2, 1]);
        assert!(previous.iter().all(|kek| kek.succession == Succession::Ended));
        let end = at(20) + group.config.deactivation_delay;
        let (old, new): (Vec<_>, Vec<_>) =
            group.ledger.state().keys.teks.iter().partition(|tek| [256, 257].contains(&tek.spi.0));
        assert!(old.len() == 2 && old.iter().all(|tek| tek.expires == end), "a grace, then they end");
        assert!(new.len() == 1 && new[0].expires > end);
        assert!(group
            .ledger
            .state()
            .keys
            .kek
            .as_ref()
            .is_some_and(|kek| kek.spi != [1; 16] && kek.spi != [2; 16]));
    }
}

/// Both know the same keys: one of them had only heard of less.
#[test]
fn sides_with_the_same_keys_need_no_rekey() {
    let mut group = primary(state(OURS, &[256], kek(1, 5)));
    let sent = meet(&mut group, state(THEIRS, &[256], kek(1, 13)));
    assert_eq!((sent.len(), names(&group)), (0, vec!["COOP_KS_MERGE"]));
    assert_eq!(group.ledger.state().keys.kek.as_ref().unwrap().sequence, 13);
}

/// The primary's member is told in the message that goes out again.
#[test]
fn a_rekey_of_one_side_that_was_cut_off_goes_out_again() {
    let mut group = primary(state(OURS, &[256], kek(1, 5)));
    let mut theirs = state(THEIRS, &[256], kek(1, 13));
    theirs.under_way = true;
    let sent = meet(&mut group, theirs);
    assert_eq!((sent.len(), names(&group)), (1, vec!["COOP_KS_MERGE", "KS_SEND_UNICAST_REKEY"]));
    assert_eq!(group.ledger.state().keys.kek.as_ref().unwrap().sequence, 16);
}

/// The message that another primary began to send before it stepped down. Whatever falls due before this one has seen that
/// no other leads, and whoever is heard of in the meantime: all are told.
#[test]
fn a_rekey_that_another_primary_began_goes_out_to_all() {
    let mut group = primary(state(OURS, &[256], kek(1, 5)));
    group.take_outbox();
    let mut later = state(OURS, &[256, 257], kek(1, 13));
    later.versions.raise(THEIRS, 1);
    later.under_way = true;
    group.adopt(later);
    group.handle_timeout(&mut SystemRandom, now(20)).unwrap();
    let mut listed = group.ledger.members().after(THEIRS, 0)[0].clone();
    (listed.record.address, listed.version) = (IpAddr::from([10, 0, 0, 10]), 2);
    let news = group.ledger.amend_members().merge(THEIRS, (1, 2), vec![listed]).unwrap();
    news.into_iter().for_each(|member| group.welcome(member, at(20)));
    group.handle_timeout(&mut SystemRandom, now(20)).unwrap();
    group.cooperate(&mut SystemRandom, now(21)).unwrap();
    group.settle(now(21));
    group.handle_timeout(&mut SystemRandom, now(21)).unwrap();
    let told: Vec<_> = group.outbox.transmits.iter().map(|transmit| transmit.to.ip()).collect();
    assert_eq!(told, [9, 10].map(|last| IpAddr::from([10, 0, 0, last])));
    assert!(group.ledger.state().under_way, "until they have answered");
}

/// The KEK that another server gave it is kept no more, and what it answered since only that one knows.
#[test]
fn a_member_that_may_have_any_kek_is_told_under_each() {
    let mut group = primary(state(OURS, &[256], kek(1, 5)));
    group.take_outbox();
    let mut listed = group.ledger.members().after(THEIRS, 0)[0].clone();
    (listed.record.held.kek, listed.version) = (KekTag([9; 4]), 2);
    let news = group.ledger.amend_members().merge(THEIRS, (1, 2), vec![listed]).unwrap();
    news.into_iter().for_each(|member| group.welcome(member, at(20)));
    group.handle_timeout(&mut SystemRandom, now(20)).unwrap();
    group.settle(now(20));
    group.handle_timeout(&mut SystemRandom, now(20)).unwrap();
    let told: Vec<_> =
        group.outbox.transmits.iter().map(|transmit| transmit.payload[..16].to_vec()).collect();
    assert_eq!(told, [vec![1; 16]]);
}

/// A member that came over from another server may have keys that are none of the others'.
#[test]
fn a_scheduled_message_names_the_keys_that_a_member_may_lack() {
    for (held, named) in [(256, 1), (99, 2), (0, 2)] {
        let mut group = primary(state(OURS, &[256], kek(1, 5)));
        group.settle(now(20));
        group.take_outbox();
        let mut listed = group.ledger.members().after(THEIRS, 0)[0].clone();
        (listed.record.held, listed.version) = (Held { kek: KekTag([1; 4]), tek: Spi(held) }, 2);
        group.ledger.amend_members().merge(THEIRS, (1, 2), vec![listed]).unwrap();
        group.rekey(RekeyKind::Scheduled, &mut SystemRandom, at(3_900)).unwrap();
        let told = group.outbox.committed.iter().find_map(|event| match event {
            KeyServerEvent::RekeySent { teks, .. } => Some(teks.len()),
            _ => None,
        });
        assert_eq!(told, Some(named), "known to have {held}");
    }
}

#[test]
fn who_does_not_lead_keeps_what_was_made_apart() {
    let mut group = Group::new(config(), SocketAddr::new(OWN, 848), OURS, now(0));
    group.ledger.adopt(state(OURS, &[256], kek(1, 5)));
    group.standing.keep_apart(state(THEIRS, &[257], kek(2, 7))).unwrap();
    group.merge(&mut SystemRandom, now(0)).unwrap();
    assert!(spis(group.ledger.state()) == [256] && group.standing.has_apart());
    let held = group.standing.held(group.ledger.state());
    assert_eq!((held.of(OURS), held.of(THEIRS)), (1, 1));
}
