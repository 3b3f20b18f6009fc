//! A group as the key server's configuration describes it.

use super::access::{acl, Entry};
use super::key_life::{KeyLife, SHORTEST};
use super::located::{given, mapping, Bounded, Clash, Distinct, Parsed};
use super::names::{group_clash, Label};
use super::phase1::IdentityEntry;
use super::redundancy::RedundancyEntry;
use super::rekey::{MulticastRoute, RekeyFile};
use super::source::{ConfigError, Source};
use gdoi::coop::Redundancy;
use gdoi::lifetime::registration_margin;
use gdoi::policy::{Acl, Identity, Prefix, SendMode, Transform, MAX_REPLAY_WINDOW};
use gdoi::{Authorization, GroupConfig, GroupName};
use serde::{Deserialize, Deserializer};
use std::net::IpAddr;
use std::time::Duration;

/// A day, the longest delay of a roll-over, in seconds.
type Delay = Bounded<0, 86_400>;

/// One group of `ks.yaml`.
#[derive(Debug)]
pub(super) struct GroupFile {
    group: GroupName,
    local: ServerLocal,
}

impl GroupFile {
    /// Where its rekey messages leave this host, if by multicast.
    pub fn route(&self) -> Option<&MulticastRoute> {
        self.local.rekey.as_ref().and_then(RekeyFile::route)
    }

    /// A life that is for labs only, if there is one.
    pub fn lab_life(&self) -> Option<Duration> {
        let kek = self.local.rekey.as_ref().map(|rekey| rekey.lifetime);
        [Some(self.local.ipsec.lifetime), kek].into_iter().flatten().find(|life| life.as_secs() < SHORTEST)
    }

    /// The other key servers that share it.
    pub fn peers(&self) -> &[IpAddr] {
        self.local.redundancy.as_ref().map_or(&[], |redundancy| &redundancy.peers)
    }

    /// What operators call it.
    pub fn name(&self) -> &str {
        &self.group.name
    }

    /// The addresses that may register, if it names any.
    pub fn addresses(&self) -> &[Prefix] {
        &self.local.authorization.addresses
    }

    /// The identities that may register, if it names any.
    pub fn identities(&self) -> &[Identity] {
        &self.local.authorization.identities
    }

    /// Its access list.
    pub fn entries(&self) -> &[Entry] {
        &self.local.ipsec.entries
    }

    /// The group with its rekey key.
    ///
    /// # Errors
    /// The rekey key's file cannot be read or used.
    pub fn settle(self, source: &mut Source) -> Result<GroupConfig, ConfigError> {
        let local = self.local;
        let rekey = local.rekey.map(|rekey| rekey.settle(local.ipsec.lifetime, source)).transpose()?;
        Ok(GroupConfig {
            group: self.group,
            transform: local.ipsec.transform,
            replay_window: local.ipsec.replay_window,
            tek_lifetime: local.ipsec.lifetime,
            acl: local.ipsec.acl,
            mode: local.ipsec.mode,
            authorization: local.authorization,
            activation_delay: local.activation_delay,
            deactivation_delay: local.deactivation_delay,
            rekey,
            redundancy: local.redundancy,
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawGroup {
    name: Parsed<Label>,
    identity_number: u32,
    server_local: ServerLocal,
}

impl<'de> Deserialize<'de> for GroupFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let RawGroup { name: Parsed(label), identity_number, server_local } =
            RawGroup::deserialize(deserializer)?;
        Ok(GroupFile { group: label.numbered(identity_number), local: server_local })
    }
}

impl Clash for GroupFile {
    fn clash(&self, earlier: &Self) -> Option<String> {
        let routes = self.route().zip(earlier.route());
        if routes.is_some_and(|(route, other)| route.group == other.group && route != other) {
            return Some(format!(
                "groups `{}` and `{}` rekey to one multicast group, so `interface` and `ttl` must be the same",
                earlier.group.name, self.group.name
            ));
        }
        group_clash(&self.group, &earlier.group)
    }
}

#[derive(Debug)]
struct ServerLocal {
    rekey: Option<RekeyFile>,
    ipsec: IpsecFile,
    authorization: Authorization,
    activation_delay: Duration,
    deactivation_delay: Duration,
    redundancy: Option<Redundancy>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawServerLocal {
    #[serde(default, deserialize_with = "given")]
    rekey: Option<RekeyFile>,
    sa_ipsec: IpsecFile,
    #[serde(default, deserialize_with = "given")]
    authorization: Option<AuthorizationEntry>,
    activation_delay: Option<Delay>,
    deactivation_delay: Option<Delay>,
    #[serde(default, deserialize_with = "given")]
    redundancy: Option<RedundancyEntry>,
}

impl<'de> Deserialize<'de> for ServerLocal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        mapping::<D, RawServerLocal, Self>(deserializer)
    }
}

impl TryFrom<RawServerLocal> for ServerLocal {
    type Error = String;

