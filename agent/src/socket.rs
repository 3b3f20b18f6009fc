//! The UDP sockets: one that everything is sent from, and one for each multicast group that is listened to.

mod multicast;

use crate::config::MulticastRoute;
use gdoi::wire::ExchangeType;
use multicast::Ears;
pub use multicast::Listening;
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, Type};
use std::collections::HashSet;
use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::task::Poll;
use std::time::Duration;
use tokio::io::ReadBuf;

/// The largest datagram there is, in octets.
const MAX_DATAGRAM: usize = 65_535;

/// Room for datagrams that have come and wait, octets: for a moment in which the daemon writes to its disk. The kernel gives
/// at most what `net.core.rmem_max` says to who may not have more.
const RECEIVE_BUFFER: usize = 4 * 1024 * 1024;

/// How many peers are remembered as unreachable, so that each is logged once.
const MAX_UNREACHABLE: usize = 1_000;

/// Where a socket is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its address.
    pub address: SocketAddr,
    /// What it sends and receives by alone; None is all that there is, or what the process was started in (`ip vrf exec`).
    pub device: Option<Device>,
}

/// An interface, a VRF for example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its name.
    pub name: String,
    /// Its number; another interface of the same name has another one.
    pub index: u32,
}

/// A UDP socket and its multicast groups: receiving waits, sending does not.
#[derive(Debug)]
pub struct Socket {
    receiving: tokio::net::UdpSocket,
    /// The same socket; tokio's own non-blocking send refuses until its reactor has seen the socket writable.
    sending: UdpSocket,
    /// Where it was asked to be.
    place: Place,
    /// Where it could not go, so that this is told once.
    refused: Option<Place>,
    ears: Ears,
    buffer: Vec<u8>,
    unreachable: HashSet<SocketAddr>,
}

