//! One key packet of a key download payload (RFC 6407 sections 5.6.1 to 5.6.4).

use crate::crypto::Secret;
use crate::error::{Error, Malformed, Misbehaved, Unacceptable};
use crate::policy::{Seed, SidGeneration, MAX_SIDS};
use crate::wire::attribute::{Attribute, Attributes};
use crate::wire::codec::{Reader, Writer};

const MAX_KEY_LEN: usize = 1024;

mod kd_type {
    pub const TEK: u8 = 1;
    pub const KEK: u8 = 2;
    pub const SID: u8 = 4;
}

mod class {
    pub const TEK_ALGORITHM_KEY: u16 = 1;
    pub const TEK_INTEGRITY_KEY: u16 = 2;
    /// Private use, between our own implementations only.
    pub const TEK_SEED: u16 = 128;
    pub const KEK_ALGORITHM_KEY: u16 = 1;
    pub const SIG_ALGORITHM_KEY: u16 = 2;
    pub const NUMBER_OF_SID_BITS: u16 = 1;
    pub const SID_VALUE: u16 = 2;
    /// Private use, between our own implementations only.
    pub const SID_GENERATION: u16 = 129;
}

/// One key packet.
///
/// ```text
/// |    KD type    |   RESERVED    |          KD length (2)        |
/// |    SPI size   |   SPI (SPI size)   | attributes
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum KeyPacket {
    /// Keys for one SPI (section 5.6.1).
    Tek {
        /// The SPI of the SATs that it belongs to.
        spi: u32,
        /// TEK_ALGORITHM_KEY.
        encryption: Secret,
        /// TEK_INTEGRITY_KEY.
        integrity: Secret,
    },
    /// What the keys of all senders in a block of SPIs are derived from: a TEK packet with a private attribute.
    Seed {
        /// The first SPI of the block.
        spi: u32,
        /// TEK_SEED.
        seed: Seed,
    },
    /// Keys for the rekey SA (section 5.6.2).
    Kek {
        /// The SPI of the SAK.
        spi: [u8; 16],
        /// KEK_ALGORITHM_KEY: the IV (16 octets) and the key.
        key: Secret,
        /// SIG_ALGORITHM_KEY: the public key.
        verification_key: Vec<u8>,
    },
    /// Sender IDs for this member (section 5.6.4).
    Sid {
        /// NUMBER_OF_SID_BITS.
        bits: u16,
        /// SID_VALUEs, 1 to 64.
        values: Vec<u32>,
        /// For which TEKs they are; between our own implementations only.
        generation: Option<SidGeneration>,
    },
}

impl KeyPacket {
    pub(super) fn parse(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let kind = reader.u8()?;
        reader.reserved(1)?;
        let length = usize::from(reader.u16()?).checked_sub(4).ok_or(Malformed::Length("key packet"))?;
        let mut packet = Reader::new(reader.take(length)?, "key packet");
        let spi_len = usize::from(packet.u8()?);
        let spi = packet.take(spi_len)?;
        let attributes = Attributes::parse(packet.rest(), "key packet")?;
        match kind {
            kd_type::TEK => KeyPacket::parse_tek(spi, attributes),
            kd_type::KEK => KeyPacket::parse_kek(spi, attributes),
            kd_type::SID => KeyPacket::parse_sid(spi, attributes),
            other => Err(Unacceptable::Unsupported("key packet type", u32::from(other)).into()),
        }
    }

    fn parse_tek(spi: &[u8], mut attributes: Attributes<'_>) -> Result<Self, Error> {
        let spi = u32::from_be_bytes(spi.try_into().map_err(|_| Malformed::Length("TEK SPI"))?);
        if let Some(seed) = attributes.optional_octets(class::TEK_SEED, "TEK_SEED")? {
            attributes.finish("TEK key attribute beside a seed")?;
            let seed = Seed::new(Secret::from(seed)).ok_or(Malformed::Length("TEK_SEED"))?;
            return Ok(KeyPacket::Seed { spi, seed });
        }
        let encryption = key(attributes.octets(class::TEK_ALGORITHM_KEY, "TEK_ALGORITHM_KEY")?)?;
        let integrity = key(attributes.octets(class::TEK_INTEGRITY_KEY, "TEK_INTEGRITY_KEY")?)?;
        attributes.finish("TEK key attribute")?;
        Ok(KeyPacket::Tek { spi, encryption, integrity })
    }

    fn parse_kek(spi: &[u8], mut attributes: Attributes<'_>) -> Result<Self, Error> {
        let spi = <[u8; 16]>::try_from(spi).map_err(|_| Malformed::Length("KEK SPI"))?;
        let key = key(attributes.octets(class::KEK_ALGORITHM_KEY, "KEK_ALGORITHM_KEY")?)?;
        let verification_key = attributes.octets(class::SIG_ALGORITHM_KEY, "SIG_ALGORITHM_KEY")?;
        if verification_key.len() > MAX_KEY_LEN {
            return Err(Malformed::Length("SIG_ALGORITHM_KEY").into());
        }
        attributes.finish("KEK key attribute")?;
        Ok(KeyPacket::Kek { spi, key, verification_key: verification_key.to_vec() })
    }

