//! GDOI's own traffic.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ::policy::PolicyError;

use crate::model::{Family, Plane, Ports, Prefix, Selector, Side};
use crate::object::Direction;
use crate::Error;

const IGMP: u8 = 2;
const UDP: u8 = 17;
/// Where IGMP queries go: all hosts of the link.
const ALL_HOSTS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);
/// Where a host of IGMP version 2 takes leave of a group.
const ALL_ROUTERS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 2);
/// Where reports of IGMP version 3 go.
const IGMP_ROUTERS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 22);

/// What must never be held or encrypted.
///
/// # Errors
/// Addresses of one packet are of different families.
pub fn gdoi(plane: &Plane, direction: Direction) -> Result<Vec<Selector>, Error> {
    let servers = plane.servers.iter().map(|server| unicast(plane.local, server, direction));
    let rekeys = plane.rekey_group.iter().flat_map(|group| rekeys(&plane.servers, group, direction));
    Ok(servers.chain(rekeys).collect::<Result<_, PolicyError>>()?)
}

/// A server of the other family is spoken to from whatever address leads there.
fn unicast(local: IpAddr, server: &SocketAddr, direction: Direction) -> Result<Selector, PolicyError> {
    let there = Side { prefix: Prefix::host(server.ip()), ports: Some(Ports::one(server.port())) };
    let here = Some(Prefix::host(local)).filter(|here| here.family() == there.prefix.family());
    let here = here.unwrap_or(Prefix::any(there.prefix.family())).into();
    match direction {
        Direction::Outbound => Selector::new(Some(UDP), here, there),
        Direction::Inbound => Selector::new(Some(UDP), there, here),
    }
}

/// Rekey messages to a multicast group, and the IGMP that keeps this router in it; what IPv6 has instead always passes.
fn rekeys(
    servers: &[SocketAddr],
    group: &SocketAddr,
    direction: Direction,
) -> Vec<Result<Selector, PolicyError>> {
    let side = |to: &SocketAddr| Side { prefix: Prefix::host(to.ip()), ports: Some(Ports::one(to.port())) };
    let igmp = |to: IpAddr| {
        let (from, to) = (Prefix::any(Family::of(to)), Prefix::host(to));
        Selector::new(Some(IGMP), from.into(), to.into())
    };
    let routers = match (direction, group.ip()) {
        (_, IpAddr::V6(_)) => Vec::new(),
        (Direction::Outbound, group) => vec![IGMP_ROUTERS.into(), ALL_ROUTERS.into(), group],
        (Direction::Inbound, group) => vec![ALL_HOSTS.into(), group],
    };
    let servers = servers.iter().filter(|server| server.is_ipv4() == group.is_ipv4());
    let messages = servers
        .filter(|_| direction == Direction::Inbound)
        .map(|server| Selector::new(Some(UDP), side(server), side(group)));
    messages.chain(routers.into_iter().map(igmp)).collect()
}
