//! The UDP socket.

use nix::sys::socket::{bind, setsockopt, socket, sockopt, AddressFamily, SockFlag, SockType, SockaddrIn};
use std::collections::HashSet;
use std::io;
use std::net::{SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

/// The largest datagram there is, in octets.
const MAX_DATAGRAM: usize = 65_535;

/// How many peers are remembered as unreachable, so that each is logged once.
const MAX_UNREACHABLE: usize = 1_000;

/// A UDP socket: receiving waits, sending does not.
#[derive(Debug)]
pub struct Socket {
    receiving: tokio::net::UdpSocket,
    /// The same socket; tokio's own non-blocking send refuses until its reactor has seen the socket writable.
    sending: UdpSocket,
    buffer: Vec<u8>,
    unreachable: HashSet<SocketAddr>,
}

impl Socket {
    /// Binds to `address`, which an interface may get later. Must be called inside the runtime.
    ///
    /// # Errors
    /// The port is taken, or this process may not use it.
    pub fn bind(address: SocketAddrV4) -> io::Result<Self> {
        let sending = bind_early(address)?;
        let receiving = tokio::net::UdpSocket::from_std(sending.try_clone()?)?;
        Ok(Socket { receiving, sending, buffer: vec![0; MAX_DATAGRAM], unreachable: HashSet::new() })
    }

    /// The next datagram and its sender. An ICMP error that the kernel reports here is none, and no end either.
    pub async fn receive(&mut self) -> (SocketAddr, &[u8]) {
        loop {
            match self.receiving.recv_from(&mut self.buffer).await {
                Ok((length, from)) => return (from, &self.buffer[..length]),
                Err(error) => tracing::debug!("receiving: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Sends a datagram or loses it, as the network may, too; the endpoint repeats what matters. The first
    /// failure towards a peer is the answer, until one succeeds.
    pub fn send(&mut self, to: SocketAddr, payload: &[u8]) -> Option<io::Error> {
        match self.sending.send_to(payload, to) {
            Ok(_) => {
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

fn bind_early(address: SocketAddrV4) -> io::Result<UdpSocket> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Inet, SockType::Datagram, flags, None)?;
    setsockopt(&fd, sockopt::IpFreebind, &true)?;
    bind(fd.as_raw_fd(), &SockaddrIn::from(address))?;
    Ok(fd.into())
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
            assert!(sender.send(to, &payload).is_none());
            assert_eq!(receiver.receive().await, (from, payload.as_slice()));
        });
    }

    #[test]
    fn a_dead_port_does_not_stop_the_socket() {
        with_runtime(async {
            let (mut socket, mut peer) = (local(), local());
            let dead = local().sending.local_addr().unwrap();
            socket.send(dead, b"anybody there?");
            let to = socket.sending.local_addr().unwrap();
            assert!(peer.send(to, b"here").is_none());
            assert_eq!(socket.receive().await.1, b"here");
        });
    }

    #[test]
    fn a_peer_that_cannot_be_reached_is_news_once() {
        with_runtime(async {
            let mut socket = local();
            let nowhere = "240.0.0.1:848".parse().unwrap();
            assert!(socket.send(nowhere, b"x").is_some());
            assert!(socket.send(nowhere, b"x").is_none());
        });
    }

    #[test]
    fn an_address_may_come_later() {
        with_runtime(async { assert!(Socket::bind("192.0.2.1:0".parse().unwrap()).is_ok()) });
    }
}
