use super::super::prf::{digest, Hash};
use super::super::vectors::{hex, Script};
use super::super::SystemRandom;
use super::*;

/// The values in the order of the RFC: i, gix, giy, r, grx, gry, girx.
fn check_ecp(group: DhGroup, values: [&str; 7]) {
    let [i, gix, giy, r, grx, gry, girx] = values.map(hex);
    let initiator = KeyPair::generate(group, &mut Script(i)).unwrap();
    let responder = KeyPair::generate(group, &mut Script(r)).unwrap();
    assert_eq!(initiator.public(), [gix, giy].concat());
    assert_eq!(responder.public(), [grx, gry].concat());
    assert_eq!(initiator.agree(responder.public()).unwrap().expose(), girx);
    assert_eq!(responder.agree(initiator.public()).unwrap().expose(), girx);
}

#[test]
fn rfc_5903_section_8_1() {
    check_ecp(
        DhGroup::P256,
        [
            "c88f01f510d9ac3f70a292daa2316de544e9aab8afe84049c62a9c57862d1433",
            "dad0b65394221cf9b051e1feca5787d098dfe637fc90b9ef945d0c3772581180",
            "5271a0461cdb8252d61f1c456fa3e59ab1f45b33accf5f58389e0577b8990bb3",
            "c6ef9c5d78ae012a011164acb397ce2088685d8f06bf9be0b283ab46476bee53",
            "d12dfb5289c8d4f81208b70270398c342296970a0bccb74c736fc7554494bf63",
            "56fbf3ca366cc23e8157854c13c58d6aac23f046ada30f8353e74f33039872ab",
            "d6840f6b42f6edafd13116e0e12565202fef8e9ece7dce03812464d04b9442de",
        ],
    );
}

#[test]
fn rfc_5903_section_8_2() {
    check_ecp(
        DhGroup::P384,
        [
            "099f3c7034d4a2c699884d73a375a67f7624ef7c6b3c0f160647b67414dce655e35b538041e649ee3faef896
         783ab194",
            "667842d7d180ac2cde6f74f37551f55755c7645c20ef73e31634fe72b4c55ee6de3ac808acb4bdb4c88732ae
         e95f41aa",
            "9482ed1fc0eeb9cafc4984625ccfc23f65032149e0e144ada024181535a0f38eeb9fcff3c2c947dae69b4c63
         4573a81c",
            "41cb0779b4bdb85d47846725fbec3c9430fab46cc8dc5060855cc9bda0aa2942e0308312916b8ed2960e4bd5
         5a7448fc",
            "e558dbef53eecde3d3fccfc1aea08a89a987475d12fd950d83cfa41732bc509d0d1ac43a0336def96fda41d0
         774a3571",
            "dcfbec7aacf3196472169e838430367f66eebe3c6e70c416dd5f0c68759dd1fff83fa40142209dff5eaad96d
         b9e6386c",
            "11187331c279962d93d604243fd592cb9d0a926f422e47187521287e7156c5c4d603135569b9e9d09cf5d4a2
         70f59746",
        ],
    );
}

#[test]
fn rfc_5903_section_8_3() {
    check_ecp(
        DhGroup::P521,
        [
            "0037ade9319a89f4dabdb3ef411aaccca5123c61acab57b5393dce47608172a095aa85a30fe1c2952c6771d9
         37ba9777f5957b2639bab072462f68c27a57382d4a52",
            "0015417e84dbf28c0ad3c278713349dc7df153c897a1891bd98bab4357c9ecbee1e3bf42e00b8e380aeae57c
         2d107564941885942af5a7f4601723c4195d176ced3e",
            "017cae20b6641d2eeb695786d8c946146239d099e18e1d5a514c739d7cb4a10ad8a788015ac405d7799dc75e
         7b7d5b6cf2261a6a7f1507438bf01beb6ca3926f9582",
            "0145ba99a847af43793fdd0e872e7cdfa16be30fdc780f97bccc3f078380201e9c677d600b343757a3bdbf2a
         3163e4c2f869cca7458aa4a4effc311f5cb151685eb9",
            "00d0b3975ac4b799f5bea16d5e13e9af971d5e9b984c9f39728b5e5739735a219b97c356436adc6e95bb0352
         f6be64a6c2912d4ef2d0433ced2b6171640012d9460f",
            "015c68226383956e3bd066e797b623c27ce0eac2f551a10c2c724d9852077b87220b6536c5c408a1d2aebb8e
         86d678ae49cb57091f4732296579ab44fcd17f0fc56a",
            "01144c7d79ae6956bc8edb8e7c787c4521cb086fa64407f97894e5e6b2d79b04d1427e73ca4baa240a347868
         59810c06b3c715a3a8cc3151f2bee417996d19f3ddea",
        ],
    );
}

