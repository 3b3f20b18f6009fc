//! The standard site: three members with a LAN each, three key servers, a plain core, a host outside.
//!
//! ```text
//!  h1 10.1.1.10 --- lan  gm1  wan 198.51.100.1 ---+            +--- ks1 192.0.2.10
//!  h4 10.1.2.10 --- lan2 gm1                      |            +--- ks2 192.0.2.14
//!  h2 10.2.2.10 --- lan  gm2  wan 198.51.100.5 ---+--- core ---+--- ks3 192.0.2.18
//!  h3 10.3.3.10 --- lan  gm3  wan 198.51.100.9 ---+            +--- outside 203.0.113.10
//! ```
//!
//! IPv6: fd0a:1:1::10 to fd0a:3:3::10 behind 2001:db8:100:1::1 to 2001:db8:100:3::1, outside 2001:db8:113::10; the key servers
//! have none.

use crate::daemon::{Daemon, Launch, Places, Role};
use crate::host::Host;
use crate::outcome::Outcome;
use crate::topology::{self, Network, Plan};
use serde_json::Value;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::sync::Arc;

/// The key servers' addresses.
pub const KS1: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
/// The second one's.
pub const KS2: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 14);
/// The third one's.
pub const KS3: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 18);
/// The members' addresses on the core's side.
pub const WAN: [Ipv4Addr; 3] =
    [Ipv4Addr::new(198, 51, 100, 1), Ipv4Addr::new(198, 51, 100, 5), Ipv4Addr::new(198, 51, 100, 9)];
/// The members' names.
pub const MEMBERS: [&str; 3] = ["gm1", "gm2", "gm3"];
/// The protected hosts, one behind each member.
pub const HOSTS: [(&str, Ipv4Addr); 3] = [
    ("h1", Ipv4Addr::new(10, 1, 1, 10)),
    ("h2", Ipv4Addr::new(10, 2, 2, 10)),
    ("h3", Ipv4Addr::new(10, 3, 3, 10)),
];
/// Their other addresses.
pub const HOSTS_IPV6: [Ipv6Addr; 3] = [
    Ipv6Addr::new(0xfd0a, 1, 1, 0, 0, 0, 0, 0x10),
    Ipv6Addr::new(0xfd0a, 2, 2, 0, 0, 0, 0, 0x10),
    Ipv6Addr::new(0xfd0a, 3, 3, 0, 0, 0, 0, 0x10),
];
/// A host on the second LAN of gm1.
pub const H4: Ipv4Addr = Ipv4Addr::new(10, 1, 2, 10);
/// The address of gm1 on its first LAN.
pub const GM1_LAN: Ipv4Addr = Ipv4Addr::new(10, 1, 1, 1);
/// A host that no group protects.
pub const OUTSIDE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);

const PLAN: Plan = Plan {
    links: &[
        [("ks1", "eth0", "192.0.2.10/30"), ("core", "ks1", "192.0.2.9/30")],
        [("ks2", "eth0", "192.0.2.14/30"), ("core", "ks2", "192.0.2.13/30")],
        [("ks3", "eth0", "192.0.2.18/30"), ("core", "ks3", "192.0.2.17/30")],
        [
            ("gm1", "wan", "198.51.100.1/30 2001:db8:100:1::1/64"),
            ("core", "gm1", "198.51.100.2/30 2001:db8:100:1::2/64"),
        ],
        [
            ("gm2", "wan", "198.51.100.5/30 2001:db8:100:2::1/64"),
            ("core", "gm2", "198.51.100.6/30 2001:db8:100:2::2/64"),
        ],
        [
            ("gm3", "wan", "198.51.100.9/30 2001:db8:100:3::1/64"),
            ("core", "gm3", "198.51.100.10/30 2001:db8:100:3::2/64"),
        ],
        [
            ("outside", "eth0", "203.0.113.10/24 2001:db8:113::10/64"),
            ("core", "outside", "203.0.113.1/24 2001:db8:113::1/64"),
        ],
        [("h1", "eth0", "10.1.1.10/24 fd0a:1:1::10/64"), ("gm1", "lan", "10.1.1.1/24 fd0a:1:1::1/64")],
        [("h4", "eth0", "10.1.2.10/24 fd0a:1:2::10/64"), ("gm1", "lan2", "10.1.2.1/24 fd0a:1:2::1/64")],
        [("h2", "eth0", "10.2.2.10/24 fd0a:2:2::10/64"), ("gm2", "lan", "10.2.2.1/24 fd0a:2:2::1/64")],
        [("h3", "eth0", "10.3.3.10/24 fd0a:3:3::10/64"), ("gm3", "lan", "10.3.3.1/24 fd0a:3:3::1/64")],
    ],
    routes: &[
        ("ks1", "default via 192.0.2.9"),
        ("ks2", "default via 192.0.2.13"),
        ("ks3", "default via 192.0.2.17"),
        ("gm1", "default via 198.51.100.2"),
        ("gm1", "default via 2001:db8:100:1::2"),
        ("gm2", "default via 198.51.100.6"),
        ("gm2", "default via 2001:db8:100:2::2"),
        ("gm3", "default via 198.51.100.10"),
        ("gm3", "default via 2001:db8:100:3::2"),
        ("outside", "default via 203.0.113.1"),
        ("outside", "default via 2001:db8:113::1"),
        ("h1", "default via 10.1.1.1"),
        ("h1", "default via fd0a:1:1::1"),
        ("h4", "default via 10.1.2.1"),
        ("h4", "default via fd0a:1:2::1"),
        ("h2", "default via 10.2.2.1"),
        ("h2", "default via fd0a:2:2::1"),
        ("h3", "default via 10.3.3.1"),
        ("h3", "default via fd0a:3:3::1"),
        ("core", "10.1.1.0/24 via 198.51.100.1"),
        ("core", "fd0a:1::/32 via 2001:db8:100:1::1"),
        ("core", "10.1.2.0/24 via 198.51.100.1"),
        ("core", "10.2.2.0/24 via 198.51.100.5"),
        ("core", "fd0a:2::/32 via 2001:db8:100:2::1"),
        ("core", "10.3.3.0/24 via 198.51.100.9"),
        ("core", "fd0a:3::/32 via 2001:db8:100:3::1"),
    ],
    routers: &["core", "gm1", "gm2", "gm3"],
};

