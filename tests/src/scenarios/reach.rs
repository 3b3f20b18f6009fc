//! Protected traffic: who reaches whom, and what the core sees of it.

use crate::corp::{self, flow, pairs as all_pairs, ping_all, Corp, Crossed, States};
use crate::eventually::eventually_true;
use crate::host::{command, Host};
use crate::outcome::{ensure, Outcome};
use crate::site::{Site, GM1_LAN, HOSTS, KS1, MEMBERS, WAN};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

const BULK_OCTETS: u64 = 2 << 20;
/// What iperf3's sender may still have in its buffers when it says that all is sent; several times its window.
const UNDER_WAY: u64 = 512 << 10;

pub fn pairs(site: &Site, corp: &mut Corp) -> Outcome {
    corp.core.fresh()?;
    let reached = ping_all(site)?;
    let crossed = Crossed::sort(corp.core.fresh()?);
    crossed.none_clear()?;
    ensure!(reached == 6, "{reached} of 6 pairs answer");
    let wanted: BTreeSet<_> = all_pairs().map(|(_, source, destination)| flow(source, destination)).collect();
    ensure!(crossed.esp_flows() == wanted, "the core sees ESP of {:?}", crossed.esp_flows());
    let spis: BTreeSet<_> = crossed.esp.iter().filter_map(|packet| packet.spi()).collect();
    ensure!(spis.len() == 1, "one group, one SPI, but the core sees {spis:x?}");
    Ok(())
}

pub fn states(site: &Site, _: &mut Corp) -> Outcome {
    for name in MEMBERS {
        let found = corp::states(site.host(name)?.as_ref())?;
        ensure!(found == States { outbound: 1, inbound: 1 }, "{name} has {found:?}");
    }
    Ok(())
}

pub fn show(_: &Site, corp: &mut Corp) -> Outcome {
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

pub fn router_traffic(site: &Site, corp: &mut Corp) -> Outcome {
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

pub fn bulk(site: &Site, corp: &mut Corp) -> Outcome {
    let (h1, h2) = (site.host("h1")?, site.host("h2")?);
    let log = site.places.out.join("iperf3.log");
    corp.core.fresh()?;
    let mut server = iperf_server(&h2, &log)?;
    let result = transfer(&h1, HOSTS[1].1, "").and_then(|()| transfer(&h1, HOSTS[1].1, "--reverse"));
    server.kill()?;
    server.wait()?;
    result?;
    Crossed::sort(corp.core.fresh()?).none_clear()
}

fn iperf_server(host: &Host, log: &Path) -> Outcome<Child> {
    let mut server = command("iperf3 --server --forceflush");
    server.stdin(Stdio::null()).stdout(File::create(log)?).stderr(Stdio::null());
    let server = host.spawn(server)?;
    eventually_true("iperf3 listens", Duration::from_secs(30), || {
        Ok(fs::read_to_string(log)?.contains("Server listening"))
    })?;
    Ok(server)
}

fn transfer(client: &Host, server: Ipv4Addr, direction: &str) -> Outcome {
    let line = format!("iperf3 --client {server} --bytes {BULK_OCTETS} --window 64K --json {direction}");
    let report: Value = serde_json::from_str(&client.must(&line)?)?;
    let received = report["end"]["sum_received"]["bytes"].as_u64().unwrap_or(0);
    ensure!(
        received >= BULK_OCTETS - UNDER_WAY,
        "iperf3 {direction}: {received} of {BULK_OCTETS} octets arrived"
    );
    Ok(())
}
