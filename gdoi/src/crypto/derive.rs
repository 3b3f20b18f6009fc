//! Keys, vectors and hashes of IKEv1 phase 1 (RFC 2409) and of GROUPKEY-PULL (RFC 6407).
//!
//! Names are those of the RFCs: `_b` marks the body of a payload, without its generic header.

use super::cbc::Block;
use super::prf::{digest, prf, Hash};
use super::Secret;

/// What both sides of a phase 1 exchange show in the clear and every derivation depends on.
#[derive(Clone, Copy, Debug)]
pub struct Exchange<'a> {
    /// g^xi, the initiator's Diffie-Hellman value.
    pub initiator_public: &'a [u8],
    /// g^xr, the responder's Diffie-Hellman value.
    pub responder_public: &'a [u8],
    /// CKY-I, the initiator's cookie.
    pub initiator_cookie: [u8; 8],
    /// CKY-R, the responder's cookie.
    pub responder_cookie: [u8; 8],
}

impl<'a> Exchange<'a> {
    fn seen_by_responder(&self) -> Exchange<'a> {
        Exchange {
            initiator_public: self.responder_public,
            responder_public: self.initiator_public,
            initiator_cookie: self.responder_cookie,
            responder_cookie: self.initiator_cookie,
        }
    }
}

/// SKEYID for authentication by pre-shared key: `prf(pre-shared-key, Ni_b | Nr_b)` (RFC 2409 section 5).
pub fn skeyid_psk(hash: Hash, pre_shared_key: &Secret, ni_b: &[u8], nr_b: &[u8]) -> Secret {
    prf(hash, pre_shared_key, &[ni_b, nr_b])
}

/// The keys of one phase 1 SA (RFC 2409 section 5), each as long as the output of the hash.
#[derive(Clone, Debug)]
pub struct Skeyid {
    hash: Hash,
    skeyid: Secret,
    /// SKEYID_d, from which other keys may be derived. GDOI downloads its keys and needs it for none.
    pub d: Secret,
    /// SKEYID_a, which authenticates messages under the SA.
    pub a: Secret,
    /// SKEYID_e, from which the cipher key comes; see [`Skeyid::cipher_key`].
    pub e: Secret,
}

impl Skeyid {
    /// SKEYID_d, SKEYID_a and SKEYID_e from SKEYID and the shared secret g^xy (RFC 2409 section 5).
    pub fn derive(hash: Hash, skeyid: Secret, g_xy: &Secret, exchange: &Exchange) -> Self {
        let step = |previous: &[u8], number: u8| {
            let (i, r) = (&exchange.initiator_cookie, &exchange.responder_cookie);
            prf(hash, &skeyid, &[previous, g_xy.expose(), i, r, &[number]])
        };
        let d = step(&[], 0);
        let a = step(d.expose(), 1);
        let e = step(a.expose(), 2);
        Skeyid { hash, skeyid, d, a, e }
    }

    /// The hash function that the SA uses.
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// The cipher key of `len` octets (RFC 2409 Appendix B): the front of SKEYID_e, or where that is too short,
    /// the front of `K1 | K2 | ...` with `K1 = prf(SKEYID_e, 0)` and `Kn = prf(SKEYID_e, Kn-1)`.
    pub fn cipher_key(&self, len: usize) -> Secret {
        if len <= self.e.len() {
            return Secret::from(&self.e.expose()[..len]);
        }
        // Reserved at once: growing would leave copies behind that are not overwritten.
        let mut key = Vec::with_capacity(len + self.hash.output_len());
        let mut block = prf(self.hash, &self.e, &[&[0]]);
        while key.len() < len {
            key.extend_from_slice(block.expose());
            block = prf(self.hash, &self.e, &[block.expose()]);
        }
        key.truncate(len);
        Secret::new(key)
    }

    /// HASH_I: `prf(SKEYID, g^xi | g^xr | CKY-I | CKY-R | SAi_b | IDii_b)` (RFC 2409 section 5).
    pub fn hash_i(&self, exchange: &Exchange, sai_b: &[u8], idii_b: &[u8]) -> Secret {
        let (i, r) = (&exchange.initiator_cookie, &exchange.responder_cookie);
        let publics = [exchange.initiator_public, exchange.responder_public];
        prf(self.hash, &self.skeyid, &[publics[0], publics[1], i, r, sai_b, idii_b])
    }

