use super::offer::Offer;
use super::*;
use crate::crypto::sign::{NewKey, SigningKey};
use crate::crypto::{Hash, Secret};
use crate::error::{Malformed, Unacceptable};
use crate::group::{AckType, AclDigest, AclNotice, GroupPolicy, Kek, Tek};
use crate::policy::{Acl, Seed, SendMode, SenderTerms, SidGeneration, Spi, TekKeys, MAX_ACES};
use crate::wire::{GroupSa, IdField, IdType, Kd, KeyPacket, PayloadType};
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;

fn tek(spi: u32) -> Tek {
    let (encryption, integrity) = (Secret::new(vec![1; 32]), Secret::new(vec![2; 48]));
    let keys = TekKeys::Shared { encryption, integrity };
    let transform = "aes-256-cbc/hmac-sha-384".parse().unwrap();
    Tek {
        spi: Spi(spi),
        transform,
        keys,
        senders: None,
        lifetime: Duration::from_secs(3600),
        selectors: Vec::new(),
    }
}

/// One under which every sender has its own key.
fn seeded(spi: u32, transform: &str) -> Tek {
    let seed = Seed::new(Secret::new(vec![spi as u8; 32])).unwrap();
    let generation = SidGeneration { lineage: [9; 8], number: 2 };
    let senders = Some(SenderTerms { generation, replay_window: 1024 });
    let transform = transform.parse().unwrap();
    Tek { keys: TekKeys::PerSender(seed), transform, senders, ..tek(spi) }
}

fn signing_key() -> &'static SigningKey {
    static KEY: OnceLock<SigningKey> = OnceLock::new();
    KEY.get_or_init(|| SigningKey::from_pkcs8(&NewKey::EcdsaP256.generate().unwrap(), Hash::Sha256).unwrap())
}

fn kek() -> Kek {
    Kek {
        spi: [7; 16],
        key: Secret::new(vec![3; 48]),
        lifetime: Duration::from_secs(86_400),
        signature: signing_key().algorithm(),
        verification: signing_key().public().clone(),
        source: SocketAddr::new([192, 0, 2, 1].into(), 848),
        destination: SocketAddr::new([198, 51, 100, 1].into(), 848),
        sequence: 5,
        ack: Some(AckType::KekSha256),
    }
}

fn acl(entries: &[&str]) -> Acl {
    Acl::new(entries.iter().map(|entry| entry.parse().unwrap()).collect()).unwrap()
}

fn policy() -> GroupPolicy {
    let entries = ["permit ip 10.0.0.0/8 10.0.0.0/8", "permit udp host 10.1.1.1 eq 53 any"];
    GroupPolicy {
        acl: AclNotice::Selectors(acl(&entries)),
        mode: SendMode::Both,
        teks: vec![tek(1000), tek(2000)],
        kek: Some(kek()),
        activation_delay: Some(Duration::from_secs(15)),
        deactivation_delay: Some(Duration::from_secs(30)),
        pseudotime: Some(77),
    }
}

fn understand(change: impl FnOnce(&mut GroupSa)) -> Result<Offer, Error> {
    let mut sa = policy().announce();
    change(&mut sa);
    Offer::understand(&sa)
}

#[test]
fn policy_and_keys_arrive_as_they_were() {
    let sent = policy();
    let sa = GroupSa::parse(&sent.announce().emit().unwrap()).unwrap();
    let kd = Kd::parse(&sent.download().emit().unwrap()).unwrap();
    assert_eq!(sa.teks.len(), 4, "each TEK with each entry");
    let got = Offer::understand(&sa).unwrap().complete(&kd, Some(5)).unwrap();
    assert_eq!((&got.acl, &got.teks), (&sent.acl, &sent.teks));
    assert_eq!(
        (got.activation_delay, got.deactivation_delay),
        (sent.activation_delay, sent.deactivation_delay)
    );
    let (got, sent) = (got.kek.unwrap(), sent.kek.unwrap());
    assert_eq!((got.spi, &got.key, got.lifetime, got.sequence), (sent.spi, &sent.key, sent.lifetime, 5));
    assert_eq!((got.source, got.destination, got.signature), (sent.source, sent.destination, sent.signature));
    assert_eq!(got.verification.spki(), sent.verification.spki());
}

