//! Notify and delete payloads (RFC 2408 sections 3.14 and 3.15), and the notify of dead peer detection (RFC 3706).

use super::codec::{Reader, Writer};
use super::registry::NotifyType;
use crate::error::Malformed;
use crate::group::Deletion;
use crate::policy::Spi;

const DOI_IPSEC: u32 = 1;
const DOI_GDOI: u32 = 2;
const PROTO_ISAKMP: u8 = 1;
const GDOI_PROTO_KEK: u8 = 0;
const GDOI_PROTO_IPSEC_ESP: u8 = 1;
const LIVENESS: &str = "dead peer detection payload";

/// The body of a notify payload. SPI and notification data are not kept: only those of [`Liveness`] are used.
///
/// ```text
/// |                            DOI (4)                            |
/// |  protocol-ID  |   SPI size    |        type (2)               | SPI, notification data
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notify {
    /// What is notified.
    pub kind: NotifyType,
}

impl Notify {
    /// Reads a body.
    ///
    /// # Errors
    /// [`Malformed::Truncated`].
    pub fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body, "notify payload");
        reader.take(5)?;
        let spi_len = usize::from(reader.u8()?);
        let kind = NotifyType(reader.u16()?);
        reader.take(spi_len)?;
        Ok(Notify { kind })
    }

    /// The body alone, about ISAKMP without an SPI.
    ///
    /// # Errors
    /// As [`Writer::finish`].
    pub fn emit(&self) -> Result<Vec<u8>, Malformed> {
        Writer::plain(8, |out| {
            out.u32(DOI_IPSEC);
            out.u8(PROTO_ISAKMP);
            out.u8(0);
            out.u16(self.kind.0);
        })
    }
}

/// The body of a notify payload of dead peer detection (RFC 3706 section 5.3).
///
/// ```text
/// |                            DOI (4)                            |
/// |  protocol-ID  |   SPI size    |        type (2)               |
/// |                     initiator cookie (8)                      |
/// |                     responder cookie (8)                      |
/// |                      sequence number (4)                      |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Liveness {
    /// [`NotifyType::R_U_THERE`] or [`NotifyType::R_U_THERE_ACK`].
    pub kind: NotifyType,
    /// The ISAKMP SA under which it is asked or answered.
    pub cookies: [u8; 16],
    /// The number of the question.
    pub sequence: u32,
}

impl Liveness {
    /// Whether a notify of this type has this body.
    pub const fn has(kind: NotifyType) -> bool {
        matches!(kind, NotifyType::R_U_THERE | NotifyType::R_U_THERE_ACK)
    }

    /// Reads a body. The DOI may be any: the RFC only recommends one.
    ///
    /// # Errors
    /// [`Malformed`]: truncated, octets left over, another protocol, SPI size or type.
    pub fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body, LIVENESS);
        reader.take(4)?;
        let (protocol, spi_len, kind) = (reader.u8()?, reader.u8()?, NotifyType(reader.u16()?));
        if protocol != PROTO_ISAKMP || spi_len != 16 || !Liveness::has(kind) {
            return Err(Malformed::Value(LIVENESS));
        }
        let (cookies, sequence) = (reader.array()?, reader.u32()?);
        reader.finish()?;
        Ok(Liveness { kind, cookies, sequence })
    }

    /// The body alone.
    ///
    /// # Errors
    /// As [`Writer::finish`].
    pub fn emit(&self) -> Result<Vec<u8>, Malformed> {
        Writer::plain(28, |out| {
            out.u32(DOI_IPSEC);
            out.u8(PROTO_ISAKMP);
            out.u8(16);
            out.u16(self.kind.0);
            out.raw(&self.cookies);
            out.u32(self.sequence);
        })
    }
}

/// The body of a delete payload.
///
/// ```text
/// |                            DOI (4)                            |
/// |  protocol-ID  |   SPI size    |        number of SPIs (2)     | SPIs
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delete {
    /// Domain of interpretation: 1, or 2 in a GROUPKEY-PUSH.
    pub doi: u32,
    /// What the SPIs name: under DOI 1, 1 is ISAKMP; under DOI 2, 0 is KEK and 1 is ESP (RFC 6407 section 5.9).
    pub protocol: u8,
    /// SPIs of one length, at least one.
    pub spis: Vec<Vec<u8>>,
}

impl Delete {
    /// The payload that deletes a phase 1 SA; its SPI is the cookie pair, 16 octets.
    pub fn phase1(cookies: [u8; 16]) -> Self {
        Delete { doi: DOI_IPSEC, protocol: PROTO_ISAKMP, spis: vec![cookies.to_vec()] }
    }

