//! What is seen of the data plane from outside.

use super::conclusion::Hold;
use super::DataPlane;
use crate::config::{FailMode, InterfaceName, InterfacePattern};
use crate::gm::closing::StoredPlane;
use crate::gm::desired::{protection, Guarded};
use crate::gm::links::Links;
use crate::gm::path_mtu::PathMtus;
use crate::gm::publication::State;
use crate::report::Protection;
use crate::socket::Listening;
use gdoi::endpoint::Instant;
use gdoi::View;
use std::time::Duration;
use xfrm::{Counters, Slot};

/// A group without another key is said to expire so long before its end: members have registered again long before, but for
/// keys of test groups.
const EXPIRING: Duration = Duration::from_secs(5);

impl DataPlane {
    /// The groups and their places.
    pub fn groups(&self) -> &[Guarded] {
        &self.groups
    }

    /// The groups, each with what it needs.
    pub fn needs(&self) -> impl Iterator<Item = (&Guarded, &View)> {
        self.groups.iter().zip(&self.views)
    }

    /// Why the kernel does not hold what it should.
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// What could not be done on some interface.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// What the kernel has counted.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn counters(&mut self) -> Result<Counters, xfrm::Error> {
        self.kernel.counters()
    }

    /// The links that there are.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn links(&mut self) -> Result<Links, xfrm::Error> {
        let kept = self.kernel.carried(self.worker.kept().clone())?;
        Ok(Links::new(self.kernel.interfaces()?, kept))
    }

    /// Links that are protected under other names than they have, as pairs of the name now and that of the configuration.
    pub fn renamed(&mut self) -> Vec<(String, String)> {
        self.links().map(|links| links.renamed(&self.groups)).unwrap_or_default()
    }

    /// What is protected, for the next start.
    pub fn protected(&self) -> Vec<StoredPlane> {
        let of_group = |group: &Guarded| {
            let plane = |(slot, interface): (Slot, &InterfacePattern)| StoredPlane {
                group: group.settings.group.name.clone(),
                interface: interface.clone(),
                clear: group.settings.clear.clone(),
                fail_close: group.settings.fail == FailMode::Close,
                slot: Some(slot.number()),
                links: self.worker.kept().of(slot).collect(),
            };
            group.places().map(plane).collect::<Vec<_>>()
        };
        self.groups.iter().flat_map(of_group).collect()
    }

    /// What happens to the traffic of each group.
    pub fn protections(&self, now: Instant) -> impl Iterator<Item = Protection> + '_ {
        self.needs()
            .zip(&self.held)
            .map(move |((group, view), held)| self.protection(group, view, *held, now))
    }

    /// What others are told of each group, by its name.
    pub fn states(&self, now: Instant) -> Vec<(String, State)> {
        let state = |((group, view), protection): ((&Guarded, &View), Protection)| {
            let until = protection.is_encrypted().then(|| sends_until(view)).flatten();
            (group.settings.group.name.clone(), State { protection, until })
        };
        self.needs().zip(self.protections(now)).map(state).collect()
    }

    /// When the first group is about to lose its last key.
    pub fn next_expiring(&self, now: Instant) -> Option<Instant> {
        let expiring = self.needs().filter_map(|(_, view)| last_end(view)).map(|end| end.before(EXPIRING));
        expiring.filter(|at| *at > now).min()
    }

    fn protection(&self, group: &Guarded, view: &View, held: Hold, now: Instant) -> Protection {
        let any = |has: &dyn Fn(&Slot) -> bool| group.slots.iter().any(has);
        match protection(group, view) {
            // What was before the registration goes on until the kernel takes what came of it.
            Protection::Encrypting | Protection::Blocked if held == Hold::Nothing => {
                protection(group, &View::default())
            }
            Protection::Encrypting if held == Hold::Blocking => Protection::Blocked,
            Protection::Encrypting if any(&|slot| self.spent.withholds(*slot)) => Protection::Blocked,
            Protection::Encrypting if any(&|slot| self.exposed.contains(slot)) => Protection::Exposed,
            Protection::Encrypting if any(&|slot| self.displaced.contains(slot)) => Protection::Displaced,
            Protection::Encrypting if last_end(view).is_some_and(|end| end <= now + EXPIRING) => {
                Protection::Expiring
            }
            seen => seen,
        }
    }

    /// What the core carries.
    pub fn path_mtus(&self) -> &PathMtus {
        &self.path_mtus
    }

    /// The multicast groups in which rekey messages come, in this VRF.
    pub fn listening(&self, vrf: Option<&InterfaceName>) -> Vec<Listening> {
        let listening = |(group, view): (&Guarded, &View)| {
            let group_address = view.rekey_group?;
            let (slot, interface) = group.places().next()?;
            let link = self.links.of(slot, interface);
            let interface = link.map_or(interface.to_string(), |link| link.name.clone());
            Some(Listening { group: group_address, interface })
        };
        let own = self.needs().filter(|(group, _)| group.settings.vrf.as_ref() == vrf);
        own.filter_map(listening).collect()
    }
}

/// When the last of its keys ends.
fn last_end(view: &View) -> Option<Instant> {
    view.inbound.iter().map(|sa| sa.expires).max()
}

/// When the kernel has nothing to send with, if nobody changes what it has.
fn sends_until(view: &View) -> Option<Instant> {
    let apart = view.apart.iter().filter_map(|traffic| traffic.outbound.as_ref());
    view.outbound.iter().chain(apart).map(|sa| sa.expires).min()
}
