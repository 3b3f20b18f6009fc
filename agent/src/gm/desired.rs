//! From what the protocol says to what the kernel shall hold: the only such conversion.

use crate::config::{FailMode, GroupSettings};
use crate::report::Protection;
use gdoi::endpoint::Instant;
use gdoi::policy::{Ace, Action, Cipher, Integrity, SendMode, Side};
use gdoi::View;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;
use xfrm::{Desired, EncryptionKey, Gate, IntegrityKey, Key, Plane, Prefix, Sa, Selector, Slot, Spi};

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
        Guarded { settings, slots, adopted: false }
    };
    groups.into_iter().map(&mut guard).collect()
}

/// What happens to a group's traffic.
pub fn protection(group: &Guarded, view: &View) -> Protection {
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
            local,
            slot: *slot,
            servers: group.settings.servers.clone(),
            rekey_group: view.rekey_group,
            clear: clear.clone(),
            gate: gate.clone(),
        }));
    }
    Ok(Desired { planes })
}

fn gate(group: &Guarded, view: &View, phase: Phase, now: Instant) -> Result<Option<Gate>, String> {
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
    if view.mode == SendMode::ReceiveOnly {
        return Err("the data plane has no receive-only groups".into());
    }
    Ok(Gate::Protect {
        acl: view.acl.entries().iter().map(permit).collect::<Result<_, _>>()?,
        inbound: view.inbound.iter().map(|sa| state(sa, now)).collect::<Result<_, _>>()?,
        outbound: view.outbound.as_ref().map(|sa| state(sa, now)).transpose()?,
    })
}

fn permit(ace: &Ace) -> Result<Selector, String> {
    match ace.action {
        Action::Permit => selector(&ace.selector),
        Action::Deny => Err(format!("the data plane has no place for `{ace}`")),
    }
}

fn selector(selector: &gdoi::policy::Selector) -> Result<Selector, String> {
    let refuse = || format!("the data plane has no place for `{selector}`");
    let (source, destination) = (selector.source(), selector.destination());
    Ok(Selector {
        source: prefix(&source).ok_or_else(refuse)?,
        destination: prefix(&destination).ok_or_else(refuse)?,
        protocol: selector.protocol(),
        source_port: port(&source).ok_or_else(refuse)?,
        destination_port: port(&destination).ok_or_else(refuse)?,
    })
}

fn prefix(side: &Side) -> Option<Prefix> {
    match side.prefix.address() {
        IpAddr::V4(address) => Prefix::new(address, side.prefix.length()),
        IpAddr::V6(_) => None,
    }
}

/// None where there are several.
fn port(side: &Side) -> Option<Option<u16>> {
    side.ports.map_or(Some(None), |ports| ports.single().map(Some))
}

fn state(sa: &gdoi::Sa, now: Instant) -> Result<Sa, String> {
    Ok(Sa {
        spi: Spi(sa.spi.0),
        encryption: match sa.transform.cipher {
            Cipher::AesCbc128 => EncryptionKey::AesCbc128(key(sa.keys.encryption.expose())?),
            Cipher::AesCbc256 => EncryptionKey::AesCbc256(key(sa.keys.encryption.expose())?),
        },
        integrity: match sa.transform.integrity {
            Integrity::HmacSha256 => IntegrityKey::HmacSha256(key(sa.keys.integrity.expose())?),
            Integrity::HmacSha384 => IntegrityKey::HmacSha384(key(sa.keys.integrity.expose())?),
            Integrity::HmacSha512 => IntegrityKey::HmacSha512(key(sa.keys.integrity.expose())?),
        },
        hard_lifetime: Some(sa.expires.saturating_since(now) + GRACE),
    })
}

fn key<const N: usize>(octets: &[u8]) -> Result<Key<N>, String> {
    let octets: [u8; N] =
        octets.try_into().map_err(|_| format!("a key has {} octets, not {N}", octets.len()))?;
    Ok(Key::new(octets))
}

#[cfg(test)]
mod tests;
