//! Entries of the list with keys of their own, as servers of other software give them.

use super::*;
use crate::policy::{Ace, Action, Selector};

fn selector(text: &str) -> Selector {
    text.parse::<Ace>().unwrap().selector
}

fn there() -> Selector {
    selector("permit ip 10.1.0.0/16 10.2.0.0/16")
}

fn back() -> Selector {
    selector("permit ip 10.2.0.0/16 10.1.0.0/16")
}

fn only(spi: u32, lifetime: u64, selectors: &[Selector]) -> Tek {
    Tek { selectors: selectors.to_vec(), ..tek(spi, lifetime) }
}

fn list(selectors: &[Selector]) -> AclNotice {
    let permit = |selector: &Selector| Ace { action: Action::Permit, selector: *selector };
    AclNotice::Selectors(Acl::new(selectors.iter().map(permit).collect()).unwrap())
}

/// As a message with these TEKs is understood.
fn told(teks: Vec<Tek>) -> GroupPolicy {
    let mut all: Vec<Selector> = Vec::new();
    for selector in teks.iter().flat_map(|tek| &tek.selectors) {
        if !all.contains(selector) {
            all.push(*selector);
        }
    }
    GroupPolicy { acl: list(&all), ..policy(teks) }
}

fn both() -> Keyring {
    let mut keyring = empty();
    pull(&mut keyring, told(vec![only(1000, 600, &[there()]), only(2000, 900, &[back()])]), 0);
    keyring
}

/// What each entry is sent with.
fn sent(keyring: &Keyring, second: u64) -> Vec<(Selector, Option<u32>)> {
    let apart = keyring.view(at(second)).apart;
    apart.iter().map(|traffic| (traffic.selector, traffic.outbound.as_ref().map(|sa| sa.spi.0))).collect()
}

#[test]
fn each_entry_is_sent_with_its_own_key_and_all_are_received() {
    let keyring = both();
    assert_eq!(sent(&keyring, 0), [(there(), Some(1000)), (back(), Some(2000))]);
    assert_eq!(keyring.view(at(0)).inbound.len(), 2);
    assert_eq!(keyring.acl().permits().count(), 2);
}

#[test]
fn an_entry_whose_keys_have_ended_is_blocked() {
    let keyring = both();
    assert_eq!(sent(&keyring, 601), [(there(), None), (back(), Some(2000))]);
    assert_eq!(sent(&keyring, 610), [(there(), None), (back(), Some(2000))], "and never sent with another's");
    assert_eq!(keyring.last_tek(at(0)).map(|(ends, _)| ends), Some(at(600)), "so it registers before");
}

/// A rekey message for one direction leaves the other as it is: its key, its entry, its time to switch.
#[test]
fn a_rekey_of_one_entry_leaves_the_others() {
    let mut keyring = both();
    let mut push = push(Vec::new(), (30, 60));
    let content = push.policy.take().unwrap();
    let fresh = GroupPolicy { acl: list(&[there()]), teks: vec![tek(3000, 600)], ..content };
    keyring.push(Rekey { policy: Some(fresh), ..push }, at(100));
    assert_eq!(sent(&keyring, 129), [(there(), Some(1000)), (back(), Some(2000))]);
    assert_eq!(sent(&keyring, 130), [(there(), Some(3000)), (back(), Some(2000))]);
    assert_eq!(shape(&keyring, 163).0, [2000, 3000], "only what it replaces is retired");
    assert_eq!(keyring.last_tek(at(200)).map(|(ends, _)| ends), Some(at(700)));
}

#[test]
fn a_download_of_one_list_ends_it() {
    let mut keyring = both();
    pull(&mut keyring, GroupPolicy { acl: list(&[there(), back()]), ..policy(vec![tek(4000, 600)]) }, 500);
    assert_eq!(sent(&keyring, 500), []);
    assert_eq!(keyring.view(at(901)).outbound.map(|sa| sa.spi), Some(Spi(4000)));
}

#[test]
fn lists_that_would_grow_too_long_are_refused() {
    let mut keyring = both();
    let many: Vec<_> = (0..1_000)
        .map(|number| selector(&format!("permit ip 10.9.{}.{}/32 any", number / 256, number % 256)))
        .collect();
    let push = push(Vec::new(), (30, 60));
    let content =
        GroupPolicy { acl: list(&many), teks: vec![tek(3000, 600)], ..push.policy.clone().unwrap() };
    let push = Rekey { policy: Some(content), ..push };
    assert_eq!(keyring.check(&push), Err(Malformed::TooMany("SAT payloads").into()));
    pull(&mut keyring, GroupPolicy { acl: list(&[there()]), ..policy(vec![tek(4000, 600)]) }, 1);
    assert_eq!(keyring.check(&push), Ok(()), "where keys are for one list a new one replaces it");
}

/// It replaces nothing.
#[test]
fn a_rekey_without_traffic_keys_retires_none() {
    let mut keyring = empty();
    pull(&mut keyring, policy(vec![tek(1000, 3600)]), 0);
    let push = push(Vec::new(), (30, 60));
    let content = GroupPolicy { kek: Some(kek(1000)), ..push.policy.clone().unwrap() };
    keyring.push(Rekey { policy: Some(content), ..push }, at(100));
    assert_eq!(shape(&keyring, 1000), (vec![1000], Some(1000)));
}
