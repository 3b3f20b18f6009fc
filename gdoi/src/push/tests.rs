use super::*;
use crate::crypto::sign::{NewKey, SigningKey};
use crate::crypto::{Hash, Random, SystemRandom};
use crate::error::{Malformed, Misbehaved, Unauthenticated};
use crate::group::{AckType, AclNotice, Deletion, GroupPolicy, Tek};
use crate::policy::{Acl, SendMode, Spi, TekKeys};
use crate::wire::{Delete, Header, PayloadType};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::OnceLock;
use std::time::Duration;

fn key_of(kind: NewKey) -> SigningKey {
    SigningKey::from_pkcs8(&kind.generate().unwrap(), Hash::Sha256).unwrap()
}

fn signing_key() -> &'static SigningKey {
    static KEY: OnceLock<SigningKey> = OnceLock::new();
    KEY.get_or_init(|| key_of(NewKey::EcdsaP256))
}

fn kek_for(key: &SigningKey, sequence: u32) -> Kek {
    Kek {
        spi: *b"0123456789abcdef",
        key: Secret::new((0..48).collect()),
        lifetime: Duration::from_secs(86_400),
        signature: key.algorithm(),
        verification: key.public().clone(),
        source: SocketAddr::new([192, 0, 2, 1].into(), 848),
        destination: SocketAddr::new([198, 51, 100, 1].into(), 848),
        sequence,
        ack: Some(AckType::KekSha256),
    }
}

fn kek(sequence: u32) -> Kek {
    kek_for(signing_key(), sequence)
}

fn policy() -> GroupPolicy {
    let (encryption, integrity) = (SystemRandom.secret(16).unwrap(), SystemRandom.secret(32).unwrap());
    let keys = TekKeys::Shared { encryption, integrity };
    let transform = "aes-128-cbc/hmac-sha-256".parse().unwrap();
    GroupPolicy {
        acl: AclNotice::List(Acl::new(vec!["permit ip 10.0.0.0/8 10.0.0.0/8".parse().unwrap()]).unwrap()),
        mode: SendMode::Both,
        teks: vec![Tek {
            spi: Spi(4242),
            transform,
            keys,
            senders: None,
            lifetime: Duration::from_secs(60),
            selectors: Vec::new(),
        }],
        kek: None,
        activation_delay: Some(Duration::from_secs(5)),
        deactivation_delay: None,
        pseudotime: Some(1),
    }
}

fn message(content: &PushContent<'_>) -> Vec<u8> {
    emit(&kek(0), signing_key(), content).unwrap()
}

#[test]
fn a_push_arrives_as_it_was_sent() {
    for kind in [NewKey::EcdsaP256, NewKey::EcdsaP384, NewKey::Rsa2048] {
        let (key, sent) = (key_of(kind), policy());
        let content = PushContent {
            sequence: 7,
            deletions: &[Deletion::Tek(Spi(1000))],
            policy: Some(&sent),
            signed_length: SignedLength::Padded,
        };
        let push = receive(&kek_for(&key, 6), &emit(&kek_for(&key, 0), &key, &content).unwrap()).unwrap();
        assert_eq!((push.sequence, push.deletions), (7, vec![Deletion::Tek(Spi(1000))]));
        let got = push.policy.unwrap();
        assert_eq!((got.acl, got.teks, got.pseudotime), (sent.acl, sent.teks, sent.pseudotime));
    }
}

/// Of any length: with a lone TEK's deletion added the padding is another.
#[test]
fn both_readings_of_the_signed_length_are_taken() {
    let sent = policy();
    let mut lengths = std::collections::BTreeSet::new();
    for count in 0..4 {
        let deletions: Vec<_> = (0..count).map(|number| Deletion::Tek(Spi(1000 + number))).collect();
        let made = [SignedLength::Padded, SignedLength::Unpadded].map(|signed_length| {
            let content =
                PushContent { sequence: 1, deletions: &deletions, policy: Some(&sent), signed_length };
            message(&content)
        });
        for datagram in &made {
            assert_eq!(receive(&kek(0), datagram).unwrap().deletions, deletions);
        }
        lengths.insert(made[0].len());
    }
    assert!(lengths.len() > 1, "{lengths:?}");
}

/// As many SPIs as a message has room for (RFC 2408 section 3.15).
#[test]
fn a_deletion_of_many_keys_is_taken() {
    for count in [16, 17, 18, 5_000] {
        let deletions: Vec<_> = (0..count).map(|number| Deletion::Tek(Spi(1000 + number))).collect();
        let sent = message(&PushContent {
            sequence: 1,
            deletions: &deletions,
            policy: None,
            signed_length: SignedLength::Padded,
        });
        assert_eq!(receive(&kek(0), &sent).unwrap().deletions, deletions);
    }
}

#[test]
fn what_ends_arrives_as_it_was_sent() {
    let (one, other) = (Deletion::Tek(Spi(1000)), Deletion::Tek(Spi(2000)));
    let ended = Deletion::Kek(kek(0).spi);
    let cases = [vec![one, other], vec![one, other, ended], vec![Deletion::AllTeks, ended]];
    for deletions in cases {
        let sent = message(&PushContent {
            sequence: 1,
            deletions: &deletions,
            policy: None,
            signed_length: SignedLength::Padded,
        });
        assert_eq!(receive(&kek(0), &sent).unwrap().deletions, deletions);
    }
    let payloads = sender::deletes(&[one, other, ended]);
    assert_eq!(payloads, [Delete::teks(&[1000, 2000]), Delete::kek(kek(0).spi)], "TEKs share one");
}

