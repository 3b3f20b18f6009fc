use super::*;
use crate::crypto::{DhGroup, Hash, SystemRandom};
use crate::error::Unauthenticated;
use crate::wire::{Liveness, NotifyType};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

fn settings(last: u8, psk: &[u8], proposals: Vec<Proposal>) -> Settings {
    let identity = Identity::Address(IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)));
    Settings { credential: Credential::PreSharedKey(Secret::from(psk)), identity, proposals, doi: Doi::Gdoi }
}

/// Of a responder that accepts this.
pub(super) fn settings_with(proposals: Vec<Proposal>) -> Settings {
    settings(2, b"secret", proposals)
}

/// A first message with the usual proposal; each number gives another cookie.
pub(super) fn first_of(number: u8) -> Vec<u8> {
    let sa = crate::wire::Phase1Sa::new(Doi::Gdoi, &[Proposal::default()]).emit().unwrap();
    let cookies = Cookies { initiator: Cookie([number; 8]), responder: Cookie::ZERO };
    main_mode(cookies, &first_payloads(&sa, &[&VENDOR_ID, &FRAGMENTS_VENDOR_ID])).unwrap()
}

fn initiator(psk: &[u8], proposal: Proposal) -> Settings {
    settings(1, psk, vec![proposal])
}

fn every_proposal() -> Vec<Proposal> {
    let mut all = Vec::new();
    for key_len in [16, 24, 32] {
        for hash in [Hash::Sha256, Hash::Sha384, Hash::Sha512] {
            let lifetime = Duration::from_secs(3600);
            all.extend(DhGroup::ALL.map(|group| Proposal { key_len, hash, group, lifetime }));
        }
    }
    all
}

fn responder(psk: &[u8]) -> Settings {
    settings(2, psk, every_proposal())
}

fn next(state: &Initiator, message: &[u8]) -> Result<(Initiator, Vec<u8>), Error> {
    let (header, body) = Header::parse(message)?;
    match state.step(&header, body, &mut SystemRandom)? {
        InitiatorStep::Next(state, message) => Ok((state, message)),
        InitiatorStep::Established(_) => panic!("established early"),
    }
}

fn answer(state: &Responder, message: &[u8]) -> Result<(Responder, Vec<u8>), Error> {
    let (header, body) = Header::parse(message)?;
    match state.step(&header, body, &mut SystemRandom)? {
        ResponderStep::Next(state, message) => Ok((state, message)),
        ResponderStep::Established(..) => panic!("established early"),
    }
}

fn accept(settings: Settings, message: &[u8]) -> Result<(Responder, Vec<u8>), Error> {
    let (header, body) = Header::parse(message)?;
    Responder::start(settings, &header, body, &mut SystemRandom)
}

/// Both sides after the fourth message, with the fifth.
fn before_authentication(ours: Settings, theirs: Settings) -> (Initiator, Responder, Vec<u8>) {
    before_authentication_of(Initiator::start(ours, &mut SystemRandom).unwrap(), theirs)
}

fn before_authentication_of(
    (state, first): (Initiator, Vec<u8>),
    theirs: Settings,
) -> (Initiator, Responder, Vec<u8>) {
    let (peer, second) = accept(theirs, &first).unwrap();
    let (state, third) = next(&state, &second).unwrap();
    let (peer, fourth) = answer(&peer, &third).unwrap();
    let (state, fifth) = next(&state, &fourth).unwrap();
    (state, peer, fifth)
}

fn establish(ours: Settings, theirs: Settings) -> Result<(IsakmpSa, IsakmpSa), Error> {
    finish(before_authentication(ours, theirs))
}

fn finish((state, peer, fifth): (Initiator, Responder, Vec<u8>)) -> Result<(IsakmpSa, IsakmpSa), Error> {
    let (header, body) = Header::parse(&fifth)?;
    let ResponderStep::Established(theirs, sixth) = peer.step(&header, body, &mut SystemRandom)? else {
        panic!("not established")
    };
    let (header, body) = Header::parse(&sixth)?;
    let InitiatorStep::Established(ours) = state.step(&header, body, &mut SystemRandom)? else {
        panic!("not established")
    };
    Ok((ours, theirs))
}

#[test]
fn every_proposal_establishes_and_protects() {
    for proposal in every_proposal() {
        let (ours, theirs) = establish(initiator(b"secret", proposal), responder(b"secret")).unwrap();
        assert_eq!(ours.proposal, theirs.proposal);
        assert_eq!(ours.peer, Identity::Address(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2))));
        assert_eq!(theirs.peer, Identity::Address(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))));
        assert!(ours.ours && theirs.ours);
        let message = ours.delete(&mut SystemRandom).unwrap();
        let (header, body) = Header::parse(&message).unwrap();
        assert_eq!(theirs.informed(&header, body), Ok(sa::Informational::Deleted));
    }
}

