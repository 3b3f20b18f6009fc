//! How a group is rekeyed, as the key server's configuration describes it.

use super::file_name::FileName;
use super::key_life::KeyLife;
use super::located::{mapping, Bounded, Parsed};
use super::names::InterfaceName;
use super::source::{ConfigError, Source};
use super::{Port, DEFAULT_PORT};
use gdoi::crypto::sign::SigningKey;
use gdoi::crypto::Hash;
use gdoi::lifetime::{registration_jitter, registration_margin, server_margin};
use gdoi::{RekeyConfig, Retransmit, SignedLength, Transport};
use serde::{Deserialize, Deserializer};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// The longest time from the first transmission of a rekey message to the end of the last wait: a member takes none
/// for true that is more than 100 s old by the group's time.
const LONGEST_DISTRIBUTION: Duration = Duration::from_secs(90);

const DEFAULT_KEK_LIFE: Duration = Duration::from_secs(86_400);
const DEFAULT_REMINDER: Duration = Duration::from_secs(7_200);
const DEFAULT_TTL: u8 = 32;

/// Where multicast rekey messages leave this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MulticastRoute {
    /// The group and its UDP port.
    pub group: SocketAddr,
    /// The interface; None is the one that has the key server's address.
    pub interface: Option<InterfaceName>,
    /// Through so many routers, at most.
    pub ttl: u8,
}

/// The `rekey` part of a group.
#[derive(Debug)]
pub(super) struct RekeyFile {
    pub lifetime: Duration,
    key_len: usize,
    authentication: PathBuf,
    route: Option<MulticastRoute>,
    retransmit: Option<Retransmit>,
    signed_length: SignedLength,
    reminder: Duration,
}

impl RekeyFile {
    /// The rekey SA of a group whose TEKs live for `tek_life`.
    ///
    /// # Errors
    /// The signing key's file cannot be read or used.
    pub fn settle(self, tek_life: Duration, source: &mut Source) -> Result<RekeyConfig, ConfigError> {
        let read_key =
            |text: &str| SigningKey::from_pem(text, Hash::Sha256).map_err(|error| error.to_string());
        let signing_key = source.read_named(&self.authentication, read_key)?;
        let retransmit = self.retransmit.unwrap_or_else(|| default_retransmit(tek_life));
        if comes_late(retransmit, tek_life) {
            source.warn(format!(
                "the last repetition of a rekey message, {} s after the first, is too late for keys of {} s: members \
                 that hear no earlier one register again",
                (retransmit.interval * retransmit.number).as_secs(),
                tek_life.as_secs()
            ));
        }
        Ok(RekeyConfig {
            key_len: self.key_len,
            lifetime: self.lifetime,
            signing_key,
            transport: self.route.map_or(Transport::Unicast, |route| Transport::Multicast(route.group)),
            retransmit,
            signed_length: self.signed_length,
            reminder: self.reminder,
        })
    }

    /// Where its messages leave this host, if by multicast.
    pub const fn route(&self) -> Option<&MulticastRoute> {
        self.route.as_ref()
    }
}

/// 10 s twice, less for short lives, so that the last repetition comes before members register again.
fn default_retransmit(tek_life: Duration) -> Retransmit {
    let interval = Duration::from_secs((tek_life.as_secs() / 15).clamp(1, 10));
    Retransmit { interval, number: 2 }
}

fn comes_late(retransmit: Retransmit, tek_life: Duration) -> bool {
    let begin = server_margin(tek_life, retransmit.total());
    let end = registration_margin(tek_life) + registration_jitter(tek_life);
    begin.saturating_sub(end) < retransmit.interval * retransmit.number
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRekey {
    #[serde(default)]
    transport: Parsed<Way>,
    address: Option<Parsed<GroupAddress>>,
    port: Option<Port>,
    interface: Option<Parsed<InterfaceName>>,
    ttl: Option<Bounded<1, 255>>,
    lifetime: Option<KeyLife>,
    encryption: Option<Parsed<KekCipher>>,
    authentication: Parsed<FileName>,
    retransmit: Option<RetransmitEntry>,
    #[serde(rename = "signed-length")]
    signed_length: Option<Parsed<Reading>>,
    reminder: Option<Bounded<60, 2_592_000>>,
}

impl<'de> Deserialize<'de> for RekeyFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        mapping::<D, RawRekey, Self>(deserializer)
    }
}

impl TryFrom<RawRekey> for RekeyFile {
    type Error = String;

    fn try_from(raw: RawRekey) -> Result<Self, String> {
        Ok(RekeyFile {
            route: raw.route()?,
            lifetime: raw.lifetime.map_or(DEFAULT_KEK_LIFE, KeyLife::time),
            key_len: raw.encryption.map_or(32, |Parsed(KekCipher(length))| length),
            authentication: raw.authentication.0 .0,
            retransmit: raw.retransmit.map(|RetransmitEntry(retransmit)| retransmit),
            signed_length: raw
                .signed_length
                .map_or_else(SignedLength::default, |Parsed(Reading(reading))| reading),
            reminder: raw.reminder.map_or(DEFAULT_REMINDER, Bounded::seconds),
        })
    }
}

