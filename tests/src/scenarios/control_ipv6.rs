//! A key server and members that speak GDOI over IPv6 only, for hosts that speak IPv4.

use crate::capture::Capture;
use crate::corp::{self, ping_all, registered, Crossed};
use crate::daemon::Daemon;
use crate::eventually::eventually_true;
use crate::outcome::{ensure, Outcome};
use crate::packet::{protocol, Packet};
use crate::rekeying::{self, copy_multicast, never_registered_again, receives, Transport, SOON};
use crate::scenario::Scenario;
use crate::site::{Site, MEMBERS};
use crate::topology::batch;
use serde_json::{json, Value};
use std::net::{IpAddr, Ipv6Addr};

/// What this file shows.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::empty(
        "control-ipv6",
        "members register over IPv6 and are rekeyed over it, for hosts of IPv4",
        unicast,
    ),
    Scenario::empty("control-ipv6-multicast", "the same, rekeyed by multicast", multicast),
];

const KS1: &str = "2001:db8:2:1::10";
/// Of rekey messages.
const GROUP: Ipv6Addr = Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, 0x848, 0x190);
const WAN: [&str; 3] = ["2001:db8:100:1::1", "2001:db8:100:2::1", "2001:db8:100:3::1"];

/// The key server's link: its second address is first of all tentative, so that it speaks before the kernel lets it.
const LINK: [(&str, &str); 2] = [
    ("core", "addr add 2001:db8:2:1::9/64 dev ks1\n"),
    ("ks1", "addr add 2001:db8:2:1::10/64 dev eth0\nroute add default via 2001:db8:2:1::9\n"),
];
const UNLINK: [(&str, &str); 2] = [
    ("ks1", "route del default via 2001:db8:2:1::9\naddr del 2001:db8:2:1::10/64 dev eth0\n"),
    ("core", "addr del 2001:db8:2:1::9/64 dev ks1\n"),
];

fn configure(site: &Site, links: &[(&str, &str)]) -> Outcome {
    links.iter().try_for_each(|(host, lines)| site.host(host)?.inside(|| batch(lines)))
}

fn unicast(site: &Site) -> Outcome {
    rekeyed(site, Transport::Unicast)
}

fn multicast(site: &Site) -> Outcome {
    rekeyed(site, Transport::Multicast)
}

fn rekeyed(site: &Site, transport: Transport) -> Outcome {
    configure(site, &LINK)?;
    let result = registers_and_rekeys(site, transport);
    configure(site, &UNLINK)?;
    result
}

fn key_server(site: &Site, transport: Transport) -> Outcome<Value> {
    let mut config = rekeying::key_server(site, transport)?;
    config["address"] = json!(KS1);
    config["pre-shared-keys"] = json!([{ "address": "2001:db8:100::/48", "key": corp::KEY }]);
    let local = &mut config["groups"][0]["server-local"];
    local["sa-ipsec"]["lifetime"] = json!(3600);
    if transport == Transport::Multicast {
        local["rekey"]["address"] = json!(GROUP);
    }
    local["authorization"] = json!({ "address": WAN.map(|address| format!("{address}/128")) });
    Ok(config)
}

fn member(site: &Site, host: &str) -> Outcome<Daemon> {
    let mut config = corp::member(&[]);
    config["groups"][0]["servers"] = json!([KS1]);
    site.member(host, config)
}

fn registers_and_rekeys(site: &Site, transport: Transport) -> Outcome {
    let name = site.places.next_name("core");
    let mut core = Capture::start(site.host("core")?, &site.places.out, &name)?;
    let key_server = site.key_server("ks1", key_server(site, transport)?)?;
    let mut members = MEMBERS.map(|host| member(site, host)).into_iter().collect::<Outcome<Vec<_>>>()?;
    members.iter_mut().try_for_each(registered)?;
    if transport == Transport::Multicast {
        copy_multicast(site, GROUP.into())?;
    }
    key_server.control("ks rekey")?;
    members.iter().try_for_each(|member| receives(member, 0))?;
    if transport == Transport::Unicast {
        all_acknowledge(&key_server)?;
    }
    never_registered_again(&members)?;
    let answered = ping_all(site)?;
    ensure!(answered == 6, "{answered} of 6 pairs answer");
    let crossed = Crossed::sort(core.fresh()?);
    crossed.none_clear()?;
    ensure!(
        !crossed.esp.is_empty() && crossed.esp.iter().all(|packet| packet.source.is_ipv4()),
        "no ESP of IPv4"
    );
    spoken_over_ipv6(&crossed.other)?;
    let to_all = crossed.other.iter().filter(|packet| packet.destination == IpAddr::V6(GROUP)).count();
    ensure!((to_all > 0) == (transport == Transport::Multicast), "{to_all} messages to {GROUP} have crossed");
    Ok(())
}

fn all_acknowledge(key_server: &Daemon) -> Outcome {
    eventually_true("all members have acknowledged", SOON, || {
        let report = key_server.show("ks members")?;
        let listed = report["groups"][0]["members"].as_array().cloned().unwrap_or_default();
        let acknowledged = |address: &&str| {
            let member = listed.iter().find(|member| member["address"].as_str() == Some(address));
            member.is_some_and(|member| member["rekeys_acknowledged"] == 1)
        };
        Ok(WAN.iter().all(acknowledged))
    })
}

/// Each member was heard by the key server, and it by them, over IPv6 alone.
fn spoken_over_ipv6(packets: &[Packet]) -> Outcome {
    let udp: Vec<_> = packets.iter().filter(|packet| packet.protocol == protocol::UDP).collect();
    ensure!(udp.iter().all(|packet| packet.source.is_ipv6()), "UDP of IPv4 has crossed the core");
    let server: Option<IpAddr> = KS1.parse().ok();
    for wan in WAN {
        let member: Option<IpAddr> = wan.parse().ok();
        let crossed = |from, to| {
            udp.iter().filter(|packet| (Some(packet.source), Some(packet.destination)) == (from, to)).count()
        };
        let (asked, answered) = (crossed(member, server), crossed(server, member));
        ensure!(asked > 0 && answered > 0, "{wan} has sent {asked} and received {answered} messages");
    }
    Ok(())
}
