//! What else on a router can eat a group's packets, one cause after the other.

use crate::corp::{registered, Corp};
use crate::daemon::Daemon;
use crate::eventually::eventually_true;
use crate::host::Host;
use crate::machine::limit;
use crate::outcome::{ensure, Outcome, Stop};
use crate::rekeying::SOON;
use crate::scenario::Scenario;
use crate::site::{Site, H4};
use crate::stream::Streams;
use crate::watch::Watch;
use serde_json::{json, Value};
use std::thread;
use std::time::{Duration, Instant};

/// What this file shows.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::registered(
        "eaten-packets",
        "what eats a member's packets is named, with its hook, and told no more once they pass",
        eaten,
    ),
    Scenario::registered(
        "other-anchors",
        "with anchors elsewhere a filter of bogons by destination is no obstacle; nothing stays at the old ones",
        elsewhere,
    ),
];

/// By all causes, which takes minutes.
pub const OTHERS: &[Scenario] = &[Scenario::registered(
    "eaten-by-all",
    "whatever it is that eats a member's packets is named, and told no more once they pass",
    eaten_by_all,
)];

/// Something that an operator does.
enum Deed {
    /// A chain of a table of their own: its hook and priority, its policy and rules.
    Chain(&'static str, &'static str),
    /// A kernel parameter, for it and against it.
    Set(&'static str, [&'static str; 2]),
    /// A route, and strict reverse path filtering.
    OtherWay,
    /// A policy.
    Policy(&'static str),
}

