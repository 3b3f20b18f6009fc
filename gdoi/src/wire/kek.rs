//! The SA KEK payload (RFC 6407 section 5.3).

use super::attribute::{Attribute, Attributes};
use super::codec::{Reader, Writer};
use super::id::IdField;
use crate::error::{Error, Malformed};

mod class {
    pub const MANAGEMENT_ALGORITHM: u16 = 1;
    pub const ALGORITHM: u16 = 2;
    pub const KEY_LENGTH: u16 = 3;
    pub const KEY_LIFETIME: u16 = 4;
    pub const SIG_HASH_ALGORITHM: u16 = 5;
    pub const SIG_ALGORITHM: u16 = 6;
    pub const SIG_KEY_LENGTH: u16 = 7;
    pub const KEK_ACK_REQUESTED: u16 = 9;
}

/// The body of a SAK payload. Numbers are as in the IANA registry; 0 where an optional one is absent.
///
/// ```text
/// |   protocol    |  source ID field  |  destination ID field  |
/// |                           SPI (16)                          |
/// |                        RESERVED2 (4)                        | attributes
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SaKek {
    /// IP protocol of the rekey datagrams, 17.
    pub protocol: u8,
    /// Where rekey messages come from.
    pub source: IdField,
    /// Where they go to.
    pub destination: IdField,
    /// The cookie pair of the rekey messages, 16 octets.
    pub spi: [u8; 16],
    /// KEK_ALGORITHM: 3 is AES-CBC.
    pub algorithm: u16,
    /// KEK_KEY_LENGTH in bits.
    pub key_bits: u16,
    /// KEK_KEY_LIFETIME in seconds.
    pub lifetime: u32,
    /// SIG_HASH_ALGORITHM: 3, 4, 5 are SHA-256, SHA-384, SHA-512.
    pub signature_hash: u16,
    /// SIG_ALGORITHM: 1 is RSA, 4 and 5 are ECDSA-256 and ECDSA-384.
    pub signature_algorithm: u16,
    /// SIG_KEY_LENGTH in bits.
    pub signature_bits: u16,
    /// KEK_ACK_REQUESTED (RFC 8263 section 2): 1 and 3 are REKEY_ACK_KEK_SHA256 and _SHA512.
    pub ack_requested: u16,
}

impl SaKek {
    /// Reads a body.
    ///
    /// # Errors
    /// [`Malformed`], a missing algorithm, or an attribute that is not understood (section 5.3.2).
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(body, "SAK payload");
        let protocol = reader.u8()?;
        let (source, destination) = (IdField::parse(&mut reader)?, IdField::parse(&mut reader)?);
        let spi = reader.array()?;
        reader.reserved(4)?;
        let mut attributes = Attributes::parse(reader.rest(), "SAK payload")?;
        // "MUST be ignored if present" in a GROUPKEY-PULL.
        attributes.number(class::MANAGEMENT_ALGORITHM, "KEK_MANAGEMENT_ALGORITHM")?;
        let sak = SaKek {
            protocol,
            source,
            destination,
            spi,
            algorithm: short(attributes.required(class::ALGORITHM, "KEK_ALGORITHM")?)?,
            key_bits: short(attributes.number(class::KEY_LENGTH, "KEK_KEY_LENGTH")?.unwrap_or(0))?,
            lifetime: attributes.number(class::KEY_LIFETIME, "KEK_KEY_LIFETIME")?.unwrap_or(0),
            signature_hash: short(
                attributes.number(class::SIG_HASH_ALGORITHM, "SIG_HASH_ALGORITHM")?.unwrap_or(0),
            )?,
            signature_algorithm: short(attributes.required(class::SIG_ALGORITHM, "SIG_ALGORITHM")?)?,
            signature_bits: short(attributes.number(class::SIG_KEY_LENGTH, "SIG_KEY_LENGTH")?.unwrap_or(0))?,
            ack_requested: short(
                attributes.number(class::KEK_ACK_REQUESTED, "KEK_ACK_REQUESTED")?.unwrap_or(0),
            )?,
        };
        attributes.finish("KEK attribute")?;
        Ok(sak)
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
        out.u8(self.protocol);
        self.source.write(out);
        self.destination.write(out);
        out.raw(&self.spi);
        out.u32(0);
        let lifetime = self.lifetime.to_be_bytes();
        let optional = [
            (self.key_bits != 0).then(|| Attribute::basic(class::KEY_LENGTH, self.key_bits)),
            (self.lifetime != 0).then(|| Attribute::variable(class::KEY_LIFETIME, &lifetime)),
            (self.signature_hash != 0)
                .then(|| Attribute::basic(class::SIG_HASH_ALGORITHM, self.signature_hash)),
        ];
        Attribute::basic(class::ALGORITHM, self.algorithm).write(out);
        optional.iter().flatten().for_each(|attribute| attribute.write(out));
        Attribute::basic(class::SIG_ALGORITHM, self.signature_algorithm).write(out);
        for (kind, value) in
            [(class::SIG_KEY_LENGTH, self.signature_bits), (class::KEK_ACK_REQUESTED, self.ack_requested)]
        {
            if value != 0 {
                Attribute::basic(kind, value).write(out);
            }
        }
    }
}

