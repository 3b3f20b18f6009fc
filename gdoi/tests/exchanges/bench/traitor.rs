//! A cooperating key server that its peers believe and that keeps to no rule.

use super::alliance::KEY_BETWEEN_SERVERS;
use super::coop_message::{mapped, number};
use super::rogue::{main_mode, Rogue};
use gdoi::coop::CoopRefusals;
use gdoi::phase1::{Cookies, DPD_VENDOR_ID, VENDOR_ID};
use gdoi::policy::{Doi, Identity, Proposal};
use gdoi::wire::{Cookie, ExchangeType, Header, Identification, PayloadType, Phase1Sa};
use gdoi::KeyServerStatus;
use std::net::SocketAddr;

/// What a cooperating server announces in phase 1.
pub const VENDOR_IDS: [&[u8]; 2] = [&VENDOR_ID, &DPD_VENDOR_ID];

/// One that began the phase 1 with the server under test.
pub struct Traitor {
    pub address: SocketAddr,
    rogue: Rogue,
    /// The number of its last message.
    sent: u64,
}

impl Traitor {
    /// Begins phase 1; `talk` brings a datagram to the key server and its answer back.
    pub fn meet(address: SocketAddr, talk: impl FnMut(&[u8]) -> Vec<u8>) -> Traitor {
        Traitor::meet_as(address, &VENDOR_IDS, talk)
    }

    /// As [`Traitor::meet`], with these vendor IDs.
    pub fn meet_as(
        address: SocketAddr,
        vendor_ids: &[&[u8]],
        mut talk: impl FnMut(&[u8]) -> Vec<u8>,
    ) -> Traitor {
        let first = first_message(address, vendor_ids);
        let mut rogue = Rogue::meet_by(KEY_BETWEEN_SERVERS, &first, &mut talk);
        let id = Identification::phase1(&Identity::Address(address.ip())).emit().unwrap();
        let sixth = talk(&rogue.introduce(&id));
        rogue.conclude(&sixth);
        Traitor { address, rogue, sent: 0 }
    }

    /// A message that is new to the peer.
    pub fn seal(&mut self, body: &[u8]) -> Vec<u8> {
        self.sent += 1;
        self.seal_as(self.sent, body)
    }

    /// A message with any number.
    pub fn seal_as(&self, number: u64, body: &[u8]) -> Vec<u8> {
        self.seal_payloads(number, &[(PayloadType::COOP, &[&number.to_be_bytes(), body].concat())])
    }

    /// A message with any payloads.
    pub fn seal_payloads(&self, number: u64, payloads: &[(PayloadType, &[u8])]) -> Vec<u8> {
        let id = number as u32 | 1 << 30;
        let hash = |rest: &[u8]| self.rogue.keys().informational_hash(id, rest);
        self.rogue.say((ExchangeType::COOP, id), &self.rogue.first_iv(id), payloads, hash)
    }

    /// The body of a message of the peer to this one.
    pub fn open(&self, datagram: &[u8]) -> Option<Vec<u8>> {
        let (header, _) = Header::parse(datagram).ok()?;
        if header.exchange != ExchangeType::COOP || Cookies::of(&header) != self.rogue.cookies {
            return None;
        }
        let payloads = self.rogue.open(datagram, &self.rogue.first_iv(header.message_id));
        payloads.into_iter().find(|(kind, _)| *kind == PayloadType::COOP).map(|(_, body)| body[8..].to_vec())
    }
}

/// Its cookie is its address.
fn first_message(address: SocketAddr, vendor_ids: &[&[u8]]) -> Vec<u8> {
    let own = number(&mapped(address.ip()), 8) << 8;
    let cookies = Cookies { initiator: Cookie(own.to_be_bytes()), responder: Cookie::ZERO };
    let sa = Phase1Sa::new(Doi::Gdoi, &[Proposal::default()]).emit().unwrap();
    let vendor_ids = vendor_ids.iter().map(|id| (PayloadType::VENDOR, *id));
    let payloads: Vec<_> = std::iter::once((PayloadType::SA, &sa[..])).chain(vendor_ids).collect();
    main_mode(cookies, &payloads)
}

/// All that a server shows of its groups, but for the counters of what it refused.
pub fn sight(status: &KeyServerStatus) -> String {
    let mut groups = status.groups.clone();
    for peer in groups.iter_mut().flat_map(|group| &mut group.coop).flat_map(|coop| &mut coop.peers) {
        (peer.received, peer.refused) = (0, CoopRefusals::default());
    }
    format!("{groups:?}")
}
