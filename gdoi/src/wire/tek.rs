//! The SA TEK payload for ESP (RFC 6407 section 5.5.1).

use super::attribute::{Attribute, Attributes};
use super::codec::{Reader, Writer};
use super::id::IdField;
use crate::error::{Error, Malformed, Misbehaved, Unacceptable};
use crate::policy::SidGeneration;

const PROTO_IPSEC_ESP: u8 = 1;
const SECONDS: u32 = 1;

mod class {
    pub const LIFE_TYPE: u16 = 1;
    pub const LIFE_DURATION: u16 = 2;
    pub const GROUP_DESCRIPTION: u16 = 3;
    pub const ENCAPSULATION_MODE: u16 = 4;
    pub const AUTHENTICATION_ALGORITHM: u16 = 5;
    pub const KEY_LENGTH: u16 = 6;
    pub const ADDRESS_PRESERVATION: u16 = 14;
    pub const SA_DIRECTION: u16 = 15;
    /// Private use, between our own implementations only.
    pub const SID_BITS: u16 = 32_001;
    pub const SID_GENERATION: u16 = 32_002;
    pub const REPLAY_WINDOW: u16 = 32_003;
}

/// The body of a SAT payload. Numbers are as in the IANA registries.
///
/// ```text
/// | protocol-ID = ESP | IP protocol | source ID field | destination ID field |
/// | transform ID |              SPI (4)             | RFC 2407 attributes
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SaTek {
    /// IP protocol of the traffic, 0 is any.
    pub protocol: u8,
    /// Source of the traffic.
    pub source: IdField,
    /// Destination of the traffic.
    pub destination: IdField,
    /// ESP transform: 12 is AES-CBC, 20 AES-GCM with an ICV of 16 octets, 249 (private use) ChaCha20-Poly1305.
    pub transform: u8,
    /// The SPI.
    pub spi: u32,
    /// SA life duration in seconds.
    pub lifetime: u32,
    /// Encapsulation mode: 1 is tunnel.
    pub mode: u16,
    /// Authentication algorithm: 5, 6, 7 are HMAC-SHA-256, -384, -512; 0 is none.
    pub authentication: u16,
    /// Key length in bits; 0 is not said.
    pub key_bits: u16,
    /// Address preservation (section 5.5.1.1.1): 4 is source and destination, also where it is not said.
    pub preservation: u16,
    /// SA direction (section 5.5.1.1.2): 3 is symmetric, also where it is not said.
    pub direction: u16,
    /// What our own implementations say of a TEK under which every sender has its own key.
    pub senders: Option<SenderFields>,
}

/// The private attributes of a SAT payload: all or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderFields {
    /// How many of the SPI's low bits are the sender's.
    pub bits: u16,
    /// The generation of sender IDs that goes with the TEK.
    pub generation: SidGeneration,
    /// The anti-replay window, packets; 0 is none.
    pub replay_window: u16,
}

impl SaTek {
    /// Reads a body.
    ///
    /// # Errors
    /// [`crate::error::Malformed`], another protocol than ESP, a missing life or mode, or an attribute that is not
    /// understood (section 5.3.2).
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(body, "SAT payload");
        match reader.u8()? {
            PROTO_IPSEC_ESP => {}
            other => return Err(Unacceptable::Unsupported("TEK protocol", u32::from(other)).into()),
        }
        let protocol = reader.u8()?;
        let (source, destination) = (IdField::parse(&mut reader)?, IdField::parse(&mut reader)?);
        let (transform, spi) = (reader.u8()?, reader.u32()?);
        let mut attributes = Attributes::parse(reader.rest(), "SAT payload")?;
        if attributes.required(class::LIFE_TYPE, "SA life type")? != SECONDS {
            return Err(Unacceptable::Unsupported("SA life type", 2).into());
        }
        // "MUST NOT be sent ... and is ignored ... if received".
        attributes.number(class::GROUP_DESCRIPTION, "group description")?;
        let sat = SaTek {
            protocol,
            source,
            destination,
            transform,
            spi,
            lifetime: attributes.required(class::LIFE_DURATION, "SA life duration")?,
            mode: short(attributes.required(class::ENCAPSULATION_MODE, "encapsulation mode")?),
            authentication: short(
                attributes.number(class::AUTHENTICATION_ALGORITHM, "authentication algorithm")?.unwrap_or(0),
            ),
            key_bits: short(attributes.number(class::KEY_LENGTH, "key length")?.unwrap_or(0)),
            preservation: short(
                attributes.number(class::ADDRESS_PRESERVATION, "address preservation")?.unwrap_or(4),
            ),
            direction: short(attributes.number(class::SA_DIRECTION, "SA direction")?.unwrap_or(3)),
            senders: SenderFields::parse(&mut attributes)?,
        };
        attributes.finish("TEK attribute")?;
        Ok(sat)
    }

    /// The body alone.
    ///
    /// # Errors
    /// As [`Writer::finish`]: a source or destination that is too long.
    pub fn emit(&self) -> Result<Vec<u8>, Malformed> {
        Writer::plain(128, |out| self.write(out))
    }

    /// Writes a body.
    pub(super) fn write(&self, out: &mut Writer) {
        out.u8(PROTO_IPSEC_ESP);
        out.u8(self.protocol);
        self.source.write(out);
        self.destination.write(out);
        out.u8(self.transform);
        out.u32(self.spi);
        let lifetime = self.lifetime.to_be_bytes();
        for attribute in [
            Attribute::basic(class::LIFE_TYPE, SECONDS as u16),
            Attribute::variable(class::LIFE_DURATION, &lifetime),
            Attribute::basic(class::ENCAPSULATION_MODE, self.mode),
        ] {
            attribute.write(out);
        }
        // A cipher of one key length has no attribute for it (RFC 2407 section 4.5), one with integrity none for that.
        for (kind, value) in
            [(class::AUTHENTICATION_ALGORITHM, self.authentication), (class::KEY_LENGTH, self.key_bits)]
        {
            if value != 0 {
                Attribute::basic(kind, value).write(out);
            }
        }
        Attribute::basic(class::ADDRESS_PRESERVATION, self.preservation).write(out);
        Attribute::basic(class::SA_DIRECTION, self.direction).write(out);
        self.senders.iter().for_each(|senders| senders.write(out));
    }
}

