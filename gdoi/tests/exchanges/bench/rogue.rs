//! A peer that keeps to no rule: made of the public codec and algorithms, it can say anything in a message that is
//! properly encrypted and hashed.

use super::fleet::PSK;
use super::random::Seeded;
use gdoi::crypto::cbc::{decrypt, encrypt, Block};
use gdoi::crypto::derive::{phase1_iv, phase2_iv, skeyid_psk, Exchange, Skeyid};
use gdoi::crypto::{DhGroup, Hash, KeyPair, Secret};
use gdoi::phase1::Cookies;
use gdoi::policy::{Doi, Proposal};
use gdoi::wire::{
    emit_chain, Chain, Cookie, ExchangeType, Flags, Header, Padding, PayloadType, Payloads, Phase1Sa,
};

const NONCE: [u8; 32] = [0x4e; 32];

/// What phase 1 with the peer under test came to; always SHA-256, AES-256 and group 19.
pub struct Rogue {
    pub cookies: Cookies,
    keys: Skeyid,
    initiator_public: Vec<u8>,
    responder_public: Vec<u8>,
    sai_b: Vec<u8>,
    /// The vector of the next phase 1 message, in the end the last block of phase 1.
    block: Block,
}

/// One side's part of the key exchange.
struct Part {
    public: Vec<u8>,
    nonce: Vec<u8>,
}

impl Part {
    fn of(datagram: &[u8]) -> Part {
        let (header, body) = Header::parse(datagram).unwrap();
        let mut payloads = Payloads::new(Chain::parse(header.next, body, Padding::None).unwrap());
        let mut take = |kind| payloads.take(kind).unwrap().body.to_vec();
        Part { public: take(PayloadType::KE), nonce: take(PayloadType::NONCE) }
    }

    fn payloads(&self) -> [(PayloadType, &[u8]); 2] {
        [(PayloadType::KE, &self.public), (PayloadType::NONCE, &self.nonce)]
    }
}

pub fn main_mode(cookies: Cookies, payloads: &[(PayloadType, &[u8])]) -> Vec<u8> {
    let next = payloads.first().map_or(PayloadType::NONE, |(kind, _)| *kind);
    header(cookies, ExchangeType::IDENTITY_PROTECTION, 0, next, Flags::NONE)
        .emit(&emit_chain(payloads).unwrap())
        .unwrap()
}

pub fn header(
    cookies: Cookies,
    exchange: ExchangeType,
    message_id: u32,
    next: PayloadType,
    flags: Flags,
) -> Header {
    Header { initiator: cookies.initiator, responder: cookies.responder, next, exchange, flags, message_id }
}

/// A first message like any other; each number gives another cookie.
pub fn first_message(number: u64) -> Vec<u8> {
    let cookies = Cookies { initiator: Cookie((number + 1).to_be_bytes()), responder: Cookie::ZERO };
    main_mode(
        cookies,
        &[(PayloadType::SA, &Phase1Sa::new(Doi::Gdoi, &[Proposal::default()]).emit().unwrap())],
    )
}

impl Rogue {
    /// Begins phase 1 with a key server; `talk` brings a datagram to it and its answer back.
    pub fn meet(talk: impl FnMut(&[u8]) -> Vec<u8>) -> Rogue {
        Rogue::meet_with(&first_message(0), talk)
    }

    /// As [`Rogue::meet`], with this first message.
    pub fn meet_with(first: &[u8], talk: impl FnMut(&[u8]) -> Vec<u8>) -> Rogue {
        Rogue::meet_by(PSK, first, talk)
    }

    /// As [`Rogue::meet_with`], with this pre-shared key.
    pub fn meet_by(psk: &[u8], first: &[u8], mut talk: impl FnMut(&[u8]) -> Vec<u8>) -> Rogue {
        let cookies = Cookies::of(&Header::parse(&talk(first)).unwrap().0);
        let pair = KeyPair::generate(DhGroup::P256, &mut Seeded::new(1)).unwrap();
        let ours = Part { public: pair.public().to_vec(), nonce: NONCE.to_vec() };
        let theirs = Part::of(&talk(&main_mode(cookies, &ours.payloads())));
        let g_xy = pair.agree(&theirs.public).unwrap();
        Rogue::derive(psk, cookies, first, &g_xy, ours, theirs)
    }