    fn parse_sid(spi: &[u8], attributes: Attributes<'_>) -> Result<Self, Error> {
        if !spi.is_empty() {
            return Err(Malformed::Length("SID SPI").into());
        }
        let (mut values, mut bits, mut generation) = (Vec::new(), None, None);
        for attribute in attributes.as_slice() {
            let mut one = Attributes::single(*attribute);
            match attribute.kind {
                class::SID_VALUE => values.push(one.required(class::SID_VALUE, "SID_VALUE")?),
                class::NUMBER_OF_SID_BITS if bits.is_none() => {
                    bits = Some(one.required(class::NUMBER_OF_SID_BITS, "NUMBER_OF_SID_BITS")?);
                }
                class::NUMBER_OF_SID_BITS => {
                    return Err(Misbehaved::DuplicateAttribute("NUMBER_OF_SID_BITS").into())
                }
                class::SID_GENERATION if generation.is_none() => {
                    let octets = one.octets(class::SID_GENERATION, "SID generation")?;
                    let read = SidGeneration::from_octets(octets);
                    generation = Some(read.ok_or(Malformed::Length("SID generation"))?);
                }
                class::SID_GENERATION => return Err(Misbehaved::DuplicateAttribute("SID generation").into()),
                other => return Err(Unacceptable::Unsupported("SID attribute", u32::from(other)).into()),
            }
        }
        let bits = bits.ok_or(Misbehaved::MissingAttribute("NUMBER_OF_SID_BITS"))?;
        match (u16::try_from(bits), values.len()) {
            (_, 0) => Err(Misbehaved::MissingAttribute("SID_VALUE").into()),
            (Ok(bits), count) if count <= usize::from(MAX_SIDS) => {
                Ok(KeyPacket::Sid { bits, values, generation })
            }
            _ => Err(Malformed::Value("key packet").into()),
        }
    }

    pub(super) fn write(&self, out: &mut Writer) {
        match self {
            KeyPacket::Tek { spi, encryption, integrity } => write_packet(
                out,
                kd_type::TEK,
                &spi.to_be_bytes(),
                &[
                    Attribute::variable(class::TEK_ALGORITHM_KEY, encryption.expose()),
                    Attribute::variable(class::TEK_INTEGRITY_KEY, integrity.expose()),
                ],
            ),
            KeyPacket::Seed { spi, seed } => write_packet(
                out,
                kd_type::TEK,
                &spi.to_be_bytes(),
                &[Attribute::variable(class::TEK_SEED, seed.secret().expose())],
            ),
            KeyPacket::Kek { spi, key, verification_key } => write_packet(
                out,
                kd_type::KEK,
                spi,
                &[
                    Attribute::variable(class::KEK_ALGORITHM_KEY, key.expose()),
                    Attribute::variable(class::SIG_ALGORITHM_KEY, verification_key),
                ],
            ),
            KeyPacket::Sid { bits, values, generation } => {
                let generation = generation.map(|generation| generation.octets());
                let generation =
                    generation.iter().map(|octets| Attribute::variable(class::SID_GENERATION, octets));
                let octets: Vec<_> = values.iter().map(|value| value.to_be_bytes()).collect();
                let sids = octets.iter().map(|value| Attribute::variable(class::SID_VALUE, value));
                let bits = Attribute::basic(class::NUMBER_OF_SID_BITS, *bits);
                let all: Vec<_> = std::iter::once(bits).chain(sids).chain(generation).collect();
                write_packet(out, kd_type::SID, &[], &all);
            }
        }
    }
}

fn key(octets: &[u8]) -> Result<Secret, Malformed> {
    match octets.len() {
        1..=MAX_KEY_LEN => Ok(Secret::from(octets)),
        _ => Err(Malformed::Length("key packet")),
    }
}

