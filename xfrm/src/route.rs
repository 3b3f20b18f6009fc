//! Anchor routes, interfaces and addresses: the only place that knows netlink-packet-route. It writes with that crate, and
//! reads attribute by attribute: the crate refuses a whole list for one alias that is no UTF-8.
//!
//! It uses the blocking socket and not the rtnetlink crate, whose handle needs a tokio runtime: these few requests are
//! made between changes of states and policies, in an order that matters.

mod interface;
mod stacked;

use std::collections::HashMap;
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
use crate::object::{anchor_of, Direction, Link, Route, Vrf};
use crate::socket::Socket;

pub use interface::{interfaces, remove_interface, set_interface};

/// Who added a route: a number that nobody else has (84 is OVN's), by which routing daemons can be told not to export it.
const OWNER: RouteProtocol = RouteProtocol::Other(148);
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
/// RTA_DST, RTA_OIF, RTA_METRICS and RTA_TABLE.
const DESTINATION: u16 = 1;
const OUTPUT: u16 = 4;
const METRICS: u16 = 8;
const TABLE: u16 = 15;

/// All interfaces with their addresses.
pub fn links(socket: &mut Socket) -> io::Result<Vec<Link>> {
    let mut links = resolved(
        socket.dump(&all_links(), |(kind, payload)| Ok(read_link(payload).filter(|_| kind == NEW_LINK)))?,
    );
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

/// The interface by which an address is reached, as this router's own packets would be; none when it is not.
pub fn leads(socket: &mut Socket, address: IpAddr) -> io::Result<Option<u32>> {
    let family = Family::of(address);
    let mut message = RouteMessage::default();
    message.header.address_family = family_of(family);
    message.header.destination_prefix_length = family.bits();
    message.attributes.push(RouteAttribute::Destination(address_of(address)));
    let mut found = None;
    socket.ask(&RouteNetlinkMessage::GetRoute(message), |(kind, payload)| {
        if kind == NEW_ROUTE {
            let rest = payload.get(12..).unwrap_or_default();
            found = find(&attributes(rest), OUTPUT).and_then(number);
        }
        Ok(())
    })?;
    Ok(found)
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

/// A link, and the index of the one that it is enslaved to.
fn read_link(payload: &[u8]) -> Option<Link> {
    let LinkRecord { index, up, attributes } = link_record(payload)?;
    let name = text(find(&attributes, NAME)?);
    let mtu = find(&attributes, MTU).and_then(number).unwrap_or(0);
    let vrf = interface::vrf_table(&attributes).map(|table| Vrf { index, name: name.clone(), table });
    let stacked = stacked::read(&attributes);
    (!name.is_empty()).then_some(Link { index, name, up, mtu, addresses: Vec::new(), vrf, stacked })
}

/// Links with the VRFs that they are in.
fn resolved(read: Vec<Link>) -> Vec<Link> {
    let vrfs: HashMap<_, _> = read.iter().filter_map(|link| Some((link.index, link.vrf.clone()?))).collect();
    let resolve = |link: Link| {
        let vrf = link.vrf.or_else(|| vrfs.get(&link.stacked.master?).cloned());
        Link { vrf, ..link }
    };
    read.into_iter().map(resolve).collect()
}

fn address_of(address: IpAddr) -> RouteAddress {
    match address {
        IpAddr::V4(address) => RouteAddress::Inet(address),
        IpAddr::V6(address) => RouteAddress::Inet6(address),
    }
}

fn write_route(route: Route) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header = header_of(route.direction, route.family);
    message.attributes.push(RouteAttribute::Destination(address_of(route.anchor())));
    message.attributes.push(RouteAttribute::Oif(route.interface));
    message.attributes.push(RouteAttribute::Table(route.table));
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

/// IPv6 routes have no scope. The number of the table is an attribute, because it may have more than 8 bits.
fn header_of(direction: Direction, family: Family) -> RouteHeader {
    let (kind, scope) = match direction {
        Direction::Inbound => (RouteType::Local, RouteScope::Host),
        Direction::Outbound => (RouteType::Unicast, RouteScope::Link),
    };
    RouteHeader {
        address_family: family_of(family),
        destination_prefix_length: family.bits(),
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
    let table = find(&attributes, TABLE).and_then(number).unwrap_or(header[4].into());
    let is_ours = header[..4] == ours[..4] && header[5..8] == ours[5..8];
    is_ours.then_some(Route { slot, direction, family, lane, table, interface, mtu })
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
        Route { slot, direction, family, lane, table: Route::MAIN, interface: 3, mtu: None }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for direction in [Direction::Inbound, Direction::Outbound] {
            for (family, mtu) in [(Family::V4, None), (Family::V4, Some(1400)), (Family::V6, Some(1280))] {
                for table in [Route::MAIN, Route::LOCAL, 10, 100_000] {
                    let route = Route { family, mtu, table, ..example(direction) };
                    assert_eq!(read_route(&octets(&write_route(route))), Some(route));
                }
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
        let read = read_link(&link).map(|link| (link.name, link.up, link.stacked.master));
        assert_eq!(read, Some(("w\u{fffd}".into(), false, None)));
    }

    #[test]
    fn a_link_is_in_the_vrf_that_it_is_enslaved_to() {
        let attribute = |kind: u16, value: &[u8]| {
            let mut octets =
                [&(value.len() as u16 + 4).to_ne_bytes()[..], &kind.to_ne_bytes(), value].concat();
            octets.resize(octets.len().next_multiple_of(4), 0);
            octets
        };
        let link = |index: u32, name: &str, rest: Vec<u8>| {
            let mut payload = vec![0; 16];
            payload[4..8].copy_from_slice(&index.to_ne_bytes());
            payload.extend(attribute(NAME, name.as_bytes()));
            payload.extend(rest);
            read_link(&payload).unwrap()
        };
        let data = attribute(2, &attribute(1, &10u32.to_ne_bytes()));
        let info = |kind: &str| attribute(18, &[attribute(1, kind.as_bytes()), data.clone()].concat());
        // IFLA_MASTER.
        let enslaved = |master: u32| attribute(10, &master.to_ne_bytes());
        let links = resolved(vec![
            link(3, "wan", enslaved(7)),
            link(4, "port", enslaved(8)),
            link(7, "red", info("vrf\0")),
            link(8, "bridge", info("bridge\0")),
        ]);
        let red = Some(Vrf { index: 7, name: "red".into(), table: 10 });
        let vrfs: Vec<_> = links.into_iter().map(|link| link.vrf).collect();
        assert_eq!(vrfs, [red.clone(), None, red, None]);
    }
}