    /// Answers a member that began with `first`, up to the fourth message; the fifth comes back with it.
    pub fn answer(first: &[u8], mut talk: impl FnMut(&[u8]) -> Vec<u8>) -> (Rogue, Vec<u8>) {
        let initiator = Header::parse(first).unwrap().0.initiator;
        let cookies = Cookies { initiator, responder: Cookie([0x72; 8]) };
        let theirs = Part::of(&talk(&main_mode(cookies, &[(PayloadType::SA, sa_body(first))])));
        let pair = KeyPair::generate(DhGroup::P256, &mut Seeded::new(1)).unwrap();
        let ours = Part { public: pair.public().to_vec(), nonce: NONCE.to_vec() };
        let fifth = talk(&main_mode(cookies, &ours.payloads()));
        let g_xy = pair.agree(&theirs.public).unwrap();
        (Rogue::derive(PSK, cookies, first, &g_xy, theirs, ours), fifth)
    }

    /// One who was there: the keys of an exchange between two others, of whom the initiator drew from `seed`.
    pub fn overhear(seed: u64, phase1: &[&[u8]]) -> Rogue {
        let [first, second, third, fourth] = phase1[..4] else { panic!("four messages") };
        let (initiator, responder) = (Part::of(third), Part::of(fourth));
        let g_xy = drawn(seed, &initiator.public).agree(&responder.public).unwrap();
        let cookies = Cookies::of(&Header::parse(second).unwrap().0);
        let mut rogue = Rogue::derive(PSK, cookies, first, &g_xy, initiator, responder);
        rogue.block = *phase1.last().and_then(|sixth| sixth.last_chunk()).unwrap();
        rogue
    }

    fn derive(
        psk: &[u8],
        cookies: Cookies,
        first: &[u8],
        g_xy: &Secret,
        initiator: Part,
        responder: Part,
    ) -> Rogue {
        let exchange = exchange(cookies, &initiator.public, &responder.public);
        let skeyid = skeyid_psk(Hash::Sha256, &Secret::from(psk), &initiator.nonce, &responder.nonce);
        Rogue {
            cookies,
            keys: Skeyid::derive(Hash::Sha256, skeyid, g_xy, &exchange),
            block: phase1_iv(Hash::Sha256, &exchange),
            initiator_public: initiator.public,
            responder_public: responder.public,
            sai_b: sa_body(first).to_vec(),
        }
    }

    /// The fifth message, with this body of the ID payload and the hash that belongs to it.
    pub fn introduce(&mut self, id_b: &[u8]) -> Vec<u8> {
        let exchange = exchange(self.cookies, &self.initiator_public, &self.responder_public);
        let hash = self.keys.hash_i(&exchange, &self.sai_b, id_b);
        self.authenticate(id_b, &hash)
    }

    /// The sixth message, in answer to `fifth`.
    pub fn introduce_server(&mut self, fifth: &[u8], id_b: &[u8]) -> Vec<u8> {
        self.block = *fifth.last_chunk().unwrap();
        let exchange = exchange(self.cookies, &self.initiator_public, &self.responder_public);
        let hash = self.keys.hash_r(&exchange, &self.sai_b, id_b);
        self.authenticate(id_b, &hash)
    }

    fn authenticate(&mut self, id_b: &[u8], hash: &Secret) -> Vec<u8> {
        let plain = emit_chain(&[(PayloadType::ID, id_b), (PayloadType::HASH, hash.expose())]).unwrap();
        let iv = self.block;
        let message = self.seal(ExchangeType::IDENTITY_PROTECTION, 0, &iv, PayloadType::ID, &plain);
        self.block = *message.last_chunk().unwrap();
        message
    }

