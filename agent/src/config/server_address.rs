//! Key servers as a member's configuration names them: an address, or an address and a port.

use super::discretion::of_value;
use super::located::{mapping, Bounded, Clash, Parsed};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A key server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerAddress {
    /// Its address.
    pub address: UnicastAddress,
    /// Its UDP port; None is the member's own.
    pub port: Option<u16>,
}

/// The address of one host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnicastAddress(pub IpAddr);

impl FromStr for UnicastAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<IpAddr>() {
            Ok(address) if !is_of_one_host(address) => {
                Err(format!("{address} is not the address of one host"))
            }
            Ok(IpAddr::V6(address)) if address.is_unicast_link_local() => {
                Err(format!("{address} holds on one link only, take one that is routed"))
            }
            Ok(address) => Ok(UnicastAddress(address)),
            Err(_) => Err(format!("`{text}` is no IP address")),
        }
    }
}

fn is_of_one_host(address: IpAddr) -> bool {
    let special = match address {
        IpAddr::V4(address) => address.is_broadcast(),
        IpAddr::V6(address) => address.to_ipv4_mapped().is_some(),
    };
    !(special || address.is_unspecified() || address.is_multicast())
}

impl fmt::Display for UnicastAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Clash for ServerAddress {
    fn clash(&self, earlier: &Self) -> Option<String> {
        (self.address == earlier.address).then(|| format!("server {} stands here twice", self.address.0))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawServer {
    address: Parsed<UnicastAddress>,
    port: Option<Bounded<1, 65_535>>,
}

impl TryFrom<RawServer> for ServerAddress {
    type Error = String;

    fn try_from(RawServer { address: Parsed(address), port }: RawServer) -> Result<Self, String> {
        Ok(ServerAddress { address, port: port.map(Bounded::narrow) })
    }
}

impl<'de> Deserialize<'de> for ServerAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ServerVisitor)
    }
}

struct ServerVisitor;

impl<'de> Visitor<'de> for ServerVisitor {
    type Value = ServerAddress;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an address, or a mapping of `address` and `port`")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<ServerAddress, E> {
        let address = text.parse().map(|address| ServerAddress { address, port: None });
        address.map_err(|reason: String| E::custom(of_value(text, &reason)))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ServerAddress, A::Error> {
        mapping::<_, RawServer, _>(MapAccessDeserializer::new(map))
    }
}
