//! Anchor routes, interfaces and addresses: the only place that knows netlink-packet-route. It writes with that crate, and
//! reads attribute by attribute: the crate refuses a whole list for one alias that is no UTF-8.
//!
//! It uses the blocking socket and not the rtnetlink crate, whose handle needs a tokio runtime: these few requests are
//! made between changes of states and policies, in an order that matters.

mod interface;
mod stacked;

use std::io;
use std::net::IpAddr;

use netlink_packet_core::{Emitable, NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::{LinkAttribute, LinkExtentMask, LinkMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteMetric, RouteProtocol, RouteScope,
    RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::attributes::{attributes, find, number, text};
use crate::model::Family;
use crate::object::{anchor_of, Direction, Link, Route};
use crate::socket::Socket;

pub use interface::{interfaces, remove_interface, set_interface};

/// Who added a route: a number that nobody else has (84 is OVN's), by which routing daemons can be told not to export it.
const OWNER: RouteProtocol = RouteProtocol::Other(148);
const TABLE_LOCAL: u8 = 255;
/// Number of the metric that is a route's MTU.
const RTAX_MTU: u16 = 2;
/// RTM_NEWLINK, RTM_NEWADDR and RTM_NEWROUTE.
const NEW_LINK: u16 = 16;
const NEW_ADDRESS: u16 = 20;
const NEW_ROUTE: u16 = 24;
/// IFF_UP.
const UP: u32 = 1;
/// IFLA_IFNAME and IFLA_MTU.
const NAME: u16 = 3;
const MTU: u16 = 4;
/// IFA_ADDRESS and IFA_LOCAL.
const ADDRESS: u16 = 1;
const LOCAL: u16 = 2;
/// RTA_DST, RTA_OIF and RTA_METRICS.
const DESTINATION: u16 = 1;
const OUTPUT: u16 = 4;
const METRICS: u16 = 8;

/// All interfaces with their addresses.
pub fn links(socket: &mut Socket) -> io::Result<Vec<Link>> {
    let mut links =
        socket.dump(&all_links(), |(kind, payload)| Ok(read_link(payload).filter(|_| kind == NEW_LINK)))?;
    for (index, address) in addresses(socket)? {
        if let Some(link) = links.iter_mut().find(|link| link.index == index) {
            link.addresses.push(address);
        }
    }
    Ok(links)
}

/// Without statistics; and without a mask the kernel makes room for links of usual length only, and ends the list in front
/// of a longer one, which one with very many names is.
fn all_links() -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    RouteNetlinkMessage::GetLink(message)
}

/// The anchor routes that are ours.
pub fn routes(socket: &mut Socket) -> io::Result<Vec<Route>> {
    let mut routes = Vec::new();
    for family in Family::ALL {
        let mut message = RouteMessage::default();
        message.header.address_family = family_of(family);
        message.header.protocol = OWNER;
        let request = RouteNetlinkMessage::GetRoute(message);
        routes.extend(
            socket.dump(&request, |(kind, payload)| Ok(read_route(payload).filter(|_| kind == NEW_ROUTE)))?,
        );
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

fn addresses(socket: &mut Socket) -> io::Result<Vec<(u32, IpAddr)>> {
    let request = RouteNetlinkMessage::GetAddress(AddressMessage::default());
    socket.dump(&request, |(kind, payload)| Ok(read_address(payload).filter(|_| kind == NEW_ADDRESS)))
}

/// Of a `struct ifaddrmsg`: family, length of the prefix, flags and scope (1 octet each), the interface's index (4).
///
/// A point-to-point address has the peer's as `ADDRESS`; IPv6 has only that as a rule.
fn read_address(payload: &[u8]) -> Option<(u32, IpAddr)> {
    let (header, rest) = payload.split_at_checked(8)?;
    let attributes = attributes(rest);
    let address = [LOCAL, ADDRESS].into_iter().find_map(|kind| find(&attributes, kind));
    Some((number(&header[4..])?, ip(address?)?))
}

fn ip(value: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(value).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(value).map(IpAddr::from)).ok()
}

/// A link as a message has it.
pub struct LinkRecord<'a> {
    pub index: u32,
    pub up: bool,
    pub attributes: Vec<(u16, &'a [u8])>,
}

/// Behind a `struct ifinfomsg`: family (1 octet), nothing (1), type (2), index, flags, changed flags (4 each).
pub fn link_record(payload: &[u8]) -> Option<LinkRecord<'_>> {
    let (header, rest) = payload.split_at_checked(16)?;
    let (index, flags) = (number(&header[4..])?, number(&header[8..])?);
    Some(LinkRecord { index, up: flags & UP != 0, attributes: attributes(rest) })
}

fn read_link(payload: &[u8]) -> Option<Link> {
    let LinkRecord { index, up, attributes } = link_record(payload)?;
    let name = text(find(&attributes, NAME)?);
    let mtu = find(&attributes, MTU).and_then(number).unwrap_or(0);
    let stacked = stacked::read(&attributes);
    (!name.is_empty()).then_some(Link { index, name, up, mtu, addresses: Vec::new(), stacked })
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

/// Of a `struct rtmsg`: eight fields of an octet each, and the flags (4), which say how the route is at the moment.
fn read_route(payload: &[u8]) -> Option<Route> {
    let (header, rest) = payload.split_at_checked(12)?;
    let attributes = attributes(rest);
    let anchor = ip(find(&attributes, DESTINATION)?)?;
    let interface = number(find(&attributes, OUTPUT)?)?;
    let (slot, direction, lane) = anchor_of(anchor)?;
    let family = Family::of(anchor);
    let mut ours = [0; 12];
    header_of(direction, family).emit(&mut ours);
    let mtu = find(&attributes, METRICS).and_then(read_mtu);
    (header[..8] == ours[..8]).then_some(Route { slot, direction, family, lane, interface, mtu })
}

fn read_mtu(metrics: &[u8]) -> Option<u32> {
    find(&attributes(metrics), RTAX_MTU).and_then(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Lane, Slot};

    fn octets(message: &RouteMessage) -> Vec<u8> {
        let mut octets = vec![0; message.buffer_len()];
        message.emit(&mut octets);
        octets
    }

    fn example(direction: Direction) -> Route {
        let (slot, family, lane) = (Slot::new(5).unwrap(), Family::V4, Lane::Unicast);
        Route { slot, direction, family, lane, interface: 3, mtu: None }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for direction in [Direction::Inbound, Direction::Outbound] {
            for (family, mtu) in [(Family::V4, None), (Family::V4, Some(1400)), (Family::V6, Some(1280))] {
                let route = Route { family, mtu, ..example(direction) };
                assert_eq!(read_route(&octets(&write_route(route))), Some(route));
            }
        }
        let route = Route { family: Family::V6, lane: Lane::Multicast, ..example(Direction::Outbound) };
        assert_eq!(read_route(&octets(&write_route(route))), Some(route));
    }

    #[test]
    fn routes_of_others_are_left_alone() {
        let mut message = write_route(example(Direction::Outbound));
        message.header.protocol = RouteProtocol::Static;
        assert_eq!(read_route(&octets(&message)), None);
    }

    #[test]
    fn damaged_messages_are_read_as_far_as_they_go() {
        let whole = octets(&write_route(Route { mtu: Some(1400), ..example(Direction::Outbound) }));
        let mut link = vec![0; 16];
        link.extend([8, 0, 3, 0, b'w', 0xfc, 0, 0, 8, 0, 4, 0, 0, 5, 0, 0]);
        for end in 0..=whole.len().max(link.len()) {
            let (route, link) = (&whole[..end.min(whole.len())], &link[..end.min(link.len())]);
            let _ = (read_route(route), read_link(link), read_address(link));
        }
        assert_eq!(read_link(&link).map(|link| (link.name, link.up)), Some(("w\u{fffd}".into(), false)));
    }
}
