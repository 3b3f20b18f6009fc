//! The raw sockets that hear what routers of the core say about our ESP. The rules of nftables hand them to an anchor of
//! the plane, so that they come here, although they are addressed to hosts.

use super::packet::{read_v4, read_v6, TooBig};
use crate::readable::Readable;
use socket2::{Domain, Protocol, SockFilter, Socket, Type};
use std::future::poll_fn;
use std::io::{self, Read};
use std::task::Poll;

/// Longer than any ICMP message that quotes no more than it may (RFC 1812 section 4.3.2.3, RFC 4443 section 2.4).
const LONGEST: usize = 2_048;

/// So many messages are read at a time.
const AT_A_TIME: usize = 100;

type Parser = fn(&[u8]) -> Option<TooBig>;

/// Hears of packets that were too big.
pub struct PathMtuReader {
    ears: Vec<(Readable<Socket>, Parser)>,
}

impl PathMtuReader {
    /// Listens from now on, to IPv6 where the kernel has it. Must be called inside the runtime.
    ///
    /// # Errors
    /// The capability CAP_NET_RAW is missing.
    pub fn open() -> io::Result<Self> {
        let mut ears: Vec<(_, Parser)> =
            vec![(listen(Domain::IPV4, Protocol::ICMPV4, &wanted_v4())?, read_v4)];
        // A kernel may come without IPv6.
        let v6 = listen(Domain::IPV6, Protocol::ICMPV6, &wanted_v6()).ok();
        ears.extend(v6.map(|socket| (socket, read_v6 as Parser)));
        Ok(PathMtuReader { ears })
    }

    /// The next message that there is.
    pub fn next(&self) -> Option<TooBig> {
        self.ears.iter().find_map(|(socket, parser)| {
            (0..AT_A_TIME).map_while(|_| receive(socket.get()).ok()).find_map(|octets| parser(&octets))
        })
    }

    /// Waits until [`Self::next`] has something to look at. May be dropped at any time without loss.
    pub async fn ready(&self) {
        poll_fn(|context| {
            let mut polled = self.ears.iter().map(|(socket, _)| socket.poll(context, look));
            polled.find(Poll::is_ready).unwrap_or(Poll::Pending)
        })
        .await;
    }
}

fn listen(domain: Domain, protocol: Protocol, wanted: &[SockFilter]) -> io::Result<Readable<Socket>> {
    let socket = Socket::new(domain, Type::RAW, Some(protocol))?;
    socket.attach_filter(wanted)?;
    socket.set_nonblocking(true)?;
    Readable::new(socket)
}

fn receive(mut socket: &Socket) -> io::Result<Vec<u8>> {
    let mut octets = vec![0; LONGEST];
    let length = socket.read(&mut octets)?;
    octets.truncate(length);
    Ok(octets)
}

/// Looks without taking.
fn look(socket: &Socket) -> io::Result<()> {
    socket.peek(&mut [std::mem::MaybeUninit::uninit(); 1]).map(drop)
}

/// Classic BPF, so that a flood of other ICMP does not wake the daemon: from the IPv4 header on, type 3 and code 4.
fn wanted_v4() -> [SockFilter; 7] {
    [
        SockFilter::new(0xb1, 0, 0, 0), // x = length of the IPv4 header
        SockFilter::new(0x50, 0, 0, 0), // a = octet x
        SockFilter::new(0x15, 0, 3, 3), // if a != 3 refuse
        SockFilter::new(0x50, 0, 0, 1), // a = octet x + 1
        SockFilter::new(0x15, 0, 1, 4), // if a != 4 refuse
        SockFilter::new(0x06, 0, 0, u32::MAX),
        SockFilter::new(0x06, 0, 0, 0),
    ]
}

/// From the ICMPv6 header on, type 2.
fn wanted_v6() -> [SockFilter; 4] {
    [
        SockFilter::new(0x30, 0, 0, 0), // a = octet 0
        SockFilter::new(0x15, 0, 1, 2), // if a != 2 refuse
        SockFilter::new(0x06, 0, 0, u32::MAX),
        SockFilter::new(0x06, 0, 0, 0),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::packet::tests::{icmp, icmpv6};
    use super::*;
    use std::net::SocketAddr;
    use std::time::Duration;
    use xfrm::Family;

    fn send(message: &[u8]) {
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4)).unwrap();
        let to: SocketAddr = "127.0.0.1:0".parse().unwrap();
        socket.send_to(message, &to.into()).unwrap();
    }

    /// The kernel puts the checksum in.
    fn send_v6(message: &[u8]) -> io::Result<usize> {
        let socket = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6))?;
        let to: SocketAddr = "[::1]:0".parse().unwrap();
        socket.send_to(message, &to.into())
    }

    /// Needs the right to raw sockets, which an ordinary user has not.
    #[test]
    fn real_messages_arrive_and_others_do_not_wake_anybody() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let reader = match PathMtuReader::open() {
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return,
                reader => reader.unwrap(),
            };
            let soon = Duration::from_millis(200);
            let mut echo = icmp(7, 1400);
            echo[1] = 3;
            send(&echo);
            assert!(tokio::time::timeout(soon, reader.ready()).await.is_err(), "another code wakes");
            send(&icmp(0x1234_5678, 1400));
            tokio::time::timeout(soon * 10, reader.ready()).await.unwrap();
            let said = TooBig { family: Family::V4, spi: 0x1234_5678, mtu: 1400 };
            assert_eq!(reader.next(), Some(said));
            if send_v6(&icmpv6(0x1234_5678, 1400)).is_ok() {
                tokio::time::timeout(soon * 10, reader.ready()).await.unwrap();
                assert_eq!(reader.next(), Some(TooBig { family: Family::V6, ..said }));
            }
            assert_eq!(reader.next(), None);
            assert!(tokio::time::timeout(soon, reader.ready()).await.is_err(), "nothing is left");
        });
    }
}
