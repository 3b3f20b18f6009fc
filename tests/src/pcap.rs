//! The files that tcpdump writes when it captures on all interfaces, read while they grow.

use crate::packet::Packet;

const FILE_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;
/// Microseconds, this machine's byte order.
const MAGIC: u32 = 0xa1b2_c3d4;
/// LINKTYPE_LINUX_SLL2: what a capture on all interfaces has instead of a link's own header.
const COOKED: u32 = 276;
const COOKED_HEADER: usize = 20;
const OUTGOING: u8 = 4;
const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;

/// Makes packets of octets that come in pieces.
#[derive(Debug, Default)]
pub struct Reader {
    begun: bool,
    /// The beginning of what is not complete yet.
    rest: Vec<u8>,
}

impl Reader {
    /// The IP packets that are complete with these octets.
    pub fn packets(&mut self, octets: &[u8]) -> Result<Vec<Packet>, String> {
        self.rest.extend_from_slice(octets);
        if !self.begun && self.rest.len() >= FILE_HEADER {
            check(&self.rest)?;
            self.rest.drain(..FILE_HEADER);
            self.begun = true;
        }
        let mut packets = Vec::new();
        let mut used = 0;
        while let Some((record, length)) = self.begun.then(|| Record::split(&self.rest[used..])).flatten() {
            packets.extend(record.packet());
            used += length;
        }
        self.rest.drain(..used);
        Ok(packets)
    }
}

fn check(header: &[u8]) -> Result<(), String> {
    match (little_u32(header, 0), little_u32(header, 20)) {
        (Some(MAGIC), Some(COOKED)) => Ok(()),
        _ => Err("no capture on all interfaces".into()),
    }
}

struct Record<'a> {
    time: u64,
    octets: &'a [u8],
}

impl<'a> Record<'a> {
    /// The first record and its length in the file; None at the end, and where the writer is in the middle of it.
    fn split(rest: &'a [u8]) -> Option<(Self, usize)> {
        let seconds = little_u32(rest, 0)?;
        let microseconds = little_u32(rest, 4)?;
        let end = RECORD_HEADER + little_u32(rest, 8)? as usize;
        let octets = rest.get(RECORD_HEADER..end)?;
        let time = u64::from(seconds) * 1_000_000 + u64::from(microseconds);
        Some((Record { time, octets }, end))
    }

    fn packet(&self) -> Option<Packet> {
        let outgoing = *self.octets.get(10)? == OUTGOING;
        let octets = self.octets.get(COOKED_HEADER..)?;
        let ethertype = u16::from_be_bytes(self.octets.get(..2)?.try_into().ok()?);
        let packet = match ethertype {
            ETHERTYPE_IPV4 => Packet::of_ipv4(octets),
            ETHERTYPE_IPV6 => Packet::of_ipv6(octets),
            _ => None,
        };
        packet.map(|packet| Packet { time: self.time, outgoing, ..packet })
    }
}

fn little_u32(octets: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_le_bytes(octets.get(offset..offset + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ESP: [u8; 28] = [
        0x45, 0, 0, 156, 0, 0, 0x40, 0, 64, 50, 0, 0, 10, 1, 1, 10, 10, 2, 2, 10, 0x84, 0x80, 0, 1, 0, 0, 0,
        1,
    ];

    fn cooked(ethertype: u16) -> Vec<u8> {
        let mut octets = ethertype.to_be_bytes().to_vec();
        octets.extend([0, 0, 0, 0, 0, 7, 0, 1, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0]);
        octets.extend(ESP);
        octets
    }

    fn capture(packets: &[Vec<u8>]) -> Vec<u8> {
        let mut octets = MAGIC.to_le_bytes().to_vec();
        octets.resize(20, 0);
        octets.extend(COOKED.to_le_bytes());
        for packet in packets {
            let length = (packet.len() as u32).to_le_bytes();
            octets.extend([1u32.to_le_bytes(), 2u32.to_le_bytes(), length, length].concat());
            octets.extend(packet);
        }
        octets
    }

    #[test]
    fn reads_a_file_that_grows_by_one_octet_at_a_time() {
        let octets = capture(&[cooked(ETHERTYPE_IPV4), cooked(ETHERTYPE_IPV4)]);
        let mut reader = Reader::default();
        let packets: Vec<_> = octets.iter().flat_map(|octet| reader.packets(&[*octet]).unwrap()).collect();
        let [packet, _] = packets.as_slice() else { panic!("{packets:?}") };
        assert_eq!((packet.spi(), packet.time, packet.outgoing), (Some(0x8480_0001), 1_000_002, false));
    }

    #[test]
    fn skips_what_is_not_ip() {
        assert_eq!(Reader::default().packets(&capture(&[cooked(0x0806)])), Ok(vec![]));
    }

    #[test]
    fn refuses_other_files() {
        assert!(Reader::default().packets(&[0; 100]).is_err());
    }
}
