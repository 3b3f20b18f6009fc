//! Somebody else at the kernel, and interfaces that come and go.

use crate::corp::{states, Corp, Crossed};
use crate::daemon::Daemon;
use crate::eventually::{eventually_true, throughout};
use crate::machine::limit;
use crate::outcome::{ensure, Outcome};
use crate::scenario::Scenario;
use crate::site::{Site, HOSTS};
use std::time::{Duration, Instant};

/// What this file shows.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::registered(
        "interface-down-up",
        "an interface that goes down, is renamed and comes back",
        down_up,
    ),
    Scenario::registered(
        "repaired-by-hand",
        "what others delete is back at once, and who does it again and again is told of",
        repaired,
    ),
];

const DEEDS: [&str; 5] = [
    "ip xfrm state flush",
    "ip xfrm policy flush",
    "nft delete table inet gdoi",
    "nft flush ruleset",
    "nft add chain inet gdoi foreign",
];
const REPAIRED: &str = "GM_POLICIES_REPAIRED";

/// What a repair may take on a busy machine: the daemon looks at most once a second, and the look itself takes a while.
fn at_once() -> Duration {
    limit(Duration::from_secs(4), Duration::from_secs(8))
}

fn repaired(site: &Site, corp: &mut Corp) -> Outcome {
    corp.core.fresh()?;
    for deed in DEEDS {
        let took = repairs(&corp.members[0], deed)?;
        println!("   `{deed}` is repaired after {} ms", took.as_millis());
        let answers = site.host("h1")?.ping(HOSTS[1].1)?;
        ensure!(answers == 3, "{answers} of 3 requests were answered after `{deed}`");
    }
    Crossed::sort(corp.core.fresh()?).none_clear()?;
    is_told_of_the_fight(&corp.members[0])?;
    is_calm_again(&corp.members[0])
}

fn repairs(member: &Daemon, deed: &str) -> Outcome<Duration> {
    // A change that the member makes by itself would put a deed right without telling of it.
    member.is_silent(limit(Duration::from_millis(2_500), Duration::from_secs(5)))?;
    let before = member.log()?.matches(REPAIRED).count();
    member.host().must(deed)?;
    let begun = Instant::now();
    eventually_true(&format!("`{deed}` is repaired"), at_once(), || {
        Ok(member.log()?.matches(REPAIRED).count() > before)
    })?;
    let took = begun.elapsed();
    // A state that sends is never made again: the member gets another sender identifier first.
    eventually_true(&format!("after `{deed}` the kernel has all states"), at_once(), || {
        Ok(states(member.host())?.are_of_one_key())
    })?;
    member.host().must("nft list table inet gdoi")?;
    Ok(took)
}

fn is_told_of_the_fight(member: &Daemon) -> Outcome {
    let problems = member.show("gm")?["dataplane_problems"].to_string();
    ensure!(problems.contains("5 times within a minute"), "the problems are {problems}");
    Ok(())
}

/// Its own changes and those that do not matter are no reason to change anything.
fn is_calm_again(member: &Daemon) -> Outcome {
    let before = member.log()?;
    for _ in 0..50 {
        member.host().must("nft add table inet other")?;
        member.host().must("nft delete table inet other")?;
    }
    // It looks within a second.
    throughout(Duration::from_secs(3), || {
        let after = member.log()?;
        ensure!(after == before, "the daemon says without need: {}", &after[before.len()..]);
        Ok(())
    })
}

fn down_up(site: &Site, corp: &mut Corp) -> Outcome {
    let done = goes_and_comes_back(site, corp);
    // An interface that was down has lost its addresses of IPv6 and what was routed over it.
    site.restore("gm1")?;
    done
}

fn goes_and_comes_back(site: &Site, corp: &mut Corp) -> Outcome {
    let gm1 = site.host("gm1")?;
    corp.core.fresh()?;
    gm1.must("ip link set wan down")?;
    corp.members[0].says(&["GM_DATAPLANE_PROBLEM", "wan is down"], at_once() * 2)?;
    gm1.must("ip link set wan name wan-renamed")?;
    corp.members[0].says(&["GM_DATAPLANE_PROBLEM", "interface wan-renamed was wan"], at_once() * 2)?;
    let clear = site.host("h1")?.ping(HOSTS[1].1)?;
    ensure!(clear == 0, "{clear} requests were answered without the interface");
    gm1.must("ip link set wan-renamed name wan")?;
    gm1.must("ip link set wan up")?;
    gm1.must("ip route replace default via 198.51.100.2")?;
    let begun = Instant::now();
    eventually_true("h1 reaches h2 again", at_once() * 5, || Ok(site.host("h1")?.ping(HOSTS[1].1)? == 3))?;
    println!("   after {} ms all of three requests are answered again", begun.elapsed().as_millis());
    corp.members[0].says(&["GM_INTERFACE_CHANGED"], at_once())?;
    let problems = &corp.members[0].show("gm")?["dataplane_problems"];
    ensure!(!problems.to_string().contains("wan is down"), "the problems are {problems}");
    Crossed::sort(corp.core.fresh()?).none_clear()
}
