//! Sources: the NIST samples and the Appendix B vectors of the IKE tests of NSS (`ike-sha256-vectors.h`,
//! `ike-sha384-vectors.h`).

use super::super::vectors::hex;
use super::*;

/// SKEYID_d, SKEYID_a and SKEYID_e of one NIST sample.
struct Sample {
    hash: Hash,
    skeyid: &'static str,
    g_xy: &'static str,
    cookies: [&'static str; 2],
    expected: [&'static str; 3],
}

const SHA256: Sample = Sample {
    hash: Hash::Sha256,
    skeyid: "750c5c94b9c2ec20b68033e024dadf0fa87e8b48c6561b21c72478451a06583d",
    g_xy: "a1ff3dc6cf9b4c04709943cb4ca1f1789bcf360b03f1d027de3ae8ee039e9155",
    cookies: ["6c6beb72631ddc3d", "b84e24b22cffbd14"],
    expected: [
        "a4f7ca7de913814813e3312099e7c943bd293483f387532330237f1b20957310",
        "1d4b705746c43b0a6fcbb8db33983c0f24ff6f8b6543e3779fed227c6067f004",
        "03e6f16cd9ce9f64b5cdc5b34cca7163483ba5389a30afebef3d14640b0a815e",
    ],
};

const SHA384: Sample = Sample {
    hash: Hash::Sha384,
    skeyid: "6e4514610bf82d0ab7bf0260096f6146a153c712071abb633ced813c572156c7
             83e36874a65a64690ca701d40d56ea18",
    g_xy: "1724dbd893523764bfef8c6fa927856fccfb77ae254358cce29c2769a32915c1",
    cookies: ["1c8aba986a00af0f", "b049d9672f73c920"],
    expected: [
        "b083234e9ed7745911f93eb31faa66fcf88906266830eb17ef166d295cb1f86a
         3543b8b8efa5df918533df537e9c809c",
        "938295a374aceb4147a8024c9a007dd313403fd8fd7070dbd0cfbe1ccd308dbf
         bb7b9e9c64049e4df44ff551016cb7b5",
        "8595b249dc1fa8599729f87eb6b9dd13bfbfdfd4f9ebd78929bab6ecc402539a
         d32cb6e7ef4ba6a0f53da14e4df07ed4",
    ],
};

fn exchange<'a>(publics: [&'a [u8]; 2], cookies: [&str; 2]) -> Exchange<'a> {
    let [initiator_cookie, responder_cookie] = cookies.map(|cookie| hex(cookie).try_into().unwrap());
    Exchange {
        initiator_public: publics[0],
        responder_public: publics[1],
        initiator_cookie,
        responder_cookie,
    }
}

impl Sample {
    fn keys(&self) -> Skeyid {
        let exchange = exchange([b"gxi", b"gxr"], self.cookies);
        Skeyid::derive(self.hash, Secret::new(hex(self.skeyid)), &Secret::new(hex(self.g_xy)), &exchange)
    }
}

#[test]
fn nist_skeyid_d_a_e() {
    for sample in [SHA256, SHA384] {
        let keys = sample.keys();
        let derived = [&keys.d, &keys.a, &keys.e].map(|key| key.expose().to_vec());
        assert_eq!(derived, sample.expected.map(hex));
    }
}

