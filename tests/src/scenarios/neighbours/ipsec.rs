//! Policies of others in a member's kernel.

use crate::corp::{self, has_problem, protection, registered, Corp};
use crate::daemon::Daemon;
use crate::eventually::eventually_true;
use crate::host::{command, Host};
use crate::outcome::{ensure, Outcome};
use crate::rekeying::SOON;
use crate::scenario::Scenario;
use crate::site::{Site, HOSTS, KS1, MEMBERS};
use crate::stream::Streams;
use crate::topology::batch;
use crate::watch::Watch;
use serde_json::json;
use std::net::Ipv4Addr;

/// What this file shows.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::registered(
        "foreign-tunnel",
        "a policy-based tunnel of somebody else on another interface works, for addresses of the group's list, too",
        tunnel,
    ),
    Scenario::registered(
        "foreign-allow",
        "each policy of somebody else that refuses what was decrypted, because it is of no tunnel, is named",
        refused,
    ),
    Scenario::empty(
        "foreign-policy",
        "somebody else's policy with a selector of ours is named, the rest works, and nobody starts a war",
        conflict,
    ),
];

/// Behind h4, and in the group's list.
const BEHIND_H4: Ipv4Addr = Ipv4Addr::new(10, 4, 4, 4);
const KEY: &str = "aead rfc4106(gcm(aes)) 0x000102030405060708090a0b0c0d0e0f10111213 128";
const TUNNEL: &str = "proto esp reqid 7 mode tunnel";

/// States and policies between gm1's second LAN and h4, with the priority of the usual IKE daemons.
fn tunnel_of(end: [Ipv4Addr; 2], nets: [&str; 2], inward: &[&str]) -> String {
    let [here, there] = end;
    let [near, far] = nets;
    let mut lines = format!(
        "xfrm state add src {here} dst {there} proto esp spi {} reqid 7 mode tunnel {KEY}\n\
         xfrm state add src {there} dst {here} proto esp spi {} reqid 7 mode tunnel {KEY}\n\
         xfrm policy add dir out src {near} dst {far} priority 370000 tmpl src {here} dst {there} {TUNNEL}\n",
        0x1000 + u32::from(there.octets()[3]),
        0x1000 + u32::from(here.octets()[3]),
    );
    for hook in inward {
        lines += &format!(
            "xfrm policy add dir {hook} src {far} dst {near} priority 370000 tmpl src {there} dst {here} {TUNNEL}\n"
        );
    }
    lines
}

fn tunnel(site: &Site, _corp: &mut Corp) -> Outcome {
    let (gm1, h4) = (site.host("gm1")?, site.host("h4")?);
    let (gm1_lan2, h4_address) = (Ipv4Addr::new(10, 1, 2, 1), Ipv4Addr::new(10, 1, 2, 10));
    let nets = ["10.1.1.0/24", "10.4.4.0/24"];
    let (watch, streams) = (Watch::start(site)?, Streams::start(site)?);
    gm1.inside(|| batch(&format!("route replace 10.4.4.0/24 via {h4_address}\n")))?;
    gm1.inside(|| batch(&tunnel_of([gm1_lan2, h4_address], nets, &["fwd", "in"])))?;
    h4.inside(|| {
        batch(&format!(
            "addr replace {BEHIND_H4}/32 dev lo\nroute replace 10.1.1.0/24 via {gm1_lan2} src {BEHIND_H4}\n"
        ))
    })?;
    h4.inside(|| batch(&tunnel_of([h4_address, gm1_lan2], [nets[1], nets[0]], &["in"])))?;
    let answers = site.host("h1")?.ping(BEHIND_H4);
    let said = gm1.must("cat /proc/net/xfrm_stat")?;
    for host in [gm1, h4] {
        host.must("ip xfrm policy deleteall priority 370000").map(drop).or_else(|_| remove(&host))?;
        host.run("ip xfrm state deleteall reqid 7")?;
    }
    let answers = answers?;
    let mismatches = said.lines().find(|line| line.starts_with("XfrmInTmplMismatch")).unwrap_or_default();
    ensure!(
        answers == 3,
        "{answers} of 3 requests through the tunnel of somebody else were answered; {mismatches}"
    );
    streams.end(watch)?.all_arrived()
}

/// Policies that are told apart by their priority, which `ip` does not delete by.
fn remove(host: &Host) -> Outcome {
    let listed = host.must("ip -o -s xfrm policy")?;
    for line in listed.lines().filter(|line| line.contains("priority 370000")) {
        let words: Vec<_> = line.split([' ', '\t', '\\', '(']).filter(|word| !word.is_empty()).collect();
        let after =
            |name: &str| words.iter().skip_while(|word| **word != name).nth(1).copied().unwrap_or_default();
        host.run(&format!("ip xfrm policy delete index {} dir {}", after("index"), after("dir")))?;
    }
    Ok(())
}

