//! "Fragmentation needed" (RFC 792, RFC 1191 section 4) and "packet too big" (RFC 4443 section 3.2) about ESP.
//!
//! Anybody can send one. It is believed only as far as its reader's bounds go, and only if it quotes an SPI that this
//! router sends with, which somebody on the path can read and nobody else guesses.

use xfrm::Family;

/// What a router of the core says of a packet that it could not send on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooBig {
    /// The packet's version of IP.
    pub family: Family,
    /// The SPI of the quoted ESP header.
    pub spi: u32,
    /// The longest packet that would have passed, in octets. Not checked for sense.
    pub mtu: u32,
}

const ICMP: u8 = 1;
const ESP: u8 = 50;
const UNREACHABLE: u8 = 3;
const FRAGMENTATION_NEEDED: u8 = 4;
const PACKET_TOO_BIG: u8 = 2;
/// Octets before the quoted packet, in both versions.
const ICMP_HEADER: usize = 8;
const IPV6_HEADER: usize = 40;
/// The fragment offset in the seventh and eighth octet of an IPv4 header (RFC 791).
const OFFSET: u16 = 0x1fff;

/// Reads an IPv4 packet from its header on, as a raw socket gives it; the checksum is checked here because the kernel
/// does so later only.
pub fn read_v4(packet: &[u8]) -> Option<TooBig> {
    let (protocol, message) = open_v4(packet)?;
    let total = usize::from(half(packet, 2)?);
    let message = message.get(..total.checked_sub(packet.len() - message.len())?)?;
    let sound = protocol == ICMP
        && message.first_chunk() == Some(&[UNREACHABLE, FRAGMENTATION_NEEDED])
        && sum(message) == 0xffff;
    let quoted = message.get(ICMP_HEADER..).filter(|_| sound)?;
    let (protocol, esp) = open_v4(quoted)?;
    let whole = protocol == ESP && half(quoted, 6)? & OFFSET == 0;
    let mtu = half(message, 6)?.into();
    whole.then_some(TooBig { family: Family::V4, spi: word(esp, 0)?, mtu })
}

/// Reads an ICMPv6 message, of which the kernel has checked the checksum. ESP that is not right behind the quoted header
/// is none of ours.
pub fn read_v6(message: &[u8]) -> Option<TooBig> {
    let quoted =
        message.get(ICMP_HEADER..).filter(|_| message.first_chunk() == Some(&[PACKET_TOO_BIG, 0]))?;
    let right = quoted.first()? >> 4 == 6 && *quoted.get(6)? == ESP;
    let esp = quoted.get(IPV6_HEADER..).filter(|_| right)?;
    Some(TooBig { family: Family::V6, spi: word(esp, 0)?, mtu: word(message, 4)? })
}

/// The protocol of an IPv4 packet and what is behind its header.
fn open_v4(packet: &[u8]) -> Option<(u8, &[u8])> {
    let first = *packet.first()?;
    let header = usize::from(first & 0xf) * 4;
    let body = packet.get(header..).filter(|_| first >> 4 == 4 && header >= 20)?;
    Some((*packet.get(9)?, body))
}

fn half(octets: &[u8], at: usize) -> Option<u16> {
    octets.get(at..)?.first_chunk().map(|pair| u16::from_be_bytes(*pair))
}

fn word(octets: &[u8], at: usize) -> Option<u32> {
    octets.get(at..)?.first_chunk().map(|four| u32::from_be_bytes(*four))
}

