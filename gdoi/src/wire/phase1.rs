//! The SA payload of Main Mode with its one proposal (RFC 2408 sections 3.4 to 3.6, RFC 2409 appendix A).

use super::attribute::{Attribute, Attributes};
use super::codec::{Reader, Writer};
use super::payloads::{Chain, ChainWriter, Padding, Payload};
use super::registry::PayloadType;
use crate::crypto::{DhGroup, Hash};
use crate::error::{Error, Malformed, Unacceptable};
use crate::policy::{Doi, Proposal};
use std::time::Duration;

const DOI_IPSEC: u32 = 1;
const DOI_GDOI: u32 = 2;
const SIT_IDENTITY_ONLY: u32 = 1;
const PROTO_ISAKMP: u8 = 1;
const KEY_IKE: u8 = 1;
const MAX_TRANSFORMS: usize = 64;

mod class {
    pub const ENCRYPTION: u16 = 1;
    pub const HASH: u16 = 2;
    pub const AUTHENTICATION: u16 = 3;
    pub const GROUP: u16 = 4;
    pub const LIFE_TYPE: u16 = 11;
    pub const LIFE_DURATION: u16 = 12;
    pub const KEY_LENGTH: u16 = 14;
}

const AES_CBC: u32 = 7;
const PRE_SHARED_KEY: u32 = 1;
const SECONDS: u32 = 1;

/// One transform as it was offered: its number, its octets, and what it means if it is one of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phase1Transform {
    /// The number that the initiator gave it.
    pub number: u8,
    /// What it is: 1 for KEY_IKE, others ask for nothing that is known.
    pub id: u8,
    /// What it asks for; None for any algorithm that is weak, unknown or incomplete.
    pub proposal: Option<Proposal>,
    /// Its attributes as they came: "a responder MUST NOT alter" what it chooses (RFC 2409 section 5).
    pub attributes: Vec<u8>,
}

/// The SA payload of the first two messages.
///
/// ```text
/// |                            DOI (4)                            |
/// |                         situation (4)                         |
/// proposal payload:  | next | RESERVED | length (2) | number | protocol ID | SPI size | transforms | SPI
/// transform payload: | next | RESERVED | length (2) | number | transform ID |  RESERVED2 (2)  | attributes
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phase1Sa {
    /// Which domain of interpretation it was sent under.
    pub doi: Doi,
    /// The number of the proposal.
    pub number: u8,
    /// The transforms in the initiator's order of preference, 1 to 64.
    pub transforms: Vec<Phase1Transform>,
}

impl Phase1Sa {
    /// The payload that offers `proposals`, or answers with the one chosen.
    pub fn new(doi: Doi, proposals: &[Proposal]) -> Self {
        let number = |index: usize| u8::try_from(index + 1).unwrap_or(u8::MAX);
        let transforms = proposals.iter().take(MAX_TRANSFORMS).enumerate();
        let transforms = transforms.map(|(index, proposal)| Phase1Transform {
            number: number(index),
            id: KEY_IKE,
            proposal: Some(*proposal),
            attributes: attributes_of(proposal),
        });
        Phase1Sa { doi, number: 1, transforms: transforms.collect() }
    }

    /// Reads a body.
    ///
    /// # Errors
    /// [`Malformed`], another DOI or situation, or not exactly one proposal for ISAKMP.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(body, "SA payload");
        let doi = match (reader.u32()?, reader.u32()?) {
            (DOI_GDOI, 0) => Doi::Gdoi,
            (DOI_IPSEC, SIT_IDENTITY_ONLY) => Doi::Ipsec,
            (DOI_GDOI | DOI_IPSEC, situation) => {
                return Err(Unacceptable::Unsupported("situation", situation).into())
            }
            (other, _) => return Err(Unacceptable::Unsupported("DOI", other).into()),
        };
        let proposals =
            Chain::parse_bounded(PayloadType::PROPOSAL, reader.rest(), Padding::None, 1)?.payloads;
        let (number, transforms) = parse_proposal(proposals[0].body)?;
        Ok(Phase1Sa { doi, number, transforms })
    }

    /// The body alone.
    ///
    /// # Errors
    /// As [`Writer::finish`]: over 255 transforms.
    pub fn emit(&self) -> Result<Vec<u8>, Malformed> {
        let (doi, situation) = match self.doi {
            Doi::Gdoi => (DOI_GDOI, 0),
            Doi::Ipsec => (DOI_IPSEC, SIT_IDENTITY_ONLY),
        };
        Writer::plain(32 + self.transforms.len() * 48, |out| {
            out.u32(doi);
            out.u32(situation);
            let mut proposals = ChainWriter::new(out, None);
            self.write_proposal(&mut proposals.payload(PayloadType::PROPOSAL));
        })
    }

    fn write_proposal(&self, out: &mut Writer) {
        out.u8(self.number);
        out.u8(PROTO_ISAKMP);
        out.u8(0);
        out.count_u8(self.transforms.len(), "proposal payload");
        let mut chain = ChainWriter::new(out, None);
        for transform in &self.transforms {
            write_transform(&mut chain.payload(PayloadType::TRANSFORM), transform);
        }
    }
}

