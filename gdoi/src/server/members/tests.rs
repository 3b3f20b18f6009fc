use super::*;
use crate::policy::Identity;
use std::net::Ipv4Addr;

const OURS: Author = Author([1; 8]);
const THEIRS: Author = Author([2; 8]);

fn ip(number: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + number))
}

fn member(number: u32, registrations: u64) -> Record {
    Record {
        address: ip(number),
        port: 848,
        identity: Identity::Address(ip(number)),
        owner: Some([192, 0, 2, 1].into()),
        first_registered: GroupTime::from_millis(5_000),
        last_registered: GroupTime::from_millis(6_000),
        registrations,
        ours: true,
        fragments: true,
        held: Held::default(),
        rekeys_acknowledged: 0,
        rekeys_missed: 0,
        last_acknowledged: None,
    }
}

/// What `author` made of a member.
fn listed(author: Author, number: u32, version: u64) -> Listed {
    Listed { record: member(number, version), author, version, presence: Presence::Here }
}

fn gone(author: Author, number: u32, version: u64) -> Listed {
    Listed { presence: Presence::Gone, ..listed(author, number, version) }
}

fn version(members: &Members, number: u32) -> Option<(Author, u64)> {
    members.records.get(&ip(number)).map(|listed| (listed.author, listed.version))
}

#[test]
fn the_newer_record_wins_and_an_older_one_is_ignored() {
    let mut members = Members::new(OURS);
    members.merge(THEIRS, (0, 5), vec![listed(THEIRS, 1, 5)]).unwrap();
    members.merge(THEIRS, (0, 5), vec![listed(THEIRS, 1, 3)]).unwrap();
    assert_eq!(version(&members, 1), Some((THEIRS, 5)));
    members.merge(THEIRS, (5, 8), vec![listed(THEIRS, 1, 8)]).unwrap();
    assert_eq!(version(&members, 1), Some((THEIRS, 8)));
    members.write(member(1, 0), Presence::Here);
    assert_eq!(version(&members, 1), Some((OURS, 9)), "a change here is newer than all that was seen");
    members.merge(THEIRS, (8, 9), vec![listed(THEIRS, 1, 9)]).unwrap();
    assert_eq!(
        version(&members, 1),
        Some((THEIRS, 9)),
        "of two that do not know each other one wins everywhere"
    );
    let mut others = Members::new(THEIRS);
    others.merge(THEIRS, (0, 9), vec![listed(THEIRS, 1, 9)]).unwrap();
    others.merge(OURS, (0, 9), vec![listed(OURS, 1, 9)]).unwrap();
    assert_eq!(version(&others, 1), Some((THEIRS, 9)));
}

/// What was not told is not taken for known, in whatever order the pieces come.
#[test]
fn a_hole_is_not_taken_for_known() {
    let mut members = Members::new(OURS);
    members.merge(THEIRS, (0, 5), vec![listed(THEIRS, 1, 5)]).unwrap();
    members.merge(THEIRS, (10, 12), vec![listed(THEIRS, 3, 12)]).unwrap();
    assert_eq!(version(&members, 3), Some((THEIRS, 12)));
    assert_eq!((members.seen().of(THEIRS), members.newest()), (5, 12));
    members.merge(THEIRS, (5, 10), vec![listed(THEIRS, 2, 9)]).unwrap();
    assert_eq!(members.seen().of(THEIRS), 10, "it comes again from there");
    members.merge(THEIRS, (3, 11), vec![]).unwrap();
    assert_eq!(
        members.seen().of(THEIRS),
        11,
        "pieces may overlap, and be empty where later ones replaced them"
    );
}

#[test]
fn what_cannot_be_changes_nothing() {
    let mut members = Members::new(OURS);
    members.merge(THEIRS, (0, 5), vec![listed(THEIRS, 1, 5)]).unwrap();
    let last = LAST_VERSION;
    for (author, span, records) in [
        (THEIRS, (5, 9), vec![listed(THEIRS, 2, 9), listed(OURS, 3, 8)]),
        (THEIRS, (5, 9), vec![listed(THEIRS, 2, 9), listed(THEIRS, 3, 10)]),
        (THEIRS, (5, last + 1), vec![listed(THEIRS, 2, 9)]),
        (OURS, (0, u64::MAX), vec![]),
    ] {
        let refused = members.merge(author, span, records).unwrap_err();
        assert_eq!(refused, Unacceptable::Unsupported("version of a member record", 0).into());
        assert_eq!((members.all().count(), members.newest(), members.seen().of(THEIRS)), (1, 5, 5));
    }
    members.merge(THEIRS, (5, last), vec![listed(THEIRS, 2, last)]).unwrap();
}

