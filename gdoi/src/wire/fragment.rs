//! The fragment payload of IKEv1 ([MS-IKEE] section 2.2.3.1; no RFC has it).

use super::codec::{Reader, Writer};
use crate::error::Malformed;

const PART: &str = "fragment payload";

/// The body of a fragment payload, the only payload of its datagram.
///
/// ```text
/// |        fragment ID (2)        |    number     |     flags     |  data
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment<'a> {
    /// The same in all fragments of a message.
    pub id: u16,
    /// Its place in the message, from 1.
    pub number: u8,
    /// Whether others follow.
    pub position: Position,
    /// Octets of the message, at least one.
    pub data: &'a [u8],
}

/// Whether a fragment ends its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// Others follow.
    Before,
    /// It is the last one.
    Last,
}

impl<'a> Fragment<'a> {
    /// Reads the body.
    ///
    /// # Errors
    /// [`Malformed`]: number 0, unknown flags, no data.
    pub fn parse(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body, PART);
        let (id, number) = (reader.u16()?, reader.u8()?);
        let position = match (number, reader.u8()?) {
            (1.., 0) => Position::Before,
            (1.., 1) => Position::Last,
            _ => return Err(Malformed::Value(PART)),
        };
        match reader.rest() {
            [] => Err(Malformed::Length(PART)),
            data => Ok(Fragment { id, number, position, data }),
        }
    }

    /// The body.
    ///
    /// # Errors
    /// As [`Writer::finish`].
    pub fn emit(&self) -> Result<Vec<u8>, Malformed> {
        Writer::plain(4 + self.data.len(), |out| {
            out.u16(self.id);
            out.u8(self.number);
            out.flag(self.position == Position::Last);
            out.raw(self.data);
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let fragment = Fragment { id: 0x0a0b, number: 3, position: Position::Before, data: &[7, 8, 9] };
        assert_eq!(fragment.emit().unwrap(), [0x0a, 0x0b, 3, 0, 7, 8, 9]);
        let last = Fragment { position: Position::Last, ..fragment };
        assert_eq!(last.emit().unwrap(), [0x0a, 0x0b, 3, 1, 7, 8, 9]);
        for fragment in [fragment, last] {
            assert_eq!(Fragment::parse(&fragment.emit().unwrap()), Ok(fragment));
        }
    }

    #[test]
    fn rejects() {
        assert_eq!(Fragment::parse(&[0, 1, 1]), Err(Malformed::Truncated(PART)));
        assert_eq!(Fragment::parse(&[0, 1, 1, 1]), Err(Malformed::Length(PART)));
        assert_eq!(Fragment::parse(&[0, 1, 0, 1, 9]), Err(Malformed::Value(PART)));
        assert_eq!(Fragment::parse(&[0, 1, 1, 2, 9]), Err(Malformed::Value(PART)));
    }
}