/// The second TEK is for the first entry only.
#[test]
fn keys_may_be_for_entries_of_their_own() {
    let sent = policy();
    let selectors = |offer: Offer| {
        let got = offer.complete(&sent.download(), Some(5)).unwrap();
        let numbers: Vec<_> = got.teks.iter().map(|tek| tek.selectors.len()).collect();
        (got.acl, numbers)
    };
    let (list, common) = selectors(understand(|_| {}).unwrap());
    assert_eq!(common, [0, 0], "the list is that of both");
    assert_eq!(selectors(understand(|sa| sa.teks.truncate(3)).unwrap()), (list, vec![2, 1]));
}

#[test]
fn policies_that_cannot_be_carried_out_are_refused() {
    let refused = |change: fn(&mut GroupSa)| understand(change).unwrap_err();
    let unsupported = |what, value| Error::from(Unacceptable::Unsupported(what, value));
    assert_eq!(refused(|sa| sa.teks[0].mode = 2), unsupported("encapsulation mode", 2));
    assert_eq!(refused(|sa| sa.teks[0].preservation = 1), unsupported("address preservation", 1));
    assert_eq!(refused(|sa| sa.teks[0].direction = 1), unsupported("SA direction", 1));
    assert_eq!(refused(|sa| sa.teks[0].transform = 20), unsupported("ESP authentication algorithm", 6));
    assert_eq!(refused(|sa| sa.teks[0].transform = 11), unsupported("ESP transform", 11));
    assert_eq!(refused(|sa| sa.teks[0].key_bits = 192), unsupported("AES key length", 192));
    assert_eq!(refused(|sa| sa.teks[0].authentication = 2), unsupported("ESP authentication algorithm", 2));
    assert_eq!(refused(|sa| sa.teks[0].spi = 255), Malformed::Value("TEK SPI").into());
    assert_eq!(refused(|sa| sa.teks[0].lifetime = 0), Malformed::Value("SA life duration").into());
    assert_eq!(refused(|sa| sa.teks[0].source.kind = IdType::FQDN), unsupported("traffic selector type", 2));
    let without = understand(|sa| sa.teks.clear()).unwrap().whole().unwrap_err();
    assert_eq!(without, Misbehaved::MissingPayload(PayloadType::SAT).into());
    let different = Misbehaved::KeyMismatch("one SPI with different policies");
    assert_eq!(refused(|sa| sa.teks[1].lifetime = 1), different.into());
    let many = refused(|sa| sa.teks = vec![sa.teks[0].clone(); MAX_ACES + 1]);
    assert_eq!(many, Malformed::TooMany("SAT payloads").into());
}

/// A policy for members of this implementation.
fn whole() -> GroupPolicy {
    let entries = ["deny tcp any gt 1023 any", "deny icmpv6 any any", "permit ip any any"];
    GroupPolicy { acl: AclNotice::List(acl(&entries)), mode: SendMode::ReceiveOnly, ..policy() }
}

#[test]
fn lists_travel_whole_between_our_own() {
    let sa = GroupSa::parse(&whole().announce().emit().unwrap()).unwrap();
    assert_eq!(sa.teks.len(), 2, "each TEK once");
    let offer = Offer::understand(&sa).unwrap().whole().unwrap();
    let got = offer.complete(&whole().download(), Some(5)).unwrap();
    assert_eq!((got.acl, got.mode), (whole().acl, SendMode::ReceiveOnly));
}

#[test]
fn a_digest_is_enough_for_a_push_only() {
    let digest = AclDigest::of(&acl(&["permit ip any any"]));
    let sent = GroupPolicy { acl: AclNotice::Digest(digest), ..whole() };
    let offer = Offer::understand(&GroupSa::parse(&sent.announce().emit().unwrap()).unwrap()).unwrap();
    assert_eq!(offer.complete(&sent.download(), Some(5)).unwrap().acl, AclNotice::Digest(digest));
    assert_eq!(offer.whole().unwrap_err(), Misbehaved::MissingPayload(PayloadType::ACL).into());
}

#[test]
fn lists_that_contradict_the_policy_are_refused() {
    let refused = |change: fn(&mut GroupSa)| {
        let mut sa = whole().announce();
        change(&mut sa);
        Offer::understand(&sa).unwrap_err()
    };
    let gap = |sa: &mut GroupSa| sa.gap.take().unwrap();
    assert_eq!(refused(|sa| sa.gap = None), Misbehaved::MissingAttribute("ACL digest").into());
    let other = refused(|sa| sa.acl = Some(acl(&["permit ip any any"])));
    assert_eq!(other, Misbehaved::KeyMismatch("digest of the ACL").into());
    let beside = Error::from(Misbehaved::KeyMismatch("traffic selectors beside an ACL"));
    assert_eq!(refused(|sa| sa.teks.iter_mut().for_each(|tek| tek.protocol = 6)), beside);
    assert_eq!(refused(|sa| sa.teks.extend(sa.teks.clone())), beside);
    let direction = refused(|sa| sa.teks.iter_mut().for_each(|tek| tek.direction = 2));
    assert_eq!(direction, Unacceptable::Unsupported("SA direction", 2).into());
    let mut without = whole().announce();
    without.gap = Some(crate::wire::Gap { acl: None, ..gap(&mut without) });
    assert_eq!(Offer::understand(&without).unwrap_err(), Misbehaved::MissingAttribute("ACL digest").into());
}