/// The answer to a first message with these vendor IDs.
fn second_message(vendor_ids: &[&[u8]]) -> Vec<u8> {
    let sa = crate::wire::Phase1Sa::new(Doi::Gdoi, &[Proposal::default()]).emit().unwrap();
    let cookies = Cookies { initiator: Cookie([1; 8]), responder: Cookie::ZERO };
    accept(responder(b"secret"), &main_mode(cookies, &first_payloads(&sa, vendor_ids)).unwrap()).unwrap().1
}

fn contains(message: &[u8], id: &[u8]) -> bool {
    message.windows(id.len()).any(|window| window == id)
}

#[test]
fn dead_peer_detection_is_announced_to_our_own_that_announce_it() {
    let foreign: &[u8] = b"somebody else";
    let cases: [(&[&[u8]], bool); 5] = [
        (&[], false),
        (&[&VENDOR_ID], false),
        (&[&VENDOR_ID, &DPD_VENDOR_ID], true),
        (&[&DPD_VENDOR_ID, foreign], false),
        (&[&DPD_VENDOR_ID, foreign, &VENDOR_ID], true),
    ];
    for (vendor_ids, announced) in cases {
        let second = second_message(vendor_ids);
        assert!(contains(&second, &VENDOR_ID));
        assert_eq!(contains(&second, &DPD_VENDOR_ID), announced);
    }
}

#[test]
fn both_sides_know_whether_dead_peers_are_detected() {
    let (ours, theirs) = (initiator(b"secret", Proposal::default()), responder(b"secret"));
    let (_, first) = Initiator::start(ours.clone(), &mut SystemRandom).unwrap();
    assert!(!contains(&first, &DPD_VENDOR_ID));
    let (plain, answered) = establish(ours.clone(), theirs.clone()).unwrap();
    assert!(!plain.dpd && !answered.dpd);
    let begun = Initiator::start_with_dpd(ours, &mut SystemRandom).unwrap();
    let (watched, answered) = finish(before_authentication_of(begun, theirs)).unwrap();
    assert!(watched.ours && watched.dpd && answered.ours && answered.dpd);
}

#[test]
fn liveness_is_asked_and_answered_under_its_sa() {
    let (ours, theirs) = establish(initiator(b"secret", Proposal::default()), responder(b"secret")).unwrap();
    let (other, _) = establish(initiator(b"secret", Proposal::default()), responder(b"secret")).unwrap();
    let read = |message: Vec<u8>| {
        let (header, body) = Header::parse(&message).unwrap();
        theirs.informed(&header, body)
    };
    let ask = ours.liveness(NotifyType::R_U_THERE, 7, &mut SystemRandom).unwrap();
    assert_eq!(read(ask), Ok(Informational::AreYouThere(7)));
    let answer = ours.liveness(NotifyType::R_U_THERE_ACK, 8, &mut SystemRandom).unwrap();
    assert_eq!(read(answer), Ok(Informational::StillHere(8)));
    let liveness = Liveness { kind: NotifyType::R_U_THERE, cookies: other.cookies.octets(), sequence: 7 };
    let payload = (PayloadType::NOTIFY, &liveness.emit().unwrap()[..]);
    let misnamed = ours.single(ExchangeType::INFORMATIONAL, payload, &mut SystemRandom).unwrap();
    assert_eq!(read(misnamed), Err(Misbehaved::Cookie.into()));
}

#[test]
fn the_ipsec_doi_works_too() {
    let ours = Settings { doi: Doi::Ipsec, ..initiator(b"secret", Proposal::default()) };
    assert!(establish(ours, responder(b"secret")).is_ok());
}

#[test]
fn different_keys_are_noticed_by_the_responder() {
    let error = establish(initiator(b"secret", Proposal::default()), responder(b"Secret")).unwrap_err();
    assert_eq!(error, Unauthenticated::PreSharedKey.into());
}

#[test]
fn no_common_proposal() {
    let ours = initiator(b"secret", Proposal::default());
    let (_, first) = Initiator::start(ours, &mut SystemRandom).unwrap();
    let theirs = Settings { proposals: every_proposal().split_off(53), ..responder(b"secret") };
    assert_eq!(accept(theirs, &first).err(), Some(Unacceptable::NoProposal.into()));
}

#[test]
fn an_answer_that_was_not_offered_is_refused() {
    let (state, _) = Initiator::start(initiator(b"secret", Proposal::default()), &mut SystemRandom).unwrap();
    let weaker = Proposal { key_len: 16, ..Proposal::default() };
    let (_, other) = Initiator::start(initiator(b"secret", weaker), &mut SystemRandom).unwrap();
    let (_, second) = accept(responder(b"secret"), &other).unwrap();
    let forged = [&state.cookie().0[..], &second[8..]].concat();
    assert_eq!(next(&state, &forged).err(), Some(Misbehaved::NotOffered("phase 1 proposal").into()));
}

