//! What a key server stored, read by the documented layout, and the rekey messages and acknowledgements that can be
//! opened and made with it: a peer that has the KEK and keeps to no rule.

use gdoi::crypto::cbc::{decrypt, encrypt};
use gdoi::crypto::derive::ack_key;
use gdoi::crypto::prf::prf;
use gdoi::crypto::sign::SigningKey;
use gdoi::crypto::{Hash, Secret};
use gdoi::policy::{GroupId, Identity};
use gdoi::wire::{
    emit_chain, Chain, Cookie, ExchangeType, Flags, GroupSa, Header, Identification, Padding, PayloadType,
};
use std::net::IpAddr;

/// The keys of the first group in a stored state.
#[derive(Debug, Default)]
pub struct Stored {
    pub teks: Vec<u32>,
    pub keks: Vec<StoredKek>,
}

#[derive(Clone, Debug)]
pub struct StoredKek {
    pub spi: [u8; 16],
    /// IV and key.
    pub key: Vec<u8>,
    pub sequence: u32,
}

/// What a rekey message says in short.
#[derive(Debug)]
pub struct OpenedPush {
    pub sequence: u32,
    pub teks: Vec<u32>,
    pub kek: Option<[u8; 16]>,
    /// Its payloads but for the signature.
    pub payloads: Vec<(PayloadType, Vec<u8>)>,
}

struct Octets<'a>(&'a [u8]);

impl<'a> Octets<'a> {
    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken
    }

    fn number(&mut self, length: usize) -> u64 {
        self.take(length).iter().fold(0, |number, octet| number << 8 | u64::from(*octet))
    }

    fn counted(&mut self) -> &'a [u8] {
        let length = self.number(2) as usize;
        self.take(length)
    }

    fn tek(&mut self) -> u32 {
        let spi = self.number(4) as u32;
        (0..3).for_each(|_| {
            self.counted();
        });
        self.take(8);
        if self.number(1) == 1 {
            self.take(8 + 4 + 2);
        }
        spi
    }

    /// From the beginning to the first group; how many there are.
    fn head(&mut self) -> u64 {
        self.take(4 + 2);
        self.number(2)
    }

    /// From the beginning of a group to its KEKs.
    fn group_keys(&mut self) -> Stored {
        self.take(4 + 8 + 8 + 8 + 8);
        let authors = self.number(1);
        self.take(authors as usize * 16 + 8);
        if self.number(1) == 1 {
            self.take(8);
        }
        self.take(1);
        let teks = self.number(2);
        let teks = (0..teks).map(|_| self.tek()).collect();
        let ended = self.number(2);
        self.take(ended as usize * 12);
        let mut keks: Vec<_> = (0..self.number(1)).map(|_| self.kek()).collect();
        keks.extend((0..self.number(1)).map(|_| self.kek()));
        Stored { teks, keks }
    }

    /// From there to the sender IDs.
    fn group_rest(&mut self) {
        let spent = self.number(1);
        self.take(spent as usize * 28);
        let revoked = self.number(4);
        self.take(revoked as usize * 16);
        self.division();
        if self.number(1) == 1 {
            self.terms();
        }
        if self.number(1) == 1 {
            self.take(16);
        }
    }

    /// From the sender IDs to the next group.
    fn group_records(&mut self) {
        self.take(12 + 32);
        for _ in 0..self.number(4) {
            self.take(16 + 4);
            self.optional(1);
            self.optional(16 + 4 + 2);
        }
        self.take(8);
        let authors = self.number(1);
        self.take(authors as usize * 16);
        for _ in 0..self.number(4) {
            self.take(16 + 2 + 16 + 8 + 8 + 1);
            self.counted();
            self.take(8 + 8 + 8 + 1 + 4 + 4 + 8 + 4);
            self.optional(8);
        }
    }

    fn division(&mut self) {
        self.take(12 + 8);
        self.optional(8);
        self.take(4);
        (0..8).for_each(|_| self.optional(8));
    }

    fn optional(&mut self, length: usize) {
        if self.number(1) == 1 {
            self.take(length);
        }
    }

    fn terms(&mut self) {
        self.counted();
        self.take(1 + 8 + 8);
        if self.number(1) == 1 {
            self.take(1 + 16 + 2 + 2 + 2);
            self.counted();
        }
    }

    fn kek(&mut self) -> StoredKek {
        let (spi, key) = (self.take(16).try_into().unwrap(), self.counted().to_vec());
        self.take(8);
        let sequence = self.number(4) as u32;
        self.take(1 + 8 + 8 + 12);
        let authors = self.number(1);
        self.take(authors as usize * 8);
        StoredKek { spi, key, sequence }
    }
}

impl Stored {
    pub fn read(state: &Secret) -> Stored {
        Stored::all(state).into_iter().next().map(|(_, stored, _)| stored).unwrap_or_default()
    }

    /// The keys of all groups in a stored state, and where the sender IDs of each begin.
    pub fn all(state: &Secret) -> Vec<(GroupId, Stored, usize)> {
        let mut octets = Octets(state.expose());
        let groups = octets.head();
        let group = |_| {
            let id = GroupId(u32::from_be_bytes(*octets.0.first_chunk().unwrap()));
            let stored = octets.group_keys();
            octets.group_rest();
            let sids = state.len() - octets.0.len();
            octets.group_records();
            (id, stored, sids)
        };
        (0..groups).map(group).collect()
    }

