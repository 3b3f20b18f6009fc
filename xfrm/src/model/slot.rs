//! Where a plane lives in the kernel.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Family, Lane};

/// The number of a plane on this router, 0 to 41: it chooses the plane's anchor addresses and its reqid.
///
/// IPv4 anchors lie in 192.0.0.84 to 192.0.0.167, special-purpose addresses (RFC 6890) that no network routes; IPv6
/// anchors in 100::848:0/112, of the discard-only prefix (RFC 6666).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u8);

/// Where the anchors of IPv6 multicast begin, behind all others of their prefix.
const MULTICAST: u16 = 0x100;

impl Slot {
    /// How many slots there are.
    pub const COUNT: u8 = 42;

    /// The last one, where preflight tries things out.
    pub(crate) const LAST: Self = Self(Self::COUNT - 1);

    /// The slot with this number, or none when it is out of range.
    pub fn new(number: u8) -> Option<Self> {
        (number < Self::COUNT).then_some(Self(number))
    }

    /// The slot's number.
    pub fn number(self) -> u8 {
        self.0
    }

    /// VI, where received ESP is handed to the kernel.
    pub fn inbound_anchor(self, family: Family) -> IpAddr {
        anchor(family, 2 * self.0)
    }

    /// VO, where packets seem to go while they are encrypted. Two lanes of one SPI are two states, and the kernel tells
    /// these apart by it.
    pub fn outbound_anchor(self, family: Family, lane: Lane) -> IpAddr {
        match (family, lane) {
            (Family::V6, Lane::Multicast) => anchor_ipv6(MULTICAST + u16::from(self.0)),
            _ => anchor(family, 2 * self.0 + 1),
        }
    }
}

fn anchor(family: Family, offset: u8) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::new(192, 0, 0, 84 + offset).into(),
        Family::V6 => anchor_ipv6(offset.into()),
    }
}

fn anchor_ipv6(offset: u16) -> IpAddr {
    Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0x848, offset).into()
}