#[test]
fn a_new_kek_begins_at_sequence_zero() {
    let sent = GroupPolicy {
        acl: AclNotice::Selectors(Acl::default()),
        teks: Vec::new(),
        kek: Some(kek(9)),
        ..policy()
    };
    let content =
        PushContent { sequence: 1, deletions: &[], policy: Some(&sent), signed_length: SignedLength::Padded };
    let got = receive(&kek(0), &message(&content)).unwrap().policy.unwrap().kek.unwrap();
    assert_eq!((got.sequence, got.ack), (0, Some(AckType::KekSha256)));
}

#[test]
fn replayed_and_reordered_messages_are_refused() {
    let sent = policy();
    let second = message(&PushContent {
        sequence: 2,
        deletions: &[],
        policy: Some(&sent),
        signed_length: SignedLength::Padded,
    });
    assert!(receive(&kek(1), &second).is_ok());
    for last in [2, 3, u32::MAX] {
        assert_eq!(receive(&kek(last), &second).unwrap_err(), Misbehaved::Sequence { got: 2, last }.into());
    }
}

/// Every octet counts: a change in the header, the encrypted part or the signature is noticed.
#[test]
fn changed_messages_are_refused() {
    let sent = policy();
    let sound = message(&PushContent {
        sequence: 1,
        deletions: &[],
        policy: Some(&sent),
        signed_length: SignedLength::Padded,
    });
    for position in 0..sound.len() {
        let mut changed = sound.clone();
        changed[position] ^= 1;
        assert!(receive(&kek(0), &changed).is_err(), "octet {position}");
    }
    for length in 0..sound.len() {
        assert!(receive(&kek(0), &sound[..length]).is_err(), "{length} octets");
    }
}

#[test]
fn messages_of_others_are_refused_for_the_right_reason() {
    let sent = policy();
    let content =
        PushContent { sequence: 1, deletions: &[], policy: Some(&sent), signed_length: SignedLength::Padded };
    let forged = emit(&kek(0), &key_of(NewKey::EcdsaP256), &content).unwrap();
    assert_eq!(receive(&kek(0), &forged).unwrap_err(), Unauthenticated::Signature.into());
    let sound = message(&content);
    let other = Kek { spi: [9; 16], ..kek(0) };
    assert_eq!(receive(&other, &sound).unwrap_err(), Misbehaved::UnknownExchange.into());
    let unreadable = Kek { key: Secret::new(vec![1; 48]), ..kek(0) };
    assert_eq!(receive(&unreadable, &sound).unwrap_err(), Unauthenticated::Decryption.into());
    let mut clear = sound.clone();
    clear[19] = 0;
    assert_eq!(receive(&kek(0), &clear).unwrap_err(), Misbehaved::Encryption.into());
    let nothing = message(&PushContent {
        sequence: 1,
        deletions: &[],
        policy: None,
        signed_length: SignedLength::Padded,
    });
    assert_eq!(receive(&kek(0), &nothing).unwrap_err(), Misbehaved::MissingPayload(PayloadType::SA).into());
    let of_phase1 = Delete::phase1([1; 16]).emit().unwrap();
    let payloads = [(PayloadType::SEQ, &[0, 0, 0, 1][..]), (PayloadType::DELETE, &of_phase1)];
    let foreign = sender::seal_signed(&kek(0), (signing_key(), SignedLength::Padded), &payloads).unwrap();
    assert_eq!(receive(&kek(0), &foreign).unwrap_err(), Malformed::Value("delete payload").into());
}

fn acknowledgement() -> Acknowledgement {
    Acknowledgement { sequence: 7, member: IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1)) }
}

fn parse_ack(kek: &Kek, message: &[u8]) -> Result<Acknowledgement, crate::Error> {
    let (header, body) = Header::parse(message)?;
    Acknowledgement::parse(kek, &header, body)
}

#[test]
fn acknowledgements_arrive_as_they_were_sent() {
    for ack in [AckType::KekSha256, AckType::KekSha512] {
        let kek = Kek { ack: Some(ack), ..kek(7) };
        let message = acknowledgement().emit(&kek).unwrap();
        assert_eq!(parse_ack(&kek, &message), Ok(acknowledgement()));
    }
    assert_eq!(acknowledgement().emit(&Kek { ack: None, ..kek(7) }), None);
}

#[test]
fn changed_acknowledgements_are_refused() {
    let sound = acknowledgement().emit(&kek(7)).unwrap();
    // The cookies are compared by who looks the KEK up.
    for position in 16..sound.len() {
        let mut changed = sound.clone();
        changed[position] ^= 1;
        let refused = parse_ack(&kek(7), &changed);
        assert!(refused.is_err() || position == 18, "octet {position}");
    }
    let other = Kek { spi: [1; 16], ..kek(7) };
    assert_eq!(parse_ack(&other, &sound), Err(Unauthenticated::Hash.into()));
    let without = Kek { ack: None, ..kek(7) };
    assert_eq!(parse_ack(&without, &sound), Err(Misbehaved::UnknownAcknowledgement.into()));
}

/// The derivation of RFC 8263 section 3.2, octet by octet.
#[test]
fn the_acknowledgement_key_is_derived_as_the_rfc_says() {
    use crate::crypto::{derive::ack_key, prf::prf};
    let base = Secret::new(vec![7; 32]);
    let covered = [&b"GROUPKEY-PUSH ACK"[..], &[0], &[5; 16], &[2, 0]].concat();
    assert_eq!(ack_key(Hash::Sha256, &base, &[5; 16]), prf(Hash::Sha256, &base, &[&covered]));
}
