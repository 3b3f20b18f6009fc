//! What a key server stored, read by the documented layout, and the rekey messages that can be opened with it.

use gdoi::crypto::cbc::decrypt;
use gdoi::crypto::Secret;
use gdoi::wire::{Chain, GroupSa, Header, Padding, PayloadType};

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
        spi
    }

    fn kek(&mut self) -> Option<StoredKek> {
        if self.number(1) == 0 {
            return None;
        }
        let (spi, key) = (self.take(16).try_into().unwrap(), self.counted().to_vec());
        self.take(8);
        let sequence = self.number(4) as u32;
        self.take(1);
        Some(StoredKek { spi, key, sequence })
    }
}

impl Stored {
    pub fn read(state: &Secret) -> Stored {
        let mut octets = Octets(state.expose());
        octets.take(4 + 2 + 2 + 4 + 8 + 8);
        if octets.number(1) == 1 {
            octets.take(8);
        }
        let teks = octets.number(2);
        let teks = (0..teks).map(|_| octets.tek()).collect();
        Stored { teks, keks: [octets.kek(), octets.kek()].into_iter().flatten().collect() }
    }

    /// The KEK that a rekey message or its acknowledgement is under.
    pub fn kek_of(&self, datagram: &[u8]) -> Option<&StoredKek> {
        self.keks.iter().find(|kek| datagram.starts_with(&kek.spi))
    }
}

impl StoredKek {
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
