//! Connection tracking's entries (ctnetlink), as far as NAT or a flowtable has to do with them: all others are right,
//! whatever changes.

use std::io;
use std::net::IpAddr;

use crate::attributes::find;
use crate::model::{Family, Ports, Prefix, Selector, Side};
use crate::netfilter::{attributes, kind, nested, Attributes, Message};
use crate::socket::Socket;

const CONNTRACK: u8 = 1;
/// IPCTNL_MSG_CT_NEW, _GET and _DELETE.
const NEW: u8 = 0;
const GET: u8 = 1;
const DELETE: u8 = 2;
/// CTA_TUPLE_ORIG, _TUPLE_REPLY, _STATUS, _ID and _ZONE.
const ORIGINAL: u16 = 1;
const REPLY: u16 = 2;
const STATUS: u16 = 3;
const ID: u16 = 12;
const ZONE: u16 = 18;
/// CTA_TUPLE_IP and _PROTO; CTA_IP_V4_SRC, _V4_DST, _V6_SRC and _V6_DST; CTA_PROTO_NUM, _SRC_PORT and _DST_PORT.
const ADDRESSES: u16 = 1;
const PROTOCOL: u16 = 2;
const SOURCES: [u16; 2] = [1, 3];
const DESTINATIONS: [u16; 2] = [2, 4];
const NUMBER: u16 = 1;
const SOURCE_PORT: u16 = 2;
const DESTINATION_PORT: u16 = 3;
/// IPS_OFFLOAD and IPS_HW_OFFLOAD.
const OFFLOADED: u32 = 1 << 14 | 1 << 15;

/// A flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracked {
    /// Its packets before NAT.
    pub original: Tuple,
    /// The answers to them as they come back, before NAT.
    pub reply: Tuple,
    /// Whether it is in a flowtable.
    pub offloaded: bool,
    /// The kernel's own words for it.
    handle: Attributes,
    family: u8,
}

/// Packets of one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuple {
    /// Where they come from.
    pub source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    /// Of both sides, where the protocol has such.
    ports: Option<(u16, u16)>,
}

impl Tuple {
    /// As access lists see its packets and their answers.
    pub fn both_ways(&self) -> Vec<Selector> {
        let side = |address, port: Option<u16>| Side {
            ports: port.map(Ports::one),
            ..Side::from(Prefix::host(address))
        };
        let source = side(self.source, self.ports.map(|(source, _)| source));
        let destination = side(self.destination, self.ports.map(|(_, destination)| destination));
        let ways = [(source, destination), (destination, source)];
        ways.into_iter().filter_map(|(from, to)| Selector::new(Some(self.protocol), from, to).ok()).collect()
    }

    fn reversed(&self) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
            ports: self.ports.map(|(source, destination)| (destination, source)),
            ..*self
        }
    }
}

/// All flows with addresses that NAT has changed, and those in flowtables.
pub fn changed_or_offloaded(socket: &mut Socket) -> io::Result<Vec<Tracked>> {
    let mut flows = Vec::new();
    for family in Family::ALL {
        let request = Message::new(kind(CONNTRACK, GET), number_of(family), 0, &Attributes::default());
        flows.extend(socket.dump(&request, |(answer, payload)| {
            let flow = read(payload).filter(|_| answer == kind(CONNTRACK, NEW));
            Ok(flow.filter(|flow| flow.offloaded || flow.original != flow.reply.reversed()))
        })?);
    }
    Ok(flows)
}

