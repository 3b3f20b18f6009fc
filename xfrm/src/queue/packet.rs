//! From an IP packet to the ESP in it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{PacketId, Unknown};
use crate::model::{Family, Slot, Spi};
use crate::object::{anchor_of, Direction};

const ESP: u8 = 50;
/// Extension headers that may stand before ESP (RFC 8200 section 4): hop-by-hop and destination options, routing; and a
/// fragment header, of a fragment that is the whole packet.
const OPTIONS: [u8; 3] = [0, 43, 60];
const FRAGMENT: u8 = 44;
const IPV6_HEADER: usize = 40;

/// The ESP packet to one of our inbound anchors; none when it is something else or too short.
pub fn read(id: PacketId, packet: &[u8]) -> Option<Unknown> {
    let (destination, esp) = match packet.first()? >> 4 {
        4 => read_ipv4(packet)?,
        6 => read_ipv6(packet)?,
        _ => return None,
    };
    let slot = slot_of(destination)?;
    let spi = Spi(u32::from_be_bytes(*esp.first_chunk()?));
    Some(Unknown { id, slot, family: Family::of(destination), spi, esp: esp.to_vec() })
}

fn slot_of(destination: IpAddr) -> Option<Slot> {
    anchor_of(destination).filter(|(_, direction, _)| *direction == Direction::Inbound).map(|(slot, ..)| slot)
}

fn read_ipv4(packet: &[u8]) -> Option<(IpAddr, &[u8])> {
    let header = usize::from(packet.first()? & 0x0f) * 4;
    let destination: [u8; 4] = packet.get(16..20)?.try_into().ok()?;
    let esp = (*packet.get(9)? == ESP && header >= 20).then(|| packet.get(header..))??;
    Some((Ipv4Addr::from(destination).into(), esp))
}

fn read_ipv6(packet: &[u8]) -> Option<(IpAddr, &[u8])> {
    let destination: [u8; 16] = packet.get(24..IPV6_HEADER)?.try_into().ok()?;
    let (mut next, mut rest) = (*packet.get(6)?, packet.get(IPV6_HEADER..)?);
    while next != ESP {
        let length = match next {
            FRAGMENT => 8,
            options if OPTIONS.contains(&options) => (usize::from(*rest.get(1)?) + 1) * 8,
            _ => return None,
        };
        (next, rest) = (*rest.first()?, rest.get(length..)?);
    }
    Some((Ipv6Addr::from(destination).into(), rest))
}
