//! A packet that crossed the core, sent once more and more often.

use crate::capture::Capture;
use crate::cell::Cell;
use crate::eventually::eventually;
use crate::outcome::{ensure, Outcome};
use crate::packet::{protocol, Packet};
use crate::rekeying::SOON;
use crate::site::Site;
use nix::sys::socket::{
    sendto, socket, AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, SockaddrIn6,
};
use std::net::{IpAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::AsRawFd;
use std::thread;
use std::time::Duration;

/// How many packets are sent without a pause: fewer than any queue on the way holds.
const BURST: usize = 50;
const PAUSE: Duration = Duration::from_millis(20);

/// Waits for an ESP packet from h1 to h2 in the core, which is whole.
pub fn recorded(site: &Site, cell: Cell) -> Outcome<Packet> {
    let name = site.places.next_name("recorded");
    let mut capture =
        Capture::start_filtered(site.host("core")?, &site.places.out, &name, "esp or udp port 9")?;
    let packet = eventually("an ESP packet from h1 to h2", SOON, || {
        let whole = |packet: &Packet| {
            let ways = (packet.source, packet.destination) == (cell.host(0), cell.host(1));
            ways && packet.protocol == protocol::ESP && packet.octets.len() == usize::from(packet.length)
        };
        Ok(capture.fresh()?.into_iter().find(whole))
    })?;
    capture.close()?;
    Ok(packet)
}

/// The core sends it so often to its destination.
pub fn send_again(site: &Site, packet: &Packet, times: usize) -> Outcome {
    site.host("core")?.inside(|| {
        for number in 1..=times {
            let sent = once(packet)?;
            ensure!(sent == packet.octets.len(), "{sent} of {} octets were sent", packet.octets.len());
            if number % BURST == 0 {
                thread::sleep(PAUSE);
            }
        }
        Ok(())
    })
}

/// Protocol 255 says that the packet brings its own header.
fn once(packet: &Packet) -> Outcome<usize> {
    let open = |family| socket(family, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::Raw);
    Ok(match packet.destination {
        IpAddr::V4(address) => {
            let (raw, to) = (open(AddressFamily::Inet)?, SockaddrIn::from(SocketAddrV4::new(address, 0)));
            sendto(raw.as_raw_fd(), &packet.octets, &to, MsgFlags::empty())?
        }
        IpAddr::V6(address) => {
            let to = SockaddrIn6::from(SocketAddrV6::new(address, 0, 0, 0));
            sendto(open(AddressFamily::Inet6)?.as_raw_fd(), &packet.octets, &to, MsgFlags::empty())?
        }
    })
}
