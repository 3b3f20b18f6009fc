//! The addresses of a trial, all on the loopback interface.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::Command;

/// Where everybody is.
pub struct Place {
    pub name: &'static str,
    family: Family,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

impl Place {
    /// The forger takes any of 16 million addresses.
    pub const RANDOM: Place = Place { name: "from random addresses", family: Family::V4 };
    /// The forger takes any address of one network of IPv6.
    pub const NETWORK: Place = Place { name: "from one /64", family: Family::V6 };

    pub fn server(&self, number: u8) -> SocketAddr {
        let address: IpAddr = match self.family {
            Family::V4 => Ipv4Addr::new(192, 0, 2, 10 + number).into(),
            Family::V6 => Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, number.into()).into(),
        };
        SocketAddr::new(address, 848)
    }

    pub fn member(&self, number: u16) -> SocketAddr {
        let [high, low] = number.to_be_bytes();
        let address: IpAddr = match self.family {
            Family::V4 => Ipv4Addr::new(198, 51, high, low).into(),
            Family::V6 => Ipv6Addr::new(0x2001, 0xdb8, 2, number, 0, 0, 0, 1).into(),
        };
        SocketAddr::new(address, 848)
    }

    /// Forged addresses by chance.
    pub fn strangers(&self) -> fn(u64) -> IpAddr {
        match self.family {
            Family::V4 => |chance| Ipv4Addr::from(10 << 24 | chance as u32 >> 8).into(),
            Family::V6 => {
                |chance| Ipv6Addr::from_bits(0x2001_0db8_0001_0000 << 64 | u128::from(chance)).into()
            }
        }
    }

    /// Where the forger's socket is.
    pub const fn forger(&self) -> SocketAddr {
        match self.family {
            Family::V4 => SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 4848),
            Family::V6 => SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 4848),
        }
    }

    /// Whom the key servers have keys for: members, and whoever the forger seems to be, so that it is answered.
    pub const fn peers(&self) -> [&'static str; 2] {
        match self.family {
            Family::V4 => ["198.51.0.0/16", "10.0.0.0/8"],
            Family::V6 => ["2001:db8:2::/48", "2001:db8:1::/48"],
        }
    }

    pub fn prepare(&self) {
        ip(&["link", "set", "lo", "up"]);
        match self.family {
            Family::V4 => {
                self.peers().iter().for_each(|prefix| ip(&["route", "add", "local", prefix, "dev", "lo"]))
            }
            Family::V6 => {
                self.peers()
                    .iter()
                    .for_each(|prefix| ip(&["-6", "route", "add", "local", prefix, "dev", "lo"]));
            }
        }
        for number in 1..=3 {
            let address = self.server(number).ip().to_string();
            match self.family {
                Family::V4 => ip(&["address", "add", &address, "dev", "lo"]),
                Family::V6 => ip(&["address", "add", &address, "dev", "lo", "nodad"]),
            }
        }
    }
}

fn ip(words: &[&str]) {
    let status = Command::new("ip").args(words).status().unwrap();
    assert!(status.success(), "ip {words:?}");
}
