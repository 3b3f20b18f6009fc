//! Anchor routes, interfaces and addresses: the only place that knows netlink-packet-route.
//!
//! It uses the blocking socket and not the rtnetlink crate, whose handle needs a tokio runtime: these few requests are
//! made between changes of states and policies, in an order that matters.

mod interface;

use std::io;
use std::net::IpAddr;

use netlink_packet_core::{NetlinkDeserializable, NetlinkHeader, NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteMetric, RouteProtocol, RouteScope,
    RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::model::Family;
use crate::object::{anchor_of, Direction, Link, Route};
use crate::socket::Socket;

pub use interface::{interfaces, remove_interface, set_interface};

/// Who added a route: a number that nobody else has (84 is OVN's), by which routing daemons can be told not to export it.
const OWNER: RouteProtocol = RouteProtocol::Other(148);
const TABLE_LOCAL: u8 = 255;
/// Number of the metric that is a route's MTU.
const RTAX_MTU: u32 = 2;

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
    let mut routes = Vec::new();
    for family in Family::ALL {
        let mut message = RouteMessage::default();
        message.header.address_family = family_of(family);
        message.header.protocol = OWNER;
        let request = RouteNetlinkMessage::GetRoute(message);
        routes.extend(socket.dump(&request, |(kind, payload)| match parse(kind, payload)? {
            RouteNetlinkMessage::NewRoute(message) => Ok(read_route(&message)),
            _ => Ok(None),
        })?);
    }
    Ok(routes)
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
    let request = RouteNetlinkMessage::GetAddress(AddressMessage::default());
    socket.dump(&request, |(kind, payload)| match parse(kind, payload)? {
        RouteNetlinkMessage::NewAddress(message) => Ok(read_address(&message)),
        _ => Ok(None),
    })
}

/// A point-to-point address has the peer's as `Address`; IPv6 has only that as a rule.
fn read_address(message: &AddressMessage) -> Option<(u32, IpAddr)> {
    let local = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(address) => Some(*address),
        _ => None,
    });
    let only = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Address(address) => Some(*address),
        _ => None,
    });
    Some((message.header.index, local.or(only)?))
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
    message.header = header_of(route.direction, route.family);
    message.attributes.push(RouteAttribute::Destination(match route.anchor() {
        IpAddr::V4(address) => RouteAddress::Inet(address),
        IpAddr::V6(address) => RouteAddress::Inet6(address),
    }));
    message.attributes.push(RouteAttribute::Oif(route.interface));
    // Locked, or the kernel would still find the path's MTU itself.
    let locked = |mtu| RouteAttribute::Metrics(vec![RouteMetric::Lock(1 << RTAX_MTU), RouteMetric::Mtu(mtu)]);
    message.attributes.extend(route.mtu.map(locked));
    message
}

fn family_of(family: Family) -> AddressFamily {
    match family {
        Family::V4 => AddressFamily::Inet,
        Family::V6 => AddressFamily::Inet6,
    }
}

/// IPv6 routes have no scope.
fn header_of(direction: Direction, family: Family) -> RouteHeader {
    let (table, kind, scope) = match direction {
        Direction::Inbound => (TABLE_LOCAL, RouteType::Local, RouteScope::Host),
        Direction::Outbound => (RouteHeader::RT_TABLE_MAIN, RouteType::Unicast, RouteScope::Link),
    };
    RouteHeader {
        address_family: family_of(family),
        destination_prefix_length: family.bits(),
        table,
        protocol: OWNER,
        scope: if family == Family::V4 { scope } else { RouteScope::Universe },
        kind,
        ..Default::default()
    }
}

fn read_route(message: &RouteMessage) -> Option<Route> {
    let (mut anchor, mut interface, mut mtu) = (None, None, None);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(address)) => anchor = Some((*address).into()),
            RouteAttribute::Destination(RouteAddress::Inet6(address)) => anchor = Some((*address).into()),
            RouteAttribute::Oif(index) => interface = Some(*index),
            RouteAttribute::Metrics(metrics) => mtu = read_mtu(metrics),
            _ => {}
        }
    }
    let (anchor, interface) = anchor.zip(interface)?;
    let (slot, direction, lane) = anchor_of(anchor)?;
    let family = Family::of(anchor);
    let mut header = message.header.clone();
    header.flags = Default::default();
    (header == header_of(direction, family)).then_some(Route {
        slot,
        direction,
        family,
        lane,
        interface,
        mtu,
    })
}

fn read_mtu(metrics: &[RouteMetric]) -> Option<u32> {
    metrics.iter().find_map(|metric| match metric {
        RouteMetric::Mtu(mtu) => Some(*mtu),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Lane, Slot};

    fn example(direction: Direction) -> Route {
        let (slot, family, lane) = (Slot::new(5).unwrap(), Family::V4, Lane::Unicast);
        Route { slot, direction, family, lane, interface: 3, mtu: None }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for direction in [Direction::Inbound, Direction::Outbound] {
            for (family, mtu) in [(Family::V4, None), (Family::V4, Some(1400)), (Family::V6, Some(1280))] {
                let route = Route { family, mtu, ..example(direction) };
                assert_eq!(read_route(&write_route(route)), Some(route));
            }
        }
        let route = Route { family: Family::V6, lane: Lane::Multicast, ..example(Direction::Outbound) };
        assert_eq!(read_route(&write_route(route)), Some(route));
    }

    #[test]
    fn routes_of_others_are_left_alone() {
        let mut message = write_route(example(Direction::Outbound));
        message.header.protocol = RouteProtocol::Static;
        assert_eq!(read_route(&message), None);
    }
}