    fn try_from(raw: RawServerLocal) -> Result<Self, String> {
        let life = raw.sa_ipsec.lifetime;
        let activation_delay =
            raw.activation_delay.map_or((life / 12).min(ACTIVATION_DELAY), Bounded::seconds);
        let twice = activation_delay.max(Duration::from_secs(1)) * 2;
        let deactivation_delay = raw.deactivation_delay.map_or(twice, Bounded::seconds);
        check_delays(activation_delay, deactivation_delay, life)?;
        if raw.redundancy.is_some() && raw.rekey.is_none() {
            return Err(
                "`redundancy` needs `rekey`: without it the key servers could not tell members of new keys, and \
                 members of different servers would not understand each other"
                    .into(),
            );
        }
        Ok(ServerLocal {
            rekey: raw.rekey,
            ipsec: raw.sa_ipsec,
            authorization: raw.authorization.map(|AuthorizationEntry(lists)| lists).unwrap_or_default(),
            activation_delay,
            deactivation_delay,
            redundancy: raw.redundancy.map(|RedundancyEntry(redundancy)| redundancy),
        })
    }
}

/// Long enough for every member to hold the new key before anybody sends with it; a twelfth of a short life.
const ACTIVATION_DELAY: Duration = Duration::from_secs(30);

fn check_delays(activation: Duration, deactivation: Duration, life: Duration) -> Result<(), String> {
    let margin = registration_margin(life);
    if activation > margin {
        return Err(format!(
            "activation-delay {} is over {} seconds, and with so much life left members fetch the next key",
            activation.as_secs(),
            margin.as_secs()
        ));
    }
    match deactivation > activation && deactivation < life {
        true => Ok(()),
        false => {
            Err("deactivation-delay must be longer than activation-delay and shorter than the lifetime"
                .into())
        }
    }
}

/// What is encrypted, and how.
#[derive(Debug)]
struct IpsecFile {
    transform: Transform,
    replay_window: u16,
    lifetime: Duration,
    entries: Vec<Entry>,
    acl: Acl,
    mode: SendMode,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawIpsec {
    transform: Option<Parsed<Transform>>,
    replay_window: Option<ReplayWindow>,
    lifetime: Option<KeyLife>,
    match_address: Distinct<Entry>,
    receive_only: Option<bool>,
}

impl<'de> Deserialize<'de> for IpsecFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        mapping::<D, RawIpsec, Self>(deserializer)
    }
}

impl TryFrom<RawIpsec> for IpsecFile {
    type Error = String;

    fn try_from(raw: RawIpsec) -> Result<Self, String> {
        let Distinct(entries) = raw.match_address;
        let transform = raw.transform.map_or_else(Transform::default, |Parsed(transform)| transform);
        Ok(IpsecFile {
            transform,
            replay_window: replay_window(transform, raw.replay_window)?,
            lifetime: raw.lifetime.map_or(DEFAULT_TEK_LIFE, KeyLife::time),
            acl: acl(&entries)?,
            entries,
            mode: if raw.receive_only == Some(true) { SendMode::ReceiveOnly } else { SendMode::Both },
        })
    }
}

const DEFAULT_TEK_LIFE: Duration = Duration::from_secs(3_600);

/// Packets; 0 is no replay check.
type ReplayWindow = Bounded<0, { MAX_REPLAY_WINDOW as u64 }>;

const DEFAULT_REPLAY_WINDOW: u16 = 1_024;

/// Senders that share one key count their packets apart, so a window would drop those of all but one.
fn replay_window(transform: Transform, window: Option<ReplayWindow>) -> Result<u16, String> {
    match (transform.is_per_sender(), window) {
        (true, window) => Ok(window.map_or(DEFAULT_REPLAY_WINDOW, |Bounded(packets)| packets as u16)),
        (false, None) => Ok(0),
        (false, Some(_)) => Err(format!(
            "replay-window goes with aes-256-gcm, aes-128-gcm and chacha20-poly1305 only: with {transform} all members \
             share one key, and no receiver can tell their sequence numbers apart"
        )),
    }
}

/// Who may register. Left out it is everybody who has a pre-shared key, and so it is never empty.
struct AuthorizationEntry(Authorization);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAuthorization {
    #[serde(default, deserialize_with = "given")]
    address: Option<Distinct<Parsed<Prefix>>>,
    #[serde(default, deserialize_with = "given")]
    identity: Option<Distinct<IdentityEntry>>,
}

impl<'de> Deserialize<'de> for AuthorizationEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        mapping::<D, RawAuthorization, Self>(deserializer)
    }
}

impl TryFrom<RawAuthorization> for AuthorizationEntry {
    type Error = String;

    fn try_from(raw: RawAuthorization) -> Result<Self, String> {
        let addresses = raw.address.map(|Distinct(list)| list.into_iter().map(|Parsed(prefix)| prefix));
        let identities =
            raw.identity.map(|Distinct(list)| list.into_iter().map(|IdentityEntry(entry)| entry));
        match (addresses, identities) {
            (None, None) => {
                Err("`authorization` names nobody: list `address` or `identity`, or leave it out, and every \
                                 member with a pre-shared key may register"
                    .into())
            }
            (addresses, identities) => Ok(AuthorizationEntry(Authorization {
                addresses: addresses.into_iter().flatten().collect(),
                identities: identities.into_iter().flatten().collect(),
            })),
        }
    }
}