#[test]
fn cookies_must_be_right() {
    let (state, first) =
        Initiator::start(initiator(b"secret", Proposal::default()), &mut SystemRandom).unwrap();
    let zero = [&[0; 8][..], &first[8..]].concat();
    assert_eq!(accept(responder(b"secret"), &zero).err(), Some(Misbehaved::Cookie.into()));
    let (_, second) = accept(responder(b"secret"), &first).unwrap();
    let unnamed = [&second[..8], &[0; 8], &second[16..]].concat();
    assert_eq!(next(&state, &unnamed).err(), Some(Misbehaved::Cookie.into()));
    let foreign = [&[9; 8], &second[8..]].concat();
    assert_eq!(next(&state, &foreign).err(), Some(Misbehaved::UnknownExchange.into()));
    let aggressive = [&second[..18], &[4], &second[19..]].concat();
    assert_eq!(
        next(&state, &aggressive).err(),
        Some(Misbehaved::UnsupportedExchange(ExchangeType::AGGRESSIVE).into())
    );
}

#[test]
fn bad_public_values_and_nonces_are_refused() {
    let (state, first) =
        Initiator::start(initiator(b"secret", Proposal::default()), &mut SystemRandom).unwrap();
    let (peer, second) = accept(responder(b"secret"), &first).unwrap();
    let (_, third) = next(&state, &second).unwrap();
    let cookies = peer.cookies();
    let send = |public: &[u8], nonce: &[u8]| {
        let message = main_mode(cookies, &[(PayloadType::KE, public), (PayloadType::NONCE, nonce)]).unwrap();
        answer(&peer, &message).err()
    };
    assert_eq!(send(&[0; 64], &[1; 32]), Some(Unacceptable::PublicValue.into()));
    assert_eq!(send(&[1; 63], &[1; 32]), Some(Unacceptable::PublicValue.into()));
    assert_eq!(send(&third[32..96], &[1; 7]), Some(Misbehaved::NonceLength.into()));
    assert_eq!(send(&third[32..96], &[1; 129]), Some(Misbehaved::NonceLength.into()));
    assert_eq!(send(&third[32..96], &[1; 8]), None);
}

#[test]
fn clear_and_encrypted_messages_are_told_apart() {
    let (_, peer, mut fifth) =
        before_authentication(initiator(b"secret", Proposal::default()), responder(b"secret"));
    fifth[19] = 0;
    assert_eq!(answer(&peer, &fifth).err(), Some(Misbehaved::Encryption.into()));
    let (state, _) = Initiator::start(initiator(b"secret", Proposal::default()), &mut SystemRandom).unwrap();
    let (_, first) = Initiator::start(initiator(b"secret", Proposal::default()), &mut SystemRandom).unwrap();
    let (_, mut second) = accept(responder(b"secret"), &first).unwrap();
    second[..8].copy_from_slice(&state.cookie().0);
    second[19] = 1;
    assert_eq!(next(&state, &second).err(), Some(Misbehaved::Encryption.into()));
}

/// Every single octet of the authenticated message matters, and none of the wrong ones does harm.
#[test]
fn a_changed_fifth_message_is_refused() {
    let (_, peer, fifth) =
        before_authentication(initiator(b"secret", Proposal::default()), responder(b"secret"));
    for position in 0..fifth.len() {
        let mut changed = fifth.clone();
        changed[position] ^= 1;
        assert!(answer(&peer, &changed).is_err(), "octet {position}");
    }
}

#[test]
fn the_vendor_id_is_the_digest_that_it_claims_to_be() {
    let digest = crate::crypto::prf::digest(Hash::Sha256, &[b"Group Domain of Interpretation for Linux"]);
    assert_eq!(VENDOR_ID[..16], digest[..16]);
    let text = [&b"Group Domain of Interpretation for Linux: fragments"[..]];
    assert_eq!(FRAGMENTS_VENDOR_ID[..], crate::crypto::prf::digest(Hash::Sha256, &text)[..16]);
}

#[test]
fn fragments_are_agreed_with_our_own_that_announce_them() {
    let cases: [(&[&[u8]], bool); 4] = [
        (&[&VENDOR_ID, &FRAGMENTS_VENDOR_ID], true),
        (&[&VENDOR_ID], false),
        (&[&FRAGMENTS_VENDOR_ID], false),
        (&[&DPD_VENDOR_ID, &FRAGMENTS_VENDOR_ID, &VENDOR_ID], true),
    ];
    for (vendor_ids, agreed) in cases {
        assert_eq!(contains(&second_message(vendor_ids), &FRAGMENTS_VENDOR_ID), agreed);
    }
    let (ours, theirs) = establish(initiator(b"secret", Proposal::default()), responder(b"secret")).unwrap();
    assert!(ours.fragments && theirs.fragments);
}