impl RawRekey {
    fn route(&self) -> Result<Option<MulticastRoute>, String> {
        match (&self.transport.0, &self.address) {
            (Way::Multicast, Some(Parsed(GroupAddress(group)))) => Ok(Some(MulticastRoute {
                group: SocketAddr::new(*group, self.port.map_or(DEFAULT_PORT, Bounded::narrow)),
                interface: self.interface.as_ref().map(|Parsed(name)| name.clone()),
                ttl: self.ttl.map_or(DEFAULT_TTL, |Bounded(ttl)| ttl as u8),
            })),
            (Way::Multicast, None) => Err("`transport: multicast` needs the group's `address`".into()),
            (Way::Unicast, _) => match self.multicast_only() {
                Some(name) => Err(format!("`{name}` is for `transport: multicast`")),
                None => Ok(None),
            },
        }
    }

    fn multicast_only(&self) -> Option<&'static str> {
        let given = [
            ("address", self.address.is_some()),
            ("port", self.port.is_some()),
            ("interface", self.interface.is_some()),
            ("ttl", self.ttl.is_some()),
        ];
        given.into_iter().find(|(_, given)| *given).map(|(name, _)| name)
    }
}

/// How rekey messages reach the members.
#[derive(Default)]
enum Way {
    #[default]
    Unicast,
    Multicast,
}

impl Default for Parsed<Way> {
    fn default() -> Self {
        Parsed(Way::default())
    }
}

impl FromStr for Way {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "unicast" => Ok(Way::Unicast),
            "multicast" => Ok(Way::Multicast),
            _ => Err(format!("`{text}` is no transport (unicast or multicast)")),
        }
    }
}

/// A multicast group that routers forward.
struct GroupAddress(IpAddr);

impl FromStr for GroupAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<IpAddr>() {
            Ok(address) if is_of_one_link(address) => {
                Err(format!("{address} is for the routing protocols of one link, {TAKE}"))
            }
            Ok(address) if address.is_multicast() => Ok(GroupAddress(address)),
            Ok(address) => Err(format!("{address} is no multicast group, {TAKE}")),
            Err(_) => Err(format!("`{text}` is no IP address")),
        }
    }
}

const TAKE: &str = "take one of 239.0.0.0/8 or ff15::/16";

/// RFC 5771 section 4; RFC 4291 section 2.7: scopes up to that of a link.
fn is_of_one_link(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.octets()[..3] == [224, 0, 0],
        IpAddr::V6(address) => address.is_multicast() && address.octets()[1] & 15 <= 2,
    }
}

/// The key length of the cipher that protects rekey messages, in octets.
struct KekCipher(usize);

impl FromStr for KekCipher {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "aes-128-cbc" => Ok(KekCipher(16)),
            "aes-256-cbc" => Ok(KekCipher(32)),
            _ => Err(format!("`{text}` is no rekey cipher (aes-128-cbc or aes-256-cbc)")),
        }
    }
}

/// Which length members of other software take for signed.
struct Reading(SignedLength);

impl FromStr for Reading {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "padded" => Ok(Reading(SignedLength::Padded)),
            "unpadded" => Ok(Reading(SignedLength::Unpadded)),
            _ => Err(format!("`{text}` is no signed length (padded or unpadded)")),
        }
    }
}

struct RetransmitEntry(Retransmit);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRetransmit {
    interval: Bounded<1, 90>,
    number: Bounded<0, 89>,
}

impl<'de> Deserialize<'de> for RetransmitEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        mapping::<D, RawRetransmit, Self>(deserializer)
    }
}

impl TryFrom<RawRetransmit> for RetransmitEntry {
    type Error = String;

    fn try_from(raw: RawRetransmit) -> Result<Self, String> {
        let retransmit = Retransmit { interval: raw.interval.seconds(), number: raw.number.0 as u32 };
        match retransmit.total() <= LONGEST_DISTRIBUTION {
            true => Ok(RetransmitEntry(retransmit)),
            false => Err(format!(
                "{} transmissions every {} s take {} s, at most {} s are possible",
                retransmit.number + 1,
                retransmit.interval.as_secs(),
                retransmit.total().as_secs(),
                LONGEST_DISTRIBUTION.as_secs()
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_repetitions_fit_every_life() {
        for (life, interval) in [(20, 1), (30, 2), (60, 4), (150, 10), (3600, 10), (2_592_000, 10)] {
            let life = Duration::from_secs(life);
            let retransmit = default_retransmit(life);
            assert_eq!((retransmit.interval.as_secs(), retransmit.number), (interval, 2));
            assert!(!comes_late(retransmit, life), "{life:?}");
        }
    }

    #[test]
    fn late_repetitions_are_seen() {
        let slow = Retransmit { interval: Duration::from_secs(10), number: 2 };
        assert!(comes_late(slow, Duration::from_secs(60)) && !comes_late(slow, Duration::from_secs(3600)));
    }
}