#[test]
fn others_are_told_the_permit_entries_and_the_direction() {
    let entries = ["deny tcp any gt 1023 any", "permit udp any6 eq 53 any6", "permit ipv6 2001:db8::/32 any"];
    let sent =
        GroupPolicy { acl: AclNotice::Selectors(acl(&entries)), mode: SendMode::ReceiveOnly, ..policy() };
    let sa = GroupSa::parse(&sent.announce().emit().unwrap()).unwrap();
    assert!(sa.acl.is_none() && sa.gap.as_ref().is_some_and(|gap| gap.acl.is_none() && gap.mode.is_none()));
    assert!(sa.teks.iter().all(|tek| tek.direction == 2));
    let got = Offer::understand(&sa).unwrap();
    let policy = got.complete(&sent.download(), Some(5)).unwrap();
    assert_eq!((policy.acl, policy.mode), (AclNotice::Selectors(acl(&entries[1..])), SendMode::ReceiveOnly));
    assert_eq!(got.whole().unwrap_err(), Unacceptable::Unsupported("SA direction", 2).into());
}

#[test]
fn rekey_policies_that_cannot_be_carried_out_are_refused() {
    let refused = |change: fn(&mut crate::wire::SaKek)| {
        understand(|sa| sa.kek.iter_mut().for_each(change)).unwrap_err()
    };
    let unsupported = |what, value| Error::from(Unacceptable::Unsupported(what, value));
    assert_eq!(refused(|kek| kek.algorithm = 2), unsupported("KEK algorithm", 2));
    assert_eq!(refused(|kek| kek.key_bits = 192), unsupported("KEK key length", 192));
    assert_eq!(refused(|kek| kek.protocol = 6), unsupported("rekey protocol", 6));
    assert_eq!(refused(|kek| kek.lifetime = 0), Malformed::Value("KEK_KEY_LIFETIME").into());
    assert_eq!(refused(|kek| kek.signature_algorithm = 2), unsupported("signature algorithm", 2));
    let prefix =
        |kek: &mut crate::wire::SaKek| kek.source = IdField::prefix(&"10.0.0.0/8".parse().unwrap(), None);
    assert_eq!(refused(prefix), unsupported("rekey address prefix", 8));
}

#[test]
fn keys_must_fit_the_policy() {
    let offer = understand(|_| {}).unwrap();
    let refused = |change: fn(&mut Vec<KeyPacket>)| {
        let mut kd = policy().download();
        change(&mut kd.0);
        offer.complete(&kd, Some(0)).unwrap_err()
    };
    let mismatch = |what| Error::from(Misbehaved::KeyMismatch(what));
    assert_eq!(refused(|packets| packets.truncate(2)), mismatch("number of key packets"));
    assert_eq!(refused(|packets| packets[2] = packets[1].clone()), mismatch("no key for a TEK"));
    assert_eq!(refused(|packets| packets[0] = packets[1].clone()), mismatch("no key for the KEK"));
    let long = |packets: &mut Vec<KeyPacket>| {
        packets[1] = KeyPacket::Tek {
            spi: 1000,
            encryption: Secret::new(vec![1; 64]),
            integrity: Secret::new(vec![2; 48]),
        };
    };
    assert_eq!(refused(long), mismatch("kind or length of a TEK"));
    let short = |packets: &mut Vec<KeyPacket>| {
        packets[0] =
            KeyPacket::Kek { spi: [7; 16], key: Secret::new(vec![1; 32]), verification_key: vec![1] };
    };
    assert_eq!(refused(short), mismatch("length of the KEK"));
    let bad = |packets: &mut Vec<KeyPacket>| {
        packets[0] =
            KeyPacket::Kek { spi: [7; 16], key: Secret::new(vec![1; 48]), verification_key: vec![1] };
    };
    assert_eq!(refused(bad), mismatch("verification key"));
    let without_seq = offer.complete(&policy().download(), None).unwrap_err();
    assert_eq!(without_seq, Misbehaved::MissingPayload(PayloadType::SEQ).into());
}

