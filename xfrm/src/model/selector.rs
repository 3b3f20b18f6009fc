//! Which packets are meant.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A version of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// A prefix without host bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

/// Transport ports from `first` to `last`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ports {
    first: u16,
    last: u16,
}

/// Packets by their addresses, protocol and ports. Ports are for protocols that have them; without a protocol they mean
/// TCP and UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Selector {
    /// Where packets come from.
    pub source: Prefix,
    /// Where packets go to, of the same family.
    pub destination: Prefix,
    /// IP protocol number; none means any.
    pub protocol: Option<u8>,
    /// Transport source ports; none means any.
    pub source_ports: Option<Ports>,
    /// Transport destination ports; none means any.
    pub destination_ports: Option<Ports>,
}

/// What an entry of an access list says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Protect.
    Permit,
    /// Leave in clear.
    Deny,
}

/// One entry of an access list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ace {
    /// What it says.
    pub action: Action,
    /// Of which packets.
    pub selector: Selector,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// That of an address.
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// Bits of an address.
    pub fn address_bits(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }

    /// Octets of a header without options.
    pub fn header_octets(self) -> u32 {
        match self {
            Self::V4 => 20,
            Self::V6 => 40,
        }
    }
}

impl Prefix {
    /// The prefix `address/length`; none when the address has fewer bits or one set behind `length`.
    pub fn new(address: IpAddr, length: u8) -> Option<Self> {
        let clean = match address {
            IpAddr::V4(address) => address.to_bits() & u32::MAX.checked_shr(length.into()).unwrap_or(0) == 0,
            IpAddr::V6(address) => address.to_bits() & u128::MAX.checked_shr(length.into()).unwrap_or(0) == 0,
        };
        (length <= Family::of(address).address_bits() && clean).then_some(Self { address, length })
    }

    /// The prefix of exactly one address.
    pub fn host(address: IpAddr) -> Self {
        Self { address, length: Family::of(address).address_bits() }
    }

    /// Every address of a family.
    pub fn any(family: Family) -> Self {
        let address = match family {
            Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
            Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
        };
        Self { address, length: 0 }
    }

    /// Every multicast address of a family: 224.0.0.0/4 (RFC 5771) or ff00::/8 (RFC 4291 section 2.7).
    pub fn multicast(family: Family) -> Self {
        match family {
            Family::V4 => Self { address: Ipv4Addr::new(224, 0, 0, 0).into(), length: 4 },
            Family::V6 => Self { address: Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0).into(), length: 8 },
        }
    }

    /// Its lowest address.
    pub fn address(self) -> IpAddr {
        self.address
    }

    /// Its length in bits.
    pub fn length(self) -> u8 {
        self.length
    }

    /// Its family.
    pub fn family(self) -> Family {
        Family::of(self.address)
    }

    /// Whether every address of `other` is one of its own.
    pub fn contains(self, other: Self) -> bool {
        let mask = u128::MAX.checked_shl(128 - u32::from(self.length)).unwrap_or(0);
        self.family() == other.family() && self.length <= other.length && self.bits() == other.bits() & mask
    }

    /// Whether they have an address in common: one of them contains the other.
    pub fn overlaps(self, other: Self) -> bool {
        self.contains(other) || other.contains(self)
    }

    /// The addresses that they have in common.
    pub fn intersection(self, other: Self) -> Option<Self> {
        match (self.contains(other), other.contains(self)) {
            (true, _) => Some(other),
            (_, true) => Some(self),
            _ => None,
        }
    }

    /// The address, its first bit the highest.
    fn bits(self) -> u128 {
        match self.address {
            IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
            IpAddr::V6(address) => address.to_bits(),
        }
    }
}

impl Ports {
    /// The ports from `first` to `last`; none when they are the wrong way round.
    pub fn new(first: u16, last: u16) -> Option<Self> {
        (first <= last).then_some(Self { first, last })
    }

    /// Exactly one port.
    pub fn only(port: u16) -> Self {
        Self { first: port, last: port }
    }

    /// The lowest.
    pub fn first(self) -> u16 {
        self.first
    }

    /// The highest.
    pub fn last(self) -> u16 {
        self.last
    }
}

impl Selector {
    /// Any protocol and port between two prefixes of one family.
    pub fn between(source: Prefix, destination: Prefix) -> Self {
        Self { source, destination, protocol: None, source_ports: None, destination_ports: None }
    }

    /// The family of its packets.
    pub fn family(&self) -> Family {
        self.source.family()
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.first, self.last) {
            (first, last) if first == last => write!(f, "eq {first}"),
            (first, last) => write!(f, "range {first} {last}"),
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.protocol, self.family()) {
            (Some(number), _) => write!(f, "{number} ")?,
            (None, Family::V4) => f.write_str("ip ")?,
            (None, Family::V6) => f.write_str("ipv6 ")?,
        }
        let side = |prefix: Prefix, ports: Option<Ports>| {
            ports.map_or(prefix.to_string(), |ports| format!("{prefix} {ports}"))
        };
        write!(
            f,
            "{} {}",
            side(self.source, self.source_ports),
            side(self.destination, self.destination_ports)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_has_no_host_bits_and_no_more_bits_than_its_family() {
        for (address, length, good) in [
            ("10.0.0.0", 8, true),
            ("10.0.0.0", 7, true),
            ("10.0.0.1", 8, false),
            ("10.0.0.1", 32, true),
            ("10.0.0.1", 33, false),
            ("2001:db8::", 32, true),
            ("2001:db8::1", 64, false),
            ("2001:db8::1", 128, true),
            ("2001:db8::1", 129, false),
        ] {
            let prefix = Prefix::new(address.parse().unwrap(), length);
            assert_eq!(prefix.is_some(), good, "{address}/{length}");
        }
    }

    #[test]
    fn prefixes_contain_or_do_not_touch_each_other() {
        let prefix = |text: &str, length| Prefix::new(text.parse().unwrap(), length).unwrap();
        let (ten, ten_one) = (prefix("10.0.0.0", 8), prefix("10.1.0.0", 16));
        assert!(ten.contains(ten_one) && !ten_one.contains(ten) && ten.contains(ten));
        assert!(Prefix::any(Family::V4).contains(ten) && !Prefix::any(Family::V6).contains(ten));
        assert!(!ten_one.overlaps(prefix("10.2.0.0", 16)));
        assert_eq!(ten_one.intersection(ten), Some(ten_one));
        let (site, host) = (prefix("2001:db8::", 32), prefix("2001:db8::1", 128));
        assert_eq!(site.intersection(host), Some(host));
        assert_eq!(site.intersection(prefix("2001:db9::", 32)), None);
    }

    #[test]
    fn selectors_read_as_entries_do() {
        let documentation = Prefix::new("2001:db8::".parse().unwrap(), 32).unwrap();
        let mut selector = Selector::between(documentation, Prefix::any(Family::V6));
        assert_eq!(selector.to_string(), "ipv6 2001:db8::/32 ::/0");
        selector.protocol = Some(6);
        selector.source_ports = Some(Ports::only(22));
        selector.destination_ports = Ports::new(1000, 2000);
        assert_eq!(selector.to_string(), "6 2001:db8::/32 eq 22 ::/0 range 1000 2000");
        assert_eq!(Ports::new(2, 1), None);
    }
}
