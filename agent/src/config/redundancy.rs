//! The key servers that share a group, as the configuration of one of them describes the others.

use super::located::{mapping, Bounded, Distinct, Parsed};
use super::server_address::UnicastAddress;
use super::source::{ConfigError, Source};
use gdoi::coop::{Preemption, Redundancy, MAX_SERVERS};
use gdoi::phase1::Credential;
use gdoi::policy::{Family, Prefix};
use gdoi::{CoopPeer, CredentialEntry};
use serde::{Deserialize, Deserializer};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

const DEFAULT_PRIORITY: u8 = 1;
const DEFAULT_HOLD_DOWN: Duration = Duration::from_secs(10);
const DEFAULT_INTERVAL: Duration = Duration::from_secs(1);
const DEFAULT_DEAD_AFTER: u32 = 3;

/// The `redundancy` part of a group.
pub(super) struct RedundancyEntry(pub Redundancy);

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawRedundancy {
    local_priority: Option<Bounded<1, 255>>,
    peers: Distinct<Parsed<UnicastAddress>, { MAX_SERVERS - 1 }>,
    preempt: Option<bool>,
    hold_down: Option<Bounded<0, 3_600>>,
    announcement_interval: Option<Bounded<1, 20>>,
    dead_after: Option<Bounded<2, 10>>,
}

impl<'de> Deserialize<'de> for RedundancyEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        mapping::<D, RawRedundancy, Self>(deserializer)
    }
}

impl TryFrom<RawRedundancy> for RedundancyEntry {
    type Error = String;

    fn try_from(raw: RawRedundancy) -> Result<Self, String> {
        Ok(RedundancyEntry(Redundancy {
            priority: raw.local_priority.map_or(DEFAULT_PRIORITY, |Bounded(priority)| priority as u8),
            preemption: raw.preemption()?,
            peers: raw.peers.0.into_iter().map(|Parsed(UnicastAddress(peer))| peer).collect(),
            interval: raw.announcement_interval.map_or(DEFAULT_INTERVAL, Bounded::seconds),
            dead_after: raw.dead_after.map_or(DEFAULT_DEAD_AFTER, |Bounded(missed)| missed as u32),
        }))
    }
}

impl RawRedundancy {
    fn preemption(&self) -> Result<Preemption, String> {
        match (self.preempt, self.hold_down) {
            (Some(false), Some(_)) => Err("`hold-down` is for `preempt: true`".into()),
            (Some(false), None) => Ok(Preemption::Never),
            (_, hold_down) => Ok(Preemption::After(hold_down.map_or(DEFAULT_HOLD_DOWN, Bounded::seconds))),
        }
    }
}

/// The cooperating servers of all groups, each with a key that members do not have. They use the port of this one.
///
/// # Errors
/// There is no such key, or a peer is this server itself.
pub(super) fn coop_peers(
    peers: &[IpAddr],
    own: SocketAddr,
    credentials: &[CredentialEntry],
    source: &Source,
) -> Result<Vec<CoopPeer>, ConfigError> {
    let peer = |peer: &IpAddr| match credential_of(*peer, own.ip(), peers, credentials) {
        Ok(credential) => Ok(CoopPeer { address: SocketAddr::new(*peer, own.port()), credential }),
        Err(reason) => Err(source.error_in_list("peers", &peer.to_string(), reason)),
    };
    peers.iter().map(peer).collect()
}

/// Cooperating servers trust each other with everything anyway, so they may have one key among them.
fn credential_of(
    peer: IpAddr,
    own: IpAddr,
    peers: &[IpAddr],
    credentials: &[CredentialEntry],
) -> Result<Credential, String> {
    if peer == own {
        return Err(format!("{peer} is this key server itself, `peers` are the others"));
    }
    if Family::of(peer) != Family::of(own) {
        return Err(format!("{peer} is of {}, this key server's `address` is not", Family::of(peer)));
    }
    let entry = credentials.iter().find(|entry| entry.peers == Prefix::host(peer)).ok_or_else(|| {
        format!(
            "key server {peer} needs an entry of its own in `pre-shared-keys`, for {peer} alone: {POSING}"
        )
    })?;
    let is_server = |entry: &CredentialEntry| peers.iter().any(|peer| entry.peers == Prefix::host(*peer));
    match credentials.iter().find(|other| !is_server(other) && other.credential == entry.credential) {
        Some(other) => {
            Err(format!("key server {peer} has the same pre-shared key as {}: {POSING}", other.peers))
        }
        None => Ok(entry.credential.clone()),
    }
}

const POSING: &str = "whoever has that key can pose as a key server, so members must not have it";
