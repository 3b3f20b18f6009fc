//! IP prefixes.

use super::{refuse, PolicyError};
use ipnet::IpNet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// An IP version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub const ALL: [Family; 2] = [Family::V4, Family::V6];

    /// The version of an address.
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Family::V4,
            IpAddr::V6(_) => Family::V6,
        }
    }

    /// How many bits an address has.
    pub const fn bits(self) -> u8 {
        match self {
            Family::V4 => 32,
            Family::V6 => 128,
        }
    }

    /// Octets of a header without options.
    pub const fn header_octets(self) -> u32 {
        match self {
            Family::V4 => 20,
            Family::V6 => 40,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Family::V4 => "IPv4",
            Family::V6 => "IPv6",
        })
    }
}

/// A prefix of either version without host bits; ipnet does the arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

impl Prefix {
    /// The prefix `address/length`.
    ///
    /// # Errors
    /// A length over that of the address, or host bits that are not zero.
    pub fn new(address: IpAddr, length: u8) -> Result<Self, PolicyError> {
        let Ok(net) = IpNet::new(address, length) else {
            return refuse(format!("prefix length {length} is over {}", Family::of(address).bits()));
        };
        let network = net.network();
        if network != address {
            return refuse(format!("{address}/{length} has host bits, did you mean {network}/{length}?"));
        }
        Ok(Prefix { address, length })
    }

    /// One address.
    pub const fn host(address: IpAddr) -> Self {
        Prefix { address, length: Family::of(address).bits() }
    }

    /// Every address of a version.
    pub const fn any(family: Family) -> Self {
        let address = match family {
            Family::V4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            Family::V6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        Prefix { address, length: 0 }
    }

    /// Every multicast address of a version: 224.0.0.0/4 (RFC 5771) or ff00::/8 (RFC 4291 section 2.7).
    pub const fn multicast(family: Family) -> Self {
        match family {
            Family::V4 => Prefix { address: IpAddr::V4(Ipv4Addr::new(224, 0, 0, 0)), length: 4 },
            Family::V6 => {
                Prefix { address: IpAddr::V6(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0)), length: 8 }
            }
        }
    }

    /// The prefix of an address and a network mask; None where the mask has holes, is of the other version, or host
    /// bits are set.
    pub fn from_mask(address: IpAddr, mask: IpAddr) -> Option<Self> {
        let net = IpNet::with_netmask(address, mask).ok()?;
        (net.netmask() == mask && net.network() == address)
            .then_some(Prefix { address, length: net.prefix_len() })
    }

    /// The network address, the lowest of all.
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// The highest address.
    pub fn last(&self) -> IpAddr {
        self.net().broadcast()
    }

    /// The number of leading network bits, at most 32 or 128.
    pub const fn length(&self) -> u8 {
        self.length
    }

    /// The version.
    pub const fn family(&self) -> Family {
        Family::of(self.address)
    }

    /// The network mask.
    pub fn mask(&self) -> IpAddr {
        self.net().netmask()
    }

    /// Whether every address of `other` is in this prefix.
    pub fn covers(&self, other: &Prefix) -> bool {
        self.net().contains(&other.net())
    }

    /// Whether `address` lies in this prefix.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.net().contains(&address)
    }

    /// Whether some address is in both prefixes: one of them covers the other.
    pub fn overlaps(&self, other: &Prefix) -> bool {
        self.covers(other) || other.covers(self)
    }

    /// The addresses that are in both.
    pub fn intersection(&self, other: &Prefix) -> Option<Prefix> {
        match (self.covers(other), other.covers(self)) {
            (true, _) => Some(*other),
            (_, true) => Some(*self),
            _ => None,
        }
    }

    /// Its length was looked at when it was made.
    const fn net(&self) -> IpNet {
        IpNet::new_assert(self.address, self.length)
    }
}

impl FromStr for Prefix {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, PolicyError> {
        let (address, length) =
            text.split_once('/').map_or((text, None), |(left, right)| (left, Some(right)));
        let Ok(address) = address.parse::<IpAddr>() else { return refuse(unknown(text)) };
        match length.map_or(Ok(Family::of(address).bits()), str::parse) {
            Ok(length) => Prefix::new(address, length),
            Err(_) => refuse(unknown(text)),
        }
    }
}

