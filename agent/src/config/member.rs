//! `gm.yaml`: the groups that this router is a member of.

use super::access::{acl, remarks, takes_all, Entry};
use super::file_name::{named, FileName};
use super::hook::Hook;
use super::located::{mapping, Bounded, Clash, Distinct, Parsed};
use super::names::{group_clash, InterfaceEntry, InterfaceName, InterfacePattern, Label};
use super::phase1::{IdentityEntry, Offer};
use super::secret::{InlineKey, KeySource};
use super::server_address::{ServerAddress, UnicastAddress};
use super::source::{ConfigError, Source};
use super::{Port, Settings, DEFAULT_PORT};
use gdoi::phase1::Credential;
use gdoi::policy::{Action, Doi, Family, Identity, Proposal, Selector, MAX_SIDS};
use gdoi::GroupName;
use serde::{Deserialize, Deserializer};
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use xfrm::{Anchors, Slot};

/// Where `gdoictl` finds the member daemon.
pub const MEMBER_SOCKET: &str = "/run/gdoi/gm.sock";

/// Where other programs find a file for each group.
const GROUPS_DIRECTORY: &str = "/run/gdoi/groups";

/// Each group on each interface needs two addresses of its own , see [`Slot`].
pub(super) const MAX_PLANES: usize = Slot::COUNT as usize;

/// Sending states of one interface, in the order of their sender IDs: IPv4, IPv6, one without use so far, IPv6 multicast.
pub const SIDS_PER_INTERFACE: u16 = 4;

/// Each interface of a group needs four sender IDs, and a key server gives no more than 64 at once.
const MAX_INTERFACES: usize = (MAX_SIDS / SIDS_PER_INTERFACE) as usize;

/// What the member daemon runs with.
#[derive(Clone, Debug)]
pub struct MemberSettings {
    /// The groups, in the file's order, each with what it proves itself with to its key servers.
    pub groups: Vec<(GroupSettings, Credential)>,
    /// The local UDP port.
    pub port: u16,
    /// Where `gdoictl` connects.
    pub control_socket: PathBuf,
    /// Where the addresses lie that exist only inside this router.
    pub anchors: Anchors,
    /// Where other programs find a file for each group.
    pub groups_directory: PathBuf,
    /// The program that is run when what happens to a group's traffic changes.
    pub on_change: Option<PathBuf>,
}

/// One group that this router is a member of.
#[derive(Clone, Debug)]
pub struct GroupSettings {
    /// Its name and number.
    pub group: GroupName,
    /// Its key servers, in the order in which they are tried.
    pub servers: Vec<SocketAddr>,
    /// The interfaces on which its traffic is protected, or patterns of their names.
    pub interfaces: Vec<InterfacePattern>,
    /// The address that registrations come from; None is the first of the first interface.
    pub local_address: Option<IpAddr>,
    /// The VRF that its key servers are spoken to through.
    pub vrf: Option<InterfaceName>,
    /// Who this member says it is; None is its local address.
    pub identity: Option<Identity>,
    /// What always passes in clear.
    pub clear: Vec<Selector>,
    /// What happens without a registration.
    pub fail: FailMode,
    /// Whether protected traffic is accepted in clear.
    pub reception: Reception,
    /// What becomes of the segment size that TCP connections agree on.
    pub mss: MssClamp,
    /// What is proposed for phase 1.
    pub proposal: Proposal,
    /// The domain of interpretation that phase 1 names.
    pub doi: Doi,
}

impl GroupSettings {
    /// Takes over what holds without a restart.
    pub fn adopt(&mut self, new: &GroupSettings) {
        self.clear.clone_from(&new.clear);
        (self.fail, self.reception, self.mss) = (new.fail, new.reception, new.mss);
    }
}

/// What happens on protected interfaces before the group is registered, and after the daemon was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailMode {
    /// What is or may be protected does not pass.
    Close,
    /// Everything passes in clear.
    Open,
}

/// What of the group's traffic is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reception {
    /// Encrypted traffic only.
    Strict,
    /// Clear traffic as well: a passive member, which sends encrypted.
    AcceptClear,
}

/// How the segment size (MSS) of TCP connections that are encrypted is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MssClamp {
    /// It is left as it is.
    Off,
    /// To what fits the path with ESP.
    Auto,
    /// To so many octets.
    Fixed(u16),
}