// SHA-256 of g^x, g^y and g^xy, computed from the primes as printed in RFC 3526 with the integers of Python,
// for the private values x = 1, 8, 15, ... and y = 101, 108, 115, ... (octets, modulo 256).
const MODP: [(DhGroup, &str, &str, &str); 3] = [
    (
        DhGroup::Modp2048,
        "71fe64a03ed65476629d5edfb0adc65ca2a545b5d8981c732c8e278289f5da38",
        "c23dc11f4133d4ca7a1ff28cccf3b05e56cb5738b0a82083be124f5ce14a2290",
        "5a46935945fccb3a75e10cfdda4d8c4f96311ca25e8a925a4f2a96cc766b5452",
    ),
    (
        DhGroup::Modp3072,
        "cc9ba9be9d716c7c7164f3ead4f712962eb846f7e0896283344d1225a9d0da7e",
        "40ecc1ec10489c4da32976d221461e4b33b084bc2486df838d647b9419cb67f4",
        "8839aaeb36c3bddb4dd8d6ea72bd94312d66ad6df08c1b052489e9198faba76a",
    ),
    (
        DhGroup::Modp4096,
        "1926f86401c4624ad25ba7b7a3235cdbd51c8f5ca913c8e5a6dadc087ac7702b",
        "4f44cea0c1a9a46da9df8038f57087bd4458f502c4c316e43a48827d6a489cca",
        "dee8e1f17d767e571c00856ac10f5eb2e3f94d7a41649cab8b60335c2e3be15b",
    ),
];

fn octets(group: DhGroup, first: u8) -> Vec<u8> {
    (0..group.private_len()).map(|i| (usize::from(first) + 7 * i) as u8).collect()
}

fn sha256(octets: &[u8]) -> Vec<u8> {
    digest(Hash::Sha256, &[octets])
}

#[test]
fn modp_agrees_with_an_independent_calculation() {
    for (group, x, y, xy) in MODP {
        let initiator = KeyPair::generate(group, &mut Script(octets(group, 1))).unwrap();
        let responder = KeyPair::generate(group, &mut Script(octets(group, 101))).unwrap();
        assert_eq!(sha256(initiator.public()), hex(x));
        assert_eq!(sha256(responder.public()), hex(y));
        assert_eq!(sha256(initiator.agree(responder.public()).unwrap().expose()), hex(xy));
        assert_eq!(sha256(responder.agree(initiator.public()).unwrap().expose()), hex(xy));
    }
}

#[test]
fn a_small_shared_secret_keeps_its_leading_zero() {
    let group = DhGroup::Modp2048;
    let mut x = octets(group, 1);
    x[38..].copy_from_slice(&28_u16.to_be_bytes());
    let initiator = KeyPair::generate(group, &mut Script(x)).unwrap();
    let responder = KeyPair::generate(group, &mut Script(octets(group, 101))).unwrap();
    let shared = initiator.agree(responder.public()).unwrap();
    assert_eq!((shared.len(), shared.expose()[0]), (256, 0));
    assert_eq!(
        sha256(shared.expose()),
        hex("03cb33eb3b2871b7d3e06ea783310e9eaa97b7d91df263d12661bf3feced7730")
    );
}

#[test]
fn both_sides_of_every_group_agree() {
    for group in DhGroup::ALL {
        let initiator = KeyPair::generate(group, &mut SystemRandom).unwrap();
        let responder = KeyPair::generate(group, &mut SystemRandom).unwrap();
        let shared = initiator.agree(responder.public()).unwrap();
        assert_eq!(shared, responder.agree(initiator.public()).unwrap());
        assert_ne!(shared, initiator.agree(initiator.public()).unwrap());
        assert_eq!(group.check(responder.public()), Ok(()));
        assert_eq!((initiator.public().len(), shared.len()), (group.public_len(), group.shared_len()));
        assert_eq!(DhGroup::from_number(group.number()), Some(group));
    }
}

