//! A key server that lost its state, and members that notice that they lack a key.

use crate::corp::{self, Corp, Crossed};
use crate::eventually::eventually_true;
use crate::outcome::Outcome;
use crate::rekeying::SOON;
use crate::scenario::Scenario;
use crate::site::{Site, HOSTS};
use std::time::Instant;

/// What this file shows.
pub const SCENARIOS: &[Scenario] = &[Scenario::empty(
    "behind",
    "a key server begins anew and one member registers again: the others notice by its packets that they lack a key",
    behind,
)];

fn behind(site: &Site) -> Outcome {
    let mut corp = Corp::start(site)?;
    // Without a state key nothing is stored.
    corp.key_server.kill()?;
    corp.key_server.start_again()?;
    corp.members[0].control("gm register")?;
    let h1 = site.host("h1")?;
    for (member, (_, host)) in corp.members[1..].iter_mut().zip(&HOSTS[1..]) {
        let begun = Instant::now();
        eventually_true("the member is sent what it cannot read", SOON, || {
            h1.ping(*host)?;
            Ok(member.log()?.contains("GM_BEHIND"))
        })?;
        let line = member.says(&["GM_BEHIND", "unknown SPI"], SOON)?;
        member.says(&["GM_RE_REGISTER", "unknown SPI"], SOON)?;
        eventually_true("it reads it", SOON, || Ok(h1.ping(*host)? == 3))?;
        println!("   {} after {} ms: {line}", member.host().name(), begun.elapsed().as_millis());
    }
    eventually_true("all pairs reach each other", SOON, || Ok(corp::ping_all(site)? == corp::PAIRS))?;
    Crossed::sort(corp.core.fresh()?).none_clear()
}