fn write_packet(out: &mut Writer, kind: u8, spi: &[u8], attributes: &[Attribute<'_>]) {
    let start = out.position();
    out.u8(kind);
    out.u8(0);
    let mut packet = out.length_u16_from(start, "key packet");
    packet.length_u8("SPI").raw(spi);
    attributes.iter().for_each(|attribute| attribute.write(&mut packet));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Kd;

    fn packet(kind: u8, spi: &[u8], attributes: &[Attribute<'_>]) -> Error {
        let body = Writer::secret(0, |out| {
            out.raw(&[0, 1, 0, 0]);
            write_packet(out, kind, spi, attributes);
        });
        Kd::parse(&body.unwrap()).unwrap_err()
    }

    #[test]
    fn key_packets_that_do_not_fit_are_rejected() {
        let key = Attribute::variable(1, &[1; 16]);
        assert_eq!(packet(3, &[], &[]), Unacceptable::Unsupported("key packet type", 3).into());
        assert_eq!(packet(1, &[0; 3], &[]), Malformed::Length("TEK SPI").into());
        assert_eq!(packet(2, &[0; 4], &[]), Malformed::Length("KEK SPI").into());
        assert_eq!(packet(4, &[0; 4], &[]), Malformed::Length("SID SPI").into());
        assert_eq!(packet(1, &[0; 4], &[key]), Misbehaved::MissingAttribute("TEK_INTEGRITY_KEY").into());
        assert_eq!(
            packet(1, &[0; 4], &[key, key]),
            Misbehaved::DuplicateAttribute("TEK_ALGORITHM_KEY").into()
        );
        let long = Attribute::variable(1, &[1; 1025]);
        assert_eq!(packet(1, &[0; 4], &[long]), Malformed::Length("key packet").into());
        assert_eq!(
            packet(1, &[0; 4], &[Attribute::variable(1, &[])]),
            Malformed::Length("key packet").into()
        );
        let public = Attribute::variable(2, &[1; 1025]);
        assert_eq!(packet(2, &[0; 16], &[key, public]), Malformed::Length("SIG_ALGORITHM_KEY").into());
        let other = Attribute::basic(3, 1);
        let integrity = Attribute::variable(2, &[1; 32]);
        assert_eq!(
            packet(1, &[0; 4], &[key, integrity, other]),
            Unacceptable::Unsupported("TEK key attribute", 3).into()
        );
        assert_eq!(
            packet(2, &[0; 16], &[key, integrity, other]),
            Unacceptable::Unsupported("KEK key attribute", 3).into()
        );
    }

    /// Its attributes fit each into its own length, and not together into that of the packet.
    #[test]
    fn packets_are_never_cut() {
        let packet = |length| KeyPacket::Tek {
            spi: 1,
            encryption: Secret::new(vec![1; length]),
            integrity: Secret::new(vec![2; 16]),
        };
        let most = 65_535 - 4 - 5 - 4 - 4 - 16;
        assert_eq!(Kd(vec![packet(most)]).emit().unwrap().len(), 4 + 65_535);
        assert_eq!(Kd(vec![packet(most + 1)]).emit(), Err(Malformed::Length("key packet")));
        let spi = Writer::plain(0, |out| write_packet(out, kd_type::TEK, &[0; 256], &[]));
        assert_eq!(spi, Err(Malformed::Length("SPI")));
    }

    #[test]
    fn sid_packets_that_do_not_fit_are_rejected() {
        let (bits, value) = (Attribute::basic(1, 8), Attribute::variable(2, &[1]));
        assert_eq!(packet(4, &[], &[value]), Misbehaved::MissingAttribute("NUMBER_OF_SID_BITS").into());
        assert_eq!(packet(4, &[], &[bits]), Misbehaved::MissingAttribute("SID_VALUE").into());
        assert_eq!(
            packet(4, &[], &[bits, bits]),
            Misbehaved::DuplicateAttribute("NUMBER_OF_SID_BITS").into()
        );
        assert_eq!(
            packet(4, &[], &[Attribute::basic(9, 8)]),
            Unacceptable::Unsupported("SID attribute", 9).into()
        );
        let many: Vec<_> = std::iter::once(bits).chain(std::iter::repeat_n(value, 65)).collect();
        assert_eq!(packet(4, &[], &many), Malformed::Value("key packet").into());
        let generation = Attribute::variable(129, &[1; 12]);
        let twice = Misbehaved::DuplicateAttribute("SID generation");
        assert_eq!(packet(4, &[], &[bits, value, generation, generation]), twice.into());
        let short = Attribute::variable(129, &[1; 11]);
        assert_eq!(packet(4, &[], &[bits, value, short]), Malformed::Length("SID generation").into());
    }

    #[test]
    fn seeds_that_do_not_fit_are_rejected() {
        let seed = |length| Attribute::variable(128, &[1; 64][..length]);
        assert_eq!(packet(1, &[0; 4], &[seed(31)]), Malformed::Length("TEK_SEED").into());
        assert_eq!(packet(1, &[0; 4], &[seed(33)]), Malformed::Length("TEK_SEED").into());
        assert_eq!(packet(1, &[0; 4], &[seed(0)]), Malformed::Length("TEK_SEED").into());
        assert_eq!(packet(1, &[0; 4], &[seed(32); 2]), Misbehaved::DuplicateAttribute("TEK_SEED").into());
        let key = Attribute::variable(1, &[1; 16]);
        let beside = Unacceptable::Unsupported("TEK key attribute beside a seed", 1);
        assert_eq!(packet(1, &[0; 4], &[key, seed(32)]), beside.into());
    }
}
