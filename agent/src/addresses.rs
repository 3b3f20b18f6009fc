//! The addresses of this host that can be spoken from.

use gdoi::policy::Family;
use nix::ifaddrs::getifaddrs;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use xfrm::is_named;

/// Where the kernel says what it thinks of its IPv6 addresses.
const IPV6_ADDRESSES: &str = "/proc/self/net/if_inet6";

/// Flags of an address, as in linux/if_addr.h.
const TEMPORARY: u8 = 0x01;
const DUPLICATE: u8 = 0x08;
const DEPRECATED: u8 = 0x20;
const TENTATIVE: u8 = 0x40;

/// Interfaces and their addresses, in the kernel's order, those of IPv6 that will go soon behind all others. Left out are
/// those of IPv6 that hold on one link only, and those that the kernel has not yet found to be nobody else's.
#[derive(Debug, Default)]
pub struct Addresses(Vec<(String, IpAddr)>);

/// What this host has now.
///
/// # Errors
/// The kernel does not say.
pub fn of_this_host() -> io::Result<Addresses> {
    // Names of interfaces need not be UTF-8.
    let listed = std::fs::read(IPV6_ADDRESSES).unwrap_or_default();
    let flags = flags(&String::from_utf8_lossy(&listed));
    let of = |address: &IpAddr| flags.get(address).copied().unwrap_or_default();
    let addresses = getifaddrs()?.filter_map(|entry| {
        let address = entry.address?;
        let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
        let address = v4.or_else(|| Some(IpAddr::V6(address.as_sockaddr_in6()?.ip())))?;
        Some((entry.interface_name, address))
    });
    let mut listed: Vec<_> = addresses
        .filter(|(_, address)| !is_of_link(*address) && of(address) & (TENTATIVE | DUPLICATE) == 0)
        .collect();
    listed.sort_by_key(|(_, address)| of(address) & (TEMPORARY | DEPRECATED) != 0);
    Ok(Addresses(listed))
}

fn is_of_link(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

/// The flags of all IPv6 addresses: lines of an address, 32 hexadecimal digits, the interface's number, the length of the
/// prefix, the scope, the flags, all hexadecimal, and the interface.
fn flags(text: &str) -> HashMap<IpAddr, u8> {
    let line = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let address = u128::from_str_radix(words.next()?, 16).ok()?;
        let flags = u8::from_str_radix(words.nth(3)?, 16).ok()?;
        Some((IpAddr::V6(Ipv6Addr::from(address)), flags))
    };
    text.lines().filter_map(line).collect()
}

impl Addresses {
    /// The primary address of an interface, or of the first whose name begins so (`ppp*`).
    pub fn first_of(&self, interface: &str, family: Family) -> Option<IpAddr> {
        let wanted =
            |(name, address): &&(String, IpAddr)| is_named(interface, name) && Family::of(*address) == family;
        self.0.iter().find(wanted).map(|(_, address)| *address)
    }

    /// The interfaces that have this address: those of several VRFs may.
    pub fn interfaces_of(&self, address: IpAddr) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(_, own)| *own == address).map(|(name, _)| name.as_str())
    }

    /// The interface that has this address.
    pub fn interface_of(&self, address: IpAddr) -> Option<&str> {
        self.interfaces_of(address).next()
    }

    /// Whether this interface has this address.
    pub fn holds(&self, interface: &str, address: IpAddr) -> bool {
        self.0.iter().any(|(name, own)| is_named(interface, name) && *own == address)
    }

    /// As if interfaces had other names than they have: pairs of the name now and the other one.
    pub fn called(mut self, others: &[(String, String)]) -> Self {
        for (name, _) in &mut self.0 {
            if let Some((_, other)) = others.iter().find(|(now, _)| now == name) {
                name.clone_from(other);
            }
        }
        self
    }

    /// Whether it is this host's: some interface has it, or it is one of the loopback, of which the interface lists only the
    /// first of a whole prefix.
    pub fn has(&self, address: IpAddr) -> bool {
        address.is_loopback() || self.interface_of(address).is_some()
    }
}

impl FromIterator<(String, IpAddr)> for Addresses {
    fn from_iter<T: IntoIterator<Item = (String, IpAddr)>>(listed: T) -> Self {
        Addresses(listed.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_address_is_found() {
        let own = of_this_host().unwrap();
        let [localhost, nobody] = ["127.0.0.1", "255.255.255.255"].map(|text| text.parse().unwrap());
        assert_eq!(own.first_of("lo", Family::V4), Some(localhost));
        assert!(own.holds("lo", localhost) && !own.holds("wan0", localhost));
        assert!(own.has(localhost) && !own.has(nobody));
        assert_eq!((own.interface_of(localhost), own.interface_of(nobody)), (Some("lo"), None));
    }

    /// All of 127.0.0.0/8 is this host's, though the interface lists one address.
    #[test]
    fn an_address_that_no_interface_lists_may_be_this_hosts() {
        for (text, own) in [("127.0.0.3", true), ("127.200.0.1", true), ("::1", true), ("192.0.2.1", false)] {
            assert_eq!(of_this_host().unwrap().has(text.parse().unwrap()), own, "{text}");
        }
    }

    #[test]
    fn the_kernel_says_which_addresses_can_be_used() {
        let text = "00000000000000000000000000000001 01 80 10 80       lo\n\
                    20010db8000000000000000000000007 02 40 00 40     wan0\n\
                    fe800000000000000000000000000001 02 40 20 a0     wan0\n\
                    nonsense\n";
        let flags = flags(text);
        let of = |text: &str| flags.get(&text.parse::<IpAddr>().unwrap()).copied();
        assert_eq!((of("::1"), of("2001:db8::7"), of("fe80::1")), (Some(0x80), Some(TENTATIVE), Some(0xa0)));
        assert_eq!(flags.len(), 3);
    }

    #[test]
    fn addresses_are_told_apart_by_family() {
        let listed = [("wan0", "198.51.100.1"), ("wan0", "2001:db8::1"), ("wan0", "2001:db8::2")];
        let own: Addresses =
            listed.into_iter().map(|(name, address)| (name.to_owned(), address.parse().unwrap())).collect();
        assert_eq!(own.first_of("wan0", Family::V6), "2001:db8::1".parse().ok());
        assert_eq!(own.first_of("wan0", Family::V4), "198.51.100.1".parse().ok());
        assert_eq!(own.first_of("wan1", Family::V6), None);
        assert_eq!(own.first_of("wa*", Family::V4), "198.51.100.1".parse().ok());
        let own = own.called(&[("wan0".into(), "uplink".into())]);
        assert!(own.first_of("uplink", Family::V4).is_some() && own.first_of("wan0", Family::V4).is_none());
    }
}
