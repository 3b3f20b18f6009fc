//! What is seen of the data plane from outside.

use super::DataPlane;
use crate::gm::desired::{protection, Guarded};
use crate::gm::path_mtu::PathMtus;
use crate::report::Protection;
use crate::socket::Listening;
use gdoi::View;
use xfrm::{Counters, Interface, Slot};

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

    /// The interfaces that there are.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn interfaces(&mut self) -> Result<Vec<Interface>, xfrm::Error> {
        self.kernel.interfaces()
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
            Some(Listening { group: group_address, interface: group.settings.interfaces.first()?.clone() })
        };
        self.needs().filter_map(listening).collect()
    }
}
