//! The cells of the matrix: what a group encrypts with, which family of addresses, and to one or to many.

use crate::site::{HOSTS, HOSTS_IPV6};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The group of all protected hosts, in 239.10.0.0/16.
const GROUP: Ipv4Addr = Ipv4Addr::new(239, 10, 0, 1);
/// The same for IPv6, in ff15::/16: transient, of the site's scope.
const GROUP_IPV6: Ipv6Addr = Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, 0x10, 1);

/// How a group encrypts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transform {
    /// A key for each sender.
    AesGcm256,
    /// A key for each sender.
    AesGcm128,
    /// A key for each sender.
    ChaCha20Poly1305,
    /// One key for all.
    AesCbc256,
}

/// All of them.
pub const TRANSFORMS: [Transform; 4] =
    [Transform::AesGcm256, Transform::AesGcm128, Transform::ChaCha20Poly1305, Transform::AesCbc256];

/// Which protocol the protected hosts speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6; the core carries it, too.
    V6,
}

/// To whom the protected hosts send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cast {
    /// To each other one.
    Unicast,
    /// To a group that all are in.
    Multicast,
}

/// One combination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// How the group encrypts.
    pub transform: Transform,
    /// What its hosts speak.
    pub family: Family,
    /// To whom.
    pub cast: Cast,
}

impl Cell {
    /// What all scenarios show that are not about the differences.
    pub const BASIC: Cell = Cell { transform: Transform::AesGcm256, family: Family::V4, cast: Cast::Unicast };

    /// The key server's access list.
    pub fn access_list(self) -> Vec<&'static str> {
        let (unicast, multicast) = match self.family {
            Family::V4 => ("permit ip 10.0.0.0/8 10.0.0.0/8", "permit ip 10.0.0.0/8 239.10.0.0/16"),
            Family::V6 => ("permit ipv6 fd0a::/16 fd0a::/16", "permit ipv6 fd0a::/16 ff15::/16"),
        };
        match self.cast {
            Cast::Unicast => vec![unicast],
            Cast::Multicast => vec![unicast, multicast],
        }
    }

    /// The address of a protected host, by its number.
    pub fn host(self, number: usize) -> IpAddr {
        match self.family {
            Family::V4 => HOSTS[number].1.into(),
            Family::V6 => HOSTS_IPV6[number].into(),
        }
    }

    /// The group that the hosts send to.
    pub fn group(self) -> Option<IpAddr> {
        match (self.cast, self.family) {
            (Cast::Unicast, _) => None,
            (Cast::Multicast, Family::V4) => Some(GROUP.into()),
            (Cast::Multicast, Family::V6) => Some(GROUP_IPV6.into()),
        }
    }
}

impl Transform {
    /// Octets of the initialisation vector in each packet.
    pub fn vector(self) -> usize {
        match self {
            Transform::AesCbc256 => 16,
            Transform::AesGcm128 | Transform::AesGcm256 | Transform::ChaCha20Poly1305 => 8,
        }
    }
}

impl fmt::Display for Transform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Transform::AesGcm256 => "aes-256-gcm",
            Transform::AesGcm128 => "aes-128-gcm",
            Transform::ChaCha20Poly1305 => "chacha20-poly1305",
            Transform::AesCbc256 => "aes-256-cbc/hmac-sha-256",
        })
    }
}

/// Whether an address is in a prefix that the group protects, 10.0.0.0/8 or fd0a::/16.
pub fn protected(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.octets()[0] == 10,
        IpAddr::V6(address) => address.segments()[0] == 0xfd0a,
    }
}

/// Whether it is a group that protected hosts send to, in 239.10.0.0/16 or ff15::/16.
pub fn protected_group(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.octets()[..2] == [239, 10],
        IpAddr::V6(address) => address.segments()[0] == 0xff15,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hosts_send_is_in_the_access_list() {
        for cast in [Cast::Unicast, Cast::Multicast] {
            for family in [Family::V4, Family::V6] {
                let cell = Cell { family, cast, ..Cell::BASIC };
                assert!((0..HOSTS.len()).all(|number| protected(cell.host(number))));
                assert_eq!(cell.group().is_some_and(protected_group), cast == Cast::Multicast);
            }
        }
        assert!(!protected(GROUP.into()) && !protected_group(Ipv4Addr::new(239, 192, 1, 190).into()));
    }
}
