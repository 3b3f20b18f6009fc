//! What fits through a protected interface.

use serde::{Deserialize, Serialize};

/// The lengths of packets on one protected interface, in octets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lengths {
    /// The interface.
    pub interface: String,
    /// The longest packet that it takes.
    pub link_mtu: u32,
    /// The longest that the core behind it was found to carry, where that is less; IPv4.
    pub path_mtu: Option<u32>,
    /// The same for IPv6.
    pub path_mtu_ipv6: Option<u32>,
    /// The most that encryption adds to a packet; None without a key to send with.
    pub overhead: Option<u32>,
    /// The longest packet of a host that passes encrypted in one piece; IPv4.
    pub host_mtu: Option<u32>,
    /// The same for IPv6.
    pub host_mtu_ipv6: Option<u32>,
}

/// In words.
pub(super) fn lengths(lengths: &Lengths) -> String {
    let link = format!("{} takes {} octets", lengths.interface, lengths.link_mtu);
    let path = lengths.path_mtu.map_or(String::new(), |mtu| format!(", the core behind it {mtu}"));
    let path_ipv6 = lengths.path_mtu_ipv6.map_or(String::new(), |mtu| format!(", {mtu} of IPv6"));
    link + &path + &path_ipv6 + &inside(lengths)
}

fn inside(lengths: &Lengths) -> String {
    let Some(overhead) = lengths.overhead else { return String::new() };
    let of = |mtu: Option<u32>, family| mtu.map(|mtu| format!("MTU {mtu} for hosts{family}"));
    let ipv4 = of(lengths.host_mtu, "");
    let ipv6 = of(lengths.host_mtu_ipv6, if ipv4.is_some() { ", of IPv6" } else { " of IPv6" });
    let mtus: Vec<_> = ipv4.into_iter().chain(ipv6).collect();
    format!("; encryption adds up to {overhead}: {}", mtus.join(", "))
}