fn per_sender() -> GroupPolicy {
    let seeds = [
        seeded(0x1110_0000, "aes-128-gcm"),
        seeded(0x2220_0000, "aes-256-gcm"),
        seeded(0x3330_0000, "chacha20-poly1305"),
    ];
    GroupPolicy { teks: seeds.into_iter().chain([tek(1000)]).collect(), ..policy() }
}

#[test]
fn seeds_arrive_as_they_were() {
    let sent = per_sender();
    let sa = GroupSa::parse(&sent.announce().emit().unwrap()).unwrap();
    let numbers: Vec<_> =
        sa.teks.iter().map(|sat| (sat.transform, sat.key_bits, sat.authentication)).collect();
    assert_eq!(
        numbers[..6],
        [(20, 128, 0), (20, 128, 0), (20, 256, 0), (20, 256, 0), (249, 0, 0), (249, 0, 0)]
    );
    let kd = Kd::parse(&sent.download().emit().unwrap()).unwrap();
    let got = Offer::understand(&sa).unwrap().complete(&kd, Some(5)).unwrap();
    assert_eq!(got.teks, sent.teks);
}

#[test]
fn senders_that_cannot_be_told_apart_are_refused() {
    let refused = |change: fn(&mut crate::wire::SaTek)| {
        let mut sa = per_sender().announce();
        sa.teks.truncate(2);
        sa.teks.iter_mut().for_each(change);
        Offer::understand(&sa).unwrap_err()
    };
    let unsupported = |what, value| Error::from(Unacceptable::Unsupported(what, value));
    let shared = unsupported("one key for all senders with ESP transform", 20);
    assert_eq!(refused(|sat| sat.senders = None), shared);
    let cbc = |sat: &mut crate::wire::SaTek| (sat.transform, sat.authentication) = (12, 5);
    let own = Misbehaved::KeyMismatch("one key for all senders that have their own");
    assert_eq!(refused(cbc), own.into());
    assert_eq!(refused(|sat| sat.authentication = 5), unsupported("ESP authentication algorithm", 5));
    assert_eq!(refused(|sat| sat.key_bits = 192), unsupported("AES key length", 192));
    assert_eq!(refused(|sat| sat.transform = 249), unsupported("ChaCha20 key length", 128));
    assert_eq!(refused(|sat| sat.spi = 0x1110_0001), Malformed::Value("TEK SPI").into());
    let fields = |change: fn(&mut crate::wire::SenderFields)| {
        let mut sa = per_sender().announce();
        sa.teks.iter_mut().for_each(|sat| sat.senders.iter_mut().for_each(change));
        Offer::understand(&sa).unwrap_err()
    };
    assert_eq!(fields(|senders| senders.bits = 16), unsupported("number of SID bits", 16));
    assert_eq!(fields(|senders| senders.replay_window = 4097), unsupported("replay window", 4097));
    let mut sa = per_sender().announce();
    sa.teks[1].senders.iter_mut().for_each(|senders| senders.replay_window = 0);
    let different = Misbehaved::KeyMismatch("one SPI with different policies");
    assert_eq!(Offer::understand(&sa).unwrap_err(), different.into());
}

#[test]
fn a_shared_key_in_the_block_of_another_is_refused() {
    let mut sent = per_sender();
    sent.teks[3].spi = Spi(0x2220_0005);
    let overlap = Misbehaved::KeyMismatch("SPI of a TEK in the block of another");
    assert_eq!(Offer::understand(&sent.announce()).unwrap_err(), overlap.into());
}

#[test]
fn a_seed_for_a_shared_key_does_not_fit_and_the_other_way_round() {
    let sent = per_sender();
    let offer = Offer::understand(&sent.announce()).unwrap();
    let refused = |at: usize, packet: KeyPacket| {
        let mut kd = sent.download();
        kd.0[at] = packet;
        offer.complete(&kd, Some(0)).unwrap_err()
    };
    let mismatch = Error::from(Misbehaved::KeyMismatch("kind or length of a TEK"));
    let seed = Seed::new(Secret::new(vec![1; 32])).unwrap();
    assert_eq!(refused(4, KeyPacket::Seed { spi: 1000, seed }), mismatch);
    let (encryption, integrity) = (Secret::new(vec![1; 36]), Secret::new(vec![1]));
    assert_eq!(refused(1, KeyPacket::Tek { spi: 0x1110_0000, encryption, integrity }), mismatch);
}
