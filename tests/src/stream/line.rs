//! A host's end of its streams.

use super::{others, rate, Ends, Seen, Sent, MAGIC, PORT};
use crate::cell::Cell;
use crate::outcome::{ensure, failed, Outcome};
use crate::site::{Site, HOSTS};
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{setsockopt, sockopt, sockopt::RcvBufForce};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

/// Routers on the way, and then some.
const HOPS: u8 = 16;
/// Octets that a receiver may be late by; several seconds.
const BUFFER: usize = 8 << 20;
const PATIENCE: Duration = Duration::from_millis(200);
/// Who comes so much later than it is due waits for a processor.
const LATE: Duration = Duration::from_millis(100);
/// How long a host may be unable to send.
const PERSISTENCE: Duration = Duration::from_secs(10);

/// A host's end of its streams.
#[derive(Debug)]
pub struct Line {
    cell: Cell,
    number: usize,
    socket: UdpSocket,
}

impl Line {
    /// Opens it for streams with the addresses of a cell of the matrix.
    pub fn open(site: &Site, cell: Cell, number: usize) -> Outcome<Self> {
        let (name, address) = (HOSTS[number].0, cell.host(number));
        let socket = site.host(name)?.inside(|| match cell.group() {
            None => Ok(UdpSocket::bind((address, PORT))?),
            Some(group) => Ok(join(group, address)?),
        })?;
        setsockopt(&socket, RcvBufForce, &BUFFER)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Line { cell, number, socket })
    }

    fn name(&self) -> Ipv4Addr {
        HOSTS[self.number].1
    }

    fn destinations(&self) -> Vec<IpAddr> {
        let others = (0..HOSTS.len()).filter(|other| *other != self.number);
        self.cell
            .group()
            .map_or_else(|| others.map(|other| self.cell.host(other)).collect(), |group| vec![group])
    }

    /// Sends the same numbers to all others; how many, and how long it has waited for a processor.
    pub fn send(&self, ends: &Ends) -> Outcome<Sent> {
        let (begin, rate) = (Instant::now(), u64::from(rate()));
        let destinations = self.destinations();
        let (mut number, mut starved): (u64, _) = (0, Duration::ZERO);
        while !ends.sending.load(Ordering::Relaxed) {
            let datagram = [MAGIC, number.to_be_bytes()].concat();
            for destination in &destinations {
                self.send_one(&datagram, *destination)?;
            }
            number += 1;
            ends.sent[self.number].store(number, Ordering::Relaxed);
            let due = begin + Duration::from_micros(number * 1_000_000 / rate);
            starved += lateness(due);
        }
        Ok(Sent { number, starved })
    }

    /// A host that cannot send for a moment has lost nothing, but says so at once: others may wait for what it sends.
    fn send_one(&self, datagram: &[u8], destination: IpAddr) -> Outcome {
        let end = Instant::now() + PERSISTENCE;
        let mut said = false;
        while let Err(error) = self.socket.send_to(datagram, (destination, PORT)) {
            if error.kind() != ErrorKind::Interrupted && !std::mem::replace(&mut said, true) {
                println!("   {} cannot send to {destination}: {error}", self.name());
            }
            ensure!(Instant::now() < end, "{} cannot send to {destination}: {error}", self.name());
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Receives until the streams end; what came from each other host.
    pub fn receive(&self, ends: &Ends) -> Outcome<Vec<Seen>> {
        let mut seen: Vec<_> = others(self.name()).map(|other| Seen::nothing(other, self.name())).collect();
        let mut octets = [0; 17];
        while !ends.receiving.load(Ordering::Relaxed) {
            match self.socket.recv_from(&mut octets) {
                Ok((length, from)) => {
                    let Some(number) = number(&octets[..length]) else {
                        return failed("a strange datagram arrived");
                    };
                    let sender = (0..HOSTS.len()).find(|host| self.cell.host(*host) == from.ip());
                    let sender = sender.map(|host| HOSTS[host].1);
                    if let Some(seen) = seen.iter_mut().find(|seen| Some(seen.from) == sender) {
                        ends.note(seen, number);
                    }
                }
                Err(error) if passing(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(seen)
    }
}

/// Waits until it is due. How much later this goes on, if that is much: what is due already was told of before.
fn lateness(due: Instant) -> Duration {
    let wait = due.saturating_duration_since(Instant::now());
    if wait.is_zero() {
        return Duration::ZERO;
    }
    thread::sleep(wait);
    Some(due.elapsed()).filter(|late| *late >= LATE).unwrap_or_default()
}

fn number(datagram: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(datagram.strip_prefix(&MAGIC)?.try_into().ok()?))
}

/// A socket in a group, on the interface that has this address.
fn join(group: IpAddr, address: IpAddr) -> Outcome<UdpSocket> {
    match (group, address) {
        (IpAddr::V4(group), IpAddr::V4(address)) => {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT))?;
            socket.join_multicast_v4(&group, &address)?;
            socket.set_multicast_loop_v4(false)?;
            setsockopt(&socket, sockopt::IpMulticastTtl, &HOPS)?;
            Ok(socket)
        }
        (IpAddr::V6(group), _) => {
            let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, PORT))?;
            socket.join_multicast_v6(&group, if_nametoindex("eth0")?)?;
            socket.set_multicast_loop_v6(false)?;
            setsockopt(&socket, sockopt::Ipv6MulticastHops, &i32::from(HOPS))?;
            Ok(socket)
        }
        _ => failed(format!("{group} and {address} are of two families")),
    }
}

/// Nothing has arrived within the patience, or a user-mode kernel has lost it.
fn passing(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}