#[test]
fn the_list_is_bounded() {
    let mut members = Members::new(OURS);
    let all = (1..=MAX_MEMBERS as u32).map(|number| listed(THEIRS, number, number.into()));
    members.merge(THEIRS, (0, 16_384), all.collect()).unwrap();
    let (stranger, known) = (99_999, 7);
    let refused = members.merge(THEIRS, (16_384, 16_385), vec![listed(THEIRS, stranger, 16_385)]);
    assert_eq!(refused, Err(Unacceptable::TooManyMembers.into()));
    assert_eq!((members.all().count(), members.seen().of(THEIRS)), (MAX_MEMBERS, 16_384));
    assert!(members.is_full_for(ip(stranger), None) && !members.is_full_for(ip(known), None));
    members.merge(THEIRS, (16_384, 16_385), vec![gone(THEIRS, known, 16_385)]).unwrap();
    assert!(!members.is_full_for(ip(stranger), None), "one has gone");
}

#[test]
fn who_has_been_gone_for_the_longest_makes_room() {
    let mut members = Members::new(OURS);
    let all = (1..=MAX_MEMBERS as u32).map(|number| match number % 2 {
        0 => gone(THEIRS, number, number.into()),
        _ => listed(THEIRS, number, number.into()),
    });
    members.merge(THEIRS, (0, 16_384), all.collect()).unwrap();
    assert_eq!(members.records().count(), MAX_MEMBERS / 2);
    members.write(member(50_000, 1), Presence::Here);
    members.merge(THEIRS, (16_384, 16_400), vec![listed(THEIRS, 50_001, 16_400)]).unwrap();
    assert_eq!((version(&members, 2), version(&members, 4)), (None, None));
    assert!(version(&members, 1).is_some() && version(&members, 6).is_some());
    assert_eq!((members.all().count(), members.records().count()), (MAX_MEMBERS, MAX_MEMBERS / 2 + 2));
}

#[test]
fn other_servers_learn_that_a_member_has_gone() {
    let mut members = Members::new(OURS);
    members.write(member(1, 1), Presence::Here);
    let mut others = Members::new(THEIRS);
    others.merge(OURS, (0, 1), members.after(OURS, 0).into_iter().cloned().collect()).unwrap();
    assert_eq!(others.records().count(), 1);
    members.forget(ip(1));
    members.forget(ip(1));
    assert!(members.is_empty());
    assert_eq!(members.newest(), 2, "it goes once");
    others.merge(OURS, (1, 2), members.after(OURS, 1).into_iter().cloned().collect()).unwrap();
    assert!(others.is_empty());
    others.merge(OURS, (0, 1), vec![listed(OURS, 1, 1)]).unwrap();
    assert!(others.is_empty(), "what was said before does not bring it back");
}

/// Nobody needs to learn of it.
#[test]
fn without_other_servers_a_member_that_goes_is_forgotten() {
    let mut members = Members::new(OURS);
    members.write(Record { owner: None, ..member(1, 1) }, Presence::Here);
    members.forget_all();
    assert_eq!(members.all().count(), 0);
}

#[test]
fn changes_of_one_author_come_in_their_order() {
    let mut members = Members::new(OURS);
    [3, 1, 2, 3].into_iter().for_each(|number| members.write(member(number, 1), Presence::Here));
    members.merge(THEIRS, (0, 9), vec![listed(THEIRS, 5, 9)]).unwrap();
    let versions = |from| members.after(OURS, from).iter().map(|listed| listed.version).collect::<Vec<_>>();
    assert_eq!(versions(0), [2, 3, 4], "the first was replaced");
    assert_eq!((versions(2), versions(4)), (vec![3, 4], vec![]));
}

/// Only the server that a member answers knows of it.
#[test]
fn what_a_member_acknowledged_here_outlives_news_from_others() {
    let mut members = Members::new(OURS);
    members.write(member(1, 1), Presence::Here);
    (0..2).for_each(|_| members.acknowledged(ip(1), Conveyed::default(), GroupTime::from_millis(9_000)));
    assert!(!members.missed(ip(1)));
    members.merge(THEIRS, (0, 5), vec![listed(THEIRS, 1, 5)]).unwrap();
    let record = members.records().next().unwrap();
    assert_eq!((record.rekeys_acknowledged, record.rekeys_missed, record.registrations), (2, 0, 5));
    assert_eq!(record.last_acknowledged, Some(GroupTime::from_millis(9_000)));
    assert!((1..=3).map(|_| members.missed(ip(1))).eq([false, false, true]));
    assert!(members.is_empty());
}

