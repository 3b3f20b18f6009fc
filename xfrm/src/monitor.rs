//! Tells that somebody, often this very program, has changed something that the data plane depends on. What it was, is
//! for the next comparison to find out: notifications can be lost, and those of states carry keys, so that nothing but
//! their first octets is ever read.

mod anchor;

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use netlink_sys::protocols::{NETLINK_NETFILTER, NETLINK_ROUTE, NETLINK_XFRM};
use netlink_sys::Socket;

use crate::Error;

const RTNLGRP_LINK: u32 = 1;
const RTNLGRP_IPV4_IFADDR: u32 = 5;
const RTNLGRP_IPV6_IFADDR: u32 = 9;
const XFRMNLGRP_EXPIRE: u32 = 2;
const XFRMNLGRP_SA: u32 = 3;
const XFRMNLGRP_POLICY: u32 = 4;
const NFNLGRP_NFTABLES: u32 = 7;

const RTNLGRP_IPV4_ROUTE: u32 = 7;
const RTNLGRP_IPV6_ROUTE: u32 = 11;

/// A netlink header; the kernel cuts off the rest. Routes are read: those of a routing daemon are no news.
const READ: usize = 16;
const READ_ROUTE: usize = 4_096;

/// So many notifications are taken at a time, so that a storm of them does not hold up the caller.
const AT_A_TIME: usize = 1_000;

/// What can change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Interfaces and their addresses.
    Links,
    /// States and policies.
    Xfrm,
    /// nftables.
    Tables,
    /// Routes to anchors.
    Routes,
}

/// An ear for one subject, in the network namespace of the thread that opened it. Its file descriptor is readable when
/// there is news.
pub struct Monitor {
    subject: Subject,
    socket: Socket,
}

impl Subject {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Links, Self::Xfrm, Self::Tables, Self::Routes];

    fn protocol(self) -> isize {
        match self {
            Self::Links | Self::Routes => NETLINK_ROUTE,
            Self::Xfrm => NETLINK_XFRM,
            Self::Tables => NETLINK_NETFILTER,
        }
    }

    fn groups(self) -> &'static [u32] {
        match self {
            Self::Links => &[RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR],
            Self::Xfrm => &[XFRMNLGRP_EXPIRE, XFRMNLGRP_SA, XFRMNLGRP_POLICY],
            Self::Tables => &[NFNLGRP_NFTABLES],
            Self::Routes => &[RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE],
        }
    }
}

impl Monitor {
    /// Listens from now on; it never waits.
    ///
    /// # Errors
    /// The kernel knows nothing of the subject, or the capability CAP_NET_ADMIN is missing.
    pub fn open(subject: Subject) -> Result<Self, Error> {
        listening(subject).map(|socket| Self { subject, socket }).map_err(Error::Socket)
    }

    /// What it listens to.
    pub fn subject(&self) -> Subject {
        self.subject
    }

    /// Takes the news that there are.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when there are none.
    pub fn take(&self) -> io::Result<()> {
        let mut concerned = false;
        for _ in 0..AT_A_TIME {
            match self.next() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && concerned => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
                Ok(concerns) => concerned |= concerns,
                // Some were lost (ENOBUFS): news, too.
                Err(_) => concerned = true,
            }
        }
        // There may be more, and who waits for it must not miss it.
        Ok(())
    }

    /// Whether the next notification is one of interest.
    fn next(&self) -> io::Result<bool> {
        match self.subject {
            Subject::Links | Subject::Xfrm | Subject::Tables => {
                self.socket.recv(&mut &mut [0; READ][..], 0).map(|_| true)
            }
            Subject::Routes => {
                let mut octets = [0; READ_ROUTE];
                let length = self.socket.recv(&mut &mut octets[..], 0)?;
                Ok(octets.get(..length).is_none_or(anchor::is_told_of))
            }
        }
    }
}

fn listening(subject: Subject) -> io::Result<Socket> {
    let mut socket = Socket::new(subject.protocol())?;
    socket.bind_auto()?;
    socket.set_non_blocking(true)?;
    subject.groups().iter().try_for_each(|group| socket.add_membership(*group))?;
    Ok(socket)
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Monitor {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_news_nobody_waits() {
        let monitor = Monitor::open(Subject::Links).unwrap();
        // A host under test may change its interfaces at any moment, but not for ever.
        let quiet =
            (0..100).any(|_| monitor.take().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock));
        assert!(quiet);
        assert_eq!(monitor.subject(), Subject::Links);
    }
}