fn parse_proposal(body: &[u8]) -> Result<(u8, Vec<Phase1Transform>), Error> {
    let mut reader = Reader::new(body, "proposal payload");
    let (number, protocol, spi_size, count) = (reader.u8()?, reader.u8()?, reader.u8()?, reader.u8()?);
    if protocol != PROTO_ISAKMP {
        return Err(Unacceptable::Unsupported("phase 1 protocol", u32::from(protocol)).into());
    }
    if spi_size > 16 {
        return Err(Malformed::Length("proposal payload").into());
    }
    reader.take(usize::from(spi_size))?;
    let chain = Chain::parse_bounded(PayloadType::TRANSFORM, reader.rest(), Padding::None, MAX_TRANSFORMS)?;
    if chain.payloads.len() != usize::from(count) {
        return Err(Malformed::Value("proposal payload").into());
    }
    Ok((number, chain.payloads.iter().map(parse_transform).collect::<Result<_, _>>()?))
}

fn parse_transform(payload: &Payload<'_>) -> Result<Phase1Transform, Error> {
    if payload.kind != PayloadType::TRANSFORM {
        return Err(Malformed::Value("proposal payload").into());
    }
    let mut reader = Reader::new(payload.body, "transform payload");
    let (number, id) = (reader.u8()?, reader.u8()?);
    reader.reserved(2)?;
    let attributes = reader.rest();
    let understood = Attributes::parse(attributes, "transform payload")?;
    let proposal = if id == KEY_IKE { understand(understood)? } else { None };
    Ok(Phase1Transform { number, id, proposal, attributes: attributes.to_vec() })
}

/// A transform that is not ours is no error: the initiator may offer others beside it.
fn understand(mut attributes: Attributes<'_>) -> Result<Option<Proposal>, Error> {
    let cipher = attributes.number(class::ENCRYPTION, "encryption algorithm")?;
    let hash = attributes.number(class::HASH, "hash algorithm")?;
    let authentication = attributes.number(class::AUTHENTICATION, "authentication method")?;
    let group = attributes.number(class::GROUP, "group description")?;
    let key_len = attributes.number(class::KEY_LENGTH, "key length")?;
    let life_type = attributes.number(class::LIFE_TYPE, "life type")?;
    let life = attributes.number(class::LIFE_DURATION, "life duration")?.unwrap_or(28_800);
    let plain = attributes.finish("transform attribute").is_ok();
    let ours = plain
        && cipher == Some(AES_CBC)
        && authentication == Some(PRE_SHARED_KEY)
        && life_type.unwrap_or(SECONDS) == SECONDS;
    let key_len = key_len.filter(|bits| ours && matches!(bits, 128 | 192 | 256));
    let group = group.and_then(|number| DhGroup::from_number(u16::try_from(number).ok()?));
    Ok(hash.and_then(hash_from).zip(group).zip(key_len).map(|((hash, group), bits)| Proposal {
        key_len: bits as usize / 8,
        hash,
        group,
        lifetime: Duration::from_secs(u64::from(life)),
    }))
}

fn hash_from(number: u32) -> Option<Hash> {
    match number {
        4 => Some(Hash::Sha256),
        5 => Some(Hash::Sha384),
        6 => Some(Hash::Sha512),
        _ => None,
    }
}

const fn hash_number(hash: Hash) -> u16 {
    match hash {
        Hash::Sha256 => 4,
        Hash::Sha384 => 5,
        Hash::Sha512 => 6,
    }
}

fn write_transform(out: &mut Writer, transform: &Phase1Transform) {
    out.u8(transform.number);
    out.u8(transform.id);
    out.u16(0);
    out.raw(&transform.attributes);
}