#[test]
fn weak_and_unknown_groups_have_no_name() {
    for number in [0, 1, 2, 5, 17, 22, 24, 31, 14 + 256] {
        assert_eq!(DhGroup::from_number(number), None);
    }
}

#[test]
fn a_public_value_of_wrong_length_is_refused() {
    for group in DhGroup::ALL {
        let pair = KeyPair::generate(group, &mut SystemRandom).unwrap();
        let padded = [&[0], pair.public()].concat();
        for wrong in [&[], &pair.public()[1..], padded.as_slice()] {
            assert_eq!(pair.agree(wrong), Err(Error::BadPublicValue));
            assert_eq!(group.check(wrong), Err(Error::BadPublicValue));
        }
    }
}

#[test]
fn modp_values_outside_2_to_p_minus_2_are_refused() {
    for (group, ..) in MODP {
        let Family::Modp(prime) = group.family() else { panic!("{group:?}") };
        let pair = KeyPair::generate(group, &mut SystemRandom).unwrap();
        let small = |value| [vec![0; prime.len() - 1], vec![value]].concat();
        let below = |difference| {
            let mut value = prime.octets().unwrap();
            *value.last_mut().unwrap() -= difference;
            value
        };
        let refused = [small(0), small(1), below(1), below(0), vec![0xff; prime.len()]];
        for value in refused {
            assert_eq!(pair.agree(&value), Err(Error::BadPublicValue));
            assert_eq!(group.check(&value), Err(Error::BadPublicValue));
        }
        assert_eq!(pair.agree(&small(2)).unwrap().expose(), pair.public());
        pair.agree(&below(2)).unwrap();
        assert_eq!((group.check(&small(2)), group.check(&below(2))), (Ok(()), Ok(())));
    }
}

#[test]
fn points_off_the_curve_are_refused() {
    for group in [DhGroup::P256, DhGroup::P384, DhGroup::P521] {
        let pair = KeyPair::generate(group, &mut SystemRandom).unwrap();
        let mut moved = pair.public().to_vec();
        *moved.last_mut().unwrap() ^= 1;
        let swapped = [&pair.public()[group.shared_len()..], &pair.public()[..group.shared_len()]].concat();
        let refused = [moved, swapped, vec![0; group.public_len()], vec![0xff; group.public_len()]];
        for point in refused {
            assert_eq!(pair.agree(&point), Err(Error::BadPublicValue));
            assert_eq!(group.check(&point), Err(Error::BadPublicValue));
        }
    }
}

#[test]
fn a_scalar_out_of_range_is_drawn_again() {
    for group in [DhGroup::P256, DhGroup::P384, DhGroup::P521] {
        let len = group.private_len();
        let usable = [vec![0; len - 1], vec![1]].concat();
        let tape = [vec![0; len], vec![0xff; len], usable].concat();
        let pair = KeyPair::generate(group, &mut Script(tape)).unwrap();
        let generator = pair.agree(pair.public()).unwrap();
        assert_eq!(generator.expose(), &pair.public()[..len]);
    }
}

#[test]
fn p_521_drops_the_bits_above_the_field() {
    let octets = |first: u8| [vec![first], vec![7; 65]].concat();
    let pair = KeyPair::generate(DhGroup::P521, &mut Script(octets(0xfe))).unwrap();
    let expected = KeyPair::generate(DhGroup::P521, &mut Script(octets(0))).unwrap();
    assert_eq!(pair.public(), expected.public());
}

struct Stuck;

impl Random for Stuck {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), Error> {
        out.fill(0);
        Ok(())
    }
}

#[test]
fn useless_randomness_ends_in_an_error() {
    for group in DhGroup::ALL {
        assert_eq!(KeyPair::generate(group, &mut Stuck).unwrap_err(), Error::Randomness);
        assert_eq!(KeyPair::generate(group, &mut Script(vec![1; 8])).unwrap_err(), Error::Randomness);
    }
}

#[test]
fn debug_shows_the_group_only() {
    let pair = KeyPair::generate(DhGroup::P256, &mut SystemRandom).unwrap();
    assert_eq!(format!("{pair:?}"), "KeyPair { group: P256, .. }");
}
