//! From what the protocol says to what the kernel shall hold: the only such conversion.

mod associations;
mod segment;

use super::closing::StoredPlane;
use super::links::Links;
use super::path_mtu::{bearable, PathMtus};
use super::senders::Senders;
use crate::config::{FailMode, GroupSettings, InterfacePattern, Reception};
use crate::report::{Detachment, Protection};
use gdoi::endpoint::Instant;
use gdoi::policy::SendMode;
use gdoi::View;
use std::collections::BTreeSet;
use std::net::IpAddr;
use xfrm::{Anchors, Desired, Gate, Mode, Plane, Protecting, Sa, Slot};

pub use associations::{newcomer, Place};

/// A group and its places in the kernel.
#[derive(Clone, Debug)]
pub struct Guarded {
    /// What is configured.
    pub settings: GroupSettings,
    /// One slot for each interface, in their order.
    pub slots: Vec<Slot>,
    /// What the kernel has of the daemon before this one.
    pub adoption: Adoption,
    /// Since when and by whom an operator had the protection removed; None while the group is protected.
    pub detached: Option<Detachment>,
}

impl Guarded {
    /// Its interfaces with their slots.
    pub fn places(&self) -> impl Iterator<Item = (Slot, &InterfacePattern)> {
        self.slots.iter().copied().zip(&self.settings.interfaces)
    }
}

/// What became of what the daemon before this one installed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Adoption {
    /// There was nothing, or the group has registered.
    #[default]
    None,
    /// The kernel holds all of it; here as it was found, plane by plane.
    Whole(Vec<Protecting>),
    /// It protects no more, here or because somebody has damaged it: the group is closed until it registers.
    Ended,
}

/// Whether the daemon runs or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Keys are used.
    Running,
    /// What must stay without a daemon stays.
    Stopping,
}

/// The groups, none adopted, each interface in the slot that an earlier run gave it: what that left in the kernel is there.
/// Others are given free ones in the configuration's order, at last those of what is configured no more.
pub fn assign_slots(groups: Vec<GroupSettings>, protected: &[StoredPlane], anchors: Anchors) -> Vec<Guarded> {
    let before = |group: &GroupSettings, interface: &InterfacePattern| {
        let own = |plane: &&StoredPlane| plane.group == group.group.name && plane.interface == *interface;
        protected
            .iter()
            .find(own)
            .and_then(|plane| plane.slot)
            .and_then(Slot::new)
            .filter(|slot| slot.anchors() == anchors)
    };
    let places = || groups.iter().flat_map(|group| group.interfaces.iter().map(move |one| (group, one)));
    let kept: BTreeSet<_> = places().filter_map(|(group, interface)| before(group, interface)).collect();
    let used: BTreeSet<_> = protected.iter().filter_map(|plane| plane.slot).collect();
    let mut free: Vec<_> = Slot::of(anchors).filter(|slot| !kept.contains(slot)).collect();
    free.sort_by_key(|slot| (used.contains(&slot.number()), slot.number()));
    let (mut free, mut unclaimed) = (free.into_iter(), kept);
    let mut slot = |group: &GroupSettings, interface: &InterfacePattern| {
        before(group, interface).filter(|slot| unclaimed.remove(slot)).or_else(|| free.next())
    };
    let slots: Vec<Vec<_>> = groups
        .iter()
        .map(|group| group.interfaces.iter().filter_map(|one| slot(group, one)).collect())
        .collect();
    let guard = |(settings, slots)| Guarded { settings, slots, adoption: Adoption::None, detached: None };
    groups.into_iter().zip(slots).map(guard).collect()
}

