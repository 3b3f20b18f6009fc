//! What is seen of the data plane from outside.

use super::DataPlane;
use crate::config::{FailMode, InterfacePattern};
use crate::gm::closing::StoredPlane;
use crate::gm::desired::{protection, Guarded};
use crate::gm::links::Links;
use crate::gm::path_mtu::PathMtus;
use crate::report::Protection;
use crate::socket::Listening;
use gdoi::View;
use xfrm::{Counters, Slot};

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
                links: self.worker.kept().of(slot).collect(),
            };
            group.places().map(plane).collect::<Vec<_>>()
        };
        self.groups.iter().flat_map(of_group).collect()
    }

    /// What happens to the traffic of each group.
    pub fn protections(&self) -> impl Iterator<Item = Protection> + '_ {
        self.needs().zip(&self.held).map(|((group, view), held)| self.protection(group, view, *held))
    }

    fn protection(&self, group: &Guarded, view: &View, held: bool) -> Protection {
        let any = |has: &dyn Fn(&Slot) -> bool| group.slots.iter().any(has);
        match protection(group, view) {
            // What was before the registration goes on until the kernel takes what came of it.
            Protection::Encrypting | Protection::Blocked if !held => protection(group, &View::default()),
            Protection::Encrypting if any(&|slot| self.spent.withholds(*slot)) => Protection::Blocked,
            Protection::Encrypting if any(&|slot| self.exposed.contains(slot)) => Protection::Exposed,
            Protection::Encrypting if any(&|slot| self.displaced.contains(slot)) => Protection::Displaced,
            seen => seen,
        }
    }

    /// What the core carries.
    pub fn path_mtus(&self) -> &PathMtus {
        &self.path_mtus
    }

    /// The multicast groups in which rekey messages come.
    pub fn listening(&self) -> Vec<Listening> {
        let listening = |(group, view): (&Guarded, &View)| {
            let group_address = view.rekey_group?;
            let (slot, interface) = group.places().next()?;
            let link = self.links.of(slot, interface);
            let interface = link.map_or(interface.to_string(), |link| link.name.clone());
            Some(Listening { group: group_address, interface })
        };
        self.needs().filter_map(listening).collect()
    }
}