/// What was written after the last store is lost, and another server may have seen it.
#[test]
fn after_a_restart_no_number_is_used_again() {
    let mut members = Members::new(OURS);
    members.write(member(1, 1), Presence::Here);
    let stored = members.all().cloned().collect();
    let mut again = Members::restore(OURS, members.newest(), members.seen().clone(), stored);
    assert_eq!((version(&again, 1), again.seen().of(OURS)), (Some((OURS, 1)), 1));
    again.write(member(2, 1), Presence::Here);
    assert_eq!(version(&again, 2), Some((OURS, 1 + LOST_CHANGES + 1)));
    let end = Members::restore(OURS, u64::MAX, Versions::default(), Vec::new());
    assert_eq!(end.newest(), u64::MAX);
}

#[test]
fn times_move_with_the_group_s() {
    let mut members = Members::new(OURS);
    members.write(member(1, 1), Presence::Here);
    members.acknowledged(ip(1), Conveyed::default(), GroupTime::from_millis(7_000));
    members.rebase(|time| time + std::time::Duration::from_secs(1));
    let record = members.records().next().unwrap();
    let times = [record.first_registered, record.last_registered, record.last_acknowledged.unwrap()];
    assert_eq!(times.map(GroupTime::as_millis), [6_000, 7_000, 8_000]);
}

/// A list full of members whose keys have ended refuses nobody, whoever brings the new one.
#[test]
fn the_dead_make_room_for_the_living() {
    let mut members = Members::new(OURS);
    let all = (1..=MAX_MEMBERS as u32).map(|number| listed(THEIRS, number, number.into()));
    members.merge(THEIRS, (0, 16_384), all.collect()).unwrap();
    assert!(members.is_full_for(ip(99_999), None));
    members.acknowledged(ip(7), Conveyed::default(), GroupTime::from_millis(9_000));
    members.set_dead_before(GroupTime::from_millis(6_000));
    assert!(members.is_full_for(ip(99_999), None), "they gave a sign just then");
    members.set_dead_before(GroupTime::from_millis(6_001));
    assert!(!members.is_full_for(ip(99_999), None));
    let late = Record { last_registered: GroupTime::from_millis(9_000), ..member(99_999, 1) };
    members.write(late.clone(), Presence::Here);
    let theirs = Listed { record: Record { address: ip(99_998), ..late }, ..listed(THEIRS, 99_998, 20_000) };
    members.merge(THEIRS, (16_384, 20_000), vec![theirs]).unwrap();
    assert_eq!((members.all().count(), members.forgotten()), (MAX_MEMBERS, 2));
    for number in [7, 99_998, 99_999] {
        assert!(version(&members, number).is_some(), "{number}");
    }
    assert_eq!(members.forget_dead(), MAX_MEMBERS - 3);
    assert_eq!((members.records().count(), members.forgotten()), (3, MAX_MEMBERS as u64 - 1));
}

#[test]
fn nobody_is_dead_who_was_not_listened_to() {
    let mut members = Members::new(OURS);
    members.write(member(1, 1), Presence::Here);
    members.watch_from(GroupTime::from_millis(8_000));
    members.set_dead_before(GroupTime::from_millis(8_000));
    assert!(!members.has_dead());
    members.set_dead_before(GroupTime::from_millis(8_001));
    assert!(members.has_dead());
    members.rebase(|time| time + std::time::Duration::from_secs(1));
    assert!(members.has_dead(), "the group's time is another, and what is counted with it");
    members.acknowledged(ip(1), Conveyed::default(), GroupTime::from_millis(9_001));
    assert!(!members.has_dead());
}

fn life(number: u8) -> Author {
    Author([number; 8])
}

/// All that one server has and another lacks.
fn share(from: &Members, to: &mut Members) {
    for (author, newest) in from.seen().clone().iter() {
        let since = to.seen().of(author).min(newest);
        let records = from.after(author, since).into_iter().cloned().collect();
        to.merge(author, (since, newest), records).unwrap();
    }
}

/// More lives than can be told apart, each with a member of its own: none of the members is lost sight of.
#[test]
fn members_of_authors_that_are_no_more_become_this_servers_own() {
    let mut members = Members::new(OURS);
    let mut others = Members::new(THEIRS);
    for number in 10..=200u8 {
        let to = u64::from(number) * 1_000;
        members.merge(life(number), (0, to), vec![listed(life(number), number.into(), to)]).unwrap();
        for _ in 0..3 {
            share(&members, &mut others);
            share(&others, &mut members);
        }
        assert!(
            !members.has_news_for(others.seen()) && !others.has_news_for(members.seen()),
            "life {number}"
        );
        let known = |members: &Members| members.records().map(|record| record.address).collect::<Vec<_>>();
        assert_eq!(known(&members), known(&others), "life {number}");
        assert!(members.seen().iter().count() <= 32 && others.seen().iter().count() <= 32);
    }
    assert_eq!(members.records().count(), 191);
}