fn unknown(text: &str) -> String {
    format!("`{text}` is not a prefix such as 10.0.0.0/8 or 2001:db8::/32")
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn prefixes_read_and_print_alike() {
        for text in ["10.0.0.0/8", "0.0.0.0/0", "192.0.2.1/32", "::/0", "2001:db8::/33", "2001:db8::1/128"] {
            assert_eq!(prefix(text).to_string(), text);
        }
        assert_eq!(prefix("10.1.1.1"), Prefix::host(address("10.1.1.1")));
        assert_eq!(prefix("::1"), Prefix::host(address("::1")));
        assert_eq!(prefix("::/0"), Prefix::any(Family::V6));
    }

    #[test]
    fn what_is_no_prefix_says_why() {
        let reason = |text: &str| text.parse::<Prefix>().unwrap_err().to_string();
        assert!(reason("10.0.0.0/33").contains("over 32"));
        assert!(reason("::/129").contains("over 128"));
        assert!(reason("10.0.0.1/8").contains("did you mean 10.0.0.0/8?"));
        assert!(reason("2001:db8::1/64").contains("did you mean 2001:db8::/64?"));
        assert!(reason("ten").contains("not a prefix"));
        assert!(reason("10.0.0.0/ten").contains("not a prefix"));
    }

    #[test]
    fn masks_and_prefixes_agree() {
        for text in ["10.64.0.0/10", "0.0.0.0/0", "10.0.0.1/32", "2001:db8::/33", "::/0", "::1/128"] {
            assert_eq!(Prefix::from_mask(prefix(text).address(), prefix(text).mask()), Some(prefix(text)));
        }
        assert_eq!(Prefix::from_mask(address("10.0.0.0"), address("255.0.255.0")), None);
        assert_eq!(Prefix::from_mask(address("10.0.0.1"), address("255.0.0.0")), None);
        assert_eq!(Prefix::from_mask(address("::"), address("255.0.0.0")), None);
    }

    #[test]
    fn prefixes_cover_and_overlap() {
        let covers = |left: &str, right: &str| prefix(left).covers(&prefix(right));
        assert!(covers("10.0.0.0/8", "10.1.0.0/16") && !covers("10.1.0.0/16", "10.0.0.0/8"));
        assert!(covers("::/0", "2001:db8::/32") && !covers("::/0", "10.0.0.0/8"));
        assert!(!covers("10.0.0.0/8", "11.0.0.0/8"));
        assert!(prefix("10.1.0.0/16").overlaps(&prefix("10.0.0.0/8")));
        assert!(!prefix("10.1.0.0/16").overlaps(&prefix("10.2.0.0/16")));
        let shared = |left: &str, right: &str| prefix(left).intersection(&prefix(right));
        assert_eq!(shared("10.1.0.0/16", "10.0.0.0/8"), Some(prefix("10.1.0.0/16")));
        assert_eq!(shared("2001:db8::/32", "2001:db8::1/128"), Some(prefix("2001:db8::1")));
        assert_eq!(shared("2001:db8::/32", "2001:db9::/32"), None);
        assert_eq!(shared("0.0.0.0/0", "::/0"), None);
    }

    #[test]
    fn members_are_in_their_prefix() {
        let contains = |members: &str, member: &str| prefix(members).contains(address(member));
        assert!(contains("10.64.0.0/10", "10.127.0.1") && !contains("10.64.0.0/10", "10.128.0.1"));
        assert!(contains("2001:db8::/32", "2001:db8::1") && !contains("2001:db8::/32", "2001:db9::1"));
        assert!(!contains("::/0", "10.0.0.1") && !contains("0.0.0.0/0", "::1"));
        assert_eq!(prefix("10.64.0.0/10").last(), address("10.127.255.255"));
        assert_eq!(prefix("2001:db8::1").last(), address("2001:db8::1"));
        assert_eq!(prefix("0.0.0.0/0").last(), address("255.255.255.255"));
    }

    #[test]
    fn a_prefix_has_no_host_bits_and_no_more_bits_than_its_family() {
        for (text, length, good) in [
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
            assert_eq!(Prefix::new(address(text), length).is_ok(), good, "{text}/{length}");
        }
    }

    #[test]
    fn multicast_has_its_prefix() {
        assert_eq!(Prefix::multicast(Family::V4), prefix("224.0.0.0/4"));
        assert_eq!(Prefix::multicast(Family::V6), prefix("ff00::/8"));
    }
}