/// The hosts and links, and where daemons come from.
#[derive(Debug)]
pub struct Site {
    /// Programs, configurations and logs.
    pub places: Arc<Places>,
    network: Network,
}

impl Site {
    /// Builds the site.
    pub fn build() -> Outcome<Self> {
        Ok(Site { places: Arc::new(Places::of_this_run()?), network: Network::build(&PLAN)? })
    }

    /// A host by its name.
    pub fn host(&self, name: &str) -> Outcome<Arc<Host>> {
        self.network.host(name)
    }

    /// Brings a host's interfaces, addresses and routes back, as its operator would.
    pub fn restore(&self, host: &str) -> Outcome {
        self.network.restore(host)
    }

    /// Starts a member daemon.
    pub fn member(&self, host: &str, config: Value) -> Outcome<Daemon> {
        Daemon::start(&self.places, self.host(host)?, Role::Member, config)
    }

    /// The same with more in its environment.
    pub fn member_with(
        &self,
        host: &str,
        config: Value,
        environment: &[(&'static str, PathBuf)],
    ) -> Outcome<Daemon> {
        let launched = Launch { environment: environment.to_vec(), ..Launch::default() };
        Daemon::start_with(&self.places, self.host(host)?, Role::Member, config, launched)
    }

    /// Starts a member daemon by way of another program, such as `ip vrf exec red`.
    pub fn member_through(&self, host: &str, config: Value, through: &'static str) -> Outcome<Daemon> {
        let launched = Launch { through, ..Launch::default() };
        Daemon::start_with(&self.places, self.host(host)?, Role::Member, config, launched)
    }

    /// Starts a key server daemon.
    pub fn key_server(&self, host: &str, config: Value) -> Outcome<Daemon> {
        Daemon::start(&self.places, self.host(host)?, Role::KeyServer, config)
    }

    /// What a boot leaves in a member's kernel while its WAN is down: nothing.
    pub fn boot(&self, member: &str) -> Outcome {
        let host = self.host(member)?;
        host.inside(|| topology::batch("link set wan down\nxfrm policy flush\nxfrm state flush\n"))?;
        flush_anchors(&host)?;
        host.must("nft flush ruleset").map(drop)
    }

    /// Takes everything out of the members' kernels that daemons of an earlier scenario left there.
    pub fn wipe(&self) -> Outcome {
        self.network.for_each(|host| {
            if !MEMBERS.contains(&host.name()) {
                return Ok(());
            }
            let _ = std::fs::remove_dir_all(self.places.state_of(host.name()));
            host.inside(|| topology::batch("xfrm policy flush\nxfrm state flush\n"))?;
            flush_anchors(host)?;
            host.must("nft flush ruleset").map(drop)
        })
    }
}

fn flush_anchors(member: &Host) -> Outcome {
    member.run("ip route flush table all root 192.0.0.0/24")?;
    member.run("ip -6 route flush table all root 100::/64").map(drop)
}
