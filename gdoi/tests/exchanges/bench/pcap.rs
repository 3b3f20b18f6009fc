//! Captures that other people's programs can read.

use super::world::Flight;
use std::net::SocketAddr;

const LINKTYPE_RAW: u32 = 101;
const UDP: u8 = 17;

/// The pcap file of these datagrams.
pub fn pcap(flights: &[Flight]) -> Vec<u8> {
    let mut out = Vec::new();
    for number in [0xa1b2_c3d4, 0x0002_0004, 0, 0, 65_535, LINKTYPE_RAW] {
        out.extend_from_slice(&u32::to_be_bytes(number));
    }
    flights.iter().for_each(|flight| record(flight, &mut out));
    out
}

fn record(flight: &Flight, out: &mut Vec<u8>) {
    let (ms, packet) = (flight.at.as_millis(), packet(flight));
    let length = packet.len() as u32;
    for number in [(ms / 1000) as u32, (ms % 1000 * 1000) as u32, length, length] {
        out.extend_from_slice(&number.to_be_bytes());
    }
    out.extend_from_slice(&packet);
}

/// IPv4 and UDP in front; the UDP checksum is not used.
fn packet(flight: &Flight) -> Vec<u8> {
    let (SocketAddr::V4(from), SocketAddr::V4(to)) = (flight.from, flight.to) else { panic!("IPv4 only") };
    let udp_length = 8 + flight.payload.len() as u16;
    let mut ip = [&[0x45, 0][..], &(20 + udp_length).to_be_bytes(), &[0, 0, 0, 0, 64, UDP, 0, 0]].concat();
    ip.extend_from_slice(&from.ip().octets());
    ip.extend_from_slice(&to.ip().octets());
    let checksum = checksum(&ip).to_be_bytes();
    ip[10..12].copy_from_slice(&checksum);
    let udp = [from.port(), to.port(), udp_length, 0].map(u16::to_be_bytes).concat();
    [&ip[..], &udp, &flight.payload].concat()
}

fn checksum(header: &[u8]) -> u16 {
    let sum: u32 = header.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    !((sum & 0xffff) + (sum >> 16)) as u16
}
