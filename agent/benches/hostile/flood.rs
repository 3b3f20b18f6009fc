//! Who forges first messages.

use super::place::Place;
use super::servers::drops;
use gdoi::phase1::{Cookies, FRAGMENTS_VENDOR_ID, VENDOR_ID};
use gdoi::policy::{Doi, Proposal};
use gdoi::wire::{emit_chain, Cookie, ExchangeType, Flags, Header, PayloadType, Phase1Sa};
use nix::libc;
use nix::sys::socket::{sendmsg, ControlMessage, MsgFlags, SockaddrStorage};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::IoSlice;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A flood that goes on by itself.
pub struct Flood {
    over: Arc<AtomicBool>,
    thread: JoinHandle<Flooded>,
}

/// What came of a flood.
pub struct Flooded {
    pub sent: u64,
    /// Nobody reads the answers, so that all but the first of them are counted where they are dropped.
    pub answered: u64,
}

impl Flood {
    /// All of it to the primary.
    pub fn begin(place: &Place, rate: u64, span: Duration) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let (ends, forger) = (over.clone(), Forger::new(place));
        let stranger = place.strangers();
        let thread = std::thread::spawn(move || forger.run(rate, span, stranger, &ends));
        Flood { over, thread }
    }

    pub fn end(self) -> Flooded {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

struct Forger {
    socket: Socket,
    target: SockaddrStorage,
    first: Vec<u8>,
    chance: u64,
    port: u16,
}

impl Forger {
    fn new(place: &Place) -> Self {
        let own = place.forger();
        let socket = Socket::new(Domain::for_address(own), Type::DGRAM, Some(Protocol::UDP)).unwrap();
        match own {
            SocketAddr::V4(_) => socket.set_freebind_v4(true).unwrap(),
            SocketAddr::V6(_) => socket.set_freebind_v6(true).unwrap(),
        }
        socket.set_nonblocking(true).unwrap();
        socket.bind(&own.into()).unwrap();
        let target = SockaddrStorage::from(place.server(1));
        Forger { socket, target, first: first_message(), chance: 1, port: own.port() }
    }

    fn draw(&mut self) -> u64 {
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.chance ^ (self.chance >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn run(mut self, rate: u64, span: Duration, stranger: fn(u64) -> IpAddr, over: &AtomicBool) -> Flooded {
        let begun = Instant::now();
        let (mut sent, mut due) = (0, 0);
        while begun.elapsed() < span && !over.load(Ordering::Relaxed) {
            let before = std::mem::replace(&mut due, rate * begun.elapsed().as_micros() as u64 / 1_000_000);
            // What could not be sent in time is not made up for all at once.
            for _ in 0..(due - before).min(rate / 50) {
                let (address, cookie) = (stranger(self.draw()), self.draw());
                sent += u64::from(self.send(address, cookie));
            }
            std::thread::sleep(Duration::from_micros(500));
        }
        Flooded { sent, answered: drops(self.port) }
    }

    /// Whether it was sent: a full queue loses it.
    fn send(&mut self, from: IpAddr, cookie: u64) -> bool {
        self.first[..8].copy_from_slice(&cookie.to_be_bytes());
        let parts = [IoSlice::new(&self.first)];
        let fd = self.socket.as_raw_fd();
        let sent = match from {
            IpAddr::V4(address) => {
                let source = libc::in_addr { s_addr: u32::from(address).to_be() };
                let info = libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: source, ipi_addr: source };
                sendmsg(
                    fd,
                    &parts,
                    &[ControlMessage::Ipv4PacketInfo(&info)],
                    MsgFlags::empty(),
                    Some(&self.target),
                )
            }
            IpAddr::V6(address) => {
                let source = libc::in6_addr { s6_addr: address.octets() };
                let info = libc::in6_pktinfo { ipi6_addr: source, ipi6_ifindex: 0 };
                sendmsg(
                    fd,
                    &parts,
                    &[ControlMessage::Ipv6PacketInfo(&info)],
                    MsgFlags::empty(),
                    Some(&self.target),
                )
            }
        };
        sent.is_ok()
    }
}

/// As a member of this implementation sends it.
fn first_message() -> Vec<u8> {
    let sa = Phase1Sa::new(Doi::Gdoi, &[Proposal::default()]).emit().unwrap();
    let payloads = [
        (PayloadType::SA, &sa[..]),
        (PayloadType::VENDOR, &VENDOR_ID[..]),
        (PayloadType::VENDOR, &FRAGMENTS_VENDOR_ID[..]),
    ];
    let cookies = Cookies { initiator: Cookie([1; 8]), responder: Cookie::ZERO };
    let header = Header {
        initiator: cookies.initiator,
        responder: cookies.responder,
        next: PayloadType::SA,
        exchange: ExchangeType::IDENTITY_PROTECTION,
        flags: Flags::NONE,
        message_id: 0,
    };
    header.emit(&emit_chain(&payloads).unwrap()).unwrap()
}
