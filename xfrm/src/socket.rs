//! A blocking netlink socket. The usual crates (rtnetlink, netlink-proto) are asynchronous and trace whole messages;
//! here a message may hold keys, so it is never formatted and every buffer is zeroed. A conversation with the kernel
//! takes microseconds, so blocking costs nothing and needs no runtime.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_packet_core::{
    Emitable, NetlinkBuffer, NetlinkHeader, NetlinkSerializable, NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR,
    NLM_F_REQUEST,
};
use netlink_sys::{Socket as RawSocket, SocketAddr};
use zeroize::Zeroizing;

const HEADER: usize = 16;
const NLMSG_NOOP: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// Leaves a datagram where it is.
const MSG_PEEK: i32 = 2;
/// Answers the true length of a datagram that did not fit.
const MSG_TRUNC: i32 = 0x20;
/// The kernel fills up to 32 KiB per datagram of a dump, unless a single object is longer.
const DATAGRAM: usize = 65_536;
/// The longest that is waited for. An interface with all the names that it can have is not half as long.
const LONGEST: usize = 1 << 20;

/// Object lists are read again this often when they changed while they were read.
const DUMP_ATTEMPTS: usize = 8;

pub struct Socket {
    socket: RawSocket,
    sequence: u32,
}

/// One message of an answer: its type and its payload.
type Answer<'a> = (u16, &'a [u8]);

/// How far the reading of an answer has come.
struct Progress {
    complete: bool,
    consistent: bool,
}

impl Socket {
    pub fn open(protocol: isize) -> io::Result<Self> {
        let mut socket = RawSocket::new(protocol)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Lets the kernel filter dumps by the fields of the request's header (Linux 4.20); older kernels send everything.
    pub fn filter_dumps(&self) {
        let _ = self.socket.set_netlink_get_strict_chk(true);
    }

    /// From now on nothing waits: what the kernel has to say is there or not. A buffer that overflows loses packets, which
    /// the kernel counts, and is no error of the reader.
    pub fn never_block(&self) -> io::Result<()> {
        self.socket.set_no_enobufs(true)?;
        self.socket.set_non_blocking(true)
    }

    /// Sends a change and waits for the kernel's verdict.
    pub fn change(&mut self, flags: u16, message: &impl NetlinkSerializable) -> io::Result<()> {
        self.send(flags | NLM_F_ACK, message)?;
        self.receive(&mut |_| Ok(()))?;
        Ok(())
    }

    /// Asks a question that the kernel answers with a message or two.
    pub fn ask(
        &mut self,
        message: &impl NetlinkSerializable,
        mut take: impl FnMut(Answer<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        self.send(NLM_F_ACK, message)?;
        self.receive(&mut take)?;
        Ok(())
    }

    /// Sends a change in the brackets that make the kernel do all of it or nothing, and waits for its verdict.
    pub fn change_within<M: NetlinkSerializable>(
        &mut self,
        flags: u16,
        [begin, end]: &[M; 2],
        message: &M,
    ) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let parts = [(0, begin), (flags | NLM_F_ACK, message), (0, end)];
        let datagram = parts.map(|(flags, message)| self.frame(flags, message).to_vec()).concat();
        self.socket.send(&datagram, 0)?;
        self.receive(&mut |_| Ok(()))?;
        Ok(())
    }

    /// Sends what the kernel does not answer; what it refuses it tells later.
    pub fn tell(&mut self, message: &impl NetlinkSerializable) -> io::Result<()> {
        self.send(0, message)
    }

    /// The length of the next datagram, which lies in the buffer as far as it fits; none when none is there.
    pub fn receive_datagram(&self, mut buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match self.socket.recv(&mut buffer, MSG_TRUNC) {
            Ok(length) => Ok(Some(length)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Asks for a list and collects what `take` makes of each entry; `take` answers none for entries to skip.
    pub fn dump<T>(
        &mut self,
        message: &impl NetlinkSerializable,
        mut take: impl FnMut(Answer<'_>) -> io::Result<Option<T>>,
    ) -> io::Result<Vec<T>> {
        for _ in 0..DUMP_ATTEMPTS {
            let mut list = Vec::new();
            self.send(NLM_F_DUMP, message)?;
            let consistent = self.receive(&mut |answer| take(answer).map(|entry| list.extend(entry)))?;
            if consistent {
                return Ok(list);
            }
        }
        Err(io::Error::new(io::ErrorKind::Interrupted, "the list changes faster than it can be read"))
    }

    fn send(&mut self, flags: u16, message: &impl NetlinkSerializable) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        self.socket.send(&self.frame(flags, message), 0).map(|_| ())
    }

    /// The message padded to a multiple of 4 octets, as another may follow.
    fn frame(&self, flags: u16, message: &impl NetlinkSerializable) -> Zeroizing<Vec<u8>> {
        let length = HEADER + message.buffer_len();
        let mut datagram = Zeroizing::new(vec![0; length.next_multiple_of(4)]);
        let mut header = NetlinkHeader::default();
        header.length = length as u32;
        header.message_type = message.message_type();
        header.flags = flags | NLM_F_REQUEST;
        header.sequence_number = self.sequence;
        header.emit(&mut datagram[..HEADER]);
        message.serialize(&mut datagram[HEADER..length]);
        datagram
    }

    /// Reads until the answer to the last request is complete; false when the list changed meanwhile.
    fn receive(&mut self, take: &mut dyn FnMut(Answer<'_>) -> io::Result<()>) -> io::Result<bool> {
        let mut datagram = Zeroizing::new(vec![0; DATAGRAM]);
        let mut progress = Progress { complete: false, consistent: true };
        while !progress.complete {
            let awaited = self.socket.recv(&mut &mut [0; 1][..], MSG_PEEK | MSG_TRUNC)?;
            if awaited > datagram.len() {
                datagram = Zeroizing::new(vec![0; awaited.min(LONGEST)]);
            }
            let length = self.socket.recv(&mut &mut datagram[..], MSG_TRUNC)?;
            let octets =
                datagram.get(..length).ok_or_else(|| invalid("a datagram is longer than expected"))?;
            self.read_datagram(octets, &mut progress, take)?;
        }
        Ok(progress.consistent)
    }

    fn read_datagram(
        &self,
        mut octets: &[u8],
        progress: &mut Progress,
        take: &mut dyn FnMut(Answer<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        while !octets.is_empty() {
            let message = NetlinkBuffer::new_checked(octets).map_err(|error| invalid(&error.to_string()))?;
            // An answer to an earlier request that was given up after an error is not ours any more.
            if message.sequence_number() == self.sequence {
                progress.consistent &= message.flags() & NLM_F_DUMP_INTR == 0;
                match message.message_type() {
                    NLMSG_NOOP => {}
                    NLMSG_ERROR | NLMSG_DONE => {
                        progress.complete = true;
                        verdict(message.payload())?;
                    }
                    kind => take((kind, message.payload()))?,
                }
            }
            let aligned = (message.length() as usize).next_multiple_of(4).min(octets.len());
            octets = &octets[aligned..];
        }
        Ok(())
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Both NLMSG_ERROR and NLMSG_DONE begin with 0 or a negative error number.
pub fn verdict(payload: &[u8]) -> io::Result<()> {
    match payload.first_chunk().map_or(0, |octets| i32::from_ne_bytes(*octets)) {
        0 => Ok(()),
        number => Err(io::Error::from_raw_os_error(number.wrapping_neg())),
    }
}

fn invalid(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}
