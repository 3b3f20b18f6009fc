//! The regression checklist, continued: a key server with the right pre-shared key that sends policies and keys that do not
//! fit. The member refuses, keeps what it has, and asks again later.

use crate::bench::duel::{introduced, Duel, NOW, NR};
use crate::bench::fixture;
use crate::bench::fleet::{member_address, server_address};
use gdoi::crypto::Secret;
use gdoi::policy::{Identity, Spi};
use gdoi::wire::{
    Attribute, Gap, GroupSa, IdField, Identification, Kd, KeyPacket, NotifyType, PayloadType, SaKek, SaTek,
    Writer, MAX_SA_TEKS,
};
use std::net::SocketAddr;

const SPI: u32 = 0x1000_0001;

fn sat() -> SaTek {
    SaTek { spi: SPI, ..fixture::sat() }
}

fn sak() -> SaKek {
    let destination = IdField::address([198, 51, 0, 1].into(), 848);
    SaKek { destination, signature_algorithm: 4, signature_bits: 256, ..fixture::sak() }
}

fn policy() -> GroupSa {
    GroupSa { teks: vec![sat()], ..GroupSa::default() }
}

fn packet(spi: u32, encryption: usize, integrity: usize) -> KeyPacket {
    KeyPacket::Tek {
        spi,
        encryption: Secret::new(vec![3; encryption]),
        integrity: Secret::new(vec![4; integrity]),
    }
}

fn keys() -> Vec<u8> {
    Kd(vec![packet(SPI, 32, 32)]).emit().unwrap().to_vec()
}

/// Why the member refuses this second message.
fn refuses(payloads: &[(PayloadType, &[u8])]) -> String {
    let mut duel = Duel::begin();
    let second = duel.second(payloads);
    duel.member.datagram(server_address(1), &second, NOW);
    duel.failure()
}

fn refuses_policy(policy: &GroupSa) -> String {
    refuses(&[(PayloadType::NONCE, &NR), (PayloadType::SA, &policy.emit().unwrap())])
}

fn refuses_keys(keys: &[u8]) -> String {
    Duel::begin().offer(&policy().emit().unwrap(), &[(PayloadType::KD, keys)]).failure()
}

#[test]
fn what_the_rogue_sends_is_right_unless_it_means_not_to() {
    let duel = Duel::begin().offer(&policy().emit().unwrap(), &[(PayloadType::KD, &keys())]);
    let view = duel.member.endpoint.view(NOW);
    assert_eq!((view.outbound.unwrap().spi, view.acl.entries().len()), (Spi(SPI), 1));
}

/// CVE-2023-20109: what was exploited in the field.
#[test]
fn item_1_keys_longer_or_shorter_than_the_algorithms() {
    for (encryption, integrity) in [(33, 32), (32, 33), (16, 32), (64, 32), (32, 20), (1024, 1024), (1, 1)] {
        let reason = refuses_keys(&Kd(vec![packet(SPI, encryption, integrity)]).emit().unwrap());
        assert!(reason.contains("length of a TEK"), "{encryption} {integrity}: {reason}");
    }
    let reason = refuses_keys(&Kd(vec![packet(SPI, 1025, 32)]).emit().unwrap());
    assert!(reason.contains("impossible length"), "{reason}");
}

#[test]
fn item_1_attributes_longer_than_what_holds_them() {
    let honest = keys();
    // Count, KD length, SPI size, then the length of the first attribute.
    for (offset, value) in [
        (1, 2),
        (1, 255),
        (6, 0xff),
        (7, 3),
        (7, 0xff),
        (8, 0),
        (8, 3),
        (8, 0xff),
        (15, 0xff),
        (16, 31),
        (16, 33),
    ] {
        let mut lying = honest.clone();
        lying[offset] = value;
        let reason = refuses_keys(&lying);
        assert!(reason.starts_with("malformed") || reason.starts_with("peer broke"), "{offset}: {reason}");
    }
    (0..honest.len()).for_each(|length| drop(refuses_keys(&honest[..length])));
}

#[test]
fn keys_that_do_not_belong_to_the_policy() {
    let kd = |packets: Vec<KeyPacket>| refuses_keys(&Kd(packets).emit().unwrap());
    assert!(kd(vec![]).contains("number of key packets"));
    assert!(kd(vec![packet(SPI + 1, 32, 32)]).contains("no key for a TEK"));
    assert!(kd(vec![packet(SPI, 32, 32), packet(SPI, 32, 32)]).contains("number of key packets"));
    assert!(kd(vec![packet(SPI, 32, 32), packet(SPI + 1, 32, 32)]).contains("number of key packets"));
    let many = kd((0..500).map(|spi| packet(spi, 32, 32)).collect());
    assert!(many.contains("number of key packets"), "as many as a message has room for are read: {many}");
    let kek = KeyPacket::Kek { spi: [7; 16], key: Secret::new(vec![1; 48]), verification_key: vec![2; 91] };
    assert!(kd(vec![kek]).contains("no key for a TEK"));
}

