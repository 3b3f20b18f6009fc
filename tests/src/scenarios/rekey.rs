//! Keys that change while traffic flows.

use crate::eventually::eventually_true;
use crate::outcome::{ensure, Outcome};
use crate::rekeying::{rollovers, Rekeyed, Transport, LIFE};
use crate::scenario::Scenario;
use crate::site::{Site, KS1, WAN};
use crate::watch::exchange;
use std::time::Duration;

/// What this file shows.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::empty(
        "rekey-unicast",
        "keys change under streams, by acknowledged unicast, without loss or clear text",
        unicast,
    ),
    Scenario::empty("rekey-multicast", "the same by multicast", multicast),
];

fn unicast(site: &Site) -> Outcome {
    roll_over(site, Transport::Unicast)
}

fn multicast(site: &Site) -> Outcome {
    roll_over(site, Transport::Multicast)
}

fn roll_over(site: &Site, transport: Transport) -> Outcome {
    let times = rollovers();
    let mut group = Rekeyed::start(site, transport)?;
    let limit = LIFE * (times as u32 + 1) + Duration::from_secs(60);
    let what = format!("{times} changes of the key in the core");
    eventually_true(&what, limit, || Ok(group.watch.generations()? > times))?;
    group.never_registered_again()?;
    let spis = group.watch.spis()?.len();
    let pushes = group.watch.messages(exchange::PUSH, KS1, None)?;
    let mut phase1 = Vec::new();
    for wan in WAN {
        phase1.push(group.watch.messages(exchange::MAIN_MODE, wan, Some(KS1))?);
    }
    ensure!(pushes > 0, "the core has seen no rekey message");
    let numbers = group.finish()?;
    println!("   {numbers}; {spis} keys, {pushes} rekey messages, phase 1 messages of members {phase1:?}");
    Ok(())
}
