//! Traffic that the group does not protect.

use crate::cell::Cast::{Multicast, Unicast};
use crate::cell::Cell;
use crate::cell::Family::{V4, V6};
use crate::corp::{flow, Corp, Crossed};
use crate::eventually::eventually_true;
use crate::multicast::Routing;
use crate::outcome::{ensure, Outcome};
use crate::packet::protocol;
use crate::rekeying::SOON;
use crate::scenario::Scenario;
use crate::site::{Site, H4, HOSTS, OUTSIDE};
use crate::stream::Streams;
use std::collections::BTreeSet;

/// What this file shows.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::empty("streams", "without daemons: streams of each kind arrive, the lab can do it", streams),
    Scenario::registered("outside", "traffic that no entry names crosses in clear", outside),
    Scenario::registered("two-lans", "two LANs of one member talk in clear", two_lans),
];

fn outside(site: &Site, corp: &mut Corp) -> Outcome {
    let (_, h1) = HOSTS[0];
    corp.core.fresh()?;
    let answers = site.host("h1")?.ping(OUTSIDE)?;
    ensure!(answers == 3, "the host outside answered {answers} of 3 requests");
    let crossed = Crossed::sort(corp.core.fresh()?);
    ensure!(crossed.esp.is_empty(), "the core sees ESP of {:?}", crossed.esp_flows());
    let pings = crossed.other.iter().filter(|packet| packet.protocol == protocol::ICMP);
    let flows: BTreeSet<_> = pings.map(|packet| (packet.source, packet.destination)).collect();
    ensure!(
        flows == BTreeSet::from([flow(h1, OUTSIDE), flow(OUTSIDE, h1)]),
        "the core sees ICMP of {flows:?}"
    );
    Ok(())
}

/// Without any daemon every kind of stream arrives whole: the lab itself works.
fn streams(site: &Site) -> Outcome {
    for (family, cast) in [(V4, Unicast), (V4, Multicast), (V6, Unicast), (V6, Multicast)] {
        let cell = Cell { family, cast, ..Cell::BASIC };
        let _routing = Routing::start(site, cell, "wan")?;
        let streams = Streams::warmed(site, cell)?;
        let mark = streams.mark();
        eventually_true("every host hears every other one", SOON, || Ok(streams.all_heard_since(&mark)))?;
        let tallies = streams.stop()?;
        println!("   {family:?} {cast:?}: {tallies}");
        tallies.all_arrived()?;
    }
    Ok(())
}

fn two_lans(site: &Site, corp: &mut Corp) -> Outcome {
    corp.core.fresh()?;
    for (host, destination) in [("h1", H4), ("h4", HOSTS[0].1)] {
        let answers = site.host(host)?.ping(destination)?;
        ensure!(answers == 3, "{destination} answered {answers} of 3 requests of {host}");
    }
    let crossed = Crossed::sort(corp.core.fresh()?);
    ensure!(crossed.esp.is_empty() && crossed.clear.is_empty(), "it went through the core: {crossed:?}");
    Ok(())
}
