//! What nothing can hold back, and for how long: until the daemon has put back what somebody took away.

use crate::corp::{Corp, Crossed};
use crate::eventually::eventually_true;
use crate::machine::limit;
use crate::outcome::{ensure, Outcome};
use crate::packet::Packet;
use crate::rekeying::SOON;
use crate::scenario::Scenario;
use crate::site::{Site, HOSTS, WAN};
use std::process::Command;
use std::time::Duration;

/// What this file shows.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::registered(
        "exposed-both-layers",
        "policies and table taken away at once: how long it is clear until the member has put them back",
        both_layers,
    ),
    Scenario::registered(
        "exposed-masquerade",
        "our table deleted beside an operator's masquerade: how long new flows are clear",
        masqueraded,
    ),
];

/// A datagram every 10 ms, each from another port, so that the connection tracker knows none of them. Nothing can be read from
/// the pipe, which is a pause without a process of its own.
const FLOWS: &str =
    "exec 3<> <(:); for n in $(seq 300); do echo clear > /dev/udp/10.2.2.10/9; read -rt 0.01 -u 3; done";
const REPAIRED: &str = "GM_POLICIES_REPAIRED";
const MASQUERADE: &str = "add table ip operator\n\
    add chain ip operator nat { type nat hook postrouting priority srcnat; }\n\
    add rule ip operator nat oifname wan masquerade\n";

/// Root takes away policies and table at once.
fn both_layers(site: &Site, corp: &mut Corp) -> Outcome {
    let is_shown = |packet: &Packet| packet.destination == HOSTS[1].1;
    exposed(site, corp, &["ip xfrm policy flush", "nft flush ruleset"], is_shown)
}

/// Without our table an operator's masquerade gives new flows the member's address, for which there is no policy.
fn masqueraded(site: &Site, corp: &mut Corp) -> Outcome {
    let gm1 = site.host("gm1")?;
    gm1.nft(MASQUERADE)?;
    let is_shown = |packet: &Packet| packet.source == WAN[0] && packet.destination == HOSTS[1].1;
    let done = exposed(site, corp, &["nft delete table inet gdoi"], is_shown);
    gm1.must("nft delete table ip operator")?;
    done
}

/// How long packets that this tells are in clear after these deeds.
fn exposed(site: &Site, corp: &mut Corp, deeds: &[&str], is_shown: fn(&Packet) -> bool) -> Outcome {
    // A member that is busy with something before this is not measured.
    corp.members[0].is_silent(limit(Duration::from_secs(4), Duration::from_secs(8)))?;
    corp.core.fresh()?;
    let before = repairs(corp)?;
    let mut flows = Command::new("bash");
    flows.args(["-c", FLOWS]);
    let mut flows = site.host("h1")?.spawn(flows)?;
    eventually_true("the flows cross the core", SOON, || {
        Ok(!Crossed::sort(corp.core.fresh()?).esp.is_empty())
    })?;
    deeds.iter().try_for_each(|deed| site.host("gm1")?.must(deed).map(drop))?;
    eventually_true("the member repairs it", limit(Duration::from_secs(4), Duration::from_secs(8)), || {
        Ok(repairs(corp)? > before)
    })?;
    flows.wait()?;
    let crossed = Crossed::sort(corp.core.fresh()?);
    let shown: Vec<_> =
        crossed.clear.iter().chain(&crossed.other).filter(|packet| is_shown(packet)).collect();
    let times = shown.iter().map(|packet| packet.time);
    let span = times.clone().max().unwrap_or(0) - times.min().unwrap_or(0);
    println!("   {deeds:?}: {} packets in clear within {} ms", shown.len(), span / 1_000);
    let most = limit(Duration::from_secs(1), Duration::from_secs(4));
    ensure!(u128::from(span) < most.as_micros(), "it took longer than {} ms", most.as_millis());
    Ok(())
}

fn repairs(corp: &Corp) -> Outcome<usize> {
    Ok(corp.members[0].log()?.matches(REPAIRED).count())
}
