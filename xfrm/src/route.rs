//! Anchor routes, interfaces and addresses: the only place that knows netlink-packet-route.
//!
//! It uses the blocking socket and not the rtnetlink crate, whose handle needs a tokio runtime: these few requests are
//! made between changes of states and policies, in an order that matters.

use std::io;
use std::net::IpAddr;

use netlink_packet_core::{NetlinkDeserializable, NetlinkHeader, NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::object::{anchor_of, Direction, Link, Route};
use crate::socket::Socket;

/// Who added a route; routing daemons leave routes of unknown owners alone.
const OWNER: RouteProtocol = RouteProtocol::Other(84);
const TABLE_LOCAL: u8 = 255;

/// All interfaces with their IPv4 addresses.
pub fn links(socket: &mut Socket) -> io::Result<Vec<Link>> {
    let mut links = socket.dump(
        &RouteNetlinkMessage::GetLink(LinkMessage::default()),
        |(kind, payload)| match parse(kind, payload)? {
            RouteNetlinkMessage::NewLink(message) => Ok(read_link(message)),
            _ => Ok(None),
        },
    )?;
    for (index, address) in addresses(socket)? {
        if let Some(link) = links.iter_mut().find(|link| link.index == index) {
            link.addresses.push(address);
        }
    }
    Ok(links)
}

/// The anchor routes that are ours.
pub fn routes(socket: &mut Socket) -> io::Result<Vec<Route>> {
    let mut message = RouteMessage::default();
    message.header.address_family = AddressFamily::Inet;
    message.header.protocol = OWNER;
    socket.dump(&RouteNetlinkMessage::GetRoute(message), |(kind, payload)| match parse(kind, payload)? {
        RouteNetlinkMessage::NewRoute(message) => Ok(read_route(&message)),
        _ => Ok(None),
    })
}

/// Adds the route in the place of whatever leads to that anchor.
pub fn replace_route(socket: &mut Socket, route: Route) -> io::Result<()> {
    socket.change(NLM_F_CREATE | NLM_F_REPLACE, &RouteNetlinkMessage::NewRoute(write_route(route)))
}

pub fn remove_route(socket: &mut Socket, route: Route) -> io::Result<()> {
    socket.change(0, &RouteNetlinkMessage::DelRoute(write_route(route)))
}

fn parse(kind: u16, payload: &[u8]) -> io::Result<RouteNetlinkMessage> {
    let mut header = NetlinkHeader::default();
    header.message_type = kind;
    RouteNetlinkMessage::deserialize(&header, payload)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))
}

fn addresses(socket: &mut Socket) -> io::Result<Vec<(u32, IpAddr)>> {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet;
    socket.dump(&RouteNetlinkMessage::GetAddress(message), |(kind, payload)| match parse(kind, payload)? {
        RouteNetlinkMessage::NewAddress(message) => Ok(read_address(&message)),
        _ => Ok(None),
    })
}

fn read_address(message: &AddressMessage) -> Option<(u32, IpAddr)> {
    message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(address) => Some((message.header.index, *address)),
        _ => None,
    })
}

fn read_link(message: LinkMessage) -> Option<Link> {
    let up = message.header.flags.contains(LinkFlags::Up);
    let mut link =
        Link { index: message.header.index, name: String::new(), up, mtu: 0, addresses: Vec::new() };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::Mtu(mtu) => link.mtu = mtu,
            _ => {}
        }
    }
    (!link.name.is_empty()).then_some(link)
}

fn write_route(route: Route) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header = header_of(route.direction);
    message.attributes.push(RouteAttribute::Destination(address_of(route.anchor())));
    message.attributes.push(RouteAttribute::Oif(route.interface));
    message
}

fn address_of(address: IpAddr) -> RouteAddress {
    match address {
        IpAddr::V4(address) => RouteAddress::Inet(address),
        IpAddr::V6(address) => RouteAddress::Inet6(address),
    }
}

fn header_of(direction: Direction) -> RouteHeader {
    let (table, kind, scope) = match direction {
        Direction::Inbound => (TABLE_LOCAL, RouteType::Local, RouteScope::Host),
        Direction::Outbound => (RouteHeader::RT_TABLE_MAIN, RouteType::Unicast, RouteScope::Link),
    };
    RouteHeader {
        address_family: AddressFamily::Inet,
        destination_prefix_length: 32,
        table,
        protocol: OWNER,
        scope,
        kind,
        ..Default::default()
    }
}

fn read_route(message: &RouteMessage) -> Option<Route> {
    let mut anchor = None;
    let mut interface = None;
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(address)) => anchor = anchor_of((*address).into()),
            RouteAttribute::Oif(index) => interface = Some(*index),
            _ => {}
        }
    }
    let ((slot, direction), interface) = anchor.zip(interface)?;
    let mut header = message.header.clone();
    header.flags = Default::default();
    (header == header_of(direction)).then_some(Route { slot, direction, interface })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Slot;

    #[test]
    fn what_is_written_is_read_again() {
        for direction in [Direction::Inbound, Direction::Outbound] {
            let route = Route { slot: Slot::new(5).unwrap(), direction, interface: 3 };
            assert_eq!(read_route(&write_route(route)), Some(route));
        }
    }

    #[test]
    fn routes_of_others_are_left_alone() {
        let mut message =
            write_route(Route { slot: Slot::new(5).unwrap(), direction: Direction::Outbound, interface: 3 });
        message.header.protocol = RouteProtocol::Static;
        assert_eq!(read_route(&message), None);
    }
}
