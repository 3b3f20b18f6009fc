//! Protected traffic: who reaches whom, and what the core sees of it.

use crate::corp::{self, flow, pairs as all_pairs, ping_all, Corp, Crossed};
use crate::iperf::{report, Server};
use crate::outcome::{ensure, Outcome};
use crate::scenario::Scenario;
use crate::site::{Site, GM1_LAN, HOSTS, KS1, MEMBERS, WAN};
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// What this file shows.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::registered(
        "pairs",
        "all six directed pairs of hosts answer, and the core sees their ESP only",
        pairs,
    ),
    Scenario::registered(
        "states",
        "each member holds one state that sends and one for each other that it has heard",
        states,
    ),
    Scenario::registered("show", "gdoictl shows the registration, the policy and the members", show),
    Scenario::registered(
        "router-traffic",
        "a member's own traffic to a protected host is encrypted",
        router_traffic,
    ),
    Scenario::registered("bulk", "TCP bulk in both directions", bulk),
    Scenario::registered("segment-sizes", "TCP with segments above and below what fits", segment_sizes),
];

const BULK_OCTETS: u64 = 2 << 20;
/// What iperf3's sender may still have in its buffers when it says that all is sent; several times its window.
const UNDER_WAY: u64 = 512 << 10;

fn pairs(site: &Site, corp: &mut Corp) -> Outcome {
    corp.core.fresh()?;
    let reached = ping_all(site)?;
    let crossed = Crossed::sort(corp.core.fresh()?);
    crossed.none_clear()?;
    ensure!(reached == 6, "{reached} of 6 pairs answer");
    let wanted: BTreeSet<_> = all_pairs().map(|(_, source, destination)| flow(source, destination)).collect();
    ensure!(crossed.esp_flows() == wanted, "the core sees ESP of {:?}", crossed.esp_flows());
    let spis: BTreeSet<_> = crossed.esp.iter().filter_map(|packet| packet.spi()).collect();
    let keys: BTreeSet<_> = spis.iter().map(|spi| spi >> 20).collect();
    ensure!(keys.len() == 1 && spis.len() == 3, "one key, three senders, but the core sees {spis:x?}");
    Ok(())
}

fn states(site: &Site, _: &mut Corp) -> Outcome {
    // Others are received when they have been heard.
    corp::ping_all(site)?;
    for name in MEMBERS {
        let found = corp::states(site.host(name)?.as_ref())?;
        ensure!(found.are_of_one_key(), "{name} has {found:?}");
    }
    Ok(())
}

fn show(_: &Site, corp: &mut Corp) -> Outcome {
    let member = &corp.members[0];
    holds(&member.show("gm")?, &["corp", &KS1.to_string()])?;
    holds(&member.show("gm acl")?, &["10.0.0.0/8"])?;
    holds(&member.show("gm dataplane")?, &["wan"])?;
    holds(&corp.key_server.show("ks")?, &["corp"])?;
    holds(&corp.key_server.show("ks policy")?, &["10.0.0.0/8"])?;
    let members = corp.key_server.show("ks members")?;
    WAN.iter().try_for_each(|address| holds(&members, &[&address.to_string()]))
}

fn holds(answer: &Value, words: &[&str]) -> Outcome {
    let text = answer.to_string();
    words.iter().try_for_each(|word| {
        ensure!(text.contains(word), "gdoictl says nothing of {word}: {text}");
        Ok(())
    })
}

fn router_traffic(site: &Site, corp: &mut Corp) -> Outcome {
    let (_, h2) = HOSTS[1];
    corp.core.fresh()?;
    site.host("gm1")?.must(&format!("ping -n -c 3 -i 0.2 -W 2 -I {GM1_LAN} {h2}"))?;
    let answers = site.host("h2")?.ping(GM1_LAN)?;
    ensure!(answers == 3, "the member answered {answers} of 3 requests");
    let crossed = Crossed::sort(corp.core.fresh()?);
    crossed.none_clear()?;
    let wanted = BTreeSet::from([flow(GM1_LAN, h2), flow(h2, GM1_LAN)]);
    ensure!(crossed.esp_flows() == wanted, "the core sees ESP of {:?}", crossed.esp_flows());
    Ok(())
}

fn bulk(site: &Site, corp: &mut Corp) -> Outcome {
    corp.core.fresh()?;
    transfer(site, "").and_then(|()| transfer(site, "--reverse"))?;
    Crossed::sort(corp.core.fresh()?).none_clear()
}

fn segment_sizes(site: &Site, corp: &mut Corp) -> Outcome {
    corp.core.fresh()?;
    ["1460", "1400", "536"].into_iter().try_for_each(|size| transfer(site, &format!("--set-mss {size}")))?;
    Crossed::sort(corp.core.fresh()?).none_clear()
}

/// Some megabytes from h1 to h2, or back, with these options of iperf3.
pub fn transfer(site: &Site, options: &str) -> Outcome {
    transfer_to(site, HOSTS[1].1.into(), options)
}

/// The same to an address of h2.
pub fn transfer_to(site: &Site, destination: IpAddr, options: &str) -> Outcome {
    let _server = Server::start(site, site.host("h2")?.as_ref())?;
    let options = format!("--bytes {BULK_OCTETS} --window 64K {options}");
    let report = report(site.host("h1")?.as_ref(), destination, &options)?;
    let received = report["end"]["sum_received"]["bytes"].as_u64().unwrap_or(0);
    ensure!(
        received >= BULK_OCTETS - UNDER_WAY,
        "iperf3 {options}: {received} of {BULK_OCTETS} octets arrived"
    );
    Ok(())
}