#[test]
fn nist_skeyid_of_a_pre_shared_key() {
    let (ni, nr) = (hex("ead9ced494868f41"), hex("f1aff4f425a94f18"));
    let expected = hex("558a99b299773d267cf7c8ef073bf3b7af362c206c75a538403c5ef884d4cace");
    let key = Secret::new(vec![0xa0]);
    assert_eq!(skeyid_psk(Hash::Sha256, &key, &ni, &nr).expose(), expected);

    let (ni, nr) = (hex("d6596b7e5b398534"), hex("136fbdfa8d0ceb8e"));
    let expected = hex("b54fa27cb4251051e44a659d73591845691d11f1874bf4e4088e5df6462d28e5
         7a3a2af3ab4f9b746a8f5766f8785f2b");
    let key = Secret::new(vec![0x9e]);
    assert_eq!(skeyid_psk(Hash::Sha384, &key, &ni, &nr).expose(), expected);
}

fn expand(hash: Hash, skeyid_e: &str, len: usize) -> Vec<u8> {
    let keys = Skeyid { e: Secret::new(hex(skeyid_e)), hash, ..SHA256.keys() };
    keys.cipher_key(len).expose().to_vec()
}

#[test]
fn nss_appendix_b_sha_256() {
    let skeyid_e = "5f00d1bd2c58ec224b1e6b71fa0f19a1faa7a193952c444411b47c1a9d8ba6fe";
    let long = hex(
        "b10fff32cbeaa1e7afe6ab0b191e0bd63cd524849a4b56019146d232a24cf9af6b89494d2a360b06825db8bb0324c15c
         ecf47fc0bc99e39bf1171a7f4bf1733dc49ef64c642e73b054b2e82456e34fa3c822da475e27e403b3da3929da50e6aa
         9e7f9252c68fa069b4b0edd374e80d35378c4f5e8ec285a1b169c92bbb5353d05ba94165",
    );
    assert_eq!(expand(Hash::Sha256, skeyid_e, 132), long);
    assert_eq!(expand(Hash::Sha256, skeyid_e, 33), long[..33]);
    assert_eq!(expand(Hash::Sha256, skeyid_e, 32), hex(skeyid_e));
    assert_eq!(expand(Hash::Sha256, skeyid_e, 15), hex(skeyid_e)[..15]);
}

#[test]
fn nss_appendix_b_sha_384() {
    let skeyid_e = "69fe7a1ac94adaeb711295f5fe004b1a8d6a0b65d05692758ce8ad2f7a45f59d
                    7d0b596f51f7dfcf3330061888f6a94f";
    let long = hex(
        "9b9a56a512cc2c5d5bcee66d03974f2701d4634b3241df132b1d2fd31fb23f003969dd7873425f771aae298871672cbf
         c908596c4d18165331b9fdff350cff787e700a140e123f2066d8d8527f53e701d23abdb3b0bc713109e33dc233c6989f
         a64b95720495c859505c5c7a7487778aab59365dafe60c7264ccde55829f60143a4bb095",
    );
    assert_eq!(expand(Hash::Sha384, skeyid_e, 132), long);
    assert_eq!(expand(Hash::Sha384, skeyid_e, 48), hex(skeyid_e));
}

#[test]
fn hash_i_and_hash_r_order_their_fields_as_the_rfc_does() {
    let keys = SHA256.keys();
    let exchange = exchange([b"gxi", b"gxr"], ["4942494249424942", "5252525252525252"]);
    let over = |fields: &[u8]| prf(Hash::Sha256, &Secret::new(hex(SHA256.skeyid)), &[fields]);
    assert_eq!(keys.hash_i(&exchange, b"SAi", b"IDii"), over(b"gxigxrIBIBIBIBRRRRRRRRSAiIDii"));
    assert_eq!(keys.hash_r(&exchange, b"SAi", b"IDir"), over(b"gxrgxiRRRRRRRRIBIBIBIBSAiIDir"));
}

#[test]
fn later_hashes_order_their_fields_as_the_rfcs_do() {
    let keys = SHA256.keys();
    let over = |fields: &[u8]| prf(Hash::Sha256, &Secret::new(hex(SHA256.expected[1])), &[fields]);
    let id = 0x0102_0304;
    assert_eq!(keys.pull_hash_1(id, b"Ni,ID"), over(b"\x01\x02\x03\x04Ni,ID"));
    assert_eq!(keys.pull_hash_2(id, b"Ni_b", b"Nr,SA"), over(b"\x01\x02\x03\x04Ni_bNr,SA"));
    assert_eq!(keys.pull_hash_3(id, b"Ni_b", b"Nr_b", b""), over(b"\x01\x02\x03\x04Ni_bNr_b"));
    assert_eq!(keys.pull_hash_3(id, b"Ni_b", b"Nr_b", b"GAP"), over(b"\x01\x02\x03\x04Ni_bNr_bGAP"));
    assert_eq!(keys.pull_hash_4(id, b"Ni_b", b"Nr_b", b"SEQ,KD"), over(b"\x01\x02\x03\x04Ni_bNr_bSEQ,KD"));
    assert_eq!(keys.informational_hash(id, b"D"), over(b"\x01\x02\x03\x04D"));
}

#[test]
fn vectors_are_the_front_of_a_digest() {
    // FIPS 180: SHA-256 of "abc".
    let abc = "ba7816bf8f01cfea414140de5dae2223";
    let exchange = exchange([b"a", b"bc"], SHA256.cookies);
    assert_eq!(phase1_iv(Hash::Sha256, &exchange).to_vec(), hex(abc));
    let block: Block = *b"last cipherblock";
    let expected = digest(Hash::Sha512, &[b"last cipherblock\x01\x02\x03\x04"]);
    assert_eq!(phase2_iv(Hash::Sha512, &block, 0x0102_0304), expected[..16]);
}
