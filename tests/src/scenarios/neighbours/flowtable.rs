//! An operator's flowtable, whose flows skip forwarding.

use crate::cell::{Cell, Family};
use crate::corp::{self, has_problem, registered};
use crate::daemon::Daemon;
use crate::eventually::{eventually, eventually_true};
use crate::host::Host;
use crate::injection::Injection;
use crate::outcome::{ensure, Outcome, Stop};
use crate::rekeying::SOON;
use crate::scenario::Scenario;
use crate::site::{Site, HOSTS, KS1, MEMBERS};
use crate::stream::{rate, Streams};
use crate::watch::Watch;
use serde_json::Value;
use std::net::{Ipv4Addr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

/// What this file shows.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::empty(
        "flowtable",
        "beside a flowtable nothing of its flows comes in or leaves in clear, IPv4 and IPv6, under streams",
        flowtable,
    ),
    Scenario::empty(
        "flowtable-nat",
        "what NAT brings into the group does not leave in clear through a flowtable",
        nat,
    ),
];

const IPV6: Cell = Cell { family: Family::V6, ..Cell::BASIC };

/// As the manual of nftables has it, and a count of what is forwarded all the same.
pub const FLOWTABLE: &str = "add table inet operator
add flowtable inet operator fast { hook ingress priority filter; devices = { wan, lan }; }
add counter inet operator slow
add chain inet operator forward { type filter hook forward priority filter; }
add rule inet operator forward meta l4proto { tcp, udp } flow add @fast
add rule inet operator forward iifname lan oifname wan meta l4proto udp counter name slow
";

fn flowtable(site: &Site) -> Outcome {
    let (_key_server, mut members) = group(site)?;
    let gm1 = site.host(MEMBERS[0])?;
    let watch = Watch::start(site)?;
    let streams = [Streams::warmed(site, Cell::BASIC)?, Streams::warmed(site, IPV6)?];
    let mut injections = [Injection::into_stream(site, Cell::BASIC)?, Injection::into_stream(site, IPV6)?];
    let mut none_comes_in =
        |site: &Site| injections.iter_mut().try_for_each(|injection| injection.none_comes_in(site));
    gm1.nft(FLOWTABLE)?;
    is_held(&gm1)?;
    is_fast(&gm1)?;
    none_comes_in(site)?;
    gm1.must("nft delete table inet operator")?;
    none_comes_in(site)?;
    is_released(&gm1)?;
    gm1.nft(FLOWTABLE)?;
    is_held(&gm1)?;
    is_fast(&gm1)?;
    none_comes_in(site)?;
    members[0].kill()?;
    none_comes_in(site)?;
    members[0].start_again()?;
    registered(&mut members[0])?;
    is_fast(&gm1)?;
    none_comes_in(site)?;
    gm1.must("nft delete table inet operator")?;
    gm1.nft(&FLOWTABLE.replace("wan, lan", "lan"))?;
    has_problem(&members[0], "add wan to its devices")?;
    gm1.must("nft delete table inet operator")?;
    is_released(&gm1)?;
    let [ipv4, ipv6] = streams;
    let ipv6 = ipv6.stop()?;
    let ipv4 = ipv4.end(watch)?;
    println!("   IPv4: {ipv4}\n   IPv6: {ipv6}, 0 clear");
    [ipv4, ipv6].iter().try_for_each(|tallies| tallies.all_arrived())
}

fn group(site: &Site) -> Outcome<(Daemon, Vec<Daemon>)> {
    let mut config = corp::key_server(KS1);
    let list: Value = [Cell::BASIC, IPV6].map(|cell| cell.access_list()).concat().into();
    config["groups"][0]["server-local"]["sa-ipsec"]["match-address"] = list;
    let key_server = site.key_server("ks1", config)?;
    let members = MEMBERS.map(|host| site.member(host, corp::member(&[KS1])));
    let mut members = members.into_iter().collect::<Outcome<Vec<_>>>()?;
    members.iter_mut().try_for_each(registered)?;
    Ok((key_server, members))
}