    /// HASH_R: `prf(SKEYID, g^xr | g^xi | CKY-R | CKY-I | SAi_b | IDir_b)` (RFC 2409 section 5). The SA body
    /// is the initiator's here too.
    pub fn hash_r(&self, exchange: &Exchange, sai_b: &[u8], idir_b: &[u8]) -> Secret {
        self.hash_i(&exchange.seen_by_responder(), sai_b, idir_b)
    }

    /// HASH(1) of GROUPKEY-PULL: `prf(SKEYID_a, M-ID | Ni | ID)` (RFC 6407 section 3.2).
    ///
    /// `rest` is all that follows the HASH payload, with every payload header, without padding.
    pub fn pull_hash_1(&self, message_id: u32, rest: &[u8]) -> Secret {
        self.authenticate(message_id, &[rest])
    }

    /// HASH(2) of GROUPKEY-PULL: `prf(SKEYID_a, M-ID | Ni_b | Nr | SA)`; `rest` as in
    /// [`Skeyid::pull_hash_1`].
    pub fn pull_hash_2(&self, message_id: u32, ni_b: &[u8], rest: &[u8]) -> Secret {
        self.authenticate(message_id, &[ni_b, rest])
    }

    /// HASH(3) of GROUPKEY-PULL: `prf(SKEYID_a, M-ID | Ni_b | Nr_b [ | GAP ])`; `rest` as in
    /// [`Skeyid::pull_hash_1`], empty when nothing follows the HASH payload.
    pub fn pull_hash_3(&self, message_id: u32, ni_b: &[u8], nr_b: &[u8], rest: &[u8]) -> Secret {
        self.authenticate(message_id, &[ni_b, nr_b, rest])
    }

    /// HASH(4) of GROUPKEY-PULL: `prf(SKEYID_a, M-ID | Ni_b | Nr_b [ | SEQ ] | KD)`; `rest` as in
    /// [`Skeyid::pull_hash_1`].
    pub fn pull_hash_4(&self, message_id: u32, ni_b: &[u8], nr_b: &[u8], rest: &[u8]) -> Secret {
        self.authenticate(message_id, &[ni_b, nr_b, rest])
    }

    /// HASH(1) of an Informational exchange: `prf(SKEYID_a, M-ID | N/D)` (RFC 2409 section 5.7); `rest` as in
    /// [`Skeyid::pull_hash_1`].
    pub fn informational_hash(&self, message_id: u32, rest: &[u8]) -> Secret {
        self.authenticate(message_id, &[rest])
    }

    fn authenticate(&self, message_id: u32, parts: &[&[u8]]) -> Secret {
        let message_id = message_id.to_be_bytes();
        prf(self.hash, &self.a, &[&[message_id.as_slice()], parts].concat())
    }
}

/// The vector of the first encrypted phase 1 message: the front of `hash(g^xi | g^xr)` (RFC 2409 Appendix B).
/// Later messages of phase 1 continue with the last block of the message before.
pub fn phase1_iv(hash: Hash, exchange: &Exchange) -> Block {
    front(digest(hash, &[exchange.initiator_public, exchange.responder_public]))
}

/// The vector of the first message of any later exchange: the front of
/// `hash(last cipher block of phase 1 | M-ID)` (RFC 2409 Appendix B).
pub fn phase2_iv(hash: Hash, last_phase1_block: &Block, message_id: u32) -> Block {
    front(digest(hash, &[last_phase1_block, &message_id.to_be_bytes()]))
}

/// The key of rekey acknowledgements: `prf(base_key, "GROUPKEY-PUSH ACK\0" | SPI | L)` (RFC 8263 section 3.2).
///
/// `base_key` is the KEK without its IV. L is 512, "matching the length of the base_key", which the prf
/// fills up with zeros to its block; the label ends with a zero octet.
pub fn ack_key(hash: Hash, base_key: &Secret, spi: &[u8; 16]) -> Secret {
    prf(hash, base_key, &[b"GROUPKEY-PUSH ACK\0", spi, &512u16.to_be_bytes()])
}

fn front(digest: Vec<u8>) -> Block {
    let mut block = Block::default();
    // The shortest digest has twice the octets of a block.
    block.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    block
}

#[cfg(test)]
#[path = "derive/tests.rs"]
mod tests;
