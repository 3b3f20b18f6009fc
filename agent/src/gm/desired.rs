//! From what the protocol says to what the kernel shall hold: the only such conversion.

use crate::config::{FailMode, GroupSettings, InterfaceName};
use crate::report::{Detachment, Protection};
use gdoi::endpoint::Instant;
use gdoi::policy::{Cipher, Integrity, Ipv4Prefix};
use gdoi::View;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use xfrm::{
    Ace, Action, Algorithm, Desired, EncryptionKey, Family, Gate, IntegrityKey, Key, Lane, PathMtu, Plane,
    Ports, Prefix, Replay, Sa, Selector, Slot, Spi,
};

/// How much longer than the key's life the kernel keeps a state that nobody removed.
const GRACE: Duration = Duration::from_secs(2);

/// A group and its places in the kernel.
#[derive(Clone, Debug)]
pub struct Guarded {
    /// What is configured.
    pub settings: GroupSettings,
    /// One slot for each interface, in their order.
    pub slots: Vec<Slot>,
    /// Whether the kernel still holds what the daemon before this one installed.
    pub adopted: bool,
    /// Since when and by whom an operator had the protection removed; None while the group is protected.
    pub detached: Option<Detachment>,
}

impl Guarded {
    /// Its interfaces with their slots.
    pub fn places(&self) -> impl Iterator<Item = (Slot, &InterfaceName)> {
        self.slots.iter().copied().zip(&self.settings.interfaces)
    }
}

/// Whether the daemon runs or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Keys are used.
    Running,
    /// What must stay without a daemon stays.
    Stopping,
}

/// The groups with slots in the configuration's order, none adopted.
pub fn assign_slots(groups: Vec<GroupSettings>) -> Vec<Guarded> {
    let mut numbers = (0..Slot::COUNT).filter_map(Slot::new);
    let mut guard = |settings: GroupSettings| {
        let slots = numbers.by_ref().take(settings.interfaces.len()).collect();
        Guarded { settings, slots, adopted: false, detached: None }
    };
    groups.into_iter().map(&mut guard).collect()
}

/// What happens to a group's traffic.
pub fn protection(group: &Guarded, view: &View) -> Protection {
    if group.detached.is_some() {
        return Protection::Detached;
    }
    match (view.registered, &view.outbound, group.adopted, group.settings.fail) {
        (true, Some(_), ..) => Protection::Encrypting,
        (true, None, ..) => Protection::Blocked,
        (false, _, true, _) => Protection::Adopted,
        (false, _, false, FailMode::Close) => Protection::Closed,
        (false, _, false, FailMode::Open) => Protection::Open,
    }
}

/// What the kernel shall hold for these groups and views.
///
/// # Errors
/// A key or prefix that the kernel has no form for.
pub fn desired(
    groups: &[Guarded],
    views: &[View],
    local: Ipv4Addr,
    phase: Phase,
    now: Instant,
) -> Result<Desired, String> {
    let mut planes = Vec::new();
    for (group, view) in groups.iter().zip(views) {
        let Some(gate) = gate(group, view, phase, now)? else { continue };
        let clear = group.settings.clear.iter().map(selector).collect::<Result<Vec<_>, _>>()?;
        planes.extend(group.settings.interfaces.iter().zip(&group.slots).map(|(interface, slot)| Plane {
            interface: interface.to_string(),
            local: local.into(),
            slot: *slot,
            servers: group.settings.servers.iter().copied().map(SocketAddr::from).collect(),
            rekey_group: view.rekey_group.map(SocketAddr::from),
            clear: clear.clone(),
            mss: None,
            path_mtu: PathMtu::default(),
            gate: gate.clone(),
        }));
    }
    Ok(Desired { planes })
}

fn gate(group: &Guarded, view: &View, phase: Phase, now: Instant) -> Result<Option<Gate>, String> {
    if group.detached.is_some() {
        return Ok(None);
    }
    Ok(match (phase, view.registered, group.settings.fail) {
        (Phase::Stopping, _, FailMode::Open) => None,
        (Phase::Stopping, true, FailMode::Close) => {
            Some(protect(&View { inbound: Vec::new(), outbound: None, ..view.clone() }, now)?)
        }
        (Phase::Running, true, _) => Some(protect(view, now)?),
        // What the daemon before this one protected must not become clear.
        (Phase::Running, false, _) if group.adopted => Some(Gate::Closed),
        (_, false, FailMode::Close) => Some(Gate::Closed),
        (Phase::Running, false, FailMode::Open) => Some(Gate::Open),
    })
}

fn protect(view: &View, now: Instant) -> Result<Gate, String> {
    Ok(Gate::Protect(xfrm::Protection {
        acl: view.acl.entries().iter().map(ace).collect::<Result<_, _>>()?,
        inbound: view.inbound.iter().map(|sa| state(sa, now)).collect::<Result<_, _>>()?,
        outbound: view.outbound.iter().map(|sa| state(sa, now)).collect::<Result<_, _>>()?,
        ..Default::default()
    }))
}

fn ace(ace: &gdoi::policy::Ace) -> Result<Ace, String> {
    let action = match ace.action {
        gdoi::policy::Action::Permit => Action::Permit,
        gdoi::policy::Action::Deny => Action::Deny,
    };
    Ok(Ace { action, selector: selector(&ace.selector)? })
}

fn selector(selector: &gdoi::policy::Selector) -> Result<Selector, String> {
    Ok(Selector {
        source: prefix(selector.source)?,
        destination: prefix(selector.destination)?,
        protocol: selector.protocol,
        source_ports: selector.source_port.map(Ports::only),
        destination_ports: selector.destination_port.map(Ports::only),
    })
}

fn prefix(prefix: Ipv4Prefix) -> Result<Prefix, String> {
    Prefix::new(prefix.address().into(), prefix.length())
        .ok_or_else(|| format!("the prefix {prefix} is not possible"))
}

fn state(sa: &gdoi::Sa, now: Instant) -> Result<Sa, String> {
    Ok(Sa {
        spi: Spi(sa.spi.0),
        family: Family::V4,
        lane: Lane::Unicast,
        algorithm: Algorithm::Cbc { encryption: encryption(sa)?, integrity: integrity(sa)? },
        replay: Replay::Off,
        hard_lifetime: Some(sa.expires.saturating_since(now) + GRACE),
    })
}

fn encryption(sa: &gdoi::Sa) -> Result<EncryptionKey, String> {
    Ok(match sa.transform.cipher {
        Cipher::AesCbc128 => EncryptionKey::AesCbc128(key(sa.keys.encryption.expose())?),
        Cipher::AesCbc256 => EncryptionKey::AesCbc256(key(sa.keys.encryption.expose())?),
    })
}

fn integrity(sa: &gdoi::Sa) -> Result<IntegrityKey, String> {
    Ok(match sa.transform.integrity {
        Integrity::HmacSha256 => IntegrityKey::HmacSha256(key(sa.keys.integrity.expose())?),
        Integrity::HmacSha384 => IntegrityKey::HmacSha384(key(sa.keys.integrity.expose())?),
        Integrity::HmacSha512 => IntegrityKey::HmacSha512(key(sa.keys.integrity.expose())?),
    })
}

fn key<const N: usize>(octets: &[u8]) -> Result<Key<N>, String> {
    let octets: [u8; N] =
        octets.try_into().map_err(|_| format!("a key has {} octets, not {N}", octets.len()))?;
    Ok(Key::new(octets))
}

#[cfg(test)]
mod tests;