impl Socket {
    /// Binds to `address`, which an interface may get later. Must be called inside the runtime.
    ///
    /// # Errors
    /// The port is taken, or this process may not use it.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        Self::open(Place { address, device: None })
    }

    /// The same in another place.
    ///
    /// # Errors
    /// As [`Self::bind`], or the device is not there.
    pub fn open(place: Place) -> io::Result<Self> {
        let (receiving, sending) = open(&place)?;
        let (ears, buffer) = (Ears::default(), vec![0; MAX_DATAGRAM]);
        Ok(Socket { receiving, sending, place, refused: None, ears, buffer, unreachable: HashSet::new() })
    }

    /// Moves to `place` unless it is there already. What it had received and nobody read is lost, as the network may
    /// lose it, too. The first failure is the answer, until the place changes; the next call tries it again.
    pub fn follow(&mut self, place: Place) -> Option<io::Error> {
        if place == self.place {
            return None;
        }
        match open(&place) {
            Ok((receiving, sending)) => {
                (self.receiving, self.sending, self.place) = (receiving, sending, place);
                self.refused = None;
                self.unreachable.clear();
                None
            }
            Err(error) => (self.refused.replace(place.clone()) != Some(place)).then_some(error),
        }
    }

    /// The name of the only interface that it sends and receives by, also where somebody else has decided that.
    pub fn device(&self) -> Option<String> {
        let name = socket2::SockRef::from(&self.sending).device().ok()??;
        Some(String::from_utf8_lossy(&name).into_owned())
    }

    /// Listens to exactly these multicast groups from now on. Answers one line for each that cannot be joined, once;
    /// the next call tries it again.
    pub fn listen(&mut self, wanted: &[Listening]) -> Vec<String> {
        self.ears.listen(wanted, self.place.device.as_ref())
    }

    /// The next datagram and its sender. An ICMP error that the kernel reports here is none, and no end either.
    pub async fn receive(&mut self) -> (SocketAddr, &[u8]) {
        loop {
            let (ears, mut buffer) = (&self.ears, ReadBuf::new(&mut self.buffer));
            let receiving = &self.receiving;
            let received = poll_fn(|context| match receiving.poll_recv_from(context, &mut buffer) {
                Poll::Pending => ears.poll_receive(context, &mut buffer),
                ready => ready,
            });
            match received.await {
                Ok(from) => {
                    let length = buffer.filled().len();
                    let datagram = &self.buffer[..length];
                    trace("received", "from", from, datagram);
                    return (from, datagram);
                }
                Err(error) => tracing::debug!("receiving: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// A datagram that has come already, and its sender; None when there is no other. Not of multicast groups.
    pub fn receive_waiting(&mut self) -> Option<(SocketAddr, &[u8])> {
        // An ICMP error that the kernel reports here is none, and the next call goes on behind it.
        let (length, from) = self.sending.recv_from(&mut self.buffer).ok()?;
        let datagram = &self.buffer[..length];
        trace("received", "from", from, datagram);
        Some((from, datagram))
    }

    /// Sends a datagram or loses it, as the network may, too; the endpoint repeats what matters. The first
    /// failure towards a peer is the answer, until one succeeds. A multicast group is sent to by its route.
    pub fn send(
        &mut self,
        to: SocketAddr,
        payload: &[u8],
        route: Option<&MulticastRoute>,
    ) -> Option<io::Error> {
        let prepared = route.map_or(Ok(()), |route| multicast::prepare(&self.sending, route));
        match prepared.and_then(|()| self.sending.send_to(payload, to)) {
            Ok(_) => {
                trace("sent", "to", to, payload);
                self.unreachable.remove(&to);
                None
            }
            Err(error) => self.is_news(to).then_some(error),
        }
    }

    fn is_news(&mut self, peer: SocketAddr) -> bool {
        if self.unreachable.len() == MAX_UNREACHABLE {
            self.unreachable.clear();
        }
        self.unreachable.insert(peer)
    }
}

/// What a datagram says that it is, for who wants to see each; nothing of its contents.
fn trace(what: &str, way: &str, peer: SocketAddr, datagram: &[u8]) {
    let kind = || ExchangeType::claimed_by(datagram).map_or("no message".into(), |kind| kind.to_string());
    tracing::debug!("{what} {} octets {way} {peer}: {}", datagram.len(), kind());
}

/// The same socket twice.
fn open(place: &Place) -> io::Result<(tokio::net::UdpSocket, UdpSocket)> {
    let sending = bind_early(place)?;
    Ok((tokio::net::UdpSocket::from_std(sending.try_clone()?)?, sending))
}

fn bind_early(Place { address, device }: &Place) -> io::Result<UdpSocket> {
    let address = *address;
    let socket = socket2::Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    if let Some(device) = device {
        socket.bind_device(Some(device.name.as_bytes()))?;
    }
    if setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
        // What it has by itself does as well, for less.
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    }
    match address {
        SocketAddr::V4(_) => socket.set_freebind_v4(true)?,
        SocketAddr::V6(_) => {
            socket.set_only_v6(true)?;
            socket.set_freebind_v6(true)?;
        }
    }
    socket.bind(&address.into())?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_runtime<T>(test: impl std::future::Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
    }

    fn local() -> Socket {
        Socket::bind("127.0.0.1:0".parse().unwrap()).unwrap()
    }

    #[test]
    fn the_first_datagram_goes_out_at_once_and_comes_in_whole() {
        with_runtime(async {
            let (mut sender, mut receiver) = (local(), local());
            let (from, to) = (sender.sending.local_addr().unwrap(), receiver.sending.local_addr().unwrap());
            let payload = vec![7; 60_000];
            assert!(sender.send(to, &payload, None).is_none());
            assert_eq!(receiver.receive().await, (from, payload.as_slice()));
        });
    }

    #[test]
    fn what_has_come_is_read_at_once_and_no_more() {
        with_runtime(async {
            let (mut sender, mut receiver) = (local(), local());
            let to = receiver.sending.local_addr().unwrap();
            (0..3).for_each(|number| assert!(sender.send(to, &[number], None).is_none()));
            assert_eq!(receiver.receive().await.1, [0]);
            assert_eq!(receiver.receive_waiting().map(|(_, octets)| octets.to_vec()), Some(vec![1]));
            assert_eq!(receiver.receive_waiting().map(|(_, octets)| octets.to_vec()), Some(vec![2]));
            assert_eq!(receiver.receive_waiting(), None);
            assert!(sender.send(to, &[3], None).is_none());
            assert_eq!(receiver.receive().await.1, [3]);
        });
    }

    #[test]
    fn ipv6_is_spoken_and_its_groups_are_joined() {
        with_runtime(async {
            let bind = || Socket::bind("[::1]:0".parse().unwrap()).unwrap();
            let (mut sender, mut receiver) = (bind(), bind());
            let (from, to) = (sender.sending.local_addr().unwrap(), receiver.sending.local_addr().unwrap());
            assert!(sender.send(to, b"to one", None).is_none());
            assert_eq!(receiver.receive().await, (from, &b"to one"[..]));
            let group = "[ff15::77:1]:38849".parse().unwrap();
            let wanted = Listening { group, interface: "lo".parse().unwrap() };
            assert_eq!(receiver.listen(&[wanted]), Vec::<String>::new());
            assert!(Socket::bind("[2001:db8::77]:0".parse().unwrap()).is_ok(), "it may come later");
        });
    }

    #[test]
    fn a_dead_port_does_not_stop_the_socket() {
        with_runtime(async {
            let (mut socket, mut peer) = (local(), local());
            let dead = local().sending.local_addr().unwrap();
            socket.send(dead, b"anybody there?", None);
            let to = socket.sending.local_addr().unwrap();
            assert!(peer.send(to, b"here", None).is_none());
            assert_eq!(socket.receive().await.1, b"here");
        });
    }

    #[test]
    fn a_peer_that_cannot_be_reached_is_news_once() {
        with_runtime(async {
            let mut socket = local();
            let nowhere = "240.0.0.1:848".parse().unwrap();
            assert!(socket.send(nowhere, b"x", None).is_some());
            assert!(socket.send(nowhere, b"x", None).is_none());
        });
    }

    #[test]
    fn a_multicast_group_is_heard_where_it_was_joined_and_while_it_is_wanted() {
        with_runtime(async {
            let (mut sender, mut receiver) = (local(), local());
            let group = "239.255.77.1:38848".parse().unwrap();
            let wanted = Listening { group, interface: "lo".parse().unwrap() };
            assert_eq!(receiver.listen(&[wanted.clone(), wanted.clone()]), Vec::<String>::new());
            let route = MulticastRoute { group, interface: wanted.interface.parse().ok(), ttl: 3 };
            let mut heard = async |receiver: &mut Socket| {
                assert!(sender.send(group, b"rekey", Some(&route)).is_none());
                tokio::time::timeout(Duration::from_millis(200), receiver.receive()).await.is_ok()
            };
            assert!(heard(&mut receiver).await);
            assert!(receiver.listen(&[wanted]).is_empty() && heard(&mut receiver).await);
            assert!(receiver.listen(&[]).is_empty() && !heard(&mut receiver).await);
        });
    }

    #[test]
    fn a_group_that_cannot_be_joined_or_sent_to_is_told_once() {
        with_runtime(async {
            let mut socket = local();
            let group = "239.255.77.2:38848".parse().unwrap();
            let interface = "nowhere0".parse().unwrap();
            let wanted = [Listening { group, interface }];
            let problems = socket.listen(&wanted);
            assert_eq!(problems, ["cannot listen to 239.255.77.2:38848 on nowhere0: No such device"]);
            assert!(socket.listen(&wanted).is_empty());
            let route = MulticastRoute { group, interface: wanted[0].interface.parse().ok(), ttl: 1 };
            let error = socket.send(group, b"x", Some(&route)).unwrap();
            assert_eq!(error.to_string(), "nowhere0 has no IPv4 address");
        });
    }

    #[test]
    fn a_socket_moves_and_says_once_where_it_cannot_go() {
        with_runtime(async {
            let (mut socket, taken) = (local(), local());
            let taken = taken.sending.local_addr().unwrap();
            let at = |address| Place { address, device: None };
            assert!(socket.follow(at(taken)).is_some() && socket.follow(at(taken)).is_none());
            let before = socket.sending.local_addr().unwrap();
            assert!(socket.follow(at("127.0.0.2:0".parse().unwrap())).is_none());
            let after = socket.sending.local_addr().unwrap();
            assert!(after != before && after.ip() == std::net::Ipv4Addr::new(127, 0, 0, 2));
            assert!(socket.send(after, b"to itself", None).is_none());
            assert_eq!(socket.receive().await, (after, b"to itself".as_slice()));
            assert!(
                socket.follow(at(taken)).is_some(),
                "where it was refused before it came here is news again"
            );
        });
    }

    #[test]
    fn a_socket_of_a_device_is_there_alone() {
        with_runtime(async {
            let address = "127.0.0.1:0".parse().unwrap();
            let device = |name: &str, index| Some(Device { name: name.into(), index });
            let mut socket = Socket::open(Place { address, device: device("lo", 1) }).unwrap();
            assert_eq!((socket.device().as_deref(), local().device()), (Some("lo"), None));
            assert!(Socket::open(Place { address, device: device("nowhere0", 2) }).is_err());
            assert!(socket.follow(Place { address, device: None }).is_none() && socket.device().is_none());
        });
    }

    #[test]
    fn an_address_may_come_later() {
        with_runtime(async { assert!(Socket::bind("192.0.2.1:0".parse().unwrap()).is_ok()) });
    }
}
