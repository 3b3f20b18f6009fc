//! A member whose WAN address changes, as DHCP does it, and one that has none yet.

use crate::capture::Capture;
use crate::corp::{self, key_server, ping_all, protection, registered, states, Corp, Crossed};
use crate::eventually::eventually_true;
use crate::outcome::{ensure, Outcome};
use crate::rekeying::{group, keys, SOON};
use crate::scenario::Scenario;
use crate::site::{Site, HOSTS, KS1, WAN};
use crate::topology::batch;
use serde_json::Value;

/// What this file shows.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::empty(
        "address-change",
        "another WAN address: the member registers from it, nothing is clear",
        change,
    ),
    Scenario::empty(
        "late-address",
        "without an address a member waits, closed, and registers when it comes",
        late,
    ),
];

const NEW: &str = "198.51.100.33";

/// Both ends of gm1's link, before and after.
const OLD_LINK: [(&str, &str); 2] = [
    ("core", "route replace 10.1.1.0/24 via 198.51.100.1\n"),
    ("gm1", "addr flush dev wan to 198.51.100.0/24\naddr add 198.51.100.1/30 dev wan\nroute replace default via 198.51.100.2\n"),
];
const NO_ADDRESS: (&str, &str) = ("gm1", "addr flush dev wan to 198.51.100.0/24\n");
const NEW_LINK: [(&str, &str); 2] = [
    ("core", "addr replace 198.51.100.34/30 dev gm1\nroute replace 10.1.1.0/24 via 198.51.100.33\n"),
    ("gm1", "addr add 198.51.100.33/30 dev wan\nroute replace default via 198.51.100.34\n"),
];

fn configure(site: &Site, links: &[(&str, &str)]) -> Outcome {
    links.iter().try_for_each(|(host, lines)| site.host(host)?.inside(|| batch(lines)))
}

/// The site is as it was afterwards, whatever happened.
fn restored(site: &Site, result: Outcome) -> Outcome {
    configure(site, &OLD_LINK)?;
    site.host("core")?.run("ip addr del 198.51.100.34/30 dev gm1")?;
    result
}

fn change(site: &Site) -> Outcome {
    let mut corp = Corp::start(site)?;
    let result = changes(site, &mut corp);
    restored(site, result)
}

fn changes(site: &Site, corp: &mut Corp) -> Outcome {
    corp.core.fresh()?;
    let before = keys(&group(&corp.members[0])?);
    configure(site, &[NO_ADDRESS])?;
    corp.members[0].says(&["GM_ADDRESS_MISSING"], SOON)?;
    let shown = corp.members[0].show("gm")?;
    let problems = shown["dataplane_problems"].to_string();
    ensure!(problems.contains("has lost the address 198.51.100.1"), "the problems are {problems}");
    ensure!(shown["groups"][0]["protection"] == "encrypting", "the protection is {}", shown["groups"][0]);
    configure(site, &NEW_LINK)?;
    corp.members[0].says(&["GM_ADDRESS_CHANGED", NEW], SOON)?;
    corp.members[0].says(&["GM_RE_REGISTER", "its address has changed"], SOON)?;
    eventually_true("the member has registered from its new address", SOON, || {
        Ok(members(corp)?.contains(NEW) && group(&corp.members[0])?["registrations"] == 2)
    })?;
    protection(&corp.members[0], "encrypting")?;
    let answered = ping_all(site)?;
    ensure!(answered == 6, "{answered} of 6 pairs answer after the change");
    let after = keys(&group(&corp.members[0])?);
    ensure!(after == before && !after.is_empty(), "the keys have changed: {before:?} and {after:?}");
    let held = states(corp.members[0].host())?;
    ensure!(held.are_of_one_key(), "the kernel has {held:?}");
    Crossed::sort(corp.core.fresh()?).none_clear()
}

fn members(corp: &Corp) -> Outcome<String> {
    Ok(corp.key_server.show("ks members")?.to_string())
}

fn late(site: &Site) -> Outcome {
    configure(site, &[NO_ADDRESS])?;
    let result = comes_late(site);
    restored(site, result)
}

fn comes_late(site: &Site) -> Outcome {
    let name = site.places.next_name("core");
    let mut core = Capture::start(site.host("core")?, &site.places.out, &name)?;
    let _key_server = site.key_server("ks1", key_server(KS1))?;
    let mut second = site.member("gm2", corp::member(&[KS1]))?;
    let mut member = site.member("gm1", corp::member(&[KS1]))?;
    member.says(&["GM_ADDRESS_MISSING", "has no IPv4 address yet"], SOON)?;
    protection(&member, "closed")?;
    let text = member.control("show gm")?;
    ensure!(text.contains("waits for an address to register from"), "`show gm` says {text}");
    let refused = member.refusal("gm register")?;
    ensure!(refused.contains("has no IPv4 address yet"), "`gm register` says {refused}");
    let silent = |group: &Value| group["registrations"] == 0 && group["failures"] == 0;
    ensure!(silent(&group(&member)?), "it has tried: {}", group(&member)?);
    configure(site, &OLD_LINK)?;
    registered(&mut member)?;
    registered(&mut second)?;
    member.says(&["GM_ADDRESS_CHANGED", &WAN[0].to_string()], SOON)?;
    let answers = site.host("h1")?.ping(HOSTS[1].1)?;
    ensure!(answers == 3, "{answers} of 3 requests were answered");
    Crossed::sort(core.fresh()?).none_clear()
}