    /// The sixth message came: its last block is what later vectors are made of.
    pub fn conclude(&mut self, sixth: &[u8]) {
        self.block = *sixth.last_chunk().unwrap();
    }

    pub fn cipher_key(&self) -> Secret {
        self.keys.cipher_key(32)
    }

    pub fn keys(&self) -> &Skeyid {
        &self.keys
    }

    pub fn first_iv(&self, message_id: u32) -> Block {
        phase2_iv(Hash::Sha256, &self.block, message_id)
    }

    /// Encrypts any octets behind any header.
    pub fn seal(
        &self,
        exchange: ExchangeType,
        id: u32,
        iv: &Block,
        next: PayloadType,
        plain: &[u8],
    ) -> Vec<u8> {
        let mut body = plain.to_vec();
        body.resize(plain.len().next_multiple_of(16), 0);
        encrypt(&self.cipher_key(), iv, &mut body).unwrap();
        header(self.cookies, exchange, id, next, Flags::ENCRYPTED).emit(&body).unwrap()
    }

    /// Decrypts a message; its payloads with their types.
    pub fn open(&self, datagram: &[u8], iv: &Block) -> Vec<(PayloadType, Vec<u8>)> {
        let (header, body) = Header::parse(datagram).unwrap();
        let mut plain = body.to_vec();
        decrypt(&self.cipher_key(), iv, &mut plain).unwrap();
        let chain = Chain::parse(header.next, &plain, Padding::Block).unwrap();
        chain.payloads.iter().map(|payload| (payload.kind, payload.body.to_vec())).collect()
    }

    /// `payloads` behind the HASH payload that `hash` makes of them.
    pub fn say(
        &self,
        exchange: (ExchangeType, u32),
        iv: &Block,
        payloads: &[(PayloadType, &[u8])],
        hash: impl FnOnce(&[u8]) -> Secret,
    ) -> Vec<u8> {
        let next = payloads.first().map_or(PayloadType::NONE, |(kind, _)| *kind);
        self.say_octets(exchange, iv, (next, &emit_chain(payloads).unwrap()), hash)
    }

    /// Any octets as the chain behind the HASH payload that `hash` makes of them; `next` is the type of the first.
    pub fn say_octets(
        &self,
        (exchange, id): (ExchangeType, u32),
        iv: &Block,
        (next, octets): (PayloadType, &[u8]),
        hash: impl FnOnce(&[u8]) -> Secret,
    ) -> Vec<u8> {
        let hash = hash(octets);
        let length = (hash.len() + 4) as u16;
        let plain = [&[next.0, 0], &length.to_be_bytes()[..], hash.expose(), octets].concat();
        self.seal(exchange, id, iv, PayloadType::HASH, &plain)
    }

    /// A protected informational message with any payloads.
    pub fn inform(&self, id: u32, payloads: &[(PayloadType, &[u8])]) -> Vec<u8> {
        let hash = |rest: &[u8]| self.keys.informational_hash(id, rest);
        self.say((ExchangeType::INFORMATIONAL, id), &self.first_iv(id), payloads, hash)
    }
}

/// The key pair of this public value, which somebody generated early in the sequence of `seed`.
fn drawn(seed: u64, public: &[u8]) -> KeyPair {
    let mut random = Seeded::new(seed);
    for _ in 0..16 {
        let pair = KeyPair::generate(DhGroup::P256, &mut random.clone()).unwrap();
        if pair.public() == public {
            return pair;
        }
        random.draw();
    }
    panic!("not drawn from {seed}")
}

fn exchange<'a>(cookies: Cookies, initiator: &'a [u8], responder: &'a [u8]) -> Exchange<'a> {
    Exchange {
        initiator_public: initiator,
        responder_public: responder,
        initiator_cookie: cookies.initiator.0,
        responder_cookie: cookies.responder.0,
    }
}

/// The body of the SA payload, which is the first of the message.
fn sa_body(first: &[u8]) -> &[u8] {
    let (header, body) = Header::parse(first).unwrap();
    Chain::parse(header.next, body, Padding::None).unwrap().payloads[0].body
}