fn attributes_of(proposal: &Proposal) -> Vec<u8> {
    let life = u32::try_from(proposal.lifetime.as_secs()).unwrap_or(u32::MAX).to_be_bytes();
    let attributes = [
        Attribute::basic(class::ENCRYPTION, AES_CBC as u16),
        Attribute::basic(class::KEY_LENGTH, (proposal.key_len * 8) as u16),
        Attribute::basic(class::HASH, hash_number(proposal.hash)),
        Attribute::basic(class::AUTHENTICATION, PRE_SHARED_KEY as u16),
        Attribute::basic(class::GROUP, proposal.group.number()),
        Attribute::basic(class::LIFE_TYPE, SECONDS as u16),
        Attribute::variable(class::LIFE_DURATION, &life),
    ];
    Writer::plain(32, |out| attributes.iter().for_each(|attribute| attribute.write(out))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> Phase1Sa {
        let other = Proposal {
            key_len: 16,
            hash: Hash::Sha512,
            group: DhGroup::Modp2048,
            lifetime: Duration::from_secs(60),
        };
        Phase1Sa::new(Doi::Gdoi, &[Proposal::default(), other])
    }

    #[test]
    fn round_trip() {
        assert_eq!(Phase1Sa::parse(&two().emit().unwrap()), Ok(two()));
        let ipsec = Phase1Sa { doi: Doi::Ipsec, ..two() };
        assert_eq!(Phase1Sa::parse(&ipsec.emit().unwrap()), Ok(ipsec));
    }

    #[test]
    fn transforms_are_never_left_uncounted() {
        let emit = |number| {
            let transform =
                Phase1Transform { number: 1, id: KEY_IKE, proposal: None, attributes: Vec::new() };
            Phase1Sa { transforms: vec![transform; number], ..two() }.emit()
        };
        assert!(emit(255).is_ok());
        assert_eq!(emit(256), Err(Malformed::Length("proposal payload")));
    }

    #[test]
    fn layout() {
        let bytes = Phase1Sa::new(Doi::Ipsec, &[Proposal::default()]).emit().unwrap();
        let expected = [
            &[0, 0, 0, 1, 0, 0, 0, 1][..],
            &[0, 0, 0, 48, 1, 1, 0, 1],
            &[0, 0, 0, 40, 1, 1, 0, 0],
            &[0x80, 1, 0, 7, 0x80, 14, 1, 0, 0x80, 2, 0, 4, 0x80, 3, 0, 1, 0x80, 4, 0, 19],
            &[0x80, 11, 0, 1, 0, 12, 0, 4, 0, 1, 0x51, 0x80],
        ];
        assert_eq!(bytes, expected.concat());
    }

    /// In another order, with the number forms changed round, and without a life.
    #[test]
    fn what_was_offered_is_repeated_octet_by_octet() {
        let offered = [
            &[0x80, 4, 0, 19, 0, 1, 0, 2, 0, 7, 0x80, 2, 0, 4, 0x80, 3, 0, 1, 0x80, 14, 0, 128][..],
            &[
                0x80, 14, 1, 0, 0x80, 1, 0, 7, 0x80, 2, 0, 6, 0x80, 3, 0, 1, 0x80, 4, 0, 14, 0x80, 11, 0, 1,
                0x80, 12, 112, 128,
            ],
        ];
        for attributes in offered {
            let transform = [&[0, 0, 0, attributes.len() as u8 + 8, 9, 1, 0, 0], attributes].concat();
            let proposal = [&[0, 0, 0, transform.len() as u8 + 8, 3, 1, 0, 1], &transform[..]].concat();
            let body = [&[0, 0, 0, 2, 0, 0, 0, 0], &proposal[..]].concat();
            let parsed = Phase1Sa::parse(&body).unwrap();
            assert!(parsed.transforms[0].proposal.is_some());
            assert_eq!(parsed.emit().unwrap(), body);
        }
    }

    #[test]
    fn weak_or_unknown_transforms_are_kept_but_mean_nothing() {
        let mut bytes = Phase1Sa::new(Doi::Gdoi, &[Proposal::default()]).emit().unwrap();
        for (offset, value) in [(27, 5), (31, 1), (35, 2), (39, 3), (43, 2), (47, 2)] {
            let kept = std::mem::replace(&mut bytes[offset], value);
            assert_eq!(Phase1Sa::parse(&bytes).unwrap().transforms[0].proposal, None, "octet {offset}");
            bytes[offset] = kept;
        }
        assert!(Phase1Sa::parse(&bytes).unwrap().transforms[0].proposal.is_some());
    }

    #[test]
    fn rejects() {
        let edit = |offset: usize, value: u8| {
            let mut bytes = two().emit().unwrap();
            bytes[offset] = value;
            Phase1Sa::parse(&bytes).unwrap_err()
        };
        assert_eq!(edit(3, 9), Unacceptable::Unsupported("DOI", 9).into());
        assert_eq!(edit(7, 2), Unacceptable::Unsupported("situation", 2).into());
        assert_eq!(edit(13, 3), Unacceptable::Unsupported("phase 1 protocol", 3).into());
        assert_eq!(edit(14, 17), Malformed::Length("proposal payload").into());
        assert_eq!(edit(15, 3), Malformed::Value("proposal payload").into());
        assert_eq!(edit(16, 2), Malformed::Value("proposal payload").into());
        assert_eq!(edit(22, 1), Malformed::Reserved("transform payload").into());
        assert_eq!(edit(8, 2), Malformed::TooMany("payloads").into());
        assert_eq!(
            Phase1Sa::parse(&two().emit().unwrap()[..8]),
            Err(Malformed::Truncated("payload chain").into())
        );
        assert_eq!(Phase1Sa::parse(&[0; 3]), Err(Malformed::Truncated("SA payload").into()));
    }

    /// A transform that is none of KEY_IKE asks for nothing, whatever its attributes say, and comes out as it came.
    #[test]
    fn transforms_of_other_kinds_stay_what_they_are() {
        let mut octets = Phase1Sa::new(Doi::Gdoi, &[Proposal::default()]).emit().unwrap();
        // Behind DOI, situation, the proposal's head and the transform's generic header and number.
        assert_eq!(octets[8 + 8 + 4 + 1], KEY_IKE);
        octets[8 + 8 + 4 + 1] = 5;
        let parsed = Phase1Sa::parse(&octets).unwrap();
        assert_eq!((parsed.transforms[0].id, parsed.transforms[0].proposal), (5, None));
        assert_eq!(parsed.emit().unwrap(), octets);
    }
}
