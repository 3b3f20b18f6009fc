//! Captured packets: enough of IPv4, IPv6, ESP and UDP to say what crossed a link.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const MORE_OR_OFFSET: u16 = 0x3fff;
const IPV6_HEADER: usize = 40;
/// IPv6's fragment header (RFC 8200, 4.5), and its length in octets.
const FRAGMENT: u8 = 44;
const FRAGMENT_HEADER: usize = 8;

/// Protocol numbers.
pub mod protocol {
    /// RFC 792.
    pub const ICMP: u8 = 1;
    /// RFC 768.
    pub const UDP: u8 = 17;
    /// RFC 4303.
    pub const ESP: u8 = 50;
}

/// An IP packet that came in on or went out of an interface of the capturing host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// When, in microseconds.
    pub time: u64,
    /// Whether the host sent or forwarded it; false: it received it.
    pub outgoing: bool,
    /// Source address of the outermost header.
    pub source: IpAddr,
    /// Destination address of the outermost header.
    pub destination: IpAddr,
    /// Its protocol.
    pub protocol: u8,
    /// DSCP and ECN, the octet of both.
    pub traffic_class: u8,
    /// Its total length, octets.
    pub length: u16,
    /// Whether it is a piece of a larger packet.
    pub fragment: bool,
    /// All of it as far as it was captured.
    pub octets: Vec<u8>,
    /// Where what follows the header begins; behind the end for all fragments but the first.
    pub body: usize,
}

impl Packet {
    /// Reads an IPv4 packet (RFC 791) that came in at the time 0; None if it is cut short.
    pub fn of_ipv4(octets: &[u8]) -> Option<Self> {
        let header_length = usize::from(octets.first()? & 0x0f) * 4;
        let fragmentation = u16_at(octets, 6)?;
        let first = fragmentation & 0x1fff == 0;
        Some(Packet {
            time: 0,
            outgoing: false,
            source: Ipv4Addr::from(u32_at(octets, 12)?).into(),
            destination: Ipv4Addr::from(u32_at(octets, 16)?).into(),
            protocol: *octets.get(9)?,
            traffic_class: *octets.get(1)?,
            length: u16_at(octets, 2)?,
            fragment: fragmentation & MORE_OR_OFFSET != 0,
            octets: octets.to_vec(),
            body: if first { header_length } else { octets.len() },
        })
    }

    /// Reads an IPv6 packet (RFC 8200), of whose extension headers only that of fragments is known.
    pub fn of_ipv6(octets: &[u8]) -> Option<Self> {
        let rest = octets.get(IPV6_HEADER..)?;
        let next = *octets.get(6)?;
        let fragment = next == FRAGMENT;
        let first = !fragment || u16_at(rest, 2)? & 0xfff8 == 0;
        let header_length = IPV6_HEADER + if fragment { FRAGMENT_HEADER } else { 0 };
        Some(Packet {
            time: 0,
            outgoing: false,
            source: address_at(octets, 8)?,
            destination: address_at(octets, 24)?,
            protocol: if fragment { *rest.first()? } else { next },
            traffic_class: (u16_at(octets, 0)? >> 4) as u8,
            length: u16_at(octets, 4)?.saturating_add(IPV6_HEADER as u16),
            fragment,
            octets: octets.to_vec(),
            body: if first { header_length } else { octets.len() },
        })
    }

    /// What follows the header as far as it was captured; empty for all fragments but the first.
    pub fn payload(&self) -> &[u8] {
        self.octets.get(self.body..).unwrap_or_default()
    }

    /// The SPI of an ESP packet.
    pub fn spi(&self) -> Option<u32> {
        (self.protocol == protocol::ESP).then(|| u32_at(self.payload(), 0)).flatten()
    }

    /// The first octets behind sequence number of an ESP packet: the initialisation vector, if it has so many.
    pub fn initialisation_vector(&self, octets: usize) -> Option<&[u8]> {
        (self.protocol == protocol::ESP).then(|| self.payload().get(8..8 + octets)).flatten()
    }

