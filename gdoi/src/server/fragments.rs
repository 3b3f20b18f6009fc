//! What a key server sends and takes in fragments.

use super::KeyServer;
use crate::crypto::Random;
use crate::endpoint::{Instant, Output, Transmit};
use crate::error::{Error, Misbehaved};
use crate::event::KeyServerEvent;
use crate::fragment::{is_fragment, split, Piece, Purpose, LONGEST_DATAGRAM};
use crate::phase1::Cookies;
use crate::wire::{ExchangeType, Header};
use std::net::SocketAddr;

impl KeyServer {
    /// A datagram of IKEv1: a message or a fragment of one.
    pub(super) fn handle_isakmp(&mut self, from: SocketAddr, datagram: &[u8], now: Instant) {
        if !is_fragment(datagram) {
            return self.handle_message(from, datagram, now);
        }
        match self.gather(from, datagram, now) {
            Ok(message) => message.iter().for_each(|message| self.handle_message(from, message, now)),
            Err(reason) => self.complain(KeyServerEvent::Rejected { from, reason }, now),
        }
    }

    /// Takes in a fragment; what it made whole.
    fn gather(&mut self, from: SocketAddr, datagram: &[u8], now: Instant) -> Result<Vec<Vec<u8>>, Error> {
        let piece = Piece::parse(datagram)?;
        let cookies = Cookies::of(&piece.header);
        let purpose = if self.links.talks_in_fragments(from, cookies) {
            Purpose::Cooperation
        } else if self.sessions.talks_in_fragments(from, cookies) {
            Purpose::Registration
        } else {
            return Err(Misbehaved::UnknownExchange.into());
        };
        self.reassembly.add(from, purpose, &piece, now)
    }

    /// The next output; a message that is too long for its receiver's path is cut here, whatever made it.
    pub(super) fn next_output(&mut self) -> Option<Output<KeyServerEvent>> {
        let output = self.output.pop_front()?;
        let Output::Transmit(Transmit { to, payload }) = &output else { return Some(output) };
        let Some(fragments) = self.fragments(*to, payload) else { return Some(output) };
        let to = *to;
        for payload in fragments.into_iter().rev() {
            self.output.push_front(Output::Transmit(Transmit { to, payload }));
        }
        self.output.pop_front()
    }

    /// The message in fragments, if it is to be cut. Without randomness it goes whole.
    fn fragments(&mut self, to: SocketAddr, message: &[u8]) -> Option<Vec<Vec<u8>>> {
        if message.len() <= LONGEST_DATAGRAM || !self.may_cut(to, message) {
            return None;
        }
        split(message, fresh_id(self.random.as_mut()).ok()?).ok()
    }

    fn may_cut(&self, to: SocketAddr, message: &[u8]) -> bool {
        let Ok((header, _)) = Header::parse(message) else { return false };
        match header.exchange {
            ExchangeType::GROUPKEY_PUSH => {
                let spi = Cookies::of(&header).octets();
                let all = self.groups.iter().chain(&self.parting);
                let mut groups = all.filter(|group| group.has_kek(spi));
                groups.any(|group| group.take_fragments(to))
            }
            _ => self.talks_in_fragments(to, &header),
        }
    }

    /// Whether an SA protects the message with whose peer fragments were agreed.
    fn talks_in_fragments(&self, peer: SocketAddr, header: &Header) -> bool {
        self.sessions.talks_in_fragments(peer, Cookies::of(header))
            || self.links.talks_in_fragments(peer, Cookies::of(header))
    }
}

fn fresh_id(random: &mut dyn Random) -> Result<u16, Error> {
    let mut octets = [0; 2];
    random.fill(&mut octets)?;
    Ok(u16::from_be_bytes(octets))
}