    /// The KEK that a rekey message or its acknowledgement is under.
    pub fn kek_of(&self, datagram: &[u8]) -> Option<&StoredKek> {
        self.keks.iter().find(|kek| datagram.starts_with(&kek.spi))
    }
}

/// The state of a server whose first group has given out so many sender IDs of this place, or more already.
pub fn with_sids_given(state: &Secret, place: usize, given: u32) -> Secret {
    with_sids_given_of(state, Stored::all(state)[0].0, place, given)
}

/// The same of any group that is in it.
pub fn with_sids_given_of(state: &Secret, group: GroupId, place: usize, given: u32) -> Secret {
    let groups = Stored::all(state);
    let Some((.., sids)) = groups.into_iter().find(|(id, ..)| *id == group) else { return state.clone() };
    let at = sids + 12 + 4 * place;
    let before = u32::from_be_bytes(state.expose()[at..at + 4].try_into().unwrap());
    let given = given.max(before).to_be_bytes();
    Secret::new([&state.expose()[..at], &given, &state.expose()[at + 4..]].concat())
}

impl StoredKek {
    fn header(&self, exchange: ExchangeType, next: PayloadType, flags: Flags) -> Header {
        let (initiator, responder) = self.spi.split_at(8);
        let (initiator, responder) =
            (Cookie(initiator.try_into().unwrap()), Cookie(responder.try_into().unwrap()));
        Header { initiator, responder, next, exchange, flags, message_id: 0 }
    }

    /// A rekey message of these payloads, signed with `signer`.
    pub fn seal(&self, payloads: &[(PayloadType, Vec<u8>)], signer: &SigningKey) -> Vec<u8> {
        let header = self.header(ExchangeType::GROUPKEY_PUSH, payloads[0].0, Flags::ENCRYPTED);
        let room = vec![0; signer.signature_len()];
        let all: Vec<_> = payloads.iter().map(|(kind, body)| (*kind, &body[..])).collect();
        let unsigned = emit_chain(&[&all[..], &[(PayloadType::SIG, &room)]].concat()).unwrap();
        let length = unsigned.len().next_multiple_of(16);
        let signed = &unsigned[..unsigned.len() - room.len() - 4];
        let signature =
            signer.sign(&[b"rekey", &header.emit_before(length).unwrap()[..], signed].concat()).unwrap();
        let mut body = emit_chain(&[&all[..], &[(PayloadType::SIG, &signature)]].concat()).unwrap().to_vec();
        body.resize(length, 0);
        let (iv, key) = self.key.split_first_chunk().unwrap();
        encrypt(&Secret::from(key), iv, &mut body).unwrap();
        header.emit(&body).unwrap()
    }

    /// An acknowledgement that says it is from `member`.
    pub fn acknowledgement(&self, sequence: u32, member: IpAddr) -> Vec<u8> {
        let id = Identification::phase1(&Identity::Address(member));
        let id = Identification { protocol: 0, port: 0, ..id }.emit().unwrap();
        let rest = [(PayloadType::SEQ, &sequence.to_be_bytes()[..]), (PayloadType::ID, &id[..])];
        self.acknowledge_with(&rest)
    }

    /// These payloads behind a right hash.
    pub fn acknowledge_with(&self, rest: &[(PayloadType, &[u8])]) -> Vec<u8> {
        let key = ack_key(Hash::Sha256, &Secret::from(&self.key[16..]), &self.spi);
        let hash = prf(Hash::Sha256, &key, &[&emit_chain(rest).unwrap()]);
        let chain = emit_chain(&[&[(PayloadType::HASH, hash.expose())][..], rest].concat()).unwrap();
        self.header(ExchangeType::GROUPKEY_PUSH_ACK, PayloadType::HASH, Flags::NONE).emit(&chain).unwrap()
    }

    pub fn open(&self, datagram: &[u8]) -> OpenedPush {
        let (header, body) = Header::parse(datagram).unwrap();
        let (iv, key) = self.key.split_first_chunk().unwrap();
        let mut plain = body.to_vec();
        decrypt(&Secret::from(key), iv, &mut plain).unwrap();
        let chain = Chain::parse(header.next, &plain, Padding::Block).unwrap();
        let all: Vec<_> =
            chain.payloads.iter().map(|payload| (payload.kind, payload.body.to_vec())).collect();
        let body = |kind| all.iter().find(|(found, _)| *found == kind).map(|(_, body)| &body[..]);
        let sa = body(PayloadType::SA).map(|body| GroupSa::parse(body).unwrap());
        OpenedPush {
            sequence: u32::from_be_bytes(body(PayloadType::SEQ).unwrap().try_into().unwrap()),
            teks: sa.iter().flat_map(|sa| sa.teks.iter().map(|tek| tek.spi)).collect(),
            kek: sa.and_then(|sa| sa.kek).map(|kek| kek.spi),
            payloads: all.into_iter().filter(|(kind, _)| *kind != PayloadType::SIG).collect(),
        }
    }
}