/// Waits until the member has noticed the flowtable: it cannot do so before.
fn is_held(member: &Host) -> Outcome {
    let begun = Instant::now();
    eventually_true("what the flowtable forwards is held at the links", SOON, || {
        Ok(member.run("nft list table netdev gdoi")?.success)
    })?;
    println!("   held at the links {} ms after the flowtable had come", begun.elapsed().as_millis());
    Ok(())
}

/// Waits until nothing is held at links any more, where no flowtable names them.
fn is_released(member: &Host) -> Outcome {
    eventually_true("nothing is held at links without a flowtable", SOON, || {
        Ok(!member.run("nft list table netdev gdoi")?.success)
    })
}

/// Waits until a part only of what the streams send is forwarded where firewalls see it.
fn is_fast(member: &Host) -> Outcome {
    eventually("the flows are in the flowtable", SOON, || {
        let before = slow(member)?;
        thread::sleep(Duration::from_secs(1));
        Ok((slow(member)? - before < u64::from(rate())).then_some(()))
    })
}

fn slow(member: &Host) -> Outcome<u64> {
    let text = member.must("nft list counter inet operator slow")?;
    let number = text.split("packets ").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
    number.ok_or_else(|| Stop::Failed(format!("no counter: {text}")))
}

/// What h4 has besides, in no prefix of the group, and what the member makes of it.
const FOREIGN: Ipv4Addr = Ipv4Addr::new(172, 20, 1, 10);
const SNAT: &str = "add table ip translation
add chain ip translation nat { type nat hook postrouting priority srcnat; }
add rule ip translation nat oifname wan ip saddr 172.20.1.10 snat to 10.1.1.77
";
/// Datagrams of one flow, one every 10 ms.
const SENT: usize = 100;

fn nat(site: &Site) -> Outcome {
    let (gm1, h4) = (site.host("gm1")?, site.host("h4")?);
    gm1.must("ip address add 172.20.1.1/24 dev lan2")?;
    h4.must(&format!("ip address add {FOREIGN}/24 dev eth0"))?;
    h4.must(&format!("ip route replace {}/32 via 10.1.2.1 src {FOREIGN}", HOSTS[1].1))?;
    let done = translated(site, &gm1, &h4);
    gm1.run("nft delete table inet operator")?;
    gm1.run("nft delete table ip translation")?;
    h4.must(&format!("ip route del {}/32", HOSTS[1].1))?;
    h4.must(&format!("ip address del {FOREIGN}/24 dev eth0"))?;
    gm1.must("ip address del 172.20.1.1/24 dev lan2")?;
    done
}

fn translated(site: &Site, gm1: &Host, h4: &Host) -> Outcome {
    let (_key_server, _members) = group(site)?;
    gm1.nft(SNAT)?;
    gm1.nft(&FLOWTABLE.replace("wan, lan", "wan, lan, lan2"))?;
    is_held(gm1)?;
    let mut watch = Watch::start(site)?;
    let flow = h4.inside(|| Ok(UdpSocket::bind((FOREIGN, 0))?))?;
    for _ in 0..SENT {
        // Where it is held back h4 may be told so.
        let _ = flow.send_to(b"clear", (HOSTS[1].1, 9));
        thread::sleep(Duration::from_millis(10));
    }
    let keys = watch.keys()?;
    let encrypted: u64 = keys
        .iter()
        .filter(|(from, _)| from.to_string() == "10.1.1.77")
        .flat_map(|(_, spis)| spis.values())
        .sum();
    println!("   of {SENT} datagrams {encrypted} were encrypted");
    watch.none_clear()?;
    ensure!(encrypted > 0, "nothing was encrypted");
    watch.close()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_name_the_hosts() {
        assert!(SNAT.contains(&format!("saddr {FOREIGN} ")));
    }
}
