//! The IPv4 addresses of this host.

use nix::ifaddrs::getifaddrs;
use std::io;
use std::net::Ipv4Addr;

/// Interfaces and their addresses, in the kernel's order.
#[derive(Debug, Default)]
pub struct Addresses(Vec<(String, Ipv4Addr)>);

/// What this host has now.
///
/// # Errors
/// The kernel does not say.
pub fn of_this_host() -> io::Result<Addresses> {
    let listed = getifaddrs()?.filter_map(|entry| {
        let address = entry.address?.as_sockaddr_in()?.ip();
        Some((entry.interface_name, address))
    });
    Ok(listed.collect())
}

impl Addresses {
    /// The primary address of an interface.
    pub fn first_of(&self, interface: &str) -> Option<Ipv4Addr> {
        self.0.iter().find(|(name, _)| name == interface).map(|(_, address)| *address)
    }

    /// Whether this interface has this address.
    pub fn holds(&self, interface: &str, address: Ipv4Addr) -> bool {
        self.0.iter().any(|(name, own)| name == interface && *own == address)
    }

    /// Whether some interface has this address.
    pub fn has(&self, address: Ipv4Addr) -> bool {
        self.0.iter().any(|(_, own)| *own == address)
    }
}

impl FromIterator<(String, Ipv4Addr)> for Addresses {
    fn from_iter<T: IntoIterator<Item = (String, Ipv4Addr)>>(listed: T) -> Self {
        Addresses(listed.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_address_is_found() {
        let own = of_this_host().unwrap();
        assert_eq!(own.first_of("lo"), Some(Ipv4Addr::LOCALHOST));
        assert!(own.holds("lo", Ipv4Addr::LOCALHOST) && !own.holds("wan0", Ipv4Addr::LOCALHOST));
        assert!(own.has(Ipv4Addr::LOCALHOST) && !own.has(Ipv4Addr::BROADCAST));
    }
}
