//! Captured packets: enough of pcap, IPv4, ESP, UDP and ICMP to say what crossed a link.

use std::net::Ipv4Addr;

const PCAP_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;
/// Microseconds, this machine's byte order.
const PCAP_MAGIC: u32 = 0xa1b2_c3d4;
/// LINKTYPE_LINUX_SLL2: what a capture on all interfaces has instead of a link's own header.
const COOKED: u32 = 276;
const COOKED_HEADER: usize = 20;
const OUTGOING: u8 = 4;
const ETHERTYPE_IPV4: u16 = 0x0800;
const MORE_OR_OFFSET: u16 = 0x3fff;

/// Protocol numbers of IPv4.
pub mod protocol {
    /// RFC 792.
    pub const ICMP: u8 = 1;
    /// RFC 768.
    pub const UDP: u8 = 17;
    /// RFC 4303.
    pub const ESP: u8 = 50;
}

/// An IPv4 packet that came in on or went out of an interface of the capturing host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// When, in microseconds.
    pub time: u64,
    /// Whether the host sent or forwarded it; false: it received it.
    pub outgoing: bool,
    /// Source address of the outermost header.
    pub source: Ipv4Addr,
    /// Destination address of the outermost header.
    pub destination: Ipv4Addr,
    /// Its protocol.
    pub protocol: u8,
    /// Its total length, octets.
    pub length: u16,
    /// Whether it is a piece of a larger packet.
    pub fragment: bool,
    /// What follows the header as far as it was captured; empty for all fragments but the first.
    pub payload: Vec<u8>,
}

impl Packet {
    /// The SPI of an ESP packet.
    pub fn spi(&self) -> Option<u32> {
        (self.protocol == protocol::ESP).then(|| u32_at(&self.payload, 0)).flatten()
    }

    /// Source and destination port of a UDP packet.
    pub fn udp_ports(&self) -> Option<(u16, u16)> {
        let ports = || Some((u16_at(&self.payload, 0)?, u16_at(&self.payload, 2)?));
        (self.protocol == protocol::UDP).then(ports).flatten()
    }

    /// What a UDP packet carries.
    pub fn udp_payload(&self) -> Option<&[u8]> {
        (self.protocol == protocol::UDP).then(|| self.payload.get(8..)).flatten()
    }
}

/// Reads the IPv4 packets of a capture that tcpdump wrote on all interfaces.
pub fn read(capture: &[u8]) -> Result<Vec<Packet>, String> {
    if little_u32(capture, 0) != Some(PCAP_MAGIC) || little_u32(capture, 20) != Some(COOKED) {
        return Err("no capture on all interfaces".into());
    }
    let mut packets = Vec::new();
    let mut rest = &capture[PCAP_HEADER..];
    while let Some((record, after)) = split_record(rest) {
        packets.extend(record.packet());
        rest = after;
    }
    Ok(packets)
}

struct Record<'a> {
    time: u64,
    octets: &'a [u8],
}

/// None at the end, and where the writer is in the middle of a record.
fn split_record(rest: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let seconds = little_u32(rest, 0)?;
    let microseconds = little_u32(rest, 4)?;
    let length = little_u32(rest, 8)? as usize;
    let octets = rest.get(RECORD_HEADER..RECORD_HEADER + length)?;
    let time = u64::from(seconds) * 1_000_000 + u64::from(microseconds);
    Some((Record { time, octets }, &rest[RECORD_HEADER + length..]))
}

impl Record<'_> {
    fn packet(&self) -> Option<Packet> {
        let header = self.octets.get(COOKED_HEADER..)?;
        if u16_at(self.octets, 0)? != ETHERTYPE_IPV4 {
            return None;
        }
        let header_length = usize::from(header.first()? & 0x0f) * 4;
        let fragmentation = u16_at(header, 6)?;
        let first = fragmentation & 0x1fff == 0;
        Some(Packet {
            time: self.time,
            outgoing: *self.octets.get(10)? == OUTGOING,
            source: u32_at(header, 12)?.into(),
            destination: u32_at(header, 16)?.into(),
            protocol: *header.get(9)?,
            length: u16_at(header, 2)?,
            fragment: fragmentation & MORE_OR_OFFSET != 0,
            payload: header.get(header_length..).filter(|_| first).unwrap_or_default().to_vec(),
        })
    }
}

fn u16_at(octets: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_be_bytes(octets.get(offset..offset + 2)?.try_into().ok()?))
}

fn u32_at(octets: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_be_bytes(octets.get(offset..offset + 4)?.try_into().ok()?))
}

fn little_u32(octets: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_le_bytes(octets.get(offset..offset + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capture(packets: &[&[u8]]) -> Vec<u8> {
        let mut octets = PCAP_MAGIC.to_le_bytes().to_vec();
        octets.resize(20, 0);
        octets.extend(COOKED.to_le_bytes());
        for packet in packets {
            let length = (packet.len() as u32).to_le_bytes();
            octets.extend([1u32.to_le_bytes(), 2u32.to_le_bytes(), length, length].concat());
            octets.extend(*packet);
        }
        octets
    }

    fn esp() -> Vec<u8> {
        let mut cooked = vec![0x08, 0x00, 0, 0, 0, 0, 0, 7, 0, 1, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0];
        cooked.extend([0x45, 0, 0, 156, 0, 0, 0x40, 0, 64, 50, 0, 0, 10, 1, 1, 10, 10, 2, 2, 10]);
        cooked.extend([0x84, 0x80, 0, 1, 0, 0, 0, 1]);
        cooked
    }

    #[test]
    fn reads_an_esp_packet() {
        let packets = read(&capture(&[&esp()])).unwrap();
        let [packet] = packets.as_slice() else { panic!("{packets:?}") };
        assert_eq!((packet.source, packet.destination), ([10, 1, 1, 10].into(), [10, 2, 2, 10].into()));
        assert_eq!((packet.spi(), packet.length, packet.time), (Some(0x8480_0001), 156, 1_000_002));
        assert!(!packet.outgoing && !packet.fragment && packet.udp_ports().is_none());
    }

    #[test]
    fn skips_what_is_not_ipv4() {
        let mut arp = esp();
        arp[1] = 0x06;
        assert_eq!(read(&capture(&[&arp])), Ok(vec![]));
    }

    #[test]
    fn a_later_fragment_has_no_payload() {
        let mut fragment = esp();
        fragment[COOKED_HEADER + 7] = 185;
        let packets = read(&capture(&[&fragment])).unwrap();
        assert!(packets[0].fragment && packets[0].spi().is_none());
    }

    #[test]
    fn stops_before_a_record_that_is_being_written() {
        let mut octets = capture(&[&esp(), &esp()]);
        octets.truncate(octets.len() - 1);
        assert_eq!(read(&octets).unwrap().len(), 1);
    }

    #[test]
    fn refuses_other_files() {
        assert!(read(b"").is_err() && read(&[0; 100]).is_err());
    }
}