impl FromStr for MssClamp {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.parse()) {
            ("auto", _) => Ok(MssClamp::Auto),
            (_, Ok(octets)) if MSS.contains(&octets) => Ok(MssClamp::Fixed(octets)),
            _ => {
                Err(format!("`{text}` is neither `auto` nor a number from {} to {}", MSS.start(), MSS.end()))
            }
        }
    }
}

/// Between what every host must take (RFC 9293 section 3.7.1) and what a packet has room for, in octets.
const MSS: RangeInclusive<u16> = 536..=65_495;

/// `gm.yaml` as it is written.
#[derive(Debug)]
pub struct MemberFile {
    groups: Vec<GroupFile>,
    port: u16,
    control_socket: PathBuf,
    anchors: Anchors,
    groups_directory: PathBuf,
    on_change: Option<PathBuf>,
}

impl Settings for MemberFile {
    type Ready = MemberSettings;

    fn settle(self, source: &mut Source) -> Result<MemberSettings, ConfigError> {
        self.review_lists(source);
        self.check_families(source)?;
        let port = self.port;
        let groups =
            self.groups.into_iter().map(|group| group.settle(port, source)).collect::<Result<_, _>>()?;
        let MemberFile { control_socket, anchors, groups_directory, on_change, .. } = self;
        Ok(MemberSettings { groups, port, control_socket, anchors, groups_directory, on_change })
    }
}

impl MemberFile {
    /// There is one socket for each VRF: all key servers, and the address that they are asked from, are of one family.
    fn check_families(&self, source: &Source) -> Result<(), ConfigError> {
        self.groups.iter().try_for_each(|group| self.check_families_of(group.vrf.as_ref(), source))
    }

    fn check_families_of(&self, vrf: Option<&InterfaceName>, source: &Source) -> Result<(), ConfigError> {
        let groups = || self.groups.iter().filter(|group| group.vrf.as_ref() == vrf);
        let servers = || groups().flat_map(|group| &group.servers).map(|server| server.address.0);
        let Some(first) = servers().next() else { return Ok(()) };
        let is_other = |address: &IpAddr| Family::of(*address) != Family::of(first);
        let local = groups().find_map(|group| group.local_address.filter(is_other));
        let server = servers().find(is_other).map(|server| ("servers", server));
        match server.or(local.map(|local| ("local-address", local))) {
            None => Ok(()),
            Some((key, other)) => Err(source.error_in_list(
                key,
                &other.to_string(),
                format!(
                    "{other} and server {first}: all groups of a VRF share one socket, which is of IPv4 or of IPv6"
                ),
            )),
        }
    }

    /// Tells what in the local lists can hardly be meant.
    fn review_lists(&self, source: &mut Source) {
        let all = source.lines_of(self.groups.iter().flat_map(|group| &group.local));
        let mut rest = &all[..];
        for group in &self.groups {
            let (lines, behind) = rest.split_at(group.local.len());
            let all = takes_all(&group.group.name, &group.local);
            source.warn_at(lines, remarks(&group.local).into_iter().chain(all).collect());
            rest = behind;
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawFile {
    groups: Distinct<GroupFile>,
    port: Option<Port>,
    control_socket: Option<Parsed<FileName>>,
    anchors: Option<Parsed<Anchors>>,
    groups_directory: Option<Parsed<FileName>>,
    on_change: Option<Parsed<Hook>>,
}

impl<'de> Deserialize<'de> for MemberFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        mapping::<D, RawFile, Self>(deserializer)
    }
}

impl TryFrom<RawFile> for MemberFile {
    type Error = String;

