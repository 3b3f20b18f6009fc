//! `ks.yaml`: the groups that this key server serves.

use super::access::{overlaps, permits_nothing, remarks};
use super::file_name::{named, FileName};
use super::located::{given, mapping, Bounded, Clash, Distinct, Parsed};
use super::phase1::{usual_proposals, AcceptedList, IdentityEntry};
use super::redundancy::coop_peers;
use super::rekey::MulticastRoute;
use super::secret::{InlineKey, KeySource};
use super::served_group::GroupFile;
use super::server_address::UnicastAddress;
use super::source::{ConfigError, Source};
use super::{Port, Settings, DEFAULT_PORT};
use gdoi::crypto::seal::SealKey;
use gdoi::phase1::Credential;
use gdoi::policy::{Family, Identity, Prefix, Proposal};
use gdoi::{CredentialEntry, KeyServerConfig, MAX_GROUPS};
use serde::{Deserialize, Deserializer};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// Where `gdoictl` finds the key server daemon.
pub const KEY_SERVER_SOCKET: &str = "/run/gdoi/ks.sock";

const STATE_DIRECTORY: &str = "/var/lib/gdoi-ks";

/// What the service manager's credential with the state key is called.
const STATE_CREDENTIAL: &str = "state-key";

/// What the key server daemon runs with.
#[derive(Debug)]
pub struct KeyServerSettings {
    /// The UDP socket's address.
    pub address: SocketAddr,
    /// Where `gdoictl` connects.
    pub control_socket: PathBuf,
    /// Keys, groups and members.
    pub server: KeyServerConfig,
    /// Where multicast rekey messages leave this host.
    pub routes: Vec<MulticastRoute>,
    /// Where the state is stored; None without a key to seal it.
    pub state: Option<StateSettings>,
}

/// Where the state is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateSettings {
    /// The directory.
    pub directory: PathBuf,
    /// The key that seals it.
    pub key: SealKey,
}

/// `ks.yaml` as it is written.
#[derive(Debug)]
pub struct KeyServerFile {
    address: SocketAddr,
    control_socket: PathBuf,
    keys: Vec<PskRule>,
    proposals: Vec<Proposal>,
    groups: Vec<GroupFile>,
    lab_timers: LabTimers,
    state_directory: PathBuf,
    state_key_file: Option<PathBuf>,
}

/// Whether keys may live for less than a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LabTimers {
    Allowed,
    Refused,
}

impl Settings for KeyServerFile {
    type Ready = KeyServerSettings;

    fn settle(self, source: &mut Source) -> Result<KeyServerSettings, ConfigError> {
        self.check_lives(source)?;
        self.review_lists(source);
        let state = self.state(source)?;
        let routes: Vec<_> = self.groups.iter().filter_map(GroupFile::route).cloned().collect();
        let others = self.peers();
        let credentials =
            self.keys.into_iter().map(|rule| rule.settle(source)).collect::<Result<Vec<_>, _>>()?;
        warn_of_strangers(&self.groups, &credentials, source);
        check_families(&routes, self.address, source)?;
        check_own(&credentials, source)?;
        let mut named = self.groups.iter().flat_map(GroupFile::identities);
        named.try_for_each(|identity| check_bound(identity, &credentials, source))?;
        let peers = coop_peers(&others, self.address, &credentials, source)?;
        let groups = self.groups.into_iter().map(|group| group.settle(source)).collect::<Result<_, _>>()?;
        let identity = Identity::Address(self.address.ip());
        let (address, proposals) = (self.address, self.proposals);
        let server = KeyServerConfig { identity, address, credentials, proposals, groups, peers };
        let (address, control_socket) = (self.address, self.control_socket);
        Ok(KeyServerSettings { address, control_socket, server, routes, state })
    }
}

impl KeyServerFile {
    fn check_lives(&self, source: &Source) -> Result<(), ConfigError> {
        let life = self.groups.iter().find_map(GroupFile::lab_life).map(|life| life.as_secs());
        match (self.lab_timers, life) {
            (LabTimers::Refused, Some(life)) => Err(source.error_at_number(
                "lifetime",
                life,
                format!(
                    "lifetime {life} is below 60 seconds, which only `lab-timers: true` at the top allows"
                ),
            )),
            _ => Ok(()),
        }
    }