/// What eats packets, the place that is told, and words of the line.
struct Cause(&'static str, Deed, &'static str, &'static str);

/// The manual, whose example of a firewall must work.
const MANUAL: &str = include_str!("../../../../README.md");

const ACCEPTED: &str =
    "policy drop; iifname \"lo\" accept; ct state established,related accept; udp dport 848 accept; \
                        meta l4proto { icmp, icmpv6 } accept";

const BOGONS: Deed =
    Deed::Chain("prerouting priority mangle", "iifname \"wan\" ip daddr { 0.0.0.0/8, 192.0.0.0/24 } drop");

const CAUSES: &[Cause] = &[
    Cause(
        "INPUT drops and has no rule for ESP",
        Deed::Chain("input priority filter", ACCEPTED),
        "input",
        "hook input",
    ),
    Cause("bogons are dropped on the WAN by destination", BOGONS, "prerouting", "hook prerouting"),
    Cause(
        "bogons are dropped on the WAN by source, before connection tracking",
        Deed::Chain(
            "prerouting priority raw - 10",
            "iifname \"wan\" ip saddr { 10.0.0.0/8, 172.16.0.0/12 } drop",
        ),
        "prerouting_raw",
        "hook prerouting",
    ),
    Cause(
        "private sources are dropped on the WAN, but for ESP",
        Deed::Chain(
            "prerouting priority dstnat - 5",
            "iifname \"wan\" meta l4proto != esp ip saddr 10.0.0.0/8 drop",
        ),
        "prerouting_decrypted",
        "hook prerouting",
    ),
    Cause("rp_filter, and a way back by another interface", Deed::OtherWay, "reverse_path", "rp_filter"),
    Cause(
        "FORWARD drops all that comes from the WAN",
        Deed::Chain("forward priority filter + 10", "iifname \"wan\" drop"),
        "forward",
        "hook forward",
    ),
    Cause(
        "POSTROUTING drops private destinations on the WAN",
        Deed::Chain(
            "postrouting priority filter",
            "oifname \"wan\" meta l4proto != esp ip daddr 10.0.0.0/8 drop",
        ),
        "postrouting_clear",
        "hook postrouting",
    ),
    Cause(
        "OUTPUT drops ESP",
        Deed::Chain("output priority filter", "oifname \"wan\" meta l4proto esp drop"),
        "output",
        "hook output",
    ),
    Cause(
        "POSTROUTING drops ESP",
        Deed::Chain("postrouting priority srcnat + 5", "oifname \"wan\" meta l4proto esp drop"),
        "postrouting",
        "hook postrouting",
    ),
    Cause(
        "XFRM is disabled on the WAN",
        Deed::Set("net/ipv4/conf/wan/disable_xfrm", ["1", "0"]),
        "disable_xfrm",
        "disable_xfrm",
    ),
    Cause(
        "a policy of somebody else blocks what is forwarded",
        Deed::Policy("dir fwd src 10.0.0.0/8 dst 10.0.0.0/8"),
        "",
        "of somebody else comes before",
    ),
];

fn eaten(site: &Site, corp: &mut Corp) -> Outcome {
    eaten_by(site, corp, &CAUSES[..2])
}

fn eaten_by_all(site: &Site, corp: &mut Corp) -> Outcome {
    eaten_by(site, corp, CAUSES)
}

fn eaten_by(site: &Site, corp: &mut Corp, causes: &[Cause]) -> Outcome {
    let host = site.host("gm1")?;
    let (watch, streams) = (Watch::start(site)?, Streams::start(site)?);
    let member = &corp.members[0];
    nothing_is_told(member)?;
    manual_works(&host, &streams)?;
    nothing_is_told(member)?;
    for cause in causes {
        let done = told_and_mended(&host, member, &streams, cause);
        if done.is_err() {
            let _ = cause.1.mend(&host);
        }
        done?;
    }
    let log = member.log()?;
    let told = |name: &str| log.lines().filter(|line| line.contains(name)).count();
    let (begun, ended) = (told("GM_TRAFFIC_DROPPED"), told("GM_TRAFFIC_PASSES"));
    println!(
        "   {begun} events that something eats packets, {ended} that they pass; {}",
        streams.end(watch)?
    );
    let causes = causes.iter().filter(|cause| !cause.2.is_empty()).count();
    ensure!(begun == causes && ended == causes, "{causes} causes, {begun} and {ended} events: {log}");
    Ok(())
}

/// The manual's example, with the lab's names; for longer than faults take to be told.
fn manual_works(host: &Host, streams: &Streams) -> Outcome {
    let example = MANUAL.split("```nft\n").nth(1).and_then(|rest| rest.split("```").next());
    let example = example.ok_or_else(|| Stop::Failed("the manual has no example".into()))?;
    host.nft(&example.replace("wan0", "wan").replace("lan0", "lan"))?;
    thread::sleep(limit(Duration::from_secs(25), Duration::from_secs(40)));
    let mark = streams.mark();
    let heard =
        eventually_true("every host hears every other one", SOON, || Ok(streams.all_heard_since(&mark)));
    host.must("nft delete table inet firewall")?;
    println!("   the manual's firewall lets everything pass");
    heard
}

fn told_and_mended(host: &Host, member: &Daemon, streams: &Streams, cause: &Cause) -> Outcome {
    let Cause(about, deed, place, words) = cause;
    let most = limit(Duration::from_secs(60), Duration::from_secs(180));
    let begun = Instant::now();
    deed.does(host)?;
    let told = eventually_true(&format!("`show gm` tells: {about}"), most, || {
        let (report, text) = (member.show("gm")?, member.control("show gm")?);
        Ok(text.contains(words) && (place.is_empty() || places(&report) == [*place]))
    });
    if let Err(reason) = told {
        println!("   {}", member.control("show gm")?);
        println!("   {}", member.control("show gm dataplane")?);
        return Err(reason);
    }
    let after = begun.elapsed();
    let text = member.control("show gm")?;
    println!("   {}", text.lines().find(|line| line.contains(words)).unwrap_or_default().trim());
    deed.mend(host)?;
    let (mark, begun) = (streams.mark(), Instant::now());
    eventually_true("every host hears every other one", most, || Ok(streams.all_heard_since(&mark)))?;
    let back = begun.elapsed();
    eventually_true(&format!("no more is told of: {about}"), most, || Ok(nothing_is_told(member).is_ok()))?;
    println!(
        "   {about}: told after {:.1} s; mended, traffic is back after {:.1} s and nothing told any more after {:.1} s",
        after.as_secs_f32(),
        back.as_secs_f32(),
        begun.elapsed().as_secs_f32()
    );
    Ok(())
}

/// There and back.
fn elsewhere(site: &Site, corp: &mut Corp) -> Outcome {
    let host = site.host("gm1")?;
    let (watch, streams) = (Watch::start(site)?, Streams::start(site)?);
    BOGONS.does(&host)?;
    for (anchors, here, there) in
        [("as112", "192.31.196.", "192.0.0."), ("special-purpose", "192.0.0.", "192.31.196.")]
    {
        let member = &mut corp.members[0];
        member.reconfigure(|config| config["anchors"] = json!(anchors))?;
        member.terminate()?;
        if anchors == "special-purpose" {
            BOGONS.mend(&host)?;
        }
        member.start_again()?;
        registered(member)?;
        let mark = streams.mark();
        eventually_true("every host hears every other one", SOON, || Ok(streams.all_heard_since(&mark)))?;
        let held = ["ip xfrm state", "ip xfrm policy", "ip route show table all", "nft list table inet gdoi"];
        let held = held.into_iter().map(|line| host.must(line)).collect::<Outcome<Vec<_>>>()?.concat();
        ensure!(held.contains(here) && !held.contains(there), "not only at {here}0/24: {held}");
        nothing_is_told(&corp.members[0])?;
        println!("   {anchors}: all hosts hear each other, and nothing is left at {there}0/24");
    }
    println!("   {}", streams.end(watch)?);
    Ok(())
}

fn places(report: &Value) -> Vec<String> {
    let entries = report["groups"][0]["obstacles"].as_array().into_iter().flatten();
    entries.map(|entry| entry["place"].as_str().unwrap_or_default().to_owned()).collect()
}

fn nothing_is_told(member: &Daemon) -> Outcome {
    let report = member.show("gm")?;
    let problems = &report["dataplane_problems"];
    ensure!(places(&report).is_empty() && problems.as_array().is_some_and(Vec::is_empty), "{report}");
    Ok(())
}

impl Deed {
    fn does(&self, host: &Host) -> Outcome {
        match self {
            Deed::Chain(hook, rules) => host.nft(&format!(
                "table inet operator {{\nchain filters {{\ntype filter hook {hook}; {rules}\n}}\n}}\n"
            )),
            Deed::Set(parameter, [done, _]) => host.set(parameter, done),
            Deed::OtherWay => {
                host.must(&format!("ip route add 10.0.0.0/8 via {H4}"))?;
                host.set("net/ipv4/conf/wan/rp_filter", "1")
            }
            Deed::Policy(policy) => {
                host.must(&format!("ip xfrm policy add {policy} action block priority 1000")).map(drop)
            }
        }
    }

    fn mend(&self, host: &Host) -> Outcome {
        match self {
            Deed::Chain(..) => host.must("nft delete table inet operator").map(drop),
            Deed::Set(parameter, [_, undone]) => host.set(parameter, undone),
            Deed::OtherWay => {
                host.set("net/ipv4/conf/wan/rp_filter", "0")?;
                host.must(&format!("ip route del 10.0.0.0/8 via {H4}")).map(drop)
            }
            Deed::Policy(policy) => host.must(&format!("ip xfrm policy delete {policy}")).map(drop),
        }
    }
}