impl SenderFields {
    fn parse(attributes: &mut Attributes<'_>) -> Result<Option<Self>, Error> {
        let bits = attributes.number(class::SID_BITS, "SID bits")?;
        let generation = attributes.optional_octets(class::SID_GENERATION, "SID generation")?;
        let replay_window = attributes.number(class::REPLAY_WINDOW, "replay window")?;
        let (bits, generation, replay_window) = match (bits, generation, replay_window) {
            (None, None, None) => return Ok(None),
            (Some(bits), Some(generation), Some(window)) => (short(bits), generation, short(window)),
            (None, ..) => return Err(Misbehaved::MissingAttribute("SID bits").into()),
            (_, None, _) => return Err(Misbehaved::MissingAttribute("SID generation").into()),
            (.., None) => return Err(Misbehaved::MissingAttribute("replay window").into()),
        };
        let generation = SidGeneration::from_octets(generation).ok_or(Malformed::Length("SID generation"))?;
        Ok(Some(SenderFields { bits, generation, replay_window }))
    }

    fn write(&self, out: &mut Writer) {
        Attribute::basic(class::SID_BITS, self.bits).write(out);
        Attribute::variable(class::SID_GENERATION, &self.generation.octets()).write(out);
        Attribute::basic(class::REPLAY_WINDOW, self.replay_window).write(out);
    }
}

/// Values over 16 bits stand for no algorithm; they become one that none of the tables has.
fn short(number: u32) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Malformed, Misbehaved};
    use crate::wire::attribute::emitted;
    use crate::wire::fixture::sat;

    fn per_sender() -> SaTek {
        let generation = SidGeneration { lineage: [7; 8], number: 1 };
        let senders = SenderFields { bits: 20, generation, replay_window: 1024 };
        SaTek { transform: 20, spi: 0x8480_0000, authentication: 0, senders: Some(senders), ..sat() }
    }

    #[test]
    fn round_trip() {
        assert_eq!(SaTek::parse(&sat().emit().unwrap()), Ok(sat()));
        assert_eq!(sat().emit().unwrap().len() + 4, 67, "an ACE costs 67 octets");
        assert_eq!(SaTek::parse(&per_sender().emit().unwrap()), Ok(per_sender()));
        let bare = SaTek { transform: 249, key_bits: 0, ..per_sender() };
        assert_eq!(SaTek::parse(&bare.emit().unwrap()), Ok(bare));
    }

    #[test]
    fn preservation_and_direction_have_defaults_and_the_group_is_ignored() {
        let bytes = sat().emit().unwrap();
        let mut short = bytes[..bytes.len() - 8].to_vec();
        short.extend(emitted(&[Attribute::basic(class::GROUP_DESCRIPTION, 14)]));
        assert_eq!(SaTek::parse(&short), Ok(sat()));
    }

    #[test]
    fn rejects() {
        let bytes = sat().emit().unwrap();
        let edit = |offset: usize, value: u8| {
            let mut bytes = bytes.clone();
            bytes[offset] = value;
            SaTek::parse(&bytes).unwrap_err()
        };
        assert_eq!(edit(0, 2), Unacceptable::Unsupported("TEK protocol", 2).into());
        assert_eq!(edit(34, 2), Unacceptable::Unsupported("SA life type", 2).into());
        assert_eq!(edit(32, 9), Misbehaved::MissingAttribute("SA life type").into());
        assert_eq!(edit(5, 200), Malformed::Truncated("SAT payload").into());
        assert_eq!(SaTek::parse(&bytes[..20]), Err(Malformed::Truncated("SAT payload").into()));
        let mut unknown = bytes.clone();
        unknown.extend(emitted(&[Attribute::basic(99, 1)]));
        assert_eq!(SaTek::parse(&unknown), Err(Unacceptable::Unsupported("TEK attribute", 99).into()));
    }

    #[test]
    fn private_attributes_come_together() {
        let bits = Attribute::basic(class::SID_BITS, 20);
        let generation = Attribute::variable(class::SID_GENERATION, &[1; 12]);
        let window = Attribute::basic(class::REPLAY_WINDOW, 64);
        let with = |attributes: &[Attribute<'_>]| {
            let mut bytes = sat().emit().unwrap();
            bytes.extend(emitted(attributes));
            SaTek::parse(&bytes)
        };
        assert!(with(&[bits, generation, window]).unwrap().senders.is_some());
        let missing = |name| Err(Misbehaved::MissingAttribute(name).into());
        assert_eq!(with(&[generation, window]), missing("SID bits"));
        assert_eq!(with(&[bits, window]), missing("SID generation"));
        assert_eq!(with(&[bits, generation]), missing("replay window"));
        let long = Attribute::variable(class::SID_GENERATION, &[1; 13]);
        assert_eq!(with(&[bits, long, window]), Err(Malformed::Length("SID generation").into()));
        assert_eq!(
            with(&[bits, bits, generation, window]),
            Err(Misbehaved::DuplicateAttribute("SID bits").into())
        );
    }
}