    /// Tells what in the access lists can hardly be meant.
    fn review_lists(&self, source: &mut Source) {
        let all = source.lines_of(self.groups.iter().flat_map(GroupFile::entries));
        let mut rest = &all[..];
        for (number, group) in self.groups.iter().enumerate() {
            let (lines, behind) = rest.split_at(group.entries().len());
            let before = self.groups[..number].iter().map(|earlier| (earlier.name(), earlier.entries()));
            let shared = before.filter_map(|earlier| overlaps(group.name(), group.entries(), earlier));
            let own =
                remarks(group.entries()).into_iter().chain(permits_nothing(group.name(), group.entries()));
            source.warn_at(lines, own.chain(shared).collect());
            rest = behind;
        }
    }

    /// The key servers that share a group with this one, each once.
    fn peers(&self) -> Vec<IpAddr> {
        let mut peers = Vec::new();
        for peer in self.groups.iter().flat_map(GroupFile::peers) {
            if !peers.contains(peer) {
                peers.push(*peer);
            }
        }
        peers
    }

    /// A key file that is named must be there; the service manager's credential may be.
    fn state(&self, source: &mut Source) -> Result<Option<StateSettings>, ConfigError> {
        let directory = source.beside(&self.state_directory);
        let Some(file) = self.state_key_file.clone().or_else(credential) else {
            let kept = directory.join("state");
            return match kept.exists() {
                false => Ok(None),
                true => Err(source.error_behind("state-directory", "", format!(
                    "{} is there, but neither a `state-key-file` nor the service manager's credential `state-key` to read it: \
                     bring the key back, or move the file away, and all groups begin with new keys",
                    kept.display()
                ))),
            };
        };
        let parse = |octets: &[u8]| {
            SealKey::parse(octets).map_err(|_| "holds neither 32 octets nor 64 hexadecimal digits".to_owned())
        };
        let key = source.read_octets(&file, parse)?;
        Ok(Some(StateSettings { directory, key }))
    }
}

/// Who has no key cannot register, whatever else lets it.
fn warn_of_strangers(groups: &[GroupFile], credentials: &[CredentialEntry], source: &mut Source) {
    let has_key = |prefix: &&Prefix| credentials.iter().any(|entry| entry.peers.overlaps(prefix));
    for prefix in groups.iter().flat_map(GroupFile::addresses).filter(|prefix| !has_key(prefix)) {
        let warning = format!("no entry of `pre-shared-keys` is for {prefix}: nobody there can register");
        source.warn_behind("authorization", &prefix.address().to_string(), warning);
    }
}

/// Rekey messages leave from the one socket.
fn check_families(routes: &[MulticastRoute], own: SocketAddr, source: &Source) -> Result<(), ConfigError> {
    let other = routes.iter().map(|route| route.group).find(|group| group.is_ipv4() != own.is_ipv4());
    other.map_or(Ok(()), |group| {
        let reason =
            format!("{} is of {}, this key server's `address` is not", group.ip(), Family::of(group.ip()));
        Err(source.error_in_list("address", &group.ip().to_string(), reason))
    })
}

/// A key proves a name only if nobody else has it.
fn check_own(credentials: &[CredentialEntry], source: &Source) -> Result<(), ConfigError> {
    let shared = |entry: &&CredentialEntry| {
        let others = credentials
            .iter()
            .filter(|other| (other.peers, &other.identity) != (entry.peers, &entry.identity));
        entry.identity.is_some() && others.clone().any(|other| other.credential == entry.credential)
    };
    match credentials.iter().find(shared) {
        None => Ok(()),
        Some(entry) => Err(source.error_in_list(
            "pre-shared-keys",
            &entry.peers.to_string(),
            format!("the key of {} is bound to an identity, and another entry has the same key: it proves nothing", entry.peers),
        )),
    }
}

