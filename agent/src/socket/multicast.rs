//! Multicast groups: joined on one interface each, and sent to by one.

use super::Device;
use crate::addresses;
use crate::config::{InterfaceName, MulticastRoute};
use gdoi::policy::Family;
use nix::net::if_::if_nametoindex;
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockRef, Type};
use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::task::{Context, Poll};
use tokio::io::ReadBuf;

/// A multicast group and where it is listened to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Listening {
    /// The group and its UDP port.
    pub group: SocketAddr,
    /// The interface.
    pub interface: String,
}

/// The sockets of the groups that are listened to.
#[derive(Debug, Default)]
pub struct Ears {
    ears: Vec<Ear>,
    /// Those that could not be joined when they were tried last.
    deaf: HashSet<Listening>,
}

/// A socket of its own: the main one is bound to an address of this host and so hears no group.
#[derive(Debug)]
struct Ear {
    listening: Listening,
    /// The kernel's number of the interface; a new interface of the same name has another one.
    interface: u32,
    /// That of the device of the main socket, which the interface is in.
    device: Option<u32>,
    socket: tokio::net::UdpSocket,
}

impl Ears {
    /// See [`super::Socket::listen`].
    pub fn listen(&mut self, wanted: &[Listening], device: Option<&Device>) -> Vec<String> {
        let index = device.map(|device| device.index);
        self.ears.retain(|ear| wanted.contains(&ear.listening) && ear.device == index && ear.still_hears());
        self.deaf.retain(|listening| wanted.contains(listening));
        let mut problems = Vec::new();
        for listening in wanted {
            if self.ears.iter().any(|ear| ear.listening == *listening) {
                continue;
            }
            match Ear::open(listening, device) {
                Ok(ear) => {
                    self.deaf.remove(listening);
                    self.ears.push(ear);
                }
                Err(error) if self.deaf.insert(listening.clone()) => problems.push(listening.problem(&error)),
                Err(_) => {}
            }
        }
        problems
    }

    pub fn poll_receive(
        &self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<SocketAddr>> {
        let mut polled = self.ears.iter().map(|ear| ear.socket.poll_recv_from(context, buffer));
        polled.find(Poll::is_ready).unwrap_or(Poll::Pending)
    }
}

impl Listening {
    fn problem(&self, error: &io::Error) -> String {
        let reason = error.to_string();
        let reason = reason.split(" (os error").next().unwrap_or(&reason);
        format!("cannot listen to {} on {}: {reason}", self.group, self.interface)
    }
}

impl Ear {
    fn open(listening: &Listening, device: Option<&Device>) -> io::Result<Self> {
        let interface = if_nametoindex(listening.interface.as_str())?;
        let group = listening.group;
        let socket = socket2::Socket::new(Domain::for_address(group), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        if let Some(device) = device {
            socket.bind_device(Some(device.name.as_bytes()))?;
        }
        // Other programs may listen to the group, too.
        socket.set_reuse_address(true)?;
        match group.ip() {
            IpAddr::V4(_) => socket.set_multicast_all_v4(false)?,
            IpAddr::V6(_) => socket.set_multicast_all_v6(false)?,
        }
        socket.bind(&group.into())?;
        match group.ip() {
            IpAddr::V4(group) => {
                socket.join_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(interface))?;
            }
            IpAddr::V6(group) => socket.join_multicast_v6(&group, interface)?,
        }
        let socket = tokio::net::UdpSocket::from_std(UdpSocket::from(socket))?;
        let device = device.map(|device| device.index);
        Ok(Ear { listening: listening.clone(), interface, device, socket })
    }

    fn still_hears(&self) -> bool {
        if_nametoindex(self.listening.interface.as_str()).is_ok_and(|index| index == self.interface)
    }
}

/// Makes the socket send the next datagram to a group by this route.
pub fn prepare(socket: &UdpSocket, route: &MulticastRoute) -> io::Result<()> {
    let (own, socket) = (socket.local_addr()?.ip(), SockRef::from(socket));
    match own {
        IpAddr::V4(own) => {
            let address = route.interface.as_ref().map_or(Ok(own), address_of)?;
            socket.set_multicast_if_v4(&address)?;
            socket.set_multicast_ttl_v4(route.ttl.into())
        }
        IpAddr::V6(_) => {
            socket.set_multicast_if_v6(number_of(route.interface.as_ref(), own)?)?;
            socket.set_multicast_hops_v6(route.ttl.into())
        }
    }
}

fn address_of(interface: &InterfaceName) -> io::Result<Ipv4Addr> {
    match addresses::of_this_host()?.first_of(interface.as_str(), Family::V4) {
        Some(IpAddr::V4(address)) => Ok(address),
        _ => Err(io::Error::other(format!("{interface} has no IPv4 address"))),
    }
}

/// The kernel's number of this interface, or of the one that has the address `own`.
fn number_of(interface: Option<&InterfaceName>, own: IpAddr) -> io::Result<u32> {
    if let Some(interface) = interface {
        return Ok(if_nametoindex(interface.as_str())?);
    }
    match addresses::of_this_host()?.interface_of(own) {
        Some(interface) => Ok(if_nametoindex(interface)?),
        None => Err(io::Error::other(format!("no interface has the address {own}"))),
    }
}