#[test]
fn item_14_policies_without_protection() {
    let refused = |tek: SaTek| refuses_policy(&GroupSa { teks: vec![tek], ..policy() });
    assert!(refused(SaTek { authentication: 0, ..sat() }).contains("ESP authentication algorithm 0"));
    assert!(refused(SaTek { authentication: 1, ..sat() }).contains("ESP authentication algorithm 1"));
    assert!(refused(SaTek { transform: 11, ..sat() }).contains("ESP transform 11"), "NULL");
    let shared = SaTek { transform: 20, authentication: 0, spi: 0x1230_0000, ..sat() };
    assert!(refused(shared).contains("one key for all senders with ESP transform 20"), "GCM");
    assert!(refused(SaTek { key_bits: 0, ..sat() }).contains("AES key length 0"));
    assert!(refused(SaTek { key_bits: u16::MAX, ..sat() }).contains("AES key length"));
}

#[test]
fn policies_that_cannot_be_carried_out() {
    let refused = |tek: SaTek| refuses_policy(&GroupSa { teks: vec![tek], ..policy() });
    assert!(refused(SaTek { mode: 2, ..sat() }).contains("encapsulation mode 2"));
    assert!(refused(SaTek { preservation: 1, ..sat() }).contains("address preservation 1"));
    assert!(refused(SaTek { direction: 1, ..sat() }).contains("SA direction 1"));
    assert!(refused(SaTek { direction: 2, ..sat() }).contains("SA direction 2"), "of another software");
    assert!(refused(SaTek { lifetime: 0, ..sat() }).contains("SA life duration"));
    assert!(refused(SaTek { spi: 255, ..sat() }).contains("TEK SPI"));
    let holes = IdField { data: vec![10, 0, 0, 0, 255, 0, 255, 0], ..sat().source };
    assert!(refused(SaTek { source: holes, ..sat() }).contains("traffic selector"));
    let short = IdField { data: vec![10], ..sat().source };
    assert!(refused(SaTek { destination: short, ..sat() }).contains("traffic selector"));
}

#[test]
fn policies_that_contradict_themselves() {
    let other = SaTek { lifetime: 60, ..sat() };
    assert!(refuses_policy(&GroupSa { teks: vec![sat(), other], ..policy() })
        .contains("one SPI with different policies"));
    let host = IdField::address([10, 0, 0, 1].into(), 0);
    let short = SaTek { source: host.clone(), destination: host, ..sat() };
    let many = GroupSa { teks: vec![short; MAX_SA_TEKS + 4], ..policy() };
    assert!(refuses_policy(&many).contains("too many payloads"));
    let both = [SaTek { direction: 2, ..sat() }, SaTek { spi: SPI + 1, ..sat() }];
    assert!(refuses_policy(&GroupSa { teks: both.to_vec(), ..policy() }).contains("another SA direction"));
}

#[test]
fn rekey_policies_that_cannot_be_carried_out() {
    let refused = |kek: SaKek| refuses_policy(&GroupSa { kek: Some(kek), ..policy() });
    assert!(refused(SaKek { algorithm: 1, ..sak() }).contains("KEK algorithm 1"));
    assert!(refused(SaKek { key_bits: 192, ..sak() }).contains("KEK key length 192"));
    assert!(refused(SaKek { signature_algorithm: 2, ..sak() }).contains("signature algorithm 2"));
    assert!(refused(SaKek { signature_hash: 1, signature_algorithm: 1, ..sak() })
        .contains("signature hash algorithm 1"));
    assert!(refused(SaKek { lifetime: 0, ..sak() }).contains("KEK_KEY_LIFETIME"));
    assert!(refused(SaKek { protocol: 6, ..sak() }).contains("rekey protocol 6"));
}

#[test]
fn rekey_keys_that_do_not_fit() {
    let with_kek = GroupSa { kek: Some(sak()), ..policy() }.emit().unwrap();
    let refused = |key: usize, verification_key: Vec<u8>, more: &[(PayloadType, &[u8])]| {
        let kek = KeyPacket::Kek { spi: [7; 16], key: Secret::new(vec![1; key]), verification_key };
        let kd = Kd(vec![kek, packet(SPI, 32, 32)]).emit().unwrap();
        Duel::begin().offer(&with_kek, &[more, &[(PayloadType::KD, &kd[..])]].concat()).failure()
    };
    let seq = (PayloadType::SEQ, &[0, 0, 0, 1][..]);
    assert!(refused(49, vec![2; 91], &[seq]).contains("length of the KEK"));
    assert!(refused(32, vec![2; 91], &[seq]).contains("length of the KEK"));
    assert!(refused(48, vec![2; 91], &[seq]).contains("verification key"));
    assert!(refused(48, vec![], &[seq]).contains("verification key"));
    assert!(refused(48, vec![2; 91], &[(PayloadType::SEQ, &[0; 5])]).contains("SEQ payload"));
}