/// A name that no credential is bound to could be claimed by every member.
fn check_bound(
    identity: &Identity,
    credentials: &[CredentialEntry],
    source: &Source,
) -> Result<(), ConfigError> {
    let name = match identity {
        Identity::Address(_) => return Ok(()),
        Identity::Fqdn(name) | Identity::UserFqdn(name) => name.clone(),
        Identity::KeyId(octets) => String::from_utf8_lossy(octets).into_owned(),
    };
    match credentials.iter().any(|entry| entry.identity.as_ref() == Some(identity)) {
        true => Ok(()),
        false => Err(source.error_behind(
            "authorization",
            &name,
            format!(
                "nothing proves identity {identity}, every member could claim it: give the entry of its key in \
                 `pre-shared-keys` the same `identity`"
            ),
        )),
    }
}

fn credential() -> Option<PathBuf> {
    let directory = std::env::var_os("CREDENTIALS_DIRECTORY")?;
    Some(Path::new(&directory).join(STATE_CREDENTIAL)).filter(|file| file.exists())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawFile {
    address: Parsed<UnicastAddress>,
    port: Option<Port>,
    pre_shared_keys: Distinct<PskRule>,
    #[serde(default, deserialize_with = "given")]
    phase1: Option<AcceptedList>,
    groups: Distinct<GroupFile, MAX_GROUPS>,
    control_socket: Option<Parsed<FileName>>,
    lab_timers: Option<bool>,
    #[serde(default, deserialize_with = "given")]
    state_directory: Option<Parsed<FileName>>,
    #[serde(default, deserialize_with = "given")]
    state_key_file: Option<Parsed<FileName>>,
}

impl<'de> Deserialize<'de> for KeyServerFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        mapping::<D, RawFile, Self>(deserializer)
    }
}

impl TryFrom<RawFile> for KeyServerFile {
    type Error = String;

    fn try_from(raw: RawFile) -> Result<Self, String> {
        let Parsed(UnicastAddress(address)) = raw.address;
        let proposals = match raw.phase1 {
            None => usual_proposals(),
            Some(AcceptedList(list)) => list,
        };
        Ok(KeyServerFile {
            address: SocketAddr::new(address, raw.port.map_or(DEFAULT_PORT, Bounded::narrow)),
            control_socket: named(raw.control_socket).unwrap_or(KEY_SERVER_SOCKET.into()),
            keys: raw.pre_shared_keys.0,
            proposals,
            groups: raw.groups.0,
            lab_timers: if raw.lab_timers == Some(true) { LabTimers::Allowed } else { LabTimers::Refused },
            state_directory: named(raw.state_directory).unwrap_or(STATE_DIRECTORY.into()),
            state_key_file: named(raw.state_key_file),
        })
    }
}

/// Which key goes with which peers.
#[derive(Debug)]
struct PskRule {
    peers: Prefix,
    identity: Option<Identity>,
    key: KeySource,
}

impl PskRule {
    fn settle(self, source: &mut Source) -> Result<CredentialEntry, ConfigError> {
        let credential = Credential::PreSharedKey(self.key.read(source)?);
        Ok(CredentialEntry { peers: self.peers, identity: self.identity, credential })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawPskRule {
    address: Parsed<Prefix>,
    #[serde(default, deserialize_with = "given")]
    identity: Option<IdentityEntry>,
    key: Option<Parsed<InlineKey>>,
    key_file: Option<Parsed<FileName>>,
}

impl<'de> Deserialize<'de> for PskRule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        mapping::<D, RawPskRule, Self>(deserializer)
    }
}

impl TryFrom<RawPskRule> for PskRule {
    type Error = String;

    fn try_from(raw: RawPskRule) -> Result<Self, String> {
        let identity = raw.identity.map(|IdentityEntry(identity)| identity);
        if let Some(Identity::Address(_)) = identity {
            return Err(
                "an address proves itself: the `identity` of a key is an `fqdn`, a `user-fqdn` or a `key-id`"
                    .into(),
            );
        }
        Ok(PskRule {
            peers: raw.address.0,
            identity,
            key: KeySource::one_of(raw.key, named(raw.key_file), "key")?,
        })
    }
}

impl Clash for PskRule {
    fn clash(&self, earlier: &Self) -> Option<String> {
        (self.peers == earlier.peers).then(|| format!("there are two keys for {}", self.peers))
    }
}
