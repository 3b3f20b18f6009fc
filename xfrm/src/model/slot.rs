//! Where a plane lives in the kernel.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::{Family, Lane};

/// Where the anchor addresses of all planes of a router lie. They exist only inside it, but other chains of its nftables see
/// ESP go to the inbound ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Anchors {
    /// 192.0.0.84 to 192.0.0.167, special-purpose addresses (RFC 6890) that no network routes, and 100::848:0/112, of the
    /// discard-only prefix (RFC 6666). Filters of bogons name both.
    #[default]
    SpecialPurpose,
    /// 192.31.196.84 to 192.31.196.167 and 2001:4:112::848:0/112, of the prefixes to which AS112 redirects (RFC 7535): they are
    /// reachable, so no filter of bogons names them, and only the first address of each is in use anywhere.
    As112,
}

/// The number of a plane on this router: it chooses the plane's anchor addresses and its reqid. The first 42 numbers are for
/// anchors in one place, the next 42 for those in the other, so whatever an earlier run has left is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u8);

/// Where the anchors of IPv6 multicast begin, behind all others of their prefix.
pub(crate) const MULTICAST: u16 = 0x100;

impl Slot {
    /// How many planes there can be.
    pub const COUNT: u8 = 42;
    /// How many slots there are.
    const ALL: u8 = 2 * Self::COUNT;

    /// The last one, where preflight tries things out.
    pub(crate) const LAST: Self = Self(Self::COUNT - 1);

    /// The slot with this number, or none when it is out of range.
    pub fn new(number: u8) -> Option<Self> {
        (number < Self::ALL).then_some(Self(number))
    }

    /// The slots with anchors there, [`Self::COUNT`] of them.
    pub fn of(anchors: Anchors) -> impl Iterator<Item = Self> {
        Self::all().filter(move |slot| slot.anchors() == anchors)
    }

    /// All there are.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..Self::ALL).map(Self)
    }

    /// Where the anchors lie.
    pub fn anchors(self) -> Anchors {
        if self.0 < Self::COUNT {
            Anchors::SpecialPurpose
        } else {
            Anchors::As112
        }
    }

    /// The slot's number.
    pub fn number(self) -> u8 {
        self.0
    }

    /// VI, where received ESP is handed to the kernel.
    pub fn inbound_anchor(self, family: Family) -> IpAddr {
        self.anchors().at(family, 2 * self.place())
    }

    /// VO, where packets seem to go while they are encrypted. Two lanes of one SPI are two states, and the kernel tells
    /// these apart by it.
    pub fn outbound_anchor(self, family: Family, lane: Lane) -> IpAddr {
        match (family, lane) {
            (Family::V6, Lane::Multicast) => self.anchors().ipv6(MULTICAST + self.place()).into(),
            _ => self.anchors().at(family, 2 * self.place() + 1),
        }
    }

    /// Among those with anchors in the same place.
    fn place(self) -> u16 {
        u16::from(self.0 % Self::COUNT)
    }
}

impl FromStr for Anchors {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|anchors| anchors.to_string() == text);
        known.ok_or_else(|| format!("`{text}` is neither `{}` nor `{}`", Self::SpecialPurpose, Self::As112))
    }
}

impl fmt::Display for Anchors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SpecialPurpose => "special-purpose",
            Self::As112 => "as112",
        })
    }
}

impl Anchors {
    /// All there are.
    pub const ALL: [Self; 2] = [Self::SpecialPurpose, Self::As112];

    /// What nft calls the header of each family, and the prefix or range that holds all anchors of the family.
    pub(crate) fn ranges(self) -> [(&'static str, &'static str); 2] {
        match self {
            Self::SpecialPurpose => [("ip", "192.0.0.84-192.0.0.167"), ("ip6", "100::848:0/112")],
            Self::As112 => [("ip", "192.31.196.84-192.31.196.167"), ("ip6", "2001:4:112::848:0/112")],
        }
    }

    /// The first of them.
    pub(crate) fn first(self, family: Family) -> IpAddr {
        self.at(family, 0)
    }

    fn at(self, family: Family, offset: u16) -> IpAddr {
        match family {
            Family::V4 => Ipv4Addr::from_bits(self.first_ipv4().to_bits() + u32::from(offset)).into(),
            Family::V6 => self.ipv6(offset).into(),
        }
    }

    fn first_ipv4(self) -> Ipv4Addr {
        match self {
            Self::SpecialPurpose => Ipv4Addr::new(192, 0, 0, 84),
            Self::As112 => Ipv4Addr::new(192, 31, 196, 84),
        }
    }

    fn ipv6(self, offset: u16) -> Ipv6Addr {
        match self {
            Self::SpecialPurpose => Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0x848, offset),
            Self::As112 => Ipv6Addr::new(0x2001, 4, 0x112, 0, 0, 0, 0x848, offset),
        }
    }

    /// How far behind the first of them an address lies.
    pub(crate) fn offset(self, address: IpAddr) -> Option<u32> {
        match address {
            IpAddr::V4(address) => {
                let offset = address.to_bits().checked_sub(self.first_ipv4().to_bits())?;
                (offset < 2 * u32::from(Slot::COUNT)).then_some(offset)
            }
            IpAddr::V6(address) => {
                let offset = address.segments()[7];
                (self.ipv6(offset) == address).then_some(offset.into())
            }
        }
    }

    /// The slot of this number among those with anchors here.
    pub(crate) fn slot(self, place: u32) -> Option<Slot> {
        let first = if self == Self::SpecialPurpose { 0 } else { Slot::COUNT };
        (place < Slot::COUNT.into()).then(|| Slot(first + place as u8))
    }
}