/// Without a TEK there is no ACL either, and what was protected would pass in clear.
#[test]
fn a_policy_without_any_tek() {
    assert!(refuses_policy(&GroupSa { kek: Some(sak()), ..GroupSa::default() }).contains("SAT"));
}

#[test]
fn item_5_messages_with_other_payloads() {
    let (sa, nonce) = (policy().emit().unwrap(), (PayloadType::NONCE, &NR[..]));
    let sa = (PayloadType::SA, &sa[..]);
    assert!(refuses(&[sa]).contains("nonce payload is missing"));
    assert!(refuses(&[nonce]).contains("SA payload is missing"));
    assert!(refuses(&[nonce, sa, sa]).contains("SA payload occurs twice"));
    assert!(refuses(&[nonce, sa, (PayloadType::KD, &keys())]).contains("KD payload is out of place"));
    assert!(refuses(&[nonce, sa, (PayloadType(133), &[1])]).contains("133 payload is out of place"));
    assert!(refuses(&[(PayloadType::NONCE, &[1; 7]), sa]).contains("nonce is not"));
    assert!(refuses(&[(PayloadType::NONCE, &[1; 129]), sa]).contains("nonce is not"));
    let gap = Gap { activation_delay: Some(1), ..Gap::default() }.emit().unwrap();
    assert!(refuses(&[nonce, sa, (PayloadType::GAP, &gap)]).contains("GAP payload is out of place"));
}

#[test]
fn attributes_that_nobody_knows_end_the_registration() {
    let mut unknown = policy().emit().unwrap();
    let length = u16::from_be_bytes([unknown[14], unknown[15]]) + 4;
    unknown.extend(Writer::plain(4, |out| Attribute::basic(32_000, 1).write(out)).unwrap());
    unknown[14..16].copy_from_slice(&length.to_be_bytes());
    assert!(
        refuses(&[(PayloadType::NONCE, &NR), (PayloadType::SA, &unknown)]).contains("TEK attribute 32000")
    );
}

#[test]
fn item_7_a_server_without_or_with_another_identity() {
    for (id_b, reason) in [
        (vec![1, 0, 0, 0], "ID payload has an impossible length"),
        (vec![9, 0, 0, 0, 0x30, 0x82, 0xff, 0xff], "identity type 9"),
        (Identification::phase1(&Identity::Fqdn("ks".into())).emit().unwrap(), "identified itself as ks"),
    ] {
        let node = introduced(&id_b);
        assert!(format!("{:?}", node.events.iter().map(|(_, event)| event.to_string()).collect::<Vec<_>>())
            .contains(reason));
        assert!(!node.endpoint.view(NOW).registered);
    }
}

#[test]
fn item_9_notifies_and_deletes_in_every_combination() {
    let cookies = |duel: &Duel| duel.rogue.cookies.octets();
    let notify = |kind: NotifyType| [&[0, 0, 0, 1, 1, 0], &kind.0.to_be_bytes()[..]].concat();
    let (refusal, contact) =
        (notify(NotifyType::INVALID_ID_INFORMATION), notify(NotifyType::INITIAL_CONTACT));
    let (refusal, contact) = ((PayloadType::NOTIFY, &refusal[..]), (PayloadType::NOTIFY, &contact[..]));
    let empty = (PayloadType::DELETE, &[0, 0, 0, 1, 1, 16, 0, 0][..]);
    let huge = (PayloadType::DELETE, &[0, 0, 0, 1, 1, 255, 255, 255][..]);
    let dpd = (PayloadType::NOTIFY, &[0, 0, 0, 1, 1, 16, 0x8d, 0x28][..]);
    for harmless in [&[contact][..], &[contact, contact], &[empty], &[huge], &[dpd], &[], &[refusal, refusal]]
    {
        let mut duel = Duel::begin();
        let message = duel.rogue.inform(9, harmless);
        assert_eq!(duel.member.datagram(server_address(1), &message, NOW), []);
        let duel = duel.offer(&policy().emit().unwrap(), &[(PayloadType::KD, &keys())]);
        assert!(duel.member.endpoint.view(NOW).registered, "{harmless:?}");
    }
    let mut duel = Duel::begin();
    let delete = [&[0, 0, 0, 1, 1, 16, 0, 1], &cookies(&duel)[..]].concat();
    let message = duel.rogue.inform(9, &[(PayloadType::DELETE, &delete), contact]);
    duel.member.datagram(server_address(1), &message, NOW);
    assert!(duel.failure().contains("deleted"));
}

#[test]
fn a_protected_message_is_heard_from_the_server_only() {
    let mut duel = Duel::begin();
    let second = duel.second(&[(PayloadType::NONCE, &NR), (PayloadType::SA, &policy().emit().unwrap())]);
    let elsewhere = SocketAddr::from(([192, 0, 2, 1], 849));
    assert_eq!(duel.member.datagram(elsewhere, &second, NOW), []);
    assert_eq!(duel.member.datagram(member_address(2), &second, NOW), []);
    assert_eq!(duel.member.datagram(server_address(1), &second, NOW).len(), 1);
}