/// What happens to a group's traffic.
pub fn protection(group: &Guarded, view: &View) -> Protection {
    if group.detached.is_some() {
        return Protection::Detached;
    }
    match (view.registered, &view.outbound, &group.adoption, group.settings.fail) {
        (true, Some(_), ..) => Protection::Encrypting,
        (true, None, ..) => Protection::Blocked,
        (false, _, Adoption::Whole(_), _) => Protection::Adopted,
        (false, _, Adoption::Ended, _) | (false, _, Adoption::None, FailMode::Close) => Protection::Closed,
        (false, _, Adoption::None, FailMode::Open) => Protection::Open,
    }
}

/// What is known besides the views.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// The addresses that GDOI is spoken from, one for each group, in their order.
    pub locals: &'a [IpAddr],
    /// Who was heard.
    pub senders: &'a Senders,
    /// What the core carries.
    pub path_mtus: &'a PathMtus,
    /// What the interfaces carry.
    pub links: &'a Links,
}

/// What the kernel shall hold for these groups and views.
///
/// # Errors
/// A key that does not fit its transform.
pub fn desired(
    groups: &[Guarded],
    views: &[View],
    around: Surroundings<'_>,
    phase: Phase,
    now: Instant,
) -> Result<Desired, String> {
    let mut planes = Vec::new();
    let all = groups.iter().zip(views).zip(around.locals);
    for ((group, view), local) in all.filter(|((group, _), _)| group.detached.is_none()) {
        for (number, (slot, interface)) in group.places().enumerate() {
            let place = Place { interface: number, slot };
            let Some(gate) = gate(group, view, place, (around.senders, phase), now)? else { continue };
            let found = around.path_mtus.of_plane(slot, now);
            planes.push(Plane {
                interface: interface.to_string(),
                local: *local,
                slot,
                servers: group.settings.servers.clone(),
                rekey_group: view.rekey_group,
                clear: group.settings.clear.clone(),
                mss: segment::clamp(
                    group.settings.mss,
                    &gate,
                    around.links.of(slot, interface).map(|link| link.mtu),
                    found,
                ),
                path_mtu: bearable(found, &gate),
                gate,
            });
        }
    }
    Ok(Desired { planes })
}

/// What sends on one interface of a group.
pub fn sending(view: &View, place: Place, now: Instant) -> Vec<Sa> {
    associations::outbound(view, place, &view.acl.families(), now).unwrap_or_default()
}

fn gate(
    group: &Guarded,
    view: &View,
    place: Place,
    (senders, phase): (&Senders, Phase),
    now: Instant,
) -> Result<Option<Gate>, String> {
    let protect = |view: &View| protection_of(group, view, place, senders, now).map(Gate::Protect).map(Some);
    match (phase, view.registered, group.settings.fail) {
        (Phase::Stopping, _, FailMode::Open) => Ok(None),
        (Phase::Stopping, true, FailMode::Close) => {
            protect(&View { inbound: Vec::new(), outbound: None, ..view.clone() })
        }
        (Phase::Running, true, _) => protect(view),
        // What the daemon before this one protected must not become clear.
        (Phase::Running, false, _) if group.adoption != Adoption::None => Ok(Some(Gate::Closed)),
        (_, false, FailMode::Close) => Ok(Some(Gate::Closed)),
        (Phase::Running, false, FailMode::Open) => Ok(Some(Gate::Open)),
    }
}

fn protection_of(
    group: &Guarded,
    view: &View,
    place: Place,
    senders: &Senders,
    now: Instant,
) -> Result<xfrm::Protection, String> {
    let families = view.acl.families();
    Ok(xfrm::Protection {
        blocks: associations::blocks(view),
        inbound: associations::inbound(view, place, &families, senders, now)?,
        outbound: associations::outbound(view, place, &families, now)?,
        apart: associations::apart(view),
        mode: match (view.mode, group.settings.reception) {
            (SendMode::ReceiveOnly, _) => Mode::ReceiveOnly,
            (SendMode::Both, Reception::AcceptClear) => Mode::AcceptClear,
            (SendMode::Both, Reception::Strict) => Mode::Strict,
        },
        acl: view.acl.entries().to_vec(),
    })
}

#[cfg(test)]
mod tests;
