//! The ways from gm1 to gm2 that are compared.

use super::crowd::SENDERS;
use crate::cell::Transform;
use crate::host::Host;
use crate::outcome::Outcome;
use crate::site::{Site, WAN};
use crate::topology::batch;
use std::fmt;
use std::fs;

/// A way for the traffic between the LANs of gm1 and gm2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plane {
    /// Nothing is encrypted.
    Clear,
    /// A tunnel of the kernel between the two, with the same transform.
    Tunnel,
    /// A tunnel of WireGuard's.
    WireGuard,
    /// The group.
    Ours(AccessList),
}

/// How long the group's access list is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessList {
    /// One entry.
    Short,
    /// As long as can be, and only the last entry is about this traffic; beside it many senders.
    Long,
}

/// In the order in which they take turns.
pub const PLANES: [Plane; 5] = [
    Plane::Clear,
    Plane::Tunnel,
    Plane::Ours(AccessList::Short),
    Plane::WireGuard,
    Plane::Ours(AccessList::Long),
];
/// Which are divided by which.
pub const COMPARISONS: [(Plane, Plane); 3] = [
    (Plane::Ours(AccessList::Short), Plane::Tunnel),
    (Plane::Ours(AccessList::Short), Plane::WireGuard),
    (Plane::Ours(AccessList::Long), Plane::Ours(AccessList::Short)),
];
/// Entries of the long list, the most that a key server takes.
const MOST: usize = 1000;
const LANS: [&str; 2] = ["10.1.1.0/24", "10.2.2.0/24"];
const ROUTERS: [&str; 2] = ["gm1", "gm2"];
const PORT: u16 = 51820;

impl Plane {
    /// Whether this kernel and machine have what it needs.
    pub fn is_possible(self, site: &Site) -> bool {
        let wireguard = || {
            let gm1 = site.host(ROUTERS[0])?;
            let done = gm1.run("ip link add wg0 type wireguard")?.success && gm1.run("wg show")?.success;
            gm1.run("ip link del wg0")?;
            Ok::<_, crate::outcome::Stop>(done)
        };
        self != Plane::WireGuard || wireguard().unwrap_or(false)
    }

    /// Puts into both routers what it needs, unless daemons do.
    pub fn set_up(self, site: &Site, transform: Transform) -> Outcome {
        match self {
            Plane::Clear | Plane::Ours(_) => Ok(()),
            Plane::Tunnel => {
                (0..2).try_for_each(|end| tunnel(site.host(ROUTERS[end])?.as_ref(), end, transform))
            }
            Plane::WireGuard => wireguard(site),
        }
    }

    /// Takes it out again.
    pub fn take_down(self, site: &Site) -> Outcome {
        if self == Plane::WireGuard {
            ROUTERS.into_iter().try_for_each(|name| site.host(name)?.must("ip link del wg0").map(drop))?;
        }
        site.wipe()
    }
}

fn tunnel(router: &Host, end: usize, transform: Transform) -> Outcome {
    let (own, other) = (WAN[end], WAN[1 - end]);
    let (lan, remote) = (LANS[end], LANS[1 - end]);
    let state =
        |number: usize| format!("proto esp spi {} mode tunnel {}", 0x1000 + number, algorithms(transform));
    let template = |from, to| format!("tmpl src {from} dst {to} proto esp mode tunnel");
    let inward = template(other, own);
    let lines = format!(
        "xfrm state add src {own} dst {other} {}\nxfrm state add src {other} dst {own} {}\n\
         xfrm policy add src {lan} dst {remote} dir out {}\n\
         xfrm policy add src {remote} dst {lan} dir fwd {inward}\nxfrm policy add src {remote} dst {lan} dir in {inward}\n",
        state(end),
        state(1 - end),
        template(own, other),
    );
    router.inside(|| batch(&lines))
}

/// Of a state, for `ip`.
pub fn algorithms(transform: Transform) -> String {
    let key = |octets: usize| format!("0x{}", "5a".repeat(octets));
    let aead = |name: &str, octets| format!("replay-window 128 flag esn aead {name} {} 128", key(octets));
    match transform {
        Transform::AesGcm256 => aead("rfc4106(gcm(aes))", 36),
        Transform::AesGcm128 => aead("rfc4106(gcm(aes))", 20),
        Transform::ChaCha20Poly1305 => aead("rfc7539esp(chacha20,poly1305)", 36),
        Transform::AesCbc256 => format!("enc cbc(aes) {} auth-trunc hmac(sha256) {} 128", key(32), key(32)),
    }
}

fn wireguard(site: &Site) -> Outcome {
    let routers = ROUTERS.into_iter().map(|name| site.host(name)).collect::<Outcome<Vec<_>>>()?;
    let keys = routers.iter().map(|router| keyed(site, router)).collect::<Outcome<Vec<_>>>()?;
    for (end, router) in routers.iter().enumerate() {
        let (key, lan, endpoint) = (&keys[1 - end], LANS[1 - end], WAN[1 - end]);
        router.must(&format!("wg set wg0 peer {key} allowed-ips {lan} endpoint {endpoint}:{PORT}"))?;
        router.must(&format!("ip route add {lan} dev wg0"))?;
    }
    Ok(())
}

/// An interface with a key of its own; the public key.
fn keyed(site: &Site, router: &Host) -> Outcome<String> {
    let file = site.places.out.join(format!("{}-wireguard.key", router.name()));
    router.inside(|| batch("link add wg0 type wireguard\nlink set wg0 up\n"))?;
    fs::write(&file, router.must("wg genkey")?)?;
    router.must(&format!("wg set wg0 listen-port {PORT} private-key {}", file.display()))?;
    Ok(router.must("wg show wg0 public-key")?.trim().to_owned())
}

impl AccessList {
    /// The entries of the key server's file; none: those that are there.
    pub fn entries(self) -> Vec<String> {
        let strange = |number: usize| {
            let (high, low) = (number >> 8, number & 0xff);
            format!("permit ip 172.16.{high}.{low}/32 172.17.{high}.{low}/32")
        };
        match self {
            AccessList::Short => Vec::new(),
            AccessList::Long => {
                (0..MOST - 1).map(strange).chain(["permit ip 10.0.0.0/8 10.0.0.0/8".to_owned()]).collect()
            }
        }
    }
}

impl fmt::Display for Plane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Plane::Clear => f.write_str("clear"),
            Plane::Tunnel => f.write_str("plain XFRM tunnel"),
            Plane::WireGuard => f.write_str("WireGuard"),
            Plane::Ours(AccessList::Short) => f.write_str("ours"),
            Plane::Ours(AccessList::Long) => write!(f, "ours, {MOST} entries, {SENDERS} senders"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_ends_with_what_is_measured() {
        let entries = AccessList::Long.entries();
        assert_eq!(entries.len(), MOST);
        assert_eq!(entries[998], "permit ip 172.16.3.230/32 172.17.3.230/32");
        assert!(entries[999].contains("10.0.0.0/8"));
    }
}
