//! XFRM policies of closed gates, which hold when nftables' table is gone.

use super::policies::{discovery, passing};
use super::Target;
use crate::installed::Installed;
use crate::model::{Desired, Family, Gate, Plane, Prefix};
use crate::object::{KernelSelector, Link, Rank, Verdict};
use crate::Error;

/// What becomes of what a list denies: it goes on to the lists of other planes, and a closed one holds it.
pub fn denied(installed: &Installed, desired: &Desired, link: &Link) -> Verdict {
    match closed(desired).any(|plane| installed.covers(plane, link)) {
        true => Verdict::Block,
        false => Verdict::Pass,
    }
}

fn closed(desired: &Desired) -> impl Iterator<Item = &Plane> {
    desired.planes.iter().filter(|plane| plane.gate == Gate::Closed)
}

impl Target {
    /// After the lists of all planes: an entry that names everything has the place of the policy that blocks everything.
    pub fn close(&mut self, installed: &Installed, desired: &Desired) -> Result<(), Error> {
        for plane in closed(desired) {
            for link in installed.links_of(plane) {
                self.add_to(link.index, passing(plane, discovery())?);
                let rest = Family::ALL.map(Prefix::any).map(|any| KernelSelector::between(any, any));
                self.add_to(link.index, rest.map(|rest| (Rank::Closed, Verdict::Block, rest)).into());
            }
        }
        Ok(())
    }
}