fn short(number: u32) -> Result<u16, Malformed> {
    u16::try_from(number).map_err(|_| Malformed::Value("SAK payload"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Misbehaved, Unacceptable};
    use crate::wire::attribute::emitted;
    use crate::wire::fixture::sak;

    fn example() -> SaKek {
        SaKek { ack_requested: 1, ..sak() }
    }

    #[test]
    fn round_trip() {
        assert_eq!(SaKek::parse(&example().emit().unwrap()), Ok(example()));
        let bare = SaKek {
            key_bits: 0,
            lifetime: 0,
            signature_hash: 0,
            signature_bits: 0,
            ack_requested: 0,
            ..example()
        };
        assert_eq!(SaKek::parse(&bare.emit().unwrap()), Ok(bare));
    }

    #[test]
    fn the_management_algorithm_is_ignored() {
        let mut bytes = example().emit().unwrap();
        bytes.extend(emitted(&[Attribute::basic(class::MANAGEMENT_ALGORITHM, 1)]));
        assert_eq!(SaKek::parse(&bytes), Ok(example()));
    }

    #[test]
    fn rejects() {
        let bytes = example().emit().unwrap();
        assert_eq!(SaKek::parse(&bytes[..30]), Err(Malformed::Truncated("SAK payload").into()));
        let fixed = 1 + 8 + 8 + 16 + 4;
        assert_eq!(SaKek::parse(&bytes[..fixed]), Err(Misbehaved::MissingAttribute("KEK_ALGORITHM").into()));
        assert_eq!(
            SaKek::parse(&bytes[..fixed + 4]),
            Err(Misbehaved::MissingAttribute("SIG_ALGORITHM").into())
        );
        let with = |attribute: Attribute<'_>| {
            let mut bytes = bytes.clone();
            bytes.extend(emitted(&[attribute]));
            SaKek::parse(&bytes).unwrap_err()
        };
        assert_eq!(with(Attribute::basic(10, 1)), Unacceptable::Unsupported("KEK attribute", 10).into());
        assert_eq!(with(Attribute::basic(2, 3)), Misbehaved::DuplicateAttribute("KEK_ALGORITHM").into());
        let mut reserved = bytes.clone();
        reserved[fixed - 1] = 1;
        assert_eq!(SaKek::parse(&reserved), Err(Malformed::Reserved("SAK payload").into()));
        let mut large = bytes[..fixed].to_vec();
        large.extend(emitted(&[Attribute::variable(class::ALGORITHM, &[1, 0, 0])]));
        assert_eq!(SaKek::parse(&large), Err(Malformed::Value("SAK payload").into()));
    }
}
