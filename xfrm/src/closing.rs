//! Closing interfaces when nothing is known but their names: before a daemon reads its configuration, in a kernel that may
//! lack half of what a group needs.

use crate::installed::Installed;
use crate::kernel::Kernel;
use crate::model::{Desired, Kept};
use crate::nft::{self, HeldTable, Nft, Table};
use crate::plan::{plan, Op};
use crate::target::Target;
use crate::Error;

/// What became of closing.
#[derive(Debug, Default)]
pub struct Closing {
    /// One line per change, in order; none where an earlier run's table is there and whole, which holds by itself.
    pub changes: Vec<String>,
    /// What could not be done. Policies and table hold each by itself what would leave; what would come in the table alone.
    pub failures: Vec<Error>,
}

/// Closes these planes unless an earlier run's table protects and is whole, and removes nothing: what protects goes on.
/// `kept` are the links that planes protected under other names. What fails does not keep the rest from being done.
pub fn close(planes: &Desired, kept: &Kept) -> Closing {
    let mut closing = Closing::default();
    match Kernel::open() {
        Ok(kernel) => close_in(kernel, planes, kept, &mut closing),
        // Without XFRM there is no policy; nftables does not need it.
        Err(error) => {
            closing.failures.push(error);
            close_table(planes, &mut closing);
        }
    }
    closing
}

fn close_in(mut kernel: Kernel, planes: &Desired, kept: &Kept, closing: &mut Closing) {
    for plane in &planes.planes {
        kept.of(plane.slot).for_each(|index| kernel.keep(plane.slot, index));
    }
    let mut installed = match kernel.installed() {
        Ok(installed) => installed,
        Err(error) => {
            closing.failures.push(error);
            kernel.links_alone().unwrap_or_default()
        }
    };
    if installed.table.is_some_and(|table| holds(&table)) {
        return;
    }
    kernel.keep_links(&mut installed, planes);
    match plan(&installed, planes) {
        Ok(plan) => {
            plan.ops.iter().filter(|op| adds(op)).for_each(|op| match kernel.execute(op, &installed) {
                Ok(()) => closing.changes.push(op.to_string()),
                Err(error) => closing.failures.push(error),
            })
        }
        Err(error) => closing.failures.push(error),
    }
}

/// An earlier run's table, and not one that closes: that may be of fewer interfaces.
fn holds(table: &HeldTable) -> bool {
    table.digest.is_some() && table.closed != table.slots
}

fn adds(op: &Op) -> bool {
    matches!(op, Op::WriteTable(_) | Op::WriteBorder(_) | Op::AddPolicy(..) | Op::UpdatePolicy(..))
}

fn close_table(planes: &Desired, closing: &mut Closing) {
    let target = Target::new(&Installed::default(), planes);
    let written = target.map(|target| target.table).and_then(|table| write_alone(table.as_ref()));
    match written {
        Ok(true) => closing.changes.push("write table inet gdoi".into()),
        Ok(false) => {}
        Err(error) => closing.failures.push(error),
    }
}

fn write_alone(table: Option<&Table>) -> Result<bool, Error> {
    let mut nft = Nft::default();
    let held = nft::held(&mut nft)?;
    let whole = held.is_some_and(|held| holds(&held));
    match table.filter(|_| !whole) {
        Some(table) => nft::write(&mut nft, table, held.as_ref()).map(|()| true),
        None => Ok(false),
    }
}
