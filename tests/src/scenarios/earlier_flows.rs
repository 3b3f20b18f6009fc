//! Flows that began while nothing was protected, and that NAT gave other addresses.

use crate::capture::Capture;
use crate::cell::{Cell, Family};
use crate::conversation::Conversation;
use crate::corp::{self, protection, registered, Crossed};
use crate::eventually::eventually_true;
use crate::machine::limit;
use crate::outcome::{ensure, Outcome};
use crate::rekeying::{self, Transport, SOON};
use crate::scenario::Scenario;
use crate::scenarios::neighbours::flowtable::FLOWTABLE;
use crate::site::{Site, KS1, MEMBERS};
use crate::watch::Watch;
use serde_json::{json, Value};
use std::thread;
use std::time::{Duration, Instant};

/// What this file shows.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::empty(
        "earlier-flows",
        "flows that were masqueraded while a gate was open go on encrypted when it closes, and come back",
        gates,
    ),
    Scenario::empty(
        "grown-list",
        "flows that were masqueraded go on encrypted when the access list comes to name them",
        grown,
    ),
];

const IPV6: Cell = Cell { family: Family::V6, ..Cell::BASIC };
const CELLS: [Cell; 2] = [Cell::BASIC, IPV6];
const MASQUERADE: &str = "add table inet operator
add chain inet operator nat { type nat hook postrouting priority srcnat; }
add rule inet operator nat oifname wan meta nfproto { ipv4, ipv6 } masquerade
";
/// The first port of the host that answers.
const PORT: u16 = 7100;

fn gates(site: &Site) -> Outcome {
    with_masquerade(site, open_and_detached)
}

fn grown(site: &Site) -> Outcome {
    with_masquerade(site, list_grows)
}

fn with_masquerade(site: &Site, work: impl FnOnce(&Site) -> Outcome) -> Outcome {
    let gm1 = site.host("gm1")?;
    gm1.nft(MASQUERADE)?;
    let done = work(site);
    gm1.must("nft delete table inet operator")?;
    done
}

fn open_and_detached(site: &Site) -> Outcome {
    let mut config = corp::member(&[KS1]);
    config["groups"][0]["fail-close"] = json!(false);
    let members = MEMBERS.map(|host| site.member(host, config.clone()));
    let mut members = members.into_iter().collect::<Outcome<Vec<_>>>()?;
    members.iter().try_for_each(|member| protection(member, "open"))?;
    let mut flows = start(site, 0)?;
    let _key_server = site.key_server("ks1", key_server_config(corp::key_server(KS1), lists()))?;
    members.iter_mut().try_for_each(registered)?;
    go_on(site, &flows, "after all registered")?;
    println!("   fail-open:{}", end(&mut flows)?);
    // The second time in a flowtable, too.
    for (round, back) in ["gm register", "restart"].into_iter().enumerate() {
        members[0].control("gm detach corp --yes-send-in-clear")?;
        if back == "restart" {
            site.host("gm1")?.nft(FLOWTABLE)?;
        }
        let mut flows = start(site, 2 + 2 * round as u16)?;
        match back {
            "restart" => {
                members[0].terminate()?;
                members[0].start_again()?;
                registered(&mut members[0])?;
            }
            command => drop(members[0].control(command)?),
        }
        protection(&members[0], "encrypting")?;
        go_on(site, &flows, "after the member was back")?;
        println!("   detached, back by {back}:{}", end(&mut flows)?);
    }
    Ok(())
}

fn list_grows(site: &Site) -> Outcome {
    let mut config = rekeying::key_server(site, Transport::Unicast)?;
    config["groups"][0]["server-local"]["sa-ipsec"]["lifetime"] = json!(3600);
    let first = ["permit ip 10.3.0.0/16 10.3.0.0/16", "permit ipv6 fd0a:3::/32 fd0a:3::/32"];
    let key_server = site.key_server("ks1", key_server_config(config.clone(), json!(first)))?;
    let members = MEMBERS.map(|host| site.member(host, corp::member(&[KS1])));
    let mut members = members.into_iter().collect::<Outcome<Vec<_>>>()?;
    members.iter_mut().try_for_each(registered)?;
    let mut flows = start(site, 0)?;
    key_server.configure(key_server_config(config, lists()))?;
    key_server.control("reload")?;
    key_server.control("ks rekey")?;
    members.iter().try_for_each(|member| {
        eventually_true("the list has grown", SOON, || {
            Ok(member.control("show gm acl")?.contains("10.0.0.0/8"))
        })
    })?;
    go_on(site, &flows, "after the list had grown")?;
    println!("   grown list:{}", end(&mut flows)?);
    Ok(())
}

fn lists() -> Value {
    CELLS.map(|cell| cell.access_list()).concat().into()
}

fn key_server_config(mut config: Value, list: Value) -> Value {
    config["groups"][0]["server-local"]["sa-ipsec"]["match-address"] = list;
    config
}

/// They are answered, and the core sees the member's address.
fn start(site: &Site, number: u16) -> Outcome<Vec<Conversation>> {
    let name = site.places.next_name("core");
    let mut core = Capture::start(site.host("core")?, &site.places.out, &name)?;
    let flows = CELLS.into_iter().zip(PORT + number..);
    let flows: Vec<_> =
        flows.map(|(cell, port)| Conversation::start(site, cell, port)).collect::<Outcome<_>>()?;
    for flow in &flows {
        eventually_true("the flow is answered in clear", SOON, || Ok(flow.goes_on_since(0)))?;
    }
    let crossed = Crossed::sort(core.fresh()?);
    for cell in CELLS {
        let shown = crossed.other.iter().any(|packet| packet.destination == cell.host(1));
        ensure!(shown, "the flow to {} was not masqueraded", cell.host(1));
    }
    Ok(flows)
}

/// In ESP only.
fn go_on(site: &Site, flows: &[Conversation], when: &str) -> Outcome {
    let begun = Instant::now();
    let marks: Vec<_> = flows.iter().map(Conversation::mark).collect();
    let limit = limit(Duration::from_secs(3), Duration::from_secs(15));
    eventually_true(&format!("the flows are answered {when}"), limit, || {
        Ok(flows.iter().zip(&marks).all(|(flow, mark)| flow.goes_on_since(*mark)))
    })?;
    println!("   the flows are answered {} ms {when}", begun.elapsed().as_millis());
    let mut watch = Watch::start(site)?;
    thread::sleep(Duration::from_secs(1));
    watch.none_clear()?;
    let keys = watch.keys()?;
    for cell in CELLS {
        ensure!(keys.contains_key(&cell.host(0)), "nothing of {} is encrypted: {keys:?}", cell.host(0));
    }
    watch.close()
}

fn end(flows: &mut Vec<Conversation>) -> Outcome<String> {
    let ended = flows.drain(..).map(|flow| Ok(format!(" {};", flow.end()?)));
    ended.collect()
}
