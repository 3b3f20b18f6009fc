//! NAT on a member.

use crate::cell::protected;
use crate::corp::{flow, ping_all, Corp, Crossed};
use crate::host::{answers, Host};
use crate::outcome::{ensure, Outcome};
use crate::packet::protocol;
use crate::scenario::Scenario;
use crate::site::{Site, HOSTS, OUTSIDE, WAN};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// What this file shows.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::registered(
        "nat-into-group",
        "what a member translates into the group's prefix is encrypted",
        into_the_group,
    ),
    Scenario::registered(
        "masquerade",
        "an operator's masquerade leaves the group's traffic alone",
        masquerade,
    ),
];

/// What h4 has besides, in no prefix of the group.
const FOREIGN: Ipv4Addr = Ipv4Addr::new(172, 20, 1, 10);
/// What the member makes of it.
const TRANSLATED: Ipv4Addr = Ipv4Addr::new(10, 1, 1, 77);
const NAT: &str =
    "add table ip operator\nadd chain ip operator nat { type nat hook postrouting priority srcnat; }\n";

/// What is translated into the group's prefix is encrypted, and answers come back.
fn into_the_group(site: &Site, corp: &mut Corp) -> Outcome {
    let (gm1, h4) = (site.host("gm1")?, site.host("h4")?);
    gm1.must("ip address add 172.20.1.1/24 dev lan2")?;
    h4.must(&format!("ip address add {FOREIGN}/24 dev eth0"))?;
    let rule = format!("add rule ip operator nat oifname wan ip saddr {FOREIGN} snat to {TRANSLATED}\n");
    let done = with_rule(&gm1, &rule, || translated(site, corp));
    h4.must(&format!("ip address del {FOREIGN}/24 dev eth0"))?;
    gm1.must("ip address del 172.20.1.1/24 dev lan2")?;
    done
}

fn with_rule(member: &Host, rule: &str, work: impl FnOnce() -> Outcome) -> Outcome {
    member.nft(&format!("{NAT}{rule}"))?;
    let done = work();
    member.must("nft delete table ip operator")?;
    done
}

fn translated(site: &Site, corp: &mut Corp) -> Outcome {
    let (_, h2) = HOSTS[1];
    corp.core.fresh()?;
    let answer = site.host("h4")?.run(&format!("ping -n -c 3 -i 0.2 -W 2 -I {FOREIGN} {h2}"))?;
    let crossed = Crossed::sort(corp.core.fresh()?);
    crossed.none_clear()?;
    let shown = crossed.other.iter().find(|packet| packet.source == FOREIGN || packet.destination == FOREIGN);
    ensure!(shown.is_none(), "the core sees what should be translated: {shown:?}");
    ensure!(answers(&answer.stdout) == 3, "{} of 3 requests were answered", answers(&answer.stdout));
    let wanted = BTreeSet::from([flow(TRANSLATED, h2), flow(h2, TRANSLATED)]);
    ensure!(crossed.esp_flows() == wanted, "the core sees ESP of {:?}", crossed.esp_flows());
    Ok(())
}

/// An operator's masquerade of all that goes to the core leaves the group's traffic alone.
fn masquerade(site: &Site, corp: &mut Corp) -> Outcome {
    let rule = "add rule ip operator nat oifname wan masquerade\n";
    with_rule(site.host("gm1")?.as_ref(), rule, || masqueraded(site, corp))
}

fn masqueraded(site: &Site, corp: &mut Corp) -> Outcome {
    corp.core.fresh()?;
    let reached = ping_all(site)?;
    let outside = site.host("h1")?.ping(OUTSIDE)?;
    let crossed = Crossed::sort(corp.core.fresh()?);
    crossed.none_clear()?;
    ensure!(reached == 6, "{reached} of 6 pairs answer");
    let strange = crossed.esp_flows().into_iter().find(|(from, to)| !protected(*from) || !protected(*to));
    ensure!(strange.is_none(), "ESP with translated addresses: {strange:?}");
    ensure!(outside == 3, "the host outside answered {outside} of 3 requests");
    let pings = crossed.other.iter().filter(|packet| packet.protocol == protocol::ICMP);
    let flows: BTreeSet<_> = pings.map(|packet| (packet.source, packet.destination)).collect();
    let wanted = BTreeSet::from([flow(WAN[0], OUTSIDE), flow(OUTSIDE, WAN[0])]);
    ensure!(flows == wanted, "what is for the host outside was not masqueraded: {flows:?}");
    Ok(())
}
