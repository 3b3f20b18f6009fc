//! Every kind of group through changes of its keys.

use crate::cell::Cell;
use crate::eventually::eventually_true;
use crate::outcome::{ensure, Outcome};
use crate::rekeying::{key_server_of, rollovers, Rekeyed, Transport, LIFE};
use crate::site::Site;
use crate::vectors::Vectors;
use std::time::Duration;

/// Nothing is lost, clear or repeated while keys change.
pub fn rekeyed(site: &Site, cell: Cell) -> Outcome {
    let times = rollovers();
    let mut vectors = Vectors::watch(site, cell.transform)?;
    let config = key_server_of(site, Transport::Unicast, cell)?;
    let group = Rekeyed::of(site, Transport::Unicast, config, cell)?;
    let limit = LIFE * (times as u32 + 1) + Duration::from_secs(60);
    eventually_true(&format!("{times} changes of the key in the core"), limit, || {
        vectors.look()?;
        Ok(group.watch.generations_of(cell)? > times)
    })?;
    group.never_registered_again()?;
    let (spis, anchors) = (group.watch.spis()?.len(), group.watch.anchors()?);
    ensure!(anchors == 0, "{anchors} packets to or from an anchor address in the core");
    let numbers = group.finish()?;
    println!("   {numbers}; {spis} SPIs, {} vectors, none twice", vectors.close()?);
    Ok(())
}
