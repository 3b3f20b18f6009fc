//! Members that are not registered yet.

use crate::capture::Capture;
use crate::corp::{self, key_server, protection, registered, Crossed};
use crate::host::command;
use crate::outcome::{ensure, Outcome};
use crate::scenario::Scenario;
use crate::site::{Site, HOSTS, KS1, OUTSIDE};
use serde_json::json;

/// What this file shows.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::empty(
        "fail-close",
        "before registration only GDOI and what the local list names passes",
        closed,
    ),
    Scenario::empty("flushed-closed", "nftables flushed before the registration: nothing is clear", flushed),
    Scenario::empty(
        "fail-open",
        "without fail-close traffic is clear before registration and never after",
        open,
    ),
];

/// The local list lets the host outside through, in both directions.
const LOCAL_LIST: [&str; 2] = ["deny icmp any host 203.0.113.10", "deny icmp host 203.0.113.10 any"];

fn closed(site: &Site) -> Outcome {
    let mut core = core_capture(site)?;
    let mut plain = site.member("gm1", corp::member(&[KS1]))?;
    let mut file = corp::member(&[KS1]);
    file["groups"][0]["match-address"] = json!(LOCAL_LIST);
    let mut with_list = site.member("gm2", file)?;
    protection(&plain, "closed")?;
    protection(&with_list, "closed")?;
    refused_before(site, &mut core)?;
    let _key_server = site.key_server("ks1", key_server(KS1))?;
    registered(&mut plain)?;
    registered(&mut with_list)?;
    open_after(site, &mut core)
}

fn core_capture(site: &Site) -> Outcome<Capture> {
    Capture::start(site.host("core")?, &site.places.out, &site.places.next_name("core"))
}

fn refused_before(site: &Site, core: &mut Capture) -> Outcome {
    core.fresh()?;
    let protected = site.host("h1")?.ping(HOSTS[1].1)? + site.host("h2")?.ping(HOSTS[0].1)?;
    let outside = site.host("h1")?.ping(OUTSIDE)? + site.host("outside")?.ping(HOSTS[0].1)?;
    let crossed = Crossed::sort(core.fresh()?);
    ensure!(protected == 0, "{protected} of 6 protected requests were answered before registration");
    ensure!(outside == 0, "{outside} of 6 requests to and from outside were answered before registration");
    crossed.none_clear()?;
    let allowed = site.host("h2")?.ping(OUTSIDE)?;
    ensure!(allowed == 3, "the local list lets pass only {allowed} of 3 requests");
    Ok(())
}

fn open_after(site: &Site, core: &mut Capture) -> Outcome {
    core.fresh()?;
    let protected = site.host("h1")?.ping(HOSTS[1].1)?;
    let outside = site.host("h1")?.ping(OUTSIDE)?;
    let crossed = Crossed::sort(core.fresh()?);
    ensure!(protected == 3, "{protected} of 3 protected requests were answered after registration");
    ensure!(outside == 3, "{outside} of 3 requests to the host outside were answered after registration");
    crossed.none_clear()
}

/// Neither does it become clear for a moment when somebody flushes all of nftables.
fn flushed(site: &Site) -> Outcome {
    let mut core = core_capture(site)?;
    let member = site.member("gm1", corp::member(&[KS1]))?;
    protection(&member, "closed")?;
    let ping = site.host("h1")?.spawn(command(&format!("ping -n -q -i 0.1 -w 12 {}", HOSTS[1].1)));
    site.host("gm1")?.must("nft flush ruleset")?;
    ping?.wait()?;
    Crossed::sort(core.fresh()?).none_clear()?;
    core.close()
}

fn open(site: &Site) -> Outcome {
    let mut core = core_capture(site)?;
    let mut file = corp::member(&[KS1]);
    file["groups"][0]["fail-close"] = json!(false);
    let mut members = [site.member("gm1", file.clone())?, site.member("gm2", file)?];
    members.iter().try_for_each(|member| protection(member, "open"))?;
    core.fresh()?;
    let before = site.host("h1")?.ping(HOSTS[1].1)?;
    ensure!(before == 3, "{before} of 3 requests were answered before registration");
    ensure!(
        !Crossed::sort(core.fresh()?).clear.is_empty(),
        "nobody encrypts yet, but nothing crossed in clear"
    );
    let _key_server = site.key_server("ks1", key_server(KS1))?;
    members.iter_mut().try_for_each(registered)?;
    open_after(site, &mut core)
}