/// Whether it was there still.
pub fn delete(socket: &mut Socket, flow: &Tracked) -> io::Result<bool> {
    let message = Message::new(kind(CONNTRACK, DELETE), flow.family, 0, &flow.handle);
    match socket.change(0, &message) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// AF_INET and AF_INET6.
fn number_of(family: Family) -> u8 {
    match family {
        Family::V4 => 2,
        Family::V6 => 10,
    }
}

fn read(payload: &[u8]) -> Option<Tracked> {
    let all = attributes(payload).ok()?;
    let value = |wanted| find(&all, wanted);
    let status =
        value(STATUS).and_then(|status| status.first_chunk()).map_or(0, |one| u32::from_be_bytes(*one));
    let mut handle = Attributes::default().with_nested_octets(ORIGINAL, value(ORIGINAL)?);
    for wanted in [ZONE, ID] {
        handle = value(wanted).into_iter().fold(handle, |handle, value| handle.with(wanted, value));
    }
    Some(Tracked {
        original: read_tuple(value(ORIGINAL)?)?,
        reply: read_tuple(value(REPLY)?)?,
        offloaded: status & OFFLOADED != 0,
        handle,
        family: *payload.first()?,
    })
}

fn read_tuple(octets: &[u8]) -> Option<Tuple> {
    let parts = nested(octets);
    let (addresses, protocol) = (nested(find(&parts, ADDRESSES)?), nested(find(&parts, PROTOCOL)?));
    let address = |kinds: [u16; 2]| kinds.into_iter().find_map(|kind| ip(find(&addresses, kind)?));
    let port = |wanted| Some(u16::from_be_bytes(*find(&protocol, wanted)?.first_chunk()?));
    Some(Tuple {
        source: address(SOURCES)?,
        destination: address(DESTINATIONS)?,
        protocol: *find(&protocol, NUMBER)?.first()?,
        ports: port(SOURCE_PORT).zip(port(DESTINATION_PORT)),
    })
}

fn ip(value: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(value).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(value).map(IpAddr::from)).ok()
}

#[cfg(test)]
impl Tracked {
    /// A flow of UDP to this port, and its answers.
    pub fn of(original: (IpAddr, IpAddr), reply: (IpAddr, IpAddr), port: u16) -> Self {
        let protocol = if port == 179 { 6 } else { 17 };
        let tuple =
            |(source, destination), ports| Tuple { source, destination, protocol, ports: Some(ports) };
        Self {
            original: tuple(original, (4000, port)),
            reply: tuple(reply, (port, 4000)),
            offloaded: false,
            handle: Attributes::default(),
            family: 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use netlink_packet_core::NetlinkSerializable;

    fn tuple(source: [u8; 4], destination: [u8; 4], ports: (u16, u16)) -> Attributes {
        let addresses = Attributes::default().with(1, &source).with(2, &destination);
        let protocol = Attributes::default().with(NUMBER, &[17]);
        let protocol = protocol.with(SOURCE_PORT, &ports.0.to_be_bytes());
        let protocol = protocol.with(DESTINATION_PORT, &ports.1.to_be_bytes());
        Attributes::default().with_nested(ADDRESSES, &addresses).with_nested(PROTOCOL, &protocol)
    }

    fn message(seen: [u8; 4], status: u32) -> Vec<u8> {
        let (host, far) = ([10, 1, 1, 10], [10, 2, 2, 10]);
        let all = Attributes::default().with_nested(ORIGINAL, &tuple(host, far, (4000, 53)));
        let all = all.with_nested(REPLY, &tuple(far, seen, (53, 4000))).with(STATUS, &status.to_be_bytes());
        let message = Message::new(0, 2, 0, &all.with(ID, &[1, 2, 3, 4]).with(ZONE, &[0, 7]));
        let mut payload = vec![0; message.buffer_len()];
        message.serialize(&mut payload);
        payload
    }

    #[test]
    fn an_entry_is_read_however_damaged() {
        let mut payload = message([198, 51, 100, 1], 1 << 14);
        let flow = read(&payload).unwrap();
        assert!(flow.offloaded && flow.original != flow.reply.reversed());
        assert_eq!(
            flow.original.both_ways()[1],
            "udp host 10.2.2.10 eq 53 host 10.1.1.10 eq 4000".parse().unwrap()
        );
        let handle = Message::new(0, 2, 0, &flow.handle);
        let mut octets = vec![0; handle.buffer_len()];
        handle.serialize(&mut octets);
        let named = attributes(&octets).unwrap();
        assert_eq!(named.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), [ORIGINAL, ZONE, ID]);
        let plain = read(&message([10, 1, 1, 10], 0)).unwrap();
        assert!(!plain.offloaded && plain.original == plain.reply.reversed());
        for end in 0..payload.len() {
            let _ = read(&payload[..end]);
            payload[end] ^= 0xff;
            let _ = read(&payload);
            payload[end] ^= 0xff;
        }
    }
}
