//! Clear packets of protected hosts that the core sends to a member: what somebody there can forge.

use crate::capture::Capture;
use crate::cell::{Cell, Family};
use crate::outcome::{ensure, failed, Outcome};
use crate::packet::{protocol, Packet};
use crate::reinjection::send_again;
use crate::site::Site;
use crate::stream;
use std::net::{IpAddr, Ipv6Addr};

const PORT: u16 = 9999;
const TIMES: usize = 20;

/// Listens at h1 for packets that come from the core in clear, as if h2 had sent them.
#[derive(Debug)]
pub struct Injection {
    arrived: Capture,
    packet: Packet,
}

impl Injection {
    /// Begins to listen.
    pub fn start(site: &Site) -> Outcome<Self> {
        let forged = forged(Cell::BASIC, PORT, b"in clear");
        Self::of(site, Packet::of_ipv4(&forged), &format!("udp port {PORT}"))
    }

    /// The same for packets of the stream that h2 sends to h1, with a number that it has sent already.
    pub fn into_stream(site: &Site, cell: Cell) -> Outcome<Self> {
        let forged = forged(cell, stream::PORT, &[stream::MAGIC, [0; 8]].concat());
        // By what no packet of the stream has in its header.
        match cell.family {
            Family::V4 => Self::of(site, Packet::of_ipv4(&forged), "ip[4:2] == 0x4242"),
            Family::V6 => Self::of(site, Packet::of_ipv6(&forged), "ip6[0:4] & 0xfffff == 0x4242"),
        }
    }

    fn of(site: &Site, packet: Option<Packet>, filter: &str) -> Outcome<Self> {
        let (host, name) = (site.host("h1")?, site.places.next_name("h1"));
        let filter = format!("{filter} or udp port 9");
        let arrived = Capture::start_filtered(host, &site.places.out, &name, &filter)?;
        match packet {
            Some(packet) => Ok(Injection { arrived, packet }),
            None => failed("the forged packet is cut short"),
        }
    }

    /// How many of twenty arrive.
    pub fn try_in(&mut self, site: &Site) -> Outcome<usize> {
        self.arrived.fresh()?;
        send_again(site, &self.packet, TIMES)?;
        // What the core has sent is at h1 or lost when a later packet has been there and back.
        site.host("core")?.run("ping -n -c 1 -W 1 198.51.100.1")?;
        let arrived = self.arrived.fresh()?;
        let forged = |packet: &&Packet| packet.destination == self.packet.destination && !packet.outgoing;
        Ok(arrived.iter().filter(forged).count())
    }

    /// Fails if one arrives.
    pub fn none_comes_in(&mut self, site: &Site) -> Outcome {
        let arrived = self.try_in(site)?;
        ensure!(arrived == 0, "{arrived} of {TIMES} clear packets came in");
        Ok(())
    }

    /// Fails unless all arrive: where nothing is guarded, so that silence elsewhere means something.
    pub fn all_come_in(&mut self, site: &Site) -> Outcome {
        let arrived = self.try_in(site)?;
        ensure!(arrived == TIMES, "only {arrived} of {TIMES} clear packets came into an open router");
        Ok(())
    }
}

/// An IP header (RFC 791, RFC 8200) and one of UDP (RFC 768), without checksums: the kernel adds that of IPv4.
fn forged(cell: Cell, port: u16, payload: &[u8]) -> Vec<u8> {
    let length = 8 + payload.len() as u16;
    let mut octets = match (cell.host(1), cell.host(0)) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let start =
                [&[0x45, 0][..], &(20 + length).to_be_bytes(), &[0x42, 0x42, 0, 0, 64, protocol::UDP]];
            [&start.concat()[..], &[0, 0], &from.octets(), &to.octets()].concat()
        }
        (from, to) => {
            let start = [&[0x60, 0, 0x42, 0x42][..], &length.to_be_bytes(), &[protocol::UDP, 64]];
            [&start.concat()[..], &ipv6(from), &ipv6(to)].concat()
        }
    };
    octets.extend([port, port, length, 0].map(u16::to_be_bytes).concat());
    octets.extend(payload);
    octets
}

fn ipv6(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => Ipv6Addr::octets(&address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_forged_is_a_whole_packet() {
        let ipv6 = Cell { family: Family::V6, ..Cell::BASIC };
        let packets = [
            Packet::of_ipv4(&forged(Cell::BASIC, 7, b"payload")),
            Packet::of_ipv6(&forged(ipv6, 7, b"payload")),
        ];
        for (packet, cell) in packets.into_iter().zip([Cell::BASIC, ipv6]) {
            let packet = packet.unwrap();
            assert_eq!((packet.source, packet.destination), (cell.host(1), cell.host(0)));
            assert_eq!((packet.udp_ports(), packet.udp_payload()), (Some((7, 7)), Some(&b"payload"[..])));
            assert_eq!(usize::from(packet.length), packet.octets.len());
        }
    }
}