    /// Source and destination port of a UDP packet.
    pub fn udp_ports(&self) -> Option<(u16, u16)> {
        let ports = || Some((u16_at(self.payload(), 0)?, u16_at(self.payload(), 2)?));
        (self.protocol == protocol::UDP).then(ports).flatten()
    }

    /// What a UDP packet carries.
    pub fn udp_payload(&self) -> Option<&[u8]> {
        (self.protocol == protocol::UDP).then(|| self.payload().get(8..)).flatten()
    }

    /// Whether these octets can be read in it, as far as it was captured.
    pub fn shows(&self, octets: &[u8]) -> bool {
        self.payload().windows(octets.len()).any(|window| window == octets)
    }
}

fn u16_at(octets: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_be_bytes(octets.get(offset..offset + 2)?.try_into().ok()?))
}

fn u32_at(octets: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_be_bytes(octets.get(offset..offset + 4)?.try_into().ok()?))
}

fn address_at(octets: &[u8], offset: usize) -> Option<IpAddr> {
    let address: [u8; 16] = octets.get(offset..offset + 16)?.try_into().ok()?;
    Some(Ipv6Addr::from(address).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ESP: [u8; 36] = [
        0x45, 0xb8, 0, 156, 0, 0, 0x40, 0, 64, 50, 0, 0, 10, 1, 1, 10, 10, 2, 2, 10, 0x84, 0x80, 0, 1, 0, 0,
        0, 1, 1, 2, 3, 4, 5, 6, 7, 8,
    ];

    fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
        let mut octets = vec![0x6b, 0x80, 0, 0, 0, payload.len() as u8, next, 64];
        octets.extend([[0xfd; 16], [0xff; 16]].concat());
        octets.extend(payload);
        octets
    }

    #[test]
    fn reads_an_esp_packet() {
        let packet = Packet::of_ipv4(&ESP).unwrap();
        let addresses = (IpAddr::from([10, 1, 1, 10]), IpAddr::from([10, 2, 2, 10]));
        assert_eq!((packet.source, packet.destination), addresses);
        assert_eq!((packet.spi(), packet.length, packet.traffic_class), (Some(0x8480_0001), 156, 0xb8));
        assert_eq!(packet.initialisation_vector(8), Some(&[1, 2, 3, 4, 5, 6, 7, 8][..]));
        assert_eq!(packet.initialisation_vector(16), None);
        assert!(!packet.outgoing && !packet.fragment && packet.udp_ports().is_none());
        assert!(packet.shows(&[2, 3, 4]) && !packet.shows(&[3, 2]));
    }

    #[test]
    fn a_later_fragment_has_no_payload() {
        let mut fragment = ESP;
        fragment[7] = 185;
        let packet = Packet::of_ipv4(&fragment).unwrap();
        assert!(packet.fragment && packet.spi().is_none());
    }

    #[test]
    fn reads_ipv6_and_its_fragments() {
        let packet = Packet::of_ipv6(&ipv6(50, &ESP[20..])).unwrap();
        assert_eq!((packet.spi(), packet.length, packet.traffic_class), (Some(0x8480_0001), 56, 0xb8));
        assert_eq!(packet.source, Ipv6Addr::from([0xfd; 16]));
        let first = [&[17, 0, 0, 1, 0, 0, 0, 1], &[0, 7, 0, 8, 0, 0, 0, 0, 42][..]].concat();
        let first = Packet::of_ipv6(&ipv6(FRAGMENT, &first)).unwrap();
        assert!(first.fragment && first.udp_ports() == Some((7, 8)) && first.udp_payload() == Some(&[42]));
        let later = Packet::of_ipv6(&ipv6(FRAGMENT, &[17, 0, 0, 9, 0, 0, 0, 1, 0, 7, 0, 8])).unwrap();
        assert!(later.fragment && later.payload().is_empty());
    }

    #[test]
    fn what_is_cut_short_is_no_packet() {
        assert!(Packet::of_ipv4(&ESP[..19]).is_none() && Packet::of_ipv6(&ipv6(17, &[])[..39]).is_none());
    }
}