/// What was dropped stays dropped, though its author is forgotten.
#[test]
fn an_author_that_is_forgotten_brings_nobody_back() {
    let mut members = Members::new(OURS);
    members.merge(THEIRS, (0, 5), vec![listed(THEIRS, 1, 5)]).unwrap();
    members.forget(ip(1));
    for number in 10..=60 {
        members.merge(life(number), (0, 100), vec![listed(life(number), number.into(), 100)]).unwrap();
    }
    assert_eq!(members.seen().of(THEIRS), 0);
    members.merge(THEIRS, (0, 5), vec![listed(THEIRS, 1, 5)]).unwrap();
    assert!(members.records().all(|record| record.address != ip(1)));
}

/// Servers that were apart: one dropped a member that answered to the other.
#[test]
fn who_answers_here_is_not_dropped_by_another_server() {
    let silent = |version| Listed { presence: Presence::Silent, ..listed(THEIRS, 1, version) };
    let mut members = Members::new(OURS);
    members.merge(THEIRS, (0, 5), vec![listed(THEIRS, 1, 5), listed(THEIRS, 2, 4)]).unwrap();
    members.acknowledged(ip(1), Conveyed::default(), GroupTime::from_millis(7_000));
    let silent_too = Listed { presence: Presence::Silent, ..listed(THEIRS, 2, 7) };
    assert_eq!(members.merge(THEIRS, (5, 7), vec![silent(6), silent_too]), Ok(vec![ip(1), ip(2)]));
    assert!(members.record(ip(1)).is_some() && members.record(ip(2)).is_none());
    assert_eq!(version(&members, 1), Some((OURS, 8)), "the other learns that it is here");
    members.merge(THEIRS, (7, 9), vec![silent(9)]).unwrap();
    assert!(members.record(ip(1)).is_none(), "that was said once for what it answered");
    members.acknowledged(ip(1), Conveyed::default(), GroupTime::from_millis(8_000));
    let removed = Listed { presence: Presence::Gone, ..listed(THEIRS, 1, 11) };
    members.merge(THEIRS, (9, 10), vec![listed(THEIRS, 1, 10)]).unwrap();
    members.acknowledged(ip(1), Conveyed::default(), GroupTime::from_millis(9_000));
    members.merge(THEIRS, (10, 11), vec![removed]).unwrap();
    assert!(members.record(ip(1)).is_none(), "who was removed is gone whatever it answers");
}

/// Servers that were apart: one did not know that the member registers with the other.
#[test]
fn a_later_registration_outlives_what_was_made_of_an_earlier_one() {
    let at = |second: u64, listed: Listed| Listed {
        record: Record { last_registered: GroupTime::from_millis(second * 1_000), ..listed.record },
        ..listed
    };
    for presence in [Presence::Here, Presence::Gone, Presence::Silent] {
        let there = Listed { presence, ..at(6, listed(THEIRS, 1, 90)) };
        let here = at(7, listed(OURS, 1, 3));
        let records = [(OURS, here), (THEIRS, there)];
        let mut orders = [records.clone(), records];
        orders[1].reverse();
        for order in orders {
            let mut members = Members::new(life(9));
            for (author, listed) in order {
                members.merge(author, (0, listed.version), vec![listed]).unwrap();
            }
            assert_eq!(version(&members, 1), Some((OURS, 3)), "{presence:?}");
            assert_eq!(members.records().count(), 1, "{presence:?}");
            members.forget(ip(1));
            assert_eq!(members.records().count(), 0, "{presence:?}");
        }
    }
}

/// Whatever another server's time was.
#[test]
fn the_next_registration_is_later_than_all_that_are_known() {
    let mut members = Members::new(OURS);
    members.merge(THEIRS, (0, 5), vec![listed(THEIRS, 1, 5)]).unwrap();
    let registrant = Registrant {
        address: SocketAddr::new(ip(1), 4500),
        identity: Identity::Address(ip(1)),
        bound: None,
        binding: None,
        shared: None,
        ours: true,
        fragments: true,
    };
    members.register(&registrant, Held::default(), None, GroupTime::from_millis(1_000));
    let mut others = Members::new(THEIRS);
    others.merge(THEIRS, (0, 5), vec![listed(THEIRS, 1, 5)]).unwrap();
    share(&members, &mut others);
    assert_eq!(others.record(ip(1)).map(|record| record.port), Some(4500));
}
