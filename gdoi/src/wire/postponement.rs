//! The notify with which a key server of this implementation puts off a member of this implementation that asks too often.

use super::codec::{Reader, Writer};
use super::registry::NotifyType;
use crate::error::Malformed;

const DOI_IPSEC: u32 = 1;
const PROTO_ISAKMP: u8 = 1;
const PART: &str = "notify payload";

/// The body of a notify payload of type TRY-LATER with a time: there will be nothing newer before. Without one the server does
/// not know ([`super::Notify`]).
///
/// ```text
/// |                            DOI (4)                            |
/// |  protocol-ID  |   SPI size    |        type (2)               |
/// |                           seconds (4)                         |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Postponement {
    /// For how long.
    pub seconds: u32,
}

impl Postponement {
    /// Reads a body; None where it is another notify, or says no time.
    ///
    /// # Errors
    /// [`Malformed::Truncated`], [`Malformed::TrailingBytes`].
    pub fn parse(body: &[u8]) -> Result<Option<Self>, Malformed> {
        let mut reader = Reader::new(body, PART);
        reader.take(5)?;
        let (spi_len, kind) = (usize::from(reader.u8()?), NotifyType(reader.u16()?));
        reader.take(spi_len)?;
        if kind != NotifyType::TRY_LATER || body.len() == 8 + spi_len {
            return Ok(None);
        }
        let seconds = reader.u32()?;
        reader.finish()?;
        Ok(Some(Postponement { seconds }))
    }

    /// The body alone.
    ///
    /// # Errors
    /// As [`Writer::finish`].
    pub fn emit(&self) -> Result<Vec<u8>, Malformed> {
        Writer::plain(12, |out| {
            out.u32(DOI_IPSEC);
            out.u8(PROTO_ISAKMP);
            out.u8(0);
            out.u16(NotifyType::TRY_LATER.0);
            out.u32(self.seconds);
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Notify;

    #[test]
    fn round_trip() {
        let postponement = Postponement { seconds: 0x0102 };
        let body = postponement.emit().unwrap();
        assert_eq!(body, [0, 0, 0, 1, 1, 0, 0x20, 0x30, 0, 0, 1, 2]);
        assert_eq!(Postponement::parse(&body), Ok(Some(postponement)));
        assert_eq!(
            Notify::parse(&body),
            Ok(Notify { kind: NotifyType::TRY_LATER }),
            "for those that know no time"
        );
    }

    #[test]
    fn other_notifies_and_those_without_a_time_are_none() {
        for kind in [NotifyType::TRY_LATER, NotifyType::NO_PROPOSAL_CHOSEN] {
            assert_eq!(Postponement::parse(&Notify { kind }.emit().unwrap()), Ok(None));
        }
    }

    #[test]
    fn what_does_not_fit_is_rejected() {
        let body = Postponement { seconds: 9 }.emit().unwrap();
        for length in (0..8).chain(9..12) {
            assert_eq!(Postponement::parse(&body[..length]), Err(Malformed::Truncated(PART)), "{length}");
        }
        let long = [&body[..], &[0]].concat();
        assert_eq!(Postponement::parse(&long), Err(Malformed::TrailingBytes(PART)));
    }
}