/// The sum of RFC 1071: all ones over what has the right checksum in it.
fn sum(octets: &[u8]) -> u16 {
    let pair = |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
    let mut sum: u32 = octets.chunks(2).map(pair).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A router's ICMP message about an ESP packet.
    pub fn icmp(spi: u32, mtu: u16) -> Vec<u8> {
        let mut message = vec![UNREACHABLE, FRAGMENTATION_NEEDED, 0, 0, 0, 0];
        message.extend(mtu.to_be_bytes());
        message.extend([0x45, 0, 5, 0xdc, 0, 1, 0x40, 0, 63, ESP, 0, 0, 10, 1, 1, 10, 10, 2, 2, 10]);
        message.extend(spi.to_be_bytes());
        message.extend([0, 0, 0, 7]);
        let checksum = !sum(&message);
        message[2..4].copy_from_slice(&checksum.to_be_bytes());
        message
    }

    fn v4(spi: u32, mtu: u16) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 56, 0, 9, 0, 0, 60, ICMP, 0, 0, 203, 0, 113, 1, 192, 0, 0, 84];
        packet.extend(icmp(spi, mtu));
        packet
    }

    /// The same of IPv6, without a checksum.
    pub fn icmpv6(spi: u32, mtu: u32) -> Vec<u8> {
        let mut message = vec![PACKET_TOO_BIG, 0, 0x12, 0x34];
        message.extend(mtu.to_be_bytes());
        message.extend([0x60, 0, 0, 0, 5, 0, ESP, 63]);
        message.extend([0xfd; 32]);
        message.extend(spi.to_be_bytes());
        message.extend([0, 0, 0, 7]);
        message
    }

    #[test]
    fn both_versions_are_read() {
        let read = TooBig { family: Family::V4, spi: 0x1234_5678, mtu: 1400 };
        assert_eq!(read_v4(&v4(0x1234_5678, 1400)), Some(read));
        assert_eq!(read_v6(&icmpv6(0x1234_5678, 1400)), Some(TooBig { family: Family::V6, ..read }));
    }

    #[test]
    fn options_and_what_lies_behind_the_packet_do_no_harm() {
        let mut packet = v4(7, 1400);
        packet.splice(20..20, [1, 1, 1, 0]);
        (packet[0], packet[3]) = (0x46, 60);
        packet.extend([0xff; 9]);
        assert_eq!(read_v4(&packet).map(|read| read.spi), Some(7));
    }

    #[test]
    fn every_cut_is_refused_or_harmless() {
        let (v4, v6) = (v4(7, 1400), icmpv6(7, 1400));
        assert!((0..v4.len()).all(|length| read_v4(&v4[..length]).is_none()));
        // The sequence number behind the SPI is not needed.
        assert!((0..v6.len() - 4).all(|length| read_v6(&v6[..length]).is_none()));
    }

    #[test]
    fn a_changed_octet_of_the_message_is_noticed() {
        let packet = v4(7, 1400);
        for place in 20..packet.len() {
            let mut changed = packet.clone();
            changed[place] ^= 0x21;
            assert_eq!(read_v4(&changed), None, "octet {place}");
        }
    }

    #[track_caller]
    fn refused_v4(change: impl Fn(&mut Vec<u8>)) {
        let mut packet = v4(7, 1400);
        change(&mut packet);
        packet[22..24].copy_from_slice(&[0, 0]);
        let checksum = !sum(&packet[20..]);
        packet[22..24].copy_from_slice(&checksum.to_be_bytes());
        assert_eq!(read_v4(&packet), None);
    }

    #[test]
    fn other_messages_and_lies_about_lengths_are_refused() {
        refused_v4(|packet| packet[0] = 0x44);
        refused_v4(|packet| packet[0] = 0x4f);
        refused_v4(|packet| packet[0] = 0x65);
        refused_v4(|packet| packet[3] = 57);
        refused_v4(|packet| packet[3] = 19);
        refused_v4(|packet| packet[9] = 17);
        refused_v4(|packet| packet[20] = 11);
        refused_v4(|packet| packet[21] = 3);
        refused_v4(|packet| packet[28] = 0x44);
        refused_v4(|packet| packet[28] = 0x4f);
        refused_v4(|packet| packet[28] = 0x65);
        refused_v4(|packet| packet[37] = 17);
        // A later fragment has no ESP header.
        refused_v4(|packet| packet[35] = 1);
        for (place, octet) in [(0, 3), (1, 1), (8, 0x45), (14, 0), (14, 44)] {
            let mut message = icmpv6(7, 1400);
            message[place] = octet;
            assert_eq!(read_v6(&message), None, "octet {place}");
        }
    }

    #[test]
    fn noise_does_not_hurt() {
        let mut seed = 1u32;
        for length in 0..300 {
            let mut noise = Vec::new();
            for _ in 0..length {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                noise.push((seed >> 24) as u8);
            }
            assert_eq!((read_v4(&noise), read_v6(&noise)), (None, None));
        }
    }
}