    /// The payload of a GROUPKEY-PUSH that ends TEKs; an SPI of 0 ends all (RFC 6407 section 5.9).
    pub fn teks(spis: &[u32]) -> Self {
        let spis = spis.iter().map(|spi| spi.to_be_bytes().to_vec()).collect();
        Delete { doi: DOI_GDOI, protocol: GDOI_PROTO_IPSEC_ESP, spis }
    }

    /// The payload of a GROUPKEY-PUSH that ends the KEK.
    pub fn kek(spi: [u8; 16]) -> Self {
        Delete { doi: DOI_GDOI, protocol: GDOI_PROTO_KEK, spis: vec![spi.to_vec()] }
    }

    /// Whether this deletes the phase 1 SA with these cookies.
    pub fn names_phase1(&self, cookies: [u8; 16]) -> bool {
        self.protocol == PROTO_ISAKMP && self.spis.iter().any(|spi| spi[..] == cookies)
    }

    /// Reads a body.
    ///
    /// # Errors
    /// [`Malformed`]: truncated, no SPIs, octets left over.
    pub fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body, "delete payload");
        let (doi, protocol, spi_len) = (reader.u32()?, reader.u8()?, usize::from(reader.u8()?));
        let count = usize::from(reader.u16()?);
        if count == 0 || spi_len == 0 {
            return Err(Malformed::Length("delete payload"));
        }
        let spis = reader.take(count * spi_len)?.chunks(spi_len).map(<[u8]>::to_vec).collect();
        reader.finish()?;
        Ok(Delete { doi, protocol, spis })
    }

    /// What it ends in a GROUPKEY-PUSH (RFC 6407 section 5.9).
    ///
    /// # Errors
    /// [`Malformed::Value`]: another DOI, protocol or SPI length.
    pub fn deletions(&self) -> Result<Vec<Deletion>, Malformed> {
        let deletion = |spi: &Vec<u8>| match (self.doi, self.protocol, &spi[..]) {
            // "An SPI value of zero": how long that is the RFC does not say.
            (DOI_GDOI, GDOI_PROTO_KEK, kek) if kek.iter().all(|octet| *octet == 0) => Ok(Deletion::AllKeks),
            (DOI_GDOI, GDOI_PROTO_KEK, kek) if kek.len() == 16 => {
                kek.try_into().map(Deletion::Kek).map_err(|_| Malformed::Value("delete payload"))
            }
            (DOI_GDOI, GDOI_PROTO_IPSEC_ESP, [0, 0, 0, 0]) => Ok(Deletion::AllTeks),
            (DOI_GDOI, GDOI_PROTO_IPSEC_ESP, [a, b, c, d]) => {
                Ok(Deletion::Tek(Spi(u32::from_be_bytes([*a, *b, *c, *d]))))
            }
            _ => Err(Malformed::Value("delete payload")),
        };
        self.spis.iter().map(deletion).collect()
    }

    /// The body alone.
    ///
    /// # Errors
    /// As [`Writer::finish`]: an SPI of over 255 octets, or of another length than the first one.
    pub fn emit(&self) -> Result<Vec<u8>, Malformed> {
        let spi_len = self.spis.first().map_or(0, Vec::len);
        Writer::plain(8 + spi_len * self.spis.len(), |out| {
            out.u32(self.doi);
            out.u8(self.protocol);
            out.count_u8(spi_len, "delete payload");
            out.list_u16("delete payload", &self.spis, |out, spi| out.raw(spi));
            if self.spis.iter().any(|spi| spi.len() != spi_len) {
                out.spoil(Malformed::Length("delete payload"));
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notify_round_trip() {
        let notify = Notify { kind: NotifyType::NO_PROPOSAL_CHOSEN };
        assert_eq!(notify.emit().unwrap(), [0, 0, 0, 1, 1, 0, 0, 14]);
        assert_eq!(Notify::parse(&notify.emit().unwrap()), Ok(notify.clone()));
        let with_spi_and_data = [0, 0, 0, 1, 1, 2, 0, 14, 9, 9, 1, 2, 3];
        assert_eq!(Notify::parse(&with_spi_and_data), Ok(notify));
        assert_eq!(Notify::parse(&[0, 0, 0, 1, 1, 9, 0, 14]), Err(Malformed::Truncated("notify payload")));
    }

    #[test]
    fn liveness_round_trip() {
        let liveness = Liveness { kind: NotifyType::R_U_THERE, cookies: [5; 16], sequence: 0x0102_0304 };
        let body = liveness.emit().unwrap();
        assert_eq!(body[..9], [0, 0, 0, 1, 1, 16, 0x8d, 0x28, 5]);
        assert_eq!(body[23..], [5, 1, 2, 3, 4]);
        assert_eq!(Liveness::parse(&body), Ok(liveness));
        assert_eq!(Notify::parse(&body), Ok(Notify { kind: NotifyType::R_U_THERE }));
    }

    #[test]
    fn liveness_that_does_not_fit_is_rejected() {
        let body =
            Liveness { kind: NotifyType::R_U_THERE_ACK, cookies: [5; 16], sequence: 9 }.emit().unwrap();
        for length in 0..body.len() {
            assert_eq!(Liveness::parse(&body[..length]), Err(Malformed::Truncated(LIVENESS)), "{length}");
        }
        let long = [&body[..], &[0]].concat();
        assert_eq!(Liveness::parse(&long), Err(Malformed::TrailingBytes(LIVENESS)));
        for (position, value) in [(4, 3), (5, 15), (7, 0x2a)] {
            let mut changed = body.clone();
            changed[position] = value;
            assert_eq!(Liveness::parse(&changed), Err(Malformed::Value(LIVENESS)), "{position}");
        }
    }

    #[test]
    fn delete_round_trip() {
        let delete = Delete::phase1([3; 16]);
        assert!(delete.names_phase1([3; 16]) && !delete.names_phase1([4; 16]));
        assert_eq!(delete.emit().unwrap()[..8], [0, 0, 0, 1, 1, 16, 0, 1]);
        assert_eq!(Delete::parse(&delete.emit().unwrap()), Ok(delete));
    }

    #[test]
    fn spis_are_never_cut_and_have_one_length() {
        let emit = |spis| Delete { spis, ..Delete::teks(&[]) }.emit();
        assert_eq!(emit(vec![vec![1; 255]]).unwrap().len(), 8 + 255);
        let refused = Err(Malformed::Length("delete payload"));
        assert_eq!(emit(vec![vec![1; 256]]), refused);
        assert_eq!(emit(vec![vec![1; 4], vec![1; 5]]), refused);
        assert_eq!(emit(vec![Vec::new(); 65_536]), refused);
    }

    #[test]
    fn what_a_push_deletes() {
        assert_eq!(Delete::teks(&[0, 7]).deletions(), Ok(vec![Deletion::AllTeks, Deletion::Tek(Spi(7))]));
        assert_eq!(Delete::kek([1; 16]).deletions(), Ok(vec![Deletion::Kek([1; 16])]));
        for length in [1, 4, 16] {
            let all = Delete { spis: vec![vec![0; length]], ..Delete::kek([0; 16]) };
            assert_eq!(all.deletions(), Ok(vec![Deletion::AllKeks]));
        }
        let refused = Err(Malformed::Value("delete payload"));
        assert_eq!(Delete::phase1([1; 16]).deletions(), refused);
        assert_eq!(Delete { protocol: 2, ..Delete::teks(&[1]) }.deletions(), refused);
        assert_eq!(Delete { spis: vec![vec![1; 4]], ..Delete::kek([1; 16]) }.deletions(), refused);
    }

    #[test]
    fn deletes_that_do_not_fit_are_rejected() {
        assert_eq!(Delete::parse(&[0, 0, 0, 1, 1, 4, 0, 0]), Err(Malformed::Length("delete payload")));
        assert_eq!(Delete::parse(&[0, 0, 0, 1, 1, 0, 0, 1]), Err(Malformed::Length("delete payload")));
        let many = [&[0, 0, 0, 2, 1, 4, 0xff, 0xff][..], &[7; 4 * 0xffff]].concat();
        assert_eq!(Delete::parse(&many).unwrap().spis.len(), 0xffff, "as many as the count can say");
        assert_eq!(Delete::parse(&many[..many.len() - 1]), Err(Malformed::Truncated("delete payload")));
        assert_eq!(Delete::parse(&[0, 0, 0, 1, 1, 4, 0, 1, 1]), Err(Malformed::Truncated("delete payload")));
        assert_eq!(
            Delete::parse(&[0, 0, 0, 1, 1, 1, 0, 1, 1, 1]),
            Err(Malformed::TrailingBytes("delete payload"))
        );
    }
}
