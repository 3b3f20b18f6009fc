//! GDOI's own traffic.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::model::{Family, Plane, Ports, Prefix, Selector};
use crate::object::Direction;

const IGMP: u8 = 2;
const UDP: u8 = 17;
/// Where IGMP queries go: all hosts of the link.
const ALL_HOSTS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);
/// Where a host of IGMP version 2 takes leave of a group.
const ALL_ROUTERS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 2);
/// Where reports of IGMP version 3 go.
const IGMP_ROUTERS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 22);

/// What must never be held or encrypted.
pub fn gdoi(plane: &Plane, direction: Direction) -> Vec<Selector> {
    let servers = plane.servers.iter().map(|server| unicast(plane.local, server, direction));
    let rekeys = plane.rekey_group.iter().flat_map(|group| rekeys(&plane.servers, group, direction));
    servers.chain(rekeys).collect()
}

/// A server of the other family is spoken to from whatever address leads there.
fn unicast(local: IpAddr, server: &SocketAddr, direction: Direction) -> Selector {
    let (there, port) = (Prefix::host(server.ip()), Some(Ports::only(server.port())));
    let here = Some(Prefix::host(local)).filter(|here| here.family() == there.family());
    let here = here.unwrap_or(Prefix::any(there.family()));
    match direction {
        Direction::Outbound => {
            Selector { protocol: Some(UDP), destination_ports: port, ..Selector::between(here, there) }
        }
        Direction::Inbound => {
            Selector { protocol: Some(UDP), source_ports: port, ..Selector::between(there, here) }
        }
    }
}

/// Rekey messages to a multicast group, and the IGMP that keeps this router in it; what IPv6 has instead always passes.
fn rekeys(servers: &[SocketAddr], group: &SocketAddr, direction: Direction) -> Vec<Selector> {
    let to = |address: IpAddr| Selector::between(Prefix::any(Family::of(address)), Prefix::host(address));
    let igmp = |address: IpAddr| Selector { protocol: Some(IGMP), ..to(address) };
    let message = |server: &SocketAddr| Selector {
        source: Prefix::host(server.ip()),
        protocol: Some(UDP),
        source_ports: Some(Ports::only(server.port())),
        destination_ports: Some(Ports::only(group.port())),
        ..to(group.ip())
    };
    let routers = match (direction, group.ip()) {
        (_, IpAddr::V6(_)) => Vec::new(),
        (Direction::Outbound, group) => vec![IGMP_ROUTERS.into(), ALL_ROUTERS.into(), group],
        (Direction::Inbound, group) => vec![ALL_HOSTS.into(), group],
    };
    let servers = servers.iter().filter(|server| server.is_ipv4() == group.is_ipv4());
    let messages = servers.filter(|_| direction == Direction::Inbound).map(message);
    messages.chain(routers.into_iter().map(igmp)).collect()
}
