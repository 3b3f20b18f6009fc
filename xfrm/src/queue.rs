//! Packets of senders that are not known yet, as the kernel holds them for the agent's word (nfnetlink_queue).
//!
//! The kernel's NFQA_CFG_F_GSO is not asked for: it concerns packets that the network card put together, which ESP is not
//! before it is decrypted.

mod packet;

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use netlink_packet_core::{NetlinkBuffer, NLMSG_ERROR};
use netlink_sys::protocols::NETLINK_NETFILTER;
use nix::sys::socket::{setsockopt, sockopt};

use crate::model::{Family, Slot, Spi};
use crate::netfilter::{attributes, kind, Attributes, Message};
use crate::socket::Socket;
use crate::Error;

const QUEUE: u8 = 3;
/// NFQNL_MSG_PACKET, _VERDICT and _CONFIG.
const PACKET: u8 = 0;
const VERDICT: u8 = 1;
const CONFIG: u8 = 2;
/// NFQA_CFG_CMD with NFQNL_CFG_CMD_BIND.
const COMMAND: u16 = 1;
const BIND: [u8; 4] = [1, 0, 0, 0];
/// NFQA_CFG_PARAMS: how many octets of a packet are copied (4 octets), and NFQNL_COPY_PACKET.
const PARAMETERS: u16 = 2;
const WHOLE_PACKETS: [u8; 5] = [0, 0, 0xff, 0xff, 2];
/// NFQA_CFG_QUEUE_MAXLEN.
const MOST_PACKETS: u16 = 3;
/// Packets that may wait; more are dropped. A large group's first seconds after a restart, at some 10 MB.
const WAITING: u32 = 4096;
/// Octets of the socket's own buffer, in which they wait.
const SOCKET_BUFFER: usize = 16 << 20;
/// NFQA_PACKET_HDR, NFQA_VERDICT_HDR and NFQA_PAYLOAD.
const PACKET_HEADER: u16 = 1;
const VERDICT_HEADER: u16 = 2;
const PAYLOAD: u16 = 10;
/// NF_DROP and NF_ACCEPT.
const DROP: u32 = 0;
const ACCEPT: u32 = 1;
/// The longest packet and what the kernel says about it.
const DATAGRAM: usize = 65_536 + 4096;

/// The packets that wait. Without a word about them they stay; when this is dropped the kernel drops them, and those that
/// come later.
pub struct Queue {
    socket: Socket,
    datagram: Vec<u8>,
}

/// An ESP packet from a sender that is not known, in no order among senders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// What the agent's word is about.
    pub id: PacketId,
    /// The plane that received it.
    pub slot: Slot,
    /// Of its outer header.
    pub family: Family,
    /// Its SPI.
    pub spi: Spi,
    /// The packet from the SPI on.
    pub esp: Vec<u8>,
}

/// The kernel's number of a packet that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketId(u32);

/// What a datagram of the kernel brings.
enum Arrival {
    Unknown(Unknown),
    /// No ESP to one of our anchors: no rule of ours put it here.
    Foreign(PacketId),
    Nothing,
}

impl Queue {
    /// The number of the queue.
    pub const NUMBER: u16 = 848;

    /// Binds the queue, in the network namespace of the calling thread.
    ///
    /// # Errors
    /// The kernel has no packet queue, another process has this one, or CAP_NET_ADMIN is missing.
    pub fn open() -> Result<Self, Error> {
        let refused = |error| Error::Refused(format!("packet queue {}", Self::NUMBER), error);
        let mut socket = Socket::open(NETLINK_NETFILTER).map_err(Error::Socket)?;
        let bind = Attributes::default().with(COMMAND, &BIND).with(MOST_PACKETS, &WAITING.to_be_bytes());
        socket.change(0, &message(CONFIG, &bind)).map_err(refused)?;
        // A larger buffer is a favour; without it fewer packets can wait.
        let _ = setsockopt(&socket, sockopt::RcvBufForce, &SOCKET_BUFFER);
        socket.never_block().map_err(Error::Socket)?;
        // Packets come from here on, perhaps before an acknowledgement, so none is asked for.
        let whole = Attributes::default().with(PARAMETERS, &WHOLE_PACKETS);
        socket.tell(&message(CONFIG, &whole)).map_err(refused)?;
        Ok(Self { socket, datagram: vec![0; DATAGRAM] })
    }

    /// The next packet that waits; none when there is none at the moment, so that the caller may wait for the
    /// descriptor to become readable.
    ///
    /// # Errors
    /// The kernel refused something, such as a word about a packet that is gone. The queue can be used further.
    pub fn next_unknown(&mut self) -> io::Result<Option<Unknown>> {
        while let Some(length) = self.socket.receive_datagram(&mut self.datagram)? {
            match read(self.datagram.get(..length).unwrap_or_default())? {
                Arrival::Unknown(unknown) => return Ok(Some(unknown)),
                Arrival::Foreign(id) => self.drop(id)?,
                Arrival::Nothing => {}
            }
        }
        Ok(None)
    }

    /// Lets a packet go on its way: after its sender's state has been added.
    ///
    /// # Errors
    /// The message could not be sent.
    pub fn accept(&mut self, id: PacketId) -> io::Result<()> {
        self.judge(id, ACCEPT)
    }

    /// Drops a packet.
    ///
    /// # Errors
    /// The message could not be sent.
    pub fn drop(&mut self, id: PacketId) -> io::Result<()> {
        self.judge(id, DROP)
    }

    fn judge(&mut self, id: PacketId, verdict: u32) -> io::Result<()> {
        let header = [verdict.to_be_bytes(), id.0.to_be_bytes()].concat();
        self.socket.tell(&message(VERDICT, &Attributes::default().with(VERDICT_HEADER, &header)))
    }
}

impl AsRawFd for Queue {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_fd().as_raw_fd()
    }
}

impl AsFd for Queue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn message(number: u8, attributes: &Attributes) -> Message {
    Message::new(kind(QUEUE, number), 0, Queue::NUMBER, attributes)
}

fn read(datagram: &[u8]) -> io::Result<Arrival> {
    let message = NetlinkBuffer::new_checked(datagram).map_err(|_| io::ErrorKind::InvalidData)?;
    match message.message_type() {
        NLMSG_ERROR => crate::socket::verdict(message.payload()).map(|()| Arrival::Nothing),
        number if number == kind(QUEUE, PACKET) => Ok(read_packet(&attributes(message.payload())?)),
        _ => Ok(Arrival::Nothing),
    }
}

fn read_packet(attributes: &[(u16, &[u8])]) -> Arrival {
    let find = |wanted| attributes.iter().find(|(kind, _)| *kind == wanted).map(|(_, value)| *value);
    let Some(id) = find(PACKET_HEADER).and_then(|header| header.first_chunk()) else {
        return Arrival::Nothing;
    };
    let id = PacketId(u32::from_be_bytes(*id));
    match find(PAYLOAD).and_then(|packet| packet::read(id, packet)) {
        Some(unknown) => Arrival::Unknown(unknown),
        None => Arrival::Foreign(id),
    }
}

#[cfg(test)]
mod tests;