    fn try_from(raw: RawFile) -> Result<Self, String> {
        let Distinct(groups) = raw.groups;
        let planes: usize = groups.iter().map(|group| group.interfaces.len()).sum();
        if planes > MAX_PLANES {
            return Err(format!("{planes} pairs of group and interface, at most {MAX_PLANES} are possible"));
        }
        let port = raw.port.map_or(DEFAULT_PORT, Bounded::narrow);
        Ok(MemberFile {
            groups,
            port,
            control_socket: named(raw.control_socket).unwrap_or(MEMBER_SOCKET.into()),
            anchors: raw.anchors.map(|Parsed(anchors)| anchors).unwrap_or_default(),
            groups_directory: named(raw.groups_directory).unwrap_or(GROUPS_DIRECTORY.into()),
            on_change: raw.on_change.map(|Parsed(Hook(program))| program),
        })
    }
}

#[derive(Debug)]
struct GroupFile {
    group: GroupName,
    servers: Vec<ServerAddress>,
    interfaces: Vec<InterfacePattern>,
    local_address: Option<IpAddr>,
    vrf: Option<InterfaceName>,
    key: KeySource,
    identity: Option<Identity>,
    local: Vec<Entry>,
    fail: FailMode,
    reception: Reception,
    mss: MssClamp,
    offer: Offer,
}

impl GroupFile {
    fn settle(self, port: u16, source: &mut Source) -> Result<(GroupSettings, Credential), ConfigError> {
        let credential = Credential::PreSharedKey(self.key.read(source)?);
        let endpoint = |server: ServerAddress| SocketAddr::new(server.address.0, server.port.unwrap_or(port));
        let settings = GroupSettings {
            group: self.group,
            servers: self.servers.into_iter().map(endpoint).collect(),
            interfaces: self.interfaces,
            local_address: self.local_address,
            vrf: self.vrf,
            identity: self.identity,
            clear: self.local.iter().map(|entry| entry.ace.selector).collect(),
            fail: self.fail,
            reception: self.reception,
            mss: self.mss,
            proposal: self.offer.proposal,
            doi: self.offer.doi,
        };
        Ok((settings, credential))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawGroup {
    name: Parsed<Label>,
    identity_number: u32,
    servers: Distinct<ServerAddress>,
    interfaces: Distinct<InterfaceEntry>,
    local_address: Option<Parsed<UnicastAddress>>,
    vrf: Option<Parsed<InterfaceName>>,
    pre_shared_key: Option<Parsed<InlineKey>>,
    pre_shared_key_file: Option<Parsed<FileName>>,
    identity: Option<IdentityEntry>,
    #[serde(default)]
    match_address: Vec<Parsed<LocalEntry>>,
    fail_close: Option<bool>,
    passive: Option<bool>,
    mss_clamp: Option<Parsed<MssClamp>>,
    #[serde(default)]
    phase1: Offer,
}

impl<'de> Deserialize<'de> for GroupFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        mapping::<D, RawGroup, Self>(deserializer)
    }
}

impl TryFrom<RawGroup> for GroupFile {
    type Error = String;

    fn try_from(raw: RawGroup) -> Result<Self, String> {
        let Parsed(label) = raw.name;
        let interfaces = raw.interfaces.0.len();
        if interfaces > MAX_INTERFACES {
            return Err(format!(
                "{interfaces} interfaces, at most {MAX_INTERFACES} are possible in one group"
            ));
        }
        let local: Vec<_> = raw.match_address.into_iter().map(|Parsed(LocalEntry(entry))| entry).collect();
        acl(&local)?;
        Ok(GroupFile {
            group: label.numbered(raw.identity_number),
            servers: raw.servers.0,
            interfaces: raw.interfaces.0.into_iter().map(|InterfaceEntry(name)| name).collect(),
            local_address: raw.local_address.map(|Parsed(UnicastAddress(address))| address),
            vrf: raw.vrf.map(|Parsed(name)| name),
            key: KeySource::one_of(raw.pre_shared_key, named(raw.pre_shared_key_file), "pre-shared-key")?,
            identity: raw.identity.map(|IdentityEntry(identity)| identity),
            local,
            fail: if raw.fail_close.unwrap_or(true) { FailMode::Close } else { FailMode::Open },
            reception: if raw.passive == Some(true) { Reception::AcceptClear } else { Reception::Strict },
            mss: raw.mss_clamp.map_or(MssClamp::Off, |Parsed(clamp)| clamp),
            offer: raw.phase1,
        })
    }
}

impl Clash for GroupFile {
    fn clash(&self, earlier: &Self) -> Option<String> {
        if self.vrf == earlier.vrf && self.local_address != earlier.local_address {
            return Some(format!(
                "groups `{}` and `{}` share one socket, so their local-address must be the same, or their vrf differ",
                earlier.group.name, self.group.name
            ));
        }
        group_clash(&self.group, &earlier.group)
    }
}

/// An entry of the local ACL: it can only take traffic out of the group's protection.
struct LocalEntry(Entry);

impl FromStr for LocalEntry {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let entry: Entry = text.parse()?;
        match entry.ace.action {
            Action::Deny => Ok(LocalEntry(entry)),
            Action::Permit => Err(format!(
                "`{text}`: a member's own list has deny entries only, what is encrypted is for the key server to say"
            )),
        }
    }
}
