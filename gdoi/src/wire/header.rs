//! The ISAKMP header (RFC 2408 section 3.1).

use super::codec::{Reader, Writer};
use super::registry::{ExchangeType, Flags, PayloadType};
use crate::error::Malformed;
use std::fmt;

/// The header's length in octets.
pub const HEADER_LEN: usize = 28;

/// The longest message taken or sent, in octets; protocol decision, below the UDP limit of 65,507.
pub const MAX_MESSAGE: usize = 60_000;

const VERSION: u8 = 0x10;
const VERSION_AT: usize = 17;

/// The versions of IKE that are spoken here. All have the version in the same place of a header of [`HEADER_LEN`] octets,
/// and the name that the initiator chose in its first 8; what the rest means is each version's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// IKEv1, whose header is [`Header`].
    IkeV1,
}

impl Version {
    /// The version of a datagram, by the major number alone.
    ///
    /// # Errors
    /// Another version, or less than a header.
    pub fn of(datagram: &[u8]) -> Result<Self, Malformed> {
        match datagram.get(VERSION_AT) {
            Some(version) if version >> 4 == VERSION >> 4 => Ok(Version::IkeV1),
            Some(version) if datagram.len() >= HEADER_LEN => Err(Malformed::Version(*version)),
            _ => Err(Malformed::Truncated("ISAKMP header")),
        }
    }
}

/// Half of an ISAKMP SA's name, 8 octets.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cookie(pub [u8; 8]);

impl Cookie {
    /// The responder's cookie in the first message.
    pub const ZERO: Cookie = Cookie([0; 8]);
}

impl fmt::Debug for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

/// The fixed part of every message, [`HEADER_LEN`] octets.
///
/// ```text
/// |                     initiator cookie (8)                      |
/// |                     responder cookie (8)                      |
/// | next payload  | major | minor | exchange type |     flags     |
/// |                        message ID (4)                         |
/// |                          length (4)                           |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The initiator's cookie.
    pub initiator: Cookie,
    /// The responder's cookie, zero in the first message.
    pub responder: Cookie,
    /// The type of the first payload.
    pub next: PayloadType,
    /// The exchange that the message belongs to.
    pub exchange: ExchangeType,
    /// Flags.
    pub flags: Flags,
    /// 0 in phase 1, random after.
    pub message_id: u32,
}

impl Header {
    /// Splits a datagram into header and body.
    ///
    /// # Errors
    /// A length field that is not the datagram's length or over [`MAX_MESSAGE`], another version than 1.0.
    pub fn parse(datagram: &[u8]) -> Result<(Header, &[u8]), Malformed> {
        let mut reader = Reader::new(datagram, "ISAKMP header");
        let initiator = Cookie(reader.array()?);
        let responder = Cookie(reader.array()?);
        let next = PayloadType(reader.u8()?);
        let version = reader.u8()?;
        let exchange = ExchangeType(reader.u8()?);
        let flags = Flags(reader.u8()?);
        let message_id = reader.u32()?;
        let length = reader.u32()?;
        if version != VERSION {
            return Err(Malformed::Version(version));
        }
        if datagram.len() > MAX_MESSAGE || usize::try_from(length) != Ok(datagram.len()) {
            return Err(Malformed::Length("ISAKMP header"));
        }
        Ok((Header { initiator, responder, next, exchange, flags, message_id }, reader.rest()))
    }

    /// The whole message: this header and `body` behind it.
    ///
    /// # Errors
    /// As [`Writer::finish`].
    pub fn emit(&self, body: &[u8]) -> Result<Vec<u8>, Malformed> {
        Writer::plain(HEADER_LEN + body.len(), |out| {
            out.raw(&self.initiator.0);
            out.raw(&self.responder.0);
            out.u8(self.next.0);
            out.u8(VERSION);
            out.u8(self.exchange.0);
            out.u8(self.flags.0);
            out.u32(self.message_id);
            out.length_u32_from(0, "ISAKMP header").raw(body);
        })
    }

    /// This header alone, for a body of `body_len` octets.
    ///
    /// # Errors
    /// As [`Writer::finish`].
    pub fn emit_before(&self, body_len: usize) -> Result<Vec<u8>, Malformed> {
        let mut message = self.emit(&vec![0; body_len])?;
        message.truncate(HEADER_LEN);
        Ok(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            initiator: Cookie([1; 8]),
            responder: Cookie([2; 8]),
            next: PayloadType::HASH,
            exchange: ExchangeType::GROUPKEY_PULL,
            flags: Flags::ENCRYPTED,
            message_id: 0x0a0b_0c0d,
        }
    }

    #[test]
    fn round_trip() {
        let bytes = header().emit(&[9, 9]).unwrap();
        assert_eq!(bytes.len(), 30);
        assert_eq!(Header::parse(&bytes), Ok((header(), &[9, 9][..])));
    }

    /// Whatever is refused here the header would refuse for the same reason.
    #[test]
    fn versions_are_told_apart_by_the_major_number() {
        let mut bytes = header().emit(&[]).unwrap();
        for version in 0..=u8::MAX {
            bytes[17] = version;
            match Version::of(&bytes) {
                Ok(Version::IkeV1) => assert_eq!(version >> 4, 1),
                Err(reason) => assert_eq!(Header::parse(&bytes), Err(reason)),
            }
        }
        for length in 0..HEADER_LEN {
            let refused = Version::of(&bytes[..length]).err();
            assert_eq!(refused, Header::parse(&bytes[..length]).err(), "{length} octets");
        }
        assert_eq!(Version::of(&header().emit(&[]).unwrap()), Ok(Version::IkeV1));
    }

    #[test]
    fn rejects() {
        let mut bytes = header().emit(&[]).unwrap();
        assert_eq!(Header::parse(&bytes[..27]), Err(Malformed::Truncated("ISAKMP header")));
        bytes.push(0);
        assert_eq!(Header::parse(&bytes), Err(Malformed::Length("ISAKMP header")));
        bytes.pop();
        bytes[24] = 0xff;
        assert_eq!(Header::parse(&bytes), Err(Malformed::Length("ISAKMP header")));
        bytes[17] = 0x20;
        assert_eq!(Header::parse(&bytes), Err(Malformed::Version(0x20)));
        assert_eq!(
            Header::parse(&header().emit(&vec![0; MAX_MESSAGE]).unwrap()),
            Err(Malformed::Length("ISAKMP header"))
        );
    }
}