/// Without a priority, as people add them by hand.
fn refused(site: &Site, corp: &mut Corp) -> Outcome {
    let (gm1, member) = (site.host("gm1")?, &corp.members[0]);
    let policies = [
        ("fwd", "10.1.0.0/16", "10.2.0.0/16"),
        ("fwd", "10.2.0.0/16", "10.1.0.0/16"),
        ("in", "0.0.0.0/0", "0.0.0.0/0"),
    ];
    for (hook, from, to) in policies {
        gm1.must(&format!("ip xfrm policy add dir {hook} src {from} dst {to}"))?;
    }
    for (hook, from, to) in policies {
        has_problem(member, &format!("policy {hook} ip {from} {to}, priority 0 of somebody else"))?;
    }
    protection(member, "displaced")?;
    let answers = site.host("h1")?.ping(HOSTS[1].1)?;
    for (hook, from, to) in policies {
        gm1.must(&format!("ip xfrm policy delete dir {hook} src {from} dst {to}"))?;
    }
    ensure!(answers == 0, "{answers} of 3 requests were answered beside policies that refuse them");
    protection(member, "encrypting")?;
    eventually_true("all pairs answer again", SOON, || Ok(corp::ping_all(site)? == 6))
}

/// What a foreign daemon has before ours starts, and what it does while ours runs.
fn conflict(site: &Site) -> Outcome {
    let gm1 = site.host("gm1")?;
    gm1.must("ip xfrm policy add dir out src 172.16.0.0/12 dst 172.16.0.0/12 dev wan priority 1000")?;
    gm1.must("ip xfrm policy add dir fwd src 172.16.0.0/12 dst 172.16.0.0/12 priority 500000")?;
    let mut config = corp::key_server(KS1);
    config["groups"][0]["server-local"]["sa-ipsec"]["match-address"] =
        json!(["permit ip 172.16.0.0/12 172.16.0.0/12", "permit ip 10.0.0.0/8 10.0.0.0/8"]);
    let _key_server = site.key_server("ks1", config)?;
    let members = MEMBERS.map(|host| site.member(host, corp::member(&[KS1])));
    let mut members = members.into_iter().collect::<Outcome<Vec<_>>>()?;
    members[1..].iter_mut().try_for_each(registered)?;
    members[0].says(&["GM_REGS_COMPL"], SOON)?;
    let watch = Watch::start(site)?;
    eventually_true("the rest of the list works", SOON, || Ok(corp::ping_all(site)? == 6))?;
    let streams = Streams::start(site)?;
    has_problem(&members[0], "172.16.0.0/12 172.16.0.0/12")?;
    members[0].says(&["GM_DATAPLANE_PROBLEM", "172.16.0.0/12"], SOON)?;
    protection(&members[0], "displaced")?;
    let text = members[0].control("show gm")?;
    ensure!(text.contains("come before the group's"), "show gm says {text}");
    fight(&members[0])?;
    gm1.must("ip xfrm policy delete dir out src 172.16.0.0/12 dst 172.16.0.0/12 dev wan")?;
    gm1.must("ip xfrm policy delete dir fwd src 172.16.0.0/12 dst 172.16.0.0/12")?;
    protection(&members[0], "encrypting")?;
    let tallies = streams.end(watch)?;
    println!("   {tallies}");
    tallies.all_arrived()
}

/// A daemon that updates the policy which has our selector, ten times a second: it has its own.
fn fight(member: &Daemon) -> Outcome {
    let before = member.log()?.lines().count();
    let line =
        "i=0; while [ $i -lt 50 ]; do ip xfrm policy update dir out src 10.0.0.0/8 dst 10.0.0.0/8 dev wan \
                priority 900000 action block; i=$((i+1)); sleep 0.1; done";
    let mut shell = command("sh -c");
    shell.arg(line);
    let status = member.host().spawn(shell)?.wait()?;
    ensure!(status.success(), "the updates ended with {status}");
    let log = member.log()?;
    let said: Vec<_> = log.lines().skip(before).collect();
    ensure!(!said.iter().any(|line| line.contains("GM_POLICIES_REPAIRED")), "a war: {said:?}");
    println!("   50 updates of a policy with our selector, {} lines in the log", said.len());
    member.host().must("ip xfrm policy delete dir out src 10.0.0.0/8 dst 10.0.0.0/8 dev wan").map(drop)
}
