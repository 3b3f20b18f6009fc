//! The key download payload (RFC 6407 section 5.6).

mod key_packet;

pub use key_packet::KeyPacket;

use super::codec::{Reader, Writer};
use crate::error::{Error, Malformed};
use zeroize::Zeroizing;

/// The body of a KD payload: as many key packets as a message has room for.
///
/// ```text
/// | number of key packets (2)     |          RESERVED2            | key packets
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Kd(pub Vec<KeyPacket>);

impl Kd {
    /// Reads a body.
    ///
    /// # Errors
    /// [`Malformed`], a count that does not fit, a key packet type or attribute that is not understood.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(body, "KD payload");
        let count = usize::from(reader.u16()?);
        reader.reserved(2)?;
        let packets = (0..count).map(|_| KeyPacket::parse(&mut reader)).collect::<Result<_, _>>()?;
        reader.finish()?;
        Ok(Kd(packets))
    }

    /// The body alone; zeroed on drop.
    ///
    /// # Errors
    /// As [`Writer::finish`]: a key packet that is too long.
    pub fn emit(&self) -> Result<Zeroizing<Vec<u8>>, Malformed> {
        Writer::secret(2048, |out| {
            out.count_u16(self.0.len(), "KD payload");
            out.u16(0);
            self.0.iter().for_each(|packet| packet.write(out));
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Secret;
    use crate::policy::{Seed, SidGeneration};

    fn example() -> Kd {
        Kd(vec![
            KeyPacket::Kek { spi: [5; 16], key: Secret::new(vec![1; 48]), verification_key: vec![2; 294] },
            KeyPacket::Tek {
                spi: 0x8480_0001,
                encryption: Secret::new(vec![3; 32]),
                integrity: Secret::new(vec![4; 32]),
            },
            KeyPacket::Seed { spi: 0x8480_0000, seed: Seed::new(Secret::new(vec![6; 32])).unwrap() },
            KeyPacket::Sid { bits: 16, values: vec![7, 8], generation: None },
            KeyPacket::Sid {
                bits: 20,
                values: (0..64).collect(),
                generation: Some(SidGeneration { lineage: [1; 8], number: 2 }),
            },
        ])
    }

    #[test]
    fn round_trip() {
        assert_eq!(Kd::parse(&example().emit().unwrap()), Ok(example()));
    }

    #[test]
    fn there_may_be_as_many_as_a_message_has_room_for() {
        let packet = |spi| KeyPacket::Tek {
            spi,
            encryption: Secret::new(vec![3; 16]),
            integrity: Secret::new(vec![4; 32]),
        };
        let many = Kd((1..=900).map(packet).collect());
        assert_eq!(Kd::parse(&many.emit().unwrap()), Ok(many));
    }

    #[test]
    fn layout() {
        let tek = Kd(vec![KeyPacket::Tek {
            spi: 1,
            encryption: Secret::new(vec![9]),
            integrity: Secret::new(vec![8]),
        }]);
        let expected = [0, 1, 0, 0, 1, 0, 0, 19, 4, 0, 0, 0, 1, 0, 1, 0, 1, 9, 0, 2, 0, 1, 8];
        assert_eq!(*tek.emit().unwrap(), expected);
    }

    #[test]
    fn rejects() {
        let parse = |body: &[u8]| Kd::parse(body).unwrap_err();
        assert_eq!(parse(&[0xff, 0xff, 0, 0]), Malformed::Truncated("KD payload").into());
        assert_eq!(parse(&[0, 0, 0, 1]), Malformed::Reserved("KD payload").into());
        assert_eq!(parse(&[0, 0, 0, 0, 0]), Malformed::TrailingBytes("KD payload").into());
        assert_eq!(parse(&[0, 1, 0, 0]), Malformed::Truncated("KD payload").into());
        assert_eq!(parse(&[0, 1, 0, 0, 1, 0, 0, 3]), Malformed::Length("key packet").into());
        assert_eq!(parse(&[0, 1, 0, 0, 1, 0, 255, 255, 0]), Malformed::Truncated("KD payload").into());
        assert_eq!(parse(&[0, 1, 0, 0, 1, 0, 0, 5, 4]), Malformed::Truncated("key packet").into());
    }
}
