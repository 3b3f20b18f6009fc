//! The keys and packets were made with python3-cryptography (HKDF, AESGCM, ChaCha20Poly1305).

use super::*;
use crate::crypto::vectors::hex;

const SPI: Spi = Spi(0x84b1_2345);
const AEADS: [Aead; 3] = [Aead::AesGcm128, Aead::AesGcm256, Aead::ChaCha20Poly1305];
const KEY: &str = "0f9965e5ff23f09f0727e8e7c15d616bdd8234cf7bc151bd626dc206ae2b9330a1a44ace";

/// SPI, sequence number 7, IV and encrypted octets for each algorithm.
const FRONTS: [&str; 3] = [
    "84b12345000000070102030405060708bd2cc7cf3fa958009d480c052895eeb2a4f55f2c",
    "84b123450000000701020304050607089f80fd3b82637c6a4bd2cb623e923a28f505adbe",
    "84b12345000000070102030405060708503715d4503d3fed0ab85984829d5e9e5437bceb",
];

/// The ICVs with short sequence numbers.
const SHORT: [&str; 3] = [
    "4591d0f4281e2e87aaa1c7c3d1ecb3e7",
    "57d6216d299bf1d33a60ec5c56c62419",
    "6270037471811334c01904c5a58bee37",
];

/// The ICVs with these high halves.
const EXTENDED: [(u32, [&str; 3]); 4] = [
    (
        0,
        [
            "13af62ea0ae60195b5ff686cb68483f0",
            "89d247a3327fcc4bc71f3f962a3f4d9d",
            "e6f558e3f8c00b3bbc5031eea443c934",
        ],
    ),
    (
        3,
        [
            "b0605aa6af3d35ba8cef6d94d3595c1c",
            "b411024a530de77574cf2d5789e16592",
            "4a4c067a073ff8ba658758021866eb36",
        ],
    ),
    (
        15,
        [
            "795cbb943851e50668af7a75442e23af",
            "431c15efd6c54b8fbb8f66510699c5ae",
            "daa5bbd44137aaba0b62f552e4ef733f",
        ],
    ),
    (
        16,
        [
            "cdfe1eac3e773fc4c500a2ee823029b5",
            "003e722ec09e5d12d3e024603e9ecdcc",
            "a6c24a5cf10bf98f99c9570460fb2940",
        ],
    ),
];

fn seed() -> Seed {
    Seed::new(Secret::new((0..32).collect())).unwrap()
}

fn sender(aead: Aead) -> SenderSa {
    SenderSa::derive(&seed(), aead, GroupId(0x0a0b_0c0d), SPI).unwrap()
}

fn packets(icvs: [&str; 3]) -> impl Iterator<Item = (SenderSa, Vec<u8>)> {
    let packets = FRONTS.into_iter().zip(icvs).map(|(front, icv)| [hex(front), hex(icv)].concat());
    AEADS.map(sender).into_iter().zip(packets.collect::<Vec<_>>())
}

#[test]
fn keys_are_derived_as_documented() {
    let key = hex(KEY);
    assert!(sender(Aead::AesGcm128).key.secret().matches(&key[..20]));
    assert!(sender(Aead::AesGcm256).key.secret().matches(&key));
    assert!(sender(Aead::ChaCha20Poly1305).key.secret().matches(&key));
}

#[test]
fn every_sender_and_every_group_has_another_key() {
    let key = |group, spi| SenderSa::derive(&seed(), Aead::AesGcm256, GroupId(group), Spi(spi)).unwrap().key;
    assert_ne!(key(1, 0x84b0_0001), key(1, 0x84b0_0002));
    assert_ne!(key(1, 0x84b0_0001), key(2, 0x84b0_0001));
}

#[test]
fn packets_of_the_sender_are_known() {
    for (sender, packet) in packets(SHORT) {
        assert_eq!(sender.authenticate(&packet, Esn::Short), Some(0), "{:?}", sender.key.aead());
        assert_eq!(sender.authenticate(&packet, Esn::Extended), None, "{:?}", sender.key.aead());
    }
}

#[test]
fn the_high_half_of_the_sequence_number_is_found() {
    for (high, icvs) in EXTENDED {
        for (sender, packet) in packets(icvs) {
            let expected = (high < 16).then_some(high);
            assert_eq!(sender.authenticate(&packet, Esn::Extended), expected, "{:?}", sender.key.aead());
            assert_eq!(sender.authenticate(&packet, Esn::Short), None, "{:?}", sender.key.aead());
        }
    }
}

#[test]
fn a_changed_packet_is_nobodys() {
    for (sender, packet) in packets(SHORT) {
        for position in 0..packet.len() {
            let mut changed = packet.clone();
            changed[position] ^= 1;
            assert_eq!(sender.authenticate(&changed, Esn::Short), None, "{:?} {position}", sender.key.aead());
        }
    }
}

#[test]
fn packets_too_short_or_too_long_are_nobodys() {
    for (sender, packet) in packets(SHORT) {
        for length in 0..packet.len() {
            assert_eq!(sender.authenticate(&packet[..length], Esn::Short), None, "{length}");
            assert_eq!(sender.authenticate(&packet[..length], Esn::Extended), None, "{length}");
        }
        let long = |length| [&packet[..], &vec![0; length]].concat();
        assert_eq!(sender.authenticate(&long(1), Esn::Short), None);
        assert_eq!(sender.authenticate(&long(70_000), Esn::Extended), None);
    }
}

#[test]
fn another_senders_packet_is_not_this_ones() {
    for (own, packet) in packets(SHORT) {
        let other = SenderSa::derive(&seed(), own.key.aead(), GroupId(0x0a0b_0c0d), Spi(SPI.0 + 1)).unwrap();
        assert_eq!(other.authenticate(&packet, Esn::Short), None);
        let renamed = SenderSa { spi: SPI, ..other };
        assert_eq!(renamed.authenticate(&packet, Esn::Short), None);
    }
}
